"""An ASE calculator for potentials of any engine."""

from __future__ import annotations

from typing import Any
from weakref import ref

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from bloomery.frames.configurations import Configurations
from bloomery.potentials.prediction import MeanPrediction, Predictor


class CommitteeCalculator(Calculator):
    """Mean energy, forces and stress of a potential's members, and how much the members disagree on each atom's force.

    ``results["disagreement"]`` is in eV/Å, one number per atom. It takes up to as long again as all else, and is left
    out until it is asked for; from then on it is there at each step. Stress is there for frames with a full cell, and
    ``results["extrapolation"]``, one number per atom, where ranges of training frames are known (see `Prediction`).
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress", "disagreement", "extrapolation"]  # noqa: RUF012

    def __init__(self, potential: Predictor, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self.potential = potential
        self._disagreement = False

    def check_state(self, atoms: Atoms, tol: float = 0.0) -> list[str]:  # noqa: ARG002
        """Say what has changed since the last evaluation, to the last bit; ASE's own comparison takes longer."""
        old: Any = self.atoms
        if old is None or len(old) != len(atoms):
            return list(all_changes)
        pairs = {
            "positions": (old.positions, atoms.positions),
            "numbers": (old.numbers, atoms.numbers),
            "cell": (old.cell.array, atoms.cell.array),
            "pbc": (old.pbc, atoms.pbc),
        }
        return [name for name, (before, now) in pairs.items() if not (before == now).all()]

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        """Evaluate all properties at once; only stress and disagreement are left out unless asked for."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        present: Any = self.atoms
        cell, pbc = present.cell.array, present.pbc
        stress = "stress" in (properties or []) and bool(pbc.all())
        self._disagreement |= "disagreement" in (properties or [])
        predict = self.potential.predict if self._disagreement else self.potential.predict_mean
        prediction = predict(
            Configurations(
                counts=np.array([len(present)]),
                numbers=present.numbers.astype(np.int64),
                positions=present.positions,
                cells=cell[None],
                pbc=pbc[None],
            ),
            stress=stress,
        )
        energy = float(prediction.energy[0])
        self.results = _Results(self, {"energy": energy, "free_energy": energy, "forces": prediction.force})
        if not isinstance(prediction, MeanPrediction):
            self.results["disagreement"] = prediction.atom_disagreement
        if prediction.extrapolation is not None:
            self.results["extrapolation"] = prediction.extrapolation
        if prediction.stress is not None:
            self.results["stress"] = prediction.stress[0]


class _Results(dict[str, Any]):
    """Results of a calculator, which evaluates the disagreement once somebody looks for it."""

    def __init__(self, calculator: CommitteeCalculator, known: dict[str, Any]) -> None:
        super().__init__(known)
        self._calculator = ref(calculator)

    def __missing__(self, name: str) -> Any:
        calculator = self._calculator()
        if name != "disagreement" or calculator is None:
            raise KeyError(name)
        return calculator.get_property(name)  # type: ignore[no-untyped-call]
