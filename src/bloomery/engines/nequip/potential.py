"""The potential that the engine `nequip` fits: NequIP's models, evaluated in batches."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator

from bloomery.engines.file_potential import AboveReferenceCalculator, FilePotential, write_members, write_usage
from bloomery.engines.nequip.model import MODEL_FILE, PACKAGE_FILE, WEIGHTS_FILE, build, load_weights
from bloomery.engines.programs import find_program, run_program
from bloomery.frames.configurations import Configurations
from bloomery.potentials.prediction import Prediction, voigt, zeros

COMPILED = "model_{index}.nequip.pt2"
USAGE = """Packages (.nequip.zip) are compiled where they run, which takes a C++ compiler and a minute:

    nequip-compile model_0.nequip.zip model_0.nequip.pt2 --mode aotinductor --device cpu --target ase
    nequip-compile model_0.nequip.zip model_0.nequip.pt2 --mode aotinductor --device cuda --target pair_nequip

The first is for ASE, the second for LAMMPS with pair_nequip. In ASE:

    from nequip.integrations.ase import NequIPCalculator
    atoms.calc = NequIPCalculator.from_compiled_model("model_0.nequip.pt2", device="cpu")
"""


class NequipPotential(FilePotential):
    """A committee of NequIP models."""

    engine = "nequip"
    chunk_atoms = 512
    any_precision = True
    formats: ClassVar[dict[str, str]] = {
        "nequip": "NequIP packages, and models compiled for ASE on this machine's processor",
        "nequip_package": "NequIP packages, to be compiled for ASE or LAMMPS where they run",
    }

    @cached_property
    def models(self) -> list[Any]:
        """One model for each member."""
        result = []
        for index in range(self.members):
            files = self.member_files(index)
            model = build({**json.loads(files[MODEL_FILE]), "model_dtype": self.dtype})
            load_weights(model, files[WEIGHTS_FILE])
            result.append(model.eval().to(self.device))
        return result

    @cached_property
    def transforms(self) -> list[Any]:
        """What turns atoms into NequIP's graphs."""
        from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform  # noqa: PLC0415

        reach = json.loads(self.member_files(0)[MODEL_FILE])["r_max"]
        return [ChemicalSpeciesToAtomTypeMapper(model_type_names=self.elements), NeighborListTransform(r_max=reach)]

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies, forces and stresses; see `Potential.evaluate`."""
        from nequip.data import AtomicDataDict, from_ase  # noqa: PLC0415

        graphs = []
        for atoms in part.without_labels().without_info(*part.info).to_atoms():
            graph = from_ase(atoms)
            for transform in self.transforms:
                graph = transform(graph)
            graphs.append(graph)
        energies, forces, stresses = zeros(self.members, part)
        full = part.pbc.all(axis=1) & (part.volumes > 0)
        # Frames with and without a cell do not go into one batch; the stress of the latter has no meaning.
        for chosen in (np.flatnonzero(full), np.flatnonzero(~full)):
            if not len(chosen):
                continue
            batch = AtomicDataDict.to_(
                AtomicDataDict.batched_from_list([graphs[frame] for frame in chosen]), self.device
            )
            atoms_of = np.flatnonzero(np.isin(part.frame_of_atom, chosen))
            for member, model in enumerate(self.models):
                found = model(dict(batch))
                energies[member, chosen] = found["total_energy"].detach().double().cpu().numpy()[:, 0]
                forces[member, atoms_of] = found["forces"].detach().double().cpu().numpy()
                if stress and full[chosen[0]]:
                    stresses[member, chosen] = voigt(found["stress"].detach().double().cpu().numpy())
        return Prediction(part.counts, energies, forces, stresses)

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002
        """Write packages, and how to run them; compile them if that is asked for."""
        packages = write_members(self, PACKAGE_FILE, folder)
        written = [*packages, *write_usage(self, folder, USAGE)]
        if format == "nequip":
            program = find_program("nequip", "nequip", "nequip-compile")
            for index, package in enumerate(packages):
                name = COMPILED.format(index=index)
                more = ["--mode", "aotinductor", "--device", self.device, "--target", "ase"]
                run_program([program, package.name, name, *more], folder, log="compile.log")
                written.append(folder / name)
            (folder / "compile.log").unlink()
        return written

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator | None:  # noqa: A002
        """Return NequIP's calculator of the compiled models, in their mean; packages have none."""
        if format != "nequip":
            return None
        from nequip.integrations.ase import NequIPCalculator  # noqa: PLC0415

        calculators = [
            NequIPCalculator.from_compiled_model(str(path), device="cpu") for path in sorted(folder.glob("*.pt2"))
        ]
        return AboveReferenceCalculator.of_export(calculators, folder)
