"""The potential that the engine `mace` fits: batched evaluation, files and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import ase
import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes

from bloomery.engines.mace.networks import (
    Network,
    default_dtype,
    from_arrays,
    import_mace,
    read_model_file,
    write_model_file,
)
from bloomery.engines.programs import find_program, run_program
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Common, Potential
from bloomery.potentials.prediction import Prediction, voigt, zeros

NEEDED = ("positions", "node_attrs", "edge_index", "shifts", "unit_shifts", "cell", "batch", "ptr")
"""What the form that LAMMPS loads takes of a batch."""


class MacePotential(Potential):
    """A committee of `ScaleShiftMACE` networks: their arguments and weights, as `networks.to_arrays` gives them."""

    engine = "mace"
    chunk_atoms = 512
    # That of the atoms is part of the networks.
    above_reference = False
    own_entries = ("networks",)
    formats: ClassVar[dict[str, str]] = {
        "mace": "mace's own .model files, for its calculator and programs",
        "lammps": "TorchScript for `pair_style mace` of LAMMPS",
    }

    def __init__(self, *, networks: list[Network], dtype: str = "float32", **common: Unpack[Common]) -> None:
        import_mace()
        super().__init__(**common)
        self.networks, self.members, self.dtype = networks, len(networks), dtype
        self._models = [from_arrays(config, arrays, self.device, dtype) for config, arrays in networks]
        config = networks[0][0]
        self.radius = float(config["r_max"])
        # An atom feels what its neighbours' neighbours do.
        self.cutoff = self.radius * int(config["num_interactions"])

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies, forces and stresses of all members; see `Potential.evaluate`."""
        energies, forces, stresses = zeros(self.members, part)
        batch = self._batch(part)
        for member, model in enumerate(self._models):
            found = model(batch.clone().to_dict(), compute_stress=stress)
            energies[member], forces[member] = _numpy(found["energy"]), _numpy(found["forces"])
            if stress:
                stresses[member] = voigt(_numpy(found["stress"]))
        return Prediction(part.counts, energies, forces, stresses)

    def _batch(self, frames: Configurations) -> Any:
        """Frames with their neighbour lists, as mace wants them."""
        from mace import data  # noqa: PLC0415
        from mace.tools import AtomicNumberTable, torch_geometric  # noqa: PLC0415

        config = self.networks[0][0]
        table = AtomicNumberTable([int(number) for number in config["atomic_numbers"]])
        heads = config["heads"]
        with default_dtype(getattr(torch, self.dtype)):
            items = [
                data.AtomicData.from_config(
                    data.config_from_atoms(atoms, head_name=heads[0]), z_table=table, cutoff=self.radius, heads=heads
                )
                for atoms in frames.without_labels().without_info(*frames.info).to_atoms()
            ]
        return torch_geometric.Batch.from_data_list(items).to(self.device)

    def as_float64(self) -> MacePotential:
        """Return the weights as they are, evaluated in float64."""
        return (
            self if self.dtype == "float64" else MacePotential(networks=self.networks, dtype="float64", **self.common)
        )

    def write_files(self, folder: Path) -> Mapping[str, object]:
        """Write the weights of each network; return what makes the networks."""
        for member, (_, arrays) in enumerate(self.networks):
            np.savez(folder / f"weights_{member:03d}.npz", allow_pickle=False, **arrays)
        return {"networks": [config for config, _ in self.networks]}

    @classmethod
    def read_files(cls, folder: Path, content: Mapping[str, Any], common: Common) -> Self:
        """Read what `write_files` wrote."""
        networks = []
        for member, config in enumerate(content["networks"]):
            with np.load(folder / f"weights_{member:03d}.npz", allow_pickle=False) as archive:
                networks.append((config, {name: archive[name] for name in archive.files}))
        return cls(networks=networks, dtype=content["dtype"], **common)

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002
        """Write one file for each member: ``mace_000.model``, or ``mace_000.model-lammps.pt``."""
        files = [folder / f"mace_{member:03d}.model" for member in range(self.members)]
        for file, network in zip(files, self.networks, strict=True):
            write_model_file(network, self.dtype, file)
        if format == "mace":
            return files
        program = find_program("mace", "mace-torch", "mace_create_lammps_model")
        for file in files:
            run_program([program, file.name, "--dtype", self.dtype], folder, log="lammps.log")
            file.unlink()
        (folder / "lammps.log").unlink()
        return [file.with_name(f"{file.name}-lammps.pt") for file in files]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002
        """Return mace's own calculator of the ``.model`` files, or one of the TorchScript that LAMMPS loads."""
        import_mace()
        if format == "mace":
            from mace.calculators import MACECalculator  # noqa: PLC0415

            models = [read_model_file(path) for path in sorted(folder.glob("mace_*.model"))]
            kind = str(next(models[0].parameters()).dtype).removeprefix("torch.")
            return MACECalculator(models=models, device="cpu", default_dtype=kind)
        return LammpsFormCalculator(sorted(folder.glob("mace_*.model-lammps.pt")))


def _numpy(tensor: torch.Tensor) -> Any:
    return tensor.detach().double().cpu().numpy()


class LammpsFormCalculator(Calculator):
    """Mean over files of `mace_create_lammps_model`, all atoms local: what LAMMPS loads is checked before it is run."""

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
        energy = float(result["total_energy_local"].detach().sum())
        return energy, _numpy(result["forces"]), _numpy(result["virials"]).reshape(3, 3)
