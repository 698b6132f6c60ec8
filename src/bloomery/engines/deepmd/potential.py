"""The potential that the engine `deepmd` fits: frozen TensorFlow graphs, evaluated in batches."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bloomery.configurations import Configurations
from bloomery.engines.committees import FilePotential, member_name
from bloomery.engines.deepmd.systems import groups
from bloomery.engines.deepmd.training import MODEL_FILE
from bloomery.errors import InputError


class DeepmdPotential(FilePotential):
    """A committee of frozen models."""

    engine = "deepmd"

    @cached_property
    def models(self) -> list[Any]:
        """One evaluator for each member."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("DP_INTER_OP_PARALLELISM_THREADS", "1")
        from deepmd.infer import DeepPot  # noqa: PLC0415

        return [DeepPot(str(self.home / member_name(index, MODEL_FILE))) for index in range(self.members)]

    def evaluate(
        self, part: Configurations, stress: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
        """Energies, forces and stresses; see `FilePotential.evaluate`."""
        energies = np.zeros((self.members, len(part)))
        forces = np.zeros((self.members, part.n_atoms, 3))
        stresses = np.zeros((self.members, len(part), 6)) if stress else None
        offsets = part.offsets
        with np.errstate(divide="ignore"):
            density = np.where(part.volumes > 0, 1 / part.volumes, 0.0)
        for group in groups(part, self.elements, self.cutoff):
            atoms = offsets[group.frames][:, None] + np.arange(len(group.types))
            for member, model in enumerate(self.models):
                energy, force, virial = model.eval(group.coordinates, group.cells, group.types.tolist())[:3]
                energies[member, group.frames] = energy[:, 0]
                forces[member, atoms] = force
                if stresses is not None:
                    tensor = virial.reshape(-1, 3, 3) * -density[group.frames, None, None]
                    tensor = 0.5 * (tensor + tensor.transpose(0, 2, 1))
                    stresses[member, group.frames] = tensor[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        return energies, forces, stresses

    def export(self, format: str, folder: str | Path) -> list[Path]:  # noqa: A002
        """Write the potential for deployment: ``deepmd`` writes the frozen models and how to run them.

        Raises
        ------
        InputError
            If another format is asked for.
        """
        if format != "deepmd":
            raise InputError(f"potentials of the engine 'deepmd' cannot be exported as {format!r}; choose 'deepmd'.")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for index in range(self.members):
            path = folder / f"model_{index}.pb"
            path.write_bytes(self.files[member_name(index, MODEL_FILE)])
            written.append(path)
        reference = ", ".join(f"{element} {energy!r} eV" for element, energy in self.energy_reference.items())
        usage = folder / "README.txt"
        usage.write_text(
            f"Frozen DeePMD-kit models (elements {', '.join(self.elements)}; Å, eV).\n"
            f"Energies are above the energy reference, which is per atom: {reference}. Add it for total energies.\n\n"
            "In ASE:\n\n"
            "    from deepmd.calculator import DP\n"
            '    atoms.calc = DP("model_0.pb")\n\n'
            "In LAMMPS with the package of DeePMD-kit, all members at once; forces come from the first, their spread\n"
            "goes to the file:\n\n"
            f"    pair_style deepmd {' '.join(path.name for path in written)} out_file deviation.out out_freq 10\n"
            f"    pair_coeff * * {' '.join(self.elements)}\n",
            encoding="utf-8",
        )
        return [*written, usage]
