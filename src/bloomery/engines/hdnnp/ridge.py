"""Ridge regression on the components: a linear potential, which networks start from or which stands alone.

Energies, forces and stresses are linear in the coefficients, so that the best ones follow from one linear system. The
prior belief is that components matter in proportion to their variance, and that elements are alike: coefficients of an
element scatter about what all have in common. With few labels the latter is worth more than they are: an element that
was seen near equilibrium only is described by what others do when they are hot. How strong both beliefs are is decided
by cross-validation over frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import torch

from bloomery.engines.hdnnp.blocks import Block
from bloomery.engines.hdnnp.components import Components
from bloomery.engines.hdnnp.loss import LossFunction
from bloomery.engines.hdnnp.model import Parameters, hidden_layers
from bloomery.seeds import derive_seed

STRENGTHS = tuple(10.0**power for power in range(-10, 1))
"""Prior strengths that are tried, relative to the weight of all labels."""
SMOOTH = tuple(strength for strength in STRENGTHS if strength >= 1e-2)
"""Networks begin with a smooth solution: what is finer is better learnt by them."""
USUAL_STRENGTH = 1e-3
"""Where there is one frame, so that nothing can be tried."""
FOLDS = 5
"""Frames are predicted from so many parts of all but one: with few frames, those that members of the committee do not
see would be too few to judge by."""
SHARED = (0.0, 0.98)
"""Shares of the prior variance of coefficients that all elements have in common, which are tried."""
LOOSE = 1e-2
"""Precision of the prior of the elements' constants, relative to that of the coefficients."""
WRONG_SIGN, SAME_UNIT = 0.5, 0.8
"""Squares of the correlation of stresses with what follows from other labels, from which a doubt is told."""
WRONG_UNIT = 10.0
"""Labels that are more or less by this have another unit; linear potentials are not so far off."""
MOST_COEFFICIENTS = 1280
"""For many elements fewer components are taken, so that the linear system stays small."""


@dataclass(frozen=True)
class Sums:
    """Sums over labels of products of what they are linear in, in units of their errors: matrix, vector and square."""

    matrix: torch.Tensor
    vector: torch.Tensor
    square: torch.Tensor

    @classmethod
    def zero(cls, size: int) -> Sums:
        """Return sums over nothing."""
        zero = torch.zeros((), dtype=torch.float64)
        return cls(zero.new_zeros((size, size)), zero.new_zeros(size), zero.clone())

    def add(self, rows: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> None:
        """Add labels ``(R,)`` and what they are linear in, ``(R, C)``, with weights ``(R,)``."""
        weighted = rows * weights[:, None]
        self.matrix.addmm_(rows.T, weighted)
        self.vector.addmv_(weighted.T, labels)
        self.square.add_((weights * labels * labels).sum())

    def error(self, coefficients: torch.Tensor) -> float:
        """Sum of the weighted squared errors of a solution."""
        quadratic = coefficients @ (self.matrix @ coefficients)
        return float(self.square - 2 * self.vector @ coefficients + quadratic)

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.matrix + other.matrix, self.vector + other.vector, self.square + other.square)

    def __sub__(self, other: Sums) -> Sums:
        return Sums(self.matrix - other.matrix, self.vector - other.vector, self.square - other.square)


@dataclass(frozen=True)
class Agreement:
    """Of labels with predictions of them, from labels of other kinds alone.

    Parameters
    ----------
    slope
        Of labels against predictions.
    explained
        Square of their correlation.
    """

    slope: float
    explained: float

    def doubt(self, what: str, unit: str) -> str | None:
        """Say what is wrong with labels that contradict the others of their frames."""
        follow = "those that follow from the other labels of the same frames"
        if self.slope < 0 and self.explained > WRONG_SIGN:
            return f"Labels contradict each other: {what} fall where {follow} rise. One of them has the wrong sign."
        if not 1 / WRONG_UNIT < self.slope < WRONG_UNIT and self.explained > SAME_UNIT:
            return (
                f"Labels contradict each other: {what} vary {self.slope:.3g} times as much as {follow}. One of them is "
                f"not in {unit}."
            )
        return None


@dataclass(frozen=True)
class Kind:
    """Sums over the labels of one kind, and over what they differ by from the mean of a few frames."""

    labels: Sums
    varied: Sums

    def add(self, rows: torch.Tensor, labels: torch.Tensor, per_frame: int) -> None:
        """Add labels of whole frames; see `Sums.add`."""
        if not len(labels):
            return
        every = torch.ones_like(labels)
        self.labels.add(rows, labels, every)
        # Means are left out: that of the energies is any, that of stresses at one volume does not follow from forces.
        about_mean = [
            (table - table.mean(dim=0)).flatten(0, 1)
            for table in (rows.unflatten(0, (-1, per_frame)), labels.unflatten(0, (-1, per_frame)))
        ]
        self.varied.add(about_mean[0], about_mean[1], every)

    def agreement(self, whole: Sums, precisions: Iterable[torch.Tensor]) -> Agreement | None:
        """Compare the labels with what the others predict of them, under the prior under which that is most."""
        others, square = whole - self.labels, float(self.varied.square)
        if float(others.square) <= 0 or square <= 0:
            return None
        found = []
        for precision in precisions:
            coefficients, _ = _solve(others, precision)
            together = float(self.varied.vector @ coefficients)
            predicted = float(coefficients @ (self.varied.matrix @ coefficients))
            if predicted > 0:
                found.append(Agreement(together / predicted, together**2 / (predicted * square)))
        return max(found, key=lambda each: each.explained, default=None)


@dataclass(frozen=True)
class Ridge:
    """Coefficients of each member, in eV.

    Parameters
    ----------
    coefficients, constants
        ``(M, S, C)`` by the first components and ``(M, S)``.
    strength, shared
        Of the prior, as they were chosen.
    unseen
        Root mean square error in cross-validation over frames, in units of the labels' errors; ``None`` where there is
        one frame.
    energy, stress
        Whether these labels agree with those of the other kinds; ``None`` where either are missing.
    """

    coefficients: torch.Tensor
    constants: torch.Tensor
    strength: float
    shared: float
    unseen: float | None
    energy: Agreement | None
    stress: Agreement | None

    @property
    def summary(self) -> dict[str, object]:
        """What a training tells of it."""
        agreements = {
            name: None if found is None else asdict(found)
            for name, found in (("energy", self.energy), ("stress", self.stress))
        }
        return {"strength": self.strength, "shared": self.shared, "unseen_error": self.unseen, "agreement": agreements}

    def doubts(self) -> list[str]:
        """Say which kinds of labels contradict the others."""
        found = [
            None if self.energy is None else self.energy.doubt("energies", "eV"),
            None if self.stress is None else self.stress.doubt("stresses (tension is positive)", "eV/Å^3"),
        ]
        return [sentence for sentence in found if sentence is not None]

    def start(self, parameters: Parameters, unit: float, hidden: float) -> Parameters:
        """Let networks begin with these coefficients in their linear path, and hidden layers at a share of theirs."""
        result, last = dict(parameters), hidden_layers(parameters)
        result["skip"] = torch.zeros_like(parameters["skip"])
        result["skip"][:, :, : self.coefficients.shape[2], 0] = self.coefficients / unit
        result[f"weight_{last}"] = hidden * parameters[f"weight_{last}"]
        result[f"bias_{last}"] = (self.constants / unit)[:, :, None, None]
        return result


def fit_ridge(
    blocks: Iterable[Block],
    loss: LossFunction,
    components: Components,
    members: int,
    strength: float | None,
    seed: int,
    draws: bool,
    told: Callable[[int], None],
) -> Ridge:
    """Solve for every member.

    Parameters
    ----------
    blocks
        Of the training frames.
    loss
        Labels count as they do there; each frame by the number of its atoms.
    components
        Where they are alike, so are their coefficients: how much so is tried.
    strength
        Of the prior; chosen if ``None``.
    draws
        Members are draws of the posterior of all frames, about its mean, instead of solutions for theirs.
    told
        Called with the number of blocks that are done.
    """
    found = _gathered(blocks, loss, components, members, told)
    usual, shares = STRENGTHS if draws else SMOOTH, SHARED if components.alike else SHARED[:1]
    choices = list(product(shares, usual if strength is None else (strength,)))
    if len(found.held) > 1:
        errors = [found.error(*choice) for choice in choices]
        best = int(np.argmin(errors))
        (shared, much), error = choices[best], errors[best]
    else:
        (shared, much), error = (choices[-1][0], USUAL_STRENGTH if strength is None else strength), None
    precision = found.precision(shared, much)
    if draws:
        solutions = _draws(found.whole, precision, (error or 0.0) ** 2, members, seed)
    else:
        solutions = torch.stack([_solve(sums, precision)[0] for sums in found.own])
    table = solutions.reshape(members, found.n_species, found.count)
    # Labels that contradict the others have spoilt the choice of the prior too: any of them will do.
    agreements = [
        kind.agreement(found.whole, (found.precision(*choice) for choice in product(shares, SMOOTH)))
        for kind in (found.energy, found.stress)
    ]
    return Ridge(table[..., :-1], table[..., -1].contiguous(), much, shared, error, *agreements)


@dataclass(frozen=True)
class _Gathered:
    """Sums over the labels of all training frames, of those that each member sees, and of those of each fold.

    Parameters
    ----------
    n_species, count
        Number of elements, and of what each has coefficients of.
    amount
        Weight of all labels.
    """

    n_species: int
    count: int
    whole: Sums
    own: list[Sums]
    held: list[Sums]
    energy: Kind
    stress: Kind
    amount: float

    def precision(self, shared: float, strength: float) -> torch.Tensor:
        """Of the prior, see `prior`."""
        return strength * self.amount * prior(self.n_species, self.count, shared)

    def error(self, shared: float, strength: float) -> float:
        """Root mean square error on each fold of what the others teach, in units of the labels' errors."""
        precision = self.precision(shared, strength)
        total = sum(fold.error(_solve(self.whole - fold, precision)[0]) for fold in self.held)
        return float(np.sqrt(max(total, 0.0) / self.amount))


def _gathered(
    blocks: Iterable[Block], loss: LossFunction, components: Components, members: int, told: Callable[[int], None]
) -> _Gathered:
    """Go through the training frames once."""
    n_species = len(components.table)
    count = 1 + min(components.count, max(1, MOST_COEFFICIENTS // n_species - 1))

    def zero() -> Sums:
        return Sums.zero(n_species * count)

    whole, changes, held = zero(), [zero() for _ in range(members)], [zero() for _ in range(FOLDS)]
    energy, stress = (Kind(zero(), zero()) for _ in range(2))
    amount, seen = 0.0, 0
    for done, block in enumerate(blocks):
        rows, labels, frames, importance, n_energies, n_stresses = _rows(block, loss, n_species, count)
        every = torch.ones_like(labels)
        whole.add(rows, labels, every)
        energy.add(rows[:n_energies], labels[:n_energies], 1)
        stress.add(rows[len(rows) - n_stresses :], labels[len(rows) - n_stresses :], 6)
        amount += float(importance.sum())
        for member in range(members):
            weights = block.weights[member].double().cpu()[frames]
            if (other := weights != 1).any():
                changes[member].add(rows[other], labels[other], weights[other] - 1)
        folds = (seen + frames) % FOLDS
        for fold in folds.unique().tolist():
            of_fold = folds == fold
            held[fold].add(rows[of_fold], labels[of_fold], every[of_fold])
        seen += len(block.counts)
        told(done + 1)
    own = [whole + change for change in changes]
    filled = [sums for sums in held if float(sums.square) > 0]
    return _Gathered(n_species, count, whole, own, filled, energy, stress, amount)


def prior(n_species: int, count: int, shared: float) -> torch.Tensor:
    """Precision of the coefficients' prior, ``(S Q, S Q)``; the last one of each element is its constant."""
    one = torch.eye(n_species, dtype=torch.float64)
    between = torch.linalg.inv(shared * torch.ones_like(one) + (1 - shared) * one).contiguous()
    own = torch.ones(count, dtype=torch.float64)
    own[-1] = 0
    return torch.kron(between, torch.diag(own)) + torch.kron(LOOSE * one, torch.diag(1 - own))


def _solve(sums: Sums, precision: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Coefficients, and the Cholesky factor of the matrix that they are the solution of."""
    factor = torch.linalg.cholesky(sums.matrix + precision)
    return torch.cholesky_solve(sums.vector[:, None], factor)[:, 0], factor


def _draws(sums: Sums, precision: torch.Tensor, noise: float, members: int, seed: int) -> torch.Tensor:
    """Draw from the posterior of a linear model with Gaussian errors; the mean of the draws is that of the posterior.

    Bishop, Pattern Recognition and Machine Learning (2006), equation 3.49, with the variance of the errors taken from
    cross-validation.
    """
    mean, factor = _solve(sums, precision)
    if members == 1:
        return mean[None]
    random = torch.Generator().manual_seed(derive_seed(seed, "posterior"))
    drawn = torch.randn(len(mean), members, dtype=torch.float64, generator=random)
    drawn = (drawn - drawn.mean(dim=1, keepdim=True)) * (members / (members - 1)) ** 0.5
    return mean + noise**0.5 * torch.linalg.solve_triangular(factor.T, drawn, upper=True).T


def _rows(
    block: Block, loss: LossFunction, n_species: int, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, int]:
    """What each label is linear in, ``(R, S count)``, and the label less the elements' offsets, in units of its error.

    And the frame of each, and its weight beside its error, ``(R,)`` each, and how many of the first are energies and
    how many of the last stresses. Labels that weigh nothing are left out.
    """
    inputs = block.inputs[:, : count - 1]
    values = torch.cat([inputs, torch.ones_like(inputs[:, :1])], dim=1)
    species = torch.empty(len(inputs), dtype=torch.long, device=inputs.device)
    for element, atoms in enumerate(block.species):
        species[atoms] = element
    forces, virials = block.response.linear(values, block.switch, species, n_species)
    n_frames, atoms = len(block.counts), block.counts
    energies = inputs.new_zeros((n_frames * n_species, count))
    energies.index_add_(0, block.frames * n_species + species, block.switch * values)
    every = torch.arange(n_frames, device=inputs.device)
    weights, spreads, given = loss.weights, loss.spreads, block.importance
    # The loss is a mean over frames; times three times its atoms each force component of a frame counts as one.
    parts = (
        (
            energies.reshape(n_frames, -1),
            block.labels["energy"],
            every,
            weights.energy * given["energy"],
            loss.energy_error * (atoms / 3) ** 0.5,
        ),
        (
            forces.flatten(2).flatten(0, 1),
            block.labels["forces"].flatten(),
            block.frames.repeat_interleave(3),
            weights.forces * given["forces"].repeat_interleave(3),
            torch.full_like(block.labels["forces"].flatten(), spreads.forces),
        ),
        (
            (virials.flatten(2) / block.volumes[:, None, None]).flatten(0, 1),
            block.labels["stress"].flatten(),
            every.repeat_interleave(6),
            weights.stress * given["stress"].repeat_interleave(6),
            spreads.stress * (2 / atoms).repeat_interleave(6) ** 0.5,
        ),
    )
    offsets = torch.zeros(n_species, count, dtype=torch.float64)
    offsets[:, -1] = loss.offset.double().cpu()
    rows, labels, frames, importance = [], [], [], []
    for linear, label, frame, own, error in parts:
        used = own > 0
        kept = linear[used].double().cpu()
        root = own[used].double().cpu().sqrt() / error[used].double().cpu()
        rows.append(kept * root[:, None])
        labels.append((label[used].double().cpu() - kept @ offsets.flatten()) * root)
        frames.append(frame[used].cpu())
        importance.append(own[used].double().cpu())
    return torch.cat(rows), torch.cat(labels), torch.cat(frames), torch.cat(importance), len(labels[0]), len(labels[-1])
