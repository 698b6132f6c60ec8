"""One member: the input that `dp train` reads, its run, and the frozen model that is kept of it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from bloomery.engines.committees import Member, Report
from bloomery.engines.deepmd.settings import DeepmdSettings
from bloomery.engines.deepmd.systems import write_systems
from bloomery.engines.programs import find_program, run_program
from bloomery.engines.trainer_files import LogReader, merged
from bloomery.seeds import derive_seed

MODEL_FILE = "model.pb"
ENDS = ("start", "limit")
REPORTS = 100
"""A training reports about this many times."""


def fit_member(settings: DeepmdSettings, member: Member, report: Report) -> Mapping[str, Path]:
    """Fit one member and freeze it; return its file."""
    program = find_program("deepmd", "deepmd-kit", "dp")
    folder, warm = member.folder, bool(member.start)
    every, steps = _reported(settings.warm_steps if warm else settings.steps)
    content = _input(settings, member, steps, every)
    (folder / "input.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    command = [program, "--tf", "train", "input.json"]
    if warm:
        (folder / "start.pb").write_bytes(member.start[MODEL_FILE])
        command += ["--init-frz-model", "start.pb"]
    environment = _environment(member.device)
    run_program(command, folder, watch=_Watch(folder / "lcurve.out", steps, report), environment=environment)
    run_program([program, "--tf", "freeze", "-o", MODEL_FILE], folder, environment=environment, log="freeze.log")
    return {MODEL_FILE: folder / MODEL_FILE}


def _reported(steps: int) -> tuple[int, int]:
    """After how many steps a training reports, and the next multiple of that: it is only kept where it reports."""
    every = max(1, steps // REPORTS)
    return every, every * math.ceil(steps / every)


def _environment(device: str) -> dict[str, str]:
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    found = {
        "DP_INTRA_OP_PARALLELISM_THREADS": threads,
        # One at a time: sums in another order would make another potential of the same seed.
        "DP_INTER_OP_PARALLELISM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_DETERMINISTIC_OPS": "1",
    }
    return found | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})


def _input(settings: DeepmdSettings, member: Member, steps: int, every: int) -> dict[str, object]:
    systems = write_systems(member.train, member.elements, settings.cutoff, member.folder / "train")
    early = write_systems(member.early_stopping, member.elements, settings.cutoff, member.folder / "early_stopping")
    model = {
        "type_map": member.elements,
        "descriptor": {
            "type": "se_e2_a",
            "rcut": settings.cutoff,
            "rcut_smth": settings.smooth_from,
            "sel": f"auto:{settings.neighbours}",
            "neuron": list(settings.embedding),
            "axis_neuron": settings.axis,
            "precision": settings.dtype,
            "seed": derive_seed(member.seed, "embedding"),
        },
        "fitting_net": {
            "neuron": list(settings.hidden),
            "resnet_dt": True,
            "precision": settings.dtype,
            "seed": derive_seed(member.seed, "fitting"),
        },
    }
    training = {
        "training_data": _data(systems, settings.batch_size),
        "numb_steps": steps,
        "seed": derive_seed(member.seed, "batches"),
        "disp_file": "lcurve.out",
        "disp_freq": every,
        "save_freq": steps,
        "disp_training": True,
    }
    if early:
        training["validation_data"] = _data(early, settings.batch_size)
    pairs = {"e": settings.loss.energy, "f": settings.loss.forces, "v": settings.loss.stress}
    return {
        "model": merged(model, settings.model),
        "learning_rate": {
            "type": "exp",
            "start_lr": settings.warm_learning_rate if member.start else settings.learning_rate,
            "stop_lr": settings.final_learning_rate,
            "decay_steps": max(1, steps // 200),
        },
        "loss": {
            "type": "ener",
            **{f"{end}_pref_{label}": pair[i] for label, pair in pairs.items() for i, end in enumerate(ENDS)},
        },
        "training": merged(training, settings.training),
    }


def _data(systems: list[tuple[Path, int]], batch_size: int) -> dict[str, object]:
    return {
        "systems": [str(folder) for folder, _ in systems],
        "batch_size": [min(batch_size, count) for _, count in systems],
        "auto_prob": "prob_sys_size",
    }


class _Watch:
    """Reports the rows of DeePMD-kit's learning curve as they come.

    A number is missing ("nan") where the batch has no such label: it is a divergence only in the column of the loss.
    """

    def __init__(self, path: Path, steps: int, report: Report) -> None:
        self.reader, self.steps, self.report = LogReader(path), steps, report
        self.names: list[str] = []

    def __call__(self) -> None:
        for line in self.reader.lines():
            fields = line.split()
            if line.startswith("# ") and "lr" in fields:
                self.names = [_column(name) for name in fields[2:]]
            elif not line.startswith("#") and len(fields) == len(self.names) + 1:
                numbers = dict(zip(self.names, map(float, fields[1:]), strict=True))
                told = {name: value for name, value in numbers.items() if math.isfinite(value) or name == "train_rmse"}
                self.report(int(fields[0]), self.steps, told)


def _column(name: str) -> str:
    """Turn ``rmse_e_trn`` into ``train_energy_rmse``."""
    if name == "lr":
        return "learning_rate"
    parts = name.split("_")
    role = "train" if parts[-1] == "trn" else "early_stopping" if parts[-1] == "val" else ""
    label = {"e": "energy_", "f": "forces_", "v": "virial_"}.get(parts[1] if len(parts) > 1 else "", "")
    return f"{role or 'train'}_{label}rmse"
