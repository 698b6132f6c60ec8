"""What dies is taken up again where it stopped, a stated number of times, and the graph tells."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiida import engine, orm
from aiida.common.links import LinkType
from aiida.common.log import configure_logging
from aiida.engine import ToContext, append_

from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.workflows import taking_up
from aiida_bloomery.workflows.once import SubmitsOnce
from aiida_bloomery.workflows.sampling import SamplingWorkChain
from aiida_bloomery.workflows.training import TrainingWorkChain
from bloomery.program.warm import FOLDER_VARIABLE

# In the place of the program `bloomery`: it writes down each start with what it found, and dies some times, either at
# once or after some steps, when it has saved its state.
MORTAL = """\
#!{python}
import os, signal, sys
from pathlib import Path
from bloomery.program.cli import main
from bloomery.samplers import checkpoint

log = Path({log!r})
with log.open("a") as file:
    file.write("went on\\n" if Path("checkpoint.npz").exists() else "began\\n")
starts = len(log.read_text().splitlines())
save, saved = checkpoint.Checkpoint.save, []

def die_after(self, state):
    save(self, state)
    saved.append(1)
    if len(saved) == {steps}:
        signal.pause() if {hangs} else os.kill(os.getpid(), signal.SIGKILL)

if starts <= {deaths}:
    if not {steps}:
        os.kill(os.getpid(), signal.SIGKILL)
    checkpoint.Checkpoint.save = die_after
checkpoint.SECONDS, checkpoint.LARGEST_SHARE = 0.0, float("inf")
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking_up, "WAITS", (0.0, 0.0, 0.0))


@pytest.fixture(autouse=True)
def _logs_in_the_profile() -> None:
    """A command that ran in this process has left AiiDA's loggers without their way to the profile."""
    configure_logging(with_orm=True)


def mortal(
    computer: orm.Computer, folder: Path, *, deaths: int, steps: int = 0, hangs: bool = False
) -> orm.InstalledCode:
    """A program that dies so many times, each after so many saved steps; ``folder / "starts"`` tells of its starts."""
    script = folder / "bloomery"
    told = {"log": str(folder / "starts"), "deaths": deaths, "steps": steps, "hangs": hangs}
    script.write_text(MORTAL.format(python=sys.executable, **told))
    script.chmod(0o755)
    # It is not the program that waits for jobs.
    code = orm.InstalledCode(label=folder.name, computer=computer, filepath_executable=str(script))
    code.prepend_text = f"export {FOLDER_VARIABLE}="
    return code.store()


def sample(code: orm.AbstractCode, frames: ConfigurationsData, **options: int) -> orm.ProcessNode:
    """Sample by dynamics of twenty steps."""
    settings = {"calculator": {"name": "stillinger_weber"}, "temperatures": [600], "steps": 20, "interval": 5}
    samplers = {"dynamics": orm.Dict({"sampler": {"reference_md": settings}})}
    inputs = {"code": code, "structures": frames, "samplers": samplers, "seed": orm.Int(3), "device": orm.Str("cpu")}
    return engine.run_get_node(SamplingWorkChain, options=orm.Dict({"default": options}), **inputs)[1]


def called(node: orm.ProcessNode) -> dict[str, orm.ProcessNode]:
    """Children by the labels of their calls, in order."""
    links = node.base.links.get_outgoing(link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)).all()
    return {link.link_label: link.node for link in sorted(links, key=lambda link: link.node.pk)}


def reports(node: orm.ProcessNode) -> list[str]:
    """What a workchain said."""
    return [log.message for log in orm.Log.collection.get_logs_for(node)]


def test_a_job_that_is_killed_goes_on_where_it_was(
    computer: orm.Computer, bloomery_code: orm.InstalledCode, frames: ConfigurationsData, tmp_path: Path
) -> None:
    node = sample(mortal(computer, tmp_path, deaths=2, steps=7), frames)
    assert node.is_finished_ok, node.exit_message
    assert (tmp_path / "starts").read_text().splitlines() == ["began", "went on", "went on"]
    jobs = called(node)
    assert list(jobs) == ["dynamics", "dynamics__again_1", "dynamics__again_2"]
    assert [job.exit_status for job in jobs.values()] == [300, 300, 0]
    assert jobs["dynamics__again_1"].inputs.resume_from == jobs["dynamics"].outputs.remote_folder
    unharmed = sample(bloomery_code, frames)
    assert node.outputs.pools.dynamics.hashes == unharmed.outputs.pools.dynamics.hashes
    assert sum("died and is taken up in 0 s, for the" in report for report in reports(node)) == 2


def test_a_job_that_is_out_of_time_goes_on_where_it_was(
    computer: orm.Computer, frames: ConfigurationsData, tmp_path: Path
) -> None:
    node = sample(mortal(computer, tmp_path, deaths=1, steps=3, hangs=True), frames, max_wallclock_seconds=20)
    assert node.is_finished_ok, node.exit_message
    assert [job.exit_status for job in called(node).values()] == [430, 0]
    assert (tmp_path / "starts").read_text().splitlines() == ["began", "went on"]


def test_a_training_that_always_dies_is_not_begun_anew_besides(
    computer: orm.Computer, labelled_frames: ConfigurationsData, tmp_path: Path
) -> None:
    inputs = {"batches": {"batch": labelled_frames}, "parameters": orm.Dict({"engine": "hdnnp"}), "seed": orm.Int(1)}
    node = engine.run_get_node(TrainingWorkChain, code=mortal(computer, tmp_path, deaths=99), **inputs)[1]
    assert node.exit_status == TrainingWorkChain.exit_codes.ERROR_TRAINING_FAILED.status
    assert "left no result: it was killed" in node.exit_message
    assert len((tmp_path / "starts").read_text().splitlines()) == 4


def test_a_job_that_always_dies_fails_in_the_end(
    computer: orm.Computer, frames: ConfigurationsData, tmp_path: Path
) -> None:
    node = sample(mortal(computer, tmp_path, deaths=99), frames)
    assert node.exit_status == SamplingWorkChain.exit_codes.ERROR_NO_FRAMES.status
    assert (tmp_path / "starts").read_text().splitlines() == ["began"] * 4
    assert any("left no result: it was killed" in report for report in reports(node))


def test_what_is_wrong_with_the_input_is_not_tried_again(
    bloomery_code: orm.InstalledCode, frames: ConfigurationsData
) -> None:
    samplers = {"file": orm.Dict({"sampler": {"from_file": {"file": "/nowhere.xyz"}}})}
    inputs = {"code": bloomery_code, "structures": frames, "samplers": samplers, "seed": orm.Int(3)}
    node = engine.run_get_node(SamplingWorkChain, **inputs)[1]
    assert [job.exit_status for job in called(node).values()] == [200]


class Child(SubmitsOnce):
    """Raises until there is a file, and writes down each time in another."""

    error: BaseException = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.input("marks", valid_type=orm.Str)
        spec.input("deaths", valid_type=orm.Int)
        spec.output("starts", valid_type=orm.Int)
        spec.outline(cls.work)

    def work(self) -> None:
        """Raise, or tell how many times it was tried."""
        marks = Path(self.inputs.marks.value)
        tried = len(marks.read_text()) if marks.exists() else 0
        marks.write_text("x" * (tried + 1))
        if tried < self.inputs.deaths.value:
            raise self.error
        self.out("starts", orm.Int(tried + 1).store())


class BuggyChild(Child):
    """Raises what it would always raise."""

    error = TypeError("no such thing")


class Parent(SubmitsOnce):
    """Waits for two children one beside the other, in a list, and for a third."""

    child: type[Child] = Child

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.input("folder", valid_type=orm.Str)
        spec.input("deaths", valid_type=orm.Int)
        spec.outline(cls.call, cls.results)
        spec.output("starts", valid_type=orm.List)

    def call(self) -> ToContext:
        """Call three children, of which the second never dies."""
        for name, times in (("first", self.inputs.deaths.value), ("second", 0)):
            marks, deaths = orm.Str(f"{self.inputs.folder.value}/{name}"), orm.Int(times)
            self.to_context(row=append_(self.submit_as(name, self.child, marks=marks, deaths=deaths)))
        marks = orm.Str(f"{self.inputs.folder.value}/third")
        return ToContext(**{"part.third": self.submit_as("third", self.child, marks=marks, deaths=self.inputs.deaths)})

    def results(self) -> None:
        """Tell how often each began; zero for one that failed."""
        children = [*self.ctx.row, self.ctx.part.third]
        starts = [child.outputs.starts.value if "starts" in child.outputs else 0 for child in children]
        self.out("starts", orm.List(starts).store())


class ParentOfBuggy(Parent):
    """Its children raise what they would always raise."""

    child = BuggyChild


def test_children_that_raised_because_of_the_machine_are_called_again(profile: Any, tmp_path: Path) -> None:
    node = engine.run_get_node(Parent, folder=orm.Str(str(tmp_path)), deaths=orm.Int(2))[1]
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.starts.get_list() == [3, 1, 3]
    assert sorted(called(node)) == [
        *("first", "first__again_1", "first__again_2", "second", "third", "third__again_1", "third__again_2")
    ]
    assert sum("No space left on device" in report for report in reports(node)) == 4


def test_children_that_raised_because_of_a_mistake_are_not(profile: Any, tmp_path: Path) -> None:
    node = engine.run_get_node(ParentOfBuggy, folder=orm.Str(str(tmp_path)), deaths=orm.Int(2))[1]
    assert node.outputs.starts.get_list() == [0, 1, 0]
    assert sorted(called(node)) == ["first", "second", "third"]
