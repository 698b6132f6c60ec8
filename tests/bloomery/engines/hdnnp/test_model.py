"""The networks against automatic differentiation, and the switch against its limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.engines.hdnnp.blocks import BlockBuilder
from bloomery.engines.hdnnp.components import Components
from bloomery.engines.hdnnp.loss import LossFunction, Spreads
from bloomery.engines.hdnnp.model import (
    ACTIVATIONS,
    Form,
    Scaling,
    by_element,
    initial_parameters,
    isolation_switch,
    networks,
)
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.response import JacobianResponse
from bloomery.engines.hdnnp.settings import HdnnpSettings, LossWeights
from bloomery.engines.hdnnp.weights import importance
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec
from bloomery.testing.frames import odd_frames

SPEC = PluginSpec(name="power_spectrum", settings={"radial": 2, "max_degree": 2, "cutoff": 4.0})
ELEMENTS = ["C", "Si"]


@pytest.mark.parametrize("hidden", [(5,), (6, 4), (4, 3, 5)])
def test_gradients_agree_with_automatic_differentiation(hidden: tuple[int, ...]) -> None:
    parameters = initial_parameters(2, 7, hidden, seeds=[1, 2, 3])
    inputs = torch.randn(4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    outputs, gradients = networks(by_element(parameters)[1], inputs)
    assert outputs.shape == (3, 4)
    for member in range(3):
        (expected,) = torch.autograd.grad(outputs[member].sum(), inputs, retain_graph=True)
        torch.testing.assert_close(gradients[member], expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(outputs[0], outputs[1]), "members differ by their seeds"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_and_no_linear_path(activation: str) -> None:
    """Layers of two kinds; gradients by automatic differentiation."""
    parameters = initial_parameters(1, 5, (6, 4), seeds=[1, 2], skip=False)
    assert "skip" not in parameters
    inputs = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    outputs, gradients = networks(by_element(parameters)[0], inputs, Form(("tanh", activation)))
    for member in range(2):
        (expected,) = torch.autograd.grad(outputs[member].sum(), inputs, retain_graph=True)
        torch.testing.assert_close(gradients[member], expected, rtol=1e-12, atol=1e-12)
    if activation != "tanh":
        assert not torch.allclose(outputs, networks(by_element(parameters)[0], inputs, Form(("tanh",)))[0]), (
            "the name has a meaning"
        )


def test_switch_is_zero_alone_one_in_matter_and_smooth() -> None:
    inputs = torch.zeros(3, 5, dtype=torch.float64)
    inputs[1] = 1.0
    inputs[2] = 0.1
    inputs.requires_grad_(True)
    switch, slopes = isolation_switch(inputs)
    assert switch[0] == 0
    assert switch[1].item() == pytest.approx(1.0, abs=1e-8)
    (expected,) = torch.autograd.grad(switch.sum(), inputs)
    torch.testing.assert_close(slopes, expected)


@pytest.fixture(scope="module")
def potential() -> HdnnpPotential:
    """A committee of random weights for two elements."""
    random = np.random.default_rng(0)
    size = PowerSpectrum.make(**SPEC.settings).size(ELEMENTS)
    scaling = Scaling(
        mean=random.uniform(0, 1, (2, size)),
        scale=random.uniform(0.5, 2, (2, size)),
        isolated=np.zeros((2, size)),
        magnitude=random.uniform(0.5, 2, (2, size)),
        offset=np.array([-3.0, -4.0]),
        energy=0.7,
    )
    return HdnnpPotential(
        parameters=initial_parameters(2, size, (5, 4), seeds=[4, 5, 6]),
        scaling=scaling,
        descriptor=SPEC,
        elements=ELEMENTS,
        energy_reference={"C": -10.0, "Si": -20.0},
        versions={"bloomery": "test"},
    )


@pytest.mark.usefixtures("no_kernels")
def test_training_and_evaluation_compute_the_same(potential: HdnnpPotential) -> None:
    """Two routes to energies, forces and stresses: cached, merged Jacobians, and the descriptor's own contraction."""
    frames = odd_frames(ELEMENTS, seed=2)
    same = np.tile(np.eye(potential.descriptor.size(ELEMENTS)), (2, 1, 1))
    builder = BlockBuilder(
        configurations=frames,
        energies=np.zeros(len(frames)),
        weights=np.ones((3, len(frames))),
        importance=importance(HdnnpSettings(), frames, len(frames)),
        descriptor=potential.descriptor,
        elements=ELEMENTS,
        scaling=potential.scaling,
        components=Components(same, same, same),
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    block = builder.build(np.arange(len(frames)))
    assert isinstance(block.response, JacobianResponse)
    taken = block.response.jacobian.numel() * 8
    assert builder.bytes_of([np.arange(len(frames))])[0] == taken, "what is reckoned is what it takes"
    loss = LossFunction(
        LossWeights(), Spreads(1.0, 1.0, 1.0), torch.from_numpy(potential.scaling.offset), potential.scaling.energy
    )
    energies, forces, stresses = loss.predict(potential.parameters, block)
    found = potential.predict(frames)
    reference = np.array([sum({6: -10.0, 14: -20.0}[n] for n in frame.numbers.tolist()) for frame in frames])
    np.testing.assert_allclose(found.energies - reference, energies.T.numpy(), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.forces, forces.permute(2, 0, 1).numpy(), rtol=1e-9, atol=1e-10)
    periodic = frames.pbc.all(axis=1)
    assert found.stresses is not None
    np.testing.assert_allclose(
        found.stresses[:, periodic], stresses.permute(2, 0, 1).numpy()[:, periodic], rtol=1e-9, atol=1e-12
    )
    assert not found.stresses[:, ~periodic].any()


def test_an_isolated_atom_has_its_reference_energy(potential: HdnnpPotential) -> None:
    lone = odd_frames(ELEMENTS)[[4]]
    expected = {6: -10.0, 14: -20.0}[int(lone.numbers[0])]
    np.testing.assert_array_equal(potential.predict(lone).energies, np.full((3, 1), expected))


def test_a_dimer_falls_apart_smoothly(potential: HdnnpPotential) -> None:
    """Up to the cutoff and beyond, energies approach two atoms' references, without a jump in energy or force."""
    distances = np.array([2.0, 3.0, 3.5, 3.9, 3.99, 3.999, 4.0, 4.001, 9.0])
    frames = [
        Configurations(
            counts=np.array([2]),
            numbers=np.array([6, 14]),
            positions=np.array([[0.0, 0, 0], [distance, 0, 0]]),
            cells=np.zeros((1, 3, 3)),
            pbc=np.zeros((1, 3), dtype=bool),
        )
        for distance in distances
    ]
    found = potential.predict(Configurations.concatenate(frames))
    away = np.abs(found.energies + 30.0).max(axis=0)
    assert (np.diff(away[2:]) <= 0).all()
    assert not away[6:].any()
    strength = np.abs(found.forces).max(axis=(0, 2)).reshape(-1, 2).max(axis=1)
    assert strength[0] > 1e-3
    assert strength[5] < 1e-9
    assert not strength[6:].any()


def test_one_precision_can_be_turned_into_the_other(potential: HdnnpPotential) -> None:
    frames = odd_frames(ELEMENTS, seed=3)
    single = potential.changed(dtype="float32")
    double = single.as_float64()
    assert (single.dtype, double.dtype) == ("float32", "float64")
    np.testing.assert_allclose(single.predict(frames).forces, double.predict(frames).forces, rtol=1e-3, atol=1e-4)
    assert potential.as_float64() is potential


def test_many_frames_are_predicted_in_chunks(potential: HdnnpPotential, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = Configurations.concatenate([odd_frames(ELEMENTS, seed) for seed in range(3)])
    whole = potential.predict(frames)
    monkeypatch.setattr(potential, "chunk_atoms", 7)
    parts = potential.predict(frames)
    np.testing.assert_allclose(parts.energies, whole.energies, rtol=1e-12)
    np.testing.assert_allclose(parts.forces, whole.forces, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(parts.stresses, whole.stresses, rtol=1e-9, atol=1e-12)


def test_any_descriptor_will_do(potential: HdnnpPotential, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that knows only Jacobians gives the same forces through the contract's default."""
    frames = odd_frames(ELEMENTS, seed=5)
    fast = potential.predict(frames)
    monkeypatch.delattr(PowerSpectrum, "kernel")
    monkeypatch.delattr(PowerSpectrum, "contracted")
    np.testing.assert_allclose(potential.predict(frames).forces, fast.forces, rtol=1e-9, atol=1e-10)


def test_order_of_elements_does_not_matter(potential: HdnnpPotential) -> None:
    """The same networks with their elements listed the other way round."""
    frames = odd_frames(ELEMENTS, seed=6)
    size = potential.descriptor.size(ELEMENTS)
    probe = odd_frames(ELEMENTS, seed=7)
    there = potential.descriptor.features(probe, ["C", "Si"]).values.numpy()
    back = potential.descriptor.features(probe, ["Si", "C"]).values.numpy()
    # Features of the other order are the same numbers in another place: find the places by their values.
    place = [int(np.argmin(np.abs(there - back[:, [column]]).sum(axis=0))) for column in range(size)]
    assert sorted(place) == list(range(size))
    swapped = {name: value[:, [1, 0]] for name, value in potential.parameters.items()}
    for name in ("weight_0", "skip"):
        swapped[name] = swapped[name][:, :, place]
    scaling = potential.scaling
    tables = {name: getattr(scaling, name)[[1, 0]][:, place] for name in ("mean", "scale", "isolated", "magnitude")}
    other = potential.changed(
        parameters=swapped, scaling=replace(scaling, **tables, offset=scaling.offset[[1, 0]]), elements=["Si", "C"]
    )
    np.testing.assert_allclose(other.predict(frames).energies, potential.predict(frames).energies, rtol=1e-10)
    np.testing.assert_allclose(other.predict(frames).forces, potential.predict(frames).forces, rtol=1e-8, atol=1e-10)
