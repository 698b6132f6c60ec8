"""Facts of an imaginary campaign, as `collect` would read them off the graph."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aiida_bloomery.report.facts import CampaignFacts, DataSet, Measured, Node, Outcome
from bloomery.campaign.record import Funnel, FunnelRow, Record
from bloomery.descriptors.maps import map_of
from bloomery.frames.configurations import Configurations

START = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def number(value: float, unit: str, spread: float = 0.1) -> dict[str, Any]:
    return {"value": value, "unit": unit, "lower": value * (1 - spread), "upper": value * (1 + spread)}


def errors(force: float, n_frames: int = 12) -> dict[str, Any]:
    return {
        "n_frames": n_frames,
        "n_atoms": 8 * n_frames,
        "energy": {"rmse": number(force / 20, "meV/atom"), "mae": number(force / 25, "meV/atom")},
        "forces": {
            "rmse": number(force, "meV/Å"),
            "mae": number(0.7 * force, "meV/Å"),
            "max": number(4 * force, "meV/Å"),
            "relative_rmse": number(force / 1000, "1"),
        },
        "stress": {"rmse": number(force / 400, "GPa")},
        "per_element": {"Si": {"forces_rmse": number(force, "meV/Å")}},
        "worst_frames": [
            {
                "frame": 3,
                "hash": "c0ffee" * 10,
                "force_rmse": number(2 * force, "meV/Å"),
                "energy_error": number(-force / 10, "meV/atom"),
            }
        ],
        "disagreement": {"spearman": number(0.9, "1"), "spearman_frames": number(0.83, "1")},
    }


def iteration(index: int, force: float, *, probe: int = 12) -> dict[str, Any]:
    return {
        "iteration": index,
        "n_pool": 400,
        "n_selected": 20,
        "labels": {
            "labelled": 19,
            "failed": 1,
            "cached": 0,
            "by_role": {"probe": 4, "train": 11, "early_stopping": 2, "calibration": 2},
        },
        "labels_total": 19 * (index + 1),
        "assess": None if index == 0 else {"probe": errors(1.5 * force, 4), "selected": errors(2.5 * force, 15)},
        "validation": errors(force, probe),
        "training": {"seconds": 50.0},
        "potential": "11111111-0000-0000-0000-000000000000",
        "batch": "22222222-0000-0000-0000-000000000000",
    }


def funnel() -> list[FunnelRow]:
    rows = [
        {"selector": "sanity", "came_in": 400, "left": 380, "reasons": {"two atoms closer than 1.1 Å": 20}},
        {"selector": "probe", "came_in": 380, "left": 340, "reasons": {}},
        {"selector": "farthest_point", "came_in": 340, "left": 16, "reasons": {}},
    ]
    return Funnel.model_validate({"funnel": rows}).funnel


def arrays(n_frames: int = 12, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    forces = generator.normal(size=(8 * n_frames, 3))
    energy = generator.normal(scale=0.05, size=n_frames) - 100.0
    return {
        "forces_reference": forces,
        "forces_predicted": forces + generator.normal(scale=0.05, size=forces.shape),
        "energy_reference": energy,
        "energy_predicted": energy + generator.normal(scale=0.002, size=n_frames),
        "disagreement": generator.lognormal(-3, 0.5, size=n_frames),
        "frame_force_rmse": generator.lognormal(-3, 0.5, size=n_frames),
    }


def entry(frame: int, outcome: str = "labelled", **others: Any) -> dict[str, Any]:
    return {"frame": frame, "hash": f"{frame:064x}", "outcome": outcome, "iteration": 0, "attempts": 1, **others}


def data_set(n_frames: int = 30, *, size: int = 2, word: str = "md", seed: int = 0) -> DataSet:
    """Rattled silicon over three iterations, every fifth frame the probe's; ``word`` is put wherever text is."""
    generator = np.random.default_rng(seed)
    atoms = []
    for index in range(n_frames):
        frame = bulk("Si", cubic=True).repeat((size // 2 or 1, 1, 1))
        frame.rattle(0.02 + 0.1 * generator.random(), rng=generator)
        frame.set_cell(frame.cell * (1 + 0.02 * (index % 3)), scale_atoms=True)
        atoms.append(frame)
    frames = Configurations.from_atoms(atoms)
    role = np.where(np.arange(n_frames) % 5 == 0, "probe", "train")
    iteration = np.sort(np.arange(n_frames) % 3)
    errors = generator.lognormal(-3, 0.5, n_frames).tolist()
    columns = {
        "role": role.tolist(),
        "rule": [word] * n_frames,
        "score": generator.random(n_frames).tolist(),
        "sampler": [None if batch == 0 else word for batch in iteration],
        "trajectory": list(range(n_frames)),
        "step": [10 * index for index in range(n_frames)],
        "error_before": [None if batch == 0 else error for batch, error in zip(iteration, errors, strict=True)],
        "error_now": [error if part == "probe" else None for part, error in zip(role, errors, strict=True)],
        "label_uuid": [f"{index // 10:08d}-0000-0000-0000-000000000000" for index in range(n_frames)],
        "hash": frames.hashes(),
    }
    index = np.concatenate([np.arange((iteration == batch).sum()) for batch in range(3)])
    energies = generator.normal(-34, 0.1, n_frames)
    return DataSet(frames.with_labels(energy=energies), iteration, index, columns, map_of(frames))


def measured() -> list[Measured]:
    """What four observables gave: curves, an equation of state, phonons and elastic constants."""
    x = np.linspace(1.0, 6.0, 60)
    shape = np.exp(-((x - 2.4) ** 2) / 0.02)
    curves = {
        f"Si_Si__{side}{end}": values
        for side, height in (("trajectory", 1.0), ("reference", 1.05))
        for end, values in (("_x", x), ("", height * shape), ("_error", 0.05 + 0 * x))
    }
    curves |= {"Si_Si__experiment_x": x[::3], "Si_Si__experiment": shape[::3]}
    volumes = np.linspace(18.0, 22.0, 9)
    energies = 0.01 * (volumes - 20) ** 2 - 5.0
    equation = {
        f"Si2__{side}__{name}": values
        for side in ("potential", "reference")
        for name, values in (
            ("volumes", volumes), ("energies", energies), ("fit_volumes", volumes), ("fit_energies", energies),
        )
    }  # fmt: skip
    path = np.linspace(0, 1, 20)
    bands = {
        f"Si2__{side}__{name}": values
        for side, factor in (("potential", 1.02), ("reference", 1.0))
        for name, values in (
            ("bands_x", path), ("bands", factor * np.outer(np.sin(path), [5.0, 10.0])), ("dos_x", path), ("dos", path),
            ("band_ticks", np.array([0.0, 1.0])), ("band_labels", np.array(["G", "X"])),
        )
    }  # fmt: skip
    constants = {"C11": number(160.0, "GPa"), "C12": number(60.0, "GPa"), "C14": number(0.1, "GPa")}
    score = {"overlap": {"value": 97.0, "unit": "%"}, "overlap_of_halves": {"value": 98.5, "unit": "%"}}
    elastic = {"potential": constants, "reference": constants, "experiment": {"C11": number(165.7, "GPa")}}
    return [
        Measured("rdf", "rdf", "final_compare", {"trajectory": {}, "score": {"Si-Si": score}}, curves),
        Measured("eos", "equation_of_state", "final_compare", {"Si2": {"potential": {}}}, equation),
        Measured("phonons", "phonons", "final_compare", {"Si2": {"potential": {}}}, bands),
        Measured("elastic", "elastic", "final_compare", {"Si2": elastic}, uuid="abcd"),
    ]


def with_control(found: Measured) -> Measured:
    """The same beside what a control arm's potential gave: energies and curves a little off, lattice units as text."""
    shifted = {
        name: 1.03 * values if values.dtype.kind == "f" and not name.endswith(("_x", "volumes", "ticks")) else values
        for name, values in found.arrays.items()
    }
    return replace(found, control=replace(found, arrays=shifted))


def verdict(arm: str = "random") -> dict[str, Any]:
    """What came of a control arm, as a history holds it."""
    compared = {
        "n_frames": 12, "n_blocks": 6, "trainings": [3, 3],
        "forces": {
            "selection": number(60.0, "meV/Å"), "control": number(90.0, "meV/Å"), "gain": number(0.33, "1"),
            "spread_selection": number(2.0, "meV/Å"), "spread_control": number(3.0, "meV/Å"),
        },
    }  # fmt: skip
    place = {"observable": "elastic", "of": "Si2", "reference": number(160.0, "GPa")}
    rows = [
        {**place, "quantity": "C11", "selection": number(1.0, "GPa"), "control": number(-9.0, "GPa", -0.1)},
        {**place, "quantity": "C12", "selection": number(1.0, "GPa"), "control": number(1.05, "GPa")},
    ]
    return {
        "arm": arm, "sentence": "The selection helped.", "scope": "It tests selection.", "comparison": compared,
        "test_set": {**compared, "n_frames": 77}, "observables": rows,
        "curves": {"selection": [[12, 200.0], [24, 60.0]], "control": [[12, 200.0], [24, 90.0]]},
    }  # fmt: skip


def full(**changes: Any) -> CampaignFacts:
    """A campaign with everything that a report can show."""
    return campaign(
        **{
            "data_set": data_set(),
            "measured": [with_control(found) for found in measured()],
            "pools": {1: np.random.default_rng(0).lognormal(-3, 0.5, 200), 2: np.full(4, 0.02)},
            "core_times": {0: {"label": 400.0, "train": 60.0}, 1: {"label": 500.0}},
            "history": {**campaign().history.as_dict(), "control": verdict()},
            "processes": [Node("bootstrap_sample", "SamplingWorkChain", 50, "44444444-0000-0000-0000-000000000000")],
        }
        | changes
    )


def campaign(**changes: Any) -> CampaignFacts:
    """A campaign that reached its target in its second iteration."""
    content: dict[str, Any] = {
        "title": "silicon",
        "pk": 42,
        "uuid": "33333333-0000-0000-0000-000000000000",
        "outcome": Outcome("finished"),
        "started": START,
        "changed": START + timedelta(minutes=11, seconds=5),
        "made": START + timedelta(hours=1),
        "inputs": {
            "structures": {"n_frames": 2, "formulas": ["Si8"]},
            "bootstrap": {"samplers": [{"name": "rattle_strain", "settings": {"frames": 20}}], "selectors": ["sanity"]},
            "sampling": {"samplers": [{"name": "md", "settings": {"temperatures": [300.0, 1200.0]}}]},
            "selection": {"selectors": ["sanity", {"farthest_point": {"frames": 16}}]},
            "labeller": "quantumespresso",
            "training": {"engine": {"name": "hdnnp", "settings": {"members": 8}}, "warm_start": True},
            "energy_reference": {"method": "fit"},
            "stop": {"targets": {"forces": 60.0}, "consecutive": 2, "min_iterations": 2, "max_labels": 80},
            "seed": 1,
        },
        "history": {
            "iterations": [iteration(0, 200.0, probe=4), iteration(1, 80.0, probe=8), iteration(2, 50.0)],
            "decision": {
                "done": True,
                "rule": "targets",
                "reason": "the force error is below its target",
                "success": True,
            },
            "final": {"validation": errors(48.0), "potential": "11111111-0000-0000-0000-000000000000"},
        },
        "times": {i: {"sample": 40.0, "select": 5.0, "label": 120.0, "train": 60.0, "validate": 4.0} for i in range(3)},
        "funnels": {0: funnel(), 1: funnel(), 2: funnel()},
        "ledger": [entry(0), entry(1, "failed", exit_code=410, reason="SCF did not converge in 80 steps", attempts=3)],
        "validation": arrays(),
        "units": {"forces_reference": "eV/Å", "energy_reference": "eV/atom"},
        "versions": {"bloomery": ["0.1.0"], "torch": ["2.13.0"]},
        "nodes": [Node("potential", "PotentialData", 77, "11111111-0000-0000-0000-000000000000")],
    }
    content |= changes
    return CampaignFacts(**(content | {"history": Record.model_validate(content["history"])}))


@pytest.fixture(scope="session")
def example() -> SimpleNamespace:
    """Makers of facts, by their names, and ``start``."""
    makers = (campaign, full, data_set, measured, with_control, verdict, iteration, errors, number, entry, arrays)
    return SimpleNamespace(start=START, **{maker.__name__: maker for maker in makers})
