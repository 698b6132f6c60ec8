"""The potential that the engine `hdnnp` fits: evaluation, files and export."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar
from zipfile import BadZipFile

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from bloomery.configurations import Configurations
from bloomery.descriptors.contract import Descriptor
from bloomery.engines.contract import POTENTIAL_FILE, Potential, reference_energies
from bloomery.engines.hdnnp.model import Form, Parameters, Ranges, Scaling, isolation_switch, networks
from bloomery.errors import InputError
from bloomery.plugins import PluginSpec
from bloomery.prediction import Prediction

FORMAT_VERSION = 1
WEIGHTS_FILE = "weights.npz"
CHUNK_ATOMS = 2048
"""Frames are evaluated together up to this many atoms."""


@dataclass(frozen=True)
class Evaluator:
    """Networks with all scales folded in: features of the descriptor go in, eV come out."""

    parameters: Parameters
    mean: torch.Tensor
    isolated: torch.Tensor
    magnitude: torch.Tensor
    form: Form

    @classmethod
    def make(
        cls, parameters: Parameters, scaling: Scaling, form: Form, device: torch.device, dtype: torch.dtype
    ) -> Evaluator:
        """Fold the scaling of inputs and outputs into the first and last layers."""
        inverse = torch.from_numpy(1 / scaling.scale)[None, :, :, None]
        folded = {name: value.clone() for name, value in parameters.items()}
        last = sum(name.startswith("weight") for name in folded) - 1
        folded["weight_0"] *= inverse
        if "skip" in folded:
            folded["skip"] *= inverse * scaling.energy
        folded[f"weight_{last}"] *= scaling.energy
        folded[f"bias_{last}"] *= scaling.energy
        folded[f"bias_{last}"] += torch.from_numpy(scaling.offset)[None, :, None, None]
        tables = (scaling.mean, scaling.isolated, scaling.magnitude)
        mean, isolated, magnitude = (torch.from_numpy(table).to(device=device, dtype=dtype) for table in tables)
        return cls(
            {name: value.to(device=device, dtype=dtype).contiguous() for name, value in folded.items()},
            mean,
            isolated,
            magnitude,
            form,
        )

    def __call__(self, values: torch.Tensor, species: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Atomic energies ``(M, a)`` in eV and their derivatives by the features ``(M, a, F)``, for one element."""
        energies, gradients = networks(self.parameters, species, values - self.mean[species], self.form)
        if not self.form.switch:
            return energies, gradients
        switch, slopes = isolation_switch((values - self.isolated[species]) / self.magnitude[species])
        gradients = switch * gradients + energies[..., None] * (slopes / self.magnitude[species])
        return energies * switch.T, gradients


class HdnnpPotential(Potential):
    """A committee of networks on one descriptor.

    Parameters
    ----------
    parameters
        Name to float64 tensor ``(M, S, ...)``, for inputs and outputs of unit variance.
    ranges
        What values the features have in the training frames, for `Prediction.extrapolation`.
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
        dtype: str = "float64",
        device: str = "cpu",
        versions: dict[str, str] | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.parameters, self.scaling, self.ranges = parameters, scaling, ranges
        self.form = form or Form()
        self.descriptor_spec, self.descriptor = descriptor, load_descriptor(descriptor)
        self.elements, self.energy_reference = elements, energy_reference
        self.members = parameters["weight_0"].shape[0]
        self.dtype, self.device = dtype, torch.device(device)
        self.versions, self.details = versions or {}, details or {}
        self.cutoff = float(getattr(self.descriptor.settings, "cutoff", 0.0))
        self._bounds = None if ranges is None else self._middles(ranges)
        self._evaluator = Evaluator.make(parameters, scaling, self.form, self.device, getattr(torch, dtype))

    def _middles(self, ranges: Ranges) -> tuple[torch.Tensor, torch.Tensor]:
        """Middles of the ranges and reciprocals of their half widths, ``(S, F)``."""
        widths = ranges.maximum - ranges.minimum
        size = np.maximum(np.abs(ranges.maximum), np.abs(ranges.minimum))
        # What never varied leaves its range with any change; a change of a thousandth of it is one width.
        least = np.where(size > 0, 1e-3 * size, 1.0)
        middle = torch.from_numpy(0.5 * (ranges.maximum + ranges.minimum))
        half = torch.from_numpy(0.5 * np.maximum(widths, least))
        kind = getattr(torch, self.dtype)
        return middle.to(self.device, kind), half.reciprocal().to(self.device, kind)

    # -- evaluation -----------------------------------------------------------------------------------------------

    def predict(self, configurations: Configurations, *, stress: bool = True) -> Prediction:
        """Energies, forces and stresses of all members; see `Potential.predict`."""
        unknown = self.unknown_element(configurations)
        if unknown is not None:
            raise InputError(unknown)
        n_frames = len(configurations)
        energies = np.zeros((self.members, n_frames))
        forces = np.zeros((self.members, configurations.n_atoms, 3))
        stresses = np.zeros((self.members, n_frames, 6)) if stress else None
        outside: list[tuple[torch.Tensor, torch.Tensor]] = []
        offsets = configurations.offsets
        start = 0
        with torch.inference_mode():
            while start < n_frames:
                stop = max(int(np.searchsorted(offsets, offsets[start] + CHUNK_ATOMS, side="right")) - 1, start + 1)
                whole = start == 0 and stop >= n_frames
                part = configurations if whole else configurations[start:stop]
                energy, force, virial = self._evaluate(part, stress, outside)
                energies[:, start:stop] = energy
                forces[:, offsets[start] : offsets[stop]] = force
                if stresses is not None:
                    stresses[:, start:stop] = virial
                start = stop
        energies += reference_energies(configurations, self.energy_reference)
        prediction = Prediction(configurations.counts, energies, forces, stresses)
        return prediction if self._bounds is None else replace(prediction, **_joined(outside))

    def _evaluate(
        self, part: Configurations, stress: bool, outside: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
        """Energies ``(M, n)`` above the reference, forces ``(M, a, 3)`` and stresses ``(M, n, 6)``."""
        atomic: list[torch.Tensor] = []
        model = self._watched(self._model_of_atoms(part, atomic), part, outside)
        edges, vectors, gradients = self.descriptor.edge_gradients(
            part, self.elements, model, device=str(self.device), dtype=self.dtype
        )
        by_edge = gradients.permute(1, 2, 0)
        forces = by_edge.new_zeros((part.n_atoms, 3, self.members))
        forces.index_add_(0, edges[0], by_edge)
        forces.index_add_(0, edges[1], by_edge, alpha=-1)
        n_frames = len(part)
        energies = np.zeros((self.members, n_frames))
        per_atom = torch.cat(atomic, dim=1).double().cpu().numpy() if atomic else np.zeros((self.members, 0))
        if n_frames == 1:
            energies[:, 0] = per_atom.sum(axis=1)
        else:
            np.add.at(energies.T, part.frame_of_atom, per_atom.T)
        found = forces.permute(2, 0, 1).double().cpu().numpy()
        return energies, found, self._stresses(part, edges, vectors, by_edge) if stress else None

    def _watched(
        self, model: Any, part: Configurations, outside: list[tuple[torch.Tensor, torch.Tensor]]
    ) -> Callable[[torch.Tensor, slice], torch.Tensor]:
        """Look at the features on their way to the model: how far outside of their ranges they are, and which most."""
        bounds = self._bounds
        if bounds is None:
            watched: Callable[[torch.Tensor, slice], torch.Tensor] = model
            return watched
        groups = torch.from_numpy(self.species_of(part)).to(self.device) if len(self.elements) > 1 else None

        def watching(values: torch.Tensor, atoms: slice) -> torch.Tensor:
            species = 0 if groups is None else groups[atoms]
            away = (values - bounds[0][species]).abs_().mul_(bounds[1][species])
            most, which = away.max(dim=1)
            outside.append((most, which))
            found: torch.Tensor = model(values, atoms)
            return found

        return watching

    def feature_name(self, element: str, feature: int) -> str:
        """See `Potential.feature_name`."""
        return self.descriptor.feature_name(self.elements, element, feature)

    def _model_of_atoms(self, part: Configurations, atomic: list[torch.Tensor]) -> Any:
        """Return the function that the descriptor differentiates; atomic energies are appended to a list."""
        if len(self.elements) == 1:

            def single(values: torch.Tensor, atoms: slice) -> torch.Tensor:  # noqa: ARG001
                energies, gradients = self._evaluator(values, 0)
                atomic.append(energies)
                return gradients

            return single
        groups = self.species_of(part)

        def several(values: torch.Tensor, atoms: slice) -> torch.Tensor:
            energies = values.new_zeros((self.members, len(values)))
            gradients = values.new_zeros((self.members, *values.shape))
            for species in range(len(self.elements)):
                rows = torch.from_numpy(np.flatnonzero(groups[atoms] == species)).to(self.device)
                if len(rows):
                    energies[:, rows], gradients[:, rows] = self._evaluator(values[rows], species)
            atomic.append(energies)
            return gradients

        return several

    def species_of(self, configurations: Configurations) -> NDArray[np.int64]:
        """Position of each atom's element in ``elements``, ``(A,)``."""
        from bloomery.configurations import symbols_to_numbers  # noqa: PLC0415

        numbers = np.array(symbols_to_numbers(self.elements))
        order = np.argsort(numbers)
        return order[np.searchsorted(numbers[order], configurations.numbers)]

    def _stresses(
        self, part: Configurations, edges: torch.Tensor, vectors: torch.Tensor, by_edge: torch.Tensor
    ) -> NDArray[np.float64]:
        bounds = torch.searchsorted(edges[0].contiguous(), torch.from_numpy(part.offsets).to(self.device)).tolist()
        result = np.zeros((self.members, len(part), 6))
        full = part.pbc.all(axis=1) & (part.volumes > 0)
        for frame in np.flatnonzero(full):
            rows = slice(bounds[frame], bounds[frame + 1])
            virial = vectors[rows].T @ by_edge[rows].reshape(-1, 3 * self.members)
            virial = virial.reshape(3, 3, self.members).double().cpu().numpy() / part.volumes[frame]
            virial = 0.5 * (virial + virial.transpose(1, 0, 2))
            result[:, frame] = virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]].T
        return result

    def folded(self) -> Evaluator:
        """Return the networks with all scales folded in, in the potential's precision, on the CPU."""
        return Evaluator.make(self.parameters, self.scaling, self.form, torch.device("cpu"), getattr(torch, self.dtype))

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


def _joined(outside: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, NDArray[Any]]:
    """Turn distances from the middles in half widths into distances from the ranges in widths."""
    away = np.concatenate([np.zeros(0), *(part[0].double().cpu().numpy() for part in outside)])
    which = np.concatenate([np.zeros(0, dtype=np.int64), *(part[1].cpu().numpy() for part in outside)])
    # An atom of the training frames itself may be a rounding error outside.
    excess = np.where(away > 1 + 1e-6, 0.5 * (away - 1), 0.0)
    return {"extrapolation": excess, "extrapolating_feature": np.where(excess > 0, which, -1)}


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
