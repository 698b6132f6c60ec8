"""The potential that the engine `gap` fits: evaluation by QUIP, files and export."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import ase
import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from bloomery.engines.ase_potential import FrameByFramePotential, Values
from bloomery.engines.preparation import boxed
from bloomery.errors import InputError
from bloomery.potentials.contract import POTENTIAL_FILE
from bloomery.potentials.prediction import Prediction

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Fit:
    """The files of one fit: the XML text, and the sparse points beside it by the end of their names."""

    xml: str
    sparse: dict[str, bytes]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read ``file`` and the files of sparse points beside it.

        Raises
        ------
        InputError
            If there is no such file.
        """
        if not file.is_file():
            raise InputError(f"{file}: is missing; the potential is not complete.")
        beside = sorted(file.parent.glob(f"{file.name}.sparseX.*"))
        return cls(
            file.read_text(encoding="utf-8"), {path.name.removeprefix(file.name): path.read_bytes() for path in beside}
        )

    def write(self, file: Path) -> list[Path]:
        """Write the files; return their paths. The XML names those beside it by their whole names."""
        names = {old: f"{file.name}{old}" for old in self.sparse}
        text = self.xml
        for suffix, name in names.items():
            text = _renamed(text, suffix, name)
        file.write_text(text, encoding="utf-8")
        written = [file]
        for suffix, content in self.sparse.items():
            written.append(file.with_name(names[suffix]))
            written[-1].write_bytes(content)
        return written


def _renamed(text: str, suffix: str, name: str) -> str:
    """Replace the name of a file of sparse points that ends in ``suffix``."""
    return re.sub(rf'"[^"]*{re.escape(suffix)}"', f'"{name}"', text)


class GapPotential(FrameByFramePotential):
    """One GAP with its predictive variance, or a committee of several.

    Parameters
    ----------
    sigma_unit
        What turns the standard deviation of an atom's energy in eV into one of its force in eV/Å, in 1/Å; ``None`` for
        a potential without predictive variance.
    details
        What else `POTENTIAL_FILE` says: settings, seed, what it was trained on.
    """

    engine = "gap"
    dtype = "float64"
    formats: ClassVar[dict[str, str]] = {"gap": "gap.xml with its sparse points, for QUIP, quippy and LAMMPS"}

    def __init__(
        self,
        *,
        fits: list[Fit],
        elements: list[str],
        energy_reference: dict[str, float],
        cutoff: float,
        sigma_unit: float | None = None,
        versions: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.fits, self.members = fits, len(fits)
        self.elements, self.energy_reference = elements, energy_reference
        self.cutoff, self.sigma_unit = cutoff, sigma_unit if len(fits) == 1 else None
        self.versions, self.details = versions or {}, details or {}
        self._evaluators: list[Any] = []

    # -- evaluation -----------------------------------------------------------------------------------------------

    def evaluate(self, member: int, atoms: ase.Atoms, *, stress: bool) -> Values:
        """Evaluate by QUIP, which takes every cell for periodic."""
        if not self._evaluators:
            self._evaluators = [_evaluator(fit) for fit in self.fits]
        calculator = self._evaluators[member]
        wants = ["energy", "forces", *(["stress"] if stress else [])]
        varied = self.sigma_unit is not None
        calculator.calculate(
            boxed(atoms, self.cutoff),
            properties=wants,
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
        return Prediction(
            prediction.counts,
            prediction.energies,
            prediction.forces,
            prediction.stresses,
            energy_sigma=np.sqrt(energy),
            force_sigma=self.sigma_unit * np.sqrt(local_variances),
        )

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the potential's files into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for member, fit in enumerate(self.fits):
            fit.write(folder / f"gap_{member:03d}.xml")
        content = {
            "engine": self.engine,
            "format_version": FORMAT_VERSION,
            "elements": self.elements,
            "energy_reference": self.energy_reference,
            "members": self.members,
            "dtype": self.dtype,
            "cutoff": self.cutoff,
            "sigma_unit": self.sigma_unit,
            "units": {"length": "Å", "energy": "eV"},
            "versions": self.versions,
            **self.details,
        }
        (folder / POTENTIAL_FILE).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> GapPotential:
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
            known = ("elements", "energy_reference", "cutoff", "sigma_unit", "versions")
            other = ("engine", "format_version", "members", "dtype", "units")
            return cls(
                fits=[Fit.read(folder / f"gap_{member:03d}.xml") for member in range(content["members"])],
                details={key: value for key, value in content.items() if key not in (*known, *other)},
                **{key: content[key] for key in known},
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder}: is not a potential of the engine 'gap' ({error}).") from error

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002, ARG002
        """Write ``gap.xml``, or ``gap_000.xml`` and so on for a committee, with the sparse points beside them."""
        names = ["gap.xml"] if self.members == 1 else [f"gap_{member:03d}.xml" for member in range(self.members)]
        return [path for fit, name in zip(self.fits, names, strict=True) for path in fit.write(folder / name)]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002, ARG003
        """Return quippy's calculator of what `write_export` wrote; of a committee, of its mean."""
        from ase.calculators.mixing import AverageCalculator  # noqa: PLC0415

        found: list[Calculator] = [_quippy(path) for path in sorted(folder.glob("gap*.xml"))]
        if len(found) == 1:
            return found[0]
        mean: Any = AverageCalculator(found)
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
