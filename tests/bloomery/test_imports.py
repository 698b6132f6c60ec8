"""What may be imported where: no AiiDA in `bloomery`, no torch where settings are read."""

import subprocess
import sys

import pytest

EVERY_MODULE = """
import importlib, pkgutil, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"{{name}} must not be imported here")

sys.meta_path.insert(0, Block())
import bloomery
names = {names}
if not names:
    names = [module.name for module in pkgutil.walk_packages(bloomery.__path__, "bloomery.")]
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Modules in the language of TorchScript name their types when they are imported.
        if error.name.split(".")[0] not in {{"metatomic", "metatensor", "featomic"}}:
            raise
print(len(names))
"""

WITHOUT_TORCH = [
    "bloomery.potentials.acceptance",
    "bloomery.program.cli",
    "bloomery.frames.configurations",
    "bloomery.potentials.calibration",
    "bloomery.descriptors.contract",
    "bloomery.descriptors.acsf.descriptor",
    "bloomery.descriptors.power_spectrum.descriptor",
    "bloomery.descriptors.soap",
    "bloomery.frames.energy_reference",
    "bloomery.potentials.calculator",
    "bloomery.engines.contract",
    "bloomery.engines.hdnnp",
    "bloomery.engines.hdnnp.settings",
    "bloomery.jobs.base",
    "bloomery.jobs.describe",
    "bloomery.jobs.predict",
    "bloomery.jobs.train",
    "bloomery.frames.neighbours",
    "bloomery.plugins",
    "bloomery.jobs.learn",
    "bloomery.properties.contract",
    "bloomery.properties.equivariant_ridge",
]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_nothing_in_bloomery_imports_aiida() -> None:
    blocked = {"aiida", "aiida_quantumespresso", "aiida_pseudo", "aiida_bloomery"}
    assert int(run(EVERY_MODULE.format(blocked=blocked, names=[]))) > 40


def test_settings_and_jobs_are_read_without_torch() -> None:
    """An engine's environment may lack torch, and checking a campaign file must not take the time to import it."""
    run(EVERY_MODULE.format(blocked={"torch"}, names=WITHOUT_TORCH))


@pytest.mark.slow
def test_settings_of_every_plugin_are_known_without_torch() -> None:
    code = EVERY_MODULE.format(blocked={"torch"}, names=["bloomery.plugins"])
    run(
        code
        + """
import pytest
from bloomery.plugins import KINDS, load_plugin, registered

for kind in KINDS:
    for name in registered(kind):
        load_plugin(kind, name).Settings.model_json_schema()
"""
    )
