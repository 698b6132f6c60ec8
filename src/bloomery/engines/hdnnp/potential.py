"""The potential that the engine `hdnnp` fits: evaluation, files and export."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar
from zipfile import BadZipFile

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from bloomery.descriptors.contract import Descriptor
from bloomery.descriptors.species import species_of
from bloomery.engines.hdnnp.evaluation import Evaluator
from bloomery.engines.hdnnp.model import Form, Parameters, Ranges, Scaling
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.plugins import PluginSpec
from bloomery.potentials.contract import POTENTIAL_FILE, Potential, reference_energies
from bloomery.potentials.prediction import Prediction

FORMAT_VERSION = 1
WEIGHTS_FILE = "weights.npz"
CHUNK_ATOMS = 2048
"""Frames are evaluated together up to this many atoms."""
DEVICE_CHUNK_ATOMS = 65536
"""The same on an accelerator."""


class HdnnpPotential(Potential):
    """A committee of networks on one descriptor.

    Parameters
    ----------
    parameters
        Name to float64 tensor ``(M, S, ...)``, for inputs and outputs of unit variance.
    ranges
        What values the features have in the training frames, for `Prediction.extrapolation`.
    seen
        Content hashes of all frames that it, or a potential that it started from, was trained on.
    details
        What else `POTENTIAL_FILE` says: settings, what it was trained on.
    """

    engine = "hdnnp"
    formats: ClassVar[dict[str, str]] = {
        "ase": "files of bloomery, for Python and ASE",
        "n2p2": "files of n2p2 for each member, for LAMMPS and CP2K",
        "metatomic": "a metatomic model for LAMMPS, i-PI, torch-sim and ASE",
    }

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
        seen: Collection[str] = (),
        dtype: str = "float64",
        device: str = "cpu",
        versions: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.parameters, self.scaling, self.ranges = parameters, scaling, ranges
        self.form, self.seen = form or Form(), frozenset(seen)
        self.descriptor_spec, self.descriptor = descriptor, load_descriptor(descriptor)
        self.elements, self.energy_reference = elements, energy_reference
        self.members = parameters["weight_0"].shape[0]
        self.dtype, self.device = dtype, torch.device(device)
        self.versions, self.details = versions or {}, details or {}
        self.cutoff = float(getattr(self.descriptor.settings, "cutoff", 0.0))
        self._evaluator = Evaluator.make(parameters, scaling, self.form, ranges, self.device, dtype)

    # -- evaluation -----------------------------------------------------------------------------------------------

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies, forces and stresses of all members; see `Potential.predict`."""
        unknown = self.unknown_element(configurations)
        if unknown is not None:
            raise InputError(unknown)
        offsets, n_frames = configurations.offsets, len(configurations)
        most = CHUNK_ATOMS if self.device.type == "cpu" else DEVICE_CHUNK_ATOMS
        parts: list[Prediction] = []
        start = 0
        with torch.inference_mode():
            while start < n_frames or not parts:
                stop = max(int(np.searchsorted(offsets, offsets[start] + most, side="right")) - 1, start + 1)
                whole = start == 0 and stop >= n_frames
                parts.append(self._evaluate(configurations if whole else configurations[start:stop], stress))
                start = stop
        prediction = parts[0] if len(parts) == 1 else Prediction.concatenate(parts)
        energies = prediction.energies + reference_energies(configurations, self.energy_reference)
        return replace(prediction, energies=energies)

    def _evaluate(self, part: Configurations, stress: bool) -> Prediction:
        """Predict some frames, above the energy reference."""
        evaluation = self._evaluator.on(species_of(part, self.elements))
        forces, virials = self.descriptor.forces(
            part, self.elements, evaluation, device=str(self.device), dtype=self.dtype, virials=stress
        )
        per_atom = evaluation.energies.double().cpu().numpy()
        if len(part) == 1:
            totals = per_atom.sum(axis=1, keepdims=True)
        else:
            owner = part.frame_of_atom
            totals = np.array([np.bincount(owner, energies, len(part)) for energies in per_atom])
        prediction = Prediction(
            part.counts,
            totals,
            forces.permute(2, 0, 1).double().cpu().numpy(),
            None if virials is None else _stresses(part, virials.permute(3, 0, 1, 2).double().cpu().numpy()),
        )
        if self.ranges is None:
            return prediction
        return replace(prediction, **_outside(evaluation.distances.cpu().numpy(), evaluation.outermost.cpu().numpy()))

    def feature_name(self, element: str, feature: int) -> str:
        """See `Potential.feature_name`."""
        return self.descriptor.feature_name(self.elements, element, feature)

    def folded(self) -> Evaluator:
        """Return the networks with all scales folded in, in the potential's precision."""
        return self._evaluator

    def as_float64(self) -> HdnnpPotential:
        """Return the same weights evaluated in float64."""
        if self.dtype == "float64":
            return self
        # The weights that float32 evaluation uses, not those they were rounded from.
        kind = getattr(torch, self.dtype)
        rounded = {name: value.to(kind).double() for name, value in self.parameters.items()}
        return self._with(parameters=rounded, dtype="float64")

    def _with(self, **changes: Any) -> HdnnpPotential:
        values: dict[str, Any] = {
            "parameters": self.parameters,
            "scaling": self.scaling,
            "form": self.form,
            "ranges": self.ranges,
            "seen": sorted(self.seen),
            "descriptor": self.descriptor_spec,
            "elements": self.elements,
            "energy_reference": self.energy_reference,
            "dtype": self.dtype,
            "device": str(self.device),
            "versions": self.versions,
            "details": self.details,
        }
        return HdnnpPotential(**(values | changes))

    # -- files ----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the potential's files into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {f"parameter:{name}": value.cpu().numpy() for name, value in self.parameters.items()}
        arrays |= {f"scaling:{name}": np.asarray(value) for name, value in vars(self.scaling).items()}
        if self.ranges is not None:
            arrays |= {f"range:{name}": value for name, value in vars(self.ranges).items()}
        arrays["seen"] = np.array(sorted(self.seen), dtype=np.bytes_)
        np.savez(folder / WEIGHTS_FILE, allow_pickle=False, **arrays)
        content = {
            "engine": self.engine,
            "format_version": FORMAT_VERSION,
            "elements": self.elements,
            "energy_reference": self.energy_reference,
            "members": self.members,
            "dtype": self.dtype,
            "cutoff": self.cutoff,
            "descriptor": self.descriptor_spec.model_dump(),
            "network": {"activations": list(self.form.activations), "isolation_switch": self.form.switch},
            "units": {"length": "Å", "energy": "eV"},
            "versions": self.versions,
            **self.details,
        }
        (folder / POTENTIAL_FILE).write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> HdnnpPotential:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or broken, or written by a later format.
        """
        folder = Path(folder)
        try:
            content = json.loads((folder / POTENTIAL_FILE).read_text(encoding="utf-8"))
            if content["format_version"] > FORMAT_VERSION:
                raise InputError(f"{folder}: was written by a later version of bloomery; update this one.")
            with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            scaling, ranges, parameters = (_named(arrays, prefix) for prefix in ("scaling:", "range:", "parameter:"))
            network = content.get("network", {"activations": ["silu"], "isolation_switch": True})
            known = ("elements", "energy_reference", "dtype", "versions")
            other = ("engine", "format_version", "members", "cutoff", "descriptor", "network", "units")
            return cls(
                parameters={name: torch.from_numpy(value) for name, value in parameters.items()},
                form=Form(tuple(network["activations"]), bool(network["isolation_switch"])),
                ranges=Ranges(**ranges) if ranges else None,
                seen=[text.decode() for text in arrays["seen"].tolist()] if "seen" in arrays else [],
                scaling=replace(Scaling(**scaling), energy=float(scaling["energy"])),
                descriptor=PluginSpec.model_validate(content["descriptor"]),
                device=device,
                details={k: v for k, v in content.items() if k not in (*known, *other)},
                **{key: content[key] for key in known},
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise InputError(f"{folder}: is not a potential of the engine 'hdnnp' ({error}).") from error

    def obstacle(self, format: str) -> str:  # noqa: A002
        """Return why n2p2 or metatomic cannot express this potential."""
        if format == "n2p2":
            from bloomery.engines.hdnnp.n2p2.writer import what_is_in_the_way  # noqa: PLC0415

            return what_is_in_the_way(self)
        if format == "metatomic":
            from bloomery.engines.hdnnp import metatomic  # noqa: PLC0415

            return metatomic.what_is_in_the_way(self)
        return ""

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002
        """Write the files of a format, with a text that says how to use them; ``n2p2`` is a folder per member."""
        if format == "n2p2":
            from bloomery.engines.hdnnp.n2p2 import write_potential  # noqa: PLC0415

            return write_potential(self, folder)
        if format == "metatomic":
            from bloomery.engines.hdnnp import metatomic  # noqa: PLC0415

            return metatomic.write_model(self, folder)
        self.save(folder)
        usage = folder / "README.txt"
        usage.write_text(
            "from bloomery.engines.contract import load_potential\n\n"
            f'atoms.calc = load_potential("{folder.name}").calculator()\n'
            'atoms.get_potential_energy(), atoms.get_forces(), atoms.calc.results["disagreement"]\n',
            encoding="utf-8",
        )
        return [folder / POTENTIAL_FILE, folder / WEIGHTS_FILE, usage]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002
        """Return the calculator of what `write_export` wrote."""
        if format == "n2p2":
            from bloomery.engines.hdnnp.n2p2 import read_potential  # noqa: PLC0415

            return read_potential(folder).calculator()
        if format == "metatomic":
            from bloomery.engines.hdnnp import metatomic  # noqa: PLC0415

            return metatomic.model_calculator(folder)
        return cls.load(folder).calculator()


def _outside(distances: NDArray[np.float64], outermost: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Turn distances from the middles in half widths into distances from the ranges in widths."""
    # An atom of the training frames itself may be a rounding error outside.
    excess = np.where(distances > 1 + 1e-6, 0.5 * (distances - 1), 0.0)
    return {"extrapolation": excess, "extrapolating_feature": np.where(excess > 0, outermost, -1)}


def _stresses(part: Configurations, virials: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stresses ``(M, n, 6)`` from virials ``(M, n, 3, 3)``; zero where a frame is not periodic throughout."""
    full = part.pbc.all(axis=1) & (part.volumes > 0)
    volumes = np.where(full, part.volumes, np.inf)
    return virials[..., [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / volumes[:, None]


def _named(arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def descriptor_spec(descriptor: Descriptor) -> PluginSpec:
    """Name a descriptor with the settings that are not its defaults."""
    settings = descriptor.settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return PluginSpec(name=descriptor.name, settings=settings)


def load_descriptor(spec: PluginSpec) -> Descriptor:
    """Make the descriptor of a spec."""
    descriptor: Descriptor = spec.load("descriptors")
    return descriptor
