"""Metadynamics: PLUMED's input, the bias that comes of it, and what is said where there is no PLUMED."""

import sys
from pathlib import Path
from typing import Any

import ase
import numpy as np
import pytest
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.samplers.dynamics.forces import FORCES, Evaluation, Wanted
from bloomery.samplers.dynamics.trajectories import trajectories
from bloomery.samplers.metadynamics import Metadynamics, biased, plumed
from bloomery.testing.potentials import TeacherCommittee


def _available() -> bool:
    try:
        plumed()
    except InputError:
        return False
    return True


needs_plumed = pytest.mark.skipif(not _available(), reason="there is no PLUMED; conda-forge has its kernel")
DISTANCE: dict[str, Any] = {"variables": {"d": {"define": "DISTANCE ATOMS=1,2 NOPBC", "width": 0.2}}}


class Nothing:
    """Atoms that feel each other not at all."""

    batch_atoms = 1

    def __call__(self, frames: Configurations, wanted: Wanted = FORCES) -> Evaluation:
        """Return no forces."""
        return Evaluation(np.zeros((frames.n_atoms, 3)), np.zeros(len(frames)))


def pair(distance: float) -> Configurations:
    return Configurations.from_atoms([ase.Atoms("Ar2", [[0, 0, 0], [0, 0, distance]])])


def test_the_input_is_in_the_units_of_the_settings() -> None:
    variables = {"c": {"define": "COM ATOMS=1-4"}, "d": {"define": "DISTANCE ATOMS=c,5", "width": 0.2}}
    variables["t"] = {"define": "TORSION ATOMS=1,2,3,4", "width": 0.35}
    settings = Metadynamics.make(variables=variables, height="30 meV", pace=20, biasfactor=8).settings
    units, *lines = settings.lines(450, Path("/somewhere/HILLS"))
    words, energy = units.rsplit("=", 1)
    assert words == "UNITS LENGTH=A TIME=fs ENERGY"
    assert float(energy) == pytest.approx(96.48533212, rel=1e-7)  # kJ/mol, PLUMED's own unit of energy (CODATA 2018)
    hill = "METAD LABEL=bloomery_hills ARG=d,t SIGMA=0.2,0.35 HEIGHT=0.03 PACE=20 BIASFACTOR=8 TEMP=450"
    assert lines == [
        "c: COM ATOMS=1-4",
        "d: DISTANCE ATOMS=c,5",
        "t: TORSION ATOMS=1,2,3,4",
        f"{hill} FILE=/somewhere/HILLS",
    ]


@pytest.mark.parametrize(
    ("define", "reason"),
    [
        ("LOAD evil.so", "LOAD defines no variable"),
        ("INCLUDE other.dat", "INCLUDE defines no variable"),
        ("DISTANCE ATOMS=1,2 FILE=/etc/passwd", "LABEL and FILE cannot be set"),
        ("DISTANCE ATOMS=1,2\nLOAD evil.so", "should match pattern"),
        ("distance ATOMS=1,2", "should match pattern"),
    ],
)
def test_what_defines_no_variable_is_refused(define: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Metadynamics.make(variables={"d": {"define": define, "width": 0.1}})


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="give at least one a width"):
        Metadynamics.make(variables={"d": {"define": "DISTANCE ATOMS=1,2"}})
    with pytest.raises(InputError, match="runs in the ensemble nvt"):
        Metadynamics.make(ensemble="npt", **DISTANCE)


def test_without_plumed_one_sentence_says_how_to_get_it(
    silicon: Configurations, committee: TeacherCommittee, monkeypatch: pytest.MonkeyPatch
) -> None:
    plumed.cache_clear()
    monkeypatch.setitem(sys.modules, "plumed", None)
    with pytest.raises(InputError, match=r"metadynamics: cannot run without PLUMED; .*conda-forge.*PLUMED_KERNEL"):
        Metadynamics.make(**DISTANCE).sample(silicon, potential=committee)


@needs_plumed
def test_hills_are_those_of_well_tempered_metadynamics() -> None:
    """Two hills on one spot: the second is lower by exp(-V / kB dT); their force is the derivative of a Gaussian."""
    sampler = Metadynamics.make(height=0.1, pace=2, biasfactor=5, temperatures=[400], **DISTANCE)
    (item,) = trajectories(pair(3.8), sampler.settings, 0, "metadynamics")
    forces: list[NDArray[np.float64]] = []
    with biased(Nothing(), item, sampler.settings) as driver:
        # Hills come in steps 2 and 4, in which they do not act yet.
        forces.extend(driver(pair(distance)).forces for distance in (3.8, 3.8, 3.8, 3.9, 3.8, 3.9))
    dx, width, thermal = 0.1, 0.2, 8.617333e-5 * 400 * (5 - 1)
    slope = dx / width**2 * np.exp(-(dx**2) / (2 * width**2))
    second = 0.1 * np.exp(-0.1 / thermal)
    # PLUMED cuts its Gaussians off and stretches them by some 0.2 % to stay continuous.
    assert forces[3][1, 2] == pytest.approx(0.1 * slope, rel=5e-3)
    assert forces[5][1, 2] == pytest.approx((0.1 + second) * slope, rel=5e-3)
    np.testing.assert_allclose([force.sum(axis=0) for force in forces], 0, atol=1e-12)


@needs_plumed
def test_variables_that_plumed_does_not_know(silicon: Configurations, committee: TeacherCommittee) -> None:
    sampler = Metadynamics.make(variables={"d": {"define": "DISTANCES ATOMS=1,2", "width": 0.1}})
    with pytest.raises(InputError, match=r"metadynamics\.variables: PLUMED does not understand them"):
        sampler.sample(silicon, potential=committee)


@needs_plumed
def test_slabs_are_refused(committee: TeacherCommittee, silicon: Configurations) -> None:
    atoms = silicon.to_atoms()[0]
    atoms.pbc = (True, True, False)
    with pytest.raises(InputError, match="starting structure 0 is periodic in some directions only"):
        Metadynamics.make(**DISTANCE).sample(Configurations.from_atoms([atoms]), potential=committee)
