"""Many frames in one job of pw.x: a process per frame, several at a time, each with its own folder and time limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec, PortNamespace
from aiida_pseudo.data.pseudo.upf import UpfData

from aiida_bloomery.calculations import job_script
from aiida_bloomery.calculations.job_script import ONE_CORE, cores_of, declared_cores, guard, processes_of
from aiida_bloomery.calculations.pw_frame import frame_input, validate_boundaries
from aiida_bloomery.data.configurations import ConfigurationsData
from aiida_bloomery.data.ports import by_key, optional, optional_output

FRAME_FOLDER = "frame_{:04d}"
INPUT_FILE = "aiida.in"
OUTPUT_FILE = "aiida.out"
XML_FILE = "data-file-schema.xml"
CRASH_FILE = "CRASH"
LOG_FILE = "frames.log"
PROGRESS_FILE = "progress.json"

DEFAULT_PACK = {"concurrency": 1, "frame_timeout_s": 3600}

# AiiDA writes the command itself, with mpirun, containers and quoting as code and computer say; these lines make it the
# body of a function that is called once in every frame's folder. Lines that the user adds through the options
# `prepend_text` and `append_text` land inside of it, and so hold for every frame.
_BEFORE = "bloomery_frame() {"

_DRIVER = """\
}
export -f bloomery_frame
export OMP_NUM_THREADS=@THREADS@
bloomery_home=$PWD

bloomery_log() { echo "$1 $2 $(date +%s.%N) ${3:-}" >> "$bloomery_home/@LOG@"; }

bloomery_tried() { grep -q "^$1 end " "$bloomery_home/@LOG@" 2> /dev/null; }

bloomery_complete() {
  grep -q 'JOB DONE' @OUTPUT@ && grep -q '</qes:espresso>' out/aiida.save/@XML@ @XML@
} 2> /dev/null

bloomery_one() {
  cd "$1" || return
  if ! bloomery_complete; then
    rm -rf out @OUTPUT@ @XML@ CRASH
    mkdir out
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
  [ -f out/aiida.save/@XML@ ] && mv out/aiida.save/@XML@ @XML@
  bloomery_log "$1" end "${bloomery_status:-0}"
  rm -rf out
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


def driver(*, total: int, concurrency: int, timeout: int, threads: int, mpi: str = "") -> str:
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
    return job_script.filled(_DRIVER, **numbers, OUTPUT=OUTPUT_FILE, XML=XML_FILE, LOG=LOG_FILE, PROGRESS=PROGRESS_FILE)


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


def validate_kpoints_rule(node: orm.Dict, _: Any) -> str | None:
    """Check the rule that makes meshes."""
    content = node.get_dict()
    if set(content) != {"distance", "offset"}:
        return "kpoints_rule: needs the keys distance and offset, and no other."
    if not isinstance(content["distance"], int | float) or content["distance"] <= 0:
        return f"kpoints_rule.distance: must be positive, in 1/Å, got {content['distance']!r}."
    if len(content["offset"]) != 3 or any(value not in {0, 0.5} for value in content["offset"]):
        return f"kpoints_rule.offset: must be three numbers, each 0 or 0.5, got {content['offset']!r}."
    return None


class PwPackCalculation(CalcJob):
    """Single-point labels of many frames with pw.x in one job."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input("configurations", valid_type=ConfigurationsData, help="Where the frames are.")
        spec.input("frames", valid_type=orm.List, help="Indices of the frames that this job labels.")
        spec.input("parameters", valid_type=orm.Dict, help="Namelists of pw.x; `calculation` is `scf`.")
        optional(spec, "kpoints", orm.KpointsData, "The same k-points for every frame.")
        text = "Or `{distance, offset}`: a mesh for each frame by its cell."
        optional(spec, "kpoints_rule", orm.Dict, text, validator=validate_kpoints_rule)
        text = "What is done where a frame is not periodic; without it frames are taken as they are."
        optional(spec, "boundaries", orm.Dict, text, validator=validate_boundaries)
        text = "Hubbard parameters that pw.x is told by a card: `{projectors, u: {Fe-3d: eV}}`."
        optional(spec, "hubbard", orm.Dict, text)
        by_key(spec, "pseudos", UpfData, "Pseudopotential of each element.")
        spec.input("pack", valid_type=orm.Dict, default=lambda: orm.Dict(DEFAULT_PACK), validator=validate_pack)
        spec.inputs["pack"].help = (
            "`concurrency`: frames at a time; `frame_timeout_s`: time limit of one frame. A frame gets the cores of "
            "the job divided by the concurrency: ask for them as `num_cores_per_mpiproc`."
        )
        spec.input("metadata.options.resources", valid_type=dict, required=False, default=lambda: dict(ONE_CORE))
        spec.input("metadata.options.withmpi", valid_type=bool, default=False)
        spec.input("metadata.options.parser_name", valid_type=str, default="bloomery.pw_pack")
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
        if any(name not in value for name in ("configurations", "frames", "pseudos")) or "frames" not in namespace:
            return None
        configurations = value["configurations"].configurations
        frames = value["frames"].get_list()
        if not frames or len(set(frames)) != len(frames):
            return "frames: must name at least one frame, each once."
        if min(frames) < 0 or max(frames) >= len(configurations):
            return f"frames: must lie between 0 and {len(configurations) - 1}, got {min(frames)} to {max(frames)}."
        if ("kpoints" in value) == ("kpoints_rule" in value):
            return "kpoints: give either `kpoints` or `kpoints_rule`."
        missing = sorted(set(configurations[frames].elements) - set(value["pseudos"]))
        if missing:
            return f"pseudos.{missing[0]}: is missing; add a pseudopotential for this element."
        return None

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write an input per frame and the driver."""
        cores, concurrency, threads = self._cores()
        calc_info = CalcInfo()
        calc_info.uuid = str(self.uuid)
        calc_info.codes_info = [job_script.code_info(self.inputs.code, ["-in", INPUT_FILE], OUTPUT_FILE)]
        calc_info.prepend_text = f"{guard(self.node.computer, cores)}\n{_BEFORE}"
        total, timeout = len(self.inputs.frames), (DEFAULT_PACK | self.inputs.pack.get_dict())["frame_timeout_s"]
        mpi = job_script.own_mpi_folder(self.node.get_option("resources"))
        calc_info.append_text = driver(total=total, concurrency=concurrency, timeout=timeout, threads=threads, mpi=mpi)
        calc_info.local_copy_list = self._write_inputs(folder)
        from_frames = [(f"frame_*/{name}", ".", 2) for name in (OUTPUT_FILE, XML_FILE, CRASH_FILE)]
        calc_info.retrieve_list = [LOG_FILE, *from_frames]
        return calc_info

    def _cores(self) -> tuple[int, int, int]:
        """Cores of the job, frames at a time, and threads of each process: never more than the job has cores."""
        resources = self.node.get_option("resources")
        processes, cores = processes_of(resources), cores_of(resources)
        usable = min(cores, declared_cores(self.node.computer) or cores)
        wanted = (DEFAULT_PACK | self.inputs.pack.get_dict())["concurrency"]
        concurrency = max(1, min(wanted, len(self.inputs.frames.get_list()), usable // processes))
        return cores, concurrency, max(1, usable // processes // concurrency)

    def _write_inputs(self, folder: Folder) -> list[tuple[str, str, str]]:
        """Write each frame's input; return the pseudopotentials to copy, once for all frames."""
        configurations = self.inputs.configurations.configurations
        copies: set[tuple[str, str, str]] = set()
        folder.get_subfolder("pseudo", create=True)
        for index in self.inputs.frames.get_list():
            atoms = configurations[index].without_labels().to_atoms()[0]
            text, pseudos = frame_input(atoms, self.inputs)
            name = FRAME_FOLDER.format(index)
            folder.get_subfolder(name, create=True)
            with folder.open(f"{name}/{INPUT_FILE}", "w", encoding="utf-8") as handle:
                handle.write(text)
            # Node, file in it, and file beside the frame's folder.
            copies.update((uuid, source, target.removeprefix("../")) for uuid, source, target in pseudos)
        return sorted(copies)
