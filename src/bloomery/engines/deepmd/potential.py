"""The potential that the engine `deepmd` fits: frozen TensorFlow graphs, evaluated in batches."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator

from bloomery.engines.deepmd.systems import groups
from bloomery.engines.deepmd.training import MODEL_FILE
from bloomery.engines.file_potential import (
    AboveReferenceCalculator,
    FilePotential,
    member_name,
    write_members,
    write_usage,
)
from bloomery.frames.configurations import Configurations
from bloomery.potentials.prediction import Prediction, voigt, zeros

USAGE = """In ASE:

    from deepmd.calculator import DP
    atoms.calc = DP("model_0.pb")

In LAMMPS with the package of DeePMD-kit, all members at once (the first gives the forces, the file the deviation):

    pair_style deepmd {models} out_file deviation.out out_freq 10
    pair_coeff * * {elements}
"""


class DeepmdPotential(FilePotential):
    """A committee of frozen models."""

    engine = "deepmd"
    formats: ClassVar[dict[str, str]] = {"deepmd": "frozen DeePMD-kit models for ASE, LAMMPS and i-PI"}

    @cached_property
    def models(self) -> list[Any]:
        """One evaluator for each member."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("DP_INTER_OP_PARALLELISM_THREADS", "1")
        from deepmd.infer import DeepPot  # noqa: PLC0415

        return [DeepPot(str(self.home / member_name(index, MODEL_FILE))) for index in range(self.members)]

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies, forces and stresses; see `Potential.evaluate`."""
        energies, forces, stresses = zeros(self.members, part)
        offsets = part.offsets
        with np.errstate(divide="ignore"):
            density = np.where(part.volumes > 0, 1 / part.volumes, 0.0)
        for group in groups(part, self.elements, self.cutoff):
            atoms = offsets[group.frames][:, None] + np.arange(len(group.types))
            for member, model in enumerate(self.models):
                energy, force, virial = model.eval(group.coordinates, group.cells, group.types.tolist())[:3]
                energies[member, group.frames] = energy[:, 0]
                forces[member, atoms] = force
                if stress:
                    tensor = virial.reshape(-1, 3, 3) * -density[group.frames, None, None]
                    stresses[member, group.frames] = voigt(0.5 * (tensor + tensor.transpose(0, 2, 1)))
        return Prediction(part.counts, energies, forces, stresses)

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002, ARG002
        """Write the frozen models, and how to run them."""
        written = write_members(self, MODEL_FILE, folder)
        usage = USAGE.format(models=" ".join(path.name for path in written), elements=" ".join(self.elements))
        return [*written, *write_usage(self, folder, usage)]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002, ARG003
        """Return DeePMD-kit's calculator of the frozen models, in their mean."""
        from deepmd.calculator import DP  # noqa: PLC0415

        calculators = [DP(str(path)) for path in sorted(folder.glob("model_*.pb"))]
        return AboveReferenceCalculator.of_export(calculators, folder)
