"""Turn what pw.x's own molecular dynamics left into labelled frames with their origin."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import units
from ase.stress import full_3x3_to_voigt_6_stress

from aiida_bloomery.calculations.functions.md_starts import SAMPLER, md_settings
from aiida_bloomery.calculations.label_cache import FINGERPRINT_ATTRIBUTE, VERSION_ATTRIBUTE
from aiida_bloomery.calculations.pw_pack import OUTPUT_FILE, XML_FILE
from aiida_bloomery.data.configurations import ConfigurationsData, with_parents
from aiida_bloomery.parsers.pw_frame import read_stdout, read_xml
from bloomery.samplers.dynamics.trajectories import COMPLETED, DynamicsSettings, Kept, Trajectory, collect, trajectories


@calcfunction
def md_frames(
    structures: ConfigurationsData,
    parameters: orm.Dict,
    seed: orm.Int,
    max_steps: orm.Int,
    fingerprint: orm.Str,
    **retrieved: orm.FolderData,
) -> dict[str, Any]:
    """Return `frames` and `report`.

    Parameters
    ----------
    structures, parameters, seed
        What the trajectories were made from.
    max_steps
        A step whose electronic minimisation took so many iterations did not converge, and is left out.
    fingerprint
        Of the settings of single points, which these frames' labels are as good as.
    retrieved
        ``trajectory_*``: the files of each trajectory that ended well.
    """
    settings = md_settings(parameters.get_dict())
    prepared = trajectories(structures.configurations, settings, seed.value, SAMPLER)
    versions = set()
    for index, trajectory in enumerate(prepared):
        folder = retrieved.get(f"trajectory_{index:03d}")
        if folder is None:
            trajectory.stop_reason = "failed: pw.x did not end well"
            continue
        versions.add(_read(trajectory, settings, folder, max_steps.value))
    frames = collect(prepared, settings)
    outputs: dict[str, Any] = {
        "report": orm.Dict(
            {
                "numbers": {
                    "trajectories": float(len(prepared)),
                    "stopped": float(sum(item.stopped_early for item in prepared)),
                    "md_steps": float(sum(item.done for item in prepared)),
                    "frames": float(len(frames)),
                },
                "trajectories": [item.summary(index) for index, item in enumerate(prepared)],
                "versions": {"pw.x": ", ".join(sorted(versions))},
            }
        )
    }
    if len(frames):
        jobs = [str(retrieved[f"trajectory_{index:03d}"].creator.uuid) for index in frames.info["trajectory"].tolist()]
        node = ConfigurationsData(
            with_parents(frames.with_info(label_uuid=jobs, label_folder=""), structures, frames.info["start"])
        )
        node.base.attributes.set(FINGERPRINT_ATTRIBUTE, fingerprint.value)
        node.base.attributes.set(VERSION_ATTRIBUTE, f"pw.x {', '.join(sorted(versions))}")
        outputs["frames"] = node
    return outputs


def _read(trajectory: Trajectory, settings: DynamicsSettings, folder: orm.FolderData, max_steps: int) -> str:
    """Fill a trajectory from the files of its run; return the version of pw.x."""
    text = folder.base.repository.get_object_content(OUTPUT_FILE, "r")
    parsed = read_xml(folder.base.repository.get_object_content(XML_FILE, "r"))
    steps = parsed["trajectory"]
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
            values = {"energy": float(steps["energy"][step]), "forces": np.array(steps["forces"][step])}
            if len(stresses) >= n_steps:
                values["stress"] = -full_3x3_to_voigt_6_stress(np.array(stresses[step])) * units.GPa
            trajectory.keep(Kept(np.array(steps["positions"][step]), step, -1.0, values))
    else:
        ended = n_steps - 1
        trajectory.stop_reason = COMPLETED if ended == settings.steps else f"step {ended}: pw.x ended before its time"
    for reading in re.findall(r"temperature\s+=\s+(\S+) K", text)[: trajectory.done]:
        trajectory.note(float(reading), -1.0)
    return str(parsed["creator_version"])
