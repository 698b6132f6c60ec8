"""Between frames and a run of pw.x, for one frame: its inputs, and the labels that it left."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from aiida_pseudo.data.pseudo.upf import UpfData

from aiida_bloomery.calculations.label_cache import mark
from aiida_bloomery.calculations.pw_frame import frame_of
from aiida_bloomery.calculations.pw_output import FrameFailure, labelled_frames, read_frame
from aiida_bloomery.calculations.pw_pack import OUTPUT_FILE, XML_FILE
from aiida_bloomery.data.configurations import ConfigurationsData


@calcfunction
def frame_inputs(
    configurations: ConfigurationsData,
    frame: orm.Int,
    parameters: orm.Dict,
    kpoints: orm.KpointsData | None = None,
    kpoints_rule: orm.Dict | None = None,
    boundaries: orm.Dict | None = None,
    hubbard: orm.Dict | None = None,
    **pseudos: UpfData,
) -> dict[str, orm.Data]:
    """Return what `PwCalculation` gets for a frame: `structure`, `parameters`, `kpoints`, and `settings` if any."""
    given = {"parameters": parameters, "kpoints": kpoints, "kpoints_rule": kpoints_rule}
    given |= {"boundaries": boundaries, "hubbard": hubbard}
    made = frame_of(configurations.configurations[frame.value].to_atoms()[0], {**given, "pseudos": pseudos})
    outputs: dict[str, orm.Data] = {"structure": made.structure, "parameters": orm.Dict(made.parameters)}
    if made.kpoints is not kpoints:
        outputs["kpoints"] = made.kpoints
    if made.settings:
        outputs["settings"] = orm.Dict(made.settings)
    return outputs


_OF_CRYSTALS = {"tot_magnetization", "tot_charge", "nspin", "starting_magnetization", "vdw_corr"}
"""Variables of SYSTEM that say nothing of an atom alone."""


@calcfunction
def isolated_atom_settings(parameters: orm.Dict, configurations: ConfigurationsData) -> dict[str, orm.Data]:
    """Return `parameters` and `kpoints` of isolated atoms: spin-polarised, without symmetry, at Gamma only.

    Open shells are spin-polarised: every atom starts from a magnetic guess, from which a closed shell finds its way
    back. Cutoffs and pseudopotentials stay, so that the errors of both cancel in differences. `fixed_parameters` are
    for atoms that state a multiplicity: with whole occupations, since a smearing spreads an open shell over its
    orbitals, which costs oxygen 0.2 to 0.3 eV.
    """
    content = parameters.get_dict()
    elements = configurations.configurations.elements
    system = {name: value for name, value in content.get("SYSTEM", {}).items() if name.lower() not in _OF_CRYSTALS}
    system |= {"nspin": 2, "nosym": True, "starting_magnetization": dict.fromkeys(elements, 0.5)}
    content["SYSTEM"] = system
    content.setdefault("ELECTRONS", {}).update({"electron_maxstep": 200, "mixing_beta": 0.3})
    smeared = {"occupations", "smearing", "degauss"}
    fixed = {name: value for name, value in system.items() if name.lower() not in smeared} | {"occupations": "fixed"}
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh([1, 1, 1])
    return {
        "parameters": orm.Dict(content),
        "fixed_parameters": orm.Dict({**content, "SYSTEM": fixed}),
        "kpoints": kpoints,
    }


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
