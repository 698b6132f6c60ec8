"""The potential that the engine `hdnnp` fits, without its exports: evaluation and files."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NotRequired, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from bloomery.descriptors.contract import Descriptor
from bloomery.descriptors.species import species_of
from bloomery.engines.hdnnp.evaluation import Evaluation, Evaluator
from bloomery.engines.hdnnp.model import ACTIVATIONS, Form, Parameters, Ranges, Scaling, hidden_layers
from bloomery.engines.hdnnp.repulsion import Repulsion, Watcher, read_repulsion
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec, parse_settings
from bloomery.potentials.contract import FIRST, POTENTIAL_FILE, Common, Details, Potential
from bloomery.potentials.prediction import MeanPrediction, Prediction, voigt
from bloomery.seeds import digest_of

WEIGHTS_FILE = "weights.npz"
CHUNK_ATOMS = 2048
"""Frames are evaluated together up to this many atoms."""
DEVICE_CHUNK_ATOMS = 65536
"""The same on an accelerator."""


class Parts(Common):
    """What a potential is made of, by the names that its constructor takes."""

    parameters: Parameters
    scaling: Scaling
    descriptor: PluginSpec
    form: Form
    ranges: NotRequired[Ranges | None]
    repulsion: NotRequired[Repulsion | None]
    seen: NotRequired[Collection[str]]
    dtype: NotRequired[str]


class NetworkPotential(Potential):
    """A committee of networks on one descriptor.

    Parameters
    ----------
    parameters
        Name to float64 tensor ``(M, S, ...)``, for inputs and outputs of unit variance.
    ranges
        What values the features have in the training frames, for `Prediction.extrapolation`.
    repulsion
        What is added where atoms are closer than in any training frame.
    seen
        Content hashes of all frames that it, or a potential that it started from, was trained on.
    details
        What else `POTENTIAL_FILE` says: settings, what it was trained on.
    """

    engine = "hdnnp"
    takes_empty_frames = True
    own_entries = ("descriptor", "network", "repulsion", "digest")

    def __init__(
        self,
        *,
        parameters: Parameters,
        scaling: Scaling,
        descriptor: PluginSpec,
        elements: list[str],
        energy_reference: dict[str, float],
        form: Form | None = None,
        ranges: Ranges | None = None,
        repulsion: Repulsion | None = None,
        seen: Collection[str] = (),
        dtype: str = "float64",
        device: str = "cpu",
        versions: dict[str, str] | None = None,
        details: Details | None = None,
    ) -> None:
        self.parameters, self.scaling, self.ranges = parameters, scaling, ranges
        self.form, self.repulsion, self.seen = form or Form(), repulsion, frozenset(seen)
        self.descriptor_spec = descriptor
        self.descriptor: Descriptor = descriptor.load("descriptors")
        self.elements, self.energy_reference = elements, energy_reference
        self.members = parameters["weight_0"].shape[0]
        self.dtype, self.device = dtype, torch.device(device)
        self.versions, self.details = versions or {}, details or {}
        self.cutoff = cutoff_of(self.descriptor)
        self.chunk_atoms = CHUNK_ATOMS if self.device.type == "cpu" else DEVICE_CHUNK_ATOMS
        self._evaluator = Evaluator.make(parameters, scaling, self.form, ranges, self.device, dtype)

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies, forces and stresses of all members; see `Potential.evaluate`."""
        return self._evaluated(part, stress, averaged=False)

    def evaluate_mean(self, part: Configurations, *, stress: bool) -> Prediction:
        """Energies of all members, and mean forces and stresses: what all members share is most of the work then."""
        return self._evaluated(part, stress, averaged=True)

    @torch.inference_mode()
    def _evaluated(self, part: Configurations, stress: bool, *, averaged: bool) -> Prediction:
        species = species_of(part, self.elements)
        evaluation = Evaluation(self._evaluator, species, averaged=averaged)
        watcher = None if self.repulsion is None else Watcher(self.repulsion, part, species)
        by_atom, virials = self.descriptor.forces(
            part, self.elements, evaluation, device=str(self.device), dtype=self.dtype, virials=stress, watch=watcher
        )
        # As a whole member by member: averages over members are several times faster.
        forces = by_atom.permute(2, 0, 1).contiguous().double().cpu()
        per_atom = evaluation.energies.double().cpu().numpy()
        if len(part) == 1:
            totals = per_atom.sum(axis=1, keepdims=True)
        else:
            owner = part.frame_of_atom
            totals = np.array([np.bincount(owner, energies, len(part)) for energies in per_atom])
        if watcher is not None and watcher.sums is not None:
            added = watcher.sums
            totals, forces = totals + added.energies.numpy(), forces + added.forces
            virials = None if virials is None else virials.cpu() + added.virials[..., None]
        kind = MeanPrediction if averaged else Prediction
        prediction = kind(part.counts, totals, forces.numpy(), _stresses(part, virials))
        if self.ranges is None:
            return prediction
        distances = evaluation.distances.cpu().numpy()
        # From half widths to widths; an atom of the training frames itself may be a rounding error outside.
        excess = np.where(distances > 1 + 1e-6, 0.5 * (distances - 1), 0.0)
        features = np.where(excess > 0, evaluation.outermost.cpu().numpy(), -1)
        return replace(prediction, extrapolation=excess, extrapolating_feature=features)

    def feature_name(self, element: str, feature: int) -> str:
        """See `Potential.feature_name`."""
        return self.descriptor.feature_name(self.elements, element, feature)

    def folded(self) -> Evaluator:
        """Return the networks with all scales folded in, in the potential's precision."""
        return self._evaluator

    def as_float64(self) -> Self:
        """Return the same weights evaluated in float64."""
        if self.dtype == "float64":
            return self
        # The weights that float32 evaluation uses, not those they were rounded from.
        kind = getattr(torch, self.dtype)
        rounded = {name: value.to(kind).double() for name, value in self.parameters.items()}
        return self.changed(parameters=rounded, dtype="float64")

    def changed(self, **changes: Any) -> Self:
        """Return the potential with some of what it is made of (`Parts`) changed."""
        own = {name: getattr(self, name) for name in Parts.__annotations__}
        own |= {"descriptor": self.descriptor_spec, "device": str(self.device)}
        return type(self)(**cast("Parts", own | changes))

    def write_files(self, folder: Path) -> Mapping[str, object]:
        """Write weights, scales and ranges; return what the networks are."""
        arrays = {f"parameter:{name}": value.cpu().numpy() for name, value in self.parameters.items()}
        arrays |= {f"scaling:{name}": np.asarray(value) for name, value in vars(self.scaling).items()}
        if self.ranges is not None:
            arrays |= {f"range:{name}": value for name, value in vars(self.ranges).items()}
        arrays["seen"] = np.array(sorted(self.seen), dtype=np.bytes_)
        np.savez(folder / WEIGHTS_FILE, allow_pickle=False, **arrays)
        own = {
            "descriptor": self.descriptor_spec.model_dump(),
            "network": {"activations": list(self.form.activations), "isolation_switch": self.form.switch},
        }
        if self.repulsion is not None:
            own["repulsion"] = self.repulsion.told()
        content = {name: getattr(self, name) for name in FIRST} | own
        return {**own, "digest": _digest(content, folder / WEIGHTS_FILE)}

    @classmethod
    def read_files(cls, folder: Path, content: Mapping[str, Any], common: Common) -> Self:
        """Read what `write_files` wrote; nothing reaches a kernel whose shape was not checked."""
        # Potentials that were written before there were digests have none.
        if "digest" in content and content["digest"] != _digest(content, folder / WEIGHTS_FILE):
            raise InputError(
                f"{folder}: {POTENTIAL_FILE} or {WEIGHTS_FILE} is not what was written (the digest is another one); "
                "copy the folder again, or train anew."
            )
        with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        scaling, ranges, parameters = (_named(arrays, prefix) for prefix in ("scaling:", "range:", "parameter:"))
        network = content.get("network", {"activations": ["silu"], "isolation_switch": True})
        descriptor = parse_settings(PluginSpec, content["descriptor"], f"{folder / POTENTIAL_FILE}: descriptor")
        sizes = content["members"], len(content["elements"]), descriptor.load("descriptors").size(content["elements"])
        if wrong := what_does_not_fit(parameters, scaling, ranges, sizes):
            raise InputError(f"{folder / WEIGHTS_FILE}: {wrong}; copy the folder again, or train anew.")
        if unknown := [name for name in network["activations"] if name not in ACTIVATIONS]:
            raise InputError(f"{folder / POTENTIAL_FILE}: {unknown[0]!r} is no activation function.")
        given, layers = len(network["activations"]), hidden_layers(parameters)
        if not 1 <= given <= max(1, layers):  # the last one serves all further layers
            told = f"{given} activation functions for {layers} hidden layers"
            raise InputError(f"{folder / POTENTIAL_FILE}: has {told}; copy the folder again, or train anew.")
        return cls(
            parameters={name: torch.from_numpy(value) for name, value in parameters.items()},
            form=Form(tuple(network["activations"]), bool(network["isolation_switch"])),
            ranges=Ranges(**ranges) if ranges else None,
            repulsion=_repulsion(folder, content, descriptor.load("descriptors")),
            seen=[text.decode() for text in arrays["seen"].tolist()] if "seen" in arrays else [],
            scaling=replace(Scaling(**scaling), energy=float(scaling["energy"])),
            descriptor=descriptor,
            dtype=content["dtype"],
            **common,
        )


def _stresses(part: Configurations, virials: torch.Tensor | None) -> NDArray[np.float64] | None:
    """Stresses ``(M, n, 6)`` from virials ``(n, 3, 3, M)``; zero where a frame is not periodic throughout."""
    if virials is None:
        return None
    full = part.pbc.all(axis=1) & (part.volumes > 0)
    volumes = np.where(full, part.volumes, np.inf)
    return voigt(virials.permute(3, 0, 1, 2).double().cpu().numpy()) / volumes[:, None]


def _named(arrays: Mapping[str, Any], prefix: str) -> Mapping[str, Any]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _repulsion(folder: Path, content: Mapping[str, Any], descriptor: Descriptor) -> Repulsion | None:
    """Return what `write_files` told of it; potentials that were written before there was one have none."""
    if "repulsion" not in content:
        return None
    try:
        return read_repulsion(content["repulsion"], content["elements"], cutoff_of(descriptor))
    except ValueError as error:
        raise InputError(
            f"{folder / POTENTIAL_FILE}: repulsion: {error}; copy the folder again, or train anew."
        ) from error


def _digest(content: Mapping[str, Any], weights: Path) -> str:
    """Return the digest of all that predictions hang on."""
    later = [name for name in ("repulsion",) if name in content]
    told = {name: content.get(name) for name in (*FIRST, "descriptor", "network", *later)}
    return digest_of(weights.read_bytes(), json.dumps(told, sort_keys=True))


def what_does_not_fit(
    parameters: Mapping[str, Any], scaling: Mapping[str, Any], ranges: Mapping[str, Any], sizes: tuple[int, int, int]
) -> str:
    """Say which array is missing or not as it must be for so many members, elements and features; or nothing."""
    members, species, features = sizes
    table = (species, features)
    wanted: dict[str, tuple[int, ...]] = {
        f"scaling:{name}": table for name in ("mean", "scale", "isolated", "magnitude")
    }
    wanted |= {"scaling:offset": (species,), "scaling:energy": ()}
    wanted |= {f"range:{field.name}": table for field in fields(Ranges)} if ranges else {}
    width, hidden = features, hidden_layers(parameters)
    for layer in range(hidden + 1):
        weight = np.shape(parameters.get(f"weight_{layer}", ()))
        out = weight[-1] if weight and layer < hidden else 1
        wanted |= {f"parameter:weight_{layer}": (members, species, width, out)}
        wanted |= {f"parameter:bias_{layer}": (members, species, 1, out)}
        width = out
    if "skip" in parameters:
        wanted["parameter:skip"] = (members, species, features, 1)
    found = {f"parameter:{name}": value for name, value in parameters.items()}
    found |= {f"scaling:{name}": value for name, value in scaling.items()}
    found |= {f"range:{name}": value for name, value in ranges.items()}
    for name in sorted({*wanted, *found, "parameter:weight_0"}):
        if name not in found or name not in wanted:
            return f"{name} is {'missing' if name in wanted or name not in found else 'unknown'}"
        if found[name].dtype != np.float64 or found[name].shape != wanted[name]:
            shape = "float64 of shape " + str(wanted[name])
            return f"{name} is {found[name].dtype} of shape {found[name].shape}, and the potential has {shape}"
        if not name.startswith("range:") and not (np.abs(found[name]) < 1e30).all():
            return f"{name} holds values that are no numbers, or beyond 1e30"
    return ""


def cutoff_of(descriptor: Descriptor) -> float:
    """Return how far an atom sees in Å; zero if the settings do not say it."""
    return float(getattr(descriptor.settings, "cutoff", 0.0))


def descriptor_spec(descriptor: Descriptor) -> PluginSpec:
    """Name a descriptor with the settings that are not its defaults."""
    settings = descriptor.settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return PluginSpec(name=descriptor.name, settings=settings)
