"""The engine `metatrain`: runs `mtt train` for each member. Imports nothing of metatrain until then."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bloomery.engines.committees import train_committee, training_details, training_summary
from bloomery.engines.contract import Engine, TrainingData, TrainingHistory
from bloomery.engines.file_potential import check_start
from bloomery.engines.metatrain.settings import MetatrainSettings
from bloomery.engines.preparation import prepare
from bloomery.errors import InputError
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress, no_progress
from bloomery.versions import package_versions, versions

PACKAGES = ("metatrain", "metatomic-torch", "metatensor-torch", "sphericart-torch", "torch-spex")


class Metatrain(Engine):
    """SOAP-BPNN and PET of metatrain."""

    name = "metatrain"
    Settings = MetatrainSettings
    settings: MetatrainSettings
    package = "metatrain"
    module = "metatrain"

    def train(
        self,
        data: TrainingData,
        *,
        start_from: Potential | None = None,
        device: str = "auto",
        seed: int = 0,
        progress: Progress = no_progress,
        folder: Path | None = None,
    ) -> tuple[Potential, TrainingHistory]:
        """Fit a committee; see `Engine.train`. Absent labels are masked; energies must be there in part."""
        self.require()
        from bloomery.devices import choose_device  # noqa: PLC0415
        from bloomery.engines.metatrain.potential import MetatrainPotential  # noqa: PLC0415
        from bloomery.engines.metatrain.training import fit_member  # noqa: PLC0415

        place = choose_device(device)
        prepared = prepare(data)
        if not prepared.train.has("energy").any():
            raise InputError("engine 'metatrain' needs energies: no frame of the role train has one; label some.")
        kept = {"elements": prepared.elements} | {
            name: getattr(self.settings, name)
            for name in ("architecture", "uncertainty", "members", "cutoff", "dtype", "model")
        }
        start = check_start(start_from, MetatrainPotential, **kept)
        found = versions() | package_versions(*PACKAGES)
        drawn = self.settings.uncertainty == "llpr"
        committee = train_committee(
            partial(fit_member, self.settings),
            settings=self.settings,
            data=data,
            prepared=prepared,
            members=1 if drawn else self.settings.members,
            share=1.0 if drawn else self.settings.share,
            seed=seed,
            device=place,
            start=start,
            progress=progress,
            folder=folder,
            versions=found,
        )
        potential = MetatrainPotential(
            files=committee.files,
            elements=prepared.elements,
            energy_reference=prepared.energy_reference,
            members=self.settings.members,
            dtype=self.settings.dtype,
            cutoff=self.settings.cutoff,
            device=place,
            versions=found,
            details=training_details(self.settings, committee, prepared, data, seed),
        )
        potential.cutoff = potential.range()
        summary = training_summary(committee, prepared, potential.members, place, start is not None)
        return potential, TrainingHistory(committee.columns, summary)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read a potential; see `Engine.load`."""
        cls.require()
        from bloomery.devices import choose_device  # noqa: PLC0415
        from bloomery.engines.metatrain.potential import MetatrainPotential  # noqa: PLC0415

        return MetatrainPotential.load(folder, choose_device(device))
