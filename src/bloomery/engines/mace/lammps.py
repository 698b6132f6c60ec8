"""The form of a network that LAMMPS loads, as an ASE calculator: it is checked before anyone runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ase
import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes

from bloomery.engines.mace.networks import default_dtype
from bloomery.potentials.prediction import voigt

NEEDED = ("positions", "node_attrs", "edge_index", "shifts", "unit_shifts", "cell", "batch", "ptr")


class LammpsFormCalculator(Calculator):
    """Mean over TorchScript files of `mace_create_lammps_model`, all atoms local."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, files: Sequence[Path], **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.models = [torch.jit.load(str(path), map_location="cpu") for path in files]

    def calculate(
        self,
        atoms: ase.Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Evaluate all members."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        found = [self._evaluate(model) for model in self.models]
        energy, forces, virial = (np.mean([values[i] for values in found], axis=0) for i in range(3))
        present: Any = self.atoms
        self.results = {"energy": float(energy), "free_energy": float(energy), "forces": forces}
        if present.pbc.all():
            self.results["stress"] = voigt(-0.5 * (virial + virial.T) / present.cell.volume)

    def _evaluate(self, model: Any) -> tuple[float, Any, Any]:
        """Energy, forces ``(n, 3)`` and virial ``(3, 3)`` in eV and eV/Å."""
        from mace import data  # noqa: PLC0415
        from mace.tools import AtomicNumberTable, torch_geometric  # noqa: PLC0415

        dtype = next(value.dtype for value in model.parameters() if value.is_floating_point())
        table = AtomicNumberTable([int(number) for number in model.atomic_numbers])
        with default_dtype(dtype):
            item = data.AtomicData.from_config(
                data.config_from_atoms(self.atoms), z_table=table, cutoff=float(model.r_max)
            )
            batch = torch_geometric.Batch.from_data_list([item]).to_dict()
            inputs = {name: batch[name] for name in NEEDED}
            inputs["positions"].requires_grad_(True)
            result = model(inputs, torch.ones(len(item.positions), dtype=dtype), True)
        return (
            float(result["total_energy_local"].detach().sum()),
            result["forces"].detach().double().numpy(),
            result["virials"].detach().double().numpy().reshape(3, 3),
        )
