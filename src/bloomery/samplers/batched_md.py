"""Many replicas of molecular dynamics, advanced together, with as many atoms in one evaluation as a device likes.

Trajectories are those of `md`, which also evaluates all of its own side by side; here each starting structure, strain
and temperature has as many as are asked for, and more atoms go into one evaluation.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bloomery.samplers.md import MolecularDynamics, MolecularDynamicsSettings


class BatchedMolecularDynamicsSettings(MolecularDynamicsSettings):
    """Settings of the sampler `batched_md`."""

    replicas: int = Field(default=16, ge=1)
    """Trajectories of each structure at each strain and temperature; the first is that of `md`."""
    batch_atoms: int = Field(default=4096, ge=1)
    """Atoms that are evaluated at a time, about; whole trajectories stay together."""


class BatchedMolecularDynamics(MolecularDynamics):
    """Dynamics of many replicas of every structure, in one job."""

    name = "batched_md"
    Settings = BatchedMolecularDynamicsSettings
    settings: BatchedMolecularDynamicsSettings

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.replicas, self.batch_atoms = self.settings.replicas, self.settings.batch_atoms
