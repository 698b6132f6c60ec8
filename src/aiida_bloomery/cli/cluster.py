"""`cluster add`: a computer with a queue, from a file or by questions."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from aiida_bloomery.cli.options import console, json_option, loaded, plain, print_json, profile_option
from aiida_bloomery.cli.setup import MARKS
from bloomery.errors import BloomeryError, InputError

if TYPE_CHECKING:
    from aiida_bloomery.setup.cluster import Cluster
    from aiida_bloomery.setup.home import Home

REHEARSAL: dict[str, Any] = {
    "structures": ["si8.extxyz"],
    "bootstrap": {
        "samplers": [{"rattle_strain": {"frames": 16, "rattle": 0.08, "strain": 0.02}}],
        "selection": ["sanity", {"random": {"frames": 8}}],
    },
    "sampling": [{"md": {"temperatures": [300], "steps": 60, "interval": 10}}],
    "selection": ["sanity", {"farthest_point": {"frames": 4}}],
    "labelling": {"calculator": {"calculator": "stillinger_weber"}},
    "training": {"hdnnp": {"members": 2, "steps": 100}},
    "stop": {"iterations": {"min": 1, "max": 1}},
}
"""A campaign of a few minutes whose every job goes through the queue."""


@click.group("cluster")
def cluster_command() -> None:
    """Computers with a queue."""


@cluster_command.command("add")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--rehearse/--no-rehearse", default=True, help="Send a campaign of a few minutes through its queue.")
@profile_option
@json_option
def add_command(file: Path | None, rehearse: bool, profile: str | None, as_json: bool) -> None:
    """Make computer and codes of a cluster that FILE describes, install the package there, and try it.

    Without FILE you are asked, and the answers are written into a file. What is there already is left alone, so that it
    may be run again.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from aiida_bloomery.campaign_file.reader import parse_model, read_yaml  # noqa: PLC0415
    from aiida_bloomery.setup.cluster import Cluster, add_cluster  # noqa: PLC0415

    file = file or ask()
    source = read_yaml(file)
    cluster = parse_model(Cluster, source.content, source, ())
    home = loaded(profile)
    steps = []
    for step in add_cluster(home, cluster):
        steps.append(asdict(step))
        if not as_json:
            console.print(f" {MARKS[step.state]} {plain(step.what)}: {plain(step.detail)}")
    rehearsed = _rehearse(home, cluster, quiet=as_json) if rehearse else None
    codes = suggested(cluster)
    if as_json:
        print_json({"computer": cluster.label, "steps": steps, "rehearsal": rehearsed, "codes": codes})
        return
    if rehearsed is not None:
        console.print(f" {MARKS['made']} rehearsal: {rehearsed['labels']} labels in {rehearsed['seconds']:.0f} s")
    console.print("In campaign files:\n", markup=False)
    console.print(written({"codes": codes}), markup=False)


def suggested(cluster: Cluster) -> dict[str, dict[str, object]]:
    """What a campaign file says under ``codes`` for this cluster."""
    cores = max(1, cluster.cores)
    ranks = next(number for number in (4, 3, 2, 1) if cores % number == 0)
    labelling = {"cores": ranks, "parallel": cores // ranks, "walltime": "6 h"}
    codes = {
        name: {"code": f"{name}@{cluster.label}", **cluster.options(**labelling)}
        for name in cluster.programs
        if name != "bloomery"
    }
    own = {"code": f"bloomery@{cluster.label}", **cluster.options(cores=min(cores, 8), walltime="2 h")}
    return {**codes, "bloomery": own}


def written(content: object) -> str:
    """YAML as a user would write it: what is innermost on a line of its own."""
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True).rstrip()


def _rehearse(home: Home, cluster: Cluster, *, quiet: bool) -> dict[str, Any]:
    """Run a small campaign there to its end; say what came of it."""
    from ase.build import bulk  # noqa: PLC0415

    from aiida_bloomery.campaign_file import load_campaign  # noqa: PLC0415
    from aiida_bloomery.campaign_file.profile_checks import check_environment  # noqa: PLC0415
    from aiida_bloomery.cli import display  # noqa: PLC0415
    from aiida_bloomery.submission.campaigns import submit_campaign  # noqa: PLC0415

    code = {"code": f"bloomery@{cluster.label}", **cluster.options(walltime="10 min")}
    content = {"name": f"rehearsal-{cluster.label}", **REHEARSAL, "codes": {"bloomery": code}}
    with tempfile.TemporaryDirectory() as folder:
        bulk("Si", cubic=True).write(Path(folder) / "si8.extxyz")
        file = Path(folder) / "campaign.yaml"
        file.write_text(written(content), encoding="utf-8")
        campaign, _ = load_campaign(file)
        for _ in check_environment(campaign, ask=True):
            pass
        submission = submit_campaign(campaign, home, again=True)
    if not quiet:
        console.print(f"Rehearsal: campaign {submission.pk}; Ctrl-C leaves it alone.")
    try:
        state = display.watch(submission.pk, home)
    except KeyboardInterrupt:
        raise BloomeryError(f"the rehearsal goes on: `aiida-bloomery status {submission.pk} --watch`.") from None
    if not state.succeeded:
        raise BloomeryError(f"the rehearsal did not end well: {display.ending(state)}; see campaign {submission.pk}.")
    return {"pk": submission.pk, "labels": state.labels, "seconds": state.seconds}


def ask() -> Path:
    """Ask for what a cluster is, and write it into a file; `InputError` where nobody is there to answer."""
    if not sys.stdin.isatty():
        raise InputError("give a file that describes the cluster, or answer questions in a terminal.")
    from aiida_bloomery.setup.cluster import Scheduler  # noqa: PLC0415

    schedulers = click.Choice(Scheduler.__args__)  # type: ignore[attr-defined]
    answers: dict[str, Any] = {
        "label": click.prompt("Name of the cluster, as AiiDA shall know it"),
        "host": click.prompt("Host name of its login node (localhost for this machine)"),
        "scheduler": click.prompt("Its queue", type=schedulers, default="slurm"),
        "work": click.prompt("Folder in which jobs run", default="/scratch/{username}/aiida"),
        "cores": click.prompt("Cores of a node", type=click.IntRange(min=1), default=1),
    }
    for key, question in (
        ("user", "User there (empty: as ssh has it)"),
        ("queue", "Queue or partition (empty: the usual one)"),
        ("account", "Account that jobs are booked on (empty: none)"),
        ("before", "Line of shell before every job, such as `module load Python` (empty: none)"),
        ("python", "Python there, 3.11 or later, for the package"),
    ):
        value = click.prompt(question, default="python3" if key == "python" else "", show_default=key == "python")
        if value:
            answers[key] = value
    path = click.prompt("Path or name of pw.x there (empty: none)", default="", show_default=False)
    if path:
        modules = click.prompt("Modules to load before pw.x (empty: none)", default="", show_default=False)
        answers["programs"] = {"pw": {"path": path, **({"modules": modules.split()} if modules else {})}}
    file = Path(f"{answers['label']}.cluster.yaml")
    if file.exists():
        raise InputError(f"{file}: exists; give it to `cluster add`, or choose another name.")
    file.write_text(written(answers) + "\n", encoding="utf-8")
    console.print(f"Written to {plain(file)}; `cluster add {plain(file)}` does the same again.")
    return file
