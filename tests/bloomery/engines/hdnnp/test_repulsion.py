"""The repulsion of atoms that are too close: its formula, that it is exact, and that the data feel nothing of it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from tests.quick_engines import QUICK

from bloomery.descriptors.species import species_of
from bloomery.engines.contract import TrainingData, load_potential
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.repulsion import COVALENT, INNER, OUTER, Repulsion, Watcher, pair_energies
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.frames.neighbours import find_neighbours
from bloomery.potentials.acceptance import AcceptanceSettings, check_potential
from bloomery.testing.engines import assert_same
from bloomery.testing.frames import odd_frames, open_frames

ELEMENTS = ["C", "Si"]
REPULSION = Repulsion(("C", "Si"), {frozenset({"Si"}): 2.1, frozenset(ELEMENTS): 1.8}, cutoff=4.0)


def lammps_zbl(first: str, second: str, distance: float) -> float:
    """Energy in eV without a switch, with the numbers of LAMMPS' documentation of ``pair_style zbl``."""
    z = atomic_numbers[first], atomic_numbers[second]
    x = distance * (z[0] ** 0.23 + z[1] ** 0.23) / 0.46850
    terms = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
    return 14.399645 * z[0] * z[1] / distance * sum(factor * exp(-rate * x) for factor, rate in terms)


def of_pair(
    repulsion: Repulsion, first: str, second: str, distances: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies and their derivatives at distances in Å, ``(n,)`` each."""
    place = repulsion.elements.index(first), repulsion.elements.index(second)
    return pair_energies(distances, *(table[place] for table in repulsion.tables))


# -- the formula --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [("H", "H"), ("O", "H"), ("Si", "Si"), ("C", "Au")])
def test_it_is_that_of_ziegler_biersack_and_littmark(pair: tuple[str, str]) -> None:
    """Where the switch is one; at a millionth of an Å it is the repulsion of bare nuclei."""
    repulsion = Repulsion(tuple(sorted({*pair})), {frozenset(pair): 4.0}, cutoff=5.0)
    distances = torch.linspace(0.05, 0.99 * INNER * OUTER * 4.0, 20, dtype=torch.float64)
    expected = [lammps_zbl(*pair, distance) for distance in distances.tolist()]
    np.testing.assert_allclose(of_pair(repulsion, *pair, distances)[0], expected, rtol=3e-3)
    nearest = of_pair(repulsion, *pair, torch.tensor([1e-6]).double())[0]
    charges = atomic_numbers[pair[0]] * atomic_numbers[pair[1]]
    assert nearest.item() == pytest.approx(14.3996454 * charges / 1e-6, rel=1e-4)


def test_it_ends_with_two_continuous_derivatives() -> None:
    """Third differences at the ends are as small as the step: energy, slope and curvature do not jump."""
    outer = OUTER * 2.1
    for edge in (outer, INNER * outer):
        jumps = []
        for step in (1e-3, 1e-4):
            distances = edge + step * torch.tensor([-1.5, -0.5, 0.5, 1.5]).double()
            slopes = of_pair(REPULSION, "Si", "Si", distances)[1]
            curvature = (slopes[1:] - slopes[:-1]) / step
            jumps.append(float((curvature[2] - curvature[0]).abs() / curvature.abs().max().clamp(min=1.0)))
        assert jumps[1] < 0.15 * jumps[0]
    values, slopes = of_pair(REPULSION, "Si", "Si", torch.tensor([outer, 1.2 * outer]).double())
    assert not values.any()
    assert not slopes.any()


def test_slopes_are_derivatives() -> None:
    distances = torch.linspace(0.3, 2.3, 50, dtype=torch.float64, requires_grad=True)
    values, slopes = of_pair(REPULSION, "Si", "Si", distances)
    (expected,) = torch.autograd.grad(values.sum(), distances)
    torch.testing.assert_close(slopes, expected, rtol=1e-12, atol=1e-12)


def test_the_force_grows_all_the_way_in() -> None:
    """For all elements up to uranium, if their shortest distance is a usual bond: nowhere can atoms come to rest."""
    elements = chemical_symbols[1:93]
    radii = {element: covalent_radii[atomic_numbers[element]] for element in elements}
    nearest = {frozenset((a, b)): radii[a] + radii[b] for a, b in product(elements, elements)}
    tables = Repulsion(tuple(elements), nearest, cutoff=8.0).tables
    strengths, lengths, inner, outer = (table.flatten()[:, None] for table in tables)
    distances = outer * torch.linspace(0.2, 1.0, 200, dtype=torch.float64)
    forces = -pair_energies(distances, strengths, lengths, inner, outer)[1]
    assert (forces[:, :-1] - forces[:, 1:] > -1e-3 * forces[:, :1]).all()
    assert (forces >= 0).all()


# -- of whole frames ----------------------------------------------------------------------------------------------


def watched(frames: Configurations, repulsion: Repulsion = REPULSION) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies, forces and virials of frames."""
    watcher = Watcher(repulsion, frames, species_of(frames, list(repulsion.elements)))
    found = find_neighbours(frames, repulsion.cutoff)
    watcher(torch.from_numpy(found.pairs), torch.from_numpy(found.vectors))
    assert watcher.sums is not None
    return tuple(part.numpy() for part in watcher.sums)  # type: ignore[return-value]


def test_every_image_counts_once() -> None:
    """Against a sum over explicit copies of cells that are shorter than the repulsion reaches, and over molecules."""
    frames = odd_frames(ELEMENTS, closest=1.0)
    energies = watched(frames)[0]
    shifts = np.array(list(product(range(-3, 4), repeat=3)))
    for frame, energy in zip(frames, energies, strict=True):
        copies = shifts[(shifts[:, ~frame.pbc[0]] == 0).all(axis=1)] @ frame.cells[0]
        expected = 0.0
        for i, j in product(range(frame.n_atoms), repeat=2):
            apart = np.linalg.norm(frame.positions[j] - frame.positions[i] + copies, axis=1)
            first, second = (chemical_symbols[frame.numbers[atom]] for atom in (i, j))
            outer = float(REPULSION.tables.outer[ELEMENTS.index(first), ELEMENTS.index(second)])
            near = torch.from_numpy(apart[(apart > 1e-9) & (apart < outer)])
            expected += 0.5 * float(of_pair(REPULSION, first, second, near)[0].sum())
        assert energy == pytest.approx(expected, rel=1e-10, abs=1e-12)
    assert (energies > 0.1).sum() >= 4, "there is something to compare"
    assert not energies[frames.counts == 0].any()


def test_forces_and_virials_are_derivatives() -> None:
    frames = odd_frames(ELEMENTS, seed=1, closest=1.0)
    _, forces, virials = watched(frames)
    random, step = np.random.default_rng(0), 1e-5

    def slopes(move: np.ndarray, strain: np.ndarray) -> np.ndarray:
        """Derivatives of the energies of all frames."""
        ends = []
        for sign in (step, -step):
            affine = np.eye(3) + sign * strain
            moved = replace(frames, positions=frames.positions @ affine + sign * move, cells=frames.cells @ affine)
            ends.append(watched(moved)[0])
        return (ends[0] - ends[1]) / (2 * step)

    move, strain = random.normal(size=forces.shape), random.normal(size=(3, 3))
    work = np.bincount(frames.frame_of_atom, -(forces * move).sum(axis=1), len(frames))
    np.testing.assert_allclose(slopes(move, np.zeros((3, 3))), work, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(
        slopes(np.zeros_like(move), strain), (virials * strain).sum(axis=(1, 2)), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(virials, virials.swapaxes(1, 2), rtol=1e-12, atol=1e-12)


# -- in a potential -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(silicon: Configurations) -> TrainingData:
    return TrainingData(silicon[:8], silicon[8:11], fit_energy_reference(silicon[:8]))


def train(data: TrainingData, start: HdnnpPotential | None = None, **settings: object) -> HdnnpPotential:
    potential, _ = Hdnnp.make(**{**QUICK["hdnnp"], **settings}).train(data, seed=1, device="cpu", start_from=start)
    assert isinstance(potential, HdnnpPotential)
    return potential


@pytest.fixture(scope="module")
def potential(data: TrainingData) -> HdnnpPotential:
    return train(data)


def shortest(frames: Configurations) -> float:
    return float(np.linalg.norm(find_neighbours(frames, 4.0).vectors, axis=1).min())


def dimers(distances: np.ndarray) -> Configurations:
    positions = np.zeros((len(distances), 2, 3))
    positions[:, 1, 0] = distances
    return open_frames([2] * len(distances), [14] * 2 * len(distances), positions)


def test_the_data_feel_nothing(data: TrainingData, potential: HdnnpPotential) -> None:
    """To the last bit, early-stopping frames included; what is learnt is the same with and without."""
    frames = Configurations.concatenate([data.train, data.early_stopping])
    assert potential.repulsion is not None
    assert potential.repulsion.reach == pytest.approx(OUTER * shortest(frames), rel=1e-12)
    assert potential.repulsion.reach < potential.cutoff
    without = train(data, repulsion=False)
    assert without.repulsion is None
    assert_same(potential.predict(frames), without.predict(frames))


@pytest.mark.parametrize("kernels", [True, False])
def test_dimers_closer_than_the_data_repel_each_other(
    kernels: bool, potential: HdnnpPotential, request: pytest.FixtureRequest
) -> None:
    """The more the closer they are, all members alike, and by exactly the formula."""
    if not kernels:
        request.getfixturevalue("no_kernels")
    assert potential.repulsion is not None
    distances = potential.repulsion.reach * np.linspace(0.3, 1.05, 40)
    found, network = (one.predict(dimers(distances)) for one in (potential, potential.changed(repulsion=None)))
    assert network.forces[:, 1::2, 0].min() < 0, "the networks alone let atoms fall into each other"
    forces = found.forces[:, 1::2, 0][:, distances < 0.75 * potential.repulsion.reach]
    assert (forces > 0).all()
    assert (np.diff(forces, axis=1) < 0).all()
    values, slopes = of_pair(potential.repulsion, "Si", "Si", torch.from_numpy(distances))
    np.testing.assert_allclose(found.energies - network.energies, np.tile(values, (2, 1)), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose((found.forces - network.forces)[:, 1::2, 0], np.tile(-slopes, (2, 1)), atol=1e-9)


@pytest.mark.parametrize("descriptor", ["acsf", "power_spectrum", "soap"])
def test_squeezed_crystals_have_exact_forces_and_stresses(descriptor: str, data: TrainingData) -> None:
    """By finite differences, with every descriptor: each hands on the neighbours that it has found."""
    if descriptor == "soap":
        pytest.importorskip("featomic")
    potential = train(data, steps=5, descriptor={descriptor: {"cutoff": 4.0}})
    frames = replace(data.train, positions=0.85 * data.train.positions, cells=0.85 * data.train.cells)
    added = potential.predict(frames).energy - potential.changed(repulsion=None).predict(frames).energy
    assert (added > 0).any()
    report = check_potential(potential, frames.without_labels(), AcceptanceSettings(frames=4))
    assert report.passed, report.to_dict()


def test_a_potential_in_float32_repels_as_well(potential: HdnnpPotential) -> None:
    frames = dimers(np.array([1.0, 1.4]))
    expected, found = potential.predict(frames), potential.changed(dtype="float32").predict(frames)
    np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-5)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-4, atol=1e-3)


def test_elements_that_never_meet_keep_a_cautious_distance(data: TrainingData) -> None:
    """Two crystals of different elements; the cutoff bounds the distance."""
    germanium = replace(data.train, numbers=np.full_like(data.train.numbers, 32))
    repulsion = Repulsion.fitted(Configurations.concatenate([data.train, germanium]), ["Si", "Ge"], 4.0)
    assert set(repulsion.told()) == {"Si-Si", "Ge-Ge"}
    radii = covalent_radii[14] + covalent_radii[32]
    assert float(repulsion.tables.outer[0, 1]) == pytest.approx(COVALENT * radii)
    assert float(Repulsion(("Cs",), {}, cutoff=3.0).tables.outer) == 3.0


def test_a_warm_start_leaves_the_frames_of_its_start_alone(data: TrainingData) -> None:
    """New frames that are all wider, or closer: the smaller distance counts."""
    wide = replace(data.train, positions=1.1 * data.train.positions, cells=1.1 * data.train.cells)
    stretched = TrainingData(wide, Configurations.empty(), data.energy_reference)
    first, other = train(data, steps=5), train(stretched, steps=5)
    for start, new in ((first, stretched), (other, data)):
        warm = train(new, start, steps=5, warm_steps=5)
        assert warm.repulsion is not None
        assert warm.repulsion.told() == {"Si-Si": min(shortest(data.train), shortest(data.early_stopping))}
    merged = REPULSION.no_wider(Repulsion(("C", "Si"), {frozenset("C"): 1.3, frozenset({"Si"}): 2.2}, cutoff=4.0))
    assert merged.told() == {"C-C": 1.3, "C-Si": 1.8, "Si-Si": 2.1}


def test_a_warm_start_does_not_change_the_setting(data: TrainingData, potential: HdnnpPotential) -> None:
    """A start without repulsion does not say how close its frames came."""
    with pytest.raises(InputError, match="its short-range repulsion differ"):
        train(data, potential, repulsion=False)
    with pytest.raises(InputError, match="its short-range repulsion differ"):
        train(data, train(data, steps=2, repulsion=False))


# -- files --------------------------------------------------------------------------------------------------------


def test_files_keep_the_distances(potential: HdnnpPotential, tmp_path: Path) -> None:
    potential.save(tmp_path)
    frames = dimers(np.array([1.2, 1.9]))
    back = load_potential(tmp_path, "cpu")
    assert_same(back.predict(frames), potential.predict(frames))
    assert "repulsion" not in back.details


def test_the_digest_covers_the_distances(potential: HdnnpPotential, tmp_path: Path) -> None:
    potential.save(tmp_path)
    content = json.loads((tmp_path / "potential.json").read_text(encoding="utf-8"))
    told = content.pop("repulsion")
    for changed in (content, {**content, "repulsion": {"Si-Si": 0.9 * told["Si-Si"]}}):
        (tmp_path / "potential.json").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(InputError, match="the digest is another one"):
            load_potential(tmp_path, "cpu")


def test_potentials_without_it_are_read_as_before(data: TrainingData, tmp_path: Path) -> None:
    """Their files say nothing of it, and their digest is what it was."""
    without = train(data, steps=2, repulsion=False)
    without.save(tmp_path)
    assert "repulsion" not in json.loads((tmp_path / "potential.json").read_text(encoding="utf-8"))
    back = Hdnnp.load(tmp_path, "cpu")
    assert isinstance(back, HdnnpPotential)
    assert back.repulsion is None
    frames = dimers(np.array([0.8, 1.9]))
    assert_same(back.predict(frames), without.predict(frames))
