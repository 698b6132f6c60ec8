"""Checks of a campaign file against the profile: codes that answer, pseudopotentials that fit together."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiida_bloomery.campaign_file.checks import labeller
from aiida_bloomery.campaign_file.codes import DEFAULT_LABELS, engine_key, label_of, load_code
from aiida_bloomery.campaign_file.measuring import wanted_of
from aiida_bloomery.campaign_file.model import JOBS
from aiida_bloomery.campaign_file.resolve import Campaign
from aiida_bloomery.setup.pseudopotentials import read_header
from bloomery import __version__

PATIENCE = 60
"""Seconds that a code may take to say its version."""

BANNERS = {
    "pw": (" -in /dev/null 2>&1", re.compile(r"Program PWSCF v\.?(\S+)")),
    "bloomery": (" --version 2>&1", re.compile(r"bloomery\D*(\d[\w.]*)")),
}
"""How a program is asked for its version, and how it answers."""


@dataclass(frozen=True)
class Finding:
    """What was found out about one thing: a sentence, and whether it is a mistake, a warning or fine."""

    what: str
    detail: str
    level: str = "fine"


def check_environment(campaign: Campaign, *, ask: bool = True) -> Iterator[Finding]:
    """See that the codes exist and answer, and that the pseudopotentials cover the elements with one functional.

    Parameters
    ----------
    ask
        Whether to start the programs; for a code elsewhere this opens a connection.

    Raises
    ------
    InputError
        For the first mistake.
    """
    from aiida.orm import InstalledCode  # noqa: PLC0415

    for key in code_keys(campaign):
        code = load_code(campaign, key)
        if ask and isinstance(code, InstalledCode):
            yield ask_version(campaign, key, code)
        else:
            yield Finding(f"code {label_of(code)}", "exists")
    part = labeller(campaign)
    pseudos = getattr(part, "pseudos", None)
    if pseudos is not None:
        yield check_functionals(campaign, pseudos(campaign))
    check_inputs(campaign)
    yield Finding("inputs", "are accepted by the campaign's workchain")


def code_keys(campaign: Campaign) -> list[str]:
    """Entries under ``codes`` that this campaign uses, each program once."""
    named = [verb for verb in JOBS if getattr(campaign.file.codes, verb) is not None]
    needed = labeller(campaign).code_key
    engine = engine_key(campaign)
    return ["bloomery", *([engine] if engine else []), *named, *([needed] if needed in DEFAULT_LABELS else [])]


def ask_version(campaign: Campaign, key: str, code: Any) -> Finding:
    """Start a program to hear its version.

    Raises
    ------
    InputError
        If the computer cannot be reached, or the program is not there.
    """
    where = ("codes", key, "code")
    arguments, banner = BANNERS["pw" if key == "pw" else "bloomery"]
    executable = str(code.get_executable())
    prepend = "\n".join(text for text in (code.computer.get_prepend_text(), code.prepend_text) if text)
    script = (
        f"{prepend}\ncommand -v {shlex.quote(executable)} >/dev/null || exit 127\n"
        f"cd $(mktemp -d) && timeout {PATIENCE} {shlex.quote(executable)}{arguments}"
    )
    try:
        with code.computer.get_transport() as transport:
            status, output, problem = transport.exec_command_wait(f"bash -c {shlex.quote(script)}", stdin="")
    except Exception as error:  # transports raise whatever their libraries do
        raise campaign.source.error(
            where,
            f"the computer {code.computer.label!r} cannot be reached ({type(error).__name__}: {error}); try "
            f"`verdi computer test {code.computer.label}`.",
        ) from error
    name = f"code {code.full_label}"
    if status == 127:
        raise campaign.source.error(
            where, f"{executable} is not on {code.computer.label}; correct the code's path or its prepend text."
        )
    match = banner.search(output)
    if match is None:
        last = (output + problem).strip().splitlines()[-1:] or ["nothing"]
        return Finding(name, f"is there, but did not say its version (it said: {last[0]})", "warning")
    if key != "pw" and match[1] != __version__:
        return Finding(name, f"is version {match[1]}, and this is {__version__}: update it there", "warning")
    return Finding(name, f"answers: version {match[1]}")


def check_inputs(campaign: Campaign) -> None:
    """Do what a submission would do first: ask the validators of all ports, and the labeller about the structures.

    Raises
    ------
    InputError
        If an input is refused.
    """
    from aiida.plugins import WorkflowFactory  # noqa: PLC0415

    from aiida_bloomery.campaign_file.builder import make_builder  # noqa: PLC0415

    builder = make_builder(campaign)
    refused = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))  # noqa: SLF001
    if refused is not None:
        raise campaign.source.error("", f"the campaign is refused: {refused.message} ({refused.port})")
    labelling: Any = WorkflowFactory(f"bloomery.labelling.{campaign.file.labeller}")
    message = labelling.check(campaign.structures, builder.labelling)
    if message is not None:
        raise campaign.source.error(("labelling", campaign.file.labeller), message)
    wanted = wanted_of(campaign)
    message = labelling.check(wanted, builder.labelling) if wanted is not None else None
    if message is not None:
        raise campaign.source.error(("validation",), f"the labeller cannot be asked for what is wanted: {message}")


def check_functionals(campaign: Campaign, pseudos: dict[str, Any]) -> Finding:
    """See that all pseudopotentials were made with the same functional, as their headers say.

    Raises
    ------
    InputError
        If they were not.
    """
    functionals = {}
    for element, node in sorted(pseudos.items()):
        header = read_header(node.get_content())
        functionals[element] = header.functional if header is not None and header.functional else "unknown"
    said = ", ".join(f"{element} {name}" for element, name in functionals.items())
    known = set(functionals.values()) - {"unknown"}
    if len(known) > 1:
        raise campaign.source.error(
            ("labelling", campaign.file.labeller, "pseudopotentials"),
            f"the functionals differ ({said}); choose pseudopotentials of one functional.",
        )
    if "unknown" in functionals.values():
        return Finding("pseudopotentials", f"a header does not say its functional: {said}", "warning")
    return Finding("pseudopotentials", said)
