"""The potential of an external engine: the files that were kept, evaluated as the definition says."""

from __future__ import annotations

import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray
from pydantic import ValidationError

from bloomery.engines.external.definition import Command, Definition, PredictionFile, built_in, fill
from bloomery.engines.external.running import run_command, write_frames
from bloomery.engines.file_potential import FilePotential, write_contents, write_usage
from bloomery.engines.preparation import closed_or_open
from bloomery.errors import BloomeryError, InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.prediction import Prediction, zeros
from bloomery.reference.calculators import CalculatorSpec

Values = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Energies ``(n,)``, forces ``(a, 3)`` and stresses ``(n, 6)`` of one member, in eV and Å."""


class ExternalPotential(FilePotential):
    """A committee of what an external program wrote."""

    engine = "external"

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        try:
            self.definition = Definition.model_validate(self.details["settings"]["definition"])
        except (ValidationError, KeyError) as error:
            raise InputError(f"the potential carries no usable definition ({error}).") from error
        self.definition.check_package()
        self.learns_rotations = self.definition.learns_rotations
        self.parameters = {**self.definition.parameters, **self.details["settings"]["values"]}
        self.formats = {name: rule.about for name, rule in self.definition.exports.items()}  # type: ignore[misc]

    @cached_property
    def folders(self) -> list[Path]:
        """A folder for each member, with its files under the names that the program gave them."""
        members = range(self.members)
        return [write_contents(self.member_files(index), self.home / f"files_{index}") for index in members]

    @cached_property
    def calculators(self) -> list[Any]:
        """An ASE calculator for each member, where the definition names one."""
        rule = self.definition.predict
        made = []
        for folder in self.folders:
            known = self._values(folder)
            filled = {name: fill(v, known) if isinstance(v, str) else v for name, v in rule.arguments.items()}
            made.append(CalculatorSpec(name=str(rule.calculator), arguments=filled).make())
        return made

    def _values(self, folder: Path) -> dict[str, object]:
        n_train = self.details.get("trained_on", {}).get("frames", 0)
        return {**self.parameters, **built_in(0, self.device, "1", self.elements, n_train, folder)}

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies, forces and stresses; see `Potential.evaluate`."""
        rule = self.definition.predict
        found = [
            self._by_calculator(part, index, stress)
            if rule.command is None or rule.output is None
            else self._by_program(part, index, rule.command, rule.output)
            for index in range(self.members)
        ]
        energies, forces, stresses = (np.array([values[place] for values in found]) for place in range(3))
        return Prediction(part.counts, energies, forces, stresses)

    def _by_calculator(self, part: Configurations, index: int, stress: bool) -> Values:
        (energies,), (forces,), (stresses,) = zeros(1, part)
        offsets = part.offsets
        for frame, bare in enumerate(part.without_labels().without_info(*part.info).to_atoms()):
            atoms = closed_or_open(bare, self.cutoff)
            atoms.calc = self.calculators[index]
            energies[frame] = atoms.get_potential_energy()
            forces[offsets[frame] : offsets[frame + 1]] = atoms.get_forces()
            if stress and bare.pbc.all():
                stresses[frame] = atoms.get_stress()
        return energies, forces, stresses

    def _by_program(self, part: Configurations, index: int, command: Command, output: PredictionFile) -> Values:
        units = self.definition.units
        with tempfile.TemporaryDirectory(prefix="bloomery-") as temporary:
            folder = write_contents(self.member_files(index), Path(temporary))
            write_frames(part, folder / self.definition.predict.input, units, self.cutoff)
            run_command(command, folder, self._values(folder))
            frames = _read(folder / output.file, len(part))
        (energies,), (forces,), (stresses,) = zeros(1, part)
        offsets = part.offsets
        for frame, atoms in enumerate(frames):
            known = {**atoms.arrays, **atoms.info, **(atoms.calc.results if atoms.calc is not None else {})}
            for key in (output.energy, output.forces, output.stress):
                if key is not None and key not in known:
                    raise InputError(
                        f"definition.predict.output: frame {frame} of {output.file} has no {key!r}; it has "
                        f"{', '.join(sorted(known))}."
                    )
            energies[frame] = float(known[output.energy]) * units.in_ev
            force = np.asarray(known[output.forces], dtype=float)
            if force.shape != (int(part.counts[frame]), 3):
                raise InputError(f"definition.predict.output: frame {frame} has {len(force)} forces of other atoms.")
            forces[offsets[frame] : offsets[frame + 1]] = force * units.in_ev / units.in_angstrom
            if output.stress is not None:
                tensor = np.asarray(known[output.stress], dtype=float).ravel()
                voigt = tensor[[0, 4, 8, 5, 2, 1]] if tensor.size == 9 else tensor
                stresses[frame] = voigt * units.in_ev / units.in_angstrom**3
        return energies, forces, stresses

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002
        """Write the files of a format, a folder for each member."""
        rule = self.definition.exports[format]
        written = []
        for index, source in enumerate(self.folders):
            place = folder / f"model_{index}"
            place.mkdir(exist_ok=True)
            if rule.command is not None:
                run_command(rule.command, source, self._values(source))
            for name in rule.files:
                if not (source / name).is_file():
                    raise BloomeryError(f"the export {format!r} wrote no {name}; correct exports of the definition.")
                shutil.copyfile(source / name, place / name)
                written.append(place / name)
        return [*written, *write_usage(self, folder, f"{rule.about}.\n")]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator | None:  # noqa: A002, ARG003
        """Return nothing: how exported files are run is up to their program."""
        return None


def _read(path: Path, expected: int) -> list[Any]:
    if not path.is_file():
        raise InputError(f"definition.predict.output: the program wrote no {path.name}.")
    frames = ase.io.read(path, index=":", format="extxyz")
    if not isinstance(frames, list) or len(frames) != expected:
        raise InputError(f"definition.predict.output: {path.name} holds {len(frames)} frames, not {expected}.")
    return frames
