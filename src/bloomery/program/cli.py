"""The command `bloomery`: every verb on a job file, as the jobs of a campaign run it, and on plain files."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from bloomery.errors import InputError
from bloomery.program.console import (
    Common,
    Program,
    execute_job,
    given,
    option_elements,
    option_json,
    option_potential,
    option_prefix,
    option_scale,
    option_set,
    option_units,
    tell,
    tell_json,
    verb,
)
from bloomery.program.property_commands import property_
from bloomery.program.warm import run_warm


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aiida-bloomery", prog_name="bloomery")
def cli() -> None:
    """Sample, describe, select, label, train, predict, observe: active learning of interatomic potentials.

    Every verb of these runs a job file (`bloomery sample job.json`) or works on plain files, extxyz for frames. Import,
    export and convert are the way from and to other programs.
    """


cli.add_command(property_)


@cli.command()
@click.argument("what", metavar="SAMPLER|JOB.json")
@click.option("--start", metavar="FILE", help="Starting structures, in any format that ASE reads.")
@click.option("--out", metavar="FILE", help="Where the frames go: .extxyz or .npz.")
@option_potential
@option_scale
@option_set
@verb
def sample(what: str, start: str | None, out: str | None, common: Common, **options: Any) -> None:
    """Make new configurations.

    Example: bloomery sample md --start si.extxyz --potential pot/ --set temperatures=[300,600] --out pool.extxyz
    """
    from bloomery.frames.configurations import Configurations  # noqa: PLC0415
    from bloomery.jobs import sample as job  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    target = files.check_output(given(out, "--out"))
    fields = {
        "sampler": {"name": what, "settings": files.parse_assignments(options["assignments"])},
        "start": files.absolute(given(start, "--start"), "file"),
        "scale": options["scale"],
        "potential": files.potential(options["potential"]),
    }
    with files.finished_job(job, fields, common) as (folder, summary):
        frames = Configurations.load(folder / "frames.npz")
        if not len(frames):
            raise files.no_frames(summary)
        files.write_frames(frames, target)
        common.tell(summary, *files.told_stops(summary), f"{len(frames)} frames -> {target}")


@cli.command()
@click.argument("what", nargs=-1, required=True, metavar="FRAMES...|JOB.json")
@click.option("--descriptor", default="power_spectrum", show_default=True, help="Which descriptor.")
@click.option("--element", "elements", multiple=True, help="Element to tell apart; by default those that occur.")
@click.option("--out", metavar="FILE", help="Where the features go: .npz, one array (frames, features) per file.")
@option_set
@verb
def describe(what: tuple[str, ...], elements: tuple[str, ...], out: str | None, common: Common, **options: Any) -> None:
    """Compute the features of frames, averaged over their atoms."""
    from bloomery.jobs import describe as job  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    target = files.check_output(given(out, "--out"), [".npz"])
    inputs = files.keyed(what)
    fields = {
        "descriptor": {"name": options["descriptor"], "settings": files.parse_assignments(options["assignments"])},
        "elements": list(elements),
        "inputs": inputs,
    }
    with files.finished_job(job, fields, common) as (folder, summary):
        shutil.copyfile(folder / "features.npz", target)
        common.tell(summary, f"features of {', '.join(inputs)} -> {target}")


@cli.command()
@click.argument("what", nargs=-1, metavar="[JOB.json]")
@click.option("--pool", "pools", multiple=True, metavar="FILE", help="Candidates; may be given more than once.")
@click.option("--data", multiple=True, metavar="FILE", help="What is labelled already; may be given more than once.")
@click.option("-s", "--selector", "selectors", multiple=True, metavar="NAME:KEY=VALUE,...", help="In turn.")
@click.option("--roles", multiple=True, metavar="KEY=VALUE", help="Shares of the roles, such as probe_share=0.1.")
@click.option("--no-probe", is_flag=True, help="Draw no probe.")
@click.option("--max-frames", type=click.IntRange(min=1), help="Select at most so many, the probe among them.")
@click.option("--descriptor", default="power_spectrum", show_default=True, help="For selectors that need features.")
@click.option("--memory", type=click.FloatRange(min=0, min_open=True), help="GiB; large pools stay in files.")
@click.option("--property-model", "property_models", multiple=True, metavar="FOLDER", help="For property_disagreement.")
@click.option("--out", metavar="FILE", help="Where the selected frames go: .extxyz or .npz.")
@option_potential
@option_scale
@verb
def select(what: tuple[str, ...], out: str | None, common: Common, **options: Any) -> None:
    """Choose frames that are worth a label, and draw the probe.

    Example: bloomery select --pool pool.extxyz --data data.extxyz -s sanity -s random:frames=12 --out selected.extxyz
    """
    if what:
        raise click.UsageError(f"{what[0]!r} is not a job file; give candidates with --pool.")
    from bloomery.frames.configurations import Configurations  # noqa: PLC0415
    from bloomery.jobs import select as job  # noqa: PLC0415
    from bloomery.plugins import PluginSpec  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    target = files.check_output(given(out, "--out"))
    roles = files.parse_assignments(options["roles"])
    if options["no_probe"]:
        roles |= {"probe_share": 0, "min_probe": 0}
    candidates: dict[str, Any] = {
        "selectors": [files.parse_selector(text) for text in given(options["selectors"], "--selector")],
        "pools": files.keyed(given(options["pools"], "--pool")),
        "data_set": files.keyed(options["data"]),
        "memory": options["memory"],
        "descriptor": PluginSpec(name=options["descriptor"]),
    }
    fields = {
        **candidates,
        "roles": roles,
        "scale": options["scale"],
        "max_frames": options["max_frames"],
        "potential": files.potential(options["potential"]),
        "property_models": files.property_models(options["property_models"]),
    }
    features = partial(files.features_for, **candidates)
    with files.finished_job(job, fields, common, features) as (folder, summary):
        frames = Configurations.load(folder / "selected.npz")
        if len(frames):
            files.write_frames(frames, target)
        steps = [f"  {step['selector']}: {step['came_in']} -> {step['left']}" for step in summary["funnel"]]
        roles_told = ", ".join(f"{n} {role}" for role, n in summary["roles"].items() if n)
        told = f"{len(frames)} of {summary['n_pool']} frames -> {target} ({roles_told})"
        common.tell(summary, *steps, told if len(frames) else "no frame is left; nothing was written")


@cli.command()
@click.argument("what", metavar="FRAMES|JOB.json")
@click.option("--labeller", default="calculator", show_default=True, help="Which labeller.")
@click.option("--out", metavar="FILE", help="Where the labelled frames go: .extxyz or .npz.")
@option_set
@verb
def label(what: str, labeller: str, out: str | None, assignments: tuple[str, ...], common: Common) -> None:
    """Give frames their reference energies, forces and stresses.

    Example: bloomery label sel.extxyz --set calculator=stillinger_weber --out labelled.extxyz
    """
    from bloomery.frames.configurations import Configurations  # noqa: PLC0415
    from bloomery.jobs import label as job  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    target = files.check_output(given(out, "--out"), files.LABELLED_SUFFIXES)
    settings = files.parse_assignments(assignments)
    if isinstance(library := settings.get("library"), str):
        settings["library"] = files.absolute(library, "file")
    fields = {"labeller": {"name": labeller, "settings": settings}, "configurations": files.absolute(what, "file")}
    with files.finished_job(job, fields, common) as (folder, summary):
        frames = Configurations.load(folder / "labelled.npz")
        ledger = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))["entries"]
        failed = [f"  frame {entry['frame']}: {entry['reason']}" for entry in ledger if entry["outcome"] == "failed"]
        if not len(frames):
            raise InputError(f"{what}: no frame could be labelled; {failed[0].strip()}.")
        files.write_frames(frames, target)
        common.tell({**summary, "ledger": ledger}, *failed, f"{len(frames)} labelled frames -> {target}")


@cli.command()
@click.argument("what", nargs=-1, required=True, metavar="DATA...|JOB.json")
@click.option("--engine", default="hdnnp", show_default=True, help="Which engine.")
@click.option("--start-from", metavar="FOLDER", help="Go on from the weights of this potential.")
@click.option(
    "--early-stopping", type=click.FloatRange(0, 0.5), default=0.1, show_default=True,
    help="Share of the frames to stop on, where the frames do not say their role.",
)  # fmt: skip
@click.option(
    "--energy-reference", metavar="fit|isolated_atoms|EL=EV,...",
    help="Energy of each element's atom; by default of the frames of a single atom that are named so (config_type="
    "IsolatedAtom), else by least squares.",
)  # fmt: skip
@click.option("--out", metavar="FOLDER", help="Where the potential goes.")
@option_prefix
@option_set
@verb
def train(what: tuple[str, ...], out: str | None, common: Common, **options: Any) -> None:
    """Fit a potential to labelled frames."""
    from bloomery.frames.census import told_labels  # noqa: PLC0415
    from bloomery.jobs import train as job  # noqa: PLC0415
    from bloomery.plugins import PluginSpec  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    target = files.check_new_folder(given(out, "--out"))
    frames = files.labelled_frames(what, options["prefix"])
    reference = files.energy_reference(options["energy_reference"], frames)
    engine = PluginSpec(name=options["engine"], settings=files.parse_assignments(options["assignments"]))
    fields = {
        "engine": engine.model_dump(),
        "start_from": files.potential(options["start_from"]),
        "energy_reference": reference,
    }
    told = [f"{len(frames)} frames: {told_labels(frames)}", *files.told_reference(reference)]
    roles = partial(files.with_roles, frames=frames, share=options["early_stopping"], seed=common.seed)
    for sentence in engine.load("engines").foreseen(frames.elements, len(frames), float(frames.counts.mean())):
        click.echo(f"Note: {sentence}", err=True)
    with files.finished_job(job, fields, common, roles) as (folder, summary):
        shutil.copytree(folder / "potential", target, dirs_exist_ok=True)
        common.tell(summary, *told, *files.told_training(summary), f"potential -> {target}")


@cli.command(hidden=True)
@click.argument("job", metavar="JOB.json")
def learn(job: str) -> None:
    """Run a job that learns a property; on plain files that is `bloomery property train`."""
    execute_job("learn", job)


@cli.command()
@click.argument("what", nargs=-1, required=True, metavar="(POTENTIAL FRAMES)|JOB.json")
@click.option("--out", metavar="FILE", help="Where the frames go, with the committee's mean as their labels.")
@click.option("--stress/--no-stress", default=True, show_default=True, help="Predict stresses too.")
@verb
def predict(what: tuple[str, ...], out: str | None, stress: bool, common: Common) -> None:
    """Predict energies, forces and stresses, and the disagreement of the committee."""
    if len(what) != 2:
        raise click.UsageError("give the folder of a potential and a file with frames.")
    from bloomery.jobs import predict as job  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    target = files.check_output(given(out, "--out"), files.LABELLED_SUFFIXES)
    given_frames = files.read_all(what[1:])
    files.check_apart(given_frames, what[1])
    fields = {
        "potential": files.potential(what[0]),
        "configurations": files.absolute(what[1], "file"),
        "stress": stress,
    }
    with files.finished_job(job, fields, common) as (folder, summary):
        frames = files.predicted_frames(given_frames, folder / "prediction.npz")
        files.write_frames(frames, target)
        common.tell(summary, f"{len(frames)} frames -> {target}")


@cli.command()
@click.argument("what", nargs=-1, required=True, metavar="(OBSERVABLE FRAMES...)|JOB.json")
@click.option("--role", "roles", multiple=True, help="Keep only frames with this role; may be given more than once.")
@click.option(
    "--reference", multiple=True, metavar="FILE",
    help="Labelled frames that were wanted, or a trajectory of the reference; may be given more than once.",
)  # fmt: skip
@click.option("--wanted", metavar="FILE", help="Measure nothing: write the frames that the reference is to label.")
@click.option("--arrays", metavar="FILE", help="Write the arrays behind the numbers: .npz.")
@option_potential
@option_set
@verb
def observe(what: tuple[str, ...], assignments: tuple[str, ...], common: Common, **options: Any) -> None:
    """Measure an observable, such as the errors of a potential on labelled frames.

    Example: bloomery observe errors --potential pot/ test.extxyz

    What is computed from structures is compared with the reference on the same frames: write them with --wanted, label
    them, and give them as --reference.
    """
    if len(what) < 2:
        raise click.UsageError("give the name of an observable and at least one file with frames.")
    from bloomery.jobs import observe as job  # noqa: PLC0415
    from bloomery.plugins import PluginSpec  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    settings = files.parse_assignments(assignments)
    if isinstance(model := settings.get("model"), str):
        settings["model"] = files.absolute(model, "model")
    if isinstance(models := settings.get("models"), list):
        settings["models"] = [files.absolute(str(model), "model") for model in models]
    observable = PluginSpec(name=what[0], settings=settings)
    if options["wanted"]:
        place = files.check_output(options["wanted"])
        frames = files.wanted_frames(observable, what[1:])
        files.write_frames(frames, place)
        common.tell({"n_frames": len(frames)}, f"{len(frames)} frames to be labelled -> {place}")
        return
    target = files.check_output(options["arrays"], [".npz"]) if options["arrays"] else None
    fields = {
        "observable": observable,
        "potential": files.potential(options["potential"]),
        "configurations": [files.absolute(path, "file") for path in what[1:]],
        "reference": [files.absolute(path, "file") for path in options["reference"]],
        "roles": list(options["roles"]) or None,
    }
    with files.finished_job(job, fields, common) as (folder, summary):
        if target is not None:
            shutil.copyfile(folder / "observation.npz", target)
        common.tell(summary, *files.told_numbers(summary), *files.told_warnings(summary))


@cli.command()
@click.argument("name", metavar="FOUNDATION")
@click.option("--element", "elements", multiple=True, metavar="EL", help="Element that it must cover; repeat it.")
@option_set
@option_json
def foundation(name: str, elements: tuple[str, ...], assignments: tuple[str, ...], as_json: bool) -> None:
    """Read the weights of a foundation, in the environment of its package, and say what is known of it.

    Example: bloomery foundation sevennet --set model=7net-l3i5 --element Si
    """
    from dataclasses import asdict  # noqa: PLC0415

    from bloomery.plugins import PluginSpec  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    made = PluginSpec(name=name, settings=files.parse_assignments(assignments)).load("foundations")
    _, facts = made.read()
    made.refuse(elements, facts.elements)
    tell(asdict(facts), facts.words, as_json=as_json)


@cli.command()
@click.argument("potential", metavar="POTENTIAL")
@click.option("--format", "form", metavar="FORMAT", help="Which form; left out, the forms are listed.")
@click.option("--to", "folder", metavar="FOLDER", help="Where the files and the model card go.")
@click.option(
    "--test", metavar="FRAMES", help="Try the exported form on these frames; with labels their errors go into the card."
)
@option_json
def export(potential: str, form: str | None, folder: str | None, test: str | None, as_json: bool) -> None:
    """Write a potential in a form that others run, with its model card.

    Example: bloomery export pot/ --format gap --to deployed/ --test test.extxyz
    """
    from bloomery.engines.exporting import export_potential  # noqa: PLC0415
    from bloomery.potentials.contract import load_potential  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    loaded = load_potential(files.absolute(potential, "potential"), "cpu")
    if form is None:
        tell_json(loaded.formats) if as_json else click.echo(files.told_formats(loaded))
        return
    frames = None if test is None else files.read_all([test])
    done = export_potential(loaded, form, Path(given(folder, "--to")), frames)
    said = files.told_numbers(dict(done.measurements))
    if frames is None:
        said = ["its physics was not tried in this form: give --test FRAMES, best with labels"]
    tell(done.to_dict(), *said, f"{len(done.files)} files -> {folder}", as_json=as_json)


@cli.command("import")
@click.argument("source", metavar="FILES", required=False)
@click.option("--format", "form", metavar="FORMAT", help="Which form; left out, the forms are listed.")
@click.option("--to", "folder", metavar="FOLDER", help="Where the potential goes.")
@option_units
@click.option("--test", metavar="FRAMES", help="Check the physics on these frames, and the errors if they have labels.")
@option_json
def import_(
    source: str | None, form: str | None, folder: str | None, units: str | None, test: str | None, as_json: bool
) -> None:
    """Make a potential of the files of another program.

    Example: bloomery import published/ --format n2p2 --to pot/ --test test.extxyz
    """
    from bloomery.program import plain_files as files  # noqa: PLC0415

    if form is None:
        formats = files.told_imports()
        tell(formats, *(f"{name}: {about}" for name, about in formats.items()), as_json=as_json)
        return
    engine = files.importing_engine(form)
    place = files.absolute(given(source, "FILES"), "potential")
    target = files.check_new_folder(given(folder, "--to"))
    read_in = files.file_units(units)
    potential = engine.import_files(form, Path(place), read_in)
    measured = {} if test is None else files.measured(potential, files.absolute(test, "file"), read_in)
    potential.save(target)
    done = {"engine": potential.engine, "elements": potential.elements, "members": potential.members, **measured}
    said = potential.details.get("units_read", "")
    about = f"{potential.members} member(s) for {', '.join(potential.elements)}" + (f", read in {said}" if said else "")
    tell(done, *files.told_numbers(measured), f"{about} -> {target}", as_json=as_json)


@cli.command()
@click.argument("what", nargs=-1, required=True, metavar="FRAMES...")
@click.option("--out", metavar="FILE", help="Where the frames go: .extxyz, .npz, or .data for n2p2.")
@click.option("--check", is_flag=True, help="Write nothing: say what is in the files, and what is odd.")
@option_units
@option_elements
@option_prefix
@click.option(
    "--without", multiple=True, metavar="STATE", help="Leave a state out, such as initial_magmoms; repeat it."
)
@option_json
def convert(what: tuple[str, ...], out: str | None, check: bool, as_json: bool, **options: Any) -> None:
    """Write frames of one or more files, in most formats of the field, into one of another format.

    Examples: bloomery convert input.data --units Å,eV --out data.extxyz; bloomery convert OUTCAR --check
    """
    from bloomery.frames.census import facts, oddities, told_labels  # noqa: PLC0415
    from bloomery.frames.configurations import Configurations  # noqa: PLC0415
    from bloomery.frames.file_units import ATOMIC  # noqa: PLC0415
    from bloomery.frames.formats import heeded_here  # noqa: PLC0415
    from bloomery.frames.input_data import unsaid  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    target = None if check else files.check_output(given(out, "--out"), files.LABELLED_SUFFIXES)
    files.check_states(options["without"])
    how = options | {"units": files.file_units(options["units"])}
    paths = [Path(files.absolute(path, "file")) for path in what]
    spared = heeded_here(paths, ["units"] if target is not None and target.suffix == ".data" else [])
    parts = [Configurations.read(path, **how | less) for path, less in zip(paths, spared, strict=True)]
    guessed = (
        [] if how["units"] else [f"{path}: does not say its units; read in {ATOMIC}" for path in what if unsaid(path)]
    )
    if target is None:
        found = {path: facts(part) for path, part in zip(what, parts, strict=True)}
        odd = {path: list(oddities(part)) for path, part in zip(what, parts, strict=True)}
        done = {path: {**rows, "warnings": odd[path]} for path, rows in found.items()}
        tell(done, *guessed, *files.told_facts(found, odd), as_json=as_json)
        return
    frames = Configurations.united(parts)
    files.write_frames(frames, target, how["units"])
    labels = {name: int(frames.has(name).sum()) for name in frames.labels}
    warnings = list(oddities(frames))
    told = {"frames": len(frames), "labels": labels, "warnings": warnings}
    tell(
        told,
        *guessed,
        *(f"Warning: {text}" for text in warnings),
        f"{len(frames)} frames ({told_labels(frames)}) -> {target}",
        as_json=as_json,
    )


@cli.command()
@option_json
def plugins(as_json: bool) -> None:
    """List what is registered, of each kind, with its settings."""
    from bloomery import native  # noqa: PLC0415
    from bloomery.program import plain_files as files  # noqa: PLC0415

    found = files.registered_plugins()
    if as_json:
        tell_json(found)
        return
    for kind, names in found.items():
        click.echo(f"{kind}:")
        for name, about in names.items():
            click.echo(f"  {name}: {about['summary']}")
            for key, setting in about["settings"].items():
                click.echo(f"      {key}: {setting}")
    click.echo(f"kernels: {native.told()}")


def main() -> None:
    """Run the command; a job file where what jobs import is there already, if the job's script names such a place."""
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[1].endswith(".json"):
        code = run_warm(arguments)
        if code is not None:
            sys.exit(code)
    cli()
