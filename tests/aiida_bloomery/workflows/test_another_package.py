"""Plug-ins of another package, installed beside ours, do in a campaign all that ours do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import entry_point
from ase.build import bulk
from click.testing import CliRunner

from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.builder import make_builder
from aiida_bloomery.campaign_file.schema import schema
from aiida_bloomery.cli import main
from aiida_bloomery.provenance.campaign import stages
from aiida_bloomery.report.collect import collect
from aiida_bloomery.report.methods import methods
from aiida_bloomery.report.page import render
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.plugins import load_plugin, registered
from bloomery.testing.selectors import check_selector

pytestmark = pytest.mark.integration

MODULE = '''
"""Plug-ins of another package."""

import numpy as np
from pydantic import Field

from bloomery.frames.configurations import Configurations
from bloomery.observables.contract import Axes, Observable, Observation, number
from bloomery.plugins import Settings
from bloomery.reference.calculators import CalculatorSpec
from bloomery.samplers.contract import Sampler, SamplerReport
from bloomery.samplers.origin import with_origin
from bloomery.selectors.contract import Picks, Selector


class CompactSettings(Settings):
    """Settings of the selector `compact`."""

    max_volume: float = Field(gt=0)
    """Volume of a frame in Å^3 that is not exceeded."""


class Compact(Selector):
    """Drop frames with too large a cell."""

    name = "compact"
    cleans = True
    Settings = CompactSettings

    def select(self, pool, *, seed=0):
        """Pick those that are small enough."""
        loose = pool.configurations.volumes > self.settings.max_volume
        return Picks.of(np.flatnonzero(~loose), np.zeros(len(pool)), np.where(loose, "too loose", ""))

    def at_most(self, n_pool):
        """All of them."""
        return n_pool


class BreathingSettings(Settings):
    """Settings of the sampler `breathing`."""

    calculator: CalculatorSpec
    """What labels the frames."""
    scales: list[float] = [0.98, 1.0, 1.02]
    """Factors of the cell's vectors."""


class Breathing(Sampler):
    """Scale structures, and label them by the reference method."""

    name = "breathing"
    driven_by_labeller = True
    Settings = BreathingSettings

    def sample(self, start, *, potential=None, seed=0, scale=None, progress=None, checkpoint=None):
        """Sample; each frame is a trajectory of its own."""
        calculator, frames = self.settings.calculator.make(), []
        for atoms in start.without_labels().to_atoms():
            for factor in self.settings.scales:
                frames.append(atoms.copy())
                frames[-1].set_cell(atoms.cell * factor, scale_atoms=True)
                frames[-1].calc = calculator
        order = np.arange(len(frames))
        made = Configurations.from_atoms([atoms.copy() for atoms in frames], info_keys=[]).with_labels(
            energy=[atoms.get_potential_energy() for atoms in frames],
            forces=np.concatenate([atoms.get_forces() for atoms in frames]),
        )
        start = order // len(self.settings.scales)
        return with_origin(made, start=start, trajectory=order, block=order), SamplerReport()

    def plan(self, n_start):
        """Upper bounds."""
        return {"frames": n_start * len(self.settings.scales), "md_steps": 0}


class Stretching(Observable):
    """Energy of scaled structures."""

    name = "stretching"
    title = "Stretching of a crystal"
    references = ("A. Author, J. Tests 1, 2 (2026)",)
    axes = Axes("factor", "energy of the crystal")

    def observe(self, potential, configurations, *, reference=None, seed=0, progress=None):
        """Measure."""
        factors = np.linspace(0.98, 1.02, 5)
        frames = []
        for factor in factors:
            frames.append(configurations.to_atoms()[0])
            frames[-1].set_cell(frames[-1].cell * factor, scale_atoms=True)
        energies = potential.predict(Configurations.from_atoms(frames)).energy
        return Observation(
            {"depth": number(energies.max() - energies.min(), "eV")},
            {"Si8__potential__stretch": energies, "Si8__potential__stretch_x": factors},
            {"Si8__potential__stretch": "eV", "Si8__potential__stretch_x": "1"},
        )
'''
LABELLER = '''
"""The labeller: what labels, and what a campaign file says of it. No AiiDA is needed to check a file."""

from aiida_bloomery.campaign_file.labellers.contract import InProcessPart
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.labellers.contract import Labeller, no_record
from bloomery.plugins import Settings
from bloomery.progress import no_progress
from bloomery.reference.calculators import CalculatorSpec


class BorrowedSettings(Settings):
    """Settings of the labeller `borrowed`."""

    calculator: CalculatorSpec
    """The calculator."""


class Borrowed(Labeller):
    """Labels of a calculator that is borrowed."""

    name = "borrowed"
    title = "a borrowed calculator"
    Settings = BorrowedSettings

    def check(self, configurations):
        """Take anything."""

    def label(self, configurations, *, progress=no_progress, record=no_record):
        """Label."""
        labeller = CalculatorLabeller.make(calculator=self.settings.calculator)
        return labeller.label(configurations, progress=progress, record=record)


class BorrowedPart(InProcessPart):
    """Labels of a calculator that is borrowed."""

    calculator: CalculatorSpec
    """Its name."""
    owner: str
    """Whom it is from."""

    def check(self, campaign):
        """See that someone owns it."""
        if not self.owner:
            raise campaign.source.error(campaign.labeller_key("owner"), "is empty; say whom the calculator is from.")

    def labeller_settings(self):
        """Settings of the labeller."""
        return {"calculator": self.calculator.model_dump()}
'''
WORKCHAIN = '''
"""The workchain of the labeller."""

from aiida_bloomery.workflows.labelling.in_process import InProcessLabellingWorkChain


class BorrowedLabellingWorkChain(InProcessLabellingWorkChain):
    """Label frames with a calculator that is borrowed."""

    LABELLER = "borrowed"
'''
ENTRY_POINTS = """
[bloomery.selectors]
compact = another_package:Compact
[bloomery.samplers]
breathing = another_package:Breathing
[bloomery.observables]
stretching = another_package:Stretching
[bloomery.labellers]
borrowed = another_package.labeller:Borrowed
[bloomery.campaign_labellers]
borrowed = another_package.labeller:BorrowedPart
[aiida.workflows]
bloomery.labelling.borrowed = another_package.workchain:BorrowedLabellingWorkChain
"""
LOOSE = 163.0
"""Between volumes that the bootstrap draws: the cell of silicon has 160.2 Å^3."""
SAMPLERS = [{"rattle_strain": {"frames": 24, "rattle": 0.06, "strain": 0.03}}, "breathing"]
SELECTORS = [{"compact": {"max_volume": LOOSE}}, "sanity", {"random": {"frames": 8}}]
CAMPAIGN = {
    "name": "another-package",
    "structures": ["si8.extxyz"],
    "protocol": "fast",
    "seed": 2,
    "device": "cpu",
    "bootstrap": {"samplers": SAMPLERS, "selection": SELECTORS},
    "sampling": SAMPLERS,
    "selection": SELECTORS,
    "labelling": {"borrowed": {"calculator": "stillinger_weber", "owner": "Frank"}},
    "training": {"hdnnp": {"members": 2, "steps": 50, "hidden": [8], "dtype": "float64"}},
    "roles": {"min_probe": 4, "early_stopping_share": 0, "calibration_share": 0},
    "validation": ["stretching"],
    "stop": {"iterations": 0},
    "codes": {"bloomery": "another-bloomery@here"},
}


def forget() -> None:
    """Let entry points be looked for anew."""
    for cached in (registered, entry_point.eps, entry_point.eps_select):
        cached.cache_clear()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package with plug-ins, installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "another_package").mkdir()
    for name, text in (("__init__", MODULE), ("labeller", LABELLER), ("workchain", WORKCHAIN)):
        (folder / "another_package" / f"{name}.py").write_text(text)
    metadata = folder / "another_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: another-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    sys.path.insert(0, str(folder))
    forget()
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == "another_package"]:
        del sys.modules[name]
    forget()


@pytest.fixture(scope="module")
def file(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign file that uses all of them."""
    folder = tmp_path_factory.mktemp("campaign")
    bulk("Si", cubic=True).write(folder / "si8.extxyz")
    path = folder / "campaign.yaml"
    path.write_text(json.dumps(CAMPAIGN))  # JSON is YAML
    return path


@pytest.fixture(scope="module")
def campaign(package: Path, file: Path, computer: orm.Computer) -> orm.WorkChainNode:
    """The campaign, run in this process; its jobs find the package too."""
    program = package / "bloomery"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={package} exec {Path(sys.executable).parent}/bloomery "$@"\n')
    program.chmod(0o755)
    orm.InstalledCode(
        label="another-bloomery",
        computer=computer,
        filepath_executable=str(program),
        default_calc_job_plugin="bloomery.sample",
    ).store()
    _, node = run_get_node(make_builder(load_campaign(file)[0]))
    assert node.is_finished_ok, (node.exit_status, node.exit_message)
    return node


def test_they_pass_the_conformance_suite(package: Path) -> None:
    check_selector(load_plugin("selectors", "compact").make(max_volume=1e6))


def test_the_campaign_file_is_checked(file: Path) -> None:
    campaign, _ = load_campaign(file)
    # The labeller lends its calculator.
    assert campaign.samplers("sampling")[1][1].settings == {"calculator": "stillinger_weber"}
    result = CliRunner().invoke(main, ["check", "--file-only", str(file)])
    assert result.exit_code == 0, result.output
    file.with_name("wrong.yaml").write_text(file.read_text().replace(f'"max_volume": {LOOSE}', '"max_volume": -1.0'))
    result = CliRunner().invoke(main, ["check", "--file-only", str(file.with_name("wrong.yaml"))])
    assert "compact.max_volume: input should be greater than 0" in result.output
    file.with_name("wrong.yaml").write_text(file.read_text().replace("Frank", ""))
    result = CliRunner().invoke(main, ["check", "--file-only", str(file.with_name("wrong.yaml"))])
    assert "labelling.borrowed.owner: is empty; say whom the calculator is from." in result.output


def test_the_schema_has_them(package: Path) -> None:
    definitions = schema()["$defs"]
    assert definitions["CompactSettings"]["required"] == ["max_volume"]
    assert definitions["BreathingSettings"]["required"] == []  # in a campaign the labeller drives
    assert definitions["BorrowedPart"]["required"] == ["calculator", "owner"]


def test_a_selector_cleans_before_the_probe_is_drawn(campaign: orm.WorkChainNode) -> None:
    (select,) = [stage.process for stage in stages(campaign) if stage.name == "select"]
    funnel = select.outputs.funnel["funnel"]
    assert [step["selector"] for step in funnel] == ["compact", "sanity", "probe", "random"]
    assert funnel[0]["reasons"] == {"too loose": funnel[0]["came_in"] - funnel[0]["left"]}
    selected = select.outputs.selected.configurations
    assert 0 < funnel[0]["left"] < funnel[0]["came_in"] == 27
    assert (selected.info["role"] == "probe").sum() >= 4
    assert selected.volumes.max() <= LOOSE


def test_the_labeller_drives_a_sampler(campaign: orm.WorkChainNode) -> None:
    (sampling,) = [stage.process for stage in stages(campaign) if stage.name == "sample"]
    frames = sampling.outputs.pools.breathing_1.configurations
    known, _ = CalculatorLabeller.make(calculator="stillinger_weber").label(frames.without_labels())
    assert frames.labels["energy"].tolist() == pytest.approx(known.labels["energy"].tolist())


def test_the_labeller_labels(campaign: orm.WorkChainNode) -> None:
    (label,) = [stage.process for stage in stages(campaign) if stage.name == "label"]
    assert label.process_label == "BorrowedLabellingWorkChain"
    assert {entry["outcome"] for entry in label.outputs.ledger["entries"]} == {"labelled"}


def test_labeller_and_observable_are_in_the_report(campaign: orm.WorkChainNode) -> None:
    facts = collect(campaign)
    text = methods(facts)
    assert "are those of a borrowed calculator" in text.text
    assert "stretching of a crystal" in text.text
    assert "A. Author, J. Tests 1, 2 (2026)" in [paper.text for paper in text.references]
    page = render(facts)
    for words in ("Stretching of a crystal of Si8: stretch", "energy of the crystal (eV)", "too loose"):
        assert words in page
