"""The potential that the engine `mace` fits: batched evaluation, files and export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar
from zipfile import BadZipFile

import numpy as np
import torch
from ase.calculators.calculator import Calculator

from bloomery.engines.mace.networks import (
    Arrays,
    default_dtype,
    from_arrays,
    import_mace,
    read_model_file,
    write_model_file,
)
from bloomery.engines.programs import find_program, run_program
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import POTENTIAL_FILE, Potential
from bloomery.potentials.prediction import Prediction

FORMAT_VERSION = 1
CHUNK_ATOMS = 512
"""Frames are evaluated together up to this many atoms."""
VOIGT = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])


class MacePotential(Potential):
    """A committee of `ScaleShiftMACE` networks.

    Parameters
    ----------
    networks
        Arguments and weights of each member; see `bloomery.engines.mace.networks.to_arrays`.
    """

    engine = "mace"
    formats: ClassVar[dict[str, str]] = {
        "mace": "mace's own .model files, for its calculator and programs",
        "lammps": "TorchScript for `pair_style mace` of LAMMPS",
    }

    def __init__(
        self,
        *,
        networks: list[tuple[dict[str, Any], Arrays]],
        elements: list[str],
        energy_reference: dict[str, float],
        dtype: str = "float32",
        device: str = "cpu",
        versions: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        import_mace()
        self.networks, self.members = networks, len(networks)
        self.elements, self.energy_reference = elements, energy_reference
        self.dtype, self.device = dtype, device
        self.versions, self.details = versions or {}, details or {}
        self._models = [from_arrays(config, arrays, device, dtype) for config, arrays in networks]
        config = networks[0][0]
        self.radius = float(config["r_max"])
        # An atom feels what its neighbours' neighbours do.
        self.cutoff = self.radius * int(config["num_interactions"])

    # -- evaluation -----------------------------------------------------------------------------------------------

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies, forces and stresses of all members; see `Potential.predict`."""
        unknown = self.unknown_element(configurations)
        if unknown is not None:
            raise InputError(unknown)
        shape = (self.members, len(configurations))
        energies, forces = np.zeros(shape), np.zeros((self.members, configurations.n_atoms, 3))
        stresses = np.zeros((*shape, 6)) if stress else None
        full = configurations.pbc.all(axis=1) & (configurations.volumes > 0)
        offsets = configurations.offsets
        filled = np.flatnonzero(configurations.counts)
        for chunk in _chunks(filled, configurations.counts):
            batch = self._batch(configurations[chunk])
            rows = np.concatenate([np.arange(offsets[frame], offsets[frame + 1]) for frame in chunk])
            for member, model in enumerate(self._models):
                found = model(batch.clone().to_dict(), compute_stress=stress)
                energies[member, chunk] = _numpy(found["energy"])
                forces[member, rows] = _numpy(found["forces"])
                if stresses is not None:
                    tensor = _numpy(found["stress"])[:, VOIGT[0], VOIGT[1]]
                    stresses[member, chunk] = np.where(full[chunk, None], tensor, 0.0)
        return Prediction(configurations.counts, energies, forces, stresses)

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
        if self.dtype == "float64":
            return self
        return MacePotential(
            networks=self.networks,
            elements=self.elements,
            energy_reference=self.energy_reference,
            dtype="float64",
            device=self.device,
            versions=self.versions,
            details=self.details,
        )

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the potential's files into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for member, (_, arrays) in enumerate(self.networks):
            np.savez(folder / f"weights_{member:03d}.npz", allow_pickle=False, **arrays)
        content = {
            "engine": self.engine,
            "format_version": FORMAT_VERSION,
            "elements": self.elements,
            "energy_reference": self.energy_reference,
            "members": self.members,
            "dtype": self.dtype,
            "cutoff": self.cutoff,
            "networks": [config for config, _ in self.networks],
            "units": {"length": "Å", "energy": "eV"},
            "versions": self.versions,
            **self.details,
        }
        (folder / POTENTIAL_FILE).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> MacePotential:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or broken, or written by a later format.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / POTENTIAL_FILE).read_text(encoding="utf-8"))
            if content["format_version"] > FORMAT_VERSION:
                raise InputError(f"{folder}: was written by a later version of bloomery; update this one.")
            networks = []
            for member, config in enumerate(content["networks"]):
                with np.load(folder / f"weights_{member:03d}.npz", allow_pickle=False) as archive:
                    networks.append((config, {name: archive[name] for name in archive.files}))
            known = ("elements", "energy_reference", "dtype", "versions")
            other = ("engine", "format_version", "members", "cutoff", "networks", "units")
            return cls(
                networks=networks,
                device=device,
                details={key: value for key, value in content.items() if key not in (*known, *other)},
                **{key: content[key] for key in known},
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise InputError(f"{folder}: is not a potential of the engine 'mace' ({error}).") from error

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002
        """Write one file for each member: ``mace_000.model``, or ``mace_000.model-lammps.pt``."""
        files = self.write_models(folder)
        if format == "mace":
            return files
        program = find_program("mace", "mace-torch", "mace_create_lammps_model")
        written = []
        for file in files:
            run_program([program, file.name, "--dtype", self.dtype], folder, log="lammps.log")
            written.append(file.with_name(f"{file.name}-lammps.pt"))
            file.unlink()
        (folder / "lammps.log").unlink()
        return written

    def write_models(self, folder: Path) -> list[Path]:
        """Write the members as mace's own ``.model`` files."""
        files = []
        for member, network in enumerate(self.networks):
            files.append(folder / f"mace_{member:03d}.model")
            write_model_file(network, self.dtype, files[-1])
        return files

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002
        """Return mace's own calculator of the ``.model`` files, or one of the TorchScript that LAMMPS loads."""
        import_mace()
        if format == "mace":
            from mace.calculators import MACECalculator  # noqa: PLC0415

            models = [read_model_file(path) for path in sorted(folder.glob("mace_*.model"))]
            kind = str(next(models[0].parameters()).dtype).removeprefix("torch.")
            return MACECalculator(models=models, device="cpu", default_dtype=kind)
        from bloomery.engines.mace.lammps import LammpsFormCalculator  # noqa: PLC0415

        return LammpsFormCalculator(sorted(folder.glob("mace_*.model-lammps.pt")))


def _chunks(frames: Any, counts: Any) -> list[Any]:
    """Split frames into runs of at most `CHUNK_ATOMS` atoms, one frame at least."""
    result: list[list[int]] = []
    atoms = CHUNK_ATOMS + 1
    for frame in frames:
        if atoms + counts[frame] > CHUNK_ATOMS:
            result.append([])
            atoms = 0
        result[-1].append(int(frame))
        atoms += int(counts[frame])
    return [np.array(part) for part in result]


def _numpy(tensor: torch.Tensor) -> Any:
    return tensor.detach().double().cpu().numpy()
