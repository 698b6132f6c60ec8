"""The benchmark of engines: what it counts, how it searches, and its device part on the processor."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import engines
import pytest
import torch
from device_limits import Traffic, needs
from engine_bench import Bench
from engine_candidates import network
from engine_device import compare, tables_of_device
from training import trajectories

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_traffic_is_what_operations_read_and_write() -> None:
    first, second = torch.ones(1000, dtype=torch.float64), torch.ones(1000, dtype=torch.float64)
    with torch.inference_mode(), Traffic() as traffic:
        total = first + second
    assert traffic.bytes == 3 * 8000
    with Traffic() as traffic:
        total.reshape(10, 100).transpose(0, 1)
        torch.empty(10)
    assert traffic.bytes == 0
    with Traffic() as traffic:
        first.add(second[:1].expand(1000))
    assert traffic.bytes == 3 * 8000, "the storage of what is repeated counts, and no more than its elements"


def test_composite_operations_are_counted_by_their_parts() -> None:
    a, b = torch.ones(10, 20), torch.ones(20, 30)
    with torch.inference_mode():
        read_written, operations = needs(lambda: torch.einsum("ij,jk->ik", a, b))
    # 2 n m k: a multiplication and an addition each.
    assert operations == 2 * 10 * 20 * 30
    assert read_written == 4 * (10 * 20 + 20 * 30 + 10 * 30)


def _pretend(budgets: list[int]) -> Any:
    """Return a training whose error falls as one over the budget, in seconds that are the budget."""

    def train(bench: Any, candidate: Any, budget: int) -> dict[str, Any]:
        budgets.append(budget)
        if budget > bench.cap:
            return {"budget": budget, "failed": "late"}
        return {"budget": budget, "cpu_seconds": float(budget), "force_rmse": 6000.0 / budget}

    return train


def test_search_closes_in_on_each_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    budgets: list[int] = []
    monkeypatch.setattr(engines, "train", _pretend(budgets))
    bench = Bench(tmp_path, tmp_path, cap=10_000.0)
    records = engines.climb(bench, network("any"), 30.0)
    assert budgets == [50, 400]
    for target in (60.0, 30.0):
        records = engines.refine(bench, network("any"), records, target)
        shortest = min(record["budget"] for record in records if engines.reaches(record, target))
        assert 6000 / target <= shortest < engines.CLOSE * 6000 / target


def test_climb_ends_below_the_cap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    budgets: list[int] = []
    monkeypatch.setattr(engines, "train", _pretend(budgets))
    engines.climb(Bench(tmp_path, tmp_path, cap=1000.0), network("any"), 0.0)
    assert budgets == [50, 400, 900]


def test_next_budget_follows_how_time_grows() -> None:
    # Time as the square of the budget: four times as long is twice as much.
    records = [{"budget": budget, "cpu_seconds": budget**2} for budget in (10, 20)]
    assert math.isclose(engines.affordable(records, 1600.0), 2.0)
    assert math.isclose(engines.affordable(records[:1], 200.0), 2.0)


def test_without_a_device_one_sentence_says_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    command = [sys.executable, str(BENCHMARKS / "engines.py"), str(tmp_path), "cuda"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("cuda: torch finds no device 'cuda' here")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.integration
def test_device_part_runs_on_the_processor(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for role in ("train", "early_stopping", "test"):
        trajectories(4, seed=0).save(tmp_path / "frames" / f"{role}.npz")
    bench = Bench(tmp_path, tmp_path, cap=60.0)
    compare(bench, "cpu", steps=5, largest=64, precisions=["float64"], sizes=[2])
    found = bench.results()["device"]
    assert found["training float64 cpu"]["seconds"] > 0
    assert found["evaluation float64 cpu 64"]["seconds"] > 0
    assert found["dynamics float64 cpu"]["rates"]["1"] > 0
    assert found["members float64 cpu 2"]["seconds"] > 0
    times, _ = tables_of_device(bench)
    assert times.row_count == 4
