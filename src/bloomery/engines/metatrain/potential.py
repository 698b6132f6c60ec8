"""The potential that the engine `metatrain` fits: exported metatomic models, evaluated in batches."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from bloomery.engines.file_potential import (
    AboveReferenceCalculator,
    FilePotential,
    member_name,
    write_members,
    write_usage,
)
from bloomery.engines.metatrain.training import EXTENSIONS_FILE, MODEL_FILE, unpack
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.potentials.prediction import Prediction, voigt

EXTENSIONS_FOLDER = "extensions"
USAGE = """In ASE:

    import sphericart.torch  # first: without it the forces of SOAP-BPNN are wrong, and nothing says so
    from metatomic_ase import MetatomicCalculator
    atoms.calc = MetatomicCalculator("model_0.pt", extensions_directory="extensions")

In LAMMPS with its package for metatomic:

    pair_style metatomic model_0.pt extensions extensions
    pair_coeff * * {numbers}

Compare forces with differences of the energy before a long run in a program that does not import Python.
"""
ENERGY, ENSEMBLE = "energy", "energy_ensemble"


class MetatrainPotential(FilePotential):
    """A committee of exported models, or one model with an ensemble of last layers."""

    engine = "metatrain"
    formats: ClassVar[dict[str, str]] = {"metatomic": "metatomic models for ASE, LAMMPS, i-PI and torch-sim"}
    chunk_atoms = 1024
    any_precision = True

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        settings = self.details["settings"]
        self.drawn = settings["uncertainty"] == "llpr"
        self.learns_rotations = settings["architecture"] == "pet"

    @cached_property
    def models(self) -> list[Any]:
        """The models, one for all members where their last layers are drawn."""
        # Without this import an exported SOAP-BPNN gives wrong forces, and says nothing.
        import sphericart.torch  # noqa: F401, PLC0415
        from metatomic.torch import load_atomistic_model  # noqa: PLC0415

        result = []
        for index in range(1 if self.drawn else self.members):
            extensions = self.home / f"extensions_{index}"
            unpack(self.files[member_name(index, EXTENSIONS_FILE)], extensions)
            path = self.home / member_name(index, MODEL_FILE)
            model = load_atomistic_model(str(path), extensions_directory=str(extensions))
            result.append(model.to(device=self.device, dtype=getattr(torch, self.dtype)))
        return result

    def range(self) -> float:
        """How far an atom feels another in Å: more than one cutoff for models that pass messages."""
        return max(float(model.capabilities().engine_interaction_range("angstrom")) for model in self.models)

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies, forces and stresses; see `Potential.evaluate`."""
        # The optimising executor changes the last digits after the first calls, and gains nothing here.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            found = [self._evaluate(model, part, stress) for model in self.models]
        energies, forces, stresses = (np.concatenate([values[place] for values in found]) for place in range(3))
        return Prediction(part.counts, energies, forces, stresses)

    def _evaluate(
        self, model: Any, part: Configurations, stress: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Differentiate the energies of one model by positions and strains."""
        from metatomic.torch import ModelOutput, System  # noqa: PLC0415
        from vesin.metatomic import neighbor_lists_for_model  # noqa: PLC0415

        kind = getattr(torch, self.dtype)
        offsets = part.offsets
        full = part.pbc.all(axis=1) & (part.volumes > 0)
        systems, positions, strains = [], [], []
        for frame in range(len(part)):
            rows = slice(offsets[frame], offsets[frame + 1])
            strain = torch.eye(3, dtype=kind, device=self.device, requires_grad=stress)
            place = torch.tensor(part.positions[rows], dtype=kind, device=self.device, requires_grad=True)
            # metatomic wants open directions without a cell vector.
            cell = np.where(part.pbc[frame][:, None], part.cells[frame], 0.0)
            systems.append(
                System(
                    types=torch.tensor(part.numbers[rows], dtype=torch.int32, device=self.device),
                    positions=place @ strain,
                    cell=torch.tensor(cell, dtype=kind, device=self.device) @ strain,
                    pbc=torch.tensor(part.pbc[frame], device=self.device),
                )
            )
            positions.append(place)
            strains.append(strain)
        # Without a skin, which would let an earlier frame decide on the order of the pairs, and so on the last digits.
        for neighbours in neighbor_lists_for_model("angstrom", model, skin=0.0):
            for system in systems:
                neighbours.add_neighbor_list(system)
        name = ENSEMBLE if self.drawn else ENERGY
        # The module inside takes any precision; units are Å and eV, as it was trained.
        outputs = {name: ModelOutput(unit="eV", sample_kind="system")}
        energies = model.module(systems, outputs, None)[name].block().values
        wanted = [*positions, *strains] if stress else positions
        forces = np.zeros((energies.shape[1], part.n_atoms, 3))
        stresses = np.zeros((energies.shape[1], len(part), 6))
        for member in range(energies.shape[1]):
            gradients = torch.autograd.grad(
                energies[:, member].sum(), wanted, retain_graph=member + 1 < energies.shape[1], allow_unused=True
            )
            by_place = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, wanted, strict=True)]
            forces[member] = -torch.cat(by_place[: len(part)]).double().cpu().numpy()
            if stress:
                virials = torch.stack(by_place[len(part) :]).double().cpu().numpy()
                virials = 0.5 * (virials + virials.transpose(0, 2, 1))
                stresses[member, full] = voigt(virials)[full] / part.volumes[full, None]
        return energies.detach().double().cpu().numpy().T, forces, stresses

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002, ARG002
        """Write the exported models, the extensions that they need, and how to run them."""
        written = write_members(self, MODEL_FILE, folder)
        unpack(self.files[member_name(0, EXTENSIONS_FILE)], folder / EXTENSIONS_FOLDER)
        extensions = [path for path in sorted((folder / EXTENSIONS_FOLDER).rglob("*")) if path.is_file()]
        numbers = " ".join(str(number) for number in symbols_to_numbers(self.elements))
        usage = USAGE.format(numbers=numbers)
        return [*written, *extensions, *write_usage(self, folder, usage)]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002, ARG003
        """Return metatomic's calculator of the exported models, in their mean."""
        import sphericart.torch  # noqa: F401, PLC0415
        from metatomic_ase import MetatomicCalculator  # noqa: PLC0415

        calculators = [
            MetatomicCalculator(str(path), extensions_directory=str(folder / EXTENSIONS_FOLDER), device="cpu")
            for path in sorted(folder.glob("model_*.pt"))
        ]
        return AboveReferenceCalculator.of_export(calculators, folder)
