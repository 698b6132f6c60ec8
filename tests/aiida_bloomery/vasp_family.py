"""A family of potentials in the profile: made up, with headers alone."""

from __future__ import annotations

from pathlib import Path

from aiida_vasp.data.potcar import PotcarData
from tests.aiida_bloomery.fake_vasp import write_potentials


def upload_potentials(folder: Path, family: str, functional: str = "PE") -> str:
    """Add them to the profile that is loaded; return the label of the family."""
    source = write_potentials(folder / family, functional)
    PotcarData.upload_potcar_family(source, family, "Headers that are made up", stop_if_existing=False)
    return family
