"""Between frames and pw.x's own molecular dynamics: inputs of each trajectory, and frames with labels and origin."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from aiida_pseudo.data.pseudo.upf import UpfData
from ase import units
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from aiida_bloomery.calculations.label_cache import mark
from aiida_bloomery.calculations.pw_frame import frame_of
from aiida_bloomery.calculations.pw_output import read_stdout, read_xml
from aiida_bloomery.calculations.pw_pack import OUTPUT_FILE, XML_FILE
from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from bloomery.errors import InputError
from bloomery.plugins import PluginSpec, parse_settings
from bloomery.reference.calculators import Values
from bloomery.samplers.contract import COMPLETED
from bloomery.samplers.dynamics.ensemble import EnsembleSettings
from bloomery.samplers.dynamics.trajectories import DynamicsSettings, Kept, Trajectory, collect, trajectories

RYDBERG_TIME = 2 * units.AUT
"""Unit of time in pw.x, in ASE's own: twice the atomic unit."""


def md_settings(spec: PluginSpec) -> DynamicsSettings:
    """Return the settings of a sampler that pw.x follows; the calculator is pw.x itself.

    Raises
    ------
    InputError
        If a setting is wrong.
    """
    settings = {key: value for key, value in spec.settings.items() if key != "calculator"}
    foreign = sorted(set(settings) & (set(EnsembleSettings.model_fields) - set(DynamicsSettings.model_fields)))
    if foreign:
        raise InputError(
            f"{spec.name}.{foreign[0]}: pw.x drives this dynamics with a thermostat of its own; leave this key out, or "
            "name a calculator."
        )
    return parse_settings(DynamicsSettings, settings, where=spec.name)


@calcfunction
def md_starts(
    structures: ConfigurationsData,
    parameters: orm.Dict,
    seed: orm.Int,
    pw_parameters: orm.Dict,
    kpoints: orm.KpointsData | None = None,
    kpoints_rule: orm.Dict | None = None,
    boundaries: orm.Dict | None = None,
    hubbard: orm.Dict | None = None,
    **pseudos: UpfData,
) -> dict[str, orm.Data]:
    """Return ``structure_*``, ``parameters_*``, ``settings_*`` and ``kpoints_*`` of each trajectory.

    Starting velocities are drawn from the seed and the temperature; the collisions of the thermostat come from pw.x's
    own generator, which it starts in the same way each time.
    """
    spec = PluginSpec.model_validate(parameters["sampler"])
    settings = md_settings(spec)
    pw = {"parameters": pw_parameters, "kpoints": kpoints, "kpoints_rule": kpoints_rule}
    pw |= {"boundaries": boundaries, "hubbard": hubbard}
    outputs: dict[str, orm.Data] = {}
    for index, trajectory in enumerate(trajectories(structures.configurations, settings, seed.value, spec.name)):
        made = frame_of(trajectory.frame.to_atoms()[0], {**pw, "pseudos": pseudos})
        namelists = md_namelists(made.parameters, settings, trajectory.temperature)
        more = {**made.settings, "ATOMIC_VELOCITIES": velocities(trajectory).tolist()}
        outputs[f"structure_{index:03d}"] = made.structure
        outputs[f"parameters_{index:03d}"] = orm.Dict(namelists)
        outputs[f"settings_{index:03d}"] = orm.Dict(more)
        if made.kpoints is not kpoints:
            outputs[f"kpoints_{index:03d}"] = made.kpoints
    return outputs


def md_namelists(namelists: dict[str, Any], settings: DynamicsSettings, temperature: float) -> dict[str, Any]:
    """Return the namelists of single points, changed to dynamics with Andersen's thermostat."""
    result = {name: dict(content) for name, content in namelists.items()}
    result.setdefault("CONTROL", {}).update(
        # pw.x counts the starting frame as a step.
        {"calculation": "md", "nstep": settings.steps + 1, "dt": settings.timestep_fs * units.fs / RYDBERG_TIME}
    )
    # A symmetric start would otherwise stay symmetric: forces are symmetrised by what the first frame has.
    result.setdefault("SYSTEM", {})["nosym"] = True
    result["IONS"] = {
        "ion_dynamics": "verlet",
        "ion_velocities": "from_input",
        "ion_temperature": "andersen",
        "tempw": float(temperature),
        "nraise": max(1, round(1 / (settings.friction * settings.timestep_fs))),
        "pot_extrapolation": "second_order",
        "wfc_extrapolation": "second_order",
    }
    return result


def velocities(trajectory: Trajectory) -> NDArray[np.float64]:
    """Draw velocities from Maxwell's distribution, without drift, in pw.x's Bohr per Rydberg time, ``(n, 3)``."""
    atoms = trajectory.frame.to_atoms()[0]
    masses = atoms.get_masses()[:, None]
    generator = np.random.default_rng(trajectory.seed)
    drawn = generator.normal(size=(len(atoms), 3)) * np.sqrt(units.kB * trajectory.temperature / masses)
    if len(atoms) > 1:
        drawn -= (masses * drawn).sum(axis=0) / masses.sum()
    result: NDArray[np.float64] = drawn * RYDBERG_TIME / units.Bohr
    return result


@calcfunction
def md_frames(
    structures: ConfigurationsData,
    parameters: orm.Dict,
    seed: orm.Int,
    max_steps: orm.Int,
    fingerprint: orm.Str,
    **retrieved: orm.FolderData,
) -> dict[str, orm.Data]:
    """Return `frames` and `report`.

    Parameters
    ----------
    max_steps
        A step whose electronic minimisation took so many iterations did not converge, and is left out.
    fingerprint
        Of the settings of single points, which these frames' labels are as good as.
    retrieved
        ``trajectory_*``: the files of each trajectory that ended well.
    """
    spec = PluginSpec.model_validate(parameters["sampler"])
    settings = md_settings(spec)
    prepared = trajectories(structures.configurations, settings, seed.value, spec.name)
    versions = set()
    for index, trajectory in enumerate(prepared):
        folder = retrieved.get(f"trajectory_{index:03d}")
        if folder is None:
            trajectory.stop_reason = "failed: pw.x did not end well"
            continue
        versions.add(_read(trajectory, settings, folder, max_steps.value))
    frames = collect(prepared, settings)
    version = ", ".join(sorted(versions))
    report = {
        "numbers": {
            "trajectories": float(len(prepared)),
            "stopped": float(sum(item.stopped_early for item in prepared)),
            "md_steps": float(sum(item.done for item in prepared)),
            "frames": float(len(frames)),
        },
        "trajectories": [item.summary(index) for index, item in enumerate(prepared)],
        "versions": {"pw.x": version},
    }
    if not len(frames):
        return {"report": orm.Dict(report)}
    jobs = [str(retrieved[f"trajectory_{index:03d}"].creator.uuid) for index in frames.info["trajectory"].tolist()]
    labelled = frames.with_info(label_uuid=jobs, label_folder="")
    node = ConfigurationsData(with_parents(labelled, structures, frames.info["start"]))
    mark(node, fingerprint.value, version)
    return {"report": orm.Dict(report), "frames": node}


def _read(trajectory: Trajectory, settings: DynamicsSettings, folder: orm.FolderData, max_steps: int) -> str:
    """Fill a trajectory from the files of its run; return the version of pw.x."""
    text = folder.base.repository.get_object_content(OUTPUT_FILE, "r")
    parsed = read_xml(folder.base.repository.get_object_content(XML_FILE, "r"))
    steps = parsed.steps
    # pw.x 6 and 7.0 write the stress of the last step alone to the XML.
    stresses = steps.get("stress", [])
    if len(stresses) < len(steps["forces"]):
        stresses = read_stdout(text)[0].get("trajectory", {}).get("stress", [])
    n_steps = min(len(steps["positions"]), len(steps["forces"]), len(steps["energy"]))
    for step in range(n_steps):
        trajectory.done = step
        if steps["scf_iterations"][step] >= max_steps:
            trajectory.stop_reason = f"step {step}: the electronic minimisation did not reach self-consistency"
            break
        if settings.keeps(step):
            values: Values = {"energy": float(steps["energy"][step]), "forces": np.array(steps["forces"][step])}
            if len(stresses) >= n_steps:
                values["stress"] = -full_3x3_to_voigt_6_stress(np.array(stresses[step])) * units.GPa
            trajectory.keep(Kept(np.array(steps["positions"][step]), step, -1.0, values))
    else:
        ended = n_steps - 1
        trajectory.stop_reason = COMPLETED if ended == settings.steps else f"step {ended}: pw.x ended before its time"
    for reading in re.findall(r"temperature\s+=\s+(\S+) K", text)[: trajectory.done]:
        trajectory.note(float(reading), -1.0)
    return parsed.version
