"""Real pw.x and ph.x on silicon carbide: responses to a field, and what is left where there are none."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import ase
import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory
from ase.build import bulk, molecule

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.setup.pseudopotentials import find_folder
from aiida_bloomery.workflows.labelling.quantumespresso import QuantumEspressoLabellingWorkChain
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import PROPERTIES

pytestmark = [
    pytest.mark.pw,
    pytest.mark.skipif(not (shutil.which("pw.x") and shutil.which("ph.x")), reason="pw.x or ph.x is not on the path"),
]

BOTH = ["dielectric_tensor", "born_effective_charges"]
SYSTEM = {"ecutwfc": 20.0, "ecutrho": 160.0, "occupations": "fixed", "smearing": None, "degauss": None}
MESH = {"mesh": [2, 2, 2], "offset": [0.0, 0.0, 0.0]}
"""As symmetric as the crystal: a mesh that is shifted along the vectors of a primitive cell is not."""


@pytest.fixture
def pseudos(profile):
    found = {}
    for element, name in {"Si": "Si.pbe-rrkj.UPF", "C": "C.pbe-rrkjus.UPF"}.items():
        path = Path(find_folder() or "") / name
        if not path.is_file():
            pytest.skip(f"there is no {path.name}")
        with path.open("rb") as handle:
            found[element] = DataFactory("pseudo.upf").get_or_create(handle, filename=path.name).store()
    return found


@pytest.fixture
def ph(pw_computer, tmp_path):
    """Make a code around ph.x, which notes each start: ``ph(snippet)``."""
    (tmp_path / "behind").mkdir()

    def make(snippet: str = "") -> orm.InstalledCode:
        script = tmp_path / "behind" / "ph.x"
        lines = f'here=$(basename $PWD)\nmarks={tmp_path}\necho "$here" >> {tmp_path}/behind/starts\n{snippet}'
        script.write_text(f'#!/bin/bash\n{lines}\nexec {shutil.which("ph.x")} "$@"\n')
        script.chmod(0o755)
        return orm.InstalledCode(
            label=f"ph-{time.monotonic_ns()}",
            computer=pw_computer,
            filepath_executable=str(script),
            default_calc_job_plugin="quantumespresso.ph",
        ).store()

    return make


@pytest.fixture
def builder_of(pseudos):
    def make(pw, ph_code, frames, **more):
        overrides = {"parameters": {"SYSTEM": SYSTEM, **more.pop("parameters", {})}, **more}
        return QuantumEspressoLabellingWorkChain.get_builder_from_protocol(
            pw.code,
            ConfigurationsData(Configurations.from_atoms(frames)),
            "balanced",
            overrides,
            pseudos=pseudos,
            kpoints=MESH,
            properties=BOTH,
            ph_code=ph_code,
        )

    return make


def ph_starts(tmp_path) -> list[str]:
    path = tmp_path / "behind" / "starts"
    return path.read_text().split() if path.exists() else []


def crystal() -> ase.Atoms:
    return bulk("SiC", "zincblende", a=4.36)


def distorted(seed: int = 3) -> ase.Atoms:
    atoms = crystal()
    strain = np.eye(3) + np.array([[0.01, 0.02, 0.0], [0.0, 0.0, 0.01], [0.005, 0.0, -0.01]])
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.rattle(0.08, seed=seed)
    return atoms


def in_text(output: str, name: str, rows: str) -> np.ndarray:
    """Numbers of a tensor that ph.x prints behind a title, row by row."""
    text = output[output.index(name) :]
    found = re.findall(rf"{rows}\s*\(\s*(\S+)\s+(\S+)\s+(\S+)\s*\)", text)
    return np.array(found, dtype=float)


@pytest.mark.integration
def test_tensors_are_those_of_a_run_by_hand_and_obey_their_laws(wrapped_pw, ph, builder_of, tmp_path):
    pw, code = wrapped_pw(), ph()
    outputs, node = run_get_node(builder_of(pw, code, [crystal(), distorted()]))
    assert node.is_finished_ok, node.exit_message
    labelled = outputs["labelled"].configurations
    assert all(labelled.has(name).all() for name in ("energy", "forces", "stress", *BOTH))
    assert [len(pw.starts()), len(ph_starts(tmp_path))] == [2, 2]
    assert not any("lacks" in entry for entry in outputs["ledger"]["entries"])

    # The crystal is cubic: tensors are a number times unity, and carbon attracts electrons.
    epsilon, charges = labelled.label("dielectric_tensor")[0], labelled.label("born_effective_charges")[0]
    np.testing.assert_allclose(np.diag(epsilon[0]), epsilon[0, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(epsilon[0], epsilon[0, 0, 0] * np.eye(3), atol=1e-4)
    np.testing.assert_allclose(charges[0], charges[0, 0, 0] * np.eye(3), atol=1e-3)
    assert charges[0, 0, 0] > 2
    np.testing.assert_allclose(epsilon, epsilon.transpose(0, 2, 1), atol=0)
    np.testing.assert_allclose(charges[2:].sum(axis=0), 0, atol=1e-12)
    assert np.abs(charges[2] - charges[2].T).max() > 0.01, "a frame without symmetry tells rows from columns"

    # ph.x by hand, in the folder of the job's input; it names rows of its text by the field.
    (pack,) = (child for child in node.called if child.process_label == "PwPackCalculation")
    folder = Path(pack.outputs.remote_folder.get_remote_path())
    assert not list(folder.glob("frame_*/out")), "scratch is removed"
    frame = folder / "frame_0001"
    (frame / "out").mkdir()
    for program, name in (("pw.x", "aiida.in"), ("ph.x", "ph.in")):
        done = subprocess.run([program, "-in", name], cwd=frame, capture_output=True, text=True, check=True)
    np.testing.assert_allclose(in_text(done.stdout, "Dielectric constant in", "")[:3], epsilon[1], atol=2e-4)
    raw = in_text(done.stdout, "Effective charges (d Force / dE)", "E[xyz]").reshape(2, 3, 3)
    np.testing.assert_allclose(raw - raw.mean(axis=0), charges[2:], atol=2e-4)


@pytest.mark.integration
def test_frame_without_response_keeps_energy_and_forces_and_is_asked_again(wrapped_pw, ph, builder_of, tmp_path):
    pw, frames = wrapped_pw(), [distorted(1), distorted(2)]
    code = ph('[ "$here" = frame_0001 ] && [ ! -e $marks/mended ] && sed -i "s/niter_ph.*/niter_ph = 1/" ph.in')
    outputs, node = run_get_node(builder_of(pw, code, frames))
    assert node.is_finished_ok, node.exit_message
    labelled, entries = outputs["labelled"].configurations, outputs["ledger"]["entries"]
    assert labelled.has("energy").tolist() == labelled.has("forces").tolist() == [True, True]
    assert [labelled.has(name).tolist() for name in BOTH] == [[True, False]] * 2
    assert [entry["outcome"] for entry in entries] == ["labelled", "labelled"]
    assert "lacks" not in entries[0]
    assert entries[1]["lacks"] == (
        "It has no dielectric_tensor and born_effective_charges: the response to the field did not reach "
        "self-consistency."
    )

    # What is there is not paid again; what is missing is, and without properties nothing is.
    (tmp_path / "mended").touch()
    again, _ = run_get_node(builder_of(pw, code, frames))
    assert [entry["outcome"] for entry in again["ledger"]["entries"]] == ["cached", "labelled"]
    assert all(again["labelled"].configurations.has(name).all() for name in BOTH)
    assert sorted(ph_starts(tmp_path)) == ["frame_0000", "frame_0001", "frame_0001"]
    third, _ = run_get_node(builder_of(pw, code, frames))
    assert [entry["outcome"] for entry in third["ledger"]["entries"]] == ["cached", "cached"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("snippet", "more", "told"),
    [
        ("sleep 1000", {"pack": {"frame_timeout_s": 8}}, "ph.x was ended after the 8 s that a frame may take."),
        ("kill -9 $$", {}, "ph.x was killed, most likely for want of memory."),
    ],
)
def test_whatever_becomes_of_ph_the_label_of_pw_stays(wrapped_pw, ph, builder_of, snippet, more, told):
    outputs, node = run_get_node(builder_of(wrapped_pw(), ph(snippet), [distorted()], **more))
    assert node.is_finished_ok, node.exit_message
    labelled, (entry,) = outputs["labelled"].configurations, outputs["ledger"]["entries"]
    assert labelled.has("forces").all()
    assert not any(labelled.has(name).any() for name in PROPERTIES)
    assert entry["outcome"] == "labelled"
    assert told in entry["lacks"]


@pytest.mark.integration
def test_ph_does_not_run_behind_a_density_that_was_not_found(wrapped_pw, ph, builder_of, tmp_path):
    parameters = {"ELECTRONS": {"electron_maxstep": 1}}
    outputs, node = run_get_node(builder_of(wrapped_pw(), ph(), [distorted()], parameters=parameters))
    (pack,) = (child for child in node.called if child.process_label == "PwPackCalculation")
    assert pack.outputs.ledger["entries"][0]["exit_code"] == 410
    assert not ph_starts(tmp_path)
    # Alone it converges with other settings, and its label lacks what ph.x gives.
    entry = outputs["ledger"]["entries"][0]
    assert entry["outcome"] == "failed" or "labelled alone" in entry["lacks"]


def refusal(builder) -> str:
    with pytest.raises(ValueError, match=r"\w") as raised:
        run_get_node(builder)
    return str(raised.value)


def test_what_has_no_response_is_refused_at_submission(wrapped_pw, ph, builder_of):
    pw, code = wrapped_pw(), ph()
    smeared = builder_of(pw, code, [crystal()], parameters={"SYSTEM": {"ecutwfc": 20.0, "ecutrho": 160.0}})
    assert "parameters.SYSTEM.occupations: ph.x gives the response to a field of insulators alone" in refusal(smeared)
    boxed = molecule("SiH4", vacuum=3.0)[[0]]
    assert "frame 1 is not periodic in all directions" in refusal(builder_of(pw, code, [crystal(), boxed]))
    charged = crystal()
    charged.info["charge"] = 2.0
    assert "has a charge, and a charged cell has no dielectric_tensor" in refusal(builder_of(pw, code, [charged]))
