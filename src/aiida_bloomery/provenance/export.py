"""Everything that a campaign has made in one folder: data set, potential and manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from aiida import orm

from aiida_bloomery.data.configurations import PARENT_KEYS, ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.data.property_model import PropertyModelData
from aiida_bloomery.provenance import campaign as campaigns
from aiida_bloomery.provenance import ledger
from aiida_bloomery.provenance.trace import Place, Tracer
from bloomery.campaign.properties import LearntProperty
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

DATA_SET_FILE = "data_set.extxyz"
POTENTIAL_FOLDER = "potential"
MANIFEST_FILE = "manifest.json"
PROPERTIES_FOLDER = "properties"
FORMAT = "aiida-bloomery export"
FORMAT_VERSION = 1

_README = """\
from bloomery.potentials.contract import load_potential
calculator = load_potential("potential").calculator()  # energy, forces, stress, and disagreement of each atom
atoms.calc = calculator  # any ase.Atoms of the elements {elements}
"""


def export(campaign: orm.ProcessNode, folder: str | Path) -> Path:
    """Write what a campaign has made so far.

    The folder holds ``data_set.extxyz`` with labels, role and origin of every frame, ``potential/`` with a README on
    its use, models of the properties that it learns in ``properties/``, for `bloomery property predict` and observables
    that go by models, and ``manifest.json``; it is returned as an absolute path. An earlier export there is replaced in
    one step; what else lies beside it is kept. Raise `InputError` if the node is not a campaign, nothing is labelled
    yet, or the folder holds something else.
    """
    campaign = campaigns.require_campaign(campaign)
    folder = Path(folder).expanduser().absolute()
    _require_free(folder)
    batches = campaigns.data_set(campaign)
    if not batches:
        raise InputError(f"campaign {campaign.pk} has no labelled frame yet; export it when its first batch is there.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with_origins(batches).write_extxyz(temporary / DATA_SET_FILE)
        potential = campaigns.potential(campaign)
        if potential is not None:
            _write_potential(potential, temporary)
        models = campaigns.property_models(campaign)
        for name, model in models.items():
            model.export_to(temporary / PROPERTIES_FOLDER / name)
        manifest = _manifest(campaign, batches, potential)
        if models:
            known = campaigns.record(campaign).properties
            manifest["properties"] = {name: _property(name, model, known) for name, model in models.items()}
        manifest["files"] = _digests(temporary)
        text = json.dumps(manifest, indent=1, allow_nan=False)
        (temporary / MANIFEST_FILE).write_text(text, encoding="utf-8")
        _replace(folder, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def with_origins(batches: dict[str, ConfigurationsData]) -> Configurations:
    """Join batches; every frame says which jobs it is from, its batch, iteration and content hash.

    These are the per-frame arrays ``batch``, ``iteration``, ``hash``, ``label_calculation`` and ``sampling_job``
    (UUIDs, empty where there is none), besides those that the batches have in common.
    """
    tracer = Tracer()
    parts = []
    for batch, node in batches.items():
        samplings = [_sampling_job(Place(node, index), tracer) for index in range(node.n_frames)]
        frames = node.configurations
        part = frames.without_info(*PARENT_KEYS, "label_uuid", "label_folder").with_info(
            batch=np.array([batch] * len(frames), dtype=np.str_),
            iteration=campaigns.iteration_of(batch),
            hash=np.array(node.hashes, dtype=np.str_),
            label_calculation=frames.info.get("label_uuid", np.full(len(frames), "")),
            sampling_job=np.array(samplings, dtype=np.str_),
        )
        parts.append(part)
    return Configurations.concatenate(parts)


def _sampling_job(place: Place, tracer: Tracer) -> str:
    creators = (tracer.creator(step.node) for step in tracer.chain(place) if step.kind == "sampling")
    creator = next(creators, None)
    return str(creator.uuid) if creator is not None else ""


def _write_potential(potential: PotentialData, folder: Path) -> None:
    folder = folder / POTENTIAL_FOLDER
    potential.export_to(folder)
    (folder / "README").write_text(_README.format(elements=", ".join(potential.elements)), encoding="utf-8")


def _manifest(
    campaign: orm.ProcessNode, batches: dict[str, ConfigurationsData], potential: PotentialData | None
) -> dict[str, object]:
    record = campaigns.record(campaign)
    counts = ledger.summarise(ledger.entries(campaign))
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
        "campaign": {
            "pk": campaign.pk,
            "uuid": str(campaign.uuid),
            "label": campaign.label,
            "state": campaign.process_state.value if campaign.process_state else "unknown",
            "exit_status": campaign.exit_status,
        },
        "data_set": {
            "file": DATA_SET_FILE,
            "n_frames": sum(node.n_frames for node in batches.values()),
            "batches": [_batch(key, node) for key, node in batches.items()],
        },
        "potential": None if potential is None else _potential(potential),
        "labels": {**counts.outcomes, "attempts": counts.attempts, "seconds": counts.seconds},
        **({"words": [told.sentence for told in said]} if (said := ledger.words(campaign)) else {}),
        "errors": record.delivered.as_dict() if record.delivered else None,
        "decision": record.decision.as_dict() if record.decision else None,
        **({"control": record.control.as_dict()} if record.control else {}),
        "versions": {
            name: version(name) for name in ("aiida-bloomery", "aiida-core", "aiida-quantumespresso", "ase", "numpy")
        },
    }


def _batch(key: str, node: ConfigurationsData) -> dict[str, object]:
    attributes = node.base.attributes.all
    return {
        "batch": key,
        "iteration": campaigns.iteration_of(key),
        "pk": node.pk,
        "uuid": str(node.uuid),
        **{name: attributes[name] for name in ("n_frames", "roles", "digest")},
    }


def _potential(potential: PotentialData) -> dict[str, object]:
    attributes = potential.base.attributes.all
    return {
        "folder": POTENTIAL_FOLDER,
        "pk": potential.pk,
        "uuid": str(potential.uuid),
        **{key: attributes.get(key) for key in ("engine", "elements", "members", "energy_reference", "versions")},
    }


def _property(name: str, model: PropertyModelData, known: Mapping[str, LearntProperty]) -> dict[str, object]:
    found = known.get(name)
    errors = found.as_dict() if found is not None and found.model == str(model.uuid) else {}
    errors.pop("model", None)
    return {"folder": f"{PROPERTIES_FOLDER}/{name}", "pk": model.pk, "uuid": str(model.uuid), "errors": errors}


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path in the folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _require_free(folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not _is_export(folder):
        raise InputError(f"{folder}: holds other files than an earlier export; give a new or empty folder.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder.")


def _is_export(folder: Path) -> bool:
    try:
        content = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _replace(folder: Path, temporary: Path) -> None:
    """Put the new folder in the place of the old one; what is not ours in it goes along."""
    if not folder.exists():
        temporary.rename(folder)
        return
    for path in folder.iterdir():
        if path.name in {MANIFEST_FILE, DATA_SET_FILE, POTENTIAL_FOLDER, PROPERTIES_FOLDER}:
            continue
        if path.is_dir():
            shutil.copytree(path, temporary / path.name, symlinks=True)
        else:
            shutil.copy2(path, temporary / path.name)
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old)
