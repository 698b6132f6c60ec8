"""What can be said of settings and molecules before anything is computed. Imports PySCF when it is used."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import ase
from ase import units

from bloomery.errors import InputError
from bloomery.labellers.pyscf.settings import PyscfLabellerSettings
from bloomery.labellers.pyscf.states import is_boxed_atom

TIGHT = 1.5
"""A basis set for all electrons has a function of this exponent times the squared nuclear charge; STO-3G has 1.8."""
COPIES = 6
"""Arrays as large as the double amplitudes that coupled clusters hold at a time."""
INSTALL = "pip install 'aiida-bloomery[pyscf]'"


def is_installed() -> bool:
    """Whether PySCF is in this environment."""
    return importlib.util.find_spec("pyscf") is not None


def check_settings(settings: PyscfLabellerSettings) -> None:
    """Raise `InputError` if PySCF is not here, or does not know the functional."""
    if not is_installed():
        raise InputError(f"the package pyscf is not installed here; {INSTALL}.")
    if settings.xc:
        _check_functional(settings.xc)


def _check_functional(name: str) -> None:
    from pyscf.dft import libxc  # noqa: PLC0415
    from pyscf.scf import dispersion  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            _, _, correction = dispersion.parse_dft(name)
        kind = libxc.xc_type(name)
        parts = [number for number, _ in libxc.parse_xc(name)[1]]
    except FutureWarning as warning:
        raise InputError(f"xc: PySCF says that {name!r} will mean something else soon; choose another.") from warning
    except NotImplementedError as error:
        raise InputError(f"xc: {str(error).rstrip('.')} by PySCF; choose another.") from error
    except (KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"xc: PySCF knows no functional {name!r}; choose another.") from error
    if kind == "HF":
        raise InputError(f"xc: {name!r} is no density functional; write method: hf.")
    names = {number: key.split("_") for key, number in libxc.available_libxc_functionals().items()}
    if "," not in name and all("X" in names.get(number, ()) for number in parts):
        raise InputError(
            f"xc: {name!r} is exchange alone; name a correlation too (such as {name},vwn), or write '{name},' if you "
            "mean that."
        )
    if any("K" in names.get(number, ()) for number in parts):
        raise InputError(f"xc: {name!r} is a functional of the kinetic energy; choose another.")
    if libxc.needs_laplacian(name):
        raise InputError(
            f"xc: {name!r} needs the Laplacian of the density, of which PySCF has no forces; choose another."
        )
    if correction and dispersion.dispersion is None:
        raise InputError(f"xc: {name!r} has dispersion, and the package pyscf-dispersion is not installed; {INSTALL}.")


def molecule(settings: PyscfLabellerSettings, atoms: ase.Atoms, charge: int, spin: int) -> Any:
    """Return PySCF's molecule, with its basis set and effective core potentials.

    Raises
    ------
    InputError
        If an element has no basis set, or one that lacks its core potential; the sentence has no end.
    """
    from pyscf import gto  # noqa: PLC0415

    basis, potentials = {}, {}
    for element in sorted({*atoms.symbols}):
        name = settings.basis_of(element)
        if name is None:
            raise InputError(f"basis: names none for {element}; add one, or a default")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it advises to install another package
            try:
                basis[element] = gto.basis.load(name, element)
            except Exception as error:
                raise InputError(f"basis: PySCF has no {name!r} for {element}; choose another") from error
            try:
                found = gto.basis.load_ecp(name, element)
            except Exception:  # noqa: BLE001  most sets have none, which is said in several ways
                found = None
        if found:
            potentials[element] = found
    mole = gto.Mole(
        atom=[[symbol, place] for symbol, place in zip(atoms.symbols, atoms.positions / units.Bohr, strict=True)],
        unit="Bohr", basis=basis, ecp=potentials, charge=charge, spin=spin - 1, verbose=0, symmetry=False,
        max_memory=1024 * settings.memory,
    )  # fmt: skip
    mole.build(dump_input=False, parse_arg=False)
    _see_cores(settings, mole)
    return mole


def _see_cores(settings: PyscfLabellerSettings, mole: Any) -> None:
    """A basis set for valence electrons alone gives nonsense for all of them."""
    for atom in range(mole.natm):
        element, core = mole.atom_pure_symbol(atom), mole.atom_nelec_core(atom)
        protons = mole.atom_charge(atom) + core
        tightest = max(mole.bas_exp(shell).max() for shell in mole.atom_shell_ids(atom))
        if not core and protons > 2 and tightest < TIGHT * protons**2:
            raise InputError(
                f"basis: {settings.basis_of(element)!r} has no functions for the core of {element}, and PySCF has no "
                "core potential of that name; choose another"
            )


def check_molecule(settings: PyscfLabellerSettings, atoms: ase.Atoms, charge: int, spin: int) -> None:
    """Raise `InputError` if a molecule cannot be computed with this basis, or not in this memory; without an end."""
    mole = molecule(settings, atoms, charge, spin)
    if max(mole.nelec) > mole.nao:
        raise InputError(f"basis: {mole.nao} functions are too few for its electrons; choose a larger one")
    if not settings.is_correlated or correlated_electrons(settings, mole) < 2:
        return
    if max(mole.nelec) == mole.nao:
        raise InputError("basis: leaves no empty orbital to correlate electrons with; choose a larger one")
    needed = COPIES * amplitudes(settings, mole) * 8 / 1024**3
    if needed > settings.memory:
        raise InputError(
            f"{settings.method} of {len(atoms)} atoms with {mole.nao} basis functions takes about {needed:.3g} GB, and "
            f"memory is {settings.memory:g} GB; raise it, or choose a smaller basis or a cheaper method"
        )


def check_surroundings(atoms: ase.Atoms) -> None:
    """Raise `InputError` for a frame that is no molecule; the sentence has no end."""
    if not len(atoms):
        raise InputError("it holds no atom, so there is nothing to label")
    if atoms.pbc.any() and not is_boxed_atom(atoms):
        raise InputError("it is periodic, and this labeller takes molecules; give it pbc='F F F', or another labeller")


def amplitudes(settings: PyscfLabellerSettings, mole: Any) -> int:
    """How many double amplitudes there are."""
    core = core_orbitals(settings, mole)
    pairs = [(n - core, mole.nao - n) for n in mole.nelec]
    if not mole.spin:
        return pairs[0][0] ** 2 * pairs[0][1] ** 2
    (up, empty_up), (down, empty_down) = pairs
    return (up * empty_up) ** 2 + (down * empty_down) ** 2 + up * empty_up * down * empty_down


def core_orbitals(settings: PyscfLabellerSettings, mole: Any) -> int:
    """Orbitals that are not correlated."""
    from pyscf.data.elements import chemcore  # noqa: PLC0415

    return int(chemcore(mole)) if settings.frozen_core else 0


def correlated_electrons(settings: PyscfLabellerSettings, mole: Any) -> int:
    """Electrons that are correlated."""
    return int(sum(mole.nelec)) - 2 * core_orbitals(settings, mole)
