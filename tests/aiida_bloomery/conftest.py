"""An AiiDA profile in memory, the program `bloomery` on this machine, and small real nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.manage import get_manager
from aiida.plugins import CalculationFactory
from aiida.tools.pytest_fixtures import aiida_config_factory, aiida_profile_factory
from ase.build import bulk
from sqlalchemy import Engine, event

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.setup.machine import bloomery_program
from bloomery.engines.contract import TrainingData
from bloomery.engines.hdnnp import Hdnnp
from bloomery.frames.configurations import Configurations
from bloomery.reference.teachers import teacher_for

# AiiDA's fixtures by name: as a plugin they would give a profile to every test, also where none is needed.
__all__ = ["aiida_config_factory", "aiida_profile_factory"]

TINY_ENGINE = {"hdnnp": {"members": 2, "steps": 20, "hidden": [4], "dtype": "float64"}}


@event.listens_for(Engine, "connect")
def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
    """No test's profile outlives its session: a quarter of the time would go into waiting for the disk."""
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(scope="session")
def profile(
    aiida_config_factory: Any, aiida_profile_factory: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """The ephemeral profile, shared by all tests of a session that ask for it."""
    folder = tmp_path_factory.mktemp("aiida")
    manager = get_manager()
    with (
        aiida_config_factory(folder) as config,
        aiida_profile_factory(config) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Runners of a test profile look without a pause whether what they wait for has ended: half a core does that.
        patch.setattr(manager, "create_runner", partial(manager.create_runner, poll_interval=0.1))
        yield made


@pytest.fixture(scope="session")
def computer(profile: Any, tmp_path_factory: pytest.TempPathFactory) -> orm.Computer:
    """This machine, without a queue and without a login shell for every command."""
    machine = orm.Computer(
        label="here",
        hostname="localhost",
        transport_type="core.local",
        scheduler_type="core.direct",
        workdir=str(tmp_path_factory.mktemp("work")),
    ).store()
    # Jobs share a process that waits for them, where they have the same environment.
    machine.set_prepend_text("unset PYTEST_CURRENT_TEST")
    machine.set_minimum_job_poll_interval(0.1)
    machine.set_default_mpiprocs_per_machine(1)
    machine.configure(use_login_shell=False, safe_interval=0.0)
    return machine


@pytest.fixture(scope="session")
def bloomery_code(computer: orm.Computer) -> orm.InstalledCode:
    """The program `bloomery` of this environment."""
    return orm.InstalledCode(
        label="bloomery",
        computer=computer,
        filepath_executable=str(bloomery_program()),
        default_calc_job_plugin="bloomery.sample",
    ).store()


def silicon(n_frames: int = 3, rattle: float = 0.05, seed: int = 0, *, labelled: bool = False) -> Configurations:
    """Rattled cells of eight silicon atoms, with labels of Stillinger and Weber's potential if asked for."""
    atoms = [bulk("Si", cubic=True) for _ in range(n_frames)]
    for index, frame in enumerate(atoms):
        frame.rattle(rattle, seed=1000 * seed + index)
    frames = Configurations.from_atoms(atoms).snapped()
    if not labelled:
        return frames
    atoms = frames.to_atoms()
    for frame in atoms:
        frame.calc = teacher_for(["Si"]).make()
    return frames.with_labels(
        energy=[frame.get_potential_energy() for frame in atoms],
        forces=np.concatenate([frame.get_forces() for frame in atoms]),
        stress=[frame.get_stress() for frame in atoms],
    )


@pytest.fixture(scope="session")
def make_silicon() -> Callable[..., Configurations]:
    """Make rattled silicon cells: ``make_silicon(n_frames, rattle, seed, labelled=False)``."""
    return silicon


@pytest.fixture(scope="session")
def frames(profile: Any) -> ConfigurationsData:
    """A node of three silicon cells without labels."""
    return ConfigurationsData(silicon()).store()


@pytest.fixture(scope="session")
def labelled_frames(profile: Any) -> ConfigurationsData:
    """A node of six labelled silicon cells with roles."""
    roles = ["probe", "train", "train", "train", "train", "early_stopping"]
    return ConfigurationsData(silicon(6, 0.08, labelled=True).with_info(role=roles)).store()


@pytest.fixture(scope="session")
def potential_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a committee of two that has barely been trained."""
    frames = silicon(4, 0.08, labelled=True)
    engine = Hdnnp.make(members=2, steps=5, hidden=(4,))
    potential, _ = engine.train(TrainingData(frames, Configurations.empty(), {"Si": -4.3}), device="cpu", seed=1)
    folder = tmp_path_factory.mktemp("potential")
    potential.save(folder)
    return folder


@pytest.fixture(scope="session")
def potential(profile: Any, potential_folder: Path) -> PotentialData:
    """A stored potential."""
    return PotentialData(potential_folder).store()


@dataclass(frozen=True)
class Jobs:
    """Runs jobs of the program `bloomery` to their end, in this process."""

    code: orm.InstalledCode

    def run(self, name: str, **inputs: Any) -> orm.CalcJobNode:
        """Run ``bloomery.NAME`` and return its node."""
        inputs.setdefault("device", "cpu")
        _, node = run_get_node(CalculationFactory(f"bloomery.{name}"), code=self.code, **inputs)
        return node

    def done(self, name: str, **inputs: Any) -> orm.CalcJobNode:
        """Run one that must succeed."""
        node = self.run(name, **inputs)
        assert node.is_finished_ok, (node.exit_status, node.exit_message, node.get_scheduler_stderr())
        return node


@pytest.fixture(scope="session")
def jobs(bloomery_code: orm.InstalledCode) -> Jobs:
    """Run jobs: ``jobs.done("sample", start=..., parameters=...)``."""
    return Jobs(bloomery_code)


LABELLER = {"labeller": {"calculator": {"calculator": {"name": "stillinger_weber"}}}}


@dataclass(frozen=True)
class Chain:
    """The jobs of a bootstrap and of one iteration, each fed by the one before, and a campaign that called them.

    The campaign is of nodes alone: what `ReinforcementWorkChain` would leave behind, with the workchains in between
    reduced to what the campaign sees of them.
    """

    sample: orm.CalcJobNode
    select: orm.CalcJobNode
    label: orm.CalcJobNode
    train: orm.CalcJobNode
    sample_1: orm.CalcJobNode
    describe_1: orm.CalcJobNode
    select_1: orm.CalcJobNode
    label_1: orm.CalcJobNode
    train_1: orm.CalcJobNode
    observe_1: orm.CalcJobNode
    campaign: orm.WorkChainNode


@pytest.fixture(scope="session")
def chain(jobs: Jobs, frames: ConfigurationsData) -> Chain:
    """A bootstrap and an iteration, really run."""
    sample = jobs.done("sample", start=frames, seed=1, parameters={"sampler": {"rattle_strain": {"frames": 8}}})
    chosen = {"selectors": ["sanity", "duplicates", {"random": {"frames": 8}}]}
    select = jobs.done("select", pools={"rattle_strain_0": sample.outputs.frames}, seed=1, parameters=chosen)
    label = jobs.done("label", configurations=select.outputs.selected, parameters=LABELLER)
    batches = {"batch_000": label.outputs.labelled}
    engine = {"engine": TINY_ENGINE, "warm_start": True}
    train = jobs.done("train", batches=batches, seed=1, parameters=engine)
    md = {"sampler": {"md": {"temperatures": [300, 900], "steps": 30, "interval": 5}}}
    driven = {"potential": train.outputs.potential}
    sample_1 = jobs.done("sample", start=frames, seed=2, parameters=md, scale={"error": 0.5}, **driven)
    pools = {"md_0": sample_1.outputs.frames}
    described = {"pool_md_0": pools["md_0"], "data_batch_000": batches["batch_000"]}
    describe_1 = jobs.done("describe", configurations=described, parameters={"descriptor": "power_spectrum"})
    chosen = {"selectors": ["sanity", "duplicates", {"farthest_point": {"frames": 3}}], "max_frames": 6}
    features = {"features": describe_1.outputs.features}
    select_1 = jobs.done(
        "select", pools=pools, data_set=batches, seed=2, parameters=chosen, scale={"error": 0.5}, **features, **driven
    )
    label_1 = jobs.done("label", configurations=select_1.outputs.selected, parameters=LABELLER)
    batches = {**batches, "batch_001": label_1.outputs.labelled}
    train_1 = jobs.done("train", batches=batches, seed=2, parameters=engine, start_from=train.outputs.potential)
    errors = {"observable": "errors", "roles": ["probe"]}
    observe_1 = jobs.done(
        "observe", configurations=batches, potential=train_1.outputs.potential, seed=2, parameters=errors
    )
    called = {
        "bootstrap_label": {"labelled": label.outputs.labelled, "ledger": label.outputs.ledger},
        "bootstrap_train": {"potential": train.outputs.potential},
        "iteration_001_label": {"labelled": label_1.outputs.labelled, "ledger": label_1.outputs.ledger},
        "iteration_001_train": {"potential": train_1.outputs.potential},
    }
    campaign = campaign_of(called)
    found = (sample, select, label, train, sample_1, describe_1, select_1, label_1, train_1, observe_1, campaign)
    return Chain(*found)


@pytest.fixture(scope="session")
def make_campaign(profile: Any) -> Callable[..., orm.WorkChainNode]:
    """Make a campaign of nodes: ``make_campaign({"bootstrap_label": {"labelled": node}}, **outputs)``."""
    return campaign_of


def campaign_of(called: dict[str, dict[str, orm.Data]], **outputs: orm.Data) -> orm.WorkChainNode:
    """Store a campaign that called workchains under these labels, with these outputs; it is still running."""
    campaign = orm.WorkChainNode()
    campaign.process_type = "aiida.workflows:bloomery.campaign"
    campaign.set_process_label("ReinforcementWorkChain")
    campaign.label = "a campaign of nodes"
    campaign.store()
    for label, returned in called.items():
        child = orm.WorkChainNode()
        child.base.links.add_incoming(campaign, LinkType.CALL_WORK, label)
        child.store()
        for name, node in returned.items():
            node.base.links.add_incoming(child, LinkType.RETURN, name)
    for name, node in outputs.items():
        node.base.links.add_incoming(campaign, LinkType.RETURN, name)
    return campaign
