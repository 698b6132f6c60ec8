"""Ladders of settings: errors, what is chosen from them, and how the choice is mended."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import pytest
from ase import units
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bloomery.campaign.convergence import (
    Climb,
    Convergence,
    Deviation,
    Ladder,
    Plan,
    Point,
    Rung,
    Trial,
    absolute_limits,
    cheapest,
    climb,
    deviation,
    merged,
    next_place,
    tried,
)
from bloomery.frames.configurations import Configurations

LIMITS = {"forces": 5.0}


def ladder(name: str, values: list[float], middle: int = 1, **more: Any) -> Ladder:
    rungs = [
        Rung(value=value, inputs={"pw": {"parameters": {"SYSTEM": {name: value}}}}, file={name: f"{value:g} Ry"})
        for value in values
    ]
    return Ladder(name=name, unit="Ry", rungs=rungs, middle=middle, **more)


def plan(**limits: float) -> Plan:
    """A mesh that waits for a width, which is compared at the densest mesh, and cutoffs that are tied."""
    densities = ladder("ecutrho", [100.0, 160.0, 240.0], follows=["ecutwfc"])
    tied = [rung.model_copy(update={"at_most": {"ecutwfc": rung.value / 4}}) for rung in densities.rungs]
    ladders = [
        ladder("ecutwfc", [20.0, 30.0, 40.0, 60.0], at_top=["ecutrho"]),
        densities.model_copy(update={"rungs": tied}),
        ladder("smearing", [0.03, 0.02, 0.01], at_top=["kpoints"]),
        ladder("kpoints", [0.6, 0.4, 0.3, 0.2], follows=["smearing"]),
    ]
    return Plan(ladders=ladders, limits=limits or {"forces": 5.0})


def deviations(*forces: float | None) -> list[Deviation | None]:
    return [None if value is None else Deviation(forces=value) for value in forces]


# -- errors -----------------------------------------------------------------------------------------------------------


def labelled(shift: float = 0.0, *, push: float = 0.0, pull: float = 0.0, tilt: float = 0.0) -> Configurations:
    """Three cells of silicon with labels that are off: each energy by a shift per atom, the last by a tilt more."""
    frames = [bulk("Si", a=a) for a in (5.3, 5.4, 5.5)]
    for index, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=index)
    forces = np.random.default_rng(1).normal(size=(6, 3))
    forces[0, 0] += push
    energies = np.array([-9.0, -10.0, -9.5]) + 2 * shift + np.array([0, 0, 2 * tilt])
    stress = np.full((3, 6), 0.01) + pull
    return Configurations.from_atoms(frames).with_labels(energy=energies, forces=forces, stress=stress)


def test_errors_have_the_units_of_targets() -> None:
    ours, reference = labelled(push=0.018, pull=2 * units.GPa, tilt=0.003), labelled()
    found = deviation(ours, reference, reference.hashes())
    assert found is not None
    assert found.forces_max == pytest.approx(18)
    assert found.forces == pytest.approx(18 / np.sqrt(18))
    assert found.stress == pytest.approx(2)
    assert found.stress_max == pytest.approx(2)
    assert found.energy == pytest.approx(3)


def test_what_all_energies_are_shifted_by_is_no_error() -> None:
    reference = labelled()
    found = deviation(labelled(5.0), reference, reference.hashes())
    assert found is not None
    assert found.energy == pytest.approx(0, abs=1e-9)
    assert found.forces == 0


def test_energies_of_different_compositions_are_not_compared() -> None:
    """Of germanium the shift is another one; a frame alone of its composition has no difference."""
    frames = [bulk("Si"), bulk("Si", a=5.5), bulk("Ge"), bulk("Ge", a=5.7)]
    bare = Configurations.from_atoms(frames)
    reference = bare.with_labels(energy=[-9.0, -8.0, -7.0, -6.0])
    ours = bare.with_labels(energy=[-9.1, -8.1, -9.0, -8.002])
    found = deviation(ours, reference, bare.hashes())
    assert found is not None
    assert found.energy == pytest.approx(1)  # (2.002 - 2) eV for two atoms
    assert found.forces is None
    alone = deviation(ours[[0, 2]], reference[[0, 2]], bare[[0, 2]].hashes())
    assert alone is not None
    assert alone.energy is None


def test_frames_are_told_apart_by_content_and_all_are_needed() -> None:
    reference = labelled()
    hashes = reference.hashes()
    found = deviation(reference[[2, 0, 1]], reference, hashes)
    assert found is not None
    assert found.forces == 0
    assert deviation(reference[[0, 2]], reference, hashes) is None
    assert deviation(None, reference, hashes) is None


def test_relative_limits_are_of_the_reference_and_the_smaller_one_counts() -> None:
    reference = labelled()
    rms = 1000 * float(np.sqrt(np.mean(reference.labels["forces"] ** 2)))
    assert absolute_limits({"relative_forces": 0.01}, reference) == {"forces": pytest.approx(0.01 * rms)}
    assert absolute_limits({"relative_forces": 0.01, "forces": 2.0, "energy": 1.0}, reference) == {
        "forces": 2.0,
        "energy": 1.0,
    }


def test_a_limit_of_what_is_not_labelled_is_none() -> None:
    molecule = Configurations.from_atoms([ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.75]])])
    reference = molecule.with_labels(energy=[-30.0], forces=np.zeros((2, 3)))
    assert absolute_limits({"stress": 0.1, "relative_forces": 0.1, "energy": 1.0}, reference) == {"energy": 1.0}
    one = Plan(ladders=[ladder("ecutwfc", [20.0, 30.0])], limits={"stress": 0.1})
    found = climb(one, one.ladders[0], {}, {"0": reference, "1": reference}, molecule.hashes(), {})
    assert found.chosen is None
    assert "give other limits" in found.reason


# -- choices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ((40.0, 12.0, 3.0, 1.0, 0.0), 2),
        ((4.0, 3.0, 2.0, 0.0), 0),
        ((40.0, 3.0, 7.0, 2.0, 0.0), 3),  # the small error below a larger one crossed zero by chance
        ((40.0, 12.0, 6.0, 0.0), None),  # the top itself is not known to be dense enough
        ((40.0, None, 3.0, 0.0), 2),
        ((40.0, 3.0, None, 0.0), None),
        ((0.0,), None),
    ],
)
def test_the_cheapest_rung_within_the_limits(errors: tuple[float | None, ...], chosen: int | None) -> None:
    assert cheapest(deviations(*errors), LIMITS) == chosen


ERRORS = st.lists(st.one_of(st.none(), st.floats(0, 20)), min_size=1, max_size=8)


@given(ERRORS)
def test_a_choice_and_all_that_is_denser_are_within_the_limits(errors: list[float | None]) -> None:
    found = deviations(*errors, 0.0)
    chosen = cheapest(found, LIMITS)
    good = [one is not None and one.within(LIMITS) for one in found]
    if chosen is None:
        assert not good[-2]
    else:
        assert chosen < len(errors)
        assert all(good[chosen:])
        assert chosen == 0 or not good[chosen - 1]


@given(st.lists(st.floats(0, 20), min_size=1, max_size=8))
def test_of_errors_that_fall_it_is_the_first_that_is_small_enough(errors: list[float]) -> None:
    falling = sorted(errors, reverse=True)
    first = next((index for index, error in enumerate(falling) if error <= 5), None)
    assert cheapest(deviations(*falling, 0.0), LIMITS) == first


@given(st.lists(st.floats(0, 20), min_size=1, max_size=8), st.floats(1, 5))
def test_who_wants_less_never_pays_more(errors: list[float], factor: float) -> None:
    strict = cheapest(deviations(*errors, 0.0), LIMITS)
    loose = cheapest(deviations(*errors, 0.0), {"forces": 5 * factor})
    assert strict is None or (loose is not None and loose <= strict)


def test_every_quantity_that_has_a_limit_counts() -> None:
    both = {"forces": 5.0, "energy": 1.0}
    assert not Deviation(forces=1.0).within(both)
    assert not Deviation(forces=1.0, energy=2.0).within(both)
    assert Deviation(forces=1.0, energy=0.5, stress=100.0).within(both)
    assert Deviation(forces=10.0, energy=3.0).worst(both) == ("energy", 3.0)


# -- where ladders stand ----------------------------------------------------------------------------------------------


def test_ladders_stand_in_the_middle_unless_they_depend_on_each_other() -> None:
    made = plan()
    assert [one.name for one in made.ready({})] == ["ecutwfc", "smearing"]
    assert made.places(made.ladder("ecutwfc"), {})[0] == {"ecutwfc": 0, "ecutrho": 2, "smearing": 1, "kpoints": 1}
    assert {place["kpoints"] for place in made.places(made.ladder("smearing"), {})} == {3}
    chosen = {"ecutwfc": 2, "smearing": 0}
    assert [one.name for one in made.ready(chosen)] == ["ecutrho", "kpoints"]
    # A density cutoff of 100 Ry is below four times 40 Ry.
    assert [place["ecutrho"] for place in made.places(made.ladder("ecutrho"), chosen)] == [1, 2]
    assert {place["smearing"] for place in made.places(made.ladder("kpoints"), chosen)} == {0}
    assert {place["ecutwfc"] for place in made.places(made.ladder("kpoints"), chosen)} == {1}


def test_a_place_says_inputs_and_keys_of_the_file() -> None:
    made = plan()
    system = {"ecutwfc": 60.0, "ecutrho": 240.0, "smearing": 0.01, "kpoints": 0.2}
    assert made.inputs(made.top) == {"pw": {"parameters": {"SYSTEM": system}}}
    assert made.file(made.top)["ecutwfc"] == "60 Ry"
    assert made.key(made.top) == "3_2_2_3"
    assert merged([{"a": {"b": 1}}, {"a": {"c": 2}}, {"a": None}]) == {"a": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limits": {"force": 1.0}}, "there is no error 'force'"),
        ({"limits": {"forces": 0.0}}, "must its limit be"),
        ({"limits": {}}, "at least 1 item"),
        ({"ladders": [ladder("a", [1, 2], follows=["b"])]}, "b, which is no ladder"),
        ({"ladders": [ladder("a", [1, 2], follows=["b"]), ladder("b", [1, 2], follows=["a"])]}, "wait for each other"),
        ({"ladders": [ladder("a", [1, 2]), ladder("a", [1, 2])]}, "one name"),
    ],
)
def test_plans_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Plan.model_validate({"ladders": [ladder("a", [1, 2])], "limits": {"forces": 1.0}} | change)


def test_a_ladder_has_rungs_and_a_middle_among_them() -> None:
    with pytest.raises(ValidationError, match="at least 2 items"):
        ladder("a", [1.0])
    with pytest.raises(ValidationError, match="3 is none of them"):
        ladder("a", [1.0, 2.0], 3)


def test_a_climb_tells_what_is_wrong_where_the_top_is_too_low() -> None:
    made = plan()
    reference = labelled()
    one = made.ladder("ecutwfc")
    keys = [made.key(place) for place in made.places(one, {})]
    off = [0.2, 0.1, 0.05, 0.0]
    labels = {key: labelled(push=push) for key, push in zip(keys, off, strict=True)}
    found = climb(made, one, {}, labels, reference.hashes(), {"forces": 5.0})
    assert found.chosen is None
    assert found.reason == (
        "ecutwfc: from 40 Ry to 60 Ry, the densest, forces still change by 11.8, more than 5 meV/Å; give more "
        "values, --ladder ecutwfc=20,30,40,60,90 --ladder ecutrho=100,160,240,360, or allow larger errors."
    )
    found = climb(made, one, {}, labels, reference.hashes(), {"forces": 24.0})
    assert found.chosen == 1
    assert [point.value for point in found.points] == [20, 30, 40, 60]
    del labels[keys[2]]
    found = climb(made, one, {}, labels, reference.hashes(), {"forces": 24.0})
    assert "at 40 Ry not all labels are there" in found.reason


# -- the choice as a whole --------------------------------------------------------------------------------------------


def known(*trials: Trial) -> Convergence:
    """Ladders that have chosen; errors of `kpoints` are nearest to the limit."""
    points = {
        "ecutwfc": [20.0, 3.0, 1.0, 0.0],
        "ecutrho": [3.0, 1.0, 0.0],
        "smearing": [4.0, 1.0, 0.0],
        "kpoints": [9.0, 4.5, 2.0, 0.0],
    }
    climbs = {
        name: Climb(
            points=[
                Point(key="", rung=rung, value=0.0, deviation=Deviation(forces=error))
                for rung, error in enumerate(errors)
            ],
            chosen=cheapest(deviations(*errors), LIMITS),
        )
        for name, errors in points.items()
    }
    return Convergence(limits=LIMITS, climbs=climbs, trials=list(trials))


def test_what_errs_most_goes_up_until_the_whole_holds() -> None:
    made, told = plan(), known()
    assert told.chosen == {"ecutwfc": 1, "ecutrho": 1, "smearing": 0, "kpoints": 1} | {"ecutrho": 0}
    # 100 Ry do not go together with 30 Ry.
    place = next_place(made, told)
    assert place == {"ecutwfc": 1, "ecutrho": 1, "smearing": 0, "kpoints": 1}
    reference = labelled()
    for raised in ({"kpoints": 2}, {"smearing": 1}, {"ecutwfc": 2}):
        told = tried(made, told, place, labelled(push=0.1), reference, reference.hashes())
        assert not told.verified
        place = next_place(made, told)
        assert place == told.chosen | raised
    told = tried(made, told, place, labelled(push=0.001), reference, reference.hashes())
    assert told.verified
    assert told.chosen == {"ecutwfc": 2, "ecutrho": 1, "smearing": 1, "kpoints": 2}
    assert Convergence.model_validate(told.as_dict()) == told


def test_a_choice_that_never_holds_ends_at_the_top() -> None:
    made, told = plan(), known()
    reference = labelled()
    for _ in range(20):
        place = next_place(made, told)
        labels = reference if place == made.top else None
        told = tried(made, told, place, labels, reference, reference.hashes())
        if told.verified:
            break
    assert told.verified
    assert told.chosen == made.top
