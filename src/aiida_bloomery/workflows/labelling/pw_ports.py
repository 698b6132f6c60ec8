"""What workchains that drive pw.x share: the namespace `pw`, and the options of a calculation of one frame."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec
from aiida_pseudo.data.pseudo.upf import UpfData

from aiida_bloomery.calculations.job_script import guard, own_mpi_folder, time_limit
from aiida_bloomery.calculations.pw_frame import kind_pseudos, validate_boundaries
from aiida_bloomery.calculations.pw_pack import OUTPUT_FILE, validate_kpoints_rule, validate_ph
from aiida_bloomery.data.ports import by_key, optional
from aiida_bloomery.workflows.labelling.packed import program_ports
from aiida_bloomery.workflows.labelling.packing import frame_cores
from aiida_bloomery.workflows.labelling.pw_checks import check_parameters

A_DAY = 86400


def validate_parameters(node: orm.Dict, _: Any) -> str | None:
    """Check the namelists."""
    return check_parameters(node.get_dict())


def pw_ports(spec: ProcessSpec) -> None:
    """Declare the namespace `pw`, which all workchains that drive pw.x share."""
    program_ports(spec, "pw", "pw.x")
    spec.input("pw.parameters", valid_type=orm.Dict, validator=validate_parameters, help="Namelists of pw.x.")
    optional(spec, "pw.kpoints", orm.KpointsData, "The same k-points for every frame.")
    text = "`{distance, offset}`: a mesh for each frame by its cell, with points at most so far apart (1/Å)."
    optional(spec, "pw.kpoints_rule", orm.Dict, text, validator=validate_kpoints_rule)
    text = "What is done where a frame is not periodic; without it all frames must be."
    optional(spec, "pw.boundaries", orm.Dict, text, validator=validate_boundaries)
    text = "Hubbard parameters that pw.x is told by a card: `{projectors, u: {Fe-3d: eV}}`."
    optional(spec, "pw.hubbard", orm.Dict, text)
    text = "What ph.x is asked for behind pw.x: `{properties, threshold, steps, mixing}`."
    optional(spec, "pw.ph", orm.Dict, text, validator=validate_ph)
    optional(spec, "pw.ph_code", orm.AbstractCode, "ph.x, on the computer of `code`.")
    by_key(spec, "pw.pseudos", UpfData, "Pseudopotential of each element.")


def single_options(pw: Any) -> dict[str, object]:
    """Options of a calculation of its own, from the inputs `pw`: guarded like a pack, ended when its time is over."""
    options = dict(pw.options.get_dict())
    resources = options.get("resources", {})
    lines = guard(pw.code.computer, frame_cores(options), done=f"grep -qs 'JOB DONE' {OUTPUT_FILE}")
    before, after = time_limit(int(options.get("max_wallclock_seconds", A_DAY)))
    threads = f"export OMP_NUM_THREADS={resources.get('num_cores_per_mpiproc', 1)}"
    options["prepend_text"] = "\n".join(
        [lines, own_mpi_folder(resources), threads, options.get("prepend_text", ""), before]
    )
    options["append_text"] = f"{after}\n{options.get('append_text', '')}"
    return options


def single_inputs(pw: Any, kpoints: orm.KpointsData, **own: Any) -> dict[str, Any]:
    """Inputs of a `PwBaseWorkChain` from the inputs `pw`, and from its own ``structure`` and ``parameters``."""
    pseudos = kind_pseudos(own["structure"], pw.pseudos)
    inputs = {"code": pw.code, **own, "pseudos": pseudos, "metadata": {"options": single_options(pw)}}
    return {"kpoints": kpoints, "pw": inputs}
