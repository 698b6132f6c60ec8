"""Any trainer that is run by commands and files: a YAML definition says how, and no code is written."""

from bloomery.engines.external.engine import External
from bloomery.engines.external.settings import ExternalSettings

__all__ = ["External", "ExternalSettings"]
