"""Checks of a campaign file against the profile: codes that answer, pseudopotentials that fit together."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from aiida_bloomery.campaign_file.budget import budget_findings
from aiida_bloomery.campaign_file.builder import make_builder
from aiida_bloomery.campaign_file.campaign import Campaign, Key
from aiida_bloomery.campaign_file.codes import engine_key, label_of, load_beside, load_code
from aiida_bloomery.campaign_file.foundations import code_key, foundation_keys, named_foundations
from aiida_bloomery.campaign_file.labellers import labeller
from aiida_bloomery.campaign_file.labellers.contract import Finding, Program
from aiida_bloomery.campaign_file.measuring import wanted_by_observables
from aiida_bloomery.campaign_file.model import JOBS
from aiida_bloomery.campaign_file.versions import NOT_THERE, answer, hear_version
from bloomery import __version__
from bloomery.campaign.measuring import unique
from bloomery.foundations.contract import Facts, Foundation
from bloomery.program.console import last_line

BLOOMERY = Program("bloomery", "The program `bloomery`.", "--version 2>&1", re.compile(r"bloomery\D*(\d[\w.]*)"))

READING = 300
"""Seconds that reading a foundation's weights may take."""


def check_environment(campaign: Campaign, *, ask: bool = True) -> Iterator[Finding]:
    """See that the codes exist and answer, that the labeller has what it needs, and that all inputs are accepted.

    Programs are started if they are to be asked; for a code elsewhere this opens a connection. The first mistake is an
    `InputError`.
    """
    from aiida.orm import InstalledCode  # noqa: PLC0415

    views = [campaign, *campaign.drivers.values()]
    found = {part.program.key: (view, part.program) for view in views if (part := labeller(view)).program is not None}
    for key in code_keys(campaign, found):
        view, program = found.get(key, (campaign, BLOOMERY))
        code = load_code(view, key)
        if ask and isinstance(code, InstalledCode):
            yield ask_version(campaign, key, code, program)
        else:
            yield Finding(f"code {label_of(code)}", "exists")
    for view in views:
        for program in labeller(view).runs_beside():
            code = load_beside(view, program, load_code(view, labeller(view).code_key()))
            if ask and isinstance(code, InstalledCode):
                yield ask_version(campaign, program.key, code, program)
            else:
                yield Finding(f"code {label_of(code)}", "exists")
    once = {f"{made.name} {made.settings}": (place, made) for place, made in named_foundations(campaign)}
    for place, foundation in once.values():
        code = load_code(campaign, code_key(foundation, campaign.file) or "sample")
        if ask and isinstance(code, InstalledCode):
            yield ask_foundation(campaign, place, foundation, code)
    for view in views:
        yield from labeller(view).findings(view)
    yield from check_inputs(campaign)


def code_keys(campaign: Campaign, programs: Iterable[str]) -> list[str]:
    """Entries under ``codes`` that this campaign uses, each program once; those of labellers come last."""
    named = [verb for verb in JOBS if campaign.file.codes.entry(verb) is not None]
    engine = engine_key(campaign)
    own = dict.fromkeys([*([engine] if engine else []), *foundation_keys(campaign).values()])
    return ["bloomery", *own, *named, *programs]


def ask_version(campaign: Campaign, key: str, code: Any, program: Program) -> Finding:
    """Start a program to hear its version; raise `InputError` if its computer cannot be reached, or it is not there."""
    where = ("codes", key, "code")
    try:
        heard = hear_version(code, program)
    except Exception as error:  # transports raise whatever their libraries do
        raise campaign.source.error(
            where,
            f"the computer {code.computer.label!r} cannot be reached ({type(error).__name__}: {error}); try "
            f"`verdi computer test {code.computer.label}`.",
        ) from error
    name = f"code {code.full_label}"
    if heard.status == NOT_THERE:
        raise campaign.source.error(
            where,
            f"{code.get_executable()} is not on {code.computer.label}; correct the code's path or its prepend text.",
        )
    if heard.version is None:
        return Finding(name, f"is there, but did not say its version (it said: {heard.last})", "warning")
    if program is BLOOMERY and heard.version != __version__:
        return Finding(name, f"is version {heard.version}, and this is {__version__}: update it there", "warning")
    return Finding(name, f"answers: version {heard.version}")


def ask_foundation(campaign: Campaign, key: Key, foundation: Foundation, code: Any) -> Finding:
    """Have a foundation's weights read where its jobs will run; raise the error of what is not there or covered."""
    settings = foundation.settings.model_dump(mode="json", exclude_unset=True)
    told = [part for name, value in settings.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    told += [part for element in campaign.structures.elements for part in ("--element", element)]
    words = ["foundation", foundation.name, *told, "--json"]
    status, output, problem = answer(code, " ".join(map(shlex.quote, words)), READING)
    try:
        facts = Facts(**json.loads(output)) if not status else None
    except (ValueError, TypeError):
        facts = None
    if facts is None:
        said = last_line(problem or output).removeprefix("Error: ")
        raise campaign.source.error(key, f"{label_of(code)} cannot use it: {said}")
    return Finding(f"foundation {foundation.name}", facts.words)


def check_inputs(campaign: Campaign) -> Iterator[Finding]:
    """Do what a submission would do first, and raise `InputError` if an input is refused.

    The validators of all ports are asked, and the labeller about the structures and what it makes of them.
    """
    from aiida.plugins import WorkflowFactory  # noqa: PLC0415

    builder = make_builder(campaign)
    refused = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))  # noqa: SLF001
    if refused is not None:
        raise campaign.source.error("", f"the campaign is refused: {refused.message} ({refused.port})")
    labelling: Any = WorkflowFactory(f"bloomery.labelling.{campaign.file.labeller}")
    lent = [(view, builder.drivers[name]["labelling"]) for name, view in campaign.drivers.items()]
    for view, inputs in [(campaign, builder.labelling), *lent]:
        process: Any = WorkflowFactory(f"bloomery.labelling.{view.file.labeller}")
        message = process.check(campaign.structures, inputs)
        if message is not None:
            raise campaign.source.error(view.labeller_key(), message)
    wanted = wanted_by_observables(campaign)
    message = labelling.check(unique(list(wanted.values())), builder.labelling) if wanted else None
    if message is not None:
        raise campaign.source.error(("validation",), f"the labeller cannot be asked for what is wanted: {message}")
    yield Finding("inputs", "are accepted by the campaign's workchain")
    yield from budget_findings(campaign, builder.labelling)
    for what, settings in labelling.told(campaign.structures, builder.labelling):
        yield Finding(what, settings)
