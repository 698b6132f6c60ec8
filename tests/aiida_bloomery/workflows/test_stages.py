"""What a campaign and its parts keep: they are made anew wherever they are needed, also after a checkpoint."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from aiida import orm
from aiida.engine.persistence import AiiDAPersister, ObjectLoader
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from ase.build import bulk
from plumpy import LoadSaveContext

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows import adoption, ahead, arms, measuring, properties, stages, standing, starts
from aiida_bloomery.workflows.campaign import ReinforcementWorkChain
from aiida_bloomery.workflows.labelling.calculator import CalculatorLabellingWorkChain
from aiida_bloomery.workflows.sampling import drivers_are_there
from bloomery.frames.configurations import Configurations


@pytest.fixture
def process(bloomery_code: orm.InstalledCode) -> ReinforcementWorkChain:
    """A campaign with both parts, before its first step."""
    structures = ConfigurationsData(Configurations.from_atoms([bulk("Si")]).snapped()).store()
    builder = ReinforcementWorkChain.get_builder_from_protocol(
        bloomery_code,
        structures,
        "calculator",
        CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "stillinger_weber"),
        "fast",
        {"control": {"arm": "random"}, "validation": {"final": ["equation_of_state"]}},
    )
    return instantiate_process(get_manager().get_runner(), builder)


def from_checkpoint(process: ReinforcementWorkChain) -> ReinforcementWorkChain:
    """What another worker would go on with."""
    persister = AiiDAPersister()
    persister.save_checkpoint(process)
    bundle = persister.load_checkpoint(process.pid)
    return bundle.unbundle(LoadSaveContext(loader=ObjectLoader(), runner=process.runner))


def test_every_key_that_is_kept_is_listed(process: ReinforcementWorkChain) -> None:
    process.setup()
    process.begin_iteration()
    process.plan()
    kept: dict[str, Any] = dict(process.ctx)
    parts = {part.KEY: kept.pop(part.KEY) for part in (adoption, ahead, arms, measuring, properties, standing, starts)}
    assert set(kept) <= set(get_type_hints(stages.CampaignContext))
    assert set(parts["adoption"]) == set(get_type_hints(adoption.AdoptionContext))
    assert set(parts["pipeline"]) == set(get_type_hints(ahead.AheadContext))
    assert set(parts["control"]) == set(get_type_hints(arms.ControlContext))
    assert set(parts["standing"]) == set(get_type_hints(standing.StandingContext))
    assert set(parts["starts"]) == set(get_type_hints(starts.StartsContext))
    assert set(parts["properties"]) == set(get_type_hints(properties.PropertiesContext))
    assert set(parts["measuring"]) == set(get_type_hints(measuring.MeasuringContext))


def test_parts_find_after_a_checkpoint_what_they_kept(process: ReinforcementWorkChain) -> None:
    process.setup()
    process.plan()
    frames = process.inputs.structures
    arms.ControlArm(process).ctx.batches["batch_000"] = frames
    measuring.Measuring(process).ctx.known["labels_000"] = frames
    loaded = from_checkpoint(process)
    assert loaded is not process
    assert stages.Stages(loaded).where == "bootstrap"
    assert arms.ControlArm(loaded).ctx.batches["batch_000"].uuid == frames.uuid
    part = measuring.Measuring(loaded)
    assert part.ctx.known["labels_000"].uuid == frames.uuid
    assert part.is_planned
    assert part.ctx.processes == {}


def test_a_campaign_from_before_there_were_words_goes_on(process: ReinforcementWorkChain) -> None:
    process.setup()
    del process.ctx[standing.KEY]
    loaded = from_checkpoint(process)
    part = standing.Standing(loaded)
    part.heed(str(loaded.node.uuid))
    assert (part.words(), part.ctx.labelled, loaded.ctx.batches) == ({}, {}, {})


def test_a_child_is_waited_for_under_the_key_of_its_part(process: ReinforcementWorkChain) -> None:
    process.setup()
    child = orm.WorkChainNode().store()
    process.to_context(**{"measuring.processes.comparison": child, "control.labelling": child})
    loaded = from_checkpoint(process)
    assert loaded.ctx.measuring.processes.comparison.pk == loaded.ctx.control.labelling.pk == child.pk


def test_a_sampler_whose_driver_is_missing_is_refused_at_submission(bloomery_code: orm.InstalledCode) -> None:
    labelling = CalculatorLabellingWorkChain.get_builder_from_protocol(bloomery_code, "stillinger_weber")
    given = {"labeller": orm.Str("calculator"), "labelling": labelling._inputs(prune=True)}
    structures = ConfigurationsData(Configurations.from_atoms([bulk("Si")]).snapped()).store()
    dynamics = {"name": "reference_md", "settings": {"steps": 20}, "labelling": "coarse"}

    def refused(**drivers: Any) -> str | None:
        builder = ReinforcementWorkChain.get_builder_from_protocol(
            bloomery_code,
            structures,
            "calculator",
            labelling,
            "fast",
            {"bootstrap": {"samplers": [dynamics]}},
            drivers=drivers,
        )
        found = builder.process_class.spec().inputs.validate(builder._inputs(prune=True))
        return None if found is None else found.message

    assert refused(coarse=given) is None
    message = "bootstrap.samplers.0: there is no driver 'coarse'; the drivers are none."
    assert refused() == message
    samplers = {"md": orm.Dict({"sampler": dynamics, "labelling": "coarse"})}
    assert drivers_are_there({"samplers": samplers, "drivers": {"fine": {}}}, None) == (
        "samplers.md: there is no driver 'coarse'; the drivers are fine."
    )
