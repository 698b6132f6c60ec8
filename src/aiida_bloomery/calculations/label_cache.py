"""Labels that exist already: found by the content of a frame and by a fingerprint of the settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiida import orm
from aiida_pseudo.data.pseudo.upf import UpfData

from aiida_bloomery.calculations.words import distrusted_labels
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.labellers.contract import Labeller
from bloomery.plugins import PluginSpec
from bloomery.seeds import digest_of

FINGERPRINT_ATTRIBUTE = "label_fingerprint"
VERSION_ATTRIBUTE = "label_version"

# What says how a job is done, not what comes out.
_NOT_PHYSICS = {
    "CONTROL": {
        "disk_io", "max_seconds", "outdir", "prefix", "pseudo_dir", "restart_mode", "title", "verbosity", "wf_collect",
    },
}  # fmt: skip

_HOW_JOBS_RUN = {"options", "pack", "max_failed_share", "isolated_atoms", "remedy", "metadata", "configurations"}
"""Inputs of labelling workchains that have no say in a label."""


def fingerprint(
    code: orm.AbstractCode,
    pseudos: Mapping[str, UpfData],
    parameters: orm.Dict,
    kpoints: orm.KpointsData | None = None,
    kpoints_rule: orm.Dict | None = None,
    boundaries: orm.Dict | None = None,
    hubbard: orm.Dict | None = None,
    ph: orm.Dict | None = None,
    ph_code: orm.AbstractCode | None = None,
) -> str:
    """Hash of everything that decides what a label is, besides the frame.

    Two codes count as the same if they start the same program in the same way: on one computer, a path is a version.
    """
    content = {
        "code": _of_code(code),
        "parameters": _physics(parameters.get_dict()),
        "kpoints": kpoints_rule.get_dict() if kpoints is None and kpoints_rule is not None else _describe(kpoints),
        "pseudos": {element: pseudo.md5 for element, pseudo in pseudos.items()},
    }
    content |= {
        name: node.get_dict() for name, node in (("boundaries", boundaries), ("hubbard", hubbard)) if node is not None
    }
    if ph is not None and ph_code is not None:
        asked = ph.get_dict()
        content["ph"] = {**asked, "properties": sorted(asked["properties"]), "code": _of_code(ph_code)}
    return digest_of(json.dumps(_as_floats(content), sort_keys=True))


def settings_fingerprint(code: orm.AbstractCode, **settings: orm.Dict) -> str:
    """Hash of a program and its settings, with what is in files on this machine that they name."""
    content: dict[str, Any] = {name: node.get_dict() for name, node in settings.items()}
    files = sorted(_files_in(content)) if _is_here(code) else []
    return digest_of(json.dumps(_as_floats({"code": _of_code(code), **content, "files": files}), sort_keys=True))


def job_fingerprint(code: orm.AbstractCode, parameters: orm.Dict, library: ConfigurationsData | None = None) -> str:
    """Hash of everything that decides what a label of a job of `bloomery` is, besides the frame.

    That is the program, the labeller with those of its settings that are not the defaults, what is in files on this
    machine that they name, and a library's content.
    """
    name, settings = _of_labeller(PluginSpec.model_validate(parameters["labeller"]))
    content = {
        "code": _of_code(code),
        "labeller": [name, settings],
        "library": None if library is None else library.base.attributes.get("digest"),
    }
    if _is_here(code):
        content["files"] = sorted(_files_in(settings))
    return digest_of(json.dumps(_as_floats(content), sort_keys=True))


def method_digest(labeller: str, labelling: Mapping[str, Any]) -> str:
    """Hash of a labeller and of those inputs of its workchain that decide what a label is, whatever the frame."""
    return digest_of(json.dumps(_as_floats([labeller, _of_inputs(labelling)]), sort_keys=True))


def _of_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _of_inputs(node) if isinstance(node, Mapping) else _of_input(node)
        for name, node in inputs.items()
        if name not in _HOW_JOBS_RUN and node is not None
    }


def _of_input(node: Any) -> Any:
    kinds: list[tuple[type, Callable[[Any], Any]]] = [
        (orm.AbstractCode, _of_code),
        (orm.KpointsData, _describe),
        (ConfigurationsData, lambda data: data.base.attributes.get("digest")),
        (UpfData, lambda pseudo: pseudo.md5),
        (orm.Dict, _of_settings),
    ]
    return next((told(node) for kind, told in kinds if isinstance(node, kind)), getattr(node, "value", str(node)))


def _of_settings(node: orm.Dict) -> Any:
    content = node.get_dict()
    if "labeller" in content:
        return _of_labeller(PluginSpec.model_validate(content["labeller"]))
    return _physics(content)


def _physics(content: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of settings, without what says how a job is done."""
    return {
        key: {name: one for name, one in value.items() if name not in _NOT_PHYSICS.get(key, set())}
        if isinstance(value, Mapping)
        else value
        for key, value in content.items()
    }


def _of_labeller(spec: PluginSpec) -> list[Any]:
    """A labeller with those of its settings that are not the defaults and have a say in its labels."""
    labeller: Labeller = spec.load("labellers")
    excluded = set(labeller.not_physics)
    return [spec.name, labeller.settings.model_dump(mode="json", exclude=excluded, exclude_defaults=True)]


def fingerprint_of(node: orm.CalcJobNode) -> str:
    """Fingerprint of a job of the verb `label`: that which it was given when it was sent, else that of its inputs."""
    found = node.base.extras.get(FINGERPRINT_ATTRIBUTE, None)
    if found is not None:
        return str(found)
    return job_fingerprint(**of_job(node.inputs))


def of_job(inputs: Any) -> dict[str, Any]:
    """Those inputs of a job of the verb `label` that decide what a label is."""
    return {name: inputs[name] for name in ("code", "parameters", "library") if name in inputs}


def around_of(inputs: Any) -> dict[str, orm.Data]:
    """Those of the inputs `kpoints`, `kpoints_rule`, `boundaries` and `hubbard` that are given."""
    return {name: inputs[name] for name in ("kpoints", "kpoints_rule", "boundaries", "hubbard") if name in inputs}


def response_of(inputs: Any) -> dict[str, orm.Data]:
    """The inputs `ph` and `ph_code`, if they are given."""
    return {name: inputs[name] for name in ("ph", "ph_code") if name in inputs}


def mark(node: ConfigurationsData, fingerprint_: str, version: str) -> None:
    """Say in a node with labels which settings and which pw.x they are from."""
    node.base.attributes.set_many(marks(fingerprint_, f"pw.x {version}"))


def marks(fingerprint_: str, program: str) -> dict[str, str]:
    """Attributes of a node with labels: which settings they are from, and which program in which version."""
    return {FINGERPRINT_ATTRIBUTE: fingerprint_, VERSION_ATTRIBUTE: program}


def find_labels(fingerprint_: str, hashes: list[str], needed: Sequence[str] = ()) -> dict[str, ConfigurationsData]:
    """By content hash of a frame the oldest node that holds its label with these settings; no key if there is none.

    Labels that somebody has retracted, or wanted to be computed again, are passed over, and frames that lack one of the
    ``needed`` labels.
    """
    builder = orm.QueryBuilder()
    builder.append(ConfigurationsData, filters={f"attributes.{FINGERPRINT_ATTRIBUTE}": fingerprint_})
    builder.order_by({ConfigurationsData: {"id": "asc"}})
    wanted, distrusted = set(hashes), distrusted_labels()
    doubtful = {hash_ for _, hash_ in distrusted}
    found: dict[str, ConfigurationsData] = {}
    for (node,) in builder.iterall():
        for hash_ in wanted.intersection(node.hashes):
            if hash_ in doubtful and (_job_of(node, hash_), hash_) in distrusted:
                continue
            if needed and not all(node.configurations.has(label)[node.hashes.index(hash_)] for label in needed):
                continue
            found.setdefault(hash_, node)
        if len(found) == len(wanted):
            break
    return found


def _is_here(code: orm.AbstractCode) -> bool:
    return code.computer is not None and bool(code.computer.transport_type == "core.local")


def _of_code(code: orm.AbstractCode) -> list[str]:
    computer = getattr(code, "computer", None)
    return [str(computer.uuid) if computer is not None else "", str(code.get_executable()), code.prepend_text]


def _files_in(settings: Any) -> Iterator[str]:
    """Digests of the files that are named, by an absolute path, anywhere in settings, also as a word of a command."""
    if isinstance(settings, Mapping | list):
        for value in settings.values() if isinstance(settings, Mapping) else settings:
            yield from _files_in(value)
    elif isinstance(settings, str):
        for name in sorted({settings, *settings.split()}):
            if name.startswith("/") and Path(name).is_file():
                with Path(name).open("rb") as file:
                    yield hashlib.file_digest(file, "blake2b").hexdigest()


def _job_of(node: ConfigurationsData, hash_: str) -> str:
    jobs = node.configurations.info.get("label_uuid")
    return "" if jobs is None else str(jobs[node.hashes.index(hash_)])


def _describe(kpoints: orm.KpointsData | None) -> Any:
    if kpoints is None:
        return None
    if "mesh" in kpoints.base.attributes.keys():  # noqa: SIM118  not a mapping
        mesh, offset = kpoints.get_kpoints_mesh()
        return {"mesh": list(mesh), "offset": [float(value) for value in offset]}
    points, weights = kpoints.get_kpoints(also_weights=True)
    return {"points": points.round(10).tolist(), "weights": weights.round(10).tolist()}


def _as_floats(value: Any) -> Any:
    """Make 20 and 20.0 the same, wherever they are."""
    if isinstance(value, Mapping):
        return {str(key): _as_floats(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_floats(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value
