"""Every registered sampler passes the conformance suite."""

from typing import Any

import pytest

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import load_plugin, registered
from bloomery.samplers.metadynamics import plumed
from bloomery.testing.potentials import TeacherCommittee
from bloomery.testing.samplers import check_sampler

SETTINGS: dict[str, dict[str, Any]] = {
    "batched_md": {"replicas": 2, "ensemble": "nve", "steps": 9, "interval": 3},
    "biased_md": {"ensemble": "npt", "steps": 9, "interval": 3, "strength": 0.5, "memory": 3},
    "defects": {"frames": 4, "rattle": 0.05, "supercell": [2, 1, 1]},
    "dimers": {"frames": 5},
    "foundation_md": {"foundation": {"calculator": {"calculator": "stillinger_weber"}}, "steps": 10, "interval": 3},
    "from_file": {"max_frames": 1},
    "md": {"temperatures": [300, 900], "steps": 12, "interval": 4, "block_steps": 10, "max_relative_disagreement": 2},
    "metadynamics": {
        "variables": {"d": {"define": "DISTANCE ATOMS=1,2", "width": 0.1}},
        "temperatures": [300, 900],
        "steps": 9,
        "interval": 3,
        "pace": 2,
    },
    "monte_carlo": {"temperatures": [300, 900], "steps": 12, "interval": 4},
    "normal_modes": {"frames": 2, "temperatures": [200, 600], "statistics": "quantum"},
    "on_the_fly": {"temperatures": [300, 900], "steps": 12, "interval": 4, "steps_per_run": 8},
    "path_integral": {"beads": 2, "beads_kept": 2, "steps": 4, "interval": 2},
    "random_search": {"structures": 2, "formula_units": [2], "relax_steps": 4, "interval": 2},
    "rattle_strain": {"frames": 3, "strain": [-0.05, 0.02], "rattle": [0.01, 0.1]},
    "supercells": {"repeats": [[1, 1, 2]], "sizes": [2], "strains": [0, [0.01, 0, 0, 0, 0, 0.02]]},
    "surfaces": {"frames": 2, "rattle": 0.05, "planes": [[1, 0, 0], [2, 1, 1]]},
    "reference_md": {"calculator": "stillinger_weber", "steps": 10, "interval": 3, "strains": [0, 0.02]},
}

SLOW = {"batched_md", "monte_carlo", "normal_modes", "on_the_fly", "path_integral", "supercells"}
"""Those whose checks take about a second and more."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in registered("samplers")]
)
def test_every_sampler_conforms(name: str, silicon: Configurations, committee: TeacherCommittee) -> None:
    plugin = load_plugin("samplers", name)
    assert plugin.name == name
    sampler = plugin.make(**SETTINGS[name])
    if name == "metadynamics":
        try:
            plumed()
        except InputError as error:
            pytest.skip(str(error))
    check_sampler(sampler, silicon, potential=committee if sampler.needs_potential else None)
