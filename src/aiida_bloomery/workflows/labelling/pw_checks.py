"""What can be seen to be wrong with the settings of pw.x, and with frames for it, before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from aiida_bloomery.calculations import ph_response
from aiida_bloomery.calculations.pw_boundaries import Boundaries, not_for_2d
from aiida_bloomery.calculations.pw_namelists import (
    Namelists,
    not_by_element,
    parameters_for,
    state_problem,
    with_state,
)
from aiida_bloomery.workflows.labelling import frame_checks
from aiida_bloomery.workflows.labelling.frame_checks import one_of_each
from bloomery.errors import InputError
from bloomery.frames.boxes import boxed
from bloomery.frames.configurations import Configurations
from bloomery.frames.states import states_of
from bloomery.properties.laws import check_defined, property_named

DECIDED = {"calculation", "tprnfor", "tstress"}
"""Variables of pw.x by which a single point gives labels: the protocol sets them."""
WRITTEN = {
    "prefix", "outdir", "pseudo_dir", "ibrav", "nat", "ntyp", "a", "b", "c", "cosab", "cosac", "cosbc",
}  # fmt: skip
"""Variables that are written for each frame, and each cell parameter ``celldm(i)`` with them."""


def check_given(parameters: Namelists) -> str | None:
    """Return one sentence about the first variable that is not for the user to set, or not by element as it must be."""
    return _set_for_user(parameters, DECIDED | WRITTEN) or not_by_element(parameters) or _without_moments(parameters)


def check_parameters(parameters: Namelists) -> str | None:
    """Return one sentence about the first thing wrong with the namelists of a calculation."""
    for namelist, content in parameters.items():
        if not isinstance(content, Mapping) or namelist != namelist.upper():
            return f"parameters.{namelist}: must be the name of a namelist in capitals, with its keys below it."
    found = _set_for_user(parameters, WRITTEN) or not_by_element(parameters) or _without_moments(parameters)
    if found is not None:
        return f"{found}."
    if "ecutwfc" not in parameters.get("SYSTEM", {}):
        return "parameters.SYSTEM.ecutwfc: is missing; give the cutoff in Ry, or choose a family that recommends one."
    calculation = parameters.get("CONTROL", {}).get("calculation", "scf")
    if calculation != "scf":
        return f"parameters.CONTROL.calculation: a label is an `scf` calculation, got {calculation!r}."
    if not parameters.get("CONTROL", {}).get("tprnfor", False):
        return "parameters.CONTROL.tprnfor: must be true, or there will be no forces."
    return None


def _set_for_user(parameters: Namelists, names: Collection[str]) -> str | None:
    for namelist, content in parameters.items():
        for name in content:
            if name.lower() in names or name.lower().startswith("celldm"):
                return f"parameters.{namelist}.{name} is set by the labeller itself; remove it"
    return None


def _without_moments(parameters: Namelists) -> str | None:
    given = {name.lower(): value for content in parameters.values() for name, value in content.items()}
    if given.get("nspin") != 2 or {"starting_magnetization", "tot_magnetization"} & {*given}:
        return None
    return (
        "parameters.SYSTEM.nspin is 2 and no atom has a moment to start from, without which pw.x does not run; give "
        "starting_magnetization by element, such as {Fe: 0.5}, or tot_magnetization"
    )


def open_frame(configurations: Configurations, parameters: Namelists) -> int | None:
    """Return the first frame that pw.x would wrongly take to be periodic, which with ``assume_isolated`` is none."""
    if any(name.lower() == "assume_isolated" for name in parameters.get("SYSTEM", {})):
        return None
    found = np.flatnonzero(~configurations.pbc.all(axis=1))
    return int(found[0]) if len(found) else None


def check_frames(
    configurations: Configurations,
    pseudos: set[str],
    parameters: Namelists,
    *,
    isolated_atoms: bool = False,
    boundaries: Boundaries | None = None,
) -> str | None:
    """Return one sentence about the first frame that pw.x cannot take with these settings."""
    missing = [element for element in configurations.elements if element not in pseudos]
    if missing:
        return f"pseudos.{missing[0]}: is missing; add a pseudopotential for this element."
    empty = np.flatnonzero(configurations.counts == 0)
    if len(empty):
        return f"configurations: frame {empty[0]} holds no atom; remove it."
    whole = configurations.pbc.all(axis=1) if boundaries is not None else np.ones(len(configurations), dtype=bool)
    flat = np.flatnonzero((configurations.volumes < 1e-3) & whole)
    if len(flat):
        return f"configurations: frame {flat[0]} has no cell, or one without volume; pw.x needs a cell."
    frame = None if isolated_atoms or boundaries is not None else open_frame(configurations, parameters)
    if frame is not None:
        return (
            f"configurations: frame {frame} is not periodic along all three cell vectors, as pw.x takes it to be; "
            "set its pbc, or give `boundaries`."
        )
    return check_states(configurations, parameters)


def check_states(configurations: Configurations, parameters: Namelists) -> str | None:
    """Return one sentence about the first frame whose state pw.x cannot be told."""
    said = {name.lower() for name in parameters.get("SYSTEM", {})}
    if "charge" in configurations.states and "tot_charge" in said:  # a charge of zero counts here
        frame = int(np.argmax(configurations.stated["charge"]))
        return f"configurations: frame {frame}: charge: the frame says it, and SYSTEM says tot_charge; keep one."
    seen: set[str] = {""}
    for frame, key in enumerate(configurations.state_keys()):
        problem = None if key in seen else state_problem(parameters, configurations.state_of(frame))
        if problem is not None:
            return f"configurations: frame {frame}: {problem}."
        seen.add(key)
    return None


def check_response(configurations: Configurations, pw: Mapping[str, Any]) -> str | None:
    """Return one sentence if ph.x gives no response of these frames, or of pw.x as it is told to run."""
    if "ph" not in pw:
        return "ph: is missing beside ph_code; say what it is asked for." if "ph_code" in pw else None
    if "ph_code" not in pw:
        return "ph_code: is missing; give the code of ph.x, on the computer of pw.x."
    if (found := ph_response.unsuited(pw["parameters"].get_dict())) is not None:
        return f"parameters.{found[0]}: {found[1]}; change it, or ask for no properties."
    return undefined_response(configurations, pw["ph"]["properties"])


def undefined_response(configurations: Configurations, properties: Collection[str]) -> str | None:
    """Return one sentence about the first frame that has no response to a field."""
    open_ = np.flatnonzero(~configurations.pbc.all(axis=1))
    if len(open_) and properties:
        return (
            f"frame {open_[0]} is not periodic in all directions, and ph.x gives {ph_response.told(properties)} of "
            "crystals alone; leave it out, or ask for no properties."
        )
    for name in properties:
        try:
            check_defined(property_named(name), configurations)
        except InputError as error:
            return str(error)
    return None


def lacks_vacuum(configurations: Configurations, boundaries: Boundaries) -> tuple[int, str] | None:
    """Return the first frame whose own cell has no room, or lies askew, and one sentence, without an end."""
    if (found := frame_checks.lacks_vacuum(configurations, boundaries.vacuum)) is not None or boundaries.slabs != "2D":
        return found
    slabs = np.flatnonzero(configurations.pbc.sum(axis=1) == 2)
    for frame, atoms in zip(slabs.tolist(), configurations[slabs].without_labels().to_atoms(), strict=True):
        if problem := not_for_2d(boxed(atoms, boundaries.boxes(atoms.pbc)).cell.array, atoms.pbc):
            return frame, problem
    return None


def check_moments(configurations: Configurations, valences: Mapping[str, float]) -> str | None:
    """Return one sentence about the first frame with a starting moment that its atoms' electrons cannot make."""
    values, stated = configurations.state("initial_magmoms")
    most = np.array([valences.get(symbol, np.inf) for symbol in chemical_symbols])
    bad = (np.abs(values) > most[configurations.numbers]) & stated[configurations.frame_of_atom]
    if not bad.any():
        return None
    atom = int(np.argmax(bad))
    symbol = chemical_symbols[configurations.numbers[atom]]
    return (
        f"configurations: frame {configurations.frame_of_atom[atom]}: initial_magmoms: a moment of {values[atom]:g} μB "
        f"on {symbol} is more than its {valences[symbol]:g} valence electrons; give a smaller one."
    )


def check_electrons(configurations: Configurations, valences: Mapping[str, float], parameters: Namelists) -> str | None:
    """Return one sentence about the first composition whose electrons do not go into fixed occupations in pairs."""
    system = {name.lower(): value for name, value in parameters.get("SYSTEM", {}).items()}
    for name, atoms in one_of_each(configurations).items():
        own = with_state(parameters_for(parameters, {symbol: symbol for symbol in atoms.symbols}), states_of(atoms))
        system = {key.lower(): value for key, value in own.get("SYSTEM", {}).items()}
        if system.get("occupations", "fixed") != "fixed" or system.get("noncolin"):
            continue
        electrons = sum(valences[symbol] for symbol in atoms.symbols) - float(str(system.get("tot_charge", 0)))
        moment = system.get("tot_magnetization")
        if system.get("nspin", 1) == 2 and moment is None:
            return (
                f"{name} has spins and fixed occupations, for which pw.x must know how many electrons are unpaired; "
                "leave out `smearing: none`, or give frames a multiplicity (spin), or tot_magnetization in SYSTEM."
            )
        unpaired = float(str(moment or 0))
        if abs((electrons - unpaired) % 2) > 1e-6:
            paired = f"beside {unpaired:g} unpaired ones" if unpaired else "in pairs"
            return (
                f"{name} has {electrons:g} electrons, which fixed occupations cannot hold {paired}; leave out "
                "`smearing: none`, or give the frame the multiplicity (spin) that it has."
            )
    return None


def told_settings(parameters: Namelists, mesh: Sequence[int], shift: Sequence[float]) -> str:
    """Say in few words what pw.x is asked for."""
    everything = {key.lower(): value for content in parameters.values() for key, value in content.items()}
    points = " x ".join(map(str, mesh)) + (" shifted" if any(shift) else "")
    words = [f"mesh {points}", f"cutoffs {everything['ecutwfc']:g} and {everything.get('ecutrho', 0):g} Ry"]
    if everything.get("occupations") == "smearing":
        words.append(f"{everything.get('smearing', 'gaussian')} smearing {everything.get('degauss', 0):g} Ry")
    else:
        words.append(f"{everything.get('occupations', 'fixed')} occupations")
    shown = (
        "conv_thr",
        "nspin",
        "starting_magnetization",
        "tot_magnetization",
        "tot_charge",
        "input_dft",
        "vdw_corr",
        "dftd3_version",
        "dftd3_threebody",
        "assume_isolated",
        "dipfield",
        "lda_plus_u",
        "hubbard_u",
    )
    return ", ".join([*words, *(f"{name} {everything[name]}" for name in shown if name in everything)])
