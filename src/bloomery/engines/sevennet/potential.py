"""The potential that the engine `sevennet` fits: many last layers on one pass, files and export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

import numpy as np
import torch
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from bloomery.engines.file_potential import AboveReferenceCalculator, write_usage
from bloomery.engines.sevennet.network import Network, SevenNet, open_checkpoint, write_checkpoint
from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.potentials.contract import Common, Potential, reference_energies
from bloomery.potentials.model_card import CARD_FILE
from bloomery.potentials.prediction import MeanPrediction, Prediction, voigt

USAGE = """Checkpoints are pickles, as SevenNet has them. In ASE:

    from sevenn.calculator import SevenNetCalculator
    atoms.calc = SevenNetCalculator("checkpoint_000.pth", modal={modal!r})

For LAMMPS, `sevenn get_model checkpoint_000.pth` writes what its pair_style e3gnn reads.
"""


class SevennetPotential(Potential):
    """A committee of SevenNets: one network with a last layer for each member, or a network for each."""

    engine = "sevennet"
    chunk_atoms = 128
    # The shift takes its place.
    above_reference = False
    own_entries = ("networks", "readouts", "shift", "modal")
    formats: ClassVar[dict[str, str]] = {
        "sevennet": "checkpoints of SevenNet, for its ASE calculator and its programs (`sevenn get_model` for LAMMPS)",
    }

    def __init__(
        self,
        *,
        networks: Sequence[Network],
        readouts: NDArray[np.float64] | None,
        shift: dict[str, float],
        modal: str | None,
        dtype: str = "float32",
        **common: Unpack[Common],
    ) -> None:
        """Keep networks, and last layers ``(M, F)`` of the only one, if members share it.

        ``shift`` is the energy per atom of each element in eV that is added to what the networks say.
        """
        super().__init__(**common)
        self.networks, self.readouts, self.shift, self.modal, self.dtype = networks, readouts, shift, modal, dtype
        self.members = len(networks) if readouts is None else len(readouts)
        self.cutoff = max(network.reach for network in networks)

    @cached_property
    def nets(self) -> list[SevenNet]:
        """The networks at work."""
        return [SevenNet(network, self.modal, str(self.device), self.dtype) for network in self.networks]

    def evaluate(self, part: Configurations, *, stress: bool) -> Prediction:  # noqa: ARG002
        """Energies, forces and stresses of all members; see `Potential.evaluate`."""
        return Prediction(part.counts, *self._evaluate(part, mean=False))

    def evaluate_mean(self, part: Configurations, *, stress: bool) -> Prediction:
        """Mean forces and stresses: of members that share a network, those of the mean last layer."""
        if self.readouts is None or self.members == 1:
            return self.evaluate(part, stress=stress)
        return MeanPrediction(part.counts, *self._evaluate(part, mean=True))

    def _evaluate(
        self, part: Configurations, *, mean: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Energies ``(M, N)``, forces ``(K, A, 3)`` and stresses ``(K, N, 6)`` of all members, or of their mean."""
        energies, forces, virials = [], [], []
        for net in self.nets:
            graph = net.graph(part)
            vectors = graph.vectors.requires_grad_(True)
            factor, constant = net.scaling(graph)
            features = net.features(graph, vectors)
            if self.readouts is None:
                scaled = net.read_out(features)[:, None]
            else:
                weights = torch.from_numpy(self.readouts.T).to(device=net.device, dtype=net.dtype)
                scaled = features @ weights + net.linear_readout()[1]
            found = graph.sums(scaled * factor[:, None] + constant[:, None])
            energies.append(_numpy(found).T)
            sought = found.mean(dim=1, keepdim=True) if mean else found
            for column in sought.T:
                force, virial = graph.derivatives(column, vectors, again=True)
                forces.append(_numpy(force))
                virials.append(_numpy(virial))
        stresses = voigt(np.array(virials)) / np.maximum(part.volumes, 1e-9)[:, None]
        return np.concatenate(energies) + reference_energies(part, self.shift), np.array(forces), stresses

    def as_float64(self) -> SevennetPotential:
        """Return the weights as they are, evaluated in float64."""
        if self.dtype == "float64":
            return self
        return SevennetPotential(
            networks=self.networks,
            readouts=self.readouts,
            shift=self.shift,
            modal=self.modal,
            dtype="float64",
            **self.common,
        )

    def member_network(self, member: int) -> Network:
        """Return one member as a network of its own."""
        if self.readouts is None:
            return self.networks[member]
        return self.nets[0].with_readout(self.readouts[member])

    def write_files(self, folder: Path) -> Mapping[str, object]:
        """Write the weights; return what makes the networks."""
        for index, network in enumerate(self.networks):
            np.savez(folder / _weights_file(index), allow_pickle=False, **network.arrays)
        return {
            "networks": [network.config for network in self.networks],
            "readouts": None if self.readouts is None else self.readouts.tolist(),
            "shift": self.shift,
            "modal": self.modal,
        }

    @classmethod
    def read_files(cls, folder: Path, content: Mapping[str, Any], common: Common) -> Self:
        """Read what `write_files` wrote."""
        networks = []
        for index, config in enumerate(content["networks"]):
            with np.load(folder / _weights_file(index), allow_pickle=False) as archive:
                networks.append(Network(config, {name: archive[name] for name in archive.files}))
        readouts = None if content["readouts"] is None else np.array(content["readouts"], dtype=float)
        found = cls(
            networks=networks,
            readouts=readouts,
            shift=content["shift"],
            modal=content["modal"],
            dtype=content["dtype"],
            **common,
        )
        if found.members != content["members"] or set(found.shift) != set(found.elements):
            raise InputError(f"{folder}: its parts do not belong together; copy the folder again, or train anew.")
        _ = found.nets
        return found

    def write_export(self, format: str, folder: Path) -> list[Path]:  # noqa: A002, ARG002
        """Write one checkpoint for each member, and how to run them."""
        files = [folder / f"checkpoint_{member:03d}.pth" for member in range(self.members)]
        for member, file in enumerate(files):
            write_checkpoint(self.member_network(member), file)
        return [*files, *write_usage(self, folder, USAGE.format(modal=self.modal), self.shift)]

    @classmethod
    def exported_calculator(cls, format: str, folder: Path) -> Calculator:  # noqa: A002, ARG003
        """Return the mean of the package's own calculators, with the shifts added."""
        modal = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))["settings"].get("modal")
        files = sorted(folder.glob("checkpoint_*.pth"))
        return AboveReferenceCalculator.of_export([open_checkpoint(file, modal) for file in files], folder)


def _weights_file(index: int) -> str:
    return f"weights_{index:03d}.npz"


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = tensor.detach().double().cpu().numpy()
    return values
