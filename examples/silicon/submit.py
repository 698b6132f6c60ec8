"""The silicon campaign in plain AiiDA, without the campaign file: ``verdi run examples/silicon/submit.py``.

It asks for the codes ``bloomery@localhost`` and ``pw@localhost`` and a pseudopotential family, which
``aiida-bloomery setup`` makes; with the profile of ``./run``, first ``export AIIDA_PATH=$PWD/.bloomery``.
"""

from __future__ import annotations

from pathlib import Path

from aiida import orm
from aiida.engine import submit
from aiida.plugins import DataFactory, WorkflowFactory

from bloomery.frames.configurations import Configurations

ConfigurationsData = DataFactory("bloomery.configurations")
ReinforcementWorkChain = WorkflowFactory("bloomery.campaign")
QuantumEspressoLabellingWorkChain = WorkflowFactory("bloomery.labelling.quantumespresso")

structures = ConfigurationsData(Configurations.read(Path(__file__).with_name("si8.extxyz")))

labelling = QuantumEspressoLabellingWorkChain.get_builder_from_protocol(
    orm.load_code("pw@localhost"),
    elements=["Si"],
    pseudos="bloomery/PBE",
    kpoints={"mesh": [3, 3, 3], "offset": [0.5, 0.5, 0.5]},
    overrides={"parameters": {"SYSTEM": {"ecutwfc": 20.0, "ecutrho": 80.0}}},
)

builder = ReinforcementWorkChain.get_builder_from_protocol(
    orm.load_code("bloomery@localhost"),
    structures,
    labeller="quantumespresso",
    labelling=labelling,
    protocol="balanced",
    overrides={
        "bootstrap": {
            "samplers": [{"rattle_strain": {"frames": 40, "rattle": [0.02, 0.08], "strain": 0.03}}],
            "selectors": ["sanity", "duplicates", {"random": {"frames": 16}}],
        },
        "sampling": {
            "samplers": [
                {
                    "md": {
                        "temperatures": [600, 1200, 1800, 2400],
                        "strains": [-0.03, 0, 0.03],
                        "steps": 400,
                        "interval": 20,
                    }
                }
            ]
        },
        "selection": {"selectors": ["sanity", "duplicates", {"farthest_point": {"frames": 16}}]},
        "stop": {"targets": {"relative_forces": 0.1}, "min_iterations": 3, "max_iterations": 5, "max_labels": 110},
    },
    validation={"test_set": ConfigurationsData(Configurations.read(Path(__file__).with_name("test.extxyz")))},
    seed=1,
)
builder.metadata.label = "silicon"

node = submit(builder)
print(f"Submitted campaign {node.pk}; watch it with `verdi process status {node.pk}`.")
