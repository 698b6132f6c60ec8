"""What the commands of `bloomery` share: errors in one sentence, job files, progress, and how results are told."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from bloomery.errors import BloomeryError, DataWarning, InputError, RefusedPotentialError

if TYPE_CHECKING:
    from bloomery.progress import Progress

DEBUG_VARIABLE = "BLOOMERY_DEBUG"

Command = Callable[..., Any]
Value = TypeVar("Value")


class Refusal(click.ClickException):
    """One sentence on standard error, and the exit status of its kind."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(" ".join(printable(line).strip() for line in message.splitlines()))
        self.exit_code = exit_code


class Verb(click.Command):
    """With ``--json``, standard output is JSON and nothing else: what packages print goes to standard error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; its context keeps what `tell_json` writes to."""
        ctx.obj = sys.stdout
        with redirect_stdout(sys.stderr) if ctx.params.get("as_json") else nullcontext():
            return super().invoke(ctx)


class Program(click.Group):
    """Turns every error into one sentence: a traceback is a bug, and shown only on demand."""

    command_class = Verb

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command: exit status 2 for bad input, 1 for what failed otherwise."""
        with in_one_sentence(failed=1):
            return super().invoke(ctx)


@contextmanager
def in_one_sentence(failed: int) -> Iterator[None]:
    """Turn what goes wrong inside into one sentence: exit status 2 for bad input, another for what failed otherwise."""
    try:
        with told_warnings():
            yield
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except BloomeryError as error:
        # Who tries a potential has brought it: one that is refused is bad input.
        raise Refusal(str(error), 2 if isinstance(error, InputError | RefusedPotentialError) else failed) from error
    except OSError as error:
        if error.strerror is None or error.filename is None:
            _refuse_unexpected(error)
        raise Refusal(f"{error.filename}: cannot be used: {error.strerror.lower()}.", 2) from error
    except Exception as error:  # noqa: BLE001  whatever it is, its user sees one sentence
        _refuse_unexpected(error)


def _refuse_unexpected(error: Exception) -> NoReturn:
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    what = f"unexpected {type(error).__name__}: {error}"
    raise Refusal(f"{what} (set {DEBUG_VARIABLE}=1 to see where).", 1) from error


@contextmanager
def told_warnings() -> Iterator[None]:
    """Say what is doubtful about somebody's data on standard error, each sentence once; leave what developers read."""
    seen = set()
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
            if issubclass(category, RuntimeWarning) and not os.environ.get(DEBUG_VARIABLE):
                return  # of arithmetic: where numbers end up not finite, that is said
            if not issubclass(category, UserWarning):
                usual(message, category, *where, **options)
            elif str(message) not in seen:
                seen.add(str(message))
                click.echo(f"Note: {' '.join(printable(message).split())}", err=True)

        warnings.showwarning = show
        warnings.simplefilter("always", DataWarning)
        yield


def printable(text: object) -> str:
    """Return a text of somebody's file without characters that a terminal would obey."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in str(text)
    )


def last_line(*texts: str) -> str:
    """Return the last line of what a program said, in one text after the other."""
    return ("\n".join(texts).strip().splitlines()[-1:] or ["nothing"])[0]


option_set = click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting of the plug-in; the value is YAML."
)
option_potential = click.option("--potential", metavar="FOLDER", help="A potential, as `bloomery train` writes it.")
_SCALE = (
    click.option("--force-error", "error", type=float, help="Force error of the potential on the probe in eV/Å."),
    click.option(
        "--calibration", "factor", type=float, help="Calibration factor of the potential's force disagreement."
    ),
)
option_units = click.option(
    "--units",
    metavar="LENGTH,ENERGY",
    help="Units of files of n2p2 (by default what they say, else bohr,Ha) and LAMMPS (Å,eV).",
)
option_prefix = click.option(
    "--prefix",
    metavar="TEXT",
    help="What stands before the names of labels, such as EMT_ of EMT_energy and EMT_forces.",
)
option_elements = click.option(
    "--elements",
    metavar="A,B,...",
    callback=lambda _, __, text: tuple(part.strip() for part in text.split(",")) if text else (),
    help="Elements of the types of files that only number them: dumps of LAMMPS, MTP's CFG.",
)
option_json = click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
_COMMON = (
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every random choice."),
    click.option(
        "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Of torch."
    ),
    click.option("--threads", type=click.IntRange(min=1), help="Threads of the numerical libraries."),
    click.option(
        "--keep", metavar="FOLDER", help="Keep the job's files there; the same command takes up what it began."
    ),
    option_json,
)


@dataclass(frozen=True)
class Common:
    """The options that every verb has."""

    seed: int
    device: str
    threads: int | None
    keep: str | None
    as_json: bool

    @property
    def fields(self) -> dict[str, object]:
        """What of them goes into the job."""
        return {"seed": self.seed, "device": self.device, "threads": self.threads}

    def tell(self, summary: Mapping[str, object], *sentences: str) -> None:
        """See `tell`."""
        tell(summary, *sentences, as_json=self.as_json)


def option_scale(function: Command) -> Command:
    """Add what is known of the potential's errors; the command takes it as ``scale``, ``None`` if nothing is."""

    @wraps(function)
    def command(*words: Any, error: float | None, factor: float | None, **options: Any) -> None:
        known = {"error": error, "factor": factor}
        function(*words, scale={key: value for key, value in known.items() if value is not None} or None, **options)

    return _with_options(command, _SCALE)


def verb(function: Command) -> Command:
    """Add the options that every verb has, taken as ``common``; and run a job file where one is given as ``what``."""

    @wraps(function)
    def command(*, what: str | tuple[str, ...], **options: Any) -> None:
        words = (what,) if isinstance(what, str) else what
        if len(words) == 1 and words[0].endswith(".json"):
            execute_job(function.__name__, words[0])
        own = Common(**{field.name: options.pop(field.name) for field in fields(Common)})
        function(what=what, common=own, **options)

    return _with_options(command, _COMMON)


def _with_options(function: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        function = option(function)
    return function


def execute_job(verb: str, path: str) -> NoReturn:
    """Run a job file as a campaign does, and end with its exit status."""
    from bloomery.jobs.base import RESULT_FILE, execute  # noqa: PLC0415

    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))["verb"]
    except (OSError, ValueError, KeyError, TypeError):
        found = verb  # the job itself says what is wrong with its file
    if found != verb:
        raise InputError(f"{path}: is a job for `bloomery {found}`, not for `bloomery {verb}`.")
    status = execute(path)
    result = json.loads((Path(path).resolve().parent / RESULT_FILE).read_text(encoding="utf-8"))
    if status:
        click.echo(f"Error: {result['error']['message']}", err=True)
        if "traceback" in result:
            click.echo(result["traceback"], err=True)  # into the job's standard error, for whoever looks into it
    raise click.exceptions.Exit(status)


def given(value: Value | None, option: str) -> Value:
    """Return the value of an option that plain files need, and a job file does not."""
    if value is None or value == ():
        raise click.UsageError(f"Missing option '{option}'.")
    return value


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show progress on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich import progress as parts  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415

    texts = parts.TextColumn("{task.description}"), parts.TextColumn("{task.fields[numbers]}")
    columns = (texts[0], parts.BarColumn(), parts.MofNCompleteColumn(), parts.TimeRemainingColumn(), texts[1])
    with parts.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, parts.TaskID] = {}

        def report(stage: str, step: int, total: int, numbers: dict[str, float]) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, numbers="")
            told = "  ".join(f"{key} {value:.4g}" for key, value in numbers.items())
            bar.update(tasks[stage], completed=step, total=total, numbers=told)

        yield report


def tell(summary: Mapping[str, object], *sentences: str, as_json: bool) -> None:
    """Print the summary as JSON, or a few sentences."""
    if as_json:
        tell_json(summary)
        return
    for sentence in sentences:
        click.echo(printable(sentence))


def tell_json(content: object) -> None:
    """Print JSON, where `Verb` has seen to it that nothing else is."""
    click.echo(json.dumps(content, indent=1), file=click.get_current_context().obj)
