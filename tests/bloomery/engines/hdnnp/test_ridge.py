"""Ridge regression: the best coefficients, shared between elements, and with a spread that says what is not known."""

from typing import Any

import numpy as np
import pytest
import torch

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.blocks import Block, BlockBuilder
from bloomery.engines.hdnnp.components import Components
from bloomery.engines.hdnnp.loss import LossFunction, Spreads
from bloomery.engines.hdnnp.model import Scaling, initial_parameters
from bloomery.engines.hdnnp.response import JacobianResponse, MappedResponse
from bloomery.engines.hdnnp.ridge import fit_ridge, prior
from bloomery.engines.hdnnp.scales import label_spreads
from bloomery.engines.hdnnp.settings import HdnnpSettings, LossWeights
from bloomery.engines.hdnnp.training import Schedule
from bloomery.engines.hdnnp.weights import importance
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.plugins import PluginSpec
from bloomery.testing.frames import odd_frames

ELEMENTS = ["C", "Si"]
SMALL: dict[str, Any] = {
    "members": 4,
    "networks": "none",
    "descriptor": {"power_spectrum": {"radial": 4, "max_degree": 3, "cutoff": 4.0}},
}


def labelled() -> Configurations:
    """Odd frames, among them an isolated atom, with labels without any sense."""
    frames, random = odd_frames(ELEMENTS, seed=2), np.random.default_rng(0)
    return frames.with_labels(
        energy=random.normal(size=len(frames)),
        forces=random.normal(size=(frames.n_atoms, 3)),
        stress=0.01 * random.normal(size=(len(frames), 6)),
    )


def block_of(frames: Configurations, *, keep_jacobian: bool = True) -> tuple[Block, Components]:
    descriptor = PluginSpec(
        name="power_spectrum", settings={"radial": 2, "max_degree": 1, "four_body": 0, "cutoff": 4.0}
    ).load("descriptors")
    size, random = descriptor.size(ELEMENTS), np.random.default_rng(1)
    mean, isolated, magnitude = random.normal(size=(3, 2, size))
    scaling = Scaling(mean, np.full((2, size), 2.0), isolated, 1 + magnitude**2, np.array([0.3, -0.2]), 0.7)
    table = random.normal(size=(2, size, size))
    components = Components(table, np.linalg.inv(table), alike=True)
    builder = BlockBuilder(
        configurations=frames,
        energies=frames.label("energy")[0],
        weights=np.ones((3, len(frames))),
        importance=importance(HdnnpSettings(), frames, len(frames)),
        descriptor=descriptor,
        elements=ELEMENTS,
        scaling=scaling,
        components=components,
        device=torch.device("cpu"),
        dtype=torch.float64,
    )
    return builder.build(np.arange(len(frames)), keep_jacobian=keep_jacobian), components


LOSS = LossFunction(LossWeights(), Spreads(0.4, 1.3, 0.02), torch.tensor([0.3, -0.2], dtype=torch.float64), 0.7)


def test_coefficients_are_those_of_the_normal_equations() -> None:
    """Columns by the training's own predictions of one coefficient at a time; the system by numpy."""
    frames = labelled()
    block, components = block_of(frames)
    size = components.count
    found = fit_ridge([block], LOSS, components, 3, 0.01, 0, draws=False, told=lambda _: None)
    nothing = {name: torch.zeros_like(value) for name, value in initial_parameters(2, size, (1,), [0]).items()}

    def predicted(element: int, column: int | None) -> np.ndarray:
        parameters = {name: value.clone() for name, value in nothing.items()}
        if column is not None:
            name = "bias_1" if column == size else "skip"
            parameters[name][0, element, 0 if column == size else column, 0] = 1 / LOSS.unit
        energies, forces, stresses = LOSS.predict(parameters, block)
        return np.concatenate([part[..., 0].flatten().numpy() for part in (energies, forces, stresses)])

    zero = predicted(0, None)
    columns = np.stack([predicted(s, c) - zero for s in range(2) for c in range(size + 1)], axis=1)
    names = ("energy", "forces", "stress")
    labels = np.concatenate([block.labels[name].flatten().numpy() for name in names]) - zero
    counts, given = np.maximum(frames.counts, 1), {name: block.importance[name].numpy() for name in names}
    own = np.concatenate([0.5 * given["energy"], given["forces"].repeat(3), 0.1 * given["stress"].repeat(6)])
    errors = np.concatenate(
        [
            0.15 * 1.3 * np.sqrt(counts / 3),
            np.full(3 * frames.n_atoms, 1.3),
            (0.02 * np.sqrt(2 / counts)).repeat(6),
        ]
    )
    weights = own / errors**2
    precision = prior(2, size + 1, found.shared).numpy()
    matrix = columns.T @ (weights[:, None] * columns) + 0.01 * own.sum() * precision
    expected = np.linalg.solve(matrix, columns.T @ (weights * labels)).reshape(2, size + 1)
    np.testing.assert_allclose(found.coefficients[0].numpy(), expected[:, :-1], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(found.constants[2].numpy(), expected[:, -1], rtol=1e-7, atol=1e-10)


def test_tables_and_maps_give_the_same_rows() -> None:
    frames = labelled()
    table, mapped = (block_of(frames, keep_jacobian=keep)[0] for keep in (True, False))
    assert isinstance(table.response, JacobianResponse)
    if not isinstance(mapped.response, MappedResponse):
        pytest.skip("there is no compiler, and so no map")
    values = torch.cat([table.inputs, torch.ones(len(table.inputs), 1)], dim=1)
    species = torch.tensor([ELEMENTS.index(symbol) for frame in frames.to_atoms() for symbol in frame.symbols])
    periodic = frames.pbc.all(axis=1)
    ours, others = (block.response.linear(values, table.switch, species, 2) for block in (table, mapped))
    torch.testing.assert_close(ours[0], others[0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ours[1][periodic], others[1][periodic], rtol=1e-9, atol=1e-9)


def test_the_prior_holds_elements_to_be_alike() -> None:
    """Its inverse: 0.9 between the same coefficient of two elements, nothing between different ones."""
    covariance = torch.linalg.inv(prior(3, 4, 0.9)).reshape(3, 4, 3, 4)
    for place in range(3):
        expected = torch.full((3, 3), 0.9, dtype=torch.float64).fill_diagonal_(1.0)
        torch.testing.assert_close(covariance[:, place, :, place], expected)
    torch.testing.assert_close(covariance[:, 3, :, 3], 100 * torch.eye(3, dtype=torch.float64))
    assert not covariance[:, 0, :, 1].abs().max() > 1e-12


def test_a_linear_potential_learns_in_one_pass(silicon: Configurations) -> None:
    """Twelve frames of eight atoms; the teacher's forces on others are met within a fifth."""
    data = TrainingData(silicon[:12], Configurations.empty(), fit_energy_reference(silicon[:12]))
    potential, history = Hdnnp.make(**SMALL).train(data, device="cpu")
    forces = silicon[12:].labels["forces"]
    error = potential.predict(silicon[12:]).force - forces
    assert np.sqrt((error**2).mean() / (forces**2).mean()) < 0.2
    assert history.summary["steps"] == 0
    told = history.summary["ridge"]
    assert isinstance(told, dict)
    assert 1e-10 <= told["strength"] <= 1
    assert told["unseen_error"] > 0


def test_members_of_a_linear_potential_are_draws_about_one_solution(silicon: Configurations) -> None:
    """Their mean is the solution of one member; the fewer frames there are, the farther they lie apart."""

    def train(n_frames: int, members: int) -> Any:
        frames = silicon[:n_frames]
        data = TrainingData(frames, Configurations.empty(), {"Si": -4.3})
        settings = {**SMALL, "members": members, "ridge": 1e-6, "share": 0.9}
        return Hdnnp.make(**settings).train(data, device="cpu")[0].predict(silicon[12:])

    drawn, mean, few = train(12, 8), train(12, 1), train(4, 8)
    np.testing.assert_allclose(drawn.force, mean.force, atol=2e-4 * np.abs(mean.force).max())
    assert (drawn.atom_disagreement > 0).all()
    assert few.atom_disagreement.mean() > drawn.atom_disagreement.mean()


def test_a_linear_potential_is_fitted_anew_from_a_start(silicon: Configurations) -> None:
    reference = {"Si": -4.3}
    engine = Hdnnp.make(**SMALL)
    start, _ = engine.train(TrainingData(silicon[:4], Configurations.empty(), reference), device="cpu")
    more = TrainingData(silicon[:12], Configurations.empty(), reference)
    warm, _ = engine.train(more, device="cpu", start_from=start)
    error = np.abs(warm.predict(silicon[12:]).force - silicon[12:].labels["forces"]).mean()
    assert error < 0.8 * np.abs(start.predict(silicon[12:]).force - silicon[12:].labels["forces"]).mean()


def test_a_linear_potential_needs_its_linear_path() -> None:
    with pytest.raises(InputError, match="leave skip: false out"):
        Hdnnp.make(networks="none", skip=False)


def test_the_unit_of_the_energy_follows_the_forces_where_energies_hardly_differ(silicon: Configurations) -> None:
    """A hundredth of the energies' spread leaves the unit to the forces, and the weight does not grow."""
    energies = silicon.labels["energy"] / silicon.counts
    force = float(np.sqrt((silicon.labels["forces"] ** 2).mean()))
    wide, narrow = (
        label_spreads(silicon, factor * (energies - energies.mean()) * silicon.counts) for factor in (10, 0.01)
    )
    assert wide.energy == pytest.approx(10 * energies.std())
    assert wide.energy_share == 1
    assert narrow.energy == pytest.approx(0.15 * force)
    growth = [Schedule.of(HdnnpSettings(), 200, 50, each, warm=False).energy_growth for each in (wide, narrow)]
    assert growth == [16.0, 1.0]


def test_labels_of_one_kind_are_enough(silicon: Configurations) -> None:
    for name in ("energy", "forces"):
        frames = silicon[:12].without_labels().with_labels(**{name: silicon[:12].labels[name]})
        data = TrainingData(frames, Configurations.empty(), {"Si": -4.3})
        found = Hdnnp.make(**{**SMALL, "members": 2}).train(data, device="cpu")[0].predict(silicon[12:])
        assert np.isfinite(found.forces).all()


def test_strength_is_chosen_by_all_frames_not_by_who_sees_which(silicon: Configurations) -> None:
    """Committees of other members, and of one that sees all, choose alike."""
    data = TrainingData(silicon[:10], Configurations.empty(), fit_energy_reference(silicon[:10]))
    chosen = set()
    for members, share in ((1, 1.0), (2, 0.9), (5, 0.5)):
        _, history = Hdnnp.make(**SMALL | {"members": members, "share": share}).train(data, device="cpu")
        told = history.summary["ridge"]
        assert isinstance(told, dict)
        assert told["unseen_error"] > 0
        chosen.add(told["strength"])
    assert len(chosen) == 1
