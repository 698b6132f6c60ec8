"""Turn starting structures into inputs of pw.x's own molecular dynamics, one set for each trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import units
from numpy.typing import NDArray

from aiida_bloomery.calculations.pw_pack import frame_kpoints, frame_structure, parameters_for
from aiida_bloomery.data.configurations import ConfigurationsData
from bloomery.errors import InputError
from bloomery.plugins import PluginSpec, parse_settings
from bloomery.samplers.dynamics.ensemble import EnsembleSettings
from bloomery.samplers.dynamics.trajectories import DynamicsSettings, Trajectory, trajectories

SAMPLER = "reference_md"
RYDBERG_TIME = 2 * units.AUT
"""Unit of time in pw.x, in ASE's own: twice the atomic unit."""


def md_settings(parameters: dict[str, Any]) -> DynamicsSettings:
    """Return the settings of `reference_md` that pw.x follows; the calculator is pw.x itself.

    Raises
    ------
    InputError
        If a setting is wrong.
    """
    spec = PluginSpec.model_validate(parameters["sampler"])
    settings = {key: value for key, value in spec.settings.items() if key != "calculator"}
    foreign = sorted(set(settings) & (set(EnsembleSettings.model_fields) - set(DynamicsSettings.model_fields)))
    if foreign:
        raise InputError(
            f"{spec.name}.{foreign[0]}: pw.x drives this dynamics with a thermostat of its own; leave this key out, or "
            "name a calculator."
        )
    checked: DynamicsSettings = parse_settings(DynamicsSettings, settings, where=spec.name)
    return checked


@calcfunction
def md_starts(
    structures: ConfigurationsData,
    parameters: orm.Dict,
    seed: orm.Int,
    pw_parameters: orm.Dict,
    kpoints: orm.KpointsData | None = None,
    kpoints_rule: orm.Dict | None = None,
) -> dict[str, Any]:
    """Return ``structure_*``, ``parameters_*``, ``settings_*`` and ``kpoints_*`` of each trajectory.

    Starting velocities are drawn from the seed and the temperature; the collisions of the thermostat come from pw.x's
    own generator, which it starts in the same way each time.
    """
    settings = md_settings(parameters.get_dict())
    outputs: dict[str, Any] = {}
    for index, trajectory in enumerate(trajectories(structures.configurations, settings, seed.value, SAMPLER)):
        structure = frame_structure(trajectory.frame.to_atoms()[0])
        namelists = parameters_for(pw_parameters.get_dict(), structure.get_kind_names())
        outputs[f"structure_{index:03d}"] = structure
        outputs[f"parameters_{index:03d}"] = orm.Dict(md_namelists(namelists, settings, trajectory.temperature))
        outputs[f"settings_{index:03d}"] = orm.Dict({"ATOMIC_VELOCITIES": velocities(trajectory).tolist()})
        if kpoints is None:
            outputs[f"kpoints_{index:03d}"] = frame_kpoints(structure, None, kpoints_rule)
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
