"""From labelled frames to a potential for what a baseline leaves of their labels."""

from __future__ import annotations

import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from bloomery.engines.contract import Training, TrainingData, TrainingHistory
from bloomery.engines.delta.baseline import Baseline, Values
from bloomery.engines.delta.potential import DeltaPotential
from bloomery.engines.delta.settings import DeltaSettings
from bloomery.engines.preparation import prepare, usable_start
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_shift
from bloomery.plugins import PluginSpec
from bloomery.potentials.contract import Common, Details, Potential
from bloomery.progress import Progress, in_one_step
from bloomery.seeds import digest_of

VALUES_FILE = "baseline.npz"
REPORT_EVERY = 1.0


def fit(settings: DeltaSettings, data: TrainingData, training: Training) -> tuple[DeltaPotential, TrainingHistory]:
    """Fit the difference; see `Engine.fit`.

    The energy that each element has beside the baseline is fitted to the frames as well: what an atom of the baseline
    has by itself has nothing to do with an isolated atom of the labels' method (`fit_energy_shift`).
    """
    usable, began = prepare(data), time.perf_counter()
    baseline = Baseline(settings.baseline)
    start = usable_start(training.start_from, DeltaPotential, lambda given: _told(given, settings, baseline))
    frames = Configurations.concatenate([usable.train, usable.early_stopping])
    values = _evaluated(baseline, frames, training)
    seconds = time.perf_counter() - began
    n = len(usable.train)
    shift = fit_energy_shift(usable.train, values.energy[:n], usable.elements)
    left = _less(frames, values)
    parts = TrainingData(left[:n], left[n:], shift)
    difference, history = _learnt(settings, parts, replace(training, start_from=start))
    common: Common = (
        {"elements": usable.elements, "energy_reference": shift} if difference is None else difference.common
    )
    potential = DeltaPotential(
        difference=difference,
        baseline=baseline,
        elements=common["elements"],
        energy_reference=common["energy_reference"],
        device=common.get("device", training.device),
        versions={**common.get("versions", {}), **baseline.facts.versions},
        details=common.get("details", Details())
        | {
            "settings": settings.model_dump(mode="json"),
            "seed": training.seed,
            "trained_on": usable.trained_on,
        },
    )
    summary = {
        **history.summary,
        "baseline": baseline.facts.words,
        "seconds_of_baseline": seconds,
        "forces_left": _left(frames[:n], left[:n]),
    }
    return potential, replace(history, summary=summary)


def _learnt(
    settings: DeltaSettings, left: TrainingData, training: Training
) -> tuple[Potential | None, TrainingHistory]:
    """Fit what is left; nothing without an engine."""
    if settings.difference is None:
        return None, TrainingHistory()
    start = training.start_from
    return settings.difference.train(
        left,
        start_from=start.difference if isinstance(start, DeltaPotential) else None,
        device=training.device,
        seed=training.seed,
        progress=training.progress,
        folder=None if training.folder is None else training.folder / "difference",
    )


def _told(start: DeltaPotential, settings: DeltaSettings, baseline: Baseline) -> dict[str, tuple[object, object]]:
    return {
        "baseline": (start.baseline.spec.model_dump(), baseline.spec.model_dump()),
        "engine": (
            _name(start.details["settings"]["engine"]),
            _name(settings.engine),
        ),
    }


def _name(engine: object) -> str:
    return "none" if engine is None else PluginSpec.model_validate(engine).name


def _evaluated(baseline: Baseline, frames: Configurations, training: Training) -> Values:
    """Evaluate the baseline, unless a training that was killed has done so for these frames."""
    text = f"{frames.digest()} {baseline.spec.model_dump_json()} {baseline.facts.versions}"
    digest, file = digest_of(text), None if training.folder is None else training.folder / VALUES_FILE
    if file is not None and (found := _kept(file, digest)) is not None:
        return found
    values = baseline.evaluate(frames, _Teller(training.progress, len(frames)))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with in_one_step(file) as temporary, temporary.open("wb") as handle:
            np.savez(handle, digest=np.array(digest), energy=values.energy, forces=values.forces, stress=values.stress)
    return values


class _Teller:
    """Tells how many frames are done, once a second."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress, self.total, self.last = progress, total, time.monotonic()

    def __call__(self, done: int) -> None:
        if time.monotonic() - self.last > REPORT_EVERY:
            self.last = time.monotonic()
            self.progress("baseline", done, self.total, {})


def _kept(file: Path, digest: str) -> Values | None:
    try:
        with np.load(file, allow_pickle=False) as content:
            if str(content["digest"]) != digest:
                return None
            return Values(content["energy"], content["forces"], content["stress"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _less(frames: Configurations, values: Values) -> Configurations:
    """The frames with labels less the baseline's values."""
    less = {"energy": values.energy, "forces": values.forces, "stress": values.stress}
    left = {name: frames.label(name)[0] - less[name] for name in less if frames.has(name).any()}
    return frames.without_labels().with_labels(masks={name: frames.has(name) for name in left}, **left)


def _left(frames: Configurations, left: Configurations) -> float | None:
    """Root mean square of the forces less the baseline's, relative to that of the forces."""
    if not frames.has("forces").any():
        return None
    rows = frames.frames_of("forces")
    seen = frames.has("forces")[rows]
    before, after = (part.label("forces")[0][seen] for part in (frames, left))
    return float(np.sqrt((after**2).mean() / (before**2).mean())) if before.any() else None
