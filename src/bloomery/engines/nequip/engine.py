"""The engine `nequip`: runs `nequip-train` for each member. Imports nothing of NequIP until then."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bloomery.engines.committees import train_committee, training_details, training_summary
from bloomery.engines.contract import Engine, TrainingData, TrainingHistory
from bloomery.engines.file_potential import check_start
from bloomery.engines.nequip.settings import NequipSettings
from bloomery.engines.preparation import prepare
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress, no_progress
from bloomery.versions import package_versions, versions

PACKAGES = ("nequip", "e3nn", "lightning")


class Nequip(Engine):
    """Equivariant message passing."""

    name = "nequip"
    Settings = NequipSettings
    settings: NequipSettings
    package = "nequip"
    module = "nequip"

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
        """Fit a committee; see `Engine.train`. Absent labels are masked."""
        self.require()
        from bloomery.devices import choose_device  # noqa: PLC0415
        from bloomery.engines.nequip.potential import NequipPotential  # noqa: PLC0415
        from bloomery.engines.nequip.training import fit_member  # noqa: PLC0415

        place = choose_device(device)
        prepared = prepare(data)
        settings = self.settings
        kept = {"elements": prepared.elements} | {
            name: getattr(settings, name) for name in ("members", "layers", "l_max", "features", "dtype", "model")
        }
        start = check_start(start_from, NequipPotential, **kept)
        found = versions() | package_versions(*PACKAGES)
        committee = train_committee(
            partial(fit_member, settings),
            settings=settings,
            data=data,
            prepared=prepared,
            members=settings.members,
            share=settings.share,
            seed=seed,
            device=place,
            start=start,
            progress=progress,
            folder=folder,
            versions=found,
        )
        potential = NequipPotential(
            files=committee.files,
            elements=prepared.elements,
            energy_reference=prepared.energy_reference,
            members=settings.members,
            dtype=settings.dtype,
            cutoff=settings.cutoff * settings.layers,
            device=place,
            versions=found,
            details=training_details(settings, committee, prepared, data, seed),
        )
        summary = training_summary(committee, prepared, potential.members, place, start is not None)
        return potential, TrainingHistory(committee.columns, summary)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read a potential; see `Engine.load`."""
        cls.require()
        from bloomery.devices import choose_device  # noqa: PLC0415
        from bloomery.engines.nequip.potential import NequipPotential  # noqa: PLC0415

        return NequipPotential.load(folder, choose_device(device))
