"""Settings of the labeller `pyscf`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bloomery.plugins import Settings
from bloomery.quantities import Seconds, Unit

BasisName = Annotated[str, Field(min_length=1)]

CORRELATED = ("mp2", "ccsd", "ccsd(t)")
"""Methods that add correlation to Hartree-Fock orbitals."""


class PyscfLabellerSettings(Settings):
    """Settings of the labeller `pyscf`."""

    method: Literal["hf", "dft", "mp2", "ccsd", "ccsd(t)"] = "dft"
    """What is computed: of singlets with restricted orbitals, of all others with unrestricted ones."""
    xc: str | None = None
    """The functional of ``dft``, by a name of PySCF: ``pbe0``, ``b3lyp-d3bj``, ``wb97m-v``. An ending such as ``-d3bj``
    or ``-d4`` adds dispersion, and needs the package ``pyscf-dispersion``."""
    basis: BasisName | dict[str, BasisName]
    """Name of a basis set of PySCF (``def2-svp``, ``cc-pvtz``), or names by element, with ``default`` for the others.
    Where PySCF has effective core potentials of the same name, they are used."""
    charge: int | None = None
    """Total charge in e of all frames, which then must not say one; by default what a frame says, else 0."""
    spin: int | None = Field(default=None, ge=1)
    """Multiplicity 2S+1 of all frames, which then must not say one; by default what a frame says, else 1."""
    frozen_core: bool = False
    """Whether core electrons are left out of the correlation of ``mp2``, ``ccsd`` and ``ccsd(t)``."""
    density_fit: bool = False
    """Whether integrals of ``hf`` and ``dft`` are fitted: faster, and a slightly different energy."""
    grid_level: int = Field(default=3, ge=0, le=9)
    """Fineness of the grid of ``dft``; that of a nonlocal part, such as VV10, is by two coarser."""
    stability: Literal["open_shells", "all", "none"] = "open_shells"
    """Of which frames converged orbitals are tried for a lower state of the same multiplicity, which is followed."""
    convergence: Annotated[float, Unit("Ha")] = Field(default=1e-10, gt=0, le=1e-5)
    """To how much the energy of the orbitals is converged, in Ha."""
    max_cycles: int = Field(default=100, ge=1)
    """Iterations after which an attempt to converge is given up."""
    properties: tuple[Literal["dipole", "polarizability"], ...] = ()
    """Properties that frames are labelled with too, of ``hf`` and ``dft``. A dipole is that about the origin, which
    matters for ions; a polarizability is the slope of the dipole in a static field, by six more calculations."""
    field_strength: Annotated[float, Unit("Ha/(e bohr)")] = Field(default=1e-3, gt=0, le=0.1)
    """Field by which the polarizability is found, in atomic units."""
    memory: Annotated[float, Unit("GB")] = Field(default=4.0, gt=0)
    """What PySCF may take, in GB; what does not fit is kept in files where it can be."""
    frame_timeout: Seconds | None = Field(default=None, gt=0)
    """Give a frame up after this time, in s; by default never."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.method == "dft" and not self.xc:
            raise ValueError("dft needs a functional; add xc, such as xc: pbe0")
        if self.method != "dft" and self.xc:
            raise ValueError(f"xc is the functional of dft, and the method is {self.method}; remove one of them")
        if self.density_fit and self.is_correlated:
            raise ValueError(
                f"density_fit is for hf and dft: PySCF has no forces of an energy of {self.method} that is fitted; "
                "remove it"
            )
        if self.frozen_core and not self.is_correlated:
            raise ValueError(f"frozen_core is for {', '.join(CORRELATED)}, and the method is {self.method}; remove it")
        if self.properties and self.is_correlated:
            raise ValueError(f"properties are for hf and dft, and the method is {self.method}; remove one of them")
        return self

    def follows(self, spin: int) -> bool:
        """Whether lower states of molecules with this multiplicity are followed."""
        return self.stability == "all" or (self.stability == "open_shells" and spin > 1)

    @property
    def is_correlated(self) -> bool:
        """Whether the method adds correlation to Hartree-Fock orbitals."""
        return self.method in CORRELATED

    def basis_of(self, element: str) -> str | None:
        """Name of an element's basis set; ``None`` if it is given none."""
        return self.basis if isinstance(self.basis, str) else self.basis.get(element, self.basis.get("default"))
