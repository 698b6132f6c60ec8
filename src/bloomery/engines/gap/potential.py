"""The potential that the engine `gap` fits: evaluation by QUIP, files and export."""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import ase
import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from bloomery.engines.ase_potential import FrameByFramePotential, Values
from bloomery.engines.preparation import boxed
from bloomery.errors import InputError
from bloomery.potentials.contract import Common
from bloomery.potentials.prediction import Prediction


@dataclass(frozen=True)
class Fit:
    """The files of one fit: the XML text, and the sparse points beside it by the end of their names."""

    xml: str
    sparse: dict[str, bytes]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read ``file`` and the files of sparse points beside it; `InputError` if there is no such file."""
        if not file.is_file():
            raise InputError(f"{file}: is missing; the potential is not complete.")
        beside = sorted(file.parent.glob(f"{file.name}.sparseX.*"))
        return cls(
            file.read_text(encoding="utf-8"), {path.name.removeprefix(file.name): path.read_bytes() for path in beside}
        )

    def write(self, file: Path) -> list[Path]:
        """Write the files; return their paths. The XML names those beside it by their whole names."""
        text, written = self.xml, [file]
        for suffix, content in self.sparse.items():
            written.append(file.with_name(f"{file.name}{suffix}"))
            written[-1].write_bytes(content)
            text = re.sub(rf'"[^"]*{re.escape(suffix)}"', f'"{written[-1].name}"', text)
        file.write_text(text, encoding="utf-8")
        return written


class GapPotential(FrameByFramePotential):
    """One GAP with its predictive variance, or a committee of several.

    ``sigma_unit`` in 1/Å turns the standard deviation of an atom's energy in eV into one of its force in eV/Å; it is
    ``None`` for a potential without predictive variance.
    """

    engine = "gap"
    dtype = "float64"
    own_entries = ("sigma_unit",)
    formats: ClassVar[dict[str, str]] = {"gap": "gap.xml with its sparse points, for QUIP, quippy and LAMMPS"}

    def __init__(
        self, *, fits: list[Fit], cutoff: float, sigma_unit: float | None = None, **common: Unpack[Common]
    ) -> None:
        super().__init__(**common)
        self.fits, self.members = fits, len(fits)
        self.cutoff, self.sigma_unit = cutoff, sigma_unit if len(fits) == 1 else None
        self._evaluators: list[Any] = []

    def evaluate_frame(self, member: int, atoms: ase.Atoms, *, stress: bool) -> Values:
        """Evaluate by QUIP, which takes every cell for periodic."""
        if not self._evaluators:
            self._evaluators = [_evaluator(fit) for fit in self.fits]
        calculator = self._evaluators[member]
        varied = self.sigma_unit is not None
        calculator.calculate(
            boxed(atoms, self.cutoff),
            properties=["energy", "forces", *(["stress"] if stress else [])],
            system_changes=["positions", "numbers", "cell"],
            calc_args="local_gap_variance" if varied else "",
        )
        return Values(
            float(calculator.results["energy"]),
            np.array(calculator.results["forces"], dtype=float),
            np.array(calculator.results["stress"], dtype=float) if stress else None,
            np.array(calculator.extra_results["atoms"]["local_gap_variance"], dtype=float) if varied else None,
        )

    def finish(self, prediction: Prediction, local_variances: NDArray[np.float64]) -> Prediction:
        """Attach the predictive variance: of the energy as if atoms were independent, of forces by the unit."""
        if self.sigma_unit is None:
            return prediction
        frames = np.repeat(np.arange(len(prediction.counts)), prediction.counts)
        energy = np.bincount(frames, local_variances, minlength=len(prediction.counts))
        return replace(prediction, energy_sigma=np.sqrt(energy), force_sigma=self.sigma_unit * np.sqrt(local_variances))

    def write_files(self, folder: Path) -> Mapping[str, object]:
        """Write the files of each fit; return the unit of the variance."""
        for member, fit in enumerate(self.fits):
            fit.write(folder / f"gap_{member:03d}.xml")
        return {"sigma_unit": self.sigma_unit}

    @classmethod
    def read_files(cls, folder: Path, content: Mapping[str, Any], common: Common) -> Self:
        """Read the files of each fit."""
        fits = [Fit.read(folder / f"gap_{member:03d}.xml") for member in range(content["members"])]
        return cls(fits=fits, cutoff=content["cutoff"], sigma_unit=content["sigma_unit"], **common)

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002, ARG002
        """Write ``gap.xml``, or ``gap_000.xml`` and so on for a committee, with the sparse points beside them."""
        names = ["gap.xml"] if self.members == 1 else [f"gap_{member:03d}.xml" for member in range(self.members)]
        return [path for fit, name in zip(self.fits, names, strict=True) for path in fit.write(folder / name)]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002, ARG003
        """Return quippy's calculator of what `write_export` wrote; of a committee, of its mean."""
        from ase.calculators.mixing import AverageCalculator  # noqa: PLC0415

        found = [_quippy(path) for path in sorted(folder.glob("gap*.xml"))]
        mean: Any = found[0] if len(found) == 1 else AverageCalculator(found)
        return mean


def _evaluator(fit: Fit) -> Any:
    """Make quippy's calculator of a fit. QUIP reads files only, and has read them all when this returns."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gap.xml"
        fit.write(file)
        return _quippy(file)


def _quippy(file: Path) -> Any:
    from quippy.potential import Potential as QuippyPotential  # noqa: PLC0415

    with contextlib.redirect_stdout(io.StringIO()):
        return QuippyPotential(param_filename=str(file))
