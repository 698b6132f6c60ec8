"""`converge`: the cheapest settings of a labeller that are dense enough, before a campaign pays for its labels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_bloomery.cli.display import look_after
from aiida_bloomery.cli.options import (
    console,
    file_argument,
    json_option,
    loaded,
    plain,
    print_json,
    profile_option,
    program,
    table,
)
from bloomery.campaign.targets import TARGETS, ErrorLimits, Quantity
from bloomery.errors import InputError
from bloomery.plugins import parse_settings
from bloomery.quantities import Unit, split_quantity

if TYPE_CHECKING:
    from aiida_bloomery.campaign_file import Campaign
    from aiida_bloomery.provenance.convergence import ConvergenceState
    from aiida_bloomery.setup.home import Home
    from aiida_bloomery.submission.convergence import Search
    from bloomery.campaign.convergence import Convergence, Deviation, Ladder

FAILED = 1
REFRESH = 2.0
WATCH_SERVICES = 15.0
HOW = {"submitted": "Submitted", "running": "Attached to", "finished": "Found"}
QUANTITIES: tuple[Quantity, ...] = ("forces", "energy", "stress")


@click.command("converge")
@file_argument
@click.option(
    "--frames", type=click.IntRange(2, 10), help="Hot frames of each structure that is taken; by default three."
)
@click.option(
    "--share", default="5 %", show_default=True, metavar="SHARE",
    help="How large errors of labels may be, of the campaign's own targets.",
)  # fmt: skip
@click.option(
    "--target", "targets", multiple=True, metavar="NAME=VALUE",
    help="Or how large they may be: forces=5 (meV/Å), energy=0.5 (meV/atom), stress=0.05 (GPa), relative_forces=1%.",
)  # fmt: skip
@click.option(
    "--ladder", "ladders", multiple=True, metavar="NAME=VALUES",
    help="Values to try of one setting, such as ecutwfc=30,40,60,80.",
)  # fmt: skip
@click.option(
    "--labelling", metavar="NAME",
    help="Whose settings, of several labellers that the file names; by default those of the one that labels.",
)  # fmt: skip
@click.option("--write/--no-write", default=True, show_default=True, help="Write the choice into the file.")
@click.option(
    "-o", "--to", "folder", type=click.Path(path_type=Path), help="Folder of the plot; by default that of the file."
)
@click.option("--again", is_flag=True, help="Search even if it was done; labels that exist are found again.")
@click.option("--detach", is_flag=True, help="Print the PK and do not wait.")
@profile_option
@json_option
def converge_command(
    file: Path,
    frames: int | None,
    share: str,
    targets: tuple[str, ...],
    ladders: tuple[str, ...],
    labelling: str | None,
    write: bool,
    folder: Path | None,
    again: bool,
    detach: bool,
    profile: str | None,
    as_json: bool,
) -> None:
    """Find the cheapest settings of the labeller whose errors are small enough, and write them into the file.

    A few hot frames of the campaign's structures are labelled along a ladder of each setting. Ctrl-C detaches: the
    search goes on, and the same command picks it up again.
    """
    from aiida_bloomery.campaign_file import load_campaign  # noqa: PLC0415
    from aiida_bloomery.submission.convergence import Wishes, file_changes, prepare, submit_search  # noqa: PLC0415

    wishes = Wishes(_share(share), _targets(targets), dict(map(_ladder, ladders)), frames)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is no folder; give one for the plot.")
    campaign, notes = load_campaign(file)
    campaign = campaign.labelled_by(labelling)
    home = loaded(profile)
    search = prepare(campaign, wishes)
    submission = submit_search(campaign, search, home, again=again)
    pk = submission.pk
    _say_begin(search, pk, submission.how, [*notes, *submission.notes], as_json=as_json)
    if detach:
        click.echo(pk)
        return
    try:
        state = _watch(pk, home, silent=as_json)
    except KeyboardInterrupt:
        console.print(f"\nDetached. The search goes on: `{program()} converge {plain(file)}` shows what comes of it.")
        return
    files = [] if state.result is None else _draw(state, file, folder or file.parent)
    changes = None
    if state.succeeded and state.result is not None:
        changes = file_changes(campaign, state.plan, state.result.chosen)
    if not as_json:
        _show(state, files)
    if changes is None:
        if as_json:
            print_json(_facts(state, files, None, written=False))
        raise click.exceptions.Exit(FAILED)
    written = write and bool(changes)
    if written:
        _write(campaign, changes)
    if as_json:
        print_json(_facts(state, files, changes, written=written))
    else:
        _say_choice(campaign, changes, file, written=written)


# -- what is asked ----------------------------------------------------------------------------------------------------


def _share(text: str) -> float:
    try:
        value = float(Unit("1").convert(text))
    except ValueError as error:
        raise InputError(f"--share {text}: {error}.") from error
    if not 0 < value <= 1:
        raise InputError(f"--share {text}: must be above zero, and 100 % at most.")
    return value


def _targets(texts: tuple[str, ...]) -> dict[str, float]:
    values = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"--target {text}: is not of the form NAME=VALUE, such as forces=5.")
        values[name.strip()] = value.strip()
    found: ErrorLimits = parse_settings(ErrorLimits, dict(values), "--target")
    return found.given


def _ladder(text: str) -> tuple[str, list[float]]:
    name, separator, values = text.partition("=")
    try:
        # All values are in the unit of the ladder, which the last one may say.
        *others, last = values.strip("[] ").split(",")
        numbers = [*map(float, others), split_quantity(last)[0]]
    except ValueError as error:
        raise InputError(f"--ladder {text}: is not of the form NAME=VALUES, such as ecutwfc=30,40,60.") from error
    if not separator or min(numbers) <= 0 or len(set(numbers)) < max(2, len(numbers)):
        raise InputError(f"--ladder {text}: needs two values at least, all of them different and above zero.")
    return name.strip(), numbers


# -- waiting ----------------------------------------------------------------------------------------------------------


def _say_begin(search: Search, pk: int, how: str, notes: list[str], *, as_json: bool) -> None:
    if as_json:
        for note in notes:
            click.echo(f"Note: {note}", err=True)
        return
    for note in notes:
        console.print(f"[yellow]{plain(note)}[/]")
    frames, sizes = len(search.sizes), " and ".join(map(str, sorted({min(search.sizes), max(search.sizes)})))
    console.print(f"{HOW[how]} search for converged settings, PK {pk}: {frames} hot frames of {sizes} atoms.")
    if how == "submitted":
        for ladder in search.plan.ladders:
            values = ", ".join(f"{rung.value:g}" for rung in ladder.rungs)
            console.print(f"  {ladder.name}: {values} {ladder.unit}", markup=False)
        # Ladders, their common top, the settings so far, and the choice.
        places = sum(len(ladder.rungs) for ladder in search.plan.ladders) + 3
        console.print(f"These are up to {places * frames} single points, and a few more if the choice is mended.")


def _watch(pk: int, home: Home, *, silent: bool) -> ConvergenceState:
    """Wait for the end; a line whenever labels have come. Daemon and broker of our own profile are looked after."""
    from aiida_bloomery.provenance.convergence import convergence_state, progress  # noqa: PLC0415

    said, looked = 0, time.monotonic()
    while True:
        active, done = progress(pk)
        if done > said and not silent:
            console.print(f"labelled with {done} settings so far")
        said = done
        if not active:
            return convergence_state(pk)
        time.sleep(REFRESH)
        if time.monotonic() - looked > WATCH_SERVICES:
            look_after(home)
            looked = time.monotonic()


# -- what came of it --------------------------------------------------------------------------------------------------


def _draw(state: ConvergenceState, file: Path, folder: Path) -> list[Path]:
    """Write the plot, and its numbers."""
    from aiida_bloomery.report.figures.convergence import convergence_figure  # noqa: PLC0415

    if state.result is None or not state.result.climbs:
        return []
    figure = convergence_figure(state.plan, state.result)
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for ending, content in figure.files().items():
            path = folder / f"{file.stem}-convergence{ending}"
            path.write_bytes(content)
            made.append(path)
    except OSError as error:
        click.echo(f"Note: the plot cannot be written to {folder} ({error}); give another folder with -o.", err=True)
    return made


def _show(state: ConvergenceState, files: list[Path]) -> None:
    """Print a row for each value of each ladder, and for the choice as a whole."""
    if state.result is not None:
        console.print(_ladders_table(state, state.result))
        if state.result.trials:
            console.print(_choice_table(state, state.result))
    console.print(f"{state.computed} single points were computed.")
    if files:
        console.print(f"plot {', '.join(plain(path) for path in files)}")
    if not state.succeeded:
        console.print(f"[red]{plain(state.message or f'The search ended as {state.state}.')}[/]")


def _ladders_table(state: ConvergenceState, found: Convergence) -> Any:
    made = table("setting", "value", *_titles(found), "core-s", "", left=("setting", ""), no_wrap=True)
    for ladder in state.plan.ladders:
        if ladder.name not in found.climbs:
            continue
        made.add_section()
        climb = found.climbs[ladder.name]
        for place, point in enumerate(climb.points):
            last = place == len(climb.points) - 1
            mark = "chosen" if point.rung == climb.chosen else "reference" if last else ""
            numbers = ["" for _ in _titles(found)] if last else _numbers(found, point.deviation)
            made.add_row(
                ladder.name if not place else "",
                f"{point.value:g} {ladder.unit}",
                *numbers,
                _cost(state, point.key),
                mark,
                style="bold" if mark == "chosen" else None,
            )
    return made


def _choice_table(state: ConvergenceState, found: Convergence) -> Any:
    made = table("all together", *_titles(found), "core-s", "", left=("all together", ""), no_wrap=True)
    if found.before is not None:
        made.add_row("file so far", *_numbers(found, found.before.deviation), _cost(state, "before"), "")
    for number, trial in enumerate(found.trials):
        said = ", ".join(f"{one.name} {one.said(trial.place[one.name])}" for one in state.plan.ladders)
        last = number == len(found.trials) - 1
        numbers = _numbers(found, trial.point.deviation)
        mark = "within the limits" if trial.within else "beyond"
        made.add_row(said, *numbers, _cost(state, trial.point.key), mark, style="bold" if last else None)
    nothing = ["" for _ in _titles(found)]
    made.add_row("reference: all densest", *nothing, _cost(state, state.plan.key(state.plan.top)), "")
    limits = {name: f"{value:.3g}" for name, value in found.limits.items()}
    made.add_row("limit", *(limits.get(name, "") if part == "rms" else "" for name, part in _columns(found)), "", "")
    return made


def _columns(found: Convergence) -> list[tuple[Quantity, str]]:
    """Errors that are shown: those that some labels have."""
    points = [point for climb in found.climbs.values() for point in climb.points]
    known = [
        name for name in QUANTITIES if any(point.deviation and point.deviation.of(name) is not None for point in points)
    ]
    return [(name, part) for name in known for part in (("rms",) if name == "energy" else ("rms", "max"))]


def _titles(found: Convergence) -> list[str]:
    words = {"rms": "RMS", "max": "max"}
    return [
        f"{TARGETS[name].short}{'' if name == 'energy' else f' {words[part]}'}\n{TARGETS[name].unit}"
        for name, part in _columns(found)
    ]


def _numbers(found: Convergence, deviation: Deviation | None) -> list[str]:
    if deviation is None:
        return ["failed", *["" for _ in _columns(found)[1:]]]
    told = []
    for name, part in _columns(found):
        value = deviation.of(name) if part == "rms" else getattr(deviation, f"{name}_max")
        limit = found.limits.get(name) if part == "rms" else None
        beyond = value is not None and limit is not None and value > limit
        told.append("" if value is None else f"{'[red]' if beyond else ''}{value:.3g}{'[/]' if beyond else ''}")
    return told


def _cost(state: ConvergenceState, key: str) -> str:
    return f"{state.core_seconds[key]:.1f}" if key in state.core_seconds else ""


def _write(campaign: Campaign, changes: Mapping[str, Any]) -> None:
    from aiida_bloomery.submission.convergence import write_choice  # noqa: PLC0415

    write_choice(campaign, changes)


def _say_choice(campaign: Campaign, changes: Mapping[str, Any], file: Path, *, written: bool) -> None:
    from aiida_bloomery.campaign_file.editing import as_lines  # noqa: PLC0415

    if not changes:
        console.print(f"{plain(file)} says so already.")
        return
    lines = as_lines(campaign.file.labeller_place, changes)
    console.print(f"Written into {plain(file)}:" if written else f"To be written into {plain(file)}:")
    console.print(lines, markup=False)


def _facts(
    state: ConvergenceState, files: list[Path], changes: Mapping[str, Any] | None, *, written: bool
) -> dict[str, Any]:
    from aiida_bloomery.submission.convergence import without_nones  # noqa: PLC0415

    found = state.result
    chosen = {} if found is None or not state.succeeded else without_nones(state.plan.file(found.chosen))
    return {
        "pk": state.pk,
        "state": state.state,
        "exit_status": state.exit_status,
        "message": state.message,
        "ladders": {ladder.name: _ladder_facts(state, ladder) for ladder in state.plan.ladders},
        "result": {} if found is None else found.as_dict(),
        "core_seconds": state.core_seconds,
        "computed": state.computed,
        "chosen": chosen,
        "changes": changes or {},
        "written": written,
        "files": [str(path) for path in files],
    }


def _ladder_facts(state: ConvergenceState, ladder: Ladder) -> dict[str, Any]:
    rung = state.result.chosen.get(ladder.name) if state.result is not None else None
    return {
        "unit": ladder.unit,
        "values": [one.value for one in ladder.rungs],
        "chosen": None if rung is None else ladder.rungs[rung].value,
    }
