"""From the ``codes`` of a campaign file to AiiDA codes and the options of their jobs."""

from __future__ import annotations

from typing import Any

from aiida_bloomery.campaign_file.model import JOBS, Code
from aiida_bloomery.campaign_file.resolve import Campaign
from bloomery.engines.installation import needs_environment
from bloomery.errors import InputError
from bloomery.plugins import PluginSpec

DEFAULT_LABELS = {"bloomery": "bloomery@localhost", "pw": "pw@localhost"}

GPU_REQUESTS = {
    "core.slurm": "#SBATCH --gres=gpu:{gpus}",
    "core.sge": "#$ -l gpu={gpus}",
    "core.lsf": '#BSUB -gpu "num={gpus}"',
    "core.direct": "",
}
"""How a scheduler is asked for GPUs, as a line in the head of the job script."""


def load_code(campaign: Campaign, key: str) -> Any:
    """Load the code of an entry under ``codes``.

    Raises
    ------
    InputError
        If there is no such code, or its computer is not configured.
    """
    from aiida import orm  # noqa: PLC0415
    from aiida.common.exceptions import MultipleObjectsError, NotExistent  # noqa: PLC0415

    engine = key == engine_key(campaign)
    usual = (
        f"{key}@localhost"
        if engine and needs_environment(key)
        else DEFAULT_LABELS.get(key, campaign.file.codes.bloomery.code)
    )
    entry: Code | None = getattr(campaign.file.codes, key, None) if engine else entry_of(campaign, key)
    label = (entry.code if entry is not None else None) or usual or "bloomery@localhost"
    where = ("codes", key, "code")
    try:
        code = orm.load_code(label)
    except NotExistent as error:
        if engine and needs_environment(key) and label == usual:
            raise campaign.source.error(
                ("training", key),
                f"the engine {key!r} has no code {label!r}; run `aiida-bloomery setup --engine {key}`, or name one of "
                f"yours under codes: {key}.",
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


def engine_key(campaign: Campaign) -> str | None:
    """Name of the campaign's engine, if it has a program of its own: its entry under ``codes``."""
    name = str(PluginSpec.model_validate(campaign.settings["training"]["engine"]).name)
    return name if needs_environment(name) or getattr(campaign.file.codes, name, None) is not None else None


def label_of(code: Any) -> str:
    """Label of a code with its computer, for those that have one."""
    return str(getattr(code, "full_label", code.label))


def entry_of(campaign: Campaign, key: str) -> Code:
    """The entry of a program, or of what a `bloomery` job does, which falls back to that of `bloomery`."""
    codes = campaign.file.codes
    entry: Code | None = getattr(codes, key, None)
    return entry if entry is not None else codes.bloomery


def job_options(entry: Code, code: Any, *, mpi: bool = False) -> dict[str, Any]:
    """Options of a job that runs one process: its cores are MPI ranks, or threads.

    Parameters
    ----------
    mpi
        Whether the program is started through MPI where the entry does not say.
    """
    if entry.mpi is not None:
        mpi = entry.mpi
    ranks, rest = divmod(entry.cores if mpi else 1, entry.nodes)
    if rest or not ranks:
        raise InputError(
            f"codes: {entry.cores} core(s) cannot be shared evenly by {entry.nodes} nodes; change cores, nodes or mpi."
        )
    resources: dict[str, Any] = {"num_machines": entry.nodes, "num_mpiprocs_per_machine": ranks}
    if not mpi and entry.cores > 1:
        resources["num_cores_per_mpiproc"] = entry.cores
    given = {
        "max_wallclock_seconds": entry.walltime,
        "queue_name": entry.queue,
        "account": entry.account,
        "qos": entry.qos,
        "max_memory_kb": entry.memory,
    }
    options = {"resources": resources, "withmpi": mpi}
    options |= {key: value for key, value in given.items() if value is not None}
    lines = [line for line in (gpu_request(entry, code), *entry.commands) if line]
    if lines:
        options["custom_scheduler_commands"] = "\n".join(lines)
    if entry.prepend:
        options["prepend_text"] = "\n".join(entry.prepend)
    return options


def verb_options(campaign: Campaign, load: Any) -> dict[str, Any]:
    """Options of the jobs of `bloomery` by what they do.

    ``default`` is for those that are not named, and ``engine`` for those that run in the engine's environment.

    Parameters
    ----------
    load
        Function from the key of an entry to its code.
    """
    options = {"default": job_options(campaign.file.codes.bloomery, load("bloomery"))}
    engine = engine_key(campaign)
    if engine is not None:
        options["engine"] = job_options(entry_of(campaign, engine), load(engine))
    for verb in JOBS:
        entry = getattr(campaign.file.codes, verb)
        if entry is not None:
            options[verb] = job_options(entry, load(verb))
    return options


def gpu_request(entry: Code, code: Any) -> str:
    """The line that asks the computer's scheduler for GPUs; empty if none are wanted.

    Raises
    ------
    InputError
        If it is not known how that scheduler is asked.
    """
    if not entry.gpus:
        return ""
    scheduler = code.computer.scheduler_type if code.computer is not None else "core.direct"
    if scheduler not in GPU_REQUESTS:
        raise InputError(
            f"codes: how {scheduler} is asked for GPUs is not known; write the line under commands, and gpus: 0."
        )
    return GPU_REQUESTS[scheduler].format(gpus=entry.gpus)
