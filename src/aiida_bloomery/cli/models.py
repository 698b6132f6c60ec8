"""`learning-curve`, `cross-validate` and `search`: which model, and how many labels it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import click
from rich.markup import escape

from aiida_bloomery.cli.options import console, json_option, loaded, print_json, profile_option, program, table
from aiida_bloomery.setup.home import Home
from aiida_bloomery.submission.models import (
    SelectionState,
    checked_settings,
    selection_builder,
    selection_state,
    source_of,
)
from bloomery.campaign.learning_curves import CurveFit, LearningCurve
from bloomery.campaign.targets import COMPARED, TARGETS
from bloomery.errors import InputError
from bloomery.model_selection.cross_validation import CrossValidation
from bloomery.model_selection.search import SearchResult
from bloomery.statistics import Number

Command = Callable[..., Any]
FAILED = 1
REFRESH = 1.0
NAMES: dict[str, str] = {quantity: TARGETS[quantity].words for quantity in COMPARED}


def _common(command: Command) -> Command:
    """Options that all three have."""
    options = (
        click.argument("source", nargs=-1, required=True, metavar="FILE...|CAMPAIGN"),
        click.option("--engine", help="Engine; by default that of the campaign, or hdnnp."),
        click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Setting of the engine."),
        click.option("--groups", metavar="KEY", help="Value of the frames by which they belong together."),
        click.option("--early-stopping", type=click.FloatRange(0, 0.5), help="Share of the frames to stop on."),
        click.option(
            "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of every random choice."
        ),
        click.option("--detach", is_flag=True, help="Print the PK and do not wait."),
        profile_option,
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command("learning-curve")
@_common
@click.option("--size", "sizes", type=float, multiple=True, help="Frames to learn from, or a share of all below 1.")
@click.option("--repeats", type=click.IntRange(min=1), help="Random subsets of each size.")
@click.option(
    "--target", "targets", multiple=True, metavar="NAME=VALUE", help="forces=50 (meV/Å), energy=5 (meV/atom)."
)
def learning_curve_command(sizes: tuple[float, ...], targets: tuple[str, ...], **options: Any) -> None:
    """Measure how the error falls with the number of training frames, and say how many a target takes."""
    from bloomery.program.plain_files import parse_assignments  # noqa: PLC0415

    settings = {
        "sizes": list(sizes) or None,
        "repeats": options.pop("repeats"),
        "targets": parse_assignments(targets) or None,
    }
    _go("learning_curve", settings, **options)


@click.command("cross-validate")
@_common
@click.option("--folds", type=click.IntRange(min=2), help="Parts; each is predicted from the others.")
def cross_validate_command(**options: Any) -> None:
    """Measure errors by cross-validation: each frame is predicted by a potential that has not seen it."""
    _go("cross_validation", {"folds": options.pop("folds")}, **options)


@click.command("search")
@_common
@click.option("--try", "space", multiple=True, metavar="KEY=VALUES", help="A list, or {low: 1, high: 9} for optuna.")
@click.option("--optuna", is_flag=True, help="Let optuna choose what to try next, instead of every combination.")
@click.option("--trials", type=click.IntRange(min=1), help="How many combinations optuna tries.")
@click.option("--at-a-time", type=click.IntRange(min=1), help="How many are trained at a time.")
@click.option("--objective", type=click.Choice(["forces", "energy"]), help="Whose RMSE is to be small.")
@click.option("--folds", type=click.IntRange(min=2), help="Parts of the data set.")
@click.option("--used", type=click.IntRange(min=1), help="How many of the parts each combination is judged on.")
def search_command(space: tuple[str, ...], optuna: bool, **options: Any) -> None:
    """Search for better settings of an engine, every trial judged on the same frames.

    Example: aiida-bloomery search data.extxyz --try hidden=[[16],[32,32]] --try share=[0.8,0.9]
    """
    import yaml  # noqa: PLC0415

    if not space and not options["source"][0].isdigit():
        raise click.UsageError("give what to try with --try.")
    tried = {}
    for text in space:
        key, separator, given = text.partition("=")
        values: Any = None
        with suppress(yaml.YAMLError):
            values = yaml.safe_load(given)
        if not separator or not isinstance(values, (list, dict)):
            raise InputError(f"--try {text}: is not of the form key=[value, ...].")
        tried[key.strip()] = values
    settings = {"space": tried or None, "method": "optuna" if optuna else None}
    settings |= {name: options.pop(name) for name in ("trials", "at_a_time", "objective", "folds", "used")}
    _go("search", settings, **options)


def _go(
    kind: str,
    settings: Mapping[str, object],
    *,
    source: tuple[str, ...],
    profile: str | None,
    detach: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Submit unless the source is an earlier one, wait, and print what came of it."""
    home = loaded(profile)
    pk = _earlier(source)
    if pk is None:
        pk = _submit(kind, settings, home, source, **options)
        if detach:
            click.echo(pk)
            return
    try:
        state = _watch(pk)
    except KeyboardInterrupt:
        name = kind.replace("_", "-").replace("cross-validation", "cross-validate")
        console.print(f"\nDetached. It goes on: `{program()} {name} {pk}` shows what comes of it.")
        return
    if as_json:
        result = state.result.as_dict() if state.result else {}
        print_json({"pk": pk, "state": state.state, "failures": state.left_out, **result})
    else:
        _print(state)
    if state.result is None or state.message:
        raise click.exceptions.Exit(FAILED)


def _earlier(source: tuple[str, ...]) -> int | None:
    """The PK of an earlier model selection, if that is what was given."""
    if len(source) != 1 or not source[0].isdigit():
        return None
    try:
        return selection_state(int(source[0])).pk
    except InputError:
        return None


def _submit(
    kind: str,
    settings: Mapping[str, object],
    home: Home,
    source: tuple[str, ...],
    *,
    engine: str | None,
    assignments: tuple[str, ...],
    seed: int,
    **common: object,
) -> int:
    from aiida.engine import submit  # noqa: PLC0415

    from aiida_bloomery import services  # noqa: PLC0415
    from bloomery.program.plain_files import parse_assignments  # noqa: PLC0415

    given = checked_settings(kind, {**settings, **common})
    found = source_of(source, engine, parse_assignments(assignments))
    builder = selection_builder(kind, found, given, seed=seed, label=" ".join(source)[:200])
    for note in services.ensure(home):
        click.echo(f"Note: {note}", err=True)
    return int(submit(builder).pk)


def _watch(pk: int) -> SelectionState:
    """Wait for the end; a line whenever a job has ended."""
    state, said = selection_state(pk), -1
    while state.active:
        done, there = state.jobs
        if done != said:
            click.echo(f"{state.kind.replace('_', ' ')} {pk}: {done} of {there} jobs so far have ended", err=True)
            said = done
        time.sleep(REFRESH)
        state = selection_state(pk)
    return state


# -- words and tables -------------------------------------------------------------------------------------------------


def _print(state: SelectionState) -> None:
    if state.message or state.result is None:
        console.print(f"[red]{escape(state.message or f'{state.kind} {state.pk} was {state.state}')}[/]")
    match state.result:
        case SearchResult():
            _search(state.result, state.reason_of)
            return
        case LearningCurve():
            _learning_curve(state.result)
        case CrossValidation():
            _cross_validation(state.result)
    for sentence in state.left_out:
        console.print(f"left out: {escape(sentence)}")


def _learning_curve(curve: LearningCurve) -> None:
    known = [quantity for quantity in COMPARED if all(point.error(quantity) for point in curve.points)]
    sizes = table("frames", "potentials", *(NAMES[quantity] for quantity in known))
    for size in sorted({point.size for point in curve.points}):
        points = [point for point in curve.points if point.size == size]
        told = [_spread([error for point in points if (error := point.error(quantity))]) for quantity in known]
        sizes.add_row(str(size), str(len(points)), *told)
    console.print(sizes)
    for quantity, fit in (("forces", curve.forces), ("energy", curve.energy)):
        if fit is not None:
            console.print(_law(NAMES[quantity], fit))


def _law(name: str, fit: CurveFit) -> str:
    """The power law in words, and what it says of a target."""
    if fit.law is None:
        return f"{name}: {fit.reason}"
    exponent = fit.law.exponent
    said = (
        f"{name} ~ frames^-{exponent.value:.2f} (95 % interval of the exponent {exponent.bounds[0]:.2f} to "
        f"{exponent.bounds[1]:.2f})"
    )
    if fit.law.flattens:
        said += "; the curve flattens, so more frames give less than that"
    if not fit.law.falls:
        said += "; it may not fall at all"
    if fit.target is None:
        return said
    target, needed = f"{fit.target:g} {fit.law.unit}", fit.frames_for
    if needed is None:
        return f"{said}; {target} is out of reach"
    bounds = f" (95 % interval {needed.lower:.0f} to {needed.upper:.0f})" if needed.interval else ""
    return f"{said}; {target} takes about {needed.value:.0f} frames{bounds}"


def _cross_validation(result: CrossValidation) -> None:
    known = [(NAMES[quantity], own) for quantity in COMPARED if (own := result.errors(quantity)) is not None]
    folds = table("fold", *(name for name, _ in known))
    for fold in known[0][1].folds if known else ():
        folds.add_row(fold.removeprefix("fold_"), *(_number(own.folds[fold]) for _, own in known))
    folds.add_section()
    folds.add_row("all", *(_number(own.rmse) for _, own in known), style="bold")
    console.print(folds)
    console.print(f"{result.n_frames} frames in {result.n_folds} folds; intervals of 95 % are over blocks of frames")


def _search(result: SearchResult, reason_of: Callable[[str], str]) -> None:
    """A row a trial, the best first; where one failed, ``reason_of`` says why."""
    keys = list(result.trials[0].values) if result.trials else []
    trials = table("trial", *keys, *NAMES.values())
    ranked = sorted(result.trials, key=lambda trial: (trial.error is None, trial.error or 0.0))
    for trial in ranked:
        own = [trial.errors.errors(quantity) for quantity in COMPARED]
        values = [escape(f"{value:.4g}" if isinstance(value, float) else str(value)) for value in trial.values.values()]
        style = "bold" if trial.key == result.best else None
        errors = [_number(errors.rmse) if errors else "failed" for errors in own]
        trials.add_row(trial.key.removeprefix("trial_"), *values, *errors, style=style)
    console.print(trials)
    for trial in ranked:
        if trial.error is None:
            reason = reason_of(trial.key) or "not all of its folds gave an error"
            console.print(f"trial {trial.key.removeprefix('trial_')} failed: {escape(reason)}")
    if result.best is not None:
        console.print(
            f"Smallest {NAMES[result.objective]}: trial {result.best.removeprefix('trial_')}. The smallest of "
            "many is too small by chance: what the choice is worth shows on the probe, which had no say in it."
        )


def _number(number: Number) -> str:
    bounds = f" ({number.lower:.3g} to {number.upper:.3g})" if number.interval else ""
    return f"{number.value:.3g}{bounds} {number.unit}"


def _spread(numbers: list[Number]) -> str:
    """One number with its interval; the range of several."""
    if len(numbers) == 1:
        return _number(numbers[0])
    values = sorted(number.value for number in numbers)
    return f"{values[0]:.3g} to {values[-1]:.3g} {numbers[0].unit}"
