"""The engine `external`: runs what a definition says for each member."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

from bloomery.engines.committees import train_committee, training_details, training_summary
from bloomery.engines.contract import Engine, TrainingData, TrainingHistory
from bloomery.engines.external.definition import Definition
from bloomery.engines.external.settings import ExternalSettings
from bloomery.engines.file_potential import check_start
from bloomery.engines.preparation import prepare
from bloomery.errors import InputError
from bloomery.potentials.contract import Potential
from bloomery.progress import Progress, no_progress
from bloomery.versions import package_versions, versions


class External(Engine):
    """Any trainer, by its definition."""

    name = "external"
    Settings = ExternalSettings
    settings: ExternalSettings
    # What the shipped definition runs. No module: an environment with another trainer will do.
    package = "python-ace"

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
        """Fit a committee; see `Engine.train`. A start has no effect if the definition has no ``warm_command``."""
        from bloomery.engines.external.potential import ExternalPotential  # noqa: PLC0415
        from bloomery.engines.external.running import cutoff_of, fit_member  # noqa: PLC0415

        settings, definition = self.settings, self.settings.definition
        prepared = prepare(data)
        check_package(definition)
        same = settings.model_dump(mode="json")
        start = check_start(
            start_from, ExternalPotential, elements=prepared.elements, members=settings.members,
            definition=same["definition"], values=same["values"],
        )  # fmt: skip
        if definition.train.warm_command is None:
            start = None
        found = versions() | (package_versions(definition.package) if definition.package else {})
        committee = train_committee(
            partial(fit_member, settings),
            settings=settings,
            data=data,
            prepared=prepared,
            members=settings.members,
            share=settings.share,
            seed=seed,
            device=device,
            start=start,
            progress=progress,
            folder=folder,
            versions=found,
        )
        potential = ExternalPotential(
            files=committee.files,
            elements=prepared.elements,
            energy_reference=prepared.energy_reference,
            members=settings.members,
            dtype=definition.dtype,
            cutoff=cutoff_of(definition, settings.parameters),
            device=device,
            versions=found,
            details=training_details(settings, committee, prepared, data, seed),
        )
        summary = training_summary(committee, prepared, potential.members, device, start is not None)
        return potential, TrainingHistory(committee.columns, summary)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> Potential:
        """Read a potential; see `Engine.load`."""
        from bloomery.engines.external.potential import ExternalPotential  # noqa: PLC0415

        potential = ExternalPotential.load(folder, device)
        check_package(potential.definition)
        return potential


def check_package(definition: Definition) -> None:
    """See that the package that a definition names can be imported.

    Raises
    ------
    InputError
        If not.
    """
    if definition.module and importlib.util.find_spec(definition.module) is None:
        package = definition.package or definition.module
        raise InputError(
            f"engine 'external' needs the package {package} for this definition: install it into the environment that "
            f"runs the training, `pip install {package}`."
        )
