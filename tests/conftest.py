"""What all tests share, and who runs what when tests run side by side."""

from __future__ import annotations

import re
from importlib.util import find_spec

import pytest

if find_spec("hypothesis"):
    import hypothesis

    # The same examples every time, however long one takes: what passes here passes everywhere.
    hypothesis.settings.register_profile("tests", derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("tests")


LONGEST = (
    "test_campaigns.py", "test_kills.py", "test_faults.py", "test_slurm.py", "test_control.py",
    "test_rehearsals.py", "test_gallery.py", "test_notebooks.py", "test_foundations.py", "test_ahead.py",
    "test_standing.py", "test_services.py", "test_site.py", "test_ssh.py", "test_pw_systems.py", "test_systems.py",
    "test_measuring.py", "test_cp2k.py", "test_quantumespresso.py", "test_convergence.py", "test_cp2k_campaigns.py",
    "test_vasp_campaigns.py", "test_kernels.py", "test_vasp.py", "test_training.py", "test_export.py",
    "test_physics.py", "test_pages.py", "test_diffusion.py", "test_warm.py", "test_comparison.py",
    "test_taking_up.py", "test_in_process.py", "test_every_sampler.py", "test_checkpoint.py",
    "test_every_engine.py", "test_imports.py",
)  # fmt: skip
"""Files that take a minute and more: where files run side by side, one that begins last keeps all waiting."""


CHAINED = re.compile("aiida_bloomery/(calculations|provenance|cli/test_selection)")
"""Files of which tests need the fixture ``chain``: a worker takes half a minute to make it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a profile, and begin with the files that take longest: all tests of a file are one worker's."""
    place = {name: number for number, name in enumerate(LONGEST)}
    for item in items:
        if "profile" in getattr(item, "fixturenames", ()):
            item.add_marker("profile")
    items.sort(key=lambda item: -1 if CHAINED.search(item.path.as_posix()) else place.get(item.path.name, len(place)))
