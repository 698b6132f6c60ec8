"""Ladders of pw.x: cutoffs, density of k-points, and width of the smearing.

They go by what pseudopotentials and protocol recommend, which is their middle, and not by what the file says: so they
are the same before and after a choice has been written into it, and its labels are found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.geometry import complete_cell

from aiida_bloomery.setup.pseudopotentials import DEFAULT_CUTOFFS, cutoffs, read_header
from bloomery.campaign.convergence import Ladder, Rung
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

CUTOFFS = (0.6, 0.8, 1.0, 1.25, 1.5)
"""Rungs of ``ecutwfc``, times what is recommended; a basis set converges exponentially."""
DENSITIES = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Rungs of ``ecutrho``, likewise."""
DISTANCES = (2.0, 1.5, 1.25, 1.0, 0.75, 0.5)
"""Rungs of the distance of k-points, times that of the protocol."""
WIDTHS = (3.0, 2.0, 1.0, 0.5)
"""Rungs of the width of the smearing, times that of the protocol. Wider ones may suit the crystal and not the melt."""
NORM_CONSERVING = {"NC", "SL"}
"""Kinds of pseudopotentials whose density needs no cutoff of its own: four times the other one holds all of it."""
LEAST_RATIO = 4.0


def pw_ladders(
    pw: Mapping[str, Any],
    frames: Configurations,
    protocol: Mapping[str, Any],
    *,
    recommended: Mapping[str, float],
    fixed: Mapping[str, object],
    values: Mapping[str, Sequence[float]],
) -> list[Ladder]:
    """Return the ladders there are.

    Parameters
    ----------
    pw
        The namespace of the labelling workchain.
    frames
        What is labelled: rungs whose meshes are the same for all of them are one.
    protocol
        Inputs that the protocol has.
    recommended
        ``ecutwfc`` and ``ecutrho`` in Ry of the family; empty if it recommends none.
    fixed
        Variables of the namelist SYSTEM that the file gives by name: they stay as they are.
    values
        Rungs by name that stand in the place of ours, in any order.
    """
    values = {name: [float(value) for value in rungs] for name, rungs in values.items()}
    given = {key.lower() for key in fixed}
    system = pw["parameters"].get_dict().get("SYSTEM", {})
    ladders = []
    if not given & {"ecutwfc", "ecutrho"}:
        ladders += _cutoff_ladders(pw, system, recommended, values)
    smeared = system.get("occupations") == "smearing" and not given & {"occupations", "smearing", "degauss"}
    # The width of Fermi and Dirac is a temperature, and none of our choices.
    if smeared and system.get("smearing") != "fermi-dirac":
        width = float(protocol["parameters"]["SYSTEM"]["degauss"])
        ladders.append(_width_ladder(str(system["smearing"]), width, values.get("smearing")))
    mesh = _mesh_ladder(pw, frames, protocol["kpoints"], values.get("kpoints"))
    if mesh is not None:
        ladders.append(mesh)
    ladders = _coupled(ladders)
    names = [ladder.name for ladder in ladders]
    if unknown := sorted(set(values) - set(names)):
        known = f"there are {', '.join(names)}" if names else "nothing is left to choose"
        raise InputError(f"--ladder {unknown[0]}: there is no such ladder in this campaign; {known}.")
    return ladders


def asked_for(pseudos: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Cutoffs in Ry of wavefunctions and density that each pseudopotential's header asks for, or its kind needs."""
    headers = ((node.filename, read_header(node.get_content())) for node in pseudos.values())
    return [DEFAULT_CUTOFFS["PAW"] if header is None else cutoffs(name, header) for name, header in headers]


def _coupled(ladders: list[Ladder]) -> list[Ladder]:
    """Say which ladders depend on each other, of those that there are."""
    names = {ladder.name for ladder in ladders}
    at_top = {"ecutwfc": {"ecutrho"}, "smearing": {"kpoints"}}
    follows = {"ecutrho": {"ecutwfc"}, "kpoints": {"smearing"}}
    return [
        ladder.model_copy(
            update={
                "at_top": sorted(at_top.get(ladder.name, set()) & names),
                "follows": sorted(follows.get(ladder.name, set()) & names),
            }
        )
        for ladder in ladders
    ]


# -- cutoffs ----------------------------------------------------------------------------------------------------------


def _cutoff_ladders(
    pw: Mapping[str, Any],
    system: Mapping[str, Any],
    recommended: Mapping[str, float],
    values: Mapping[str, Sequence[float]],
) -> list[Ladder]:
    headers = [read_header(node.get_content()) for node in pw["pseudos"].values()]
    if recommended:
        low, high = recommended["ecutwfc"], recommended["ecutrho"]
    else:
        low, high = map(max, zip(*asked_for(pw["pseudos"]), strict=True))
    rungs = sorted(
        values.get("ecutwfc") or _beyond(_rounded(CUTOFFS, low, 5.0), float(system.get("ecutwfc", 0.0)), 5.0)
    )
    middle = _middle(rungs, low)
    if all(header is not None and header.kind in NORM_CONSERVING for header in headers):
        ratio = max(LEAST_RATIO, high / low)
        return [_ladder("ecutwfc", "Ry", middle, [_cutoff_rung(value, ratio * value) for value in rungs])]
    least = LEAST_RATIO * rungs[-1]
    densities = sorted(values.get("ecutrho") or _rounded(DENSITIES, high, 10.0))
    if densities[-1] < least:
        if "ecutrho" in values:
            raise InputError(
                f"--ladder ecutrho: the largest must be at least {least:g} Ry, four times the largest of ecutwfc; give "
                "a larger one."
            )
        densities.append(least)
    at = _middle(densities, high)
    while densities[at] < LEAST_RATIO * rungs[middle]:
        at += 1
    return [
        _ladder("ecutwfc", "Ry", middle, [_cutoff_rung(value, None) for value in rungs]),
        _ladder("ecutrho", "Ry", at, [_density_rung(value) for value in densities]),
    ]


def _cutoff_rung(value: float, density: float | None) -> Rung:
    """A cutoff of the wavefunctions, and that of the density where it is tied to it."""
    found = {"ecutwfc": value} | ({} if density is None else {"ecutrho": density})
    return Rung(
        value=value,
        inputs={"pw": {"parameters": {"SYSTEM": found}}},
        file={name: f"{number:g} Ry" for name, number in found.items()},
    )


def _density_rung(value: float) -> Rung:
    return Rung(
        value=value,
        inputs={"pw": {"parameters": {"SYSTEM": {"ecutrho": value}}}},
        file={"ecutrho": f"{value:g} Ry"},
        at_most={"ecutwfc": value / LEAST_RATIO},
    )


def _rounded(factors: Sequence[float], middle: float, step: float) -> list[float]:
    return sorted({max(step, step * round(factor * middle / step)) for factor in factors})


def _beyond(rungs: list[float], own: float, step: float) -> list[float]:
    """Rungs up to beyond what the file has: who has more than is recommended may know why."""
    return rungs if own < rungs[-1] else sorted({*rungs, own, *_rounded([1.25], own, step)})


def _middle(rungs: Sequence[float], value: float) -> int:
    """Index of the rung nearest to what is recommended."""
    return int(np.argmin(np.abs(np.array(rungs) - value)))


# -- smearing and k-points --------------------------------------------------------------------------------------------


def _width_ladder(kind: str, width: float, chosen: Sequence[float] | None) -> Ladder:
    rungs = sorted(chosen or [float(f"{factor * width:.3g}") for factor in WIDTHS], reverse=True)
    return _ladder(
        "smearing",
        "Ry",
        _middle(rungs, width),
        [
            Rung(
                value=value,
                inputs={"pw": {"parameters": {"SYSTEM": {"degauss": value}}}},
                file={"smearing": {"type": kind, "width": f"{value:g} Ry"}},
            )
            for value in rungs
        ],
    )


def _mesh_ladder(
    pw: Mapping[str, Any], frames: Configurations, protocol: Mapping[str, Any], chosen: Sequence[float] | None
) -> Ladder | None:
    """Distances of k-points; ``None`` where all of them give the same meshes, as for molecules."""
    if not {"kpoints", "kpoints_rule"} & set(pw):
        return None
    distance = float(protocol["distance"])
    offset, own = _offset(pw), _own_distance(pw, frames)
    rungs = [factor * distance for factor in DISTANCES]
    if own <= rungs[-1]:  # as with cutoffs
        rungs += [own, 0.75 * own]
    rungs = sorted(chosen or {float(f"{value:.3g}") for value in rungs}, reverse=True)
    # Of distances with the same meshes the smallest stays: it holds for larger cells too.
    rungs = list({_meshes(frames, value, offset): value for value in rungs}.values())
    if len(rungs) < 2:
        if chosen:
            raise InputError("--ladder kpoints: all distances give the frames the same mesh; give others.")
        return None
    shift = [round(2 * value) for value in offset]
    return _ladder(
        "kpoints",
        "1/Å",
        _middle(rungs, distance),
        [
            Rung(
                value=value,
                inputs={"pw": {"kpoints": None, "kpoints_rule": {"distance": value, "offset": offset}}},
                file={"kpoints": {"mesh": None, "distance": value, "shift": shift}},
            )
            for value in rungs
        ],
    )


def _offset(pw: Mapping[str, Any]) -> list[float]:
    if "kpoints_rule" in pw:
        return [float(value) for value in pw["kpoints_rule"]["offset"]]
    _, offset = pw["kpoints"].get_kpoints_mesh()
    return [float(value) for value in offset]


def _own_distance(pw: Mapping[str, Any], frames: Configurations) -> float:
    """Largest distance between neighbouring points in 1/Å that the file allows; infinite where nothing is periodic."""
    if "kpoints_rule" in pw:
        return float(pw["kpoints_rule"]["distance"])
    mesh, _ = pw["kpoints"].get_kpoints_mesh()
    cells = [2 * np.pi * np.linalg.norm(atoms.cell.reciprocal(), axis=1)[atoms.pbc] for atoms in frames.to_atoms()]
    apart = [lengths / np.array(mesh)[atoms.pbc] for lengths, atoms in zip(cells, frames.to_atoms(), strict=True)]
    return max((float(values.max()) for values in apart if len(values)), default=np.inf)


def _meshes(frames: Configurations, distance: float, offset: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """The mesh of each frame, as the labelling makes it."""
    from aiida import orm  # noqa: PLC0415  a profile is loaded

    from aiida_bloomery.calculations.pw_frame import frame_kpoints  # noqa: PLC0415

    rule = orm.Dict({"distance": distance, "offset": list(offset)})
    cells = [(orm.StructureData(cell=complete_cell(atoms.cell.array)), atoms.pbc) for atoms in frames.to_atoms()]
    nodes = [frame_kpoints(structure, pbc, None, rule) for structure, pbc in cells]
    return tuple(tuple(node.get_kpoints_mesh()[0]) for node in nodes)


def _ladder(name: str, unit: str, middle: int, rungs: list[Rung]) -> Ladder:
    if len(rungs) < 2:
        raise InputError(f"--ladder {name}: one value is no ladder; give two at least, better four.")
    return Ladder(name=name, unit=unit, middle=middle, rungs=rungs)
