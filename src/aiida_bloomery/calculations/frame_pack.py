"""Many frames in one job of a program that takes one at a time: a process, a folder and a time limit each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aiida import orm
from aiida.common.datastructures import CalcInfo, CodeInfo, CodeRunMode
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec, PortNamespace

from aiida_bloomery.calculations import job_script
from aiida_bloomery.calculations.earlier import resume_port, take_up
from aiida_bloomery.calculations.job_script import ONE_CORE, cores_of, declared_cores, guard, processes_of
from aiida_bloomery.calculations.waiting import PatientCalcJob
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import Validator, optional_output
from bloomery.frames.configurations import Configurations

FRAME_FOLDER = "frame_{:04d}"
LOG_FILE = "frames.log"
PROGRESS_FILE = "progress.json"

DEFAULT_PACK = {"concurrency": 1, "frame_timeout_s": 3600}


@dataclass(frozen=True)
class FrameShell:
    """Lines of shell about one frame of a program, which run in the frame's folder."""

    complete: str
    """Condition that holds once the program has left all that is read."""
    before: str
    """Makes the folder ready for a start, and takes away what an earlier one left."""
    clean: str
    """Takes away what nobody reads."""
    keep: str = ":"
    """Puts what is read in its place."""
    gate: str = ""
    """Runs before each command of a frame, whose text is ``$BASH_COMMAND``; one of which it fails is left out."""


# AiiDA writes the command itself, with mpirun, containers and quoting as code and computer say; these lines make it the
# body of a function that is called once in every frame's folder. Lines that the user adds through the options
# `prepend_text` and `append_text` land inside of it, and so hold for every frame.
_BEFORE = "bloomery_frame() {"

# Between the commands of several codes AiiDA has no place for a line. What a trap of DEBUG fails of is not run.
_GATE = "  shopt -s extdebug\n  trap '@GATE@' DEBUG"

# An earlier job may have had more frames. A link to its log would be written into.
_LOG_OF_THESE = """\
  while read -r bloomery_frame bloomery_rest; do
    [ -d "$bloomery_frame" ] && echo "$bloomery_frame $bloomery_rest"
  done 2> /dev/null < "$bloomery_earlier/@LOG@" >> @LOG@"""

_DRIVER = """\
}
export -f bloomery_frame
export OMP_NUM_THREADS=@THREADS@
# Slurm gives what srun starts, or an mpirun through it, all of the job, and lets the next wait, unless they may share.
export SLURM_OVERLAP=1 SLURM_CPU_BIND=none
bloomery_home=$PWD

bloomery_log() { echo "$1 $2 $(date +%s.%N) ${3:-}" >> "$bloomery_home/@LOG@"; }

bloomery_tried() { grep -q "^$1 end " "$bloomery_home/@LOG@" 2> /dev/null; }

bloomery_complete() {
  @COMPLETE@
} 2> /dev/null

bloomery_one() {
  cd "$1" || return
  if ! bloomery_complete; then
    @BEFORE@
    @MPI@
    bloomery_log "$1" start
    timeout --kill-after=10 @TIMEOUT@ bash -c bloomery_frame &
    bloomery_pid=$!
    trap 'kill "$bloomery_pid" 2> /dev/null' HUP INT TERM
    wait "$bloomery_pid"
    bloomery_status=$?
    # A frame that somebody ended with the whole job has not failed: it is not entered, and may start again.
    case $bloomery_status in 129 | 130 | 143) return ;; esac
  fi
  @KEEP@
  bloomery_log "$1" end "${bloomery_status:-0}"
  @CLEAN@
}

bloomery_progress() {
  bloomery_step=$(grep -c ' end ' @LOG@ 2> /dev/null)
  printf '{"stage": "label", "step": %d, "total": @TOTAL@, "numbers": {}, "time": %d}\\n' \\
    "${bloomery_step:-0}" "$(date +%s)" > .@PROGRESS@ && mv .@PROGRESS@ @PROGRESS@
}

trap 'trap - TERM; kill $(jobs -p) 2> /dev/null; exit 143' HUP INT TERM
bloomery_running=0
bloomery_progress
for bloomery_folder in frame_*; do
  bloomery_tried "$bloomery_folder" && continue
  if [ "$bloomery_running" -ge @CONCURRENCY@ ]; then
    wait -n
    bloomery_running=$((bloomery_running - 1))
    bloomery_progress
  fi
  bloomery_one "$bloomery_folder" &
  bloomery_running=$((bloomery_running + 1))
done
while [ "$bloomery_running" -gt 0 ]; do
  wait -n
  bloomery_running=$((bloomery_running - 1))
  bloomery_progress
done
"""


def driver(shell: FrameShell, *, total: int, concurrency: int, timeout: int, threads: int, mpi: str = "") -> str:
    """Lines that run a function in the folders of ``total`` frames, ``concurrency`` at a time.

    A second start does again only what was not finished. What happens goes to `LOG_FILE`, one line for each start and
    each end of a frame, and to `PROGRESS_FILE`.

    Parameters
    ----------
    timeout
        Seconds that a frame may take.
    threads
        OpenMP threads of each process.
    mpi
        Lines that each frame's shell begins with.
    """
    numbers = {"CONCURRENCY": concurrency, "TIMEOUT": timeout, "THREADS": threads, "TOTAL": total, "MPI": mpi}
    lines = {"COMPLETE": shell.complete, "BEFORE": shell.before, "KEEP": shell.keep, "CLEAN": shell.clean}
    return job_script.filled(_DRIVER, **numbers, **lines, LOG=LOG_FILE, PROGRESS=PROGRESS_FILE)


def rules_validator(keys: Collection[str], of_kinds: tuple[str, ...]) -> Validator:
    """Make a validator: what makes inputs of frames has these keys, and says these of each element."""

    def validator(node: orm.Dict, _: Any) -> str | None:
        content = node.get_dict()
        missing = sorted({"kinds", "kpoints", *keys} - set(content))
        if missing:
            return f"rules.{missing[0]}: is missing."
        if ("mesh" in content["kpoints"]) == ("distance" in content["kpoints"]):
            return "rules.kpoints: give either `mesh`, three numbers, or `distance` in 1/Å."
        for element, kind in content["kinds"].items():
            if set(kind) != set(of_kinds):
                listed = f"{', '.join(of_kinds[:-1])} and {of_kinds[-1]}"
                return f"rules.kinds.{element}: needs {listed}, and nothing else."
        return None

    return validator


def validate_pack(node: orm.Dict, _: Any) -> str | None:
    """Check what the driver is told."""
    content = node.get_dict()
    unknown = sorted(set(content) - {"size", *DEFAULT_PACK})
    if unknown:
        return f"pack.{unknown[0]}: there is no such key; the keys are concurrency, frame_timeout_s, size."
    for key, value in content.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            return f"pack.{key}: must be a whole number of at least 1, got {value!r}."
    return None


class FramePackCalculation(PatientCalcJob):
    """Single-point labels of many frames in one job.

    Subclasses declare their settings, check them, and write the frames' inputs.
    """

    SHELL: ClassVar[FrameShell]
    ARGUMENTS: ClassVar[tuple[str, ...]]
    """Arguments of the program, in a frame's folder."""
    OUTPUT_FILE: ClassVar[str]
    """What the program says goes here."""
    FRAME_FILES: ClassVar[tuple[str, ...]]
    """Files of a frame that are brought back."""
    PARSER: ClassVar[str]
    """Entry point of the parser."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input("configurations", valid_type=ConfigurationsData, help="Where the frames are.")
        spec.input("frames", valid_type=orm.List, help="Indices of the frames that this job labels.")
        spec.input("pack", valid_type=orm.Dict, default=lambda: orm.Dict(DEFAULT_PACK), validator=validate_pack)
        spec.inputs["pack"].help = (
            "`concurrency`: frames at a time; `frame_timeout_s`: time limit of one frame. A frame gets the cores of "
            "the job divided by the concurrency: ask for them as `num_cores_per_mpiproc`."
        )
        resume_port(spec)
        spec.input("metadata.options.resources", valid_type=dict, required=False, default=lambda: dict(ONE_CORE))
        spec.input("metadata.options.withmpi", valid_type=bool, default=False)
        spec.input("metadata.options.parser_name", valid_type=str, default=cls.PARSER)
        spec.inputs.validator = cls.validate_inputs
        text = "The frames that have labels now, with `label_uuid` and `label_folder`; parents are `configurations`."
        optional_output(spec, "labelled", ConfigurationsData, text)
        spec.output("ledger", valid_type=orm.Dict, help="What happened to every frame of this job.")
        message = (
            "The job ended before its first frame: look at the scheduler's output, and at the prepend text of "
            "computer and code."
        )
        spec.exit_code(300, "ERROR_NEVER_RAN", message)
        spec.exit_code(400, "ERROR_FRAMES_FAILED", "{failed} of {total} frames have no label; the ledger says why.")
        message = "The job was ended before {left} of {total} frames were done; send them again."
        spec.exit_code(420, "ERROR_INTERRUPTED", message)

    @classmethod
    def validate_inputs(cls, value: Mapping[str, Any], namespace: PortNamespace) -> str | None:
        """Check what can be seen before anything runs."""
        if any(name not in value for name in ("configurations", "frames")) or "frames" not in namespace:
            return None
        configurations = value["configurations"].configurations
        frames = value["frames"].get_list()
        if not frames or len(set(frames)) != len(frames):
            return "frames: must name at least one frame, each once."
        if min(frames) < 0 or max(frames) >= len(configurations):
            return f"frames: must lie between 0 and {len(configurations) - 1}, got {min(frames)} to {max(frames)}."
        return cls.check_settings(value, configurations[frames])

    @classmethod
    def check_settings(cls, value: Mapping[str, Any], frames: Configurations) -> str | None:
        """Return one sentence if the settings are wrong for these frames."""

    @abstractmethod
    def write_inputs(self, folder: Folder) -> list[tuple[str, str, str]]:
        """Write each frame's input into its folder; return nodes, files in them, and where these are copied to."""

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write an input per frame and the driver."""
        cores, concurrency, threads = self._cores()
        calc_info = CalcInfo()
        calc_info.uuid = str(self.uuid)
        calc_info.codes_info = self.commands()
        calc_info.codes_run_mode = CodeRunMode.SERIAL
        frames = [FRAME_FOLDER.format(index) for index in self.inputs.frames.get_list()]
        more = job_script.filled(_LOG_OF_THESE, LOG=LOG_FILE)
        earlier = take_up(self.inputs, self.node.computer, frames, more)
        gate = [job_script.filled(_GATE, GATE=self.shell.gate)] if self.shell.gate else []
        calc_info.prepend_text = "\n".join([guard(self.node.computer, cores, earlier), _BEFORE, *gate])
        mpi = job_script.own_mpi_folder(self.node.get_option("resources"))
        calc_info.append_text = driver(
            self.shell,
            total=len(self.inputs.frames),
            concurrency=concurrency,
            timeout=(DEFAULT_PACK | self.inputs.pack.get_dict())["frame_timeout_s"],
            threads=threads,
            mpi=mpi,
        )
        calc_info.local_copy_list = self.write_inputs(folder)
        calc_info.retrieve_list = [LOG_FILE, *((f"frame_*/{name}", ".", 2) for name in self.frame_files)]
        return calc_info

    @property
    def shell(self) -> FrameShell:
        """Lines of shell about one frame, as the inputs ask for them."""
        return self.SHELL

    @property
    def frame_files(self) -> tuple[str, ...]:
        """Files of a frame that are brought back."""
        return self.FRAME_FILES

    def commands(self) -> list[CodeInfo]:
        """Programs that run in a frame's folder, one after the other."""
        return [job_script.code_info(self.inputs.code, self.ARGUMENTS, self.OUTPUT_FILE)]

    def _cores(self) -> tuple[int, int, int]:
        """Cores of the job, frames at a time, and threads of each process: never more than the job has cores."""
        resources = self.node.get_option("resources")
        processes, cores = processes_of(resources), cores_of(resources)
        usable = min(cores, declared_cores(self.node.computer) or cores)
        wanted = (DEFAULT_PACK | self.inputs.pack.get_dict())["concurrency"]
        concurrency = max(1, min(wanted, len(self.inputs.frames.get_list()), usable // processes))
        return cores, concurrency, max(1, usable // processes // concurrency)
