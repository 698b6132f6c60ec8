"""Configurations: round trips, hashes, masks and bad files."""

import io
from pathlib import Path

import ase
import numpy as np
import pytest
from ase.build import bulk, molecule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

finite = st.floats(-20, 20, allow_nan=False, width=64)


@st.composite
def some_configurations(draw: st.DrawFn) -> Configurations:
    """Draw a few small frames, some labelled, on the grid."""
    frames = []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(1, 5))
        frames.append(
            ase.Atoms(
                numbers=draw(st.lists(st.sampled_from([1, 6, 14, 29]), min_size=n, max_size=n)),
                positions=draw(arrays(float, (n, 3), elements=finite)),
                cell=np.diag(draw(st.lists(st.floats(1, 30), min_size=3, max_size=3))),
                pbc=draw(st.lists(st.booleans(), min_size=3, max_size=3)),
            )
        )
    made = Configurations.from_atoms(frames).snapped()
    mask = draw(arrays(bool, len(frames)))
    forces = draw(arrays(float, (made.n_atoms, 3), elements=finite))
    energy = draw(arrays(float, len(frames), elements=finite))
    made = made.with_labels(energy=energy, forces=forces, masks={"forces": mask})
    return made.with_info(step=np.arange(len(frames)), rule=["a b", '"<é>"', "c=d", "x"][: len(frames)])


@given(some_configurations())
@settings(max_examples=60, deadline=None)
def test_npz_round_trip_is_exact(made: Configurations) -> None:
    buffer = io.BytesIO()
    made.save(buffer)
    buffer.seek(0)
    assert Configurations.load(buffer).digest() == made.digest()


@given(some_configurations())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_extxyz_round_trip_keeps_hashes_labels_and_info(tmp_path: Path, made: Configurations) -> None:
    path = tmp_path / "frames.extxyz"
    made.write_extxyz(path)
    read = Configurations.read(path)
    assert read.hashes() == made.hashes()
    np.testing.assert_allclose(read.label("energy")[0], made.label("energy")[0], atol=1e-7)
    np.testing.assert_allclose(read.label("forces")[0], made.label("forces")[0], atol=1e-7)
    np.testing.assert_array_equal(read.has("forces"), made.has("forces"))
    np.testing.assert_array_equal(read.info["step"], made.info["step"])
    np.testing.assert_array_equal(read.info["rule"], made.info["rule"])


@given(some_configurations(), st.randoms())
@settings(max_examples=40, deadline=None)
def test_taking_and_concatenating_are_inverse(made: Configurations, random: object) -> None:
    parts = list(made)
    assert Configurations.concatenate(parts).digest() == made.digest()
    assert made[np.arange(len(made))[::-1]][::-1].digest() == made.digest()
    assert len(made[[]]) == 0


@given(some_configurations())
@settings(max_examples=40, deadline=None)
def test_hash_ignores_labels_and_noise_below_the_grid(made: Configurations) -> None:
    noisy = Configurations.from_arrays({**made.to_arrays(), "positions": made.positions + 5e-9})
    assert noisy.hashes() == made.hashes()
    assert made.without_labels().hashes() == made.hashes()
    moved = Configurations.from_arrays({**made.to_arrays(), "positions": made.positions + 2e-6})
    assert all(a != b for a, b in zip(moved.hashes(), made.hashes(), strict=True))


def test_hash_of_minus_zero_is_that_of_zero() -> None:
    atoms = ase.Atoms("H", positions=[[0.0, 0.0, 0.0]])
    other = ase.Atoms("H", positions=[[-0.0, -1e-9, 0.0]])
    assert Configurations.from_atoms([atoms]).hashes() == Configurations.from_atoms([other]).hashes()


def test_labels_with_reference_prefix_are_found(tmp_path: Path) -> None:
    atoms = bulk("Si", cubic=True)
    atoms.info["REF_energy"] = -40.0
    atoms.arrays["REF_forces"] = np.full((8, 3), 0.5)
    path = tmp_path / "reference.extxyz"
    atoms.write(path)
    read = Configurations.read(path)
    assert read.label("energy")[0].tolist() == [-40.0]
    assert read.label("forces")[0].max() == 0.5
    assert not read.has("stress").any()


def test_stress_order_survives_extxyz(tmp_path: Path) -> None:
    stress = np.arange(6.0)[None]
    frames = Configurations.from_atoms([bulk("Si", cubic=True)]).with_labels(stress=stress)
    frames.write_extxyz(tmp_path / "s.extxyz")
    np.testing.assert_array_equal(Configurations.read(tmp_path / "s.extxyz").label("stress")[0], stress)


def test_absent_labels_are_zero_and_masked_not_nan() -> None:
    frames = Configurations.concatenate(
        [
            Configurations.from_atoms([molecule("H2O")]),
            Configurations.from_atoms([molecule("H2")]).with_labels(energy=[-1.0]),
        ]
    )
    values, mask = frames.label("energy")
    assert values.tolist() == [0.0, -1.0]
    assert mask.tolist() == [False, True]


def test_label_that_is_not_finite_names_its_frame() -> None:
    frames = Configurations.from_atoms([molecule("H2O"), molecule("H2")])
    forces = np.zeros((5, 3))
    forces[4, 1] = np.nan
    with pytest.raises(ValueError, match="frame 1 has a label forces that is not finite"):
        frames.with_labels(forces=forces)


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2,\), expected \(1,\)"):
        Configurations.from_atoms([molecule("H2")]).with_labels(energy=[1.0, 2.0])
    with pytest.raises(ValueError, match="2 values for 1 frames"):
        Configurations.from_atoms([molecule("H2")]).with_info(step=[1, 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        ("not a structure\n", "line 1: frame 0 begins with the number of its atoms"),
        ("", "holds no frame|cannot be read"),
        ("1\nProperties=species:S:1:pos:R:3 energy=nan\nH 0 0 0\n", "frame 0: energy is not finite"),
        ("1\nProperties=species:S:1:pos:R:3\nH nan 0 0\n", "frame 0 has a position or cell that is not finite"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "bad.extxyz"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        Configurations.read(path)
    assert str(path) in str(caught.value)


def test_pickled_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.npz"
    np.savez(path, counts=np.array([object()], dtype=object))
    with pytest.raises(InputError, match="not an archive of configurations"):
        Configurations.load(path)


def test_no_frames_take_labels_too() -> None:
    labelled = Configurations.empty().with_labels(energy=[], forces=np.zeros((0, 3)), stress=np.zeros((0, 6)))
    assert len(labelled) == 0
    assert labelled.label("stress")[0].shape == (0, 6)
