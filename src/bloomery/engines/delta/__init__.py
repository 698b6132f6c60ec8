"""Potentials for what a baseline leaves: labels less its predictions are fitted by another engine, and added again."""

from bloomery.engines.contract import Engine
from bloomery.engines.delta.settings import DeltaSettings, runs_in
from bloomery.foundations.contract import FoundationSpec
from bloomery.papers import Paper


class Delta(Engine):
    """A baseline that exists, and a potential of another engine for the difference of the labels from it."""

    name = "delta"
    title = "potentials for the difference from a baseline"
    references = (
        Paper(
            "R. Ramakrishnan et al., J. Chem. Theory Comput. 11, 2087 (2015)",
            "10.1021/acs.jctc.5b00099",
        ),
    )
    Settings = DeltaSettings
    settings: DeltaSettings
    has_float64 = False
    fitted_by = "bloomery.engines.delta.fitting:fit"
    potentials = "bloomery.engines.delta.potential:DeltaPotential"

    @property
    def runs_in(self) -> tuple[str, str] | None:
        """That of the baseline, or of the engine of the difference."""
        return runs_in(self.settings)

    @property
    def baseline(self) -> FoundationSpec:
        """What its potentials are added to."""
        return self.settings.baseline

    @property
    def disagrees(self) -> bool:
        """As the potentials of the difference do: the baseline is the same for all members."""
        return self.settings.difference is not None and self.settings.difference.disagrees

    def foreseen(self, elements: list[str], frames: int, atoms: float) -> list[str]:
        """What the engine of the difference says; how long the baseline takes it does not know."""
        difference = self.settings.difference
        told = [] if difference is None else difference.foreseen(elements, frames, atoms)
        kept = [line for line in told if not line.startswith("LAMMPS")]
        return [*kept, f"LAMMPS: not with the baseline {self.settings.baseline.name}; it runs in ASE and here."]
