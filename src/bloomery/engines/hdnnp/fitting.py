"""From labelled frames to a potential: checks, scales, blocks, start, training."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.contract import Descriptor
from bloomery.descriptors.species import species_of
from bloomery.devices import memory
from bloomery.engines.contract import Training, TrainingData, TrainingHistory
from bloomery.engines.hdnnp.blocks import Block, BlockBuilder, Blocks, MadeLater, made
from bloomery.engines.hdnnp.checkpoint import State
from bloomery.engines.hdnnp.components import Components
from bloomery.engines.hdnnp.costs import WORTH_A_TABLE, Costs
from bloomery.engines.hdnnp.loss import LossFunction
from bloomery.engines.hdnnp.model import Form, Parameters, Ranges, Scaling, initial_parameters
from bloomery.engines.hdnnp.network_potential import cutoff_of, descriptor_spec
from bloomery.engines.hdnnp.packing import Kinship, Packing
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.repulsion import Repulsion
from bloomery.engines.hdnnp.ridge import Ridge, fit_ridge
from bloomery.engines.hdnnp.scales import (
    feature_values,
    label_spreads,
    learnt_components,
    learnt_scaling,
    moved_a_little,
    no_narrower,
    rescaled,
)
from bloomery.engines.hdnnp.settings import HdnnpSettings
from bloomery.engines.hdnnp.training import Schedule, Trainer
from bloomery.engines.hdnnp.unseen import Gain, unseen_losses
from bloomery.engines.hdnnp.weights import groups_of, importance, member_weights
from bloomery.engines.preparation import Prepared, membership_seed, prepare, usable_start
from bloomery.errors import DataWarning, InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec, Settings
from bloomery.potentials.contract import reference_energies
from bloomery.seeds import derive_seed, digest_of
from bloomery.versions import versions

WORTH_TELLING = 2.0
"""GiB from which on it is told."""
HIDDEN = 0.2
"""Hidden layers that are added to a linear solution begin at this share of their usual size."""
CHECKPOINT_FILE = "checkpoint.npz"
TOLD_OF_REFIT = ("steps", "n_train", "train_loss", "seconds_training")
EARLY_STOPPING_FRAMES = 16
"""Early-stopping frames are looked at so many at a time."""


@dataclass(frozen=True)
class _Problem:
    """What is fitted: frames, what was learnt from them before the first step, and all of it as blocks.

    Parameters
    ----------
    train
        Frames that are fitted, those that are replayed at their end.
    start
        The potential to start from, if there is one.
    membership
        Seed of which member sees which frame.
    kept
        Share of the tables of derivatives that memory holds.
    n_labels
        Numbers that are fitted.
    """

    train: Configurations
    start: HdnnpPotential | None
    descriptor: Descriptor
    scaling: Scaling
    ranges: Ranges
    components: Components
    repulsion: Repulsion | None
    membership: int
    blocks: Blocks
    kept: float
    loss: LossFunction
    n_labels: int

    @property
    def known(self) -> frozenset[str]:
        """Hashes of the frames that the start has seen."""
        return frozenset() if self.start is None else self.start.seen


def fit(settings: HdnnpSettings, data: TrainingData, training: Training) -> tuple[HdnnpPotential, TrainingHistory]:
    """Fit a committee; see `Engine.fit`."""
    potential, history = _fitted(settings, data, training)
    if not (settings.refit and history.summary["n_early_stopping"]):
        return potential, history
    everything = Configurations.concatenate([data.train, data.early_stopping])
    again = replace(
        training,
        start_from=None if settings.networks == "none" else potential,
        folder=None if training.folder is None else training.folder / "refit",
    )
    refitted, more = _fitted(settings, replace(data, train=everything, early_stopping=everything[:0]), again)
    summary = {**history.summary, "refit": {name: more.summary[name] for name in TOLD_OF_REFIT}}
    return refitted, replace(history, summary=summary)


def _fitted(settings: HdnnpSettings, data: TrainingData, training: Training) -> tuple[HdnnpPotential, TrainingHistory]:
    """Fit a committee once."""
    began, place = time.perf_counter(), torch.device(training.device)
    usable = prepare(data)
    problem = _posed(settings, data, training, usable)
    parameters, ridge = _first_parameters(settings, problem, training)
    packing = Packing.of(parameters, _kinship(settings, problem.components))
    packed, dtype = packing.pack(parameters), getattr(torch, settings.training_dtype)
    trainer = _trainer(settings, data, training, problem, packing, packed)
    prepared = time.perf_counter() - began
    state = trainer.fit(packed.to(device=place, dtype=dtype), problem.blocks)
    best, gain = packing.unpack(state.best), None
    if ridge is not None and settings.networks != "none":
        linear = packing.pack(ridge.start(parameters, problem.loss.unit, 0.0)).to(device=place, dtype=dtype)
        best, gain = _simplest(problem, packing.unpack(linear), best)
    potential = HdnnpPotential(
        parameters=problem.components.expanded(
            {name: value.detach().double().cpu().contiguous() for name, value in best.items()}
        ),
        scaling=problem.scaling,
        ranges=problem.ranges,
        repulsion=problem.repulsion,
        seen=problem.known.union(problem.train.hashes()),
        form=problem.loss.form,
        descriptor=descriptor_spec(problem.descriptor),
        elements=usable.elements,
        energy_reference=usable.energy_reference,
        dtype=settings.dtype,
        device=str(place),
        versions=versions(),
        details={
            "settings": settings.model_dump(mode="json"),
            "membership_seed": problem.membership,
            "seed": training.seed,
            "trained_on": replace(usable, train=problem.train).trained_on,
        },
    )
    summary = _summary(settings, problem, state, trainer, str(place)) | {
        "n_early_stopping": len(usable.early_stopping),
        "seconds_preparing": prepared,
        "ridge": None if ridge is None else ridge.summary,
        "hidden_layers": None if gain is None else {"kept": gain.certain, **asdict(gain)},
    }
    return potential, TrainingHistory(state.columns, summary, [] if ridge is None else ridge.doubts())


def _posed(settings: HdnnpSettings, data: TrainingData, training: Training, usable: Prepared) -> _Problem:
    """Learn scales, components and short-range repulsion, and lay all frames out as blocks."""
    early, elements, device = usable.early_stopping, usable.elements, training.device
    start = usable_start(training.start_from, HdnnpPotential, partial(_told, settings, elements))
    train, n_replayed = _new_first(usable.train, frozenset() if start is None else start.seen, settings)
    _tell_size(settings, elements, train)
    descriptor = settings.descriptor.load("descriptors").fitted(train, elements) if start is None else start.descriptor
    around = Configurations.concatenate([train.without_labels(), moved_a_little(train, elements)])
    values, species = feature_values(descriptor, around, elements, device), species_of(around, elements)
    scaling, ranges = learnt_scaling(train, elements, descriptor, values, data.energy_reference, device)
    if start is not None:
        scaling, ranges = no_narrower(scaling, ranges, start)
    membership, frames = membership_seed(training.seed, start), Configurations.concatenate([train, early])
    builder = BlockBuilder(
        configurations=frames,
        energies=frames.label("energy")[0] - reference_energies(frames, data.energy_reference),
        weights=_member_weights(settings, train, early, membership),
        importance=importance(settings, frames, len(train)),
        descriptor=descriptor,
        elements=elements,
        scaling=scaling,
        components=learnt_components(settings, train, len(elements), (values, species), scaling, start),
        device=torch.device(device),
        dtype=getattr(torch, settings.training_dtype),
        form=Form((settings.activation,), settings.isolation_switch),
    )
    training.progress("prepare", 0, 1, {})
    blocks, kept = _blocks(builder, settings, len(train), n_replayed, training.seed)
    offset = torch.from_numpy(scaling.offset).to(device=builder.device, dtype=builder.dtype)
    spreads = label_spreads(train, builder.energies[: len(train)])
    return _Problem(
        train=train,
        start=start,
        descriptor=descriptor,
        scaling=scaling,
        ranges=ranges,
        components=builder.components,
        repulsion=_repulsion(settings, Configurations.concatenate([usable.train, early]), elements, descriptor, start),
        membership=membership,
        blocks=blocks,
        kept=kept,
        loss=LossFunction(settings.loss, spreads, offset, scaling.energy, builder.form),
        n_labels=_count_labels(train),
    )


def _trainer(
    settings: HdnnpSettings,
    data: TrainingData,
    training: Training,
    problem: _Problem,
    packing: Packing,
    packed: torch.Tensor,
) -> Trainer:
    """Return what takes the steps from these weights, ``(M, P)``."""
    train, blocks, warm = problem.train, problem.blocks, problem.start is not None
    schedule = Schedule.of(settings, len(train), blocks.per_epoch, problem.loss.spreads, warm=warm)
    asked, reference = settings.model_dump_json(), str(sorted(data.energy_reference.items()))
    frames = (train.digest(), data.early_stopping.digest())
    return Trainer(
        settings=settings,
        schedule=schedule,
        weight_decay=settings.weight_decay / max(problem.n_labels, 1),
        loss=problem.loss,
        packing=packing,
        seed=training.seed,
        checkpoint=None if training.folder is None else training.folder / CHECKPOINT_FILE,
        digest=digest_of(asked, *frames, str(training.seed), reference, packed.numpy().tobytes()),
        progress=training.progress,
    )


def _simplest(problem: _Problem, linear: Parameters, trained: Parameters) -> tuple[Parameters, Gain | None]:
    """Return the linear potential unless hidden layers are better than it on unseen frames; and by how much they are.

    With few labels networks follow these closely and are wrong elsewhere, most so about frames that are hotter than any
    of them. Where no frame is unseen, nothing speaks against networks.
    """
    before, after = (unseen_losses(each, problem.blocks, problem.loss) for each in (linear, trained))
    gain = Gain.between(before, after)
    return (trained if gain is None or gain.certain else linear), gain


def _tell_size(settings: HdnnpSettings, elements: list[str], frames: Configurations) -> None:
    """Say what a large training needs; raise `InputError` if that cannot fit into this machine's memory."""
    costs = Costs.of(settings, elements, len(frames), frames.n_atoms / max(len(frames), 1))
    if costs.memory < WORTH_TELLING:
        return
    text = (
        f"training: {costs.features:,} features of {frames.n_atoms:,} atoms and {settings.members} networks for each "
        f"of {len(elements)} elements on {costs.components:,} components need about {costs.memory:.0f} GiB; give fewer "
        "frames, or set fewer components, members or hidden units for less."
    )
    if costs.memory > (there := memory()):
        raise InputError(f"{text} This machine has {there:.0f} GiB.")
    warnings.warn(text, DataWarning, stacklevel=2)


def _count_labels(frames: Configurations) -> int:
    """Number of energies, force components and stress components."""
    per_atom = 3 * int(frames.counts[frames.has("forces")].sum())
    return int(frames.has("energy").sum()) + per_atom + 6 * int(frames.has("stress").sum())


def _told(settings: HdnnpSettings, elements: list[str], start: HdnnpPotential) -> dict[str, tuple[object, object]]:
    """Return what a potential to start from must have in common with this training."""
    trained = start.details.get("settings")
    if trained is None:
        raise InputError("start_from: was trained by another program, whose files do not say how; train from scratch.")
    return {
        "elements": (start.elements, elements),
        "descriptor": (_asked(PluginSpec.model_validate(trained["descriptor"])), _asked(settings.descriptor)),
        "members": (start.members, settings.members),
        "hidden layers": (tuple(trained["hidden"]), settings.hidden),
        "networks": (trained.get("networks", "committee"), settings.networks),
        "activation functions": (start.form.activations, (settings.activation,)),
        "linear path": ("skip" in start.parameters, settings.skip),
        "isolation switch": (start.form.switch, settings.isolation_switch),
        # Those of earlier versions do not say how close the atoms of their frames were.
        "short-range repulsion": (trained.get("repulsion", False), settings.repulsion),
    }


def _asked(spec: PluginSpec) -> tuple[str, Settings]:
    """Return what was asked for of a descriptor, whatever was made of it from data."""
    return spec.name, spec.load("descriptors").settings


def _new_first(train: Configurations, known: Collection[str], settings: HdnnpSettings) -> tuple[Configurations, int]:
    """Return the frames that are trained on, those that are replayed at their end, and how many these are."""
    old = np.array([text in known for text in train.hashes()], dtype=bool)
    if settings.replay == 1 or not old.any():
        return train, 0
    if settings.replay > 0:
        return train[np.argsort(old, kind="stable")], int(old.sum())
    if old.all():
        raise InputError(
            "start_from: was trained on all these frames, and replay is 0, so nothing is left to train on; give new "
            "frames, or raise replay."
        )
    return train[~old], 0


def _member_weights(
    settings: HdnnpSettings, train: Configurations, early: Configurations, seed: int
) -> NDArray[np.float64]:
    """See `member_weights`; no member sees an early-stopping frame."""
    seen = member_weights(train.hashes(), settings.members, settings.share, seed, settings.resampling)
    idle = int((~seen.any(axis=1)).sum())
    if idle:
        raise InputError(
            f"resampling: of {settings.members} disjoint folds {idle} would have none of the {len(train)} training "
            "frames; take fewer members, or another resampling."
        )
    return np.concatenate([seen, np.zeros((settings.members, len(early)))], axis=1)


def _kinship(settings: HdnnpSettings, components: Components) -> Kinship:
    return Kinship.of(settings.sharing if components.alike else 0.0, len(components.table))


def _first_parameters(
    settings: HdnnpSettings, problem: _Problem, training: Training
) -> tuple[Parameters, Ridge | None]:
    """Draw hidden layers, and solve for the linear path of each member, if there is to be one; or take the start's."""
    components, blocks, loss, start = problem.components, problem.blocks, problem.loss, problem.start
    n_species, alone = len(loss.offset), settings.networks == "none"
    if start is not None and not alone:
        return components.reduced(rescaled(start.parameters, start.scaling, problem.scaling)), None
    seeds = [derive_seed(training.seed, "weights", member) for member in range(settings.members)]
    # A linear potential has one hidden unit, which says nothing.
    hidden = (1,) if alone else settings.hidden
    drawn = initial_parameters(n_species, components.inverse.shape[2], hidden, seeds, skip=settings.skip)
    parameters = _kinship(settings, components).related(components.drawn(drawn))
    if not settings.skip:
        return parameters, None
    total = len(blocks.train)
    ridge = fit_ridge(
        map(made, blocks.train),
        loss,
        components,
        settings.members,
        settings.ridge,
        training.seed,
        draws=alone,
        told=lambda done: training.progress("ridge", done, total, {}),
    )
    for sentence in ridge.doubts():
        warnings.warn(sentence, DataWarning, stacklevel=2)
    return ridge.start(parameters, loss.unit, 0.0 if alone else HIDDEN), ridge


def _repulsion(
    settings: HdnnpSettings,
    frames: Configurations,
    elements: list[str],
    descriptor: Descriptor,
    start: HdnnpPotential | None,
) -> Repulsion | None:
    """Return what leaves these frames alone, and those of the start, which may not be among them."""
    if not settings.repulsion:
        return None
    repulsion = Repulsion.fitted(frames, elements, cutoff_of(descriptor))
    return repulsion if start is None or start.repulsion is None else repulsion.no_wider(start.repulsion)


def _blocks(
    builder: BlockBuilder, settings: HdnnpSettings, n_train: int, n_replayed: int, seed: int
) -> tuple[Blocks, float]:
    """Return the blocks, and the share of them that is kept: as many as the memory holds, training frames first."""
    fresh = np.random.default_rng(derive_seed(seed, "batches")).permutation(n_train - n_replayed)
    old = n_train - n_replayed + np.random.default_rng(derive_seed(seed, "replayed")).permutation(n_replayed)
    rest = np.arange(n_train, len(builder.configurations))
    train, replayed = _split(fresh, settings.batch_size), _split(old, settings.batch_size)
    batches = [*train, *replayed, *_split(rest, EARLY_STOPPING_FRAMES)]
    mapped = builder.force_map(Configurations.empty()) is not None
    # A map goes through all features: it is the faster way unless components are much fewer.
    tables = not mapped or builder.descriptor.size(builder.elements) > WORTH_A_TABLE * builder.components.count
    fits = np.cumsum(builder.bytes_of(batches)) < settings.memory * 2**30 if tables else np.zeros(len(batches), bool)
    blocks: list[Block | MadeLater] = []
    for batch, keep in zip(batches, fits, strict=True):
        # A map takes no memory; without one, tables that do not fit are made again at every step.
        again = not keep and not mapped
        blocks.append(partial(builder.build, batch) if again else builder.build(batch, keep_jacobian=bool(keep)))
    n_blocks = len(train) + len(replayed)
    share = float(fits.mean()) if tables else 1.0
    return Blocks(blocks[:n_blocks], blocks[n_blocks:], len(replayed), settings.replay), share


def _split(frames: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [frames[i : i + size] for i in range(0, len(frames), size)]


def _summary(
    settings: HdnnpSettings, problem: _Problem, state: State, trainer: Trainer, device: str
) -> dict[str, object]:
    train, columns = problem.train, state.columns
    return {
        "steps": state.step,
        "best_step": state.best_step,
        "stopped": "all steps done" if state.step >= trainer.schedule.steps else "early stopping",
        "n_train": len(train),
        "n_replayed": sum(text in problem.known for text in train.hashes()),
        "jacobians_kept": problem.kept,
        "warm_start": problem.start is not None,
        "device": device,
        "seconds_training": state.seconds,
        "train_loss": columns["train_loss"][-1] if columns["train_loss"] else None,
        "early_stopping_loss": float(state.best_loss.mean()) if problem.blocks.early_stopping and state.step else None,
        "groups": dict(Counter(groups_of(train, settings.group_key))) if settings.groups else {},
    }
