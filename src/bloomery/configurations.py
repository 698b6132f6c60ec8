"""The name under which users import configurations; they live in `bloomery.frames`."""

from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS

__all__ = ["LABELS", "Configurations"]
