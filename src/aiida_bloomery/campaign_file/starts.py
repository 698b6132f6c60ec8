"""Where potentials start, in a campaign file: which starts its foundation gives, and what the workchain is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from aiida_bloomery.campaign_file.campaign import Campaign, Source
from aiida_bloomery.campaign_file.foundations import KEY as FOUNDATION
from aiida_bloomery.campaign_file.foundations import resolved
from aiida_bloomery.campaign_file.model import CampaignFile, Starting
from bloomery.campaign.starts import BASELINE, SCRATCH, STUDENT, TUNED, ZERO_SHOT, StartName, StartsSettings
from bloomery.engines.contract import Engine
from bloomery.errors import BloomeryError
from bloomery.foundations.contract import FoundationSpec
from bloomery.plugins import PluginSpec

KEY, AUTO = "start", "auto"
NO_FOUNDATION = "no foundation is named to start from; add one, such as foundation: sevennet."
LABELLER = "foundation"
"""Whose labels are a foundation's."""


def starts_settings(
    file: CampaignFile, source: Source, engine: PluginSpec, *, has_pools: bool
) -> dict[str, object] | None:
    """Return which starts are compared with scratch, as `StartsSettings` has it; ``None`` where none is.

    Raise `InputError` if the file asks for one that cannot be.

    Parameters
    ----------
    engine
        The campaign's.
    has_pools
        Whether the bootstrap samples frames, which a student can learn from.
    """
    asked = file.start or Starting()
    given = file.foundation
    if asked.compare == [SCRATCH]:
        return None
    if given is None or (obstacle := _obstacle(file)):
        if file.start is not None:
            raise source.error((KEY,), NO_FOUNDATION if given is None else obstacle)
        return None
    try:
        own: Engine = engine.load("engines")
    except BloomeryError:  # said by the checks, with its place
        return None
    spec = FoundationSpec.model_validate(resolved(given, file, source, (FOUNDATION,)))
    found = _possible(spec, engine, own, has_pools=has_pools)
    if AUTO in asked.compare:
        names = [] if found.begun else [name for name in found.there if name not in found.slow]
    else:
        names = [name for name in found.known if name in asked.compare]
        for name in names:
            if found.begun or name not in found.there:
                raise source.error((KEY,), f"{name}: {found.begun or found.missing[name]}; leave it out.")
    if not names:
        return None
    foundation = spec.foundation()
    model = "" if foundation.model == foundation.name else f" ({foundation.model})"
    return StartsSettings(
        foundation=f"{foundation.name}{model}",
        engines={name: found.engines[name] for name in names if name in found.engines},
        student_frames=asked.student_frames if STUDENT in names else 0,
        comparisons=asked.comparisons,
    ).model_dump(mode="json")


def _obstacle(file: CampaignFile) -> str:
    """Why starts from a foundation cannot be compared, in one sentence; empty if they can."""
    if file.labeller == LABELLER:
        return "the labels are those of a foundation, and starts from one would learn nothing; leave it out."
    if file.control is not None:
        return "starts are not compared in a campaign with a control arm; leave one of the two out."
    if not any(file.roles.get(name, True) for name in ("probe_share", "min_probe")):
        return "the campaign draws no probe, so nothing can be compared on it; leave roles or start out."
    return ""


@dataclass
class _Possible:
    """Which starts there can be."""

    engines: dict[StartName, PluginSpec] = field(default_factory=dict)
    """Of those that have an engine of their own."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why others cannot be."""
    slow: list[str] = field(default_factory=list)
    """Those that are only compared where somebody asks for them."""
    begun: str = ""
    """Why none of them makes sense, where the campaign's engine begins from a foundation itself."""

    known: tuple[StartName, ...] = (STUDENT, BASELINE, TUNED, ZERO_SHOT)
    """All but scratch."""

    @property
    def there(self) -> list[StartName]:
        """Names of all that can be."""
        return [name for name in self.known if name not in self.missing]


def _possible(spec: FoundationSpec, engine: PluginSpec, own: Engine, *, has_pools: bool) -> _Possible:
    foundation, found = spec.foundation(), _Possible()
    tuning = foundation.tuning
    if own.begins_from_foundation:
        found.begun = f"training: {own.name} begins from a foundation already"
    if not own.starts_warm:
        found.missing[STUDENT] = f"trainings of {own.name} cannot start from another potential"
    elif not has_pools:
        found.missing[STUDENT] = "the bootstrap samples no frames that a student could learn from"
    for name, learnt in ((BASELINE, engine.model_dump()), (ZERO_SHOT, None)):
        made = PluginSpec(name="delta", settings={"baseline": spec.model_dump(), "engine": learnt})
        try:
            made.load("engines")
        except BloomeryError as error:
            found.missing[name] = str(error).rstrip(".")
        else:
            found.engines[name] = made
    if tuning is None:
        found.missing[TUNED] = f"no engine tunes the foundation {foundation.name}"
    elif own.runs_in not in (None, (own.role, tuning.name)):
        found.missing[TUNED] = f"{tuning.name} and {own.name} run in environments of their own"
    else:
        found.engines[TUNED] = tuning
        found.slow += [] if foundation.tunes_quickly else [TUNED]
    if own.runs_in is not None and ZERO_SHOT in found.engines and BASELINE in found.missing:
        found.missing[ZERO_SHOT] = found.missing[BASELINE]
        del found.engines[ZERO_SHOT]
    return found


def starts_of(campaign: Campaign) -> StartsSettings | None:
    """Which starts a campaign compares with scratch, if it does."""
    given = campaign.settings.get("starts")
    return None if given is None else StartsSettings.model_validate(given)


def start_notes(campaign: Campaign) -> Iterator[str]:
    """Say what is compared, since nobody need ask for it."""
    starts = starts_of(campaign)
    if starts is None or campaign.file.start is not None:
        return
    others = ", ".join(name.replace("_", " ") for name in starts.others)
    yield (
        f"{KEY}: potentials are compared with others that start from the foundation ({others}), in up to "
        f"{starts.comparisons} iterations, until the probe tells which is better; start: scratch leaves that out."
    )


def runs_in(campaign: Campaign) -> tuple[str, str] | None:
    """Role and name of the plug-in in whose environment all potentials of a campaign can run; ``None`` if in ours."""
    own: Engine = campaign.training.engine.load("engines")
    starts = starts_of(campaign)
    engines = [] if starts is None else [spec.load("engines") for spec in starts.engines.values()]
    return next((where for engine in (own, *engines) if (where := engine.runs_in) is not None), None)
