"""From labelled frames to a potential: checks, scales, blocks, start, training."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray

from bloomery.descriptors.contract import Descriptor
from bloomery.descriptors.species import species_of
from bloomery.devices import memory
from bloomery.engines.contract import Training, TrainingData, TrainingHistory
from bloomery.engines.hdnnp.blocks import Block, BlockBuilder
from bloomery.engines.hdnnp.checkpoint import State
from bloomery.engines.hdnnp.components import FIRST_LAYER, Components
from bloomery.engines.hdnnp.costs import WORTH_A_TABLE, Costs
from bloomery.engines.hdnnp.loss import ENERGY_SCALE, LossFunction, Spreads
from bloomery.engines.hdnnp.model import Form, Parameters, Ranges, Scaling, hidden_layers, initial_parameters
from bloomery.engines.hdnnp.network_potential import cutoff_of, descriptor_spec
from bloomery.engines.hdnnp.packing import Kinship, Packing
from bloomery.engines.hdnnp.potential import HdnnpPotential
from bloomery.engines.hdnnp.repulsion import Repulsion
from bloomery.engines.hdnnp.ridge import Ridge, fit_ridge
from bloomery.engines.hdnnp.settings import HdnnpSettings
from bloomery.engines.hdnnp.training import Blocks, Schedule, Trainer, made
from bloomery.engines.hdnnp.weights import groups_of, importance, member_weights
from bloomery.engines.preparation import membership_seed, prepare, usable_start
from bloomery.errors import DataWarning, InputError
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.energy_reference import fit_energy_reference
from bloomery.plugins import PluginSpec, Settings
from bloomery.potentials.contract import reference_energies
from bloomery.seeds import derive_seed, digest_of
from bloomery.versions import versions

WORTH_TELLING = 2.0
"""GiB from which on it is told."""
HIDDEN = 0.2
"""Hidden layers that are added to a linear solution begin at this share of their usual size."""
ISOLATED = 1e-3
"""An atom whose features are so small beside those of the usual one is isolated."""
MOVED = 0.05
"""Angstrom. Atoms of frames with few atoms are moved by this to see what their features depend on."""
MANY_ATOMS = 1000
"""An element with as many atoms needs no such copies."""
MOST_COPIES = 16
"""No frame is copied more often."""
CHECKPOINT_FILE = "checkpoint.npz"
EARLY_STOPPING_FRAMES = 16
"""Early-stopping frames are looked at so many at a time."""


def fit(settings: HdnnpSettings, data: TrainingData, training: Training) -> tuple[HdnnpPotential, TrainingHistory]:
    """Fit a committee; see `Engine.fit`."""
    began, seed, progress = time.perf_counter(), training.seed, training.progress
    place = torch.device(training.device)
    usable = prepare(data)
    early, elements = usable.early_stopping, usable.elements
    start = usable_start(training.start_from, HdnnpPotential, partial(_told, settings, elements))
    old = frozenset() if start is None else start.seen
    train, n_replayed = _new_first(usable.train, old, settings)
    form = Form((settings.activation,), settings.isolation_switch)
    descriptor = settings.descriptor.load("descriptors") if start is None else start.descriptor
    _tell_size(settings, elements, train)
    if start is None:
        descriptor = descriptor.fitted(train, elements)
    around = Configurations.concatenate([train.without_labels(), _moved(train, elements)])
    values, species = _values(descriptor, around, elements, str(place)), species_of(around, elements)
    scaling, ranges = _scaling(train, elements, descriptor, values, data.energy_reference, str(place))
    if start is not None:
        scaling, ranges = _no_narrower(scaling, ranges, start)
    components = _components(settings, train, len(elements), (values, species), scaling, start)
    repulsion = _repulsion(settings, Configurations.concatenate([usable.train, early]), elements, descriptor, start)
    membership = membership_seed(seed, start)
    frames = Configurations.concatenate([train, early])
    builder = BlockBuilder(
        configurations=frames,
        energies=frames.label("energy")[0] - reference_energies(frames, data.energy_reference),
        weights=_member_weights(settings, train, early, membership),
        importance=importance(settings, frames, len(train)),
        descriptor=descriptor,
        elements=elements,
        scaling=scaling,
        components=components,
        device=place,
        dtype=getattr(torch, settings.training_dtype),
        form=form,
    )
    progress("prepare", 0, 1, {})
    blocks, kept = _blocks(builder, settings, len(train), n_replayed, seed)
    offset = torch.from_numpy(scaling.offset).to(device=place, dtype=builder.dtype)
    spreads = _spreads(train, builder.energies[: len(train)])
    loss = LossFunction(settings.loss, spreads, offset, scaling.energy, form)
    if start is None or settings.networks == "none":
        parameters, ridge = _first_parameters(settings, blocks, loss, components, training)
    else:
        parameters, ridge = components.reduced(rescaled(start.parameters, start.scaling, scaling)), None
    packing = Packing.of(parameters, _kinship(settings, components))
    packed = packing.pack(parameters)
    asked, reference = settings.model_dump_json(), str(sorted(data.energy_reference.items()))
    trainer = Trainer(
        settings=settings,
        schedule=Schedule.of(settings, len(train), blocks.per_epoch, spreads, warm=start is not None),
        weight_decay=settings.weight_decay / max(_count_labels(train), 1),
        loss=loss,
        packing=packing,
        seed=seed,
        checkpoint=None if training.folder is None else training.folder / CHECKPOINT_FILE,
        digest=digest_of(asked, train.digest(), early.digest(), str(seed), reference, packed.numpy().tobytes()),
        progress=progress,
    )
    prepared = time.perf_counter() - began
    state = trainer.fit(packed.to(device=place, dtype=builder.dtype), blocks)
    best = {name: value.detach().double().cpu().contiguous() for name, value in packing.unpack(state.best).items()}
    potential = HdnnpPotential(
        parameters=components.expanded(best),
        scaling=scaling,
        ranges=ranges,
        repulsion=repulsion,
        seen=old.union(train.hashes()),
        form=form,
        descriptor=descriptor_spec(descriptor),
        elements=elements,
        energy_reference=usable.energy_reference,
        dtype=settings.dtype,
        device=str(place),
        versions=versions(),
        details={
            "settings": settings.model_dump(mode="json"),
            "membership_seed": membership,
            "seed": seed,
            "trained_on": replace(usable, train=train).trained_on,
        },
    )
    summary = _summary(state, trainer, prepared, len(train), len(early), kept, start is not None, str(place))
    summary["ridge"] = None if ridge is None else ridge.summary
    summary["n_replayed"] = sum(text in old for text in train.hashes())
    summary["groups"] = dict(Counter(groups_of(train, settings.group_key))) if settings.groups else {}
    return potential, TrainingHistory(state.columns, summary, [] if ridge is None else ridge.doubts())


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
    """See `member_weights`; all members see all early-stopping frames."""
    seen = member_weights(train.hashes(), settings.members, settings.share, seed, settings.resampling)
    idle = int((~seen.any(axis=1)).sum())
    if idle:
        raise InputError(
            f"resampling: of {settings.members} disjoint folds {idle} would have none of the {len(train)} training "
            "frames; take fewer members, or another resampling."
        )
    return np.concatenate([seen, np.ones((settings.members, len(early)))], axis=1)


def _values(descriptor: Descriptor, frames: Configurations, elements: list[str], device: str) -> NDArray[np.float64]:
    """Features of all atoms, ``(A, F)``."""
    parts = (frames[i : i + 64] for i in range(0, len(frames), 64))
    found = [descriptor.features(part, elements, device=device).values.cpu().numpy() for part in parts]
    return np.concatenate(found)


def _scaling(
    train: Configurations,
    elements: list[str],
    descriptor: Descriptor,
    around: NDArray[np.float64],
    reference: dict[str, float],
    device: str,
) -> tuple[Scaling, Ranges]:
    """Learn all scales from the training frames, and what values their features have.

    ``around`` are features of their atoms and, after these, of `_moved` ones, ``(A, F)``.
    """
    values = around[: train.n_atoms]
    lonely = Configurations.from_atoms([Atoms(element) for element in elements])
    isolated = _values(descriptor, lonely, elements, device)
    mean, scale, magnitude = np.zeros_like(isolated), np.ones_like(isolated), np.ones_like(isolated)
    ranges = Ranges(*[np.zeros_like(isolated) for _ in range(4)])
    for species, number in enumerate(symbols_to_numbers(elements)):
        rows = values[train.numbers == number]
        mean[species] = rows.mean(axis=0)
        ranges.minimum[species], ranges.maximum[species] = rows.min(axis=0), rows.max(axis=0)
        ranges.mean[species], ranges.deviation[species] = mean[species], rows.std(axis=0, ddof=min(1, len(rows) - 1))
        away = (rows - isolated[species]) ** 2
        magnitude[species], usual = _least_magnitude(away.mean(axis=1)), np.sqrt(away.mean(axis=0))
        # A feature that hardly varies in the training frames must not be blown up outside them.
        spread = np.maximum(rows.std(axis=0), np.maximum(1e-3 * usual, 1e-8))
        scale[species] = spread
    # One number for all: features keep their natural proportions, and mean the same for every element.
    scale[:] = np.sqrt(np.mean(scale**2))
    energies, mask = train.label("energy")
    residual = train.without_labels().with_labels(
        energy=np.where(mask, energies - reference_energies(train, reference), 0.0), masks={"energy": mask}
    )
    fitted = fit_energy_reference(residual, elements)
    offset = np.array([fitted[element] for element in elements])
    unit = _unit(train, _spreads(train, residual.label("energy")[0]))
    return Scaling(mean, scale, isolated, magnitude, offset, unit), ranges


def _components(
    settings: HdnnpSettings,
    train: Configurations,
    n_elements: int,
    around: tuple[NDArray[np.float64], NDArray[np.int64]],
    scaling: Scaling,
    start: HdnnpPotential | None,
) -> Components:
    """Learn the components of the training frames; those of a start are kept if its frames are not all among them.

    ``around`` are features ``(A, F)`` and species ``(A,)`` of the atoms, and of `_moved` ones.
    """
    values, species = around
    inputs = (values - scaling.mean[species]) / scaling.scale[species]
    kept = np.zeros((n_elements, inputs.shape[1], 0))
    if start is not None and not start.seen <= set(train.hashes()):
        old = rescaled(start.parameters, start.scaling, scaling)
        # From (M, S, F, H) to (S, F, M H).
        kept = np.concatenate(
            [torch.cat(list(old[name]), dim=2).numpy() for name in FIRST_LAYER if name in old], axis=2
        )
    return Components.of(inputs, species, settings.most_components(n_elements), settings.feature_scaling, kept)


def _least_magnitude(squares: NDArray[np.float64]) -> float:
    """Return how far the features of an atom are at least from those of an isolated one, from mean squares ``(A,)``.

    The isolation switch leaves atoms alone that are as far, and so all of the training frames: were they counted by
    what is usual, it would pull at those of them that are less usual. Those that are as good as isolated do not count.
    """
    bound = squares[squares > ISOLATED**2 * squares.mean()]
    return float(np.sqrt(bound.min())) if len(bound) else 1.0


def _moved(train: Configurations, elements: list[str]) -> Configurations:
    """Return copies of frames whose atoms are few, with all atoms moved a little at random.

    Few atoms span few directions, a perfect crystal none, but their forces are derivatives along many more: these have
    to be among the components.
    """
    species = species_of(train, elements)
    rarest = np.full(len(train), MANY_ATOMS)
    np.minimum.at(rarest, train.frame_of_atom, np.bincount(species)[species])
    copies = np.minimum(-(-MANY_ATOMS // rarest) - 1, MOST_COPIES)
    moved = train[np.repeat(np.arange(len(train)), copies)]
    random = np.random.default_rng(0)
    return replace(moved, positions=moved.positions + random.normal(scale=MOVED, size=moved.positions.shape))


def _kinship(settings: HdnnpSettings, components: Components) -> Kinship:
    return Kinship.of(settings.sharing if components.alike else 0.0, len(components.table))


def _first_parameters(
    settings: HdnnpSettings, blocks: Blocks, loss: LossFunction, components: Components, training: Training
) -> tuple[Parameters, Ridge | None]:
    """Draw hidden layers, and solve for the linear path of each member, if there is to be one."""
    n_species, alone = len(loss.offset), settings.networks == "none"
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


def _no_narrower(scaling: Scaling, ranges: Ranges, start: HdnnpPotential) -> tuple[Scaling, Ranges]:
    """Return scales and ranges that hold for the frames of the start as well, which may not be among those given.

    Where few and similar frames are given, their own scales would blow up every difference from them, and a step that
    is small for them would be large for all others.
    """
    old, known = start.scaling, start.ranges
    scaling = replace(scaling, scale=np.maximum(scaling.scale, old.scale), energy=max(scaling.energy, old.energy))
    if known is not None:
        lowest, highest = np.minimum(ranges.minimum, known.minimum), np.maximum(ranges.maximum, known.maximum)
        ranges = replace(ranges, minimum=lowest, maximum=highest)
    return scaling, ranges


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


def _unit(train: Configurations, spreads: Spreads) -> float:
    """By how much atomic energies vary in eV, roughly: what the networks' outputs are counted in."""
    if train.has("forces").any():
        return 0.2 * spreads.forces
    if train.has("energy").any():
        return spreads.energy * float(np.sqrt(train.counts.mean()))
    return 0.2 * spreads.stress * float((train.volumes / train.counts).mean())


def _spreads(train: Configurations, energies: NDArray[np.float64]) -> Spreads:
    """Spread of the labels, bounded from below where frames hardly differ."""
    mask = train.has("energy")
    energy = float((energies[mask] / train.counts[mask]).std()) if mask.any() else 0.0
    forces, has = train.label("forces")
    present = forces[has[train.frame_of_atom]]
    force = float(np.sqrt((present**2).mean())) if present.size else 0.0
    stress, has = train.label("stress")
    tension = float(np.sqrt((stress[has] ** 2).mean())) if has.any() else 0.0
    energy, force = max(energy, 1e-3), max(force, 1e-2)
    unit = max(energy, ENERGY_SCALE * force)
    return Spreads(unit, force, max(tension, 1e-4), (energy / unit) ** 2)


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
    blocks: list[Block | Callable[[], Block]] = []
    for batch, keep in zip(batches, fits, strict=True):
        # A map takes no memory; without one, tables that do not fit are made again at every step.
        again = not keep and not mapped
        blocks.append(partial(builder.build, batch) if again else builder.build(batch, keep_jacobian=bool(keep)))
    n_blocks = len(train) + len(replayed)
    share = float(fits.mean()) if tables else 1.0
    return Blocks(blocks[:n_blocks], blocks[n_blocks:], len(replayed), settings.replay), share


def _split(frames: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [frames[i : i + size] for i in range(0, len(frames), size)]


def rescaled(parameters: Parameters, old: Scaling, new: Scaling) -> Parameters:
    """Turn parameters for old scales of inputs and outputs into those of the same function for new scales."""
    result = {name: value.clone() for name, value in parameters.items()}
    last = hidden_layers(result)
    ratio = torch.from_numpy(new.scale / old.scale)[None, :, :, None]
    shift = torch.from_numpy((new.mean - old.mean) / old.scale)[None, :, None, :]
    result["bias_0"] += shift @ result["weight_0"]
    if "skip" in result:
        result[f"bias_{last}"] += shift @ result["skip"]
        result["skip"] *= ratio * (old.energy / new.energy)
    result["weight_0"] *= ratio
    unit = old.energy / new.energy
    for name in (f"weight_{last}", f"bias_{last}"):
        result[name] *= unit
    result[f"bias_{last}"] += torch.from_numpy((old.offset - new.offset) / new.energy)[None, :, None, None]
    return result


def _summary(
    state: State, trainer: Trainer, prepared: float, n_train: int, n_early: int, kept: float, warm: bool, device: str
) -> dict[str, object]:
    return {
        "steps": state.step,
        "best_step": state.best_step,
        "stopped": "all steps done" if state.step >= trainer.schedule.steps else "early stopping",
        "n_train": n_train,
        "n_early_stopping": n_early,
        "jacobians_kept": kept,
        "warm_start": warm,
        "device": device,
        "seconds_preparing": prepared,
        "seconds_training": state.seconds,
        "train_loss": state.columns["train_loss"][-1] if state.columns["train_loss"] else None,
        "early_stopping_loss": float(state.best_loss.mean()) if n_early and state.step else None,
    }
