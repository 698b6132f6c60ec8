"""The verbs on plain files: turn the arguments of a command into a job, run it, and turn its files into the user's."""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pydantic
import yaml
from numpy.typing import NDArray

from bloomery.engines.contract import Engine
from bloomery.engines.preparation import working_folder
from bloomery.errors import BloomeryError, DataWarning, InputError
from bloomery.frames.census import coinciding, isolated_atoms, labelled, oddities
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import check_energy_reference
from bloomery.frames.file_units import ATOMIC, FileUnits
from bloomery.frames.input_data import unsaid, write_data
from bloomery.frames.labels import LEARNT, Property
from bloomery.frames.roles import ROLES, RoleSettings, split_roles
from bloomery.frames.states import STATES
from bloomery.jobs import describe, sample
from bloomery.jobs.base import JobModule, Summary_co, limit_threads
from bloomery.observables.contract import Observable
from bloomery.plugins import KINDS, Kind, PluginSpec, describe_validation_error, find_plugin, load_plugin, registered
from bloomery.potentials.acceptance import check_potential
from bloomery.potentials.contract import Potential
from bloomery.potentials.prediction import Prediction
from bloomery.program.console import Common, progress_bar
from bloomery.progress import Progress
from bloomery.properties.contract import load_property
from bloomery.properties.laws import check_defined

JOB_FILE = "job.json"
FRAME_SUFFIXES = (".extxyz", ".xyz", ".npz")
LABELLED_SUFFIXES = (*FRAME_SUFFIXES, ".data")
"""What frames with energies and forces can be written as; n2p2 knows no others."""


def parse_assignments(assignments: Sequence[str]) -> dict[str, object]:
    """Read ``key=value`` texts; values are YAML, and dots in a key lead into nested settings.

    It is an `InputError` if a text has no ``=``, or its value is not YAML.
    """
    result: dict[str, object] = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key.strip():
            raise InputError(f"{assignment!r} is not of the form key=value.")
        *path, last = key.strip().split(".")
        place = result
        for part in path:
            below = place.setdefault(part, {})
            if not isinstance(below, dict):
                raise InputError(f"{assignment!r} sets a key below {part!r}, which has a value already.")
            place = below
        place[last] = _yaml(text, assignment)
    return result


def parse_selector(text: str) -> PluginSpec:
    """Read ``name`` or ``name:key=value,key=value``."""
    name, _, rest = text.partition(":")
    if not rest:
        return PluginSpec(name=name)
    mapping = re.sub(r"(^|,)\s*([A-Za-z_]\w*)=", r"\1 \2: ", rest)
    settings = _yaml(f"{{{mapping}}}", text)
    if not isinstance(settings, dict) or None in settings.values():
        raise InputError(f"selector {text!r} is not of the form name:key=value,key=value.")
    return PluginSpec(name=name, settings=settings)


def absolute(path: str | Path, what: str) -> str:
    """Return the absolute path of a file or folder of the user; `InputError` if there is nothing."""
    if not Path(path).exists():
        raise InputError(f"{path}: there is no such {what}; check the path.")
    return str(Path(path).resolve())


def check_output(path: str | Path, suffixes: Sequence[str] = FRAME_SUFFIXES) -> Path:
    """Refuse, before anything runs, an output that could not be written in the end."""
    path = Path(path)
    if path.suffix not in suffixes:
        raise InputError(f"{path}: the name of this output must end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: its folder {path.parent} does not exist; make it first.")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give the name of a file in it.")
    _check_writable(path if path.exists() else path.parent)
    return path


def _check_writable(place: Path) -> None:
    if not os.access(place, os.W_OK):
        raise InputError(f"{place}: cannot be written to; give another place.")


Prepare = Callable[[Path, Progress], Mapping[str, object]]
"""Makes files in a job's folder, and gives the fields of the job that name them."""


@contextmanager
def finished_job(
    module: JobModule[Summary_co], fields: Mapping[str, object], common: Common, prepare: Prepare | None = None
) -> Iterator[tuple[Path, Summary_co]]:
    """Run a job on plain files; give its folder and summary while the folder exists.

    A folder that is kept may hold what the same command began, and the job takes that up.
    """
    with working_folder(None if common.keep is None else Path(common.keep)) as folder:
        with progress_bar() as progress:
            prepared = {} if prepare is None else prepare(folder, progress)
            summary = run_job(module, {**fields, **prepared, **common.fields}, folder, progress)
        try:
            yield folder, summary
        except OSError as error:
            if common.keep is not None:
                raise
            kept = Path(tempfile.mkdtemp(prefix="bloomery-kept-")) / "job"
            folder.rename(kept)
            folder.mkdir()  # to be removed by who made it
            reason = f"{error.filename}: {(error.strerror or 'cannot be written').lower()}"
            raise BloomeryError(f"{reason}; what was computed is kept in {kept}.") from error


def run_job(
    module: JobModule[Summary_co], fields: Mapping[str, object], folder: Path, progress: Progress
) -> Summary_co:
    """Write a job file, run the job in this process and return its summary.

    It is an `InputError` if a field is wrong, or if the folder was kept from another job.
    """
    verb = module.Model.model_fields["verb"].default
    content = {"verb": verb, **{key: value for key, value in fields.items() if value is not None}}
    try:
        job = module.Model.model_validate(content)
    except pydantic.ValidationError as error:
        raise InputError(describe_validation_error(error, verb, module.Model)) from error
    file = folder / JOB_FILE
    text = json.dumps(job.model_dump(mode="json"), indent=1)
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise InputError(f"{folder}: was kept from another job; give another folder, or remove it.")
    file.write_text(text, encoding="utf-8")
    limit_threads(job.threads)
    return module.run(job, folder, progress)


def write_frames(frames: Configurations, path: Path, units: FileUnits | None = None) -> None:
    """Write frames as extxyz, as our own archive, or as n2p2's ``input.data`` in given units."""
    if path.suffix == ".npz":
        frames.save(path)
    elif path.suffix == ".data":
        told = {*frames.info, *frames.states} - {"charge"}
        left = [*(["stress"] if frames.has("stress").any() else []), *sorted(told)]
        if left:
            what = f"{path}: {', '.join(left)} have no place in n2p2's format and are left out."
            warnings.warn(what, DataWarning, stacklevel=2)
        write_data(path, frames.to_atoms(), units or ATOMIC)
    else:
        frames.write_extxyz(path)


def check_states(names: Sequence[str]) -> None:
    """Raise `InputError` for the first name that is no state."""
    strange = next((name for name in names if name not in STATES), None)
    if strange is not None:
        raise InputError(f"--without: {strange!r} is no state of a frame; choose of {', '.join(STATES)}.")


def wanted_frames(observable: PluginSpec, paths: Sequence[str]) -> Configurations:
    """Return the frames that an observable wants labelled by the reference, for the structures in these files.

    If it wants none of any, that is an `InputError`.
    """
    plugin: Observable = observable.load("observables")
    wanted = plugin.wanted_frames(read_all(paths))
    if wanted is None:
        raise InputError(f"observable {plugin.name!r} wants no frames to be labelled; leave --wanted out.")
    return wanted


def labelled_frames(paths: Sequence[str], prefix: str | None = None) -> Configurations:
    """Read labelled frames, warn of what is odd about their labels, and number them as their files do.

    Atoms that coincide, and frames without any label that potentials are fitted to, are an `InputError` that names file
    and frame.
    """
    parts = []
    for path in paths:
        part = Configurations.read(absolute(path, "file"), prefix=prefix)
        if not labelled(part).any():
            others = [name for name, mask in part.masks.items() if mask.any()]
            only = f" that potentials learn, only {', '.join(others)}" if others else ""
            raise InputError(f"{path}: none of its {len(part)} frames has a label{only}; label them first.")
        check_apart(part, path)
        _check_roles(part, path)
        for oddity in oddities(part):
            warnings.warn(f"{path}: {oddity}", DataWarning, stacklevel=2)
        source = {"source": Path(path).name} if len(paths) > 1 else {}
        parts.append(part.with_info(source_frame=np.arange(len(part)), **source))
    return Configurations.united(parts)


def frames_with(name: Property, paths: Sequence[str], prefix: str | None = None) -> Configurations:
    """Read those frames of files that have the label of a property.

    A file without any, atoms that coincide, and frames of which there is no such property are an `InputError` that
    names file and frame.
    """
    parts = []
    for path in paths:
        part = Configurations.read(absolute(path, "file"), prefix=prefix)
        if not part.has(name).any():
            others = [other for other, mask in part.masks.items() if mask.any()]
            only = f", only {', '.join(others)}" if others else ""
            raise InputError(f"{path}: none of its {len(part)} frames has the label {name}{only}; label them first.")
        check_apart(part, path)
        check_property(name, part, path, part.has(name))
        parts.append(part[part.has(name)])
    return Configurations.concatenate(parts)


def check_property(name: Property, frames: Configurations, path: str, among: NDArray[np.bool_] | None = None) -> None:
    """Raise `InputError` if there is no such property of a frame; file and frame are named."""
    numbers = np.arange(len(frames)) if among is None else np.flatnonzero(among)
    try:
        check_defined(name, frames[numbers], numbers)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_apart(frames: Configurations, path: str) -> None:
    """Raise `InputError` if two atoms of a frame coincide, images counted, or it has none; file and frame are named."""
    same = coinciding(frames)
    if same is not None:
        raise InputError(f"{path}: frame {same[0]} cannot be used: {same[1]}; mend or remove it.")
    if len(frames) and not frames.counts.all():
        raise InputError(f"{path}: frame {int(np.argmin(frames.counts))} has no atoms; remove it.")


def _check_roles(frames: Configurations, path: str) -> None:
    roles = frames.info.get("role")
    if roles is None or roles.dtype.kind != "U":
        return
    strange = np.flatnonzero(~np.isin(roles, ["", *ROLES]))
    if len(strange):
        raise InputError(
            f"{path}: frame {strange[0]} has the role {str(roles[strange[0]])!r}, which is none of {', '.join(ROLES)}; "
            "mend or remove it."
        )


def with_roles(folder: Path, _: Progress, *, frames: Configurations, share: float, seed: int) -> dict[str, list[str]]:
    """Write labelled frames for a training; of those without a role ``share`` are drawn to stop it."""
    given = frames.info.get("role")
    roles = np.full(len(frames), "") if given is None or given.dtype.kind != "U" else given
    bare = np.flatnonzero(roles == "")
    if len(bare):
        if not 0 <= share <= 0.5:  # which is so of nan
            raise InputError(f"--early-stopping: {share} is no share; give one from 0 to 0.5.")
        settings = RoleSettings(early_stopping_share=share, calibration_share=0.0)
        roles = roles.astype(object)
        roles[bare] = split_roles(frames[bare].hashes(), settings, seed=seed)
        frames = frames.with_info(role=roles.astype(np.str_))
    elif "train" not in roles:
        raise InputError("no frame has the role train; mend the roles, or leave them out.")
    frames.save(folder / "data.npz")
    return {"batches": ["data.npz"]}


def energy_reference(text: str | None, frames: Configurations) -> dict[str, float] | None:
    """Energies of single atoms in eV, by element, as a user asks for them; ``None`` for a fit.

    By default those of `bloomery.frames.census.isolated_atoms`, if there is one for each element.
    """
    elements = frames.elements
    found = isolated_atoms(frames)
    missing = [element for element in elements if element not in found]
    if text is None:
        if found and missing:
            told = f"there are frames of isolated atoms for {', '.join(found)} and none for {', '.join(missing)}"
            warnings.warn(f"{told}; energies of atoms are fitted.", DataWarning, stacklevel=2)
        return None if missing else found
    if text == "fit":
        return None
    if text == "isolated_atoms":
        if missing:
            raise InputError(
                f"--energy-reference: no frame of a single atom of {missing[0]} is named config_type=IsolatedAtom; "
                "name it, or give the energies as EL=EV."
            )
        return found
    try:
        pairs = [part.split("=") for part in text.split(",")]
        if len({element.strip() for element, _ in pairs}) < len(pairs):
            raise ValueError  # noqa: TRY301  an element twice
        return check_energy_reference({element.strip(): float(value) for element, value in pairs}, elements)
    except ValueError as error:
        raise InputError(
            f"--energy-reference: {text!r} is none of fit, isolated_atoms and a list such as Cu=-3.5,Zn=-1.2."
        ) from error


def told_reference(reference: Mapping[str, float] | None) -> list[str]:
    """Say which energies of single atoms a training is given."""
    told = ", ".join(f"{element} {value:.6g} eV" for element, value in (reference or {}).items())
    return [f"energy reference: {told}"] if told else []


def told_training(summary: Mapping[str, Any]) -> list[str]:
    """Say how large the errors on seen frames are, by role, and what is odd about them."""
    lines = []
    for role, found in summary["errors"].items():
        numbers = [f"{key} {found[key]['value']:.3g} {found[key]['unit']}" for key in LEARNT if key in found]
        if numbers:
            lines.append(f"RMSE on {found['n_frames']} frames of the role {role}: {', '.join(numbers)}")
        lines += [f"Warning: {sentence}" for sentence in found["warnings"]]
    return list(dict.fromkeys(lines))


def told_facts(facts: Mapping[str, Mapping[str, str]], odd: Mapping[str, Sequence[str]]) -> list[str]:
    """Lines of a table for people: what is in each file, and what is odd about it."""
    lines = []
    for path, rows in facts.items():
        told = [*rows.items(), *(("odd", sentence) for sentence in odd[path] or ["nothing that is looked for"])]
        lines += [path, *(f"  {name:<14}  {text}" for name, text in told)]
    return lines


def told_warnings(summary: Mapping[str, Any]) -> list[str]:
    """The warnings of an observable, a line each."""
    return [f"Warning: {sentence}" for sentence in summary.get("warnings", [])]


def predicted_frames(frames: Configurations, archive: Path) -> Configurations:
    """Attach the committee's mean as labels and its disagreement as per-frame array.

    ``archive`` is what the job `predict` wrote. Stress goes to fully periodic frames.
    """
    with np.load(archive, allow_pickle=False) as arrays:
        prediction = Prediction(**{name: arrays[name] for name in arrays.files})
    labels = {"energy": prediction.energy, "forces": prediction.force}
    if prediction.stress is not None:
        labels["stress"] = prediction.stress
    labelled = frames.without_labels().with_labels(masks={"stress": frames.pbc.all(axis=1)}, **labels)
    return labelled.with_info(disagreement=prediction.disagreement, energy_disagreement=prediction.energy_disagreement)


def potential(path: str | None) -> str | None:
    """Return the absolute path of a potential's folder, if one is given."""
    return None if path is None else absolute(path, "potential")


def property_models(paths: Sequence[str]) -> dict[str, str]:
    """Return the absolute paths of folders with models of properties, by property."""
    return {load_property(path).name: absolute(path, "property model") for path in paths}


def keyed(paths: Sequence[str]) -> dict[str, str]:
    """Name files by their stems, which must differ."""
    result: dict[str, str] = {}
    for path in paths:
        key = Path(path).stem
        if key in result:
            raise InputError(f"{path}: another file is called {key} as well; rename one of them.")
        result[key] = absolute(path, "file")
    return result


def features_for(
    folder: Path,
    progress: Progress,
    *,
    selectors: Sequence[PluginSpec],
    pools: Mapping[str, str],
    data_set: Mapping[str, str],
    descriptor: PluginSpec,
    memory: float | None,
) -> dict[str, str]:
    """Describe pools and data set, if a selector needs it."""
    if not any(spec.load("selectors").needs_features for spec in selectors):
        return {}
    sources = {"pool": pools, "data": data_set}
    inputs = {f"{kind}_{key}": path for kind, paths in sources.items() for key, path in paths.items()}
    place = folder / "describe"
    place.mkdir(exist_ok=True)
    run_job(describe, {"descriptor": descriptor, "inputs": inputs, "memory": memory}, place, progress)
    return {"features": "describe/features.npz"}


def no_frames(summary: sample.Summary) -> BloomeryError:
    """Say why a sampler made no frame."""
    reasons = (trajectory.get("stop_reason", "") for trajectory in summary["trajectories"])
    return BloomeryError(f"the sampler made no frame ({next(filter(None, reasons), 'no reason is given')}).")


def told_stops(summary: sample.Summary) -> list[str]:
    """Say which trajectories ended before their time, and why."""
    return [
        f"  trajectory {entry['trajectory']} stopped: {entry['stop_reason']}"
        for entry in summary["trajectories"]
        if entry.get("stop_reason", "completed") != "completed"
    ]


def told_numbers(summary: Mapping[str, object], path: str = "") -> list[str]:
    """Write every measured number of a summary on a line of its own, with its interval; a lower bound as ``> 2``."""
    lines = []
    for key, value in summary.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict) and {"value", "unit"} <= set(value):
            bounds = f"  ({value['lower']:.4g} to {value['upper']:.4g})" if "lower" in value else ""
            unit = "" if value["unit"] == "1" else f" {value['unit']}"
            least = "> " if value.get("at_least") else ""
            lines.append(f"{name}: {least}{value['value']:.4g}{unit}{bounds}")
        elif isinstance(value, dict):
            lines += told_numbers(value, name)
        elif isinstance(value, float):
            lines.append(f"{name}: {value:.4g}")
        elif isinstance(value, int | str):
            lines.append(f"{name}: {value}")
    return lines


def check_new_folder(path: str | Path) -> Path:
    """Refuse, before anything runs, a folder of results that is there and not empty."""
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists already; give another folder, or remove it.")
    above = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not above.is_dir():
        raise InputError(f"{path}: cannot be made, since {above} is a file.")
    _check_writable(above)
    return path


def told_imports() -> dict[str, str]:
    """List what can be imported, of all engines: name of the format to what it is."""
    return {name: about for engine in importing_engines() for name, about in engine.imports.items()}


def importing_engine(format: str) -> type[Engine]:  # noqa: A002
    """Return the engine that reads a format; `InputError` if none does."""
    for engine in importing_engines():
        if format in engine.imports:
            return engine
    raise InputError(f"no engine imports {format!r}; formats: {', '.join(told_imports())}.")


def importing_engines() -> Iterator[type[Engine]]:
    """Give the engines that import anything; one that cannot be loaded imports nothing."""
    engines = (find_plugin("engines", name) for name in registered("engines"))
    return (engine for engine in engines if engine is not None and engine.imports)


def file_units(text: str | None) -> FileUnits | None:
    """Read the units that a user gave, if any."""
    return None if text is None else FileUnits.parse(text)


def measured(potential: Potential, path: str, units: FileUnits | None = None) -> dict[str, object]:
    """Check the physics of a potential on frames (else `RefusedPotentialError`), and its errors if they have labels.

    ``units`` are those of a file of n2p2 that says none.
    """
    frames = Configurations.read(path, units=units if unsaid(path) else None)
    check_potential(potential, frames).raise_if_refused()
    labelled = frames[frames.has("energy") | frames.has("forces")]
    observed = load_plugin("observables", "errors").make().observe(potential, labelled).summary if labelled else {}
    errors = {key: observed[key] for key in ("energy", "forces", "stress") if observed.get(key)}
    return {"frames": len(frames), **errors}


def told_formats(potential: Potential) -> str:
    """List what a potential can be exported as."""
    lines = []
    for name, about in potential.formats.items():
        obstacle = potential.obstacle(name)
        lines.append(f"{name}: {about}" + (f" (not this potential: {obstacle})" if obstacle else ""))
    return "\n".join(lines) or "no format"


class ToldPlugin(TypedDict):
    """What the list says of a plug-in: the first line of its documentation, and what each setting means."""

    summary: str
    settings: dict[str, str]


def registered_plugins() -> dict[str, dict[str, ToldPlugin]]:
    """List every kind of plug-in: name, first line of its documentation, and its settings with their meaning.

    A plug-in that cannot be loaded is listed with the reason.
    """
    return {kind: {name: _told_plugin(kind, name) for name in registered(kind)} for kind in KINDS}


def _told_plugin(kind: Kind, name: str) -> ToldPlugin:
    try:
        plugin = load_plugin(kind, name)
    except InputError as error:
        return {"summary": str(error), "settings": {}}
    fields = plugin.Settings.model_fields.items()
    settings = {key: " ".join((field.description or "").split()) for key, field in fields}
    return {"summary": (plugin.__doc__ or "").strip().splitlines()[0], "settings": settings}


def read_all(paths: Sequence[str], units: FileUnits | None = None) -> Configurations:
    """Read the frames of all files, one after the other."""
    return Configurations.concatenate([Configurations.read(absolute(path, "file"), units=units) for path in paths])


def _yaml(text: str, where: str) -> Any:
    try:
        aliases = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader))
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, LookupError) as error:
        raise InputError(f"{where!r} holds a value that cannot be read as YAML.") from error
    if aliases:  # which may stand for what holds them
        raise InputError(f"{where!r} holds an alias of YAML; write out what it stands for.")
    return value
