"""Energies and forces of one molecule by PySCF. Imports PySCF when it is used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ase
import numpy as np
from ase import units
from numpy.typing import NDArray

from bloomery.labellers.pyscf.checks import correlated_electrons, molecule
from bloomery.labellers.pyscf.settings import PyscfLabellerSettings

Slope = Callable[[], Any]

SAME_STATE = 1e-6
"""Energies of orbitals that differ by less, in Ha, are of one state, as where it is degenerate."""
LOWER_STATES = 5
"""So often orbitals are followed to a lower state before a molecule is given up."""


class NotConvergedError(Exception):
    """Iterations have not converged; the message is the reason in the ledger."""


def has_forces(settings: PyscfLabellerSettings, n_atoms: int, spin: int) -> bool:
    """Whether a molecule of so many atoms with this multiplicity gets forces.

    Those of unrestricted CCSD(T) in PySCF 2.14 are not the slope of its energy (by 0.3 eV/Å for O2), as a remark in
    their source says, so there are none. An atom alone has none to be wrong.
    """
    return settings.method != "ccsd(t)" or spin == 1 or n_atoms == 1


def solve(settings: PyscfLabellerSettings, atoms: ase.Atoms, charge: int, spin: int) -> dict[str, NDArray[np.float64]]:
    """Return labels of a molecule with this charge and multiplicity, as a single frame has them.

    They are ``energy`` in eV, ``forces`` in eV/Å, ``(n, 3)``, where `has_forces` says so, and those that the settings
    name among ``dipole`` in e·Å, ``(1, 3)``, and ``polarizability`` in Å^3, ``(1, 3, 3)``. Hartree and Bohr are those
    of `ase.units` (CODATA 2014), on the way in and on the way out.

    Raises
    ------
    NotConvergedError
        If orbitals, amplitudes or their response do not converge.
    """
    orbitals = _orbitals(settings, molecule(settings, atoms, charge, spin))
    energy: float = orbitals.e_tot
    slope: Slope = partial(_slope, orbitals)
    if settings.is_correlated and correlated_electrons(settings, orbitals.mol) > 1:
        energy, slope = (_mp2 if settings.method == "mp2" else _coupled_cluster)(settings, orbitals)
    labels = {"energy": np.array([float(energy) * units.Ha])}
    if has_forces(settings, len(atoms), spin):
        gradient = np.zeros((1, 3)) if len(atoms) == 1 else np.array(slope(), dtype=float)
        labels["forces"] = -gradient * units.Ha / units.Bohr
    if "dipole" in settings.properties:
        labels["dipole"] = _dipole(orbitals)[None] * units.Bohr
    if "polarizability" in settings.properties:
        labels["polarizability"] = _polarizability(settings, orbitals)[None] * units.Bohr**3
    return labels


def _dipole(field: Any) -> NDArray[np.float64]:
    """Dipole of a mean field about the origin in e·bohr."""
    return np.array(field.dip_moment(unit="AU", verbose=0), dtype=float)


def _polarizability(settings: PyscfLabellerSettings, field: Any) -> NDArray[np.float64]:
    """Slope of the dipole in a static field in bohr^3, ``(3, 3)``, by central differences."""
    bare, positions = field.get_hcore(), field.mol.intor("int1e_r")
    slopes = np.zeros((3, 3))
    for axis in range(3):
        for sign in (1, -1):
            pulled = field.copy()
            strength = sign * settings.field_strength
            pulled.get_hcore = lambda *_, by=strength * positions[axis]: bare + by
            pulled.kernel(field.make_rdm1())
            if not pulled.converged:
                _second_order(pulled, pulled.mo_coeff)
            slopes[axis] += _dipole(pulled) / (2 * strength)
    return (slopes + slopes.T) / 2


def _slope(field: Any) -> Any:
    """Gradient of a mean field in Ha/Bohr."""
    slope = field.nuc_grad_method()
    slope.grid_response = True  # without it forces are not the slope of the energy: the grid moves with the atoms
    return slope.kernel()


def _orbitals(settings: PyscfLabellerSettings, mole: Any) -> Any:
    """A mean field that has converged, by iterations of second order if those of first order have not."""
    from pyscf import dft, scf  # noqa: PLC0415

    if settings.method == "dft":
        field = (dft.UKS if mole.spin else dft.RKS)(mole, xc=settings.xc)
        field.grids.level = settings.grid_level
        field.nlcgrids.level = max(0, settings.grid_level - 2)
    else:
        field = (scf.UHF if mole.spin else scf.RHF)(mole)
    if settings.density_fit:
        field = field.density_fit()
    field.conv_tol, field.max_cycle, field.chkfile = settings.convergence, settings.max_cycles, None
    field.kernel()
    if not field.converged:
        _second_order(field, field.mo_coeff)
    can_rotate = any(0 < occupied < mole.nao for occupied in mole.nelec)
    if can_rotate and settings.follows(mole.spin + 1):
        _follow(field)
    return field


def _follow(field: Any) -> None:
    """Follow instabilities of a mean field to lower states, until it has none."""
    from pyscf.lib.exceptions import LinearDependencyError  # noqa: PLC0415

    for _ in range(LOWER_STATES):
        try:
            lower, _, stable, _ = field.stability(return_status=True)
        except LinearDependencyError:  # every rotation is forbidden by symmetry, as of an atom in a minimal basis
            return
        before = field.e_tot
        if stable:
            return
        _second_order(field, lower)
        if before - field.e_tot < SAME_STATE:
            return
    raise NotConvergedError(f"the orbitals are not stable after {LOWER_STATES} lower states; look at the frame")


def _second_order(field: Any, start: Any) -> None:
    """Converge a mean field from orbitals on, by Newton's method."""
    newton = field.newton()
    newton.max_cycle = field.max_cycle
    newton.kernel(start, field.mo_occ)
    if not newton.converged:
        raise NotConvergedError(
            f"the orbitals do not converge, with DIIS or to second order, in {field.max_cycle} iterations; set "
            "max_cycles, or look at the frame's state"
        )
    for name in ("mo_coeff", "mo_occ", "mo_energy", "e_tot", "converged"):
        setattr(field, name, getattr(newton, name))


def _mp2(settings: PyscfLabellerSettings, field: Any) -> tuple[float, Slope]:
    """Energy in Ha, and what computes its gradient in Ha/Bohr."""
    from pyscf import mp  # noqa: PLC0415

    solver = mp.MP2(field)
    if settings.frozen_core:
        solver.set_frozen()
    solver.kernel()
    return solver.e_tot, lambda: solver.nuc_grad_method().kernel()


def _coupled_cluster(settings: PyscfLabellerSettings, field: Any) -> tuple[float, Slope]:
    """Energy in Ha, and what computes its gradient in Ha/Bohr."""
    from pyscf import cc  # noqa: PLC0415

    solver = cc.CCSD(field)
    if settings.frozen_core:
        solver.set_frozen()
    solver.conv_tol, solver.conv_tol_normt = 10 * settings.convergence, 1e3 * settings.convergence
    solver.max_cycle = settings.max_cycles
    integrals = solver.ao2mo()
    solver.kernel(eris=integrals)
    if not solver.converged:
        solver.iterative_damping = 0.5
        solver.kernel(solver.t1, solver.t2, eris=integrals)
    if not solver.converged:
        raise NotConvergedError(
            f"the amplitudes of coupled clusters do not converge in {settings.max_cycles} iterations, damped or not; "
            "set max_cycles, or look at the frame"
        )
    if settings.method == "ccsd":
        return solver.e_tot, partial(_slope_of_singles_and_doubles, settings, solver, integrals)
    triples = solver.ccsd_t(eris=integrals)
    return solver.e_tot + triples, partial(_slope_with_triples, settings, solver, integrals)


def _slope_of_singles_and_doubles(settings: PyscfLabellerSettings, solver: Any, integrals: Any) -> Any:
    solver.solve_lambda(eris=integrals)
    _see_response(solver.converged_lambda, settings)
    return solver.nuc_grad_method().kernel(eris=integrals)


def _slope_with_triples(settings: PyscfLabellerSettings, solver: Any, integrals: Any) -> Any:
    """Of restricted orbitals."""
    from pyscf.cc import ccsd_t_lambda  # noqa: PLC0415
    from pyscf.grad import ccsd_t  # noqa: PLC0415

    limits = {"max_cycle": settings.max_cycles, "tol": solver.conv_tol_normt, "verbose": 0}
    converged, *multipliers = ccsd_t_lambda.kernel(solver, integrals, solver.t1, solver.t2, **limits)
    _see_response(converged, settings)
    return ccsd_t.Gradients(solver).kernel(solver.t1, solver.t2, *multipliers, eris=integrals)


def _see_response(converged: bool, settings: PyscfLabellerSettings) -> None:
    if not converged:
        raise NotConvergedError(
            f"the response of coupled clusters does not converge in {settings.max_cycles} iterations; set max_cycles"
        )
