"""Labels of molecules by PySCF: Hartree-Fock, density functionals, MP2 and coupled clusters, in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import ase

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import time_limit
from bloomery.labellers.contract import OneByOne
from bloomery.labellers.pyscf.checks import check_molecule, check_settings, check_surroundings
from bloomery.labellers.pyscf.settings import PyscfLabellerSettings
from bloomery.labellers.pyscf.solving import NotConvergedError, has_forces, solve
from bloomery.labellers.pyscf.states import charge_and_spin
from bloomery.papers import Paper


class PyscfLabeller(OneByOne):
    """Energy and forces of molecules, each in the state that its frame says; there is no stress.

    A frame that says no charge is neutral, and one that says no multiplicity is a singlet, which an odd number of
    electrons refuses. An atom alone that says nothing is in its ground state's multiplicity.
    """

    name = "pyscf"
    title = "PySCF"
    references = (Paper("Q. Sun et al., J. Chem. Phys. 153, 024109 (2020)", "10.1063/5.0006074"),)
    Settings = PyscfLabellerSettings
    settings: PyscfLabellerSettings
    not_physics = frozenset({"memory", "frame_timeout"})

    @property
    def packages(self) -> tuple[str, ...]:
        """PySCF and, where it is there, the package of dispersion corrections."""
        return ("pyscf", "pyscf-dispersion")

    def outcomes(self, configurations: Configurations) -> Iterator[tuple[Configurations, str] | tuple[None, str]]:
        """Compute each frame from nothing; what does not converge is a failure, with its reason."""
        self.check(configurations)
        self._limit_threads()
        bare = configurations.without_labels()
        for frame, atoms in zip(bare, bare.to_atoms(), strict=True):
            charge, spin = self._state_of(frame, 0, atoms)
            try:
                with time_limit(self.settings.frame_timeout):
                    labels = solve(self.settings, atoms, charge, spin)
                labelled = frame.with_labels(masks=None, **labels)
            except NotConvergedError as error:
                yield None, str(error)
            except Exception as error:  # noqa: BLE001  whatever happens to one frame is that frame's entry in the ledger
                yield None, f"{type(error).__name__}: {error}"
            else:
                yield labelled, ""

    def check(self, configurations: Configurations) -> None:
        """Refuse what cannot be computed: settings, periodic frames, states, elements without a basis, large frames."""
        try:
            check_settings(self.settings)
        except InputError as error:
            raise InputError(f"pyscf: {error}") from error
        self.check_frames(configurations, "pyscf: ")

    def check_frames(self, configurations: Configurations, where: str) -> None:
        """Raise `InputError` for the first frame that cannot be labelled; ``where`` stands before its number."""
        seen = set()
        for frame, atoms in enumerate(configurations.to_atoms()):
            try:
                check_surroundings(atoms)
                charge, spin = self._state_of(configurations, frame, atoms)
                kind = (tuple(sorted(atoms.numbers)), charge, spin)
                if kind not in seen:
                    check_molecule(self.settings, atoms, charge, spin)
                seen.add(kind)
            except InputError as error:
                raise InputError(f"{where}frame {frame}: {error}.") from error

    def without_forces(self, configurations: Configurations) -> list[int]:
        """Frames that get an energy alone."""
        return [
            frame
            for frame, atoms in enumerate(configurations.to_atoms())
            if not has_forces(self.settings, len(atoms), self._state_of(configurations, frame, atoms)[1])
        ]

    def _state_of(self, configurations: Configurations, frame: int, atoms: ase.Atoms) -> tuple[int, int]:
        """Charge in e and multiplicity 2S+1 of a frame; `InputError` if that cannot be."""
        said = {name for name, mask in configurations.stated.items() if mask[frame]}
        return charge_and_spin(atoms, configurations.state_of(frame), said, self.settings)

    @staticmethod
    def _limit_threads() -> None:
        """PySCF reads the number of threads once, when it is imported; a job may say another one."""
        threads = os.environ.get("OMP_NUM_THREADS", "")
        if threads.isdigit():
            from pyscf import lib  # noqa: PLC0415

            lib.num_threads(max(1, int(threads)))
