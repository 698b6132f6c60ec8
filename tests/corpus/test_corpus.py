"""Three hundred made-up inputs: each is taken, or refused in one sentence with exit status 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import strategies as st
from tests.corpus.generators import (
    Input,
    campaign_inputs,
    data_inputs,
    examples,
    known_settings,
    line_inputs,
    potential_inputs,
)
from tests.corpus.materials import CAMPAIGNS, Files, data_files, prepare
from tests.corpus.running import Worker, problem_of, worker_in

pytestmark = pytest.mark.slow

NUMBERS = {"data": 120, "campaigns": 70, "potentials": 60, "lines": 60}
"""How many inputs of each kind are tried."""


@dataclass(frozen=True)
class Bench:
    """A worker, a folder of good files, and the files of potentials in it."""

    worker: Worker
    folder: Path
    materials: Path
    potentials: dict[str, Files]

    def inputs(self, kind: str) -> st.SearchStrategy[Input]:
        """What makes inputs of a kind."""
        if kind == "data":
            return data_inputs(data_files())
        if kind == "campaigns":
            return campaign_inputs(CAMPAIGNS)
        return potential_inputs(self.potentials) if kind == "potentials" else line_inputs(known_settings())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Where inputs are tried."""
    folder = tmp_path_factory.mktemp("corpus")
    materials = folder / "materials"
    materials.mkdir()
    with worker_in(folder) as worker:

        def run(*arguments: str) -> None:
            answer = worker.ask("bloomery", list(arguments), materials)
            assert answer["status"] == 0, answer

        yield Bench(worker, folder, materials, prepare(materials, run))


@pytest.mark.parametrize("kind", NUMBERS)
def test_any_input_is_taken_or_refused_in_one_sentence(bench: Bench, kind: str) -> None:
    found, slowest = [], (0.0, "")
    for number, made in enumerate(examples(bench.inputs(kind), NUMBERS[kind])):
        problem, seconds = problem_of(made, bench.worker, bench.materials, bench.folder / f"{kind}-{number}")
        slowest = max(slowest, (seconds, " ".join([made.program, *made.arguments])))
        found += [problem] if problem else []
    print(f"{kind}: {NUMBERS[kind]} inputs, the slowest took {slowest[0]:.2f} s of the processor: {slowest[1]}")
    assert not found, f"{len(found)} of {NUMBERS[kind]} inputs:\n\n" + "\n\n".join(found)
