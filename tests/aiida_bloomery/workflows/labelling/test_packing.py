"""Sharing out of frames and cores."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_bloomery.workflows.labelling.packing import default_concurrency, frame_cores, pack_options, share_out


class StubComputer:
    scheduler_type = "core.direct"

    def __init__(self, cores):
        self.cores = cores

    def get_property(self, name, default):
        return self.cores if self.cores is not None else default


@given(costs=st.lists(st.floats(1.0, 1e6), min_size=1, max_size=60), size=st.integers(1, 20))
def test_every_frame_is_in_one_pack_and_no_pack_is_too_large(costs, size):
    frames = [10 * index for index in range(len(costs))]
    packs = share_out(frames, costs, size)
    assert sorted(frame for pack in packs for frame in pack) == frames
    assert len(packs) == math.ceil(len(frames) / size)
    assert max(len(pack) for pack in packs) <= size
    assert all(pack == sorted(pack) for pack in packs)


@given(n_frames=st.integers(1, 60), size=st.integers(1, 20))
def test_equal_frames_are_shared_equally(n_frames, size):
    lengths = [len(pack) for pack in share_out(range(n_frames), [1.0] * n_frames, size)]
    assert max(lengths) - min(lengths) <= 1


def test_cost_is_balanced_and_not_only_number():
    packs = share_out(range(6), [9.0, 1.0, 1.0, 1.0, 9.0, 1.0], 3)
    assert sorted(sum(frame in {0, 4} for frame in pack) for pack in packs) == [1, 1]


@pytest.mark.parametrize(
    ("resources", "cores"),
    [
        ({}, 1),
        ({"num_machines": 2, "num_mpiprocs_per_machine": 8}, 16),
        ({"num_machines": 1, "num_mpiprocs_per_machine": 2, "num_cores_per_mpiproc": 4}, 8),
        ({"tot_num_mpiprocs": 12, "parallel_env": "mpi"}, 12),
    ],
)
def test_cores_of_a_frame(resources, cores):
    assert frame_cores({"resources": resources}) == cores


@pytest.mark.parametrize(("total", "processes", "concurrency"), [(None, 1, 1), (8, 1, 8), (8, 3, 2), (2, 4, 1)])
def test_as_many_frames_at_a_time_as_the_computer_has_cores_for(total, processes, concurrency):
    options = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": processes}}
    assert default_concurrency(StubComputer(total), options) == concurrency


def test_pack_asks_for_the_cores_of_all_its_frames_and_mpi_starts_those_of_one():
    options = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 2}, "queue_name": "short"}
    packed = pack_options(options, 3)
    assert packed["resources"]["num_mpiprocs_per_machine"] == 2
    assert frame_cores(packed) == 6
    assert packed["queue_name"] == "short"
    assert frame_cores(options) == 2
