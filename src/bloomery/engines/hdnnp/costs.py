"""What a training will cost, and where its potentials can go: told before it is paid, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from bloomery.engines.hdnnp.settings import HdnnpSettings

STEPS, EPOCHS = 2000, 100
"""Steps of a training from scratch at least, and passes through its frames at least."""
WARM_STEPS, WARM_EPOCHS = 800, 40
"""The same for one that starts from an earlier potential."""
BYTES_OF_WEIGHT = 75
"""Measured: of one weight of the first layer in a training, copies in two precisions and moments included."""
NEIGHBOURS = 40
"""Of an atom within 5 Å, in a solid or a liquid."""
WORTH_A_TABLE = 1.5
"""Derivatives of components are kept where there are so many times as many features."""
SECONDS_OF_STEP, SECONDS_OF_ELEMENT, SECONDS_OF_WEIGHT = 3e-3, 1.5e-3, 2.2e-9
"""On one core: of a step, for each element in it, and for each weight of a network that an atom goes through. Fitted
to trainings on silicon, copper, acetylacetone and NbMoTaW, which they meet within a fifth (AMD EPYC with AVX2)."""


@dataclass(frozen=True)
class Costs:
    """Of one training from scratch.

    Parameters
    ----------
    features, components
        Of an atom.
    steps
        Gradient steps.
    memory
        In GiB.
    minutes
        Of one core, roughly.
    """

    features: int
    components: int
    steps: int
    memory: float
    minutes: float

    @classmethod
    def of(cls, settings: HdnnpSettings, elements: Iterable[str], frames: int, atoms: float) -> Costs:
        """Foresee a training on so many frames of so many atoms."""
        known = list(elements)
        features = settings.descriptor.load("descriptors").fitted_size(known)
        components = min(features, settings.most_components(len(known)))
        steps = steps_of(settings, -(-frames // settings.batch_size))
        through = sum(inputs * outputs for inputs, outputs in pairwise((components, *settings.hidden, 1)))
        step = SECONDS_OF_STEP + len(known) * SECONDS_OF_ELEMENT
        step += SECONDS_OF_WEIGHT * settings.members * through * min(settings.batch_size, frames) * atoms
        everything = frames * atoms
        tables = 12 * components * (NEIGHBOURS + 1) * everything if features > WORTH_A_TABLE * components else 0.0
        memory = weights_memory(settings, components, len(known)) + 24 * features * everything / 2**30
        memory += min(tables / 2**30, settings.memory)
        return cls(features, components, steps, memory, steps * step / 60)


def steps_of(settings: HdnnpSettings, batches: int, *, warm: bool = False) -> int:
    """Gradient steps of a training from scratch or from an earlier potential, of so many batches in each pass."""
    if settings.networks == "none":
        return 0
    if warm:
        return max(WARM_STEPS, WARM_EPOCHS * batches) if settings.warm_steps is None else settings.warm_steps
    return max(STEPS, EPOCHS * batches) if settings.steps is None else settings.steps


def weights_memory(settings: HdnnpSettings, components: int, n_elements: int) -> float:
    """What the networks of all members and elements need, in GiB."""
    weights = settings.members * n_elements * components * (settings.hidden[0] + 1)
    return weights * BYTES_OF_WEIGHT / 2**30


def told_costs(settings: HdnnpSettings, elements: Iterable[str], frames: int, atoms: float) -> str:
    """Say what a training will cost."""
    known = list(elements)
    costs = Costs.of(settings, known, frames, atoms)
    features = f"Training: {costs.features:,} features an atom"
    memory = f"about {costs.memory:.1f} GiB" if costs.memory >= 0.1 else "little memory"
    if not costs.steps:
        return f"{features}, a linear potential; on {frames:,} frames {memory}."
    networks = f"{settings.members} networks" + (f" for each of {len(known)} elements" if len(known) > 1 else "")
    time = f"{costs.minutes:.0f} minutes" if costs.minutes >= 1.5 else "a minute"
    return f"{features}, {networks}; on {frames:,} frames {costs.steps:,} steps, {memory} and about {time} of one core."


def told_destinations(settings: HdnnpSettings) -> str:
    """Say how potentials come into LAMMPS."""
    wrong = in_the_way(settings)
    return f"LAMMPS: metatomic; n2p2 with {', '.join(wrong)}." if wrong else "LAMMPS: metatomic or n2p2."


def in_the_way(settings: HdnnpSettings) -> list[str]:
    """Return the settings with which n2p2 could express potentials, as far as they are others."""
    asked = {
        "descriptor: acsf": settings.descriptor.name == "acsf",
        "skip: false": not settings.skip,
        "isolation_switch: false": not settings.isolation_switch,
        "repulsion: false": not settings.repulsion,
        "activation: tanh": settings.activation != "silu",
    }
    return [name for name, there in asked.items() if not there]
