"""SevenNet's networks as plain arrays and JSON, so that no potential of ours is a pickle, and what they make of frames.

Layers are those of the package `sevenn`; neighbours and derivatives are ours, so that many last layers can share one
pass through the others, in float32 and in float64.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.neighbours import find_neighbours

Arrays = dict[str, NDArray[Any]]
READOUTS = ("reduce_input_to_hidden", "readout_FCN")
"""The first layer of the readout: what goes into it are the features."""
LINEAR = ("reduce_input_to_hidden", "reduce_hidden_to_energy")
RESCALE = "rescale_atomic_energy"
LAYER = "_convolution"
TYPES, MODALS = "_type_map", "_modal_map"
OWN = ("version", "_model_type", "_number_of_species", "chemical_species", TYPES, "shift", "scale", "dtype",
       "use_modality", "_number_of_modalities", "use_modal_wise_shift", "use_modal_wise_scale", MODALS,
       # These are among those of `sevenn` until it has read a checkpoint without them.
       "readout_fcn_hidden_neurons", "readout_fcn_activation")  # fmt: skip
"""Entries of a checkpoint's configuration that say what the network is, beside those of `sevenn` for its model."""
ACCELERATED = {"use_flash_tp": False, "use_oeq": False, "cuequivariance_config": {"use": False}}


@dataclass(frozen=True)
class Network:
    """What makes a network: its configuration, as plain values, and its weights."""

    config: Mapping[str, Any]
    arrays: Arrays

    @property
    def elements(self) -> list[str]:
        """Elements that it covers."""
        return [chemical_symbols[number] for number, _ in self.config[TYPES]]

    @property
    def modals(self) -> list[str]:
        """Fidelities that it has; none if it has one only."""
        return [name for name, _ in self.config.get(MODALS) or []]

    @property
    def is_linear(self) -> bool:
        """Whether the readout is linear, as that of all that the package ships."""
        return f"{LINEAR[0]}.linear.weight" in self.arrays

    @property
    def reach(self) -> float:
        """How far an atom feels another in Å: an atom feels what its neighbours' neighbours do."""
        return float(self.config["cutoff"]) * int(self.config["num_convolution_layer"])


def read_checkpoint(path: Path, where: str) -> Network:
    """Read a checkpoint of SevenNet, which is a pickle: of the package's wheel, or one that the user has named.

    `InputError` about the setting ``where`` if it is none.
    """
    from sevenn._const import DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG as KNOWN  # noqa: PLC0415
    from sevenn.checkpoint import SevenNetCheckpoint  # noqa: PLC0415

    try:
        with _plain_layers():
            checkpoint = SevenNetCheckpoint(path)
            model = checkpoint.build_model(enable_cueq=False, enable_flash=False, enable_oeq=False)
            config = {key: value for key, value in checkpoint.config.items() if key in {*KNOWN, *OWN}}
            config = _plain({**config, **ACCELERATED, TYPES: list(config[TYPES].items())})
            if config.get(MODALS):
                config[MODALS] = [[name, index] for name, index in config[MODALS].items()]
    except Exception as error:
        said = next(iter(str(error).splitlines()), "")
        raise InputError(
            f"{where}: {path} cannot be read as a checkpoint of SevenNet ({type(error).__name__}: {said}); give one "
            "that sevenn has written."
        ) from error
    return Network(config, to_arrays(model))


def write_checkpoint(network: Network, path: Path) -> None:
    """Write a network as the checkpoint that the package's own programs read."""
    weights = {name: torch.from_numpy(value) for name, value in network.arrays.items()}
    content = {"config": package_config(network.config), "model_state_dict": weights, "epoch": 0}
    torch.save(content, path)


def open_checkpoint(path: Path, modal: str | None) -> Any:
    """Return the package's own calculator of a checkpoint."""
    from sevenn.calculator import SevenNetCalculator  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SevenNetCalculator(str(path), device="cpu", modal=modal)


def to_arrays(model: torch.nn.Module) -> Arrays:
    """Weights of a network."""
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def package_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as `sevenn` has it."""
    own = {TYPES: {int(number): int(index) for number, index in config[TYPES]}}
    if config.get(MODALS):
        own[MODALS] = {name: int(index) for name, index in config[MODALS]}
    return {**config, **own}


@dataclass(frozen=True)
class Graph:
    """Frames with their neighbours, as tensors on the device of a network."""

    types: torch.Tensor
    """Place of each atom's element among those of the network, ``(A,)``."""
    pairs: torch.Tensor
    """Centre and neighbour, ``(2, E)``."""
    vectors: torch.Tensor
    """From centre to neighbour in Å, ``(E, 3)``."""
    frame_of_atom: torch.Tensor
    counts: torch.Tensor
    """Atoms of each frame, ``(N,)``."""

    @property
    def n_frames(self) -> int:
        """How many frames there are."""
        return len(self.counts)

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sums of the atoms' values ``(A, ...)`` over each frame, ``(N, ...)``."""
        return values.new_zeros(self.n_frames, *values.shape[1:]).index_add(0, self.frame_of_atom, values)

    def derivatives(
        self, energy: torch.Tensor, vectors: torch.Tensor, *, create_graph: bool = False, again: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Forces ``(A, 3)`` and derivatives by strains ``(N, 3, 3)`` of the sum of some energies.

        ``vectors`` are those that the energies were computed from; ``again`` keeps what another call needs.
        """
        slopes = None
        if energy.requires_grad and len(vectors):
            slopes = torch.autograd.grad(
                energy.sum(), vectors, create_graph=create_graph, retain_graph=create_graph or again, allow_unused=True
            )[0]
        if slopes is None:
            slopes = torch.zeros_like(vectors)
        none = vectors.new_zeros(len(self.types), 3)
        forces = none.index_add(0, self.pairs[0], slopes).index_add(0, self.pairs[1], -slopes)
        along = vectors.detach()[:, :, None] * slopes[:, None, :]
        virials = vectors.new_zeros(self.n_frames, 3, 3).index_add(0, self.frame_of_atom[self.pairs[0]], along)
        return forces, (virials + virials.transpose(1, 2)) / 2


class SevenNet:
    """A network at work."""

    def __init__(self, network: Network, modal: str | None, device: str, dtype: str = "float32") -> None:
        """Build it; `InputError` if the arrays are not those of the network that the configuration describes."""
        from sevenn.model_build import build_E3_equivariant_model  # noqa: PLC0415

        self.device, self.dtype = device, getattr(torch, dtype)
        with _plain_layers():
            model = build_E3_equivariant_model(package_config(network.config))
        model.delete_module_by_key("force_output")  # forces are ours
        self.model = model.to(device=device, dtype=self.dtype).eval()
        self.modal = None if modal is None else dict(network.config[MODALS])[modal]
        self.cutoff = float(network.config["cutoff"])
        types = np.full(len(chemical_symbols), -1)
        for number, index in network.config[TYPES]:
            types[number] = index
        self._types = types
        self.take(network)

    def take(self, network: Network) -> None:
        """Take the weights of a network of the same configuration, which costs less than to build another one."""
        try:
            self.model.load_state_dict({name: torch.from_numpy(value) for name, value in network.arrays.items()})
        except RuntimeError as error:
            raise InputError(f"the weights are not those of the network that is described ({error}).") from error
        self.network = network
        self.freeze()

    def freeze(self, what: str = "all") -> list[torch.nn.Parameter]:
        """Let all weights stay, or ``none``, or those of the ``early`` layers, or ``all_but_readout``; return others.

        Radial functions, denominators, scales and shifts of elements always stay.
        """
        last = int(self.network.config["num_convolution_layer"]) - 1
        beginnings = {
            "all": (),
            "all_but_readout": ("reduce_", "readout_"),
            "early": (f"{last - 1}_", f"{last}_", "reduce_", "readout_"),
            "none": ("onehot_", *(f"{layer}_" for layer in range(last + 1)), "reduce_", "readout_"),
        }[what]
        chosen = []
        for name, parameter in self.model.named_parameters():
            free = name.startswith(beginnings) and "denominator" not in name and parameter.numel() > 0
            parameter.requires_grad_(free)
            if free:
                chosen.append(parameter)
        return chosen

    def graph(self, frames: Configurations) -> Graph:
        """Frames with their neighbours."""
        found = find_neighbours(frames, self.cutoff)
        arrays = (self._types[frames.numbers], found.pairs, frames.frame_of_atom, frames.counts)
        types, pairs, owner, counts = (torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in arrays)
        vectors = torch.from_numpy(found.vectors).to(device=self.device, dtype=self.dtype)
        return Graph(types, pairs, vectors, owner, counts)

    def features(self, graph: Graph, vectors: torch.Tensor) -> torch.Tensor:
        """What the readout sees of each atom, ``(A, F)``."""
        from sevenn import _keys as KEY  # noqa: N812, PLC0415

        data = {
            KEY.NODE_FEATURE: graph.types,
            KEY.EDGE_IDX: graph.pairs,
            KEY.EDGE_VEC: vectors,
            KEY.BATCH: graph.frame_of_atom,
            **self._modal(graph),
        }
        for name, module in self.model.named_children():
            if name in READOUTS:
                break
            data = module(data)
            if name == "onehot_idx_to_onehot":  # which are of float32, whatever the network is
                data |= {key: data[key].to(self.dtype) for key in (KEY.NODE_FEATURE, KEY.NODE_ATTR)}
        return data[KEY.NODE_FEATURE]

    def read_out(self, features: torch.Tensor) -> torch.Tensor:
        """Scaled energy of each atom by the network's own readout, ``(A,)``."""
        from sevenn import _keys as KEY  # noqa: N812, PLC0415

        one = torch.zeros(len(features), dtype=torch.int64, device=self.device)
        data = {KEY.NODE_FEATURE: features, KEY.BATCH: one, **self._modal(None)}
        for name, module in self.model.named_children():
            if name == RESCALE:
                break
            if name in (*READOUTS, *LINEAR):
                data = module(data)
        return data[KEY.SCALED_ATOMIC_ENERGY][:, 0]

    def scaling(self, graph: Graph) -> tuple[torch.Tensor, torch.Tensor]:
        """Factor and shift in eV, ``(A,)``, that turn scaled energies of atoms into energies."""
        from sevenn import _keys as KEY  # noqa: N812, PLC0415

        module = self.model.get_submodule(RESCALE)
        found = []
        for value in (1.0, 0.0):
            scaled = torch.full((len(graph.types), 1), value, dtype=self.dtype, device=self.device)
            data = {KEY.SCALED_ATOMIC_ENERGY: scaled, KEY.ATOM_TYPE: graph.types, KEY.BATCH: graph.frame_of_atom}
            found.append(module(data | self._modal(graph))[KEY.ATOMIC_ENERGY][:, 0])
        return found[0] - found[1], found[1]

    def energies(self, graph: Graph, vectors: torch.Tensor) -> torch.Tensor:
        """Energies of frames in eV, ``(N,)``, by the network's own readout."""
        factor, shift = self.scaling(graph)
        return graph.sums(self.read_out(self.features(graph, vectors)) * factor + shift)

    @cached_property
    def n_features(self) -> int:
        """Size of what the readout sees of an atom, ``F``."""
        first: Any = self.model.get_submodule(self._readout)
        modals = getattr(first, "num_modalities", 0)
        return int(first.irreps_in.dim) - (modals if modals > 1 else 0)

    @property
    def _readout(self) -> str:
        return next(name for name, _ in self.model.named_children() if name in READOUTS)

    def linear_readout(self) -> tuple[NDArray[np.float64], float]:
        """Weights ``(F,)`` and constant of a linear readout."""
        here = torch.zeros(1, self.n_features, dtype=self.dtype, device=self.device, requires_grad=True)
        energy = self.read_out(here)
        weights = torch.autograd.grad(energy.sum(), here)[0][0]
        return weights.double().cpu().numpy(), float(energy.detach()[0])

    def with_readout(self, weights: NDArray[np.float64]) -> Network:
        """Return the network with other weights ``(F,)`` of its linear readout.

        The second of the two linear layers stays, and the first changes along it by as much as is needed.
        """
        now, _ = self.linear_readout()
        arrays = {name: value.copy() for name, value in self.network.arrays.items()}
        first, second = (arrays[f"{name}.linear.weight"].astype(float) for name in LINEAR)
        # In front stand the features; behind them, in networks of several fidelities, which one it is.
        rows = first.reshape(-1, len(second))
        products = rows[: self.n_features] @ second
        factor = float(now @ products / (products @ products))
        rows[: self.n_features] += np.outer(weights - now, second) / (factor * (second @ second))
        arrays[f"{LINEAR[0]}.linear.weight"] = rows.ravel().astype(np.float32)
        return Network(self.network.config, arrays)

    def _modal(self, graph: Graph | None) -> dict[str, torch.Tensor]:
        """What layers want to know of the fidelity, which is the same for all frames."""
        from sevenn import _keys as KEY  # noqa: N812, PLC0415

        if self.modal is None:
            return {}
        n_frames = 1 if graph is None else graph.n_frames
        index = torch.full((n_frames,), self.modal, dtype=torch.int64, device=self.device)
        count = len(self.network.modals)
        return {KEY.MODAL_TYPE: index, KEY.MODAL_ATTR: torch.nn.functional.one_hot(index, count)}

    def as_network(self) -> Network:
        """Return the network with the weights that it has now."""
        return Network(self.network.config, {n: v.astype(np.float32) for n, v in to_arrays(self.model).items()})


@contextmanager
def _plain_layers() -> Iterator[None]:
    """Build layers in plain Python: those of TorchScript are no faster here, and change the last digits at first."""
    from e3nn import get_optimization_defaults, set_optimization_defaults  # noqa: PLC0415

    before = get_optimization_defaults()
    try:
        set_optimization_defaults(jit_script_fx=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        set_optimization_defaults(**before)


def _plain(value: Any) -> Any:
    """Turn an entry of a configuration into a value that JSON holds."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    raise InputError(f"a configuration of SevenNet has an entry of type {type(value).__name__}, which cannot be kept.")
