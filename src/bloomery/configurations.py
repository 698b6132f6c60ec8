"""The name under which users import configurations; they live in `bloomery.frames.configurations`."""

from bloomery.frames.configurations import LABELS, Configurations

__all__ = ["LABELS", "Configurations"]
