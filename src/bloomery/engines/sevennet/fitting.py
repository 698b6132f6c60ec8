"""From labelled frames to a committee: the weights to begin with, the shift of energies, and each member's tuning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bloomery.engines.contract import Training, TrainingData, TrainingHistory
from bloomery.engines.preparation import Prepared, member_frames, membership_seed, prepare, usable_start, working_folder
from bloomery.engines.sevennet.network import Network, SevenNet, read_checkpoint
from bloomery.engines.sevennet.potential import SevennetPotential
from bloomery.engines.sevennet.readout import drawn_readouts
from bloomery.engines.sevennet.settings import SevennetSettings
from bloomery.engines.sevennet.training import Row, Tuning
from bloomery.errors import InputError
from bloomery.foundations.sevennet import Sevennet
from bloomery.frames.configurations import Configurations
from bloomery.frames.energy_reference import fit_energy_shift
from bloomery.frames.neighbours import find_neighbours
from bloomery.seeds import derive_seed, digest_of
from bloomery.versions import package_versions, versions

PACKAGES = ("sevenn", "e3nn", "torch")
COLUMNS = ("member", "epoch", "train_loss", "early_stopping_loss", "seconds")


def fit(
    settings: SevennetSettings, data: TrainingData, training: Training
) -> tuple[SevennetPotential, TrainingHistory]:
    """Tune all members; see `Engine.fit`."""
    began = time.perf_counter()
    prepared = prepare(data)
    beginning = Beginning.of(settings, prepared, training)
    membership = membership_seed(training.seed, beginning.start)
    fitting = Fitting(settings, prepared, training, beginning, began)
    seen = member_frames(prepared.train.hashes(), settings.members, settings.share, membership)
    everything = np.ones((1, len(prepared.train)), dtype=bool)
    shared = settings.committee == "readout"
    with working_folder(training.folder) as root:
        networks = [
            fitting.tuned(member, prepared.train[chosen], root)
            for member, chosen in enumerate(everything if shared else seen)
        ]
    readouts = None
    if shared:
        net, draw = fitting.net, derive_seed(training.seed, "readouts")
        frames = (prepared.train, prepared.early_stopping)
        readouts = drawn_readouts(net, *frames, fitting.shift, settings.loss, seen, draw)
        networks = [net.with_readout(readouts.mean(axis=0))]
    potential = SevennetPotential(
        networks=networks,
        readouts=readouts,
        shift=fitting.shift,
        modal=beginning.modal,
        elements=prepared.elements,
        energy_reference=prepared.energy_reference,
        device=training.device,
        versions=versions() | package_versions(*PACKAGES),
        details={
            "settings": settings.model_dump(mode="json") | {"modal": beginning.modal},
            "seed": training.seed,
            "membership_seed": membership,
            "trained_on": prepared.trained_on,
        },
    )
    summary = {
        "epochs": max(fitting.columns["epoch"], default=0.0),
        "stopped": "early stopping or all epochs done",
        "n_train": len(prepared.train),
        "n_early_stopping": len(prepared.early_stopping),
        "warm_start": beginning.start is not None,
        "weights": beginning.digest,
        "shift": fitting.shift,
        "device": training.device,
        "seconds_training": time.perf_counter() - began,
    }
    return potential, TrainingHistory(fitting.columns, summary)


@dataclass(frozen=True)
class Beginning:
    """What a training begins with."""

    networks: Sequence[Network]
    """One for all members, or one for each."""
    modal: str | None
    digest: str
    """SHA-256 of the file of the weights, also of those that the potential to start from began with."""
    start: SevennetPotential | None = None

    @classmethod
    def of(cls, settings: SevennetSettings, prepared: Prepared, training: Training) -> Beginning:
        """Read the weights, or take those of the potential to start from; `InputError` if they do not fit."""
        foundation = Sevennet.make(model=settings.model, modal=settings.modal, digest=settings.digest)
        kept = {name: getattr(settings, name) for name in ("members", "committee", "model")}

        def told(old: SevennetPotential) -> dict[str, tuple[object, object]]:
            theirs = old.details["settings"]
            return {name: (theirs.get(name), value) for name, value in kept.items()}

        start = usable_start(training.start_from, SevennetPotential, told)
        if start is not None:
            found = cls(start.networks, start.modal, "", start)
        else:
            path = foundation.weights()
            assert path is not None  # noqa: S101
            network = read_checkpoint(path, "sevennet.model")
            found = cls([network], foundation.modal, foundation.checked_digest(path))
        first = found.networks[0]
        if (found.modal or "") not in (first.modals or [""]):
            known = f"has {', '.join(first.modals)}; choose one" if first.modals else "has none; leave it out"
            raise InputError(f"sevennet.modal: is {found.modal!r}, and {settings.model} {known}.")
        unknown = sorted(set(prepared.elements) - set(first.elements))
        if unknown:
            raise InputError(
                f"sevennet.model: {settings.model} does not cover {', '.join(unknown)}; name other weights."
            )
        if settings.committee == "readout" and not first.is_linear:
            raise InputError(
                f"sevennet.committee: the last layers of {settings.model} are not linear; write committee: full."
            )
        return found


@dataclass
class Fitting:
    """The training of all members."""

    settings: SevennetSettings
    prepared: Prepared
    training: Training
    beginning: Beginning
    began: float
    net: SevenNet = field(init=False)
    """Serves all members, one after the other."""
    shift: dict[str, float] = field(init=False)
    columns: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def __post_init__(self) -> None:
        """Find the shift, by all training frames."""
        self.net = SevenNet(self.beginning.networks[0], self.beginning.modal, self.training.device)
        self.shift = found_shift(self.prepared, self.net)

    @property
    def epochs(self) -> int:
        """Passes over the frames; none where only the readout is of its own, which is solved for."""
        settings = self.settings
        if settings.freeze == "all_but_readout" and settings.committee == "readout":
            return 0
        return settings.epochs if self.beginning.start is None else settings.warm_epochs

    def tuned(self, member: int, frames: Configurations, root: Path) -> Network:
        """Tune one network to some frames."""
        settings, warm = self.settings, self.beginning.start is not None
        given = self.beginning.networks
        network = given[member % len(given)]
        seed = derive_seed(self.training.seed, "weights", member)
        tuning = Tuning(
            settings,
            frames,
            self.prepared.early_stopping,
            self.shift,
            self.epochs,
            settings.warm_learning_rate if warm else settings.learning_rate,
            seed,
            lambda row: self._report(member, row),
            root / f"member_{member:03d}.pt",
            self._digest(frames, network, seed),
        )
        self.net.take(network)
        return tuning.run(self.net)

    def _report(self, member: int, row: Row) -> None:
        numbers = {"member": float(member), **row, "seconds": time.perf_counter() - self.began}
        for name in COLUMNS:
            self.columns[name].append(numbers[name])
        tunings = 1 if self.settings.committee == "readout" else self.settings.members
        self.training.progress("train", member * self.epochs + int(row["epoch"]), tunings * self.epochs, numbers)

    def _digest(self, frames: Configurations, network: Network, seed: int) -> str:
        """Of all that a tuning follows from."""
        texts = [self.settings.model_dump_json(), frames.digest(), self.prepared.early_stopping.digest(), str(seed),
                 str(sorted(self.shift.items())), str(self.epochs), str(self.beginning.modal), self.training.device,
                 str(sorted((versions() | package_versions(*PACKAGES)).items()))]  # fmt: skip
        arrays = [name.encode() + value.tobytes() for name, value in sorted(network.arrays.items())]
        return digest_of(*(text + "\0" for text in texts), *arrays)


def found_shift(prepared: Prepared, net: SevenNet) -> dict[str, float]:
    """Energy per atom of each element in eV by which labels are above what the weights say at the beginning.

    A lone atom has no say where there are others: universal models know none.
    """
    frames = prepared.train[prepared.train.has("energy")]
    bound = frames[with_neighbours(frames, net.cutoff)]
    frames = bound if set(bound.elements) == set(frames.elements) else frames
    energies: list[NDArray[np.float64]] = []
    for frame in frames:
        graph = net.graph(frame)
        energies.append(net.energies(graph, graph.vectors).double().cpu().numpy())
    return fit_energy_shift(frames, np.concatenate([np.zeros(0), *energies]), prepared.elements)


def with_neighbours(frames: Configurations, cutoff: float) -> NDArray[np.bool_]:
    """Which frames have no atom without a neighbour, ``(N,)``."""
    alone = np.ones(frames.n_atoms, dtype=bool)
    bare = replace(frames, labels={}, masks={})
    alone[find_neighbours(bare, cutoff).pairs[0]] = False
    result = np.ones(len(frames), dtype=bool)
    result[frames.frame_of_atom[alone]] = False
    return result
