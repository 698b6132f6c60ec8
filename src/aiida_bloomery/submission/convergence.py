"""Search for converged settings of a campaign's labeller, once, and write what was chosen into the campaign file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pydantic

from aiida_bloomery import services
from aiida_bloomery.campaign_file import Campaign
from aiida_bloomery.campaign_file.builder import labelling_inputs
from aiida_bloomery.campaign_file.codes import load_code
from aiida_bloomery.campaign_file.editing import as_lines, edited, replace_file
from aiida_bloomery.campaign_file.labellers import labeller
from aiida_bloomery.campaign_file.reader import read_yaml
from aiida_bloomery.setup.home import Home
from aiida_bloomery.submission.campaigns import Submission, await_arrival, one_at_a_time
from bloomery.campaign.convergence import Place, Plan, merged
from bloomery.campaign.hot_frames import HotFrames, hot_frames
from bloomery.campaign.targets import TARGETS
from bloomery.errors import BloomeryError, InputError
from bloomery.samplers.rattle_strain import RattleStrainSettings
from bloomery.seeds import digest_of

if TYPE_CHECKING:
    from aiida_bloomery.provenance.convergence import ConvergenceState

SAMPLER = "rattle_strain"
NOT_CONVERGED = 410
"""Exit code of a search that ended with an answer, which is no: it need not be made once more."""


@dataclass(frozen=True)
class Wishes:
    """What the user says of a search."""

    share: float
    """How large errors may be, as a share of the campaign's own targets."""
    targets: Mapping[str, float] = field(default_factory=dict)
    """Or by name, in the units of the targets."""
    ladders: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Rungs by name of the ladder, in the place of those that the labeller has."""
    frames: int | None = None
    """Frames of each structure that is taken."""


@dataclass(frozen=True)
class Search:
    """A search that can be submitted."""

    builder: Any
    plan: Plan
    sizes: tuple[int, ...]
    """Number of atoms of each frame that is labelled at each place."""
    mark: str
    """Text by which a search for the same is found again, whatever the file says of the settings so far."""
    own: str
    """Text by which the settings of the file so far are found again."""


def prepare(campaign: Campaign, wishes: Wishes) -> Search:
    """Gather the inputs of a search, and ask its validators. A profile is loaded.

    Raises
    ------
    InputError
        If the labeller has no ladders, there is no target, or an input is refused.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.plugins import WorkflowFactory  # noqa: PLC0415

    from aiida_bloomery.data.configurations import ConfigurationsData  # noqa: PLC0415
    from aiida_bloomery.workflows.convergence import ConvergenceWorkChain, flattened  # noqa: PLC0415

    counted = {} if wishes.frames is None else {"frames": wishes.frames}
    hot = HotFrames(rattle_strain=_hottest(campaign), **counted)
    with campaign.source.at(("structures",)):
        frames, _ = hot_frames(campaign.structures, hot, seed=campaign.file.seed)
    part = labeller(campaign).begun(campaign)
    inputs = labelling_inputs(campaign, partial(load_code, campaign), part)
    ladders = part.ladders(campaign, inputs, frames, wishes.ladders)
    if not ladders:
        raise campaign.source.error(
            campaign.labeller_key(),
            "has no setting along which labels converge, or all of them are fixed by hand; there is nothing to choose.",
        )
    for _ in labeller(campaign).findings(campaign):  # the first mistake is an error
        pass
    message = WorkflowFactory(f"bloomery.labelling.{campaign.file.labeller}").check(frames, inputs)
    if message is not None:
        raise campaign.source.error(campaign.labeller_key(), message)
    plan = Plan(ladders=ladders, limits=_limits(campaign, wishes))
    builder = ConvergenceWorkChain.get_builder()
    builder.structures = ConfigurationsData(campaign.structures)
    builder.hot_frames = orm.Dict(hot.model_dump(mode="json"))
    builder.seed = orm.Int(campaign.file.seed)
    builder.labeller = orm.Str(campaign.file.labeller)
    builder.labelling = inputs
    builder.plan = orm.Dict(plan.model_dump(mode="json"))
    builder.metadata.label = f"settings of {campaign.file.name}"
    refused = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))  # noqa: SLF001
    if refused is not None:
        raise campaign.source.error("", f"the search is refused: {refused.message} ({refused.port})")
    flat, gone = flattened(plan.inputs(plan.top))
    content = {
        "plan": plan.model_dump(mode="json"),
        "frames": frames.digest(),
        "labelling": _described(inputs, flat, gone),
    }
    mark = f"[settings {_digest(content)}]"
    own = f"[before {_digest(_described(inputs, {}, []))}]"
    builder.metadata.description = f"{campaign.source.path.name} {mark} {own}"
    return Search(builder, plan, tuple(frames.counts.tolist()), mark, own)


def submit_search(campaign: Campaign, search: Search, home: Home, *, again: bool = False) -> Submission:
    """Submit a search unless its like runs or has ended with an answer.

    Parameters
    ----------
    again
        Submit even if one like it has ended; labels that it has are found again.

    Raises
    ------
    InputError
        If an input is refused.
    BloomeryError
        If the daemon does not take it.
    """
    from aiida.engine import submit  # noqa: PLC0415

    notes = services.ensure(home)
    with one_at_a_time(home):
        found = find(campaign, search)
        if found is not None and (found.active or not again):
            notes += services.revive_lost() if found.active and home.own else []
            return Submission(found.pk, "running" if found.active else "finished", tuple(notes))
        try:
            pk = int(submit(search.builder).pk)
        except ValueError as error:  # what AiiDA's ports and validators raise
            raise InputError(f"{campaign.source.path}: the search is refused: {error}") from error
        notes += await_arrival(pk, home, "search")
    return Submission(pk, "submitted", tuple(notes))


def find(campaign: Campaign, search: Search) -> ConvergenceState | None:
    """The latest search for the same that runs or has ended with an answer.

    It began with the settings that the file has now, or has chosen them.
    """
    from aiida_bloomery.provenance.convergence import convergence_state, searches  # noqa: PLC0415

    for node in searches(search.mark):
        state = convergence_state(int(node.pk))
        if not (state.active or state.succeeded or state.exit_status == NOT_CONVERGED):
            continue
        chosen = state.succeeded and state.result is not None
        if search.own in node.description or (
            chosen and state.result is not None and not file_changes(campaign, state.plan, state.result.chosen)
        ):
            return state
    return None


def _described(inputs: Mapping[str, Any], flat: Mapping[str, Any], gone: Sequence[str]) -> dict[str, Any]:
    """Content of the inputs of a labelling by their whole names, with changes in them and without those that go."""
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.workflows.convergence import SEPARATOR  # noqa: PLC0415

    result: dict[str, Any] = {}

    def walk(prefix: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            whole = f"{prefix}{name}"
            if isinstance(value, Mapping):
                walk(f"{whole}{SEPARATOR}", value)
            elif whole not in gone:
                code = isinstance(value, orm.AbstractCode)
                result[whole] = str(value.uuid) if code else dict(value.base.attributes.all)

    walk("", inputs)
    return result | {name: merged([result.get(name, {}), values]) for name, values in flat.items()}


def _digest(content: Mapping[str, Any]) -> str:
    return digest_of(json.dumps(content, sort_keys=True, default=str), size=8)


def _hottest(campaign: Campaign) -> dict[str, Any]:
    """Settings of the bootstrap's sampler that rattles most."""
    found = [dict(spec.settings) for _, spec in campaign.samplers("bootstrap") if spec.name == SAMPLER]

    def width(settings: Mapping[str, Any]) -> float:
        rattle = RattleStrainSettings.model_validate(settings).rattle
        return rattle[1] if isinstance(rattle, tuple) else rattle

    hottest = max(found, key=width, default={})
    return RattleStrainSettings.model_validate(hottest).model_dump(exclude={"frames", "supercell"}, exclude_unset=True)


def _limits(campaign: Campaign, wishes: Wishes) -> dict[str, float]:
    """Largest errors by name."""
    if wishes.targets:
        return dict(wishes.targets)
    given = campaign.stop.targets.given
    if not given:
        raise campaign.source.error(
            ("stop",),
            f"has no target, so nothing says how large errors of labels may be; add one of {', '.join(TARGETS)}, or "
            "give the errors by --target.",
        )
    return {name: wishes.share * limit for name, limit in given.items()}


# -- the campaign file ------------------------------------------------------------------------------------------------


def file_changes(campaign: Campaign, plan: Plan, place: Place) -> dict[str, Any]:
    """What of a choice the labeller's section of a campaign file does not say yet; ``None`` for a key that goes.

    Raises
    ------
    InputError
        If the section does not fit together with it.
    """
    part = labeller(campaign)
    wanted = plan.file(place)
    try:
        chosen = type(part).model_validate(without_nones(merged([campaign.file.labeller_settings, wanted])))
    except pydantic.ValidationError as error:
        raise campaign.source.error(
            campaign.labeller_key(), f"does not fit together with the choice: {error.errors()[0]['msg']}."
        ) from error
    return _differing(wanted, part.model_dump(), chosen.model_dump())


def _differing(wanted: Mapping[str, Any], now: Any, then: Any) -> dict[str, Any]:
    """Those of the keys that mean something else now."""
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        old, new = (content.get(key) if isinstance(content, Mapping) else None for content in (now, then))
        if old == new:
            continue
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            found[key] = _differing(value, old, new)
        else:
            found[key] = without_nones(value) if isinstance(value, Mapping) else value
    return found


def without_nones(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values without the keys that go."""
    return {
        key: without_nones(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def write_choice(campaign: Campaign, changes: Mapping[str, Any]) -> None:
    """Write a choice into the campaign file, and leave everything else in it as it is.

    Raises
    ------
    InputError
        If the file was changed meanwhile, or cannot be changed in these places alone; it says what to paste.
    """
    path, where = campaign.source.path, campaign.file.labeller_place
    try:
        if read_yaml(path).content != campaign.source.content:
            raise InputError("the file was changed while labels were computed.")
        with path.open(encoding="utf-8", newline="") as file:
            text = edited(file.read(), where, changes)
        replace_file(path, text)
    except (OSError, BloomeryError) as error:
        raise BloomeryError(
            f"{path}: {error} Nothing is written; these lines say what was chosen:\n{as_lines(where, changes)}"
        ) from error
