"""Inputs and outputs of a campaign, besides those of its measuring and of its control arm."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_bloomery.calculations.base import frames_by_key
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.potential import PotentialData
from aiida_bloomery.workflows import validators


def campaign_ports(spec: ProcessSpec) -> None:
    """Declare what the loop goes by, and what comes of it."""
    spec.input("structures", valid_type=ConfigurationsData, help="Starting structures.")
    spec.input_namespace(
        "codes",
        valid_type=orm.AbstractCode,
        dynamic=True,
        help="`bloomery`: the program that the jobs run; `engine`: that of the engine's own environment, for jobs "
        "that train or load a potential; `train`: another one for trainings.",
    )
    spec.input("seed", valid_type=orm.Int, serializer=orm.to_aiida_type, help="Of every random choice.")
    spec.input("device", valid_type=orm.Str, required=False, help="Where torch runs: `auto`, `cpu` or `cuda`.")
    spec.input(
        "bootstrap", valid_type=orm.Dict, validator=validators.stage, help="`{samplers, selectors}` of iteration 0."
    )
    spec.input("sampling", valid_type=orm.Dict, validator=validators.stage, help="`{samplers}` of the loop.")
    frames_by_key(spec, "frames", "The user's own frames, by label.", required=False)
    spec.input(
        "selection", valid_type=orm.Dict, validator=validators.selection, help="`{descriptor, selectors, roles}`."
    )
    spec.input(
        "labeller", valid_type=orm.Str, validator=validators.labeller, help="`bloomery.labelling.*` without prefix."
    )
    spec.input_namespace("labelling", dynamic=True, valid_type=orm.Data, help="Inputs of the labelling workchain.")
    spec.input(
        "training", valid_type=orm.Dict, validator=validators.training, help="`{engine, acceptance, warm_start}`."
    )
    spec.input(
        "energy_reference", valid_type=orm.Dict, validator=validators.energy_reference, help="`{method, values}`."
    )
    spec.input("stop", valid_type=orm.Dict, validator=validators.stop, help="Stop rules and budgets.")
    spec.input("options", valid_type=orm.Dict, required=False, help="Scheduler options by verb.")
    spec.output_namespace("data_set", dynamic=True, valid_type=ConfigurationsData, help="Labelled frames by batch.")
    spec.output("potential", valid_type=PotentialData, required=False, help="The latest accepted potential.")
    spec.output("history", valid_type=orm.Dict, required=False, help="Every iteration, and why the loop ended.")
    spec.output("ledger", valid_type=orm.Dict, required=False, help="What happened to every frame to be labelled.")
