"""A campaign on the terminal: live while it runs, a table when it has ended."""

from __future__ import annotations

import time
from contextlib import nullcontext
from math import floor, log10

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aiida_bloomery.cli.chart import Point, chart
from aiida_bloomery.cli.options import console, plain, program, table
from aiida_bloomery.provenance.progress import CampaignState, campaign_state
from aiida_bloomery.setup.home import Home
from bloomery.campaign.record import HOURS, Decision, QuotedRow
from bloomery.campaign.targets import TARGETS, Target
from bloomery.errors import BloomeryError
from bloomery.statistics import Number

REFRESH = {True: 1.0, False: 2.0}
"""Seconds between two looks at a campaign, on a terminal and elsewhere."""
WATCH_SERVICES = 15.0
WIDE = 120
"""Columns that the table of errors needs to show their intervals too."""
SIDES = ("potential", "reference", "difference", "experiment")
HELD_OUT = f"held out\n{TARGETS['forces'].short} RMSE {TARGETS['forces'].unit}"
TEST_SET = f"test set\n{TARGETS['forces'].short} RMSE {TARGETS['forces'].unit}"


def watch(pk: int, home: Home) -> CampaignState:
    """Show a campaign until it ends; daemon and broker of our own profile are watched and mended meanwhile.

    On a terminal the display is live; elsewhere a line is printed whenever something has changed.
    """
    looked = time.monotonic()
    state = campaign_state(pk)
    said = ""
    shown = Live(render(state), console=console, auto_refresh=False, transient=True) if console.is_terminal else None
    with shown or nullcontext() as live:
        while state.active:
            if live is not None:
                live.update(render(state), refresh=True)
            elif (line := one_line(state)) != said:
                said = line
                console.print(f"{clock(state.seconds)}  {plain(line)}")
            time.sleep(REFRESH[console.is_terminal])
            if time.monotonic() - looked > WATCH_SERVICES:
                look_after(home)
                looked = time.monotonic()
            state = campaign_state(pk)
    return state


def render(state: CampaignState, *, hint: bool = True) -> RenderableType:
    """The live display; ``hint`` says how to leave it."""
    head = Text.assemble(
        (state.name, "bold"), f"  PK {state.pk}   ", (stage_text(state), "cyan"), f"   {clock(state.seconds)}"
    )
    facts = Table.grid(padding=(0, 2))
    facts.add_row("engine", state.engine, "")
    facts.add_row("jobs", ", ".join(f"{count} {name}" for name, count in state.jobs.items()), "")
    budget = f" of {state.max_labels}" if state.max_labels else ""
    under_way = sum(job.step for job in state.doing if job.stage == "label")
    labels = f"{state.labels}{budget}" + (f", {under_way} under way" if under_way else "")
    facts.add_row("labels", labels, _bar(state.labels + under_way, state.max_labels))
    for kind, name in HOURS.items():
        spent, limit = getattr(state, kind), getattr(state, f"max_{kind}")
        if limit is not None:
            facts.add_row(name, f"{spent:.3g} of {limit:g}", _bar(spent, limit))
    for name, told in (*_began_with(state), *_waiting(state)):
        facts.add_row(name, told, "")
    facts.add_row("stage", f"{state.stage} for {clock(state.stage_seconds)}", "")
    for job in state.doing:
        facts.add_row("", f"{job.name}: {job.stage} {job.step} of {job.total}", _bar(job.step, job.total))
    parts: list[RenderableType] = [head, facts]
    if state.iterations:
        parts += [iterations_table(state), charts(state)]
    if hint:
        parts.append(Text("Ctrl-C detaches; the campaign goes on.", style="dim"))
    return Group(*parts)


def iterations_table(state: CampaignState) -> Table:
    """Errors by iteration, with the bounds of their 95 % intervals."""
    # A terminal of 80 columns has no room for the intervals.
    narrow = console.width < WIDE
    titles = [_title(target, narrow=narrow) for target in TARGETS.values()]
    elsewhere = {
        title: sets
        for title, name in ((HELD_OUT, "held_out"), (TEST_SET, "test_set"))
        if any(sets := [getattr(entry, name) for entry in state.iterations])
    }
    learnt = list(dict.fromkeys(name for entry in state.iterations for name in entry.properties))
    scatters = [f"{name.replace('_', ' ')}\nof its scatter" for name in learnt]
    made = table("iteration", "pool", "labels", "probe", *titles, *elsewhere, *scatters, padding=1, no_wrap=True)
    for place, entry in enumerate(state.iterations):
        numbers = [quantity(entry.error(name), unit=False, interval=not narrow) for name in TARGETS]
        name = str(entry.iteration or "bootstrap")
        frames = entry.validation.n_frames if entry.validation else 0
        errors = [sets[place].error("forces") if sets[place] else None for sets in elsewhere.values()]
        numbers += [quantity(error, unit=False, interval=False) for error in errors]
        shares = [found.share_of_scatter if (found := entry.properties.get(name)) else None for name in learnt]
        numbers += [_small_share(share, interval=not narrow) for share in shares]
        made.add_row(name, str(entry.n_pool), str(entry.labels_total), str(frames), *numbers)
    if state.targets or state.property_targets:
        wanted = [
            f"< {state.targets[name]:{'.1%' if target.is_share else 'g'}}" if name in state.targets else ""
            for name, target in TARGETS.items()
        ]
        wanted += ["" for _ in elsewhere]
        wanted += [f"< {state.property_targets[name]}" if name in state.property_targets else "" for name in learnt]
        made.add_row("target", "", str(state.max_labels or ""), "", *wanted, style="dim")
    return made


def _title(target: Target, *, narrow: bool) -> str:
    unit = "of RMS force" if target.is_share else target.unit
    return f"{target.short if narrow else f'{target.short} RMSE'}\n{unit}"


def charts(state: CampaignState) -> RenderableType:
    """Errors by iteration, drawn: those that have a target, else energies and forces; side by side where they fit."""
    wanted = [name for name in TARGETS if name in state.targets] or ["energy", "forces"]
    drawn = []
    for name in wanted:
        points, unit = _points(state, name)
        if len(points) > 1:
            factor = 100 if unit == "%" else 1
            target = factor * state.targets[name] if name in state.targets else None
            title = f"{TARGETS[name].short} RMSE ({unit}) by iteration"
            drawn.append(chart(title, points, target, width=max(30, console.width // 2 - 2)))
    grid = Table.grid(padding=(0, 3))
    rows = [drawn] if console.width >= WIDE and drawn else [[figure] for figure in drawn]
    for row in rows:
        grid.add_row(*row)
    return grid


def _points(state: CampaignState, name: str) -> tuple[list[Point], str]:
    """An error by iteration, and its unit; shares in percent."""
    errors = [(entry.iteration, error.in_percent) for entry in state.iterations if (error := entry.error(name))]
    points = [Point(iteration, error.value, *error.bounds) for iteration, error in errors]
    return points, errors[-1][1].unit if errors else ""


def observables_table(rows: list[QuotedRow]) -> Table:
    """Numbers of the potential beside those of the reference, and of an experiment where there are any."""
    columns = [side for side in SIDES if any(getattr(row, side) for row in rows)]
    made = table("observable", *columns, "unit", left=("observable", "unit"), padding=1, no_wrap=True)
    for row in rows:
        numbers = [getattr(row, side) for side in columns]
        unit = next(number.unit for number in numbers if number)
        made.add_row(" ".join(filter(None, row.place)), *map(_uncertain, numbers), unit)
    return made


def _uncertain(number: Number | None) -> str:
    """A number with half the width of its interval, to the same digits."""
    if number is None:
        return ""
    if number.interval is None:
        return f"> {number.value:.5g}" if number.at_least else f"{number.value:.5g}"
    lower, upper = number.interval
    width = (upper - lower) / 2
    digits = max(0, 1 - floor(log10(width))) if width > 0 else 5
    return f"{number.value:.{min(digits, 6)}f} ± {width:.{min(digits, 6)}f}"


def summary(state: CampaignState, paths: dict[str, str]) -> RenderableType:
    """What a campaign ended with."""
    parts: list[RenderableType] = [Text.assemble((state.name, "bold"), f"  PK {state.pk}   {outcome(state)}")]
    if state.iterations:
        parts.append(iterations_table(state))
    if state.observables:
        parts.append(observables_table(state.observables))
    if state.missing:
        parts.append(Text(f"Could not be measured: {', '.join(state.missing)}; see `verdi process report {state.pk}`."))
    parts += [Text(sentence) for sentence in (state.starts, state.control) if sentence]
    grid = Table.grid(padding=(0, 2))
    grid.add_row("engine", state.engine)
    grid.add_row("time", clock(state.seconds))
    for name, told in (*_began_with(state), *_waiting(state)):
        grid.add_row(name, told)
    grid.add_row("jobs", f"{state.jobs['done']} done, {state.jobs['failed']} failed")
    for name, path in paths.items():
        grid.add_row(name, plain(path))
    parts.append(grid)
    return Group(*parts)


def _began_with(state: CampaignState) -> list[tuple[str, str]]:
    """Labelled frames that it began with."""
    return [("data", f"{state.adopted} labelled frames to begin with, none of them bought")] if state.adopted else []


def _waiting(state: CampaignState) -> list[tuple[str, str]]:
    """What waits for somebody: suspect labels for a word, and words for a training."""
    found = []
    if state.suspect:
        found.append(
            ("suspect", f"{state.suspect} label(s) wait for a word: `{program()} ledger {state.pk} --suspect`")
        )
    if state.unheeded:
        then = "the next training heeds them" if state.active else f"`{program()} retrain {state.pk}` heeds them"
        found.append(("words", f"{state.unheeded} on labels; {then}"))
    return found


def outcome(state: CampaignState) -> str:
    """How it ended, in a sentence."""
    if state.active:
        return stage_text(state)
    if not state.succeeded:
        code = f" with exit code {state.exit_status}" if state.exit_status else ""
        return f"ended as {state.state}{code}: {state.message or 'see `verdi process report`'}"
    decision = state.decision or Decision()
    return f"{'reached' if decision.success else 'done'}: {decision.reason.rstrip('.') or 'finished'}"


def ending(state: CampaignState) -> str:
    """How it ended, in two words."""
    if not state.succeeded:
        return f"{state.state} [{state.exit_status}]" if state.exit_status else state.state
    return "reached" if state.decision and state.decision.success else "done"


def stage_text(state: CampaignState) -> str:
    """What a campaign does now."""
    if not state.active:
        return state.state
    if state.iteration is None:
        return state.stage or state.state
    where = "bootstrap" if state.iteration == 0 else f"iteration {state.iteration}"
    return state.stage if state.stage.startswith("final") else f"{where}: {state.stage}"


def one_line(state: CampaignState) -> str:
    """The state in one line, without what changes all the time."""
    budget = f"/{state.max_labels}" if state.max_labels else ""
    line = f"{stage_text(state)}, labels {state.labels}{budget}"
    if failed := state.jobs["failed"]:
        line += f", jobs failed {failed}"
    forces = state.iterations[-1].error("forces") if state.iterations else None
    return f"{line}, force RMSE {quantity(forces)}" if forces else line


def quantity(number: Number | None, *, unit: bool = True, interval: bool = True) -> str:
    """A measured number with its interval."""
    if number is None:
        return "-"
    style = ".1%" if number.unit == "1" else ".3g"
    text = f"{number.value:{style}}"
    if interval and number.interval:
        lower, upper = number.interval
        text += f" ({lower:{style}} - {upper:{style}})"
    return f"{text} {number.unit}" if unit and number.unit != "1" else text


def _small_share(number: Number | None, *, interval: bool) -> str:
    """A share that may be far below a percent, with its interval."""
    if number is None:
        return "-"
    text, bounds = f"{100 * number.value:.2g}%", number.interval
    return f"{text} ({100 * bounds[0]:.2g} - {100 * bounds[1]:.2g})" if interval and bounds else text


def clock(seconds: float) -> str:
    """A duration as h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _bar(done: float, total: float | None) -> RenderableType:
    return ProgressBar(total=total, completed=done, width=30) if total else ""


def look_after(home: Home) -> None:
    """See that daemon and broker of our own profile run, and say what was done to that end."""
    from aiida_bloomery import services  # noqa: PLC0415

    if not home.own or (home.folder / services.HELD).exists():
        return
    try:
        done = [*services.ensure(home), *services.revive_lost()]
    except BloomeryError as error:
        done = [f"{error} It is tried again."]
    for sentence in done:
        console.print(f"[yellow]{plain(sentence)}[/]")
