"""When more labels are no longer worth their price: what the learning curve promises of the next batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from bloomery.campaign.learning_curves import PowerLaw, fit_history
from bloomery.campaign.record import Record
from bloomery.campaign.targets import TARGETS
from bloomery.plugins import Settings
from bloomery.quantities import Share, Unit
from bloomery.statistics import Number

UNIT = TARGETS["forces"].unit


class Plateau(Settings):
    """Limits on what the next batch of labels is expected to gain; the campaign ends when all that are given hold.

    The learning curve, a power law through the latest iterations, says how much lower the force RMSE on the probe will
    be after one more batch; what counts is the upper bound of its 95 % interval.
    """

    gain: Annotated[Share, Field(gt=0, lt=1)] | None = None
    """Share of the error that the next batch takes away."""
    per_label: Annotated[float, Unit("meV/Å"), Field(gt=0)] | None = None
    """Force RMSE in meV/Å that one label takes away."""
    per_core_hour: Annotated[float, Unit("meV/Å"), Field(gt=0)] | None = None
    """Force RMSE in meV/Å that one core-hour of labelling takes away, by the times in the ledger."""
    cores: int = Field(default=1, ge=1)
    """Cores that a label is computed on, for `per_core_hour`; in a campaign file by default those of the labeller's
    program, as `codes` has them."""
    iterations: int = Field(default=5, ge=3)
    """The power law is fitted to so many of the latest iterations, and the rule waits for them."""

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.gain is None and self.per_label is None and self.per_core_hour is None:
            raise ValueError("plateau has no limit; give gain, per_label or per_core_hour")
        return self


@dataclass(frozen=True)
class NextBatch:
    """What one more batch costs and gains, if it is as the latest ones were."""

    labels: float
    """Labels that it spends, those of the probe and failed ones among them."""
    hours: float
    """Hours that these take; zero where they come from a cache."""
    law: PowerLaw
    """The learning curve."""
    gain: Number
    """What the learning curve promises of the batch, in the unit of the error."""
    error: Number
    """What the learning curve says now."""


def next_batch(record: Record, iterations: int) -> NextBatch | None:
    """Estimate the next batch from the latest iterations; none while they are too few or have no errors."""
    law = fit_history(record, latest=iterations)
    latest = [entry.counts for entry in record.iterations[1:][-iterations:]]
    labels = sum(batch.spent for batch in latest) / max(1, len(latest))
    if law is None or not labels:
        return None
    counts = [0, *record.learned_from()]
    before, now = counts[-len(latest) - 1], counts[-1]
    hours = sum(batch.seconds for batch in latest) / len(latest) / 3600
    return NextBatch(labels, hours, law, law.gain(now, (now - before) / len(latest)), law.error(now))


def plateau_reached(record: Record, rules: Plateau) -> str:
    """Say why the learning curve is flat; empty where it is not, or not known to be.

    An error that rises beyond doubt is no plateau: the pools have become harder.
    """
    batch = next_batch(record, rules.iterations)
    if batch is None or batch.law.exponent < -batch.law.exponent_width:
        return ""
    said = []
    for upper, limit, unit in _limits(batch, rules):
        if upper > limit:
            return ""
        said.append(f"{upper:.2g} {unit} (the limit is {limit:.2g})")
    return (
        f"the learning curve is flat: {batch.labels:.0f} more labels promise {batch.gain.value:.2g} {UNIT} less than "
        f"the force RMSE of {batch.error.value:.3g} {UNIT}, that is at most {', and '.join(said)}"
    )


def _limits(batch: NextBatch, rules: Plateau) -> Iterator[tuple[float, float, str]]:
    """Upper bound, limit and unit of each limit that is given."""
    upper = max(0.0, batch.gain.bounds[1])
    if rules.gain is not None:
        yield 100 * upper / batch.error.value, 100 * rules.gain, "% of it"
    if rules.per_label is not None:
        yield upper / batch.labels, rules.per_label, f"{UNIT} a label"
    if rules.per_core_hour is not None:
        # Labels that cost nothing can gain any amount an hour.
        hours = batch.hours * rules.cores
        yield upper / hours if hours else float("inf"), rules.per_core_hour, f"{UNIT} a core-hour"
