"""Random structures."""

import pytest
from ase.build import bulk, molecule

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.random_search import RandomSearch
from bloomery.testing.potentials import TeacherCommittee

pytest.importorskip("pyxtal")


@pytest.mark.slow
def test_composition_density_and_distances_are_as_asked_for() -> None:
    start = Configurations.from_atoms([bulk("SiC", "zincblende", a=4.36)])
    settings = {"structures": 4, "formula_units": [2, 4], "volumes": [1.0, 1.1]}
    frames, report = RandomSearch.make(**settings).sample(start)
    assert 0 < len(frames) == 4 - report.numbers["given_up"]
    assert set(frames.counts.tolist()) <= {4, 8}
    volumes = frames.volumes / frames.counts
    cell = start.volumes[0] / 2
    assert (volumes >= cell * (1 - 1e-9)).all()
    assert (volumes <= 1.1 * cell * (1 + 1e-9)).all()
    for atoms in frames.to_atoms():
        assert (atoms.numbers == 14).sum() == (atoms.numbers == 6).sum()


def test_structures_have_the_symmetry_that_was_drawn() -> None:
    """Told by spglib, which had no part in making them. A structure may by chance have more than it was made with."""
    spglib = pytest.importorskip("spglib")
    start = Configurations.from_atoms([bulk("Si", cubic=True)])
    settings = {"structures": 3, "formula_units": [8], "space_groups": [195, 230]}
    frames, report = RandomSearch.make(**settings).sample(start)
    assert len(frames)
    for atoms, entry in zip(frames.to_atoms(), report.trajectories, strict=True):
        found = spglib.get_symmetry_dataset(
            (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3
        )
        assert found.number >= 195
        assert entry["space_group"] >= 195


@pytest.mark.slow
def test_relaxation_goes_downhill_and_keeps_frames_on_its_way(committee: TeacherCommittee) -> None:
    start = Configurations.from_atoms([bulk("Si", cubic=True)])
    settings = {"structures": 2, "formula_units": [4], "relax_steps": 30, "interval": 10, "max_disagreement": None}
    sampler = RandomSearch.make(**settings)
    frames, report = sampler.sample(start, potential=committee)
    assert len(frames) <= sampler.plan(1)["frames"]
    for trajectory in set(frames.info["trajectory"].tolist()):
        mine = frames[frames.info["trajectory"] == trajectory]
        energies = committee.predict(mine).energy
        assert mine.info["step"][0] == 0
        assert len(mine) == 1 or energies[-1] < energies[0] - 0.1
    assert (frames.info["disagreement"] >= 0).all()
    assert report.trajectories[0]["stop_reason"]


def test_a_relaxation_stops_where_the_committee_disagrees(committee: TeacherCommittee) -> None:
    start = Configurations.from_atoms([bulk("Si", cubic=True)])
    settings = {"structures": 1, "formula_units": [4], "max_disagreement": 1e-6, "space_groups": [1, 1]}
    frames, report = RandomSearch.make(**settings).sample(start, potential=committee)
    assert frames.info["step"].tolist() == [0]
    assert report.trajectories[0]["stop_reason"].startswith("step 0: disagreement of")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"space_groups": [1, 231]}, "random_search.space_groups"),
        ({"space_groups": [9, 3]}, "from a smaller to a larger"),
        ({"volumes": [1.2, 0.8]}, "from a smaller to a larger"),
        ({"formula_units": []}, "random_search.formula_units"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        RandomSearch.make(**settings)


def test_a_molecule_has_no_density() -> None:
    with pytest.raises(InputError, match="starting structure 0 is not periodic in all directions"):
        RandomSearch.make().sample(Configurations.from_atoms([molecule("H2O")]))
