"""The engine `deepmd`: runs `dp --tf train` for each member. Imports nothing of DeePMD-kit until then."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bloomery.engines.committees import train_committee, training_details, training_summary
from bloomery.engines.contract import Engine, TrainingData, TrainingHistory
from bloomery.engines.deepmd.settings import DeepmdSettings
from bloomery.engines.file_potential import check_start
from bloomery.engines.preparation import prepare
from bloomery.engines.programs import find_program
from bloomery.errors import InputError
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress, no_progress
from bloomery.versions import package_versions, versions

PACKAGES = ("deepmd-kit", "tensorflow", "tensorflow-cpu")


class Deepmd(Engine):
    """Deep potentials with the descriptor se_e2_a."""

    name = "deepmd"
    Settings = DeepmdSettings
    settings: DeepmdSettings
    package = "deepmd-kit"
    module = "deepmd"

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
        """Fit a committee; see `Engine.train`.

        Absent labels are masked; energies must be there in part. The device is TensorFlow's choice, but for ``cpu``.
        """
        from bloomery.engines.deepmd.potential import DeepmdPotential  # noqa: PLC0415
        from bloomery.engines.deepmd.training import fit_member  # noqa: PLC0415

        prepared = prepare(data)
        if not prepared.train.has("energy").any():
            raise InputError("engine 'deepmd' needs energies: no frame of the role train has one; label some.")
        self.require()
        program = find_program(self.name, "deepmd-kit", "dp")
        kept = {"elements": prepared.elements} | {
            name: getattr(self.settings, name) for name in ("members", "cutoff", "dtype")
        }
        kept |= {name: list(getattr(self.settings, name)) for name in ("embedding", "hidden")}
        start = check_start(start_from, DeepmdPotential, **kept)
        found = {name: text for name, text in versions().items() if name != "torch"} | package_versions(*PACKAGES)
        committee = train_committee(
            partial(fit_member, self.settings, program),
            settings=self.settings,
            data=data,
            prepared=prepared,
            members=self.settings.members,
            share=self.settings.share,
            seed=seed,
            device=device,
            start=start,
            progress=progress,
            folder=folder,
            versions=found,
        )
        potential = DeepmdPotential(
            files=committee.files,
            elements=prepared.elements,
            energy_reference=prepared.energy_reference,
            members=self.settings.members,
            dtype=self.settings.dtype,
            cutoff=self.settings.cutoff,
            device=device,
            versions=found,
            details=training_details(self.settings, committee, prepared, data, seed),
        )
        summary = training_summary(committee, prepared, potential.members, device, start is not None)
        return potential, TrainingHistory(committee.columns, summary)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read a potential; see `Engine.load`."""
        cls.require()
        from bloomery.engines.deepmd.potential import DeepmdPotential  # noqa: PLC0415

        return DeepmdPotential.load(folder, device)
