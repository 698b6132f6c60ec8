"""One member: the files and options that `mtt train` reads, its run, and what is kept of it."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bloomery.engines.committees import Member, Report
from bloomery.engines.metatrain.settings import MetatrainSettings
from bloomery.engines.programs import run_program
from bloomery.engines.trainer_files import LogReader, merged, write_masked_extxyz
from bloomery.errors import BloomeryError, DivergedError
from bloomery.frames.configurations import symbols_to_numbers
from bloomery.seeds import derive_seed

MODEL_FILE = "model.pt"
CHECKPOINT_FILE = "model.ckpt"
EXTENSIONS_FILE = "extensions.zip"
GRADIENTS = {"forces": "positions", "stress": "strain"}
"""What metatrain differentiates the energy by for each label."""
UNITS = {"meV": 1e-3, "meV/A": 1e-3, "eV": 1.0, "eV/A": 1.0, "": 1.0}
NOT_A_NUMBER = "cannot convert float NaN"
"""How metatrain's own log fails when a loss is not a number."""
TRAINER_STATE = ("epoch", "best_epoch", "best_metric", "best_optimizer_state_dict", "optimizer_state_dict",
                 "scheduler_state_dict")  # fmt: skip


def fit_member(settings: MetatrainSettings, member: Member, report: Report) -> Mapping[str, Path]:
    """Fit one member, and its last-layer ensemble where that is asked for; return its files."""
    folder, warm = member.folder, bool(member.start)
    epochs = settings.warm_epochs if warm else settings.epochs
    write_masked_extxyz(member.train, folder / "train.xyz")
    write_masked_extxyz(member.validation_frames(), folder / "validation.xyz")
    options = _options(settings, member, epochs)
    more: list[str] = []
    if warm:
        start = folder / "start.ckpt"
        start.write_bytes(member.start[CHECKPOINT_FILE])
        more = ["--restart", str(start)]
    model = _run(options, folder / "fit", more, _Watch(folder / "fit", epochs, report), member.index)
    checkpoint = model.with_name(CHECKPOINT_FILE)
    rest = _rest(checkpoint, folder / "rested.ckpt")
    if settings.uncertainty == "llpr":
        options = _llpr_options(settings, member, checkpoint)
        model = _run(options, folder / "llpr", [], lambda: None, member.index)
    extensions = _pack(model.parent / "extensions", folder / EXTENSIONS_FILE)
    return {MODEL_FILE: model, CHECKPOINT_FILE: rest, EXTENSIONS_FILE: extensions}


def _options(settings: MetatrainSettings, member: Member, epochs: int) -> dict[str, object]:
    loss = {"type": "mse", "reduction": "mean"}
    used = [name for name in GRADIENTS if getattr(settings.loss, name) > 0 and member.train.has(name).any()]
    gradients = {GRADIENTS[name]: loss | {"weight": getattr(settings.loss, name)} for name in used}
    reach: object = settings.cutoff
    model = {"cutoff": reach} if settings.architecture == "pet" else {"soap": {"cutoff": {"radius": reach}}}
    training = {
        "num_epochs": epochs,
        "batch_size": min(settings.batch_size, len(member.train)),
        "learning_rate": settings.warm_learning_rate if member.start else settings.learning_rate,
        "log_interval": 1,
        "checkpoint_interval": epochs + 1,
        "num_workers": 0,
        "best_model_metric": "loss",
        "loss": {"energy": loss | {"weight": settings.loss.energy} | ({"gradients": gradients} if gradients else {})},
    }
    targets = _targets(used)
    return {
        **_common(settings, member),
        "architecture": {
            "name": settings.architecture,
            "atomic_types": symbols_to_numbers(member.elements),
            "model": merged(model, settings.model),
            "training": merged(training, settings.training),
        },
        "training_set": _set("train.xyz", targets, member.folder),
        "validation_set": _set("validation.xyz", targets, member.folder),
        "test_set": 0.0,
    }


def _llpr_options(settings: MetatrainSettings, member: Member, checkpoint: Path) -> dict[str, object]:
    """Covariance of the last layer's features from frames with energies, scale from the early-stopping ones."""
    frames = {"llpr_train.xyz": member.train, "llpr_validation.xyz": member.validation_frames()}
    for name, found in frames.items():
        write_masked_extxyz(found[found.has("energy")], member.folder / name)
    targets = _targets([])
    least = min(int(found.has("energy").sum()) for found in frames.values())
    return {
        **_common(settings, member),
        "seed": derive_seed(member.seed, "llpr"),
        "architecture": {
            "name": "llpr",
            "model": {"num_ensemble_members": {"energy": settings.members}},
            "training": {
                "model_checkpoint": str(checkpoint),
                "batch_size": min(settings.batch_size, least),
                "num_workers": 0,
                "calibration_method": "squared_residuals",
            },
        },
        "training_set": _set("llpr_train.xyz", targets, member.folder),
        "validation_set": _set("llpr_validation.xyz", targets, member.folder),
        "test_set": 0.0,
    }


def _common(settings: MetatrainSettings, member: Member) -> dict[str, object]:
    return {"seed": member.seed, "device": member.device, "base_precision": int(settings.dtype.removeprefix("float"))}


def _set(name: str, targets: dict[str, object], folder: Path) -> dict[str, object]:
    return {"systems": {"read_from": str(folder / name), "length_unit": "angstrom"}, "targets": targets}


def _targets(used: Sequence[str]) -> dict[str, object]:
    gradients = {name: {"key": f"{name}_target"} if name in used else False for name in GRADIENTS}
    return {"energy": {"quantity": "energy", "key": "energy_target", "unit": "eV", **gradients}}


class _Watch:
    """Reports the rows of metatrain's table of epochs as they come."""

    def __init__(self, folder: Path, epochs: int, report: Report) -> None:
        self.folder, self.epochs, self.report = folder, epochs, report
        self.reader: LogReader | None = None
        self.names: list[str] | None = None
        self.units: list[float] | None = None

    def __call__(self) -> None:
        if self.reader is None:
            found = sorted(self.folder.glob("outputs/*/*/train.csv"))
            if not found:
                return
            self.reader = LogReader(found[0])
        for row in self.reader.rows():
            if self.names is None:
                self.names = row
            elif self.units is None:
                self.units = [UNITS.get(unit, 1.0) for unit in row]
            elif len(row) == len(self.names):
                numbers = {
                    _column(name): float(value) * unit
                    for name, value, unit in zip(self.names[1:], row[1:], self.units[1:], strict=True)
                    if value.strip()
                }
                self.report(int(row[0]) + 1, self.epochs, numbers)


def _column(name: str) -> str:
    stage = name.split(" (", maxsplit=1)[0].replace("validation", "early_stopping").replace("training", "train")
    return stage.replace(" ", "_").lower()


def _run(options: dict[str, object], folder: Path, more: list[str], watch: Any, index: int) -> Path:
    folder.mkdir()
    (folder / "options.yaml").write_text(yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "metatrain", "train", "options.yaml", "-o", MODEL_FILE, *more]
    diverged = DivergedError(
        f"the training of member {index} diverged: no epoch had a finite loss; lower the learning rate, or look for "
        "wrong labels."
    )
    try:
        run_program(command, folder, watch=watch)
    except BloomeryError as error:
        if NOT_A_NUMBER in str(error):
            raise diverged from error
        raise
    model = folder / MODEL_FILE
    if not model.is_file():
        raise diverged
    return model


def _rest(checkpoint: Path, rested: Path) -> Path:
    """Keep the best weights of a checkpoint and forget its optimiser, so that a later training begins at epoch 0.

    The file was written a moment ago by our own `mtt train`, which is why it may be unpickled.
    """
    import metatomic.torch  # noqa: F401, PLC0415  registers the classes that the file holds
    import sphericart.torch  # noqa: F401, PLC0415
    import torch  # noqa: PLC0415

    content = torch.load(checkpoint, weights_only=False, map_location="cpu")
    content["model_state_dict"] = content["best_model_state_dict"] or content["model_state_dict"]
    content |= dict.fromkeys(TRAINER_STATE) | {"best_model_state_dict": None}
    torch.save(content, rested)
    return rested


def _pack(folder: Path, path: Path) -> Path:
    """Put the compiled extensions that the exported model needs into one archive, the same for the same files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if file.is_file():
                name = zipfile.ZipInfo(str(file.relative_to(folder)), date_time=(1980, 1, 1, 0, 0, 0))
                archive.writestr(name, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return path


def unpack(content: bytes, folder: Path) -> None:
    """Write the files of `_pack` into a folder; names that lead out of it are left to `zipfile`, which drops them."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
