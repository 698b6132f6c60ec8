"""From the ``codes`` of a campaign file to AiiDA codes and the options of their jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.foundations import foundation_keys
from aiida_bloomery.campaign_file.labellers import labeller_entry, labeller_part, programs_of
from aiida_bloomery.campaign_file.labellers.contract import Program
from aiida_bloomery.campaign_file.model import JOBS, Code
from aiida_bloomery.campaign_file.options import job_options
from aiida_bloomery.campaign_file.starts import runs_in
from bloomery.engines.installation import needs_environment

DEFAULT_CODE = "bloomery@localhost"


def load_code(campaign: Campaign, key: str) -> Any:
    """Load the code of an entry under ``codes``; `InputError` if there is none, or its computer is not configured."""
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import MultipleObjectsError, NotExistent  # noqa: PLC0415

    setup = _set_up_by(campaign, key)
    own = bool(setup) or key in _programs(campaign)
    usual = f"{key}@localhost" if own else campaign.file.codes.bloomery.code or DEFAULT_CODE
    entry = campaign.file.codes.entry(key) if own else entry_of(campaign, key)
    label = (entry.code if entry is not None else None) or usual
    where = ("codes", key, "code")
    try:
        code = orm.load_code(label)
    except NotExistent as error:
        if setup and label == usual:
            role, name = setup
            raise campaign.source.error(
                ("training", name) if name == campaign.training.engine.name else ("foundation",),
                f"the {role} {name!r} has no code {label!r}; run `aiida-bloomery setup --{role} {name}`, or name one "
                f"of yours under codes: {key}.",
            ) from error
        query = orm.QueryBuilder().append(orm.Computer, tag="computer", project="label")
        query.append(orm.AbstractCode, with_computer="computer", project="label")
        known = ", ".join(sorted(f"{code}@{computer}" for computer, code in query.all()))
        raise campaign.source.error(
            where,
            f"there is no code {label!r} (there: {known or 'none'}); correct the label, run `aiida-bloomery setup` for "
            "this machine's codes, or make it with `verdi code create core.code.installed`.",
        ) from error
    except MultipleObjectsError as error:
        raise campaign.source.error(
            where, f"several codes are called {label!r}; write the label with its computer, such as {label}@COMPUTER."
        ) from error
    computer = code.computer
    if computer is not None and not computer.is_configured:
        raise campaign.source.error(
            where,
            f"the computer {computer.label!r} of {label!r} is not configured; run "
            f"`verdi computer configure {computer.transport_type} {computer.label}`.",
        )
    return code


def load_beside(campaign: Campaign, program: Program, code: Any) -> Any:
    """Load the code of a program that runs in the jobs of another: by default one on its computer, beside it there.

    Raises
    ------
    InputError
        If there is none, it is on another computer, or its entry says how jobs of its own would run.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import MultipleObjectsError, NotExistent  # noqa: PLC0415

    key, entry = program.key, campaign.file.codes.entry(program.key)
    if entry is not None and (odd := sorted(entry.model_fields_set - {"code"})):
        raise campaign.source.error(
            ("codes", key, odd[0]),
            f"{key} runs in the jobs of {_program(campaign)}, as these do; leave all but `code` out.",
        )
    if entry is not None and entry.code is not None:
        found = load_code(campaign, key)
        if found.computer is None or found.computer.uuid != code.computer.uuid:
            where = found.computer.label if found.computer is not None else "no computer"
            raise campaign.source.error(
                ("codes", key, "code"),
                f"{label_of(found)} is on {where}, and must be on {code.computer.label}, where "
                f"{label_of(code)} is: both run in one job.",
            )
        return found
    label = f"{key}@{code.computer.label}"
    try:
        return orm.load_code(label)
    except (NotExistent, MultipleObjectsError):
        path = _beside(code, key)
    if path is None:
        raise campaign.source.error(
            ("codes", key),
            f"there is no code {label!r}, and no {key}.x beside {code.get_executable()} on {code.computer.label}; "
            f"install it there, or make a code with `verdi code create core.code.installed` and name it (codes: "
            f"{{{key}: {{code: LABEL@{code.computer.label}}}}}).",
        )
    made = orm.InstalledCode(
        label=key,
        computer=code.computer,
        filepath_executable=path,
        default_calc_job_plugin=f"quantumespresso.{key}",
        prepend_text=code.prepend_text,
        append_text=code.append_text,
    )
    made.description = f"found beside {label_of(code)}"
    return made.store()


def _beside(code: Any, key: str) -> str | None:
    """Path of a program of the same package, if it is where that of a code is; for this its computer is asked."""
    from aiida.orm import InstalledCode  # noqa: PLC0415

    if not isinstance(code, InstalledCode):
        return None
    path = PurePosixPath(str(code.get_executable()))
    if not path.is_absolute():
        return None
    beside = str(path.with_name(f"{key}.x"))
    with code.computer.get_transport() as transport:
        return beside if transport.isfile(beside) else None


def engine_key(campaign: Campaign) -> str | None:
    """Name of the campaign's engine, if it has a program of its own: its entry under ``codes``."""
    where, name = runs_in(campaign), campaign.training.engine.name
    if where is not None:
        return where[1]
    return name if campaign.file.codes.entry(name) is not None else None


def _set_up_by(campaign: Campaign, key: str) -> tuple[str, str] | None:
    """Role and name of the plug-in whose set-up makes the code of an entry, if that is one of an environment."""
    if (where := runs_in(campaign)) is not None and key == where[1]:
        return where
    named = (name for name, own in foundation_keys(campaign).items() if own == key)
    return next((("foundation", name) for name in named if needs_environment(name, "foundations")), None)


def label_of(code: Any) -> str:
    """Label of a code with its computer, for those that have one."""
    return str(getattr(code, "full_label", code.label))


def entry_of(campaign: Campaign, key: str) -> Code:
    """The entry of a program, or of what a `bloomery` job does, which falls back to that of `bloomery`."""
    if key == _program(campaign):
        return labeller_entry(campaign.file, labeller_part(campaign.file.labeller))
    return campaign.file.codes.entry(key) or campaign.file.codes.bloomery


def _program(campaign: Campaign) -> str | None:
    """The program of the labeller, if it has one."""
    program = labeller_part(campaign.file.labeller).program
    return None if program is None else program.key


def _programs(campaign: Campaign) -> list[str]:
    """The programs of the labeller: its own, and those that may run in its jobs."""
    return [program.key for program in programs_of(labeller_part(campaign.file.labeller))]


def verb_options(campaign: Campaign, load: Callable[[str], Any]) -> dict[str, dict[str, object]]:
    """Options of the jobs of `bloomery` by what they do; ``load`` gives the code of an entry.

    ``default`` is for those that are not named, ``engine`` for those that run in the engine's environment, and
    ``foundation_NAME`` for those that run in a foundation's.
    """
    options = {"default": job_options(campaign.file.codes.bloomery, load("bloomery"))}
    engine = engine_key(campaign)
    if engine is not None:
        options["engine"] = job_options(entry_of(campaign, engine), load(engine))
    for name, key in foundation_keys(campaign).items():
        options[f"foundation_{name}"] = job_options(entry_of(campaign, key), load(key))
    for verb in JOBS:
        entry = campaign.file.codes.entry(verb)
        if entry is not None:
            options[verb] = job_options(entry, load(verb))
    return options
