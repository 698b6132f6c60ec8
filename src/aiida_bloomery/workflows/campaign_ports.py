"""Inputs and outputs of a campaign, besides those of its measuring and of its control arm."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key, optional, optional_output, outputs_by_key
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators


def campaign_ports(spec: ProcessSpec) -> None:
    """Declare what the loop goes by, and what comes of it."""

    def checked(port: str, kind: type[orm.Data], validator: Any, text: str) -> None:
        spec.input(port, valid_type=kind, validator=validator, help=text)

    spec.input("structures", valid_type=ConfigurationsData, help="Starting structures.")
    text = (
        "`bloomery`: the program that the jobs run; `engine`: that of the engine's own environment, for jobs that "
        "train or load a potential; `train`: another one for trainings."
    )
    by_key(spec, "codes", orm.AbstractCode, text)
    spec.input("seed", valid_type=orm.Int, help="Of every random choice.")
    optional(spec, "device", orm.Str, "Where torch runs: `auto`, `cpu` or `cuda`.")
    checked("bootstrap", orm.Dict, validators.stage, "`{samplers, selectors}` of iteration 0.")
    checked("sampling", orm.Dict, validators.stage, "`{samplers}` of the loop.")
    by_key(spec, "frames", ConfigurationsData, "The user's own frames, by label.", required=False)
    checked("selection", orm.Dict, validators.selection, "`{descriptor, selectors, roles}`.")
    checked("labeller", orm.Str, validators.labeller, "`bloomery.labelling.*` without prefix.")
    by_key(spec, "labelling", orm.Data, "Inputs of the labelling workchain.")
    checked("training", orm.Dict, validators.training, "`{engine, acceptance, warm_start}`.")
    checked("energy_reference", orm.Dict, validators.energy_reference, "`{method, values}`.")
    checked("stop", orm.Dict, validators.stop, "Stop rules and budgets.")
    optional(spec, "options", orm.Dict, "Scheduler options by verb.")
    outputs_by_key(spec, "data_set", ConfigurationsData, "Labelled frames by batch.")
    optional_output(spec, "potential", PotentialData, "The latest accepted potential.")
    optional_output(spec, "history", orm.Dict, "Every iteration, and why the loop ended.")
    optional_output(spec, "ledger", orm.Dict, "What happened to every frame to be labelled.")
