"""n2p2's files against what n2p2 predicts, against published statistics, and there and back again."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.units import Bohr, Ha

from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.engines.hdnnp.model import Form
from bloomery.engines.hdnnp.n2p2 import FileUnits, read_potential, write_potential
from bloomery.engines.hdnnp.n2p2.functions import read_functions
from bloomery.engines.hdnnp.n2p2.keywords import Keywords
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.repulsion import Repulsion
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import load_potential
from bloomery.testing.engines import assert_same, check_engine

from .conftest import MakePotential


def test_a_published_potential_predicts_what_n2p2_predicts(shared_data: Path) -> None:
    """1080 atoms of water, two elements, normalised; the expected numbers are n2p2's own."""
    potential = read_potential(shared_data / "n2p2")
    frames = Configurations.read(shared_data / "n2p2" / "input.data")
    expected = json.loads((shared_data / "n2p2" / "expected.json").read_text(encoding="utf-8"))
    found = potential.predict(frames)
    assert found.energy[0] / Ha == pytest.approx(expected["energy_Ha"], rel=1e-10)
    np.testing.assert_allclose(found.force * Bohr / Ha, expected["forces_Ha_per_bohr"], rtol=0, atol=1e-9)


def test_symmetry_functions_have_their_published_statistics(shared_data: Path) -> None:
    """Minimum, maximum, mean and deviation of 27 functions over 27,416 copper atoms."""
    potential = read_potential(shared_data / "zuo2020" / "nnp_Cu")
    frames = Configurations.read(shared_data / "zuo2020" / "Cu_train.extxyz")
    values = np.concatenate(
        [potential.descriptor.features(frames[i : i + 32], ["Cu"]).values.numpy() for i in range(0, len(frames), 32)]
    )
    ranges = potential.ranges
    assert ranges is not None
    for found, expected in (
        (values.min(axis=0), ranges.minimum[0]),
        (values.max(axis=0), ranges.maximum[0]),
        (values.mean(axis=0), ranges.mean[0]),
        (values.std(axis=0, ddof=1), ranges.deviation[0]),
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_a_published_potential_has_its_published_errors(shared_data: Path) -> None:
    """Copper: mean absolute errors on the published test set, 1.15 meV/atom and 0.026 eV/Å (``data/README.md``)."""
    potential = read_potential(shared_data / "zuo2020" / "nnp_Cu")
    frames = Configurations.read(shared_data / "zuo2020" / "Cu_test.extxyz")
    found = potential.predict(frames, stress=False)
    error = (found.energy - frames.labels["energy"]) / frames.counts
    assert np.abs(error - error.mean()).mean() == pytest.approx(1.15e-3, rel=0.05)
    assert np.abs(found.force - frames.labels["forces"]).mean() == pytest.approx(0.026, rel=0.05)


# -- there and back -----------------------------------------------------------------------------------------------

DESCRIPTORS: list[dict[str, Any]] = [
    {},
    {"cutoff_function": "cosine", "inner_cutoff": 0.3},
    {"rules": {"radial": 3, "angular": "wide", "angular_radial": 2, "shifted": True, "zetas": [1, 2.5]}},
    {"rules": {"radial": 3, "weighted": True, "zetas": [2]}, "cutoff_function": "polynomial_2"},
    {
        "functions": [
            {"kind": "radial", "centre": "O", "neighbours": "H", "eta": 0.3},
            {"kind": "radial", "centre": "O", "neighbours": "O", "eta": 0.1, "shift": 1.0, "cutoff": 3.5},
            {"kind": "narrow", "centre": "O", "neighbours": ["H", "O"], "eta": 0.02, "lambda": -1, "zeta": 4},
            {"kind": "radial", "centre": "H", "neighbours": "O", "eta": 0.2},
        ]
    },
]


@pytest.mark.parametrize("settings", DESCRIPTORS)
@pytest.mark.parametrize("units", [FileUnits(), FileUnits(length="Å", energy="eV")], ids=["atomic", "metal"])
def test_what_is_written_is_read_to_the_same_potential(
    settings: dict[str, Any], units: FileUnits, make_potential: MakePotential, water: Configurations, tmp_path: Path
) -> None:
    potential = make_potential(("tanh", "logistic"), **settings)
    written = write_potential(potential, tmp_path, units)
    assert all(path.is_file() for path in written)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.txt", "nnp-001", "nnp-002", "nnp-003"]
    back = read_potential(tmp_path, units)
    expected, found = potential.predict(water), back.predict(water)
    np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-13)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(found.stresses, expected.stresses, rtol=1e-9, atol=1e-12)
    one = read_potential(tmp_path / "nnp-002")  # the files say their units
    np.testing.assert_allclose(one.predict(water).energies[0], expected.energies[1], rtol=1e-13)


def test_a_potential_that_was_read_is_written_again(shared_data: Path, water: Configurations, tmp_path: Path) -> None:
    potential = read_potential(shared_data / "n2p2")
    potential.export("n2p2", tmp_path / "again")
    potential.save(tmp_path / "saved")
    expected = potential.predict(water)
    assert_same(load_potential(tmp_path / "saved").predict(water), expected)
    found = read_potential(tmp_path / "again").predict(water)
    np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-12)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-8, atol=1e-9)


@pytest.mark.slow
def test_a_trained_committee_is_exported(silicon: Configurations, tmp_path: Path) -> None:
    """The settings that the messages ask for; what is trained is what is written."""
    engine = Hdnnp.make(
        members=2, hidden=[5], steps=20, activation="tanh", skip=False, isolation_switch=False,
        repulsion=False,
        descriptor={"acsf": {"cutoff": 4.5, "reduce": {"functions": 6}}},
    )  # fmt: skip
    data = TrainingData(silicon[:6], silicon[6:8], {"Si": -4.0})
    potential, _ = engine.train(data, seed=1, device="cpu")
    assert isinstance(potential, HdnnpPotential)
    potential.save(tmp_path / "saved")
    expected = potential.predict(silicon)
    assert_same(load_potential(tmp_path / "saved").predict(silicon), expected)
    potential.export("n2p2", tmp_path / "n2p2")
    found = read_potential(tmp_path / "n2p2").predict(silicon)
    np.testing.assert_allclose(found.energies, expected.energies, rtol=1e-12)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=1e-8, atol=1e-10)
    with pytest.raises(InputError, match="was trained by another program"):
        engine.train(data, start_from=read_potential(tmp_path / "n2p2"))
    warm, _ = engine.train(data, seed=2, device="cpu", start_from=load_potential(tmp_path / "saved"))
    assert warm.descriptor.settings == potential.descriptor.settings
    with pytest.raises(InputError, match="activation functions differ"):
        Hdnnp.make(**{**engine.settings.model_dump(), "activation": "silu"}).train(data, start_from=potential)


@pytest.mark.slow
def test_what_n2p2_can_express_keeps_the_contract_of_engines(silicon: Configurations, tmp_path: Path) -> None:
    """The physics of the acceptance check included, though no switch takes isolated atoms to their references."""
    engine = Hdnnp.make(
        members=2, hidden=[6], steps=30, warm_steps=10, activation="tanh", skip=False, isolation_switch=False,
        repulsion=False,
        descriptor={"acsf": {"cutoff": 4.5, "rules": {"radial": 3, "angular_radial": 1, "zetas": [1, 4]}}},
    )  # fmt: skip
    check_engine(engine, TrainingData(silicon[:8], silicon[8:11], {"Si": -4.0}), tmp_path)


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"activations": ("silu",)}, "activation function is silu; train with activation: tanh"),
        ({"skip": True}, "linear path .* train with skip: false"),
        ({"form": Form(("tanh",), switch=True)}, "isolation_switch: false"),
        ({"repulsion": Repulsion(("O", "H"), {}, cutoff=4.0)}, "keeps atoms apart .* train with repulsion: false"),
    ],
)
def test_what_n2p2_cannot_express_is_refused(
    changes: dict[str, Any], words: str, make_potential: MakePotential, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        make_potential(**changes).export("n2p2", tmp_path)
    assert not list(tmp_path.iterdir())


def test_other_descriptors_and_formats_are_refused(silicon: Configurations, tmp_path: Path) -> None:
    engine = Hdnnp.make(members=2, hidden=[4], steps=2, descriptor={"power_spectrum": {"radial": 2, "max_degree": 1}})
    potential, _ = engine.train(TrainingData(silicon[:4], Configurations.empty(), {"Si": -4.0}), device="cpu")
    # All settings to change in one sentence: else a user would train three times to hear of all of them.
    advice = (
        "train with the descriptor acsf, skip: false, isolation_switch: false, repulsion: false and activation: tanh"
    )
    with pytest.raises(InputError, match=f"descriptor is 'power_spectrum', .*; {advice}"):
        potential.export("n2p2", tmp_path)
    with pytest.raises(InputError, match="formats: ase, n2p2"):
        potential.export("onnx", tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("input.nn", "cutoff_type 2", "cutoff_type 0", r"input\.nn: cutoff_type 0 cannot be read"),
        ("input.nn", "elements H O", "elements H Xx", "names Xx, not an element"),
        ("input.nn", "elements H O", "elements H", "a symmetry function names O"),
        ("input.nn", "symfunction_short H 2 H", "symfunction_short H 20 H", r"line \d+: symmetry functions of type 20"),
        ("input.nn", "symfunction_short H 2 H", "symfunction_short H 2 H 1.0", r"line \d+: .* needs 3 numbers"),
        ("input.nn", "symfunction_short H 2 H", "symfunction_short H 2 H x", "could not convert"),
        (
            "input.nn",
            "global_activation_short t t l",
            "global_activation_short t l",
            "2 hidden layers and 2 activation",
        ),
        ("input.nn", "global_activation_short t t l", "global_activation_short t q l", "'q' is not known"),
        ("input.nn", "global_activation_short t t l", "global_activation_short t t t", "output of H is not linear"),
        ("input.nn", "number_of_elements", "nnp_type 4G\nnumber_of_elements", "only short-ranged ones"),
        ("input.nn", "number_of_elements", "nnp_generation 3\nnumber_of_elements", "only short-ranged ones"),
        ("input.nn", "number_of_elements", "nnp_type_gen 4\nnumber_of_elements", "only short-ranged ones"),
        ("input.nn", "number_of_elements", "mean_energy 1.0\nnumber_of_elements", "belong together"),
        ("input.nn", "global_nodes_short 6 5", "global_nodes_short 6 6", r"weights\.001\.data: holds \d+ weights"),
        ("scaling.data", "         2          1", "# ", r"scaling\.data: describes"),
        ("weights.008.data", " a ", " a ", ""),
    ],
)
def test_broken_files_are_refused_in_one_sentence(
    file: str, old: str, new: str, words: str, make_potential: MakePotential, tmp_path: Path
) -> None:
    write_potential(make_potential(), tmp_path)
    path = tmp_path / "nnp-001" / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    if not words:
        read_potential(tmp_path / "nnp-001")
        path.unlink()
        words = f"{file}: cannot be read"
    with pytest.raises(InputError, match=words):
        read_potential(tmp_path / "nnp-001")


def test_a_folder_without_files_and_members_that_differ_are_refused(
    make_potential: MakePotential, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"holds no input\.nn"):
        read_potential(tmp_path)
    write_potential(make_potential(), tmp_path / "a")
    write_potential(make_potential(cutoff=3.9), tmp_path / "b")
    shutil.rmtree(tmp_path / "a" / "nnp-002")
    (tmp_path / "b" / "nnp-002").rename(tmp_path / "a" / "nnp-002")
    with pytest.raises(InputError, match="describes another descriptor or network"):
        read_potential(tmp_path / "a")


def test_comments_and_other_names_of_keywords_do_not_matter(
    make_potential: MakePotential, water: Configurations, tmp_path: Path
) -> None:
    """RuNNer's files, such as those that CP2K ships, say what columns are behind ``!``, in any encoding."""
    expected = write_potential(make_potential(), tmp_path) and read_potential(tmp_path).predict(water)
    for path in tmp_path.glob("*/input.nn"):
        lines = path.read_text(encoding="utf-8").replace("symfunction_short", "symfunction").splitlines()
        told = [f"{line}  ! eta rshift für funccutoff" if line and line[0] != "#" else line for line in lines]
        path.write_bytes("\n".join(["nnp_generation 2", *told]).encode("latin-1"))
    np.testing.assert_array_equal(read_potential(tmp_path, FileUnits()).predict(water).energies, expected.energies)


def test_runner_short_forms_stand_for_all_elements(make_potential: MakePotential, tmp_path: Path) -> None:
    """``global_symfunction_short`` and ``element_symfunction_short`` say the same as one line for each combination."""

    def read(text: str) -> list[Any]:
        (tmp_path / "input.nn").write_text(text, encoding="utf-8")
        return read_functions(Keywords.read(tmp_path / "input.nn"), ["H", "O"])

    short = "global_symfunction_short 2 0.1 0.0 8.0\nelement_symfunction_short O 3 0.01 1.0 4.0 8.0  # comment\n"
    pairs = [f"symfunction_short {a} 2 {b} 0.1 0.0 8.0\n" for a in "HO" for b in "HO"]
    triples = [f"symfunction_short O 3 {b} 0.01 1.0 4.0 8.0\n" for b in ("H H", "O H", "O O")]
    assert read(short) == read("".join([*pairs, *triples]))
    assert len(read(short)) == 7
