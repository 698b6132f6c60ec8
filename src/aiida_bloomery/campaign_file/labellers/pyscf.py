"""The labeller `pyscf`: molecules, by methods of quantum chemistry."""

from __future__ import annotations

from collections.abc import Iterator

from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.codes import DEFAULT_CODE, entry_of
from aiida_bloomery.campaign_file.labellers.contract import InProcessPart
from bloomery.labellers.pyscf import PyscfLabeller
from bloomery.labellers.pyscf.checks import check_settings, is_installed
from bloomery.labellers.pyscf.settings import PyscfLabellerSettings


class Part(PyscfLabellerSettings, InProcessPart):
    """Labels of molecules by PySCF, many frames in one job: energies and forces, by Hartree-Fock, DFT, MP2 or CCSD."""

    def theory(self, campaign: Campaign) -> str:  # noqa: ARG002
        """The functional, or the method of quantum chemistry."""
        return str(self.xc) if self.method == "dft" else self.method.upper()

    def check(self, campaign: Campaign) -> None:
        """See that method and basis are known and frames can be computed, unless PySCF is elsewhere alone."""
        if self._elsewhere(campaign):
            return
        with campaign.source.at(campaign.labeller_key()):
            check_settings(self)
            labeller = PyscfLabeller(self)
            for name, frames in campaign.named_frames:
                labeller.check_frames(frames, f"{name}: ")

    def notes(self, campaign: Campaign) -> Iterator[str]:
        """Say that nothing was seen, or which frames get no forces."""
        where = campaign.labeller_words
        if code := self._elsewhere(campaign):
            yield f"{where}: pyscf is not installed here, so frames are not held against it; {code} needs it."
            return
        for name, frames in campaign.named_frames:
            if bare := PyscfLabeller(self).without_forces(frames):
                yield (
                    f"{where}: PySCF has no forces of {self.method} with open shells, so frame {bare[0]} of "
                    f"{name} ({len(bare)} in all) gets an energy alone."
                )

    def _elsewhere(self, campaign: Campaign) -> str | None:
        """The code that labels, if the file names one and PySCF is not in this environment."""
        code = entry_of(campaign, self.code_key()).code
        return None if is_installed() or code == DEFAULT_CODE else code
