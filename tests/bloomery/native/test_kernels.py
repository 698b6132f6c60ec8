"""The kernels in C against the same arithmetic in torch, and what happens where they cannot be had."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery import native
from bloomery.descriptors.acsf.descriptor import Acsf
from bloomery.descriptors.acsf.functions import CutoffFunction
from bloomery.descriptors.contract import Descriptor
from bloomery.descriptors.power_spectrum import descriptor as power_spectrum
from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.kernel import ACTIVATIONS as KERNEL_ACTIVATIONS
from bloomery.engines.hdnnp.kernel import SOURCE
from bloomery.engines.hdnnp.model import ACTIVATIONS, Form, Ranges, Scaling, initial_parameters
from bloomery.engines.hdnnp.network_potential import descriptor_spec
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.frames.configurations import Configurations
from bloomery.potentials.prediction import MeanPrediction
from bloomery.testing.frames import odd_frames

ELEMENTS = ["C", "Si"]
PRECISE = {"float64": 1e-10, "float32": 3e-4}

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in native.COMPILERS), reason="there is no C compiler on this machine"
)


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    """Each test decides anew whether there are kernels."""
    yield
    forget()


def forget() -> None:
    native.load_kernel.cache_clear()
    power_spectrum._make_kernel.cache_clear()


def make_potential(
    form: Form | None = None,
    *,
    dtype: str = "float64",
    elements: list[str] = ELEMENTS,
    hidden: tuple[int, ...] = (17, 9),
    skip: bool = True,
    members: int = 3,
    descriptor: Descriptor | None = None,
    **settings: float,
) -> HdnnpPotential:
    """A committee with weights and scales drawn at random, on a power spectrum unless said otherwise."""
    few = {"cutoff": 4.5, "inner": 1.2, "radial": 3, "max_degree": 3}
    features = descriptor or PowerSpectrum.make(**(few | settings))
    size, random = features.size(elements), np.random.default_rng(1)
    shape = (len(elements), size)
    mean, isolated = random.normal(size=shape), random.normal(scale=0.1, size=shape)
    low = random.normal(size=shape)
    return HdnnpPotential(
        parameters=initial_parameters(len(elements), size, hidden, range(members), skip=skip),
        scaling=Scaling(
            mean, random.uniform(1, 2, shape), isolated, random.uniform(1, 2, shape), np.array([0.3] * shape[0]), 0.2
        ),
        form=form,
        ranges=Ranges(low, low + random.uniform(0.1, 1, shape), mean, mean),
        descriptor=descriptor_spec(features),
        elements=elements,
        energy_reference=dict.fromkeys(elements, -1.0),
        dtype=dtype,
    )


def compare(potential: HdnnpPotential, frames: Configurations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predict with kernels and without, of all members and of their mean alone."""
    fast, mean = potential.predict(frames), potential.predict_mean(frames)
    with monkeypatch.context() as patch:
        patch.setenv("BLOOMERY_NATIVE", "0")
        forget()
        plain = potential.changed(device="cpu")
        assert plain._evaluator.kernel is None
        slow, plain_mean = plain.predict(frames), plain.predict_mean(frames)
    forget()
    assert fast.stresses is not None
    assert slow.stresses is not None
    precise = PRECISE[potential.dtype]
    for name in ("energies", "forces", "stresses", "extrapolation"):
        expected = getattr(slow, name)
        np.testing.assert_allclose(getattr(fast, name), expected, atol=precise * np.abs(expected).max(initial=1.0))
    for found in (mean, plain_mean):
        assert isinstance(found, MeanPrediction)
        np.testing.assert_array_equal(found.forces.shape, (1, frames.n_atoms, 3))
        for name in ("energy", "force", "stress", "extrapolation"):
            expected = getattr(slow, name)
            size = np.abs(getattr(slow, f"{name}s", expected)).max(initial=1.0)
            np.testing.assert_allclose(getattr(found, name), expected, atol=precise * size)
    if potential.dtype == "float64":
        np.testing.assert_array_equal(fast.extrapolating_feature, slow.extrapolating_feature)


@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("elements", [["C", "Si"], ["Si", "C"], ["C", "H", "O", "Si"]])
def test_kernels_predict_what_torch_predicts(dtype: str, elements: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of any kind: open, slabs, small cells, single atoms."""
    potential = make_potential(dtype=dtype, elements=elements)
    assert potential._evaluator.kernel is not None
    compare(potential, odd_frames(ELEMENTS, seed=2), monkeypatch)
    compare(potential, Configurations.empty(), monkeypatch)


@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("members", [1, 3, 5, 8, 9, 17])
def test_any_number_of_members(members: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than a vector holds, as many, and more; odd and even."""
    compare(make_potential(dtype=dtype, members=members), odd_frames(ELEMENTS, seed=10), monkeypatch)


@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_fewer_features_than_a_vector_holds(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    potential = make_potential(dtype=dtype, elements=["Si"], radial=1, max_degree=0, four_body=0)
    assert potential.descriptor.size(["Si"]) == 2
    compare(potential, odd_frames(["Si"], seed=11), monkeypatch)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("width", [16, 32, 64])
def test_any_width_of_vectors(width: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of processors that this one is not as well: the compiler makes them of what there is."""
    monkeypatch.setattr(native, "FLAGS", (*native.FLAGS, f"-DBYTES={width}"))
    for descriptor in (None, Acsf.make(cutoff=4.0, rules={"zetas": [1, 3.5, 4]})):
        potential = make_potential(dtype=dtype, members=5, descriptor=descriptor)
        compare(potential, odd_frames(ELEMENTS, seed=7), monkeypatch)


@needs_compiler
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_function(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    potential = make_potential(Form((name,), switch=name != "square"), skip=name != "tanh")
    compare(potential, odd_frames(ELEMENTS, seed=3), monkeypatch)


def test_names_of_activation_functions_are_the_same() -> None:
    assert tuple(ACTIVATIONS) == KERNEL_ACTIVATIONS


@pytest.mark.slow
@needs_compiler
@settings(max_examples=8, deadline=None)
@given(
    radial=st.integers(1, 9),
    max_degree=st.integers(0, 8),
    four_body=st.integers(0, 4),
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    members=st.integers(1, 17),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_any_size(radial: int, max_degree: int, four_body: int, hidden: list[int], members: int, dtype: str) -> None:
    sizes = {"radial": radial, "max_degree": max_degree, "four_body": four_body}
    with pytest.MonkeyPatch.context() as patch:
        potential = make_potential(dtype=dtype, hidden=tuple(hidden), members=members, **sizes)
        compare(potential, odd_frames(ELEMENTS, seed=4), patch)


@pytest.mark.slow
@needs_compiler
@settings(max_examples=8, deadline=None)
@given(
    name=st.sampled_from(get_args(CutoffFunction)),
    inner_cutoff=st.sampled_from([0.0, 0.4]),
    rules=st.fixed_dictionaries(
        {
            "radial": st.integers(1, 9),
            "angular": st.sampled_from(["narrow", "wide", None]),
            "angular_radial": st.integers(1, 3),
            "shifted": st.booleans(),
            "zetas": st.lists(st.floats(1, 9) | st.integers(1, 17), min_size=1, max_size=4, unique=True),
            "weighted": st.booleans(),
        }
    ),
    members=st.integers(1, 17),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_any_set_of_symmetry_functions(
    name: CutoffFunction, inner_cutoff: float, rules: dict[str, Any], members: int, dtype: str
) -> None:
    if rules["angular"] == "wide":
        rules = rules | {"weighted": False}
    inner = 0.0 if name.startswith("tanh") else inner_cutoff
    descriptor = Acsf.make(cutoff=4.0, cutoff_function=name, inner_cutoff=inner, rules=rules)
    frames = odd_frames(ELEMENTS, seed=8)
    assert descriptor.kernel(ELEMENTS, "cpu", "float64") is not None
    found = descriptor.features(frames, ELEMENTS, gradients=True)
    with pytest.MonkeyPatch.context() as patch:
        compare(make_potential(dtype=dtype, members=members, descriptor=descriptor), frames, patch)
        patch.setenv("BLOOMERY_NATIVE", "0")
        forget()
        expected = Acsf(descriptor.settings).features(frames, ELEMENTS, gradients=True)
    forget()
    for ours, theirs in ((found.values, expected.values), (found.jacobian, expected.jacobian)):
        assert ours is not None
        assert theirs is not None
        torch.testing.assert_close(ours, theirs, atol=1e-11 * float(theirs.abs().max()), rtol=0)


@needs_compiler
def test_functions_of_unequal_cutoffs_and_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a hand-made or a reduced set has them: not all products of Gaussians and factors, some elements without."""
    angular = {"kind": "narrow", "centre": "C", "neighbours": ["Si", "C"]}
    functions = [
        {"kind": "radial", "centre": "C", "neighbours": "Si", "eta": 0.3},
        {"kind": "radial", "centre": "C", "neighbours": "Si", "eta": 0.1, "shift": 1.0, "cutoff": 3.5},
        angular | {"eta": 0.02, "lambda": -1, "zeta": 4},
        angular | {"eta": 0.02, "zeta": 2, "cutoff": 3.0},
        angular | {"kind": "wide", "eta": 0.1, "shift": 0.5, "zeta": 1.5},
        {"kind": "weighted_narrow", "centre": "C", "eta": 0.05, "zeta": 2},
        {"kind": "weighted_radial", "centre": "C", "eta": 0.05},
    ]
    potential = make_potential(descriptor=Acsf.make(cutoff=4.0, functions=functions))
    compare(potential, odd_frames(ELEMENTS, seed=9), monkeypatch)


@needs_compiler
@pytest.mark.parametrize("descriptor", [None, Acsf.make(cutoff=4.0)])
def test_threads_share_the_work(descriptor: Descriptor | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """More chunks than one, more threads than one, the same numbers every time."""
    atoms = bulk("Si", cubic=True).repeat((3, 3, 3))
    atoms.rattle(0.1, seed=1)
    frames = Configurations.from_atoms([atoms, bulk("C")])
    potential = make_potential(descriptor=descriptor)
    alone = potential.predict(frames)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    shared = [potential.predict(frames) for _ in range(2)]
    np.testing.assert_allclose(shared[0].forces, alone.forces, atol=1e-12)
    np.testing.assert_allclose(shared[0].stresses, alone.stresses, atol=1e-14)
    np.testing.assert_array_equal(shared[0].energies, alone.energies)
    np.testing.assert_array_equal(shared[0].forces, shared[1].forces)


@needs_compiler
@pytest.mark.parametrize("descriptor", [None, Acsf.make(cutoff=4.0)])
def test_atoms_without_neighbours(descriptor: Descriptor | None, monkeypatch: pytest.MonkeyPatch) -> None:
    lonely = Configurations(
        counts=np.array([3]),
        numbers=np.array([6, 14, 6]),
        positions=np.array([[0.0, 0, 0], [30, 0, 0], [60, 0, 0]]),
        cells=np.zeros((1, 3, 3)),
        pbc=np.zeros((1, 3), dtype=bool),
    )
    compare(make_potential(descriptor=descriptor), lonely, monkeypatch)


@pytest.mark.slow
@needs_compiler
def test_compiled_once_and_kept_where_nobody_else_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native.sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    assert native.load_kernel(SOURCE, "float64") is not None
    (kept,) = (tmp_path / "prefix").rglob("*.so")
    changed = kept.stat().st_mtime_ns
    forget()
    assert native.load_kernel(SOURCE, "float64") is not None
    assert kept.stat().st_mtime_ns == changed
    for content in (kept.read_bytes()[:5000], b"foreign", Path(SOURCE).read_bytes()):
        kept.unlink()  # the loader has it in memory
        kept.write_bytes(content)
        forget()
        assert native.load_kernel(SOURCE, "float64") is not None
        assert kept.read_bytes()[:4] == b"\x7fELF"
        assert len(kept.read_bytes()) > 5000
    kept.parent.chmod(0o777)
    forget()
    assert native.load_kernel(SOURCE, "float64") is not None
    assert list((tmp_path / "cache").rglob("*.so"))


def test_torch_serves_where_no_compiler_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = odd_frames(ELEMENTS, seed=5)
    expected = make_potential().predict(frames).forces
    monkeypatch.delenv("CC", raising=False)
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho no headers >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    for path in (str(tmp_path), str(tmp_path / "empty")):
        monkeypatch.setattr(native.sys, "prefix", str(tmp_path / "prefix"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("PATH", path + (os.pathsep + "/usr/bin" if path == str(tmp_path) else ""))
        forget()
        potential = make_potential()
        assert potential._evaluator.kernel is None
        np.testing.assert_allclose(potential.predict(frames).forces, expected, atol=1e-12)
    assert not list(tmp_path.rglob("*.so"))


@needs_compiler
@pytest.mark.parametrize(("dtype", "precise"), [("float64", 1e-11), ("float32", 1e-3)])
def test_force_map_and_its_transpose(dtype: str, precise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forces and virials are those of the Jacobian; scalar products are the same on both sides."""
    descriptor, frames = PowerSpectrum.make(cutoff=4.5, inner=1.2, radial=3), odd_frames(ELEMENTS, seed=6)
    force_map = descriptor.force_map(frames, ELEMENTS, dtype=dtype)
    assert force_map is not None
    random, kind = torch.Generator().manual_seed(1), getattr(torch, dtype)
    size = (5, frames.n_atoms, descriptor.size(ELEMENTS))
    by_feature = torch.randn(size, generator=random, dtype=kind)
    forces, virials = force_map.forces(by_feature)
    plain = PowerSpectrum(descriptor.settings)
    monkeypatch.setattr(plain, "kernel", lambda *_: None)
    expected = plain.forces(frames, ELEMENTS, lambda _, atoms: by_feature[:, atoms].double())
    assert expected[1] is not None
    periodic = torch.from_numpy(frames.pbc.all(axis=1))
    for found, wanted in ((forces, expected[0]), (virials[periodic], expected[1][periodic])):
        torch.testing.assert_close(found.double(), wanted, atol=precise * float(wanted.abs().max()), rtol=0)
    asked = descriptor.forces(frames, ELEMENTS, lambda _, atoms: by_feature[:, atoms], dtype=dtype)
    torch.testing.assert_close(asked[0], forces)
    torch.testing.assert_close(asked[1], virials.double(), atol=precise * float(virials.abs().max()), rtol=0)
    moves, strains = torch.randn_like(forces), torch.randn_like(virials)
    there = (forces * moves).double().sum(dim=(0, 1)) + (virials * strains).double().sum(dim=(0, 1, 2))
    back = (force_map.transposed(moves, strains) * by_feature).double().sum(dim=(1, 2))
    torch.testing.assert_close(there, back, atol=precise * float(there.abs().max()), rtol=0)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("threads", [1, 2])
def test_training_needs_no_jacobian(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same potential to rounding, whether Jacobians are kept or forces mapped."""
    frames = Configurations.concatenate([labelled(odd_frames(ELEMENTS, seed)) for seed in range(3)])
    data = TrainingData(frames, Configurations.empty(), dict.fromkeys(ELEMENTS, 0.0))
    settings = {"members": 3, "steps": 30, "hidden": (8,), "training_dtype": "float64", "batch_size": 2}
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    mapped = Hdnnp.make(**settings).train(data, seed=1)[0].predict(frames)
    monkeypatch.setenv("BLOOMERY_NATIVE", "0")
    forget()
    kept = Hdnnp.make(**settings).train(data, seed=1)[0].predict(frames)
    np.testing.assert_allclose(mapped.forces, kept.forces, atol=1e-7 * np.abs(kept.forces).max())


def labelled(frames: Configurations) -> Configurations:
    """Labels drawn at random: what is learnt does not matter here."""
    random = np.random.default_rng(1)
    return frames.with_labels(
        energy=random.normal(size=len(frames)),
        forces=random.normal(size=(frames.n_atoms, 3)),
        stress=random.normal(scale=0.1, size=(len(frames), 6)),
    )


def test_the_path_that_runs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOOMERY_NATIVE", "0")
    native.load_kernel.cache_clear()
    assert native.told().startswith("none")
    monkeypatch.delenv("BLOOMERY_NATIVE")
    native.load_kernel.cache_clear()
    assert native.told().startswith("none") or any(f" {bits} bits" in native.told() for bits in (128, 256, 512))
