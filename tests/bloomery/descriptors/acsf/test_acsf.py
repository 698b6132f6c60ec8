"""Symmetry functions against their definition in loops, and sets that are made from data."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.data import atomic_numbers, chemical_symbols

from bloomery.descriptors.acsf.cutoffs import CORES, cutoff_values
from bloomery.descriptors.acsf.descriptor import Acsf
from bloomery.descriptors.acsf.functions import SetRules, SymmetryFunction, make_set
from bloomery.descriptors.acsf.sets import cur_columns, fps_columns
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours, nearest_distances
from bloomery.testing.descriptors import check_descriptor
from bloomery.testing.frames import odd_frames

CUTOFFS = ["tanh", "tanh_normalised", *CORES]
ELEMENTS = ["C", "Si"]
MIXED: list[dict[str, Any]] = [
    {"kind": "radial", "centre": "Si", "neighbours": "C", "eta": 0.3, "shift": 1.2},
    {"kind": "radial", "centre": "Si", "neighbours": "Si", "eta": 0.1, "cutoff": 3.1},
    {"kind": "radial", "centre": "C", "neighbours": "C", "eta": 0.1, "cutoff": 2.9},
    {"kind": "narrow", "centre": "Si", "neighbours": ["C", "Si"], "eta": 0.02, "lambda": -1, "zeta": 4},
    {"kind": "narrow", "centre": "Si", "neighbours": ["C", "C"], "eta": 0.05, "shift": 0.4, "lambda": 1, "zeta": 1.5},
    {"kind": "narrow", "centre": "C", "neighbours": ["Si", "Si"], "eta": 0.02, "lambda": 1, "zeta": 1, "cutoff": 3.3},
    {"kind": "wide", "centre": "C", "neighbours": ["Si", "C"], "eta": 0.2, "shift": 1.0, "lambda": -1, "zeta": 2},
    {"kind": "wide", "centre": "C", "neighbours": ["C", "C"], "eta": 0.01, "lambda": 0.5, "zeta": 16},
    {"kind": "weighted_radial", "centre": "C", "eta": 0.1, "shift": 0.5},
    {"kind": "weighted_narrow", "centre": "C", "eta": 0.01, "shift": 0.1, "lambda": -1, "zeta": 3},
    {"kind": "weighted_narrow", "centre": "Si", "eta": 0.04, "lambda": 1, "zeta": 1},
]


@pytest.mark.slow
@pytest.mark.parametrize("name", CUTOFFS)
@pytest.mark.parametrize(
    "rules",
    [{}, {"angular": "wide", "shifted": True, "zetas": [1, 2.5]}, {"weighted": True, "radial": 3}, {"angular": None}],
    ids=["narrow", "wide", "weighted", "radial"],
)
def test_every_kind_of_set_keeps_the_contract(name: str, rules: dict[str, Any]) -> None:
    check_descriptor(Acsf.make(cutoff=3.6, cutoff_function=name, rules=rules), ELEMENTS, seed=3)


def test_functions_one_by_one_keep_the_contract() -> None:
    check_descriptor(Acsf.make(cutoff=3.6, functions=MIXED), ELEMENTS, seed=4)


def cut(name: str, r: float, rc: float) -> float:
    """n2p2's cutoff functions, as its documentation writes them."""
    x = r / rc
    if x >= 1:
        return 0.0
    return {
        "cosine": 0.5 * (np.cos(np.pi * x) + 1),
        "tanh": np.tanh(1 - x) ** 3,
        "tanh_normalised": (np.tanh(1 - x) / np.tanh(1)) ** 3,
        "exponential": np.exp(1 - 1 / (1 - x * x)),
        "polynomial_1": (2 * x - 3) * x**2 + 1,
        "polynomial_2": ((15 - 6 * x) * x - 10) * x**3 + 1,
        "polynomial_3": (x * (x * (20 * x - 70) + 84) - 35) * x**4 + 1,
        "polynomial_4": (x * (x * ((315 - 70 * x) * x - 540) + 420) - 126) * x**5 + 1,
    }[name]


def loops(function: SymmetryFunction, name: str, cutoff: float, numbers: np.ndarray, vectors: np.ndarray) -> float:
    """One function of one centre: the definition in the module's docstring, in loops."""
    rc = function.cutoff or cutoff

    def part(r: float) -> float:
        return float(np.exp(-function.eta * (r - function.shift) ** 2)) * cut(name, r, rc)

    distances = np.linalg.norm(vectors, axis=1)
    wanted = sorted(atomic_numbers[symbol] for symbol in function.neighbours)
    weighted = function.kind.startswith("weighted")
    total = 0.0
    if not function.angular:
        for number, r in zip(numbers, distances, strict=True):
            if weighted or [number] == wanted:
                total += part(r) * (number if weighted else 1)
        return total
    for j, k in combinations(range(len(numbers)), 2):
        if not weighted and sorted([numbers[j], numbers[k]]) != wanted:
            continue
        cosine = vectors[j] @ vectors[k] / distances[j] / distances[k]
        term = max(1 + function.lambda_ * cosine, 0.0) ** function.zeta * part(distances[j]) * part(distances[k])
        if function.kind != "wide":
            term *= part(float(np.linalg.norm(vectors[k] - vectors[j])))
        total += term * (numbers[j] * numbers[k] if weighted else 1)
    return 2 ** (1 - function.zeta) * total


@pytest.mark.parametrize("name", CUTOFFS)
def test_features_are_the_sums_of_their_definition(name: str) -> None:
    """Periodic cells shorter than the cutoff, a slab, a wire, and molecules; every kind of function."""
    descriptor = Acsf.make(cutoff=3.6, cutoff_function=name, functions=MIXED)
    frames = odd_frames(ELEMENTS, seed=1)
    found = descriptor.features(frames, ELEMENTS).values.numpy()
    neighbours = find_neighbours(frames, 3.6)
    for atom in range(frames.n_atoms):
        mine = neighbours.pairs[0] == atom
        numbers, vectors = frames.numbers[neighbours.pairs[1, mine]], neighbours.vectors[mine]
        functions = descriptor.functions(ELEMENTS)[chemical_symbols[frames.numbers[atom]]]
        expected = [loops(function, name, 3.6, numbers, vectors) for function in functions]
        # Near the cutoff the polynomials as n2p2 writes them are differences of large numbers.
        np.testing.assert_allclose(found[atom, : len(expected)], expected, rtol=1e-10, atol=1e-12)
        assert not found[atom, len(expected) :].any(), "features that an element lacks are zero"


@pytest.mark.parametrize("name", CORES)
def test_inner_cutoff_and_slopes_of_the_cutoff_functions(name: str) -> None:
    r = torch.linspace(0.05, 4.2, 400, dtype=torch.float64, requires_grad=True)
    value, slope = cutoff_values(name, r, torch.tensor(4.0, dtype=torch.float64), inner=0.5)
    assert bool((value[r < 2.0] == 1).all())
    assert bool((value[r >= 4.0] == 0).all())
    np.testing.assert_allclose(float(value[(r - 3.0).abs().argmin()].detach()), cut(name, 0.5, 1.0), atol=2e-2)
    (expected,) = torch.autograd.grad(value.sum(), r)
    torch.testing.assert_close(slope.detach(), expected, rtol=1e-9, atol=1e-9)


def test_dimer_and_trimer_by_hand() -> None:
    """A dimer has radial functions only; the right angle of a trimer leaves ``2^(1-zeta)`` of its Gaussians."""
    functions = [
        {"kind": "radial", "centre": "H", "neighbours": "H", "eta": 0.5},
        {"kind": "wide", "centre": "H", "neighbours": ["H", "H"], "eta": 0.0, "zeta": 2.0},
        {"kind": "narrow", "centre": "H", "neighbours": ["H", "H"], "eta": 0.0, "zeta": 2.0},
    ]
    descriptor = Acsf.make(cutoff=3.0, cutoff_function="cosine", functions=functions)
    places = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])

    def features(n: int) -> np.ndarray:
        frame = Configurations(
            counts=np.array([n]), numbers=np.ones(n, dtype=np.int64), positions=places[:n],
            cells=np.zeros((1, 3, 3)), pbc=np.zeros((1, 3), dtype=bool),
        )  # fmt: skip
        return descriptor.features(frame, ["H"]).values.numpy()[0]

    near, far = 0.75, 0.5 * (1 + np.cos(np.pi * np.sqrt(2) / 3))
    np.testing.assert_allclose(features(1), [0, 0, 0])
    np.testing.assert_allclose(features(2), [np.exp(-0.5) * near, 0, 0], rtol=1e-14)
    np.testing.assert_allclose(features(3), [2 * np.exp(-0.5) * near, near**2 / 2, near**2 * far / 2], rtol=1e-12)


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = Configurations.concatenate([odd_frames(ELEMENTS, seed) for seed in range(4)])
    descriptor = Acsf.make(cutoff=3.6, functions=MIXED)
    whole = descriptor.features(frames, ELEMENTS, gradients=True)
    monkeypatch.setattr("bloomery.descriptors.acsf.values.CHUNK_ATOMS", 3)
    parts = descriptor.features(frames, ELEMENTS, gradients=True)
    torch.testing.assert_close(parts.values, whole.values, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(parts.jacobian, whole.jacobian, rtol=1e-12, atol=1e-13)


def test_single_precision_is_near_double() -> None:
    frames = odd_frames(ELEMENTS, seed=2)
    descriptor = Acsf.make(cutoff=3.6)
    weights = torch.randn(2, frames.n_atoms, descriptor.size(ELEMENTS), generator=torch.Generator().manual_seed(0))

    def gradients(dtype: str) -> torch.Tensor:
        kind = getattr(torch, dtype)
        return descriptor.edge_gradients(frames, ELEMENTS, lambda _, a: weights[:, a].to(kind), dtype=dtype)[2]

    single, double = gradients("float32"), gradients("float64")
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert float((single - double).abs().max()) < 1e-4 * float(double.abs().max())


# -- sets ---------------------------------------------------------------------------------------------------------


def water_and_methane() -> Configurations:
    frames = []
    for name in ("H2O", "CH4"):
        for seed in range(6):
            atoms = molecule(name)
            atoms.rattle(0.08, seed=seed)
            frames.append(atoms)
    return Configurations.from_atoms(frames)


def test_nearest_distances_are_those_of_the_frames() -> None:
    """By ASE's own distances."""
    frames = water_and_methane()
    found = nearest_distances(frames, 4.0)
    expected: dict[frozenset[str], float] = {}
    for atoms in frames.to_atoms():
        for i, j in combinations(range(len(atoms)), 2):
            key = frozenset((atoms[i].symbol, atoms[j].symbol))
            expected[key] = min(expected.get(key, np.inf), atoms.get_distance(i, j))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-12)


def test_a_set_covers_every_combination_of_elements() -> None:
    functions = make_set(SetRules(radial=4, angular_radial=2, zetas=(1.0, 4.0)), 6.0, ["O", "H", "C"])
    for centre in "HCO":
        own = [function for function in functions if function.centre == centre]
        assert len([f for f in own if not f.angular]) == 4 * 3
        assert len([f for f in own if f.angular]) == 2 * 2 * 2 * 6
        assert {frozenset(f.neighbours) for f in own if f.angular} == {
            frozenset(pair) for pair in ["HH", "HC", "HO", "CC", "CO", "OO"]
        }
    assert functions == make_set(SetRules(radial=4, angular_radial=2, zetas=(1.0, 4.0)), 6.0, ["C", "H", "O"])


def test_sets_for_many_elements_do_not_grow() -> None:
    few, many = ["C", "H", "O", "Si"], ["C", "H", "N", "O", "Si"]
    assert Acsf().size(few) == 4 * 8 + 10 * 3 * 4 * 2
    assert Acsf().size(many) == Acsf().fitted_size(many) == 8 + 3 * 4 * 2
    assert Acsf.make(rules={"weighted": False}).size(many) == 5 * 8 + 15 * 3 * 4 * 2
    assert Acsf.make(rules={"angular": "wide"}).size(many) == 5 * 8 + 15 * 3 * 4 * 2
    assert Acsf.make(reduce={"functions": 20}).fitted_size(many) == 20


def test_sets_made_from_data_start_at_the_nearest_distance() -> None:
    frames = water_and_methane()
    elements = ["H", "C", "O"]
    fitted = Acsf.make(cutoff=5.0).fitted(frames, elements)
    assert fitted.settings.functions is not None
    nearest = nearest_distances(frames, 5.0)
    shifts = {f.shift for f in fitted.functions(elements)["O"] if f.kind == "radial" and f.neighbours == ("H",)}
    assert min(shifts) == pytest.approx(nearest[frozenset("OH")], abs=1e-6)
    assert fitted.size(elements) == Acsf.make(cutoff=5.0).size(elements)
    assert fitted.fitted(frames, elements).settings == fitted.settings
    check_descriptor(fitted, elements)


@pytest.mark.parametrize("method", ["cur", "fps"])
def test_a_reduced_set_tells_nearly_all_that_the_whole_set_tells(method: str) -> None:
    """Linear regression of all features on the few that are left explains more than on as many drawn at random."""
    frames = Configurations.from_atoms([bulk("Si", cubic=True)] * 12)
    random = np.random.default_rng(0)
    frames = Configurations(
        counts=frames.counts, numbers=frames.numbers, cells=frames.cells, pbc=frames.pbc,
        positions=frames.positions + random.normal(scale=0.15, size=frames.positions.shape),
    )  # fmt: skip
    whole = Acsf.make(cutoff=5.0).fitted(frames, ["Si"])
    few = Acsf.make(cutoff=5.0, reduce={"functions": 8, "method": method}).fitted(frames, ["Si"])
    assert few.settings.reduce is None
    assert few.size(["Si"]) == 8
    every = whole.functions(["Si"])["Si"]
    assert set(few.functions(["Si"])["Si"]) < set(every)
    values = whole.features(frames, ["Si"]).values.numpy()
    values = (values - values.mean(axis=0)) / values.std(axis=0)

    def left(columns: list[int]) -> float:
        basis = values[:, columns]
        return float(np.square(values - basis @ np.linalg.lstsq(basis, values, rcond=None)[0]).mean())

    chosen = left([every.index(function) for function in few.functions(["Si"])["Si"]])
    drawn = np.median([left(random.choice(values.shape[1], 8, replace=False).tolist()) for _ in range(40)])
    assert chosen < 0.5 * drawn


@pytest.mark.parametrize("choose", [cur_columns, fps_columns])
def test_what_is_told_twice_is_kept_once(choose: Any) -> None:
    random = np.random.default_rng(1)
    signal = random.normal(size=(200, 3)) * [3.0, 2.0, 1.0]
    features = np.concatenate([signal, signal[:, [0, 1]], -signal[:, [0]], np.zeros((200, 2))], axis=1)
    kept = choose(features, 3)
    assert sorted({0: 0, 1: 1, 2: 2, 3: 0, 4: 1, 5: 0}[column] for column in kept) == [0, 1, 2]


@pytest.mark.parametrize("choose", [cur_columns, fps_columns])
def test_rounding_has_no_say_in_what_is_kept(choose: Any) -> None:
    """Columns of equal variance, as standardised features are, and some that tell exactly as much as others."""
    random = np.random.default_rng(2)
    features = random.normal(size=(300, 12)) @ random.normal(size=(12, 12))
    features = np.concatenate([features, features[:, ::-1]], axis=1)
    features /= features.std(axis=0)
    noise = 1 + 1e-14 * random.normal(size=(5, *features.shape))
    assert {tuple(choose(features * factor, 8)) for factor in noise} == {tuple(choose(features, 8))}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cutoff": -1.0}, r"acsf\.cutoff"),
        ({"cutoff_function": "hard"}, r"acsf\.cutoff_function"),
        ({"inner_cutoff": 0.5}, "inner_cutoff has no meaning"),
        ({"functions": []}, "empty list"),
        ({"functions": [{"kind": "radial", "centre": "Si", "eta": 1.0}]}, "neighbours must name 1"),
        ({"functions": [{"kind": "radial", "centre": "Xx", "neighbours": "Si", "eta": 1.0}]}, "not a chemical element"),
        ({"functions": [{**MIXED[0], "cutoff": 9.0}]}, r"functions\.0\.cutoff"),
        ({"rules": {"weighted": True, "angular": "wide"}}, "weighted angular functions are narrow"),
        ({"rules": {"zetas": [0.5]}}, "zetas are numbers of 1 or more"),
        ({"rules": {"inner": 7.0}}, "rules.inner must be below the cutoff"),
    ],
)
def test_wrong_settings_name_their_key(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Acsf.make(**values)


def test_a_reduction_that_cannot_be_done_is_refused() -> None:
    frames = odd_frames(["Si"])
    with pytest.raises(InputError, match=r"acsf\.reduce\.functions: is 500, but Si has 32"):
        Acsf.make(reduce={"functions": 500}).fitted(frames, ["Si"])
    with pytest.raises(InputError, match="no training frame holds C"):
        Acsf.make(reduce={"functions": 5}).fitted(frames, ["C", "Si"])
