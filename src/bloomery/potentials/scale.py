"""What thresholds on disagreement are measured against: the errors that a potential is known to make."""

from __future__ import annotations

from pydantic import Field

from bloomery.plugins import Settings


class Scale(Settings):
    """How wrong a potential is, and how far its disagreement can be taken for an error.

    An expected error is a disagreement times ``factor``: a standard error per Cartesian component of the force on an
    atom, which compares with RMSE over components.
    """

    error: float | None = Field(default=None, gt=0)
    """Force RMSE of the potential on the probe in eV/Å; ``None`` while unknown."""
    factor: float | None = Field(default=None, gt=0)
    """Calibration factor of the force disagreement, without unit; ``None`` while unknown."""

    @property
    def is_calibrated(self) -> bool:
        """Whether the calibration factor is known."""
        return self.factor is not None

    def disagreement(self, expected_error: float) -> float:
        """Disagreement in eV/Å at which the expected error is this, in eV/Å.

        Before the first calibration the disagreement is taken as it is, as with a factor of one.
        """
        return expected_error / (self.factor or 1.0)
