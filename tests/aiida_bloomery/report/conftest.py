"""Facts of an imaginary campaign, as `collect` would read them off the graph."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from aiida_bloomery.report.facts import CampaignFacts, Node, Outcome

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


def funnel() -> list[dict[str, Any]]:
    return [
        {"selector": "sanity", "came_in": 400, "left": 380, "reasons": {"two atoms closer than 1.1 Å": 20}},
        {"selector": "probe", "came_in": 380, "left": 340, "reasons": {}},
        {"selector": "farthest_point", "came_in": 340, "left": 16, "reasons": {}},
    ]


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
    return CampaignFacts(**(content | changes))


@pytest.fixture(scope="session")
def example() -> SimpleNamespace:
    """Makers of facts: ``campaign``, ``iteration``, ``errors``, ``number``, ``entry``, ``arrays``; and ``start``."""
    makers = (campaign, iteration, errors, number, entry, arrays)
    return SimpleNamespace(start=START, **{maker.__name__: maker for maker in makers})
