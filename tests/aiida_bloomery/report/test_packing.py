import numpy as np
import pytest
from ase.build import bulk, molecule

from aiida_bloomery.report.packing import BLOCK, STEPS, pack, packed_json, unpack
from bloomery.frames.configurations import Configurations


def test_what_is_packed_comes_back_within_half_a_step_of_the_grid() -> None:
    generator = np.random.default_rng(0)
    atoms = [bulk("NaCl", "rocksalt", a=5.6, cubic=True), molecule("H2O"), bulk("Si")]
    frames = []
    for index in range(BLOCK + 5):
        frame = atoms[index % 3].copy()
        frame.rattle(0.3, rng=generator)
        frames.append(frame)
    given = Configurations.from_atoms(frames)
    blocks = pack(given)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        part = given[number * BLOCK : (number + 1) * BLOCK]
        cells, positions, elements = unpack(block, part.counts)
        assert cells == pytest.approx(part.cells, abs=1e-6)
        extent = max(np.ptp(frame.positions, axis=0).max() for frame in frames)
        assert np.abs(positions - part.positions).max() < 0.51 * extent / STEPS + 1e-5
        symbols = np.array(given.elements)[elements]
        assert symbols.tolist() == [symbol for frame in part.to_atoms() for symbol in frame.get_chemical_symbols()]


def test_a_frame_without_atoms_and_one_with_a_single_atom() -> None:
    frames = Configurations.from_atoms([bulk("Cu")[:0], bulk("Cu"), bulk("Cu")[:0]])
    cells, positions, elements = unpack(pack(frames)[0], frames.counts)
    assert (cells.shape, positions.shape, elements.tolist()) == ((3, 3, 3), (1, 3), [0])


def test_a_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        packed_json({"value": float("nan")})
