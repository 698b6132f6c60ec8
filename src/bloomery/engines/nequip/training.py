"""One member: the files that `nequip-train` reads, its run, and what is kept of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

from bloomery.engines.committees import Member, Report
from bloomery.engines.nequip.model import BUILDER, MODEL_FILE, PACKAGE_FILE, WEIGHTS_FILE, save_checkpoint
from bloomery.engines.nequip.settings import NequipSettings
from bloomery.engines.programs import find_program, run_program
from bloomery.engines.trainer_files import write_masked_extxyz
from bloomery.errors import DivergedError
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.frames.neighbours import find_neighbours

FIELDS = {"energy": "total_energy", "forces": "forces", "stress": "stress"}
LIGHTNING, JUDGE = "lightning.pytorch", "val0_epoch/weighted_sum"
LOG_FILE = Path("log") / "version_0" / "metrics.csv"


def fit_member(settings: NequipSettings, member: Member, report: Report) -> Mapping[str, Path]:
    """Fit one member; return its files."""
    folder = member.folder
    epochs = settings.warm_epochs if member.start else settings.epochs
    write_masked_extxyz(member.train, folder / "train.xyz")
    write_masked_extxyz(member.validation_frames(), folder / "validation.xyz")
    arguments = _arguments(settings, member)
    if member.start:
        arguments = json.loads(member.start[MODEL_FILE])
        (folder / WEIGHTS_FILE).write_bytes(member.start[WEIGHTS_FILE])
    config = _config(settings, member, arguments, epochs)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    command = [find_program("nequip", "nequip", "nequip-train"), "-cp", str(folder), "-cn", "config"]
    run_program(command, folder, watch=_Watch(folder / LOG_FILE, epochs, report))
    checkpoint = folder / "best.ckpt"
    if not checkpoint.is_file():
        raise DivergedError(
            f"the training of member {member.index} wrote no checkpoint, because no epoch had finite errors; lower "
            "the learning rate."
        )
    package = [find_program("nequip", "nequip", "nequip-package"), "build", checkpoint.name, PACKAGE_FILE]
    run_program(package, folder, log="package.log")
    kept = folder / "plain"
    kept.mkdir()
    save_checkpoint(checkpoint, arguments, kept)
    return {MODEL_FILE: kept / MODEL_FILE, WEIGHTS_FILE: kept / WEIGHTS_FILE, PACKAGE_FILE: folder / PACKAGE_FILE}


def _arguments(settings: NequipSettings, member: Member) -> dict[str, object]:
    """Arguments of NequIP's model; its scales are those of the member's frames."""
    train = member.train
    pairs = find_neighbours(train, settings.cutoff).pairs.shape[1]
    forces, has = train.label("forces")
    present = forces[has[train.frame_of_atom]]
    scale = float(np.sqrt((present**2).mean())) if present.size else 1.0
    shifts = fit_energy_reference(train, member.elements)
    return {
        "seed": member.seed,
        "model_dtype": settings.dtype,
        "type_names": member.elements,
        "r_max": settings.cutoff,
        "num_layers": settings.layers,
        "l_max": settings.l_max,
        "num_features": settings.features,
        "avg_num_neighbors": max(pairs / max(train.n_atoms, 1), 1.0),
        "per_type_energy_scales": max(scale, 1e-2),
        "per_type_energy_shifts": shifts,
        **settings.model,
    }


def _config(settings: NequipSettings, member: Member, arguments: dict[str, object], epochs: int) -> dict[str, object]:
    folder, train = member.folder, member.train
    weights = {name: getattr(settings.loss, name) for name in FIELDS}
    used = [name for name in FIELDS if train.has(name).any() and weights[name] > 0]
    loader = _made("torch.utils.data.DataLoader", batch_size=settings.batch_size, num_workers=0)
    model = _made("nequip.model.NequIPGNNModel", **arguments)
    if member.start:
        model = _made(BUILDER, folder=str(folder), **arguments)
    rate = settings.warm_learning_rate if member.start else settings.learning_rate
    return {
        "hydra": {"run": {"dir": "."}, "output_subdir": None, "job": {"chdir": False}},
        "run": ["train"],
        "data": {
            "_target_": "nequip.data.datamodule.ASEDataModule",
            "seed": member.seed,
            "train_file_path": str(folder / "train.xyz"),
            "val_file_path": [str(folder / "validation.xyz")],
            "key_mapping": {f"{name}_target": FIELDS[name] for name in used},
            "include_keys": [f"{name}_target" for name in used],
            "transforms": [
                _made("nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", model_type_names=member.elements),
                _made("nequip.data.transforms.NeighborListTransform", r_max=settings.cutoff),
            ],
            "train_dataloader": {**loader, "shuffle": True},
            "val_dataloader": loader,
        },
        "trainer": {
            "_target_": "lightning.Trainer",
            "accelerator": "gpu" if member.device == "cuda" else "cpu",
            "devices": 1,
            "max_epochs": epochs,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1_000_000,
            "num_sanity_val_steps": 0,
            "logger": _made(f"{LIGHTNING}.loggers.CSVLogger", save_dir=".", name="log", flush_logs_every_n_steps=1),
            "callbacks": [
                _made(f"{LIGHTNING}.callbacks.ModelCheckpoint", monitor=JUDGE, dirpath=str(folder), filename="best")
            ],
        },
        "training_module": {
            "_target_": "nequip.train.EMALightningModule",
            "ema_decay": settings.averaging,
            "loss": _metrics(used, weights, "mse", "MeanSquaredError"),
            "val_metrics": _metrics(used, weights, "rmse", "RootMeanSquaredError"),
            "optimizer": _made("torch.optim.Adam", lr=rate),
            "lr_scheduler": {
                "scheduler": _made("torch.optim.lr_scheduler.CosineAnnealingLR", T_max=epochs, eta_min=rate / 100),
                "interval": "epoch",
                "frequency": 1,
            },
            "model": model,
        },
        "global_options": {"allow_tf32": False},
    }


def _metrics(used: list[str], weights: dict[str, float], kind: str, metric: str) -> dict[str, object]:
    """Errors by label, each over what is there; the energy counts per atom."""
    fields = {**FIELDS, "energy": _made("nequip.data.PerAtomModifier", field=FIELDS["energy"])}
    entries = [
        {
            "name": f"{name}_{kind}",
            "field": fields[name],
            "coeff": weights[name],
            "metric": _made(f"nequip.train.{metric}"),
            "ignore_nan": True,
        }
        for name in used
    ]
    return _made("nequip.train.MetricsManager", metrics=entries)


def _made(what: str, /, **arguments: object) -> dict[str, object]:
    """What NequIP makes by a name and arguments."""
    return {"_target_": what, **arguments}


class _Watch:
    """Reports each epoch when its errors on both roles are in Lightning's table, which is rewritten as it grows."""

    def __init__(self, path: Path, epochs: int, report: Report) -> None:
        self.path, self.epochs, self.report = path, epochs, report
        self.told = -1

    def __call__(self) -> None:
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return
        found: dict[int, dict[str, float]] = {}
        for row in csv.DictReader(lines):
            values = {name: value for name, value in row.items() if name and value and "/" in name}
            found.setdefault(int(row["epoch"]), {}).update({_column(name): float(v) for name, v in values.items()})
        for epoch in sorted(found):
            if epoch > self.told and {"train_loss", "early_stopping_loss"} <= set(found[epoch]):
                self.told = epoch
                self.report(epoch + 1, self.epochs, found[epoch])


def _column(name: str) -> str:
    """Turn ``val0_epoch/forces_rmse`` into ``early_stopping_forces_rmse``."""
    stage, _, metric = name.partition("/")
    role = "early_stopping" if stage.startswith("val") else "train"
    return f"{role}_{'loss' if metric == 'weighted_sum' else metric}"
