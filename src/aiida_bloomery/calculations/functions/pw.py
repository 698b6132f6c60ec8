"""Between frames and a run of pw.x, for one frame: its inputs, and the labels that it left."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_bloomery.calculations.label_cache import mark
from aiida_bloomery.calculations.pw_namelists import parameters_for, with_state
from aiida_bloomery.calculations.pw_output import FrameFailure, labelled_frames, read_frame
from aiida_bloomery.calculations.pw_pack import OUTPUT_FILE, XML_FILE, frame_kpoints, frame_structure
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.frames.states import states_of


@calcfunction
def frame_inputs(
    configurations: ConfigurationsData,
    frame: orm.Int,
    parameters: orm.Dict,
    kpoints: orm.KpointsData | None = None,
    kpoints_rule: orm.Dict | None = None,
) -> dict[str, orm.Data]:
    """Return a frame as `structure`, `parameters` of its elements and state, and `kpoints` if a rule makes them."""
    atoms = configurations.configurations[frame.value].to_atoms()[0]
    structure = frame_structure(atoms)
    own = with_state(parameters_for(parameters.get_dict(), structure.get_kind_names()), states_of(atoms))
    outputs: dict[str, orm.Data] = {
        "structure": structure,
        "parameters": orm.Dict(own),
    }
    if kpoints is None:
        outputs["kpoints"] = frame_kpoints(structure, None, kpoints_rule)
    return outputs


@calcfunction
def isolated_atom_settings(parameters: orm.Dict, configurations: ConfigurationsData) -> dict[str, orm.Data]:
    """Return `parameters` and `kpoints` of isolated atoms: spin-polarised, without symmetry, at Gamma only.

    Open shells are spin-polarised: every atom starts from a magnetic guess, from which a closed shell finds its way
    back. Cutoffs and pseudopotentials stay, so that the errors of both cancel in differences.
    """
    content = parameters.get_dict()
    elements = configurations.configurations.elements
    polarised = {"nspin": 2, "nosym": True, "starting_magnetization": dict.fromkeys(elements, 0.5)}
    content.setdefault("SYSTEM", {}).update(polarised)
    content.setdefault("ELECTRONS", {}).update({"electron_maxstep": 200, "mixing_beta": 0.3})
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh([1, 1, 1])
    return {"parameters": orm.Dict(content), "kpoints": kpoints}


@calcfunction
def parse_pw_frame(
    configurations: ConfigurationsData, frame: orm.Int, retrieved: orm.FolderData, fingerprint: orm.Str
) -> ConfigurationsData | ExitCode:
    """Return the frame with the labels that a `PwCalculation` has given it.

    Parameters
    ----------
    fingerprint
        Of the settings, for the label cache.
    """
    files = retrieved.base.repository
    names = files.list_object_names()
    result = read_frame(
        files.get_object_content(XML_FILE) if XML_FILE in names else None,
        files.get_object_content(OUTPUT_FILE) if OUTPUT_FILE in names else None,
        int(configurations.configurations.counts[frame.value]),
    )
    if isinstance(result, FrameFailure):
        return ExitCode(result.exit_code, result.reason)
    labelled = ConfigurationsData(labelled_frames(configurations, {frame.value: result}, retrieved.creator))
    mark(labelled, fingerprint.value, result.version)
    return labelled
