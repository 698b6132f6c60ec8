"""Exported models against our own evaluation, in the ways in which simulation programs call them."""

import importlib.util
import json
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import units
from ase.build import bulk
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomery.descriptors.acsf.functions import CutoffFunction
from bloomery.descriptors.acsf.values import Gaussians
from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.engines.ase_potential import CalculatorPotential
from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.metatomic import export as exporting
from bloomery.engines.hdnnp.metatomic import write_model
from bloomery.engines.hdnnp.metatomic.export import make_model
from bloomery.engines.hdnnp.metatomic.networks import activate
from bloomery.engines.hdnnp.metatomic.symmetry_functions import ScriptedGaussians, whole_power
from bloomery.engines.hdnnp.model import ACTIVATIONS, Form, Scaling, initial_parameters
from bloomery.engines.hdnnp.network_potential import descriptor_spec
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.repulsion import Repulsion
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec
from bloomery.potentials.contract import load_potential
from bloomery.testing.engines import check_exports
from bloomery.testing.frames import odd_frames

pytestmark = pytest.mark.slow

needs_metatomic = pytest.mark.skipif(importlib.util.find_spec("metatomic") is None, reason="needs metatomic")
ELEMENTS = ["Si", "C"]
POWER_SPECTRUM = {"power_spectrum": {"radial": 2, "max_degree": 3, "cutoff": 4.0}}
FEW = {"radial": 3, "angular_radial": 2, "zetas": [1, 2.5, 4]}
DESCRIPTORS: dict[str, dict[str, Any]] = {
    "power_spectrum": POWER_SPECTRUM,
    "two_and_three_body": {"power_spectrum": {"radial": 3, "max_degree": 2, "four_body": 0, "cutoff": 3.7}},
    "two_body": {"power_spectrum": {"radial": 3, "max_degree": 0, "cutoff": 4.0}},
    "acsf": {"acsf": {"cutoff": 4.0, "rules": FEW}},
    "acsf_wide": {"acsf": {"cutoff": 4.0, "rules": FEW | {"angular": "wide", "shifted": True}}},
    "acsf_weighted": {"acsf": {"cutoff": 4.0, "rules": FEW | {"weighted": True}}},
    "acsf_radial": {"acsf": {"cutoff": 4.0, "rules": {"radial": 4, "angular": None}}},
    "acsf_unequal": {
        "acsf": {
            "cutoff": 4.0,
            "functions": [
                {"kind": "radial", "centre": "C", "neighbours": "Si", "eta": 0.3},
                {"kind": "radial", "centre": "C", "neighbours": "C", "eta": 0.1, "shift": 1.0, "cutoff": 3.5},
                {"kind": "narrow", "centre": "C", "neighbours": ["Si", "C"], "eta": 0.02, "lambda": -1, "zeta": 4},
                {"kind": "wide", "centre": "C", "neighbours": ["C", "C"], "eta": 0.02, "zeta": 3, "cutoff": 3.0},
                {"kind": "radial", "centre": "Si", "neighbours": "C", "eta": 0.2},
            ],
        }
    },
    "soap": {"soap": {"radial": 2, "max_degree": 2, "cutoff": 4.0}},
}
CUTOFFS = ["cosine", "tanh", "tanh_normalised", "exponential", *(f"polynomial_{order}" for order in (1, 2, 3, 4))]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Leave out what torch says of TorchScript's future, and metatomic of open frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_potential(
    descriptor: dict[str, Any], form: Form | None = None, skip: bool = True, dtype: str = "float64"
) -> HdnnpPotential:
    """Make a committee of random weights on features of usual size."""
    spec = PluginSpec.model_validate(descriptor)
    if spec.name == "soap":
        pytest.importorskip("featomic")
        if importlib.util.find_spec("featomic.torch") is None:
            pytest.skip("needs featomic-torch")
    made = spec.load("descriptors")
    frames = Configurations.concatenate([odd_frames(ELEMENTS, seed) for seed in range(3)])
    values = made.features(frames, ELEMENTS).values.numpy()
    scale = np.maximum(values.std(axis=0), 1e-3)
    random = np.random.default_rng(0)
    scaling = Scaling(
        mean=values.mean(axis=0) + random.uniform(0, 0.1, (2, len(scale))),
        scale=scale * random.uniform(0.8, 1.2, (2, len(scale))),
        isolated=np.zeros((2, len(scale))),
        magnitude=np.tile(3 * scale, (2, 1)),
        offset=np.array([-3.0, -4.0]),
        energy=0.7,
    )
    return HdnnpPotential(
        parameters=initial_parameters(2, len(scale), (5, 4), seeds=[4, 5, 6], skip=skip),
        scaling=scaling,
        form=form,
        descriptor=spec,
        elements=ELEMENTS,
        energy_reference={"Si": -10.5, "C": -20.25},
        # Of carbon nothing is known; many atoms of these frames are closer than the others begin to act.
        repulsion=Repulsion(tuple(ELEMENTS), {frozenset({"Si"}): 1.9, frozenset(ELEMENTS): 1.6}, made.settings.cutoff),
        dtype=dtype,
    )


def exported(potential: HdnnpPotential, folder: Path) -> CalculatorPotential:
    """Write the model and read it again as its users do."""
    potential.export("metatomic", folder)
    calculator = potential.exported_calculator("metatomic", folder)
    return CalculatorPotential(calculator, potential)


def assert_agrees(potential: HdnnpPotential, folder: Path, seeds: range = range(3)) -> None:
    """Energies to 1e-10, forces to 1e-8 eV/Å, on cells of every kind and size."""
    frames = Configurations.concatenate([odd_frames(ELEMENTS, seed) for seed in seeds])
    expected, found = potential.predict(frames), exported(potential, folder).predict(frames)
    np.testing.assert_allclose(found.energies[0], expected.energy, rtol=1e-10, atol=0)
    np.testing.assert_allclose(found.forces[0], expected.force, rtol=0, atol=1e-8)
    assert expected.stress is not None
    assert found.stresses is not None
    np.testing.assert_allclose(found.stresses[0], expected.stress, rtol=0, atol=1e-10)
    assert np.abs(expected.force).max() > 1e-2, "there is something to compare"


@needs_metatomic
@pytest.mark.parametrize("name", DESCRIPTORS)
def test_exported_models_agree_with_our_own_evaluation(name: str, tmp_path: Path) -> None:
    """Slabs, wires, small cells, molecules and isolated atoms of two elements."""
    assert_agrees(make_potential(DESCRIPTORS[name]), tmp_path)


@needs_metatomic
@pytest.mark.parametrize("settings", [{"max_degree": 3}, {"max_degree": 2, "four_body": 0}, {"max_degree": 0}])
def test_exported_models_mix_channels(settings: dict[str, int], tmp_path: Path) -> None:
    made = PowerSpectrum.make(radial=2, cutoff=4.0, channels=3, **settings)
    fitted = made.fitted(odd_frames(ELEMENTS), ELEMENTS)
    assert_agrees(make_potential(descriptor_spec(fitted).model_dump()), tmp_path)


@needs_metatomic
@pytest.mark.parametrize("name", ["power_spectrum", "acsf"])
def test_networks_without_switch_and_linear_path(name: str, tmp_path: Path) -> None:
    """Two activation functions, as n2p2 has them."""
    form = Form(("tanh", "gaussian"), switch=False)
    assert_agrees(make_potential(DESCRIPTORS[name], form, skip=False), tmp_path, range(1))


@needs_metatomic
@pytest.mark.parametrize("name", ["power_spectrum", "soap"])
def test_potentials_without_repulsion(name: str, tmp_path: Path) -> None:
    assert_agrees(make_potential(DESCRIPTORS[name]).changed(repulsion=None), tmp_path, range(1))


@pytest.mark.parametrize("inner", [0.0, 0.3])
@pytest.mark.parametrize("name", CUTOFFS)
def test_every_cutoff_function(name: CutoffFunction, inner: float) -> None:
    """Values and derivatives below, at and beyond two cutoffs."""
    made = Gaussians(
        torch.tensor([0.1, 0.3, 0.2]).double(), torch.tensor([0.0, 1.0, 2.0]).double(),
        torch.tensor([3.5, 4.0]).double(), torch.tensor([1, 0, 1]), name, inner,
    )  # fmt: skip
    distances = torch.linspace(0.3, 4.2, 40, dtype=torch.float64)
    distances[5:7] = torch.tensor([3.5, 4.0])
    expected, slopes = made(distances)
    distances.requires_grad_(True)
    values = torch.jit.script(ScriptedGaussians(made))(distances)
    torch.testing.assert_close(values, expected, rtol=1e-13, atol=1e-15)
    for column in range(3):
        (found,) = torch.autograd.grad(values[:, column].sum(), distances, retain_graph=True)
        torch.testing.assert_close(found, slopes[:, column], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name: str) -> None:
    x = torch.linspace(-3, 3, 30, dtype=torch.float64)
    torch.testing.assert_close(torch.jit.script(activate)(x, name), ACTIVATIONS[name](x)[0], rtol=1e-13, atol=1e-15)


@given(st.floats(0, 2), st.integers(1, 70))
@settings(deadline=None)
def test_whole_powers(base: float, exponent: int) -> None:
    power = whole_power(torch.tensor([base], dtype=torch.float64), exponent)
    torch.testing.assert_close(power, torch.tensor([base**exponent], dtype=torch.float64), rtol=1e-12, atol=0)


@needs_metatomic
def test_a_potential_in_float32_sums_up_in_float64(tmp_path: Path) -> None:
    potential = make_potential(POWER_SPECTRUM, dtype="float32")
    frames = odd_frames(ELEMENTS, seed=1)
    expected, found = potential.predict(frames), exported(potential, tmp_path).predict(frames)
    np.testing.assert_allclose(found.energies[0], expected.energy, rtol=1e-6)
    np.testing.assert_allclose(found.forces[0], expected.force, rtol=1e-3, atol=1e-4)
    lone = found.energies[0, frames.counts == 1]
    assert lone[0] in potential.energy_reference.values(), "isolated atoms have their references to the last digit"


@needs_metatomic
def test_a_single_network_tells_nothing_of_its_uncertainty(tmp_path: Path) -> None:
    three = make_potential(POWER_SPECTRUM)
    one = three.changed(parameters={name: value[:1] for name, value in three.parameters.items()})
    assert list(make_model(one).capabilities().outputs) == ["energy"]
    assert_agrees(one, tmp_path, range(1))
    assert "energy_ensemble" not in (tmp_path / "README.txt").read_text(encoding="utf-8")


# -- as simulation programs call it -------------------------------------------------------------------------------


def evaluate(
    model: Any, frames: Configurations, kind: str, selected: Any = None, length_unit: str = "angstrom", unit: str = "eV"
) -> tuple[dict[str, Any], torch.Tensor]:
    """All outputs of all frames at once, and the derivatives of the energies by the positions."""
    from metatomic.torch import ModelEvaluationOptions, ModelOutput, System  # noqa: PLC0415
    from vesin.metatomic import NeighborList  # noqa: PLC0415

    scale = 1 / 0.529177210544 if length_unit == "bohr" else 1.0
    systems = []
    for frame in frames:
        pbc = torch.tensor(frame.pbc[0])
        system = System(
            torch.tensor(frame.numbers, dtype=torch.int32),
            torch.tensor(scale * frame.positions, requires_grad=True),
            torch.tensor(scale * frame.cells[0]) * pbc[:, None],
            pbc,
        )
        for options in model.requested_neighbor_lists():
            NeighborList(options, length_unit=length_unit).add_neighbor_list([system])
        systems.append(system)
    outputs = {
        name: ModelOutput(unit=unit, sample_kind=kind) for name in ("energy", "energy_ensemble", "energy_uncertainty")
    }
    options = ModelEvaluationOptions(length_unit=length_unit, outputs=outputs, selected_atoms=selected)
    found = model(systems, options, check_consistency=True)
    gradients = torch.autograd.grad(found["energy"].block().values.sum(), [system.positions for system in systems])
    return {name: value.block() for name, value in found.items()}, torch.cat(gradients)


@pytest.fixture(params=["power_spectrum", "acsf", "soap"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[HdnnpPotential, Any]:
    """A potential, and its model as it is read from the file."""
    pytest.importorskip("metatomic")
    from metatomic.torch import load_atomistic_model  # noqa: PLC0415

    potential = make_potential(DESCRIPTORS[request.param])
    write_model(potential, tmp_path)
    extensions = tmp_path / "extensions"
    return potential, load_atomistic_model(tmp_path / "model.pt", extensions if extensions.is_dir() else None)


def filled(seed: int = 0) -> Configurations:
    """Return frames of every kind that have atoms."""
    frames = odd_frames(ELEMENTS, seed)
    return frames[frames.counts > 0]


def test_members_and_their_spread_are_told_for_many_systems(pair: tuple[HdnnpPotential, Any]) -> None:
    potential, model = pair
    frames = filled()
    expected = potential.predict(frames)
    found, gradients = evaluate(model, frames, "system")
    np.testing.assert_allclose(found["energy"].values[:, 0].detach(), expected.energy, rtol=1e-10)
    np.testing.assert_allclose(found["energy_ensemble"].values.detach(), expected.energies.T, rtol=1e-10)
    uncertainty = found["energy_uncertainty"].values[:, 0].detach()
    np.testing.assert_allclose(uncertainty, expected.energy_disagreement, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(gradients, -expected.force, rtol=0, atol=1e-8)


def test_energies_of_atoms_add_up(pair: tuple[HdnnpPotential, Any]) -> None:
    _, model = pair
    frames = filled(1)
    whole, parts = (evaluate(model, frames, kind)[0] for kind in ("system", "atom"))
    samples = parts["energy"].samples.values
    np.testing.assert_array_equal(samples[:, 0], frames.frame_of_atom)
    for name in ("energy", "energy_ensemble"):
        sums = torch.zeros_like(whole[name].values).index_add(0, samples[:, 0].long(), parts[name].values)
        torch.testing.assert_close(sums, whole[name].values, rtol=1e-12, atol=1e-12)


def test_domains_add_up_to_the_whole(pair: tuple[HdnnpPotential, Any]) -> None:
    """Programs that divide space ask for the atoms of one domain at a time, which may be none, in any order."""
    from metatensor.torch import Labels  # noqa: PLC0415

    _, model = pair
    frames = filled(2)
    every, gradients = evaluate(model, frames, "system")
    offsets = frames.offsets
    atoms = np.stack([frames.frame_of_atom, np.arange(frames.n_atoms) - offsets[frames.frame_of_atom]], axis=1)
    order = np.random.default_rng(0).permutation(len(atoms))
    total, forces = torch.zeros_like(every["energy"].values), torch.zeros_like(gradients)
    for domain in (order[:3], order[3:3], order[3:]):
        selected = Labels(["system", "atom"], torch.tensor(atoms[domain], dtype=torch.int32).reshape(-1, 2))
        found, part = evaluate(model, frames, "system", selected)
        total += found["energy"].values
        forces += part
    torch.testing.assert_close(total, every["energy"].values, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(forces, gradients, rtol=0, atol=1e-10)


def test_other_units(pair: tuple[HdnnpPotential, Any]) -> None:
    potential, model = pair
    frames = filled()[:1]
    found, _ = evaluate(model, frames, "system", length_unit="bohr", unit="hartree")
    np.testing.assert_allclose(
        found["energy"].values[0, 0].item() * 27.211386, potential.predict(frames).energy[0], 1e-6
    )


FOREIGN = """
import sys, warnings
warnings.simplefilter("ignore")
sys.modules["bloomery"] = None
import ase.io
from metatomic_ase import MetatomicCalculator
atoms = ase.io.read("atoms.json")
atoms.calc = MetatomicCalculator("model.pt"{extensions})
print(atoms.get_potential_energy(), atoms.get_forces()[0, 0])
"""


@needs_metatomic
@pytest.mark.parametrize("name", ["power_spectrum", "soap"])
def test_the_text_beside_the_model_is_true_where_this_package_is_not(name: str, tmp_path: Path) -> None:
    potential = make_potential(DESCRIPTORS[name])
    potential.export("metatomic", tmp_path)
    frames = filled()[:1]
    (atoms,) = frames.to_atoms()
    atoms.write(tmp_path / "atoms.json")
    code = FOREIGN.format(extensions=', extensions_directory="extensions"' if name == "soap" else "")
    line = code.splitlines()[-2].split("= ")[1]
    text = (tmp_path / "README.txt").read_text(encoding="utf-8")
    assert line in text
    assert "pair_coeff * * 14 6\n" in text
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    energy, force = (float(word) for word in done.stdout.split())
    expected = potential.predict(frames)
    assert energy == pytest.approx(expected.energy[0], rel=1e-10)
    assert force == pytest.approx(expected.force[0, 0], abs=1e-8)


@needs_metatomic
def test_models_ask_only_for_the_extensions_that_they_need(tmp_path: Path) -> None:
    """metatomic writes down everything that happens to be loaded, and asks for it when the model is read."""
    if importlib.util.find_spec("featomic") is None or importlib.util.find_spec("featomic.torch") is None:
        pytest.skip("needs featomic-torch")
    import featomic.torch  # noqa: F401, PLC0415

    for name, wanted in (("power_spectrum", []), ("soap", ["featomic_torch"])):
        make_potential(DESCRIPTORS[name]).export("metatomic", tmp_path / name)
        with zipfile.ZipFile(tmp_path / name / "model.pt") as archive:
            (entry,) = [entry for entry in archive.namelist() if entry.endswith("extra/extensions")]
            assert [extension["name"] for extension in json.loads(archive.read(entry))] == wanted
        assert (tmp_path / name / "extensions").is_dir() == bool(wanted)


@needs_metatomic
def test_a_trained_potential_is_exported_and_obeys_the_physics(silicon: Configurations, tmp_path: Path) -> None:
    engine = Hdnnp.make(members=2, hidden=[6], steps=30, descriptor={"acsf": {"cutoff": 4.5}})
    potential, _ = engine.train(TrainingData(silicon[:8], silicon[8:11], {"Si": -4.0}), device="cpu")
    potential.save(tmp_path / "saved")
    check_exports(load_potential(tmp_path / "saved"), silicon[11:], tmp_path)
    assert (tmp_path / "metatomic" / "model.pt").is_file()


@needs_metatomic
def test_molecular_dynamics_keeps_its_energy(tmp_path: Path) -> None:
    """The neighbour list is kept for steps in a row, and atoms come and go across the cutoff."""
    potential = make_potential(POWER_SPECTRUM)
    potential.export("metatomic", tmp_path)
    atoms = bulk("Si", cubic=True)
    atoms.symbols[3] = "C"
    atoms.calc = potential.exported_calculator("metatomic", tmp_path)
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(0))
    energies = []
    dynamics = VelocityVerlet(atoms, 0.2 * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    dynamics.run(60)
    assert np.ptp(energies) < 1e-2 * atoms.get_kinetic_energy()
    frames = Configurations.from_atoms([atoms.copy()])
    np.testing.assert_allclose(atoms.get_forces(), potential.predict(frames).force, rtol=0, atol=1e-8)


# -- refusals -----------------------------------------------------------------------------------------------------


def test_what_is_in_the_way_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Other(PowerSpectrum):
        name = "other"

    potential = make_potential(POWER_SPECTRUM)
    present = importlib.util.find_spec
    monkeypatch.setattr(
        exporting.importlib.util, "find_spec", lambda name: None if name == "metatomic" else present(name)
    )
    with pytest.raises(InputError, match=r"metatomic-torch is not installed; install it with pip install 'aiida-bloom"):
        potential.export("metatomic", tmp_path / "x")
    monkeypatch.setattr(exporting.importlib.util, "find_spec", lambda name: None if "." in name else object())
    soap = make_potential(POWER_SPECTRUM)
    soap.descriptor = PluginSpec.model_validate(DESCRIPTORS["soap"]).load("descriptors")
    with pytest.raises(InputError, match="needs the package featomic-torch; install it"):
        soap.export("metatomic", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    potential.descriptor = Other(potential.descriptor.settings)
    with pytest.raises(InputError, match="descriptor 'other' is not written in TorchScript; train with power_spectrum"):
        potential.export("metatomic", tmp_path / "x")
