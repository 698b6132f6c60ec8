"""How far a committee is trusted, for samplers that are driven by one and are not dynamics of their own."""

from __future__ import annotations

from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import Settings
from bloomery.potentials.contract import Potential
from bloomery.potentials.scale import Scale
from bloomery.quantities import ForceInEV
from bloomery.samplers.origin import require_elements


class TrustSettings(Settings):
    """Limits of disagreement."""

    max_disagreement: ForceInEV | None = Field(default=1.0, gt=0)
    """What is sampled ends when the disagreement of any atom is above this, in eV/Å; ``null``: never."""
    max_expected_error: ForceInEV | None = Field(default=None, gt=0)
    """The same, as an expected error of any atom's force in eV/Å per component: its disagreement times the calibration
    factor of the potential; before the first calibration the disagreement is taken as it is."""

    def limit(self, scale: Scale | None) -> float:
        """Turn the limits into one disagreement in eV/Å; infinite without any."""
        limits = [float("inf") if self.max_disagreement is None else self.max_disagreement]
        if self.max_expected_error is not None:
            limits.append((scale or Scale()).disagreement(self.max_expected_error))
        return min(limits)


def require_potential(potential: Potential | None, start: Configurations, sampler: str) -> Potential:
    """Return the potential; `InputError` if there is none, or it does not know all elements of the structures."""
    if potential is None:
        raise InputError(f"{sampler}: needs a potential to drive it; train one first, or sample with rattle_strain.")
    require_elements(potential, start, sampler)
    return potential


def too_unsure(disagreement: float, limit: float) -> str:
    """Say that the committee disagrees too much, or nothing."""
    return "" if disagreement <= limit else f"disagreement of {disagreement:.3f} eV/Å, above {limit:.3f} eV/Å"
