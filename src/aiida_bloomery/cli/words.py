"""`accept`, `set-aside`, `retract`, `retry` and `retrain`: a hand on every label, and what follows from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from aiida_bloomery.cli.options import (
    console,
    json_option,
    loaded,
    pk_argument,
    plain,
    print_json,
    profile_option,
    program,
)
from bloomery.errors import InputError

if TYPE_CHECKING:
    from aiida_bloomery.setup.home import Home
    from bloomery.campaign.words import Entry, Verb, Word

FAILED = 1
REFRESH = 2.0
"""Seconds between two looks at a training."""

frames_argument = click.argument("frames", nargs=-1, required=True, metavar="FRAMES")
"""Names of frames, as `ledger` prints them."""
why_option = click.option("--why", required=True, metavar="TEXT", help="Why; it stands in the graph with your address.")


def train_option(*, default: bool) -> Callable[[Any], Any]:
    """``--train``: what becomes of a campaign that has ended."""
    return click.option(
        "--train/--no-train",
        default=default,
        show_default=True,
        help="Train a campaign that has ended on what is left; one that runs heeds the word at its next training.",
    )


def _verb(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Make the command of a word on frames that are named."""

    def made(function: Callable[..., None]) -> click.Command:
        command: Any = function
        for option in (
            json_option,
            profile_option,
            train_option(default=False),
            why_option,
            frames_argument,
            pk_argument,
        ):
            command = option(command)
        return click.command(name)(command)

    return made


@_verb("accept")
def accept_command(pk: str, frames: tuple[str, ...], why: str, train: bool, profile: str | None, as_json: bool) -> None:
    """Accept labels that are suspect or were taken out: they are trained on from now on.

    FRAMES are named as `ledger` prints them: 2:5, 2:5-9, or the beginning of a content hash.
    """
    home = loaded(profile)
    _say(home, pk, "accept", _named(frames), why, train=train, as_json=as_json)


@_verb("set-aside")
def set_aside_command(
    pk: str, frames: tuple[str, ...], why: str, train: bool, profile: str | None, as_json: bool
) -> None:
    """Keep labels out of training without calling them wrong; suspect ones wait no longer.

    FRAMES are named as `ledger` prints them: 2:5, 2:5-9, or the beginning of a content hash.
    """
    home = loaded(profile)
    _say(home, pk, "set_aside", _named(frames), why, train=train, as_json=as_json)


@click.command("retract")
@pk_argument
@click.argument("frames", nargs=-1, metavar="[FRAMES]")
@click.option("--job", metavar="PK", help="All labels of this label job; also by its UUID.")
@click.option("--code-version", metavar="TEXT", help="All labels of a program's version, such as 'pw.x 6.7'.")
@click.option(
    "--query", metavar="TEXT", help="All labels of which this is true: 'temperature > 1500 and role = train'."
)
@why_option
@train_option(default=True)
@profile_option
@json_option
def retract_command(
    pk: str,
    frames: tuple[str, ...],
    job: str | None,
    code_version: str | None,
    query: str | None,
    why: str,
    train: bool,
    profile: str | None,
    as_json: bool,
) -> None:
    """Retract labels that are wrong: they leave the data set at the next training.

    They are FRAMES, named as `ledger` prints them, or all of a label job, a code's version, or a query. Nothing is
    deleted: history and report say which potentials had learnt from them, and what they cost.
    """
    ways = {"--job": job, "--code-version": code_version, "--query": query}
    given = {option: value for option, value in ways.items() if value is not None}
    if len(given) + bool(frames) != 1:
        raise click.UsageError("give frames, or one of --job, --code-version and --query.")
    home = loaded(profile)
    if frames:
        _say(home, pk, "retract", _named(frames), why, train=train, as_json=as_json)
        return
    from aiida_bloomery.provenance import labels  # noqa: PLC0415

    ((option, value),) = given.items()

    def choose(campaign: Any, found: list[Entry]) -> list[Entry]:
        if option == "--job":
            chosen = labels.of_job(found, str(value))
        elif option == "--code-version":
            chosen = labels.of_version(found, str(value))
        else:
            chosen = labels.of_query(campaign, found, str(value))
        left = [entry for entry in chosen if entry["outcome"] != "retracted"]
        if not left:
            raise InputError(f"{option} {value}: all of its labels are retracted already.")
        return left

    _say(home, pk, "retract", choose, why, by=f"{option} {value}", train=train, as_json=as_json)


@click.command("retry")
@pk_argument
@frames_argument
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE",
    help="Another value of an input of the labeller, such as pw.parameters.SYSTEM.ecutwfc=40.",
)  # fmt: skip
@why_option
@click.option("--detach", is_flag=True, help="Print the PK and do not wait.")
@profile_option
@json_option
def retry_command(
    pk: str,
    frames: tuple[str, ...],
    assignments: tuple[str, ...],
    why: str,
    detach: bool,
    profile: str | None,
    as_json: bool,
) -> None:
    """Label frames once more, failed ones too, with the labeller's settings or others.

    FRAMES are named as `ledger` prints them. What comes of it takes the place of the first label at the next training.
    """
    from bloomery.program.plain_files import parse_assignments  # noqa: PLC0415

    home = loaded(profile)
    from aiida_bloomery.submission import words  # noqa: PLC0415

    changes = parse_assignments(assignments)
    campaign, chosen, word = _checked(
        pk, "retry", _named(frames), why, f"with {', '.join(assignments)}" * bool(changes)
    )
    builder = words.retry_builder(campaign, {str(entry["batch"]) for entry in chosen}, changes)
    words.check_inputs(builder, without="word")
    builder.word = words.say_word(campaign, word)
    process, notes = words.submit_checked(builder, home)
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    if not detach:
        _wait(process, f"labels {len(chosen)} frame(s) again")
    _told(campaign, word, process, as_json=as_json)


@click.command("retrain")
@pk_argument
@click.option("--detach", is_flag=True, help="Print the PK and do not wait.")
@profile_option
@json_option
def retrain_command(pk: str, detach: bool, profile: str | None, as_json: bool) -> None:
    """Train the potential of a campaign that has ended on what words on its labels have left, and deliver it."""
    home = loaded(profile)
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415

    campaign = load_campaign_node(pk)
    process = _retrain(campaign, home, detach=detach)
    if as_json:
        print_json({"campaign": campaign.pk, "process": process})


# -- what they share --------------------------------------------------------------------------------------------------

Choose = Any
"""Takes the campaign and its ledger, and returns the entries that are meant."""


def _named(frames: tuple[str, ...]) -> Choose:
    def choose(_campaign: Any, found: list[Entry]) -> list[Entry]:
        from bloomery.campaign.words import named  # noqa: PLC0415

        return named(frames, found)

    return choose


def _checked(pk: str, verb: Verb, choose: Choose, why: str, by: str = "") -> tuple[Any, list[Entry], Word]:
    """Find the frames, and see whether the word can be said of them: nothing is written yet."""
    from aiida_bloomery.provenance import ledger  # noqa: PLC0415
    from aiida_bloomery.provenance.labels import check_word  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import load_campaign_node  # noqa: PLC0415
    from aiida_bloomery.submission.words import make_word  # noqa: PLC0415

    if not why.strip():
        raise InputError("--why: is empty; say why, for whoever reads the history.")
    campaign = load_campaign_node(pk)
    found = ledger.entries(campaign)
    chosen = choose(campaign, found)
    word = make_word(campaign, verb, chosen, why.strip(), by)
    check_word(campaign, found, chosen, word)
    return campaign, chosen, word


def _say(
    home: Home, pk: str, verb: Verb, choose: Choose, why: str, *, train: bool, as_json: bool, by: str = ""
) -> None:
    from aiida_bloomery.submission.words import retraining_builder, say_word  # noqa: PLC0415

    campaign, _, word = _checked(pk, verb, choose, why, by)
    trains = train and campaign.is_terminated
    if trains:
        retraining_builder(campaign)  # refused before anything is written
    say_word(campaign, word)
    process = _retrain(campaign, home, detach=True) if trains else None
    _told(campaign, word, process, as_json=as_json)


def _told(campaign: Any, word: Word, process: int | None, *, as_json: bool) -> None:
    """Print what was said."""
    from aiida_bloomery.provenance import ledger  # noqa: PLC0415

    told = next(one for one in ledger.words(campaign) if one.word.when == word.when)
    potentials = [node.pk for node in told.potentials]
    if as_json:
        facts = {"campaign": campaign.pk, "word": told.word.as_dict(), "cost": told.cost.as_dict()}
        print_json({**facts, "potentials": potentials, "process": process})
        return
    console.print(plain(told.sentence))
    if not campaign.is_terminated:
        console.print("The campaign heeds it at its next training.")
    elif process is None:
        console.print(f"`{program()} retrain {campaign.pk}` trains on what is left.")


def _retrain(campaign: Any, home: Home, *, detach: bool) -> int:
    """Submit a training, and wait for its end unless it is to go on alone; return its PK."""
    from aiida_bloomery.submission import words  # noqa: PLC0415

    process, notes = words.submit_checked(words.retraining_builder(campaign), home)
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"Note: training {process} on what is left of campaign {campaign.pk}", err=True)
    if not detach:
        _wait(process, "trains")
        from aiida_bloomery.cli.display import quantity  # noqa: PLC0415
        from aiida_bloomery.provenance import campaign as campaigns  # noqa: PLC0415

        delivered = campaigns.record(campaign).delivered
        error = quantity(delivered.error("forces") if delivered else None)
        console.print(f"Trained: force RMSE {error} on the probe; `export` and `report` deliver it.")
    return process


def _wait(pk: int, what: str) -> None:
    """Wait until a process has ended; one that failed is an error."""
    from aiida import orm  # noqa: PLC0415

    from aiida_bloomery.data.ended import how_it_ended  # noqa: PLC0415

    node = orm.load_node(pk)
    while not node.is_terminated:
        time.sleep(REFRESH)
    if not node.is_finished_ok:
        console.print(plain(f"process {pk} {what}: {how_it_ended(node)}"))
        raise click.exceptions.Exit(FAILED)
