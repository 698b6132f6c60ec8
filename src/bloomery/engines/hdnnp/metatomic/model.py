"""What simulation programs call: systems in, energies of the committee out, in TorchScript."""

from collections.abc import Mapping
from typing import Dict, List, Optional, Tuple  # noqa: UP035

import torch
from ase.data import atomic_numbers
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelOutput, NeighborListOptions, System

from bloomery.engines.hdnnp.metatomic.networks import Committee
from bloomery.engines.hdnnp.metatomic.repulsion import ScriptedRepulsion

# metatomic wants these, and no built-in types.
Systems = List[System]  # noqa: UP006
Outputs = Dict[str, ModelOutput]  # noqa: UP006
Selection = Optional[Labels]  # noqa: UP045
Maps = Dict[str, TensorMap]  # noqa: UP006
Found = Tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # noqa: UP006


class Atoms(torch.nn.Module):
    """What a model of either kind shares: which atoms are asked for, and what is told of their energies.

    Parameters
    ----------
    committee
        Turns features into atomic energies.
    reference
        Energy of an atom of each element in eV, which is added.
    """

    places: torch.Tensor
    reference: torch.Tensor

    def __init__(self, committee: Committee, elements: list[str], reference: Mapping[str, float]) -> None:
        super().__init__()
        self.committee = committee
        self.members = committee.members
        places = torch.zeros(max(atomic_numbers.values()) + 1, dtype=torch.long)
        for index, element in enumerate(elements):
            places[atomic_numbers[element]] = index
        self.register_buffer("places", places)
        values = [reference[element] for element in elements]
        self.register_buffer("reference", torch.tensor(values, dtype=torch.float64))

    def species(self, systems: Systems) -> torch.Tensor:
        """Position of each atom's element in ``elements``, ``(A,)``."""
        types: list[torch.Tensor] = []
        for system in systems:
            types.append(system.types)  # noqa: PERF401  TorchScript
        return self.places.index_select(0, torch.cat(types).long())

    def chosen(self, systems: Systems, selected: Selection) -> torch.Tensor:
        """System and atom of those whose energies are asked for, int32 ``(a, 2)``."""
        device = systems[0].positions.device
        if selected is not None:
            wanted = torch.stack([selected.column("system"), selected.column("atom")], dim=1)
            return wanted.to(device=device, dtype=torch.int32)
        rows: list[torch.Tensor] = []
        for index, system in enumerate(systems):
            atoms = torch.arange(len(system), device=device, dtype=torch.int32)
            rows.append(torch.stack([torch.full_like(atoms, index), atoms], dim=1))
        return torch.cat(rows)

    def centres(self, systems: Systems, chosen: torch.Tensor) -> torch.Tensor:
        """Place among the atoms of all systems of those chosen, ``(a,)``."""
        starts: list[int] = []
        start = 0
        for system in systems:
            starts.append(start)
            start += len(system)
        offsets = torch.tensor(starts, device=chosen.device, dtype=torch.long)
        return offsets.index_select(0, chosen[:, 0].long()) + chosen[:, 1].long()

    def outputs(
        self,
        features: torch.Tensor,
        added: torch.Tensor,
        species: torch.Tensor,
        chosen: torch.Tensor,
        systems: Systems,
        outputs: Outputs,
    ) -> Maps:
        """Everything that is asked for, from features ``(a, F)`` of the chosen atoms and energies ``(a,)`` to add."""
        kind = systems[0].positions.dtype
        atomic = self.committee(features, species).to(kind)
        atomic = atomic + added.to(kind).unsqueeze(1)
        atomic = atomic + self.reference.to(kind).index_select(0, species).unsqueeze(1)
        # Isolated atoms and empty systems too must have a derivative, which is zero.
        for system in systems:
            atomic = atomic + 0.0 * system.positions.sum()
        total = torch.zeros((len(systems), self.members), dtype=kind, device=atomic.device)
        total = total.index_add(0, chosen[:, 0].long(), atomic)
        indices = torch.arange(len(systems), device=atomic.device, dtype=torch.int32).unsqueeze(1)
        result: Maps = {}
        for name, output in outputs.items():
            if output.sample_kind == "atom":
                values, samples = atomic, Labels(["system", "atom"], chosen)
            else:
                values, samples = total, Labels(["system"], indices)
            count = 1
            if name == "energy":
                values = values.mean(dim=1, keepdim=True)
            elif name == "energy_uncertainty":
                # Not `std`, whose derivative is not a number where all members agree.
                away = values - values.mean(dim=1, keepdim=True)
                square = (away * away).sum(dim=1, keepdim=True) / max(self.members - 1, 1)
                values = torch.sqrt(square + 1e-30)
            else:
                count = self.members
            properties = torch.arange(count, device=atomic.device, dtype=torch.int32).unsqueeze(1)
            components = torch.jit.annotate(list[Labels], [])
            block = TensorBlock(values, samples, components, Labels(["energy"], properties))
            nothing = torch.zeros((1, 1), dtype=torch.int32, device=atomic.device)
            result[name] = TensorMap(Labels(["_"], nothing), [block])
        return result


class Edges(torch.nn.Module):
    """The neighbours that the program finds, of all systems together."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
        """Say which neighbours the program must find."""
        return [NeighborListOptions(cutoff=self.cutoff, full_list=True, strict=True, requestor="bloomery")]

    def forward(self, systems: Systems, species: torch.Tensor, centres: torch.Tensor) -> Found:
        """Find the neighbours of the chosen atoms ``(a,)``.

        Vectors to them ``(E, 3)``, where the centre is among the chosen, and the neighbour's species, ``(E,)`` each.
        """
        options = self.requested_neighbor_lists()[0]
        pairs: list[torch.Tensor] = []
        vectors: list[torch.Tensor] = []
        start = 0
        for system in systems:
            block = system.get_neighbor_list(options)
            pairs.append(block.samples.values[:, :2].long() + start)
            vectors.append(block.values.squeeze(-1))
            start += len(system)
        rows = torch.full((start,), -1, device=species.device, dtype=torch.long)
        rows[centres] = torch.arange(len(centres), device=species.device)
        joined = torch.cat(pairs)
        wanted = torch.nonzero(rows.index_select(0, joined[:, 0]) >= 0).squeeze(1)
        joined = joined.index_select(0, wanted)
        return (
            torch.cat(vectors).index_select(0, wanted),
            rows.index_select(0, joined[:, 0]),
            species.index_select(0, joined[:, 1]),
        )


class ModelOfVectors(torch.nn.Module):
    """A potential whose descriptor takes the vectors to an atom's neighbours."""

    def __init__(
        self, atoms: Atoms, descriptor: torch.nn.Module, cutoff: float, repulsion: ScriptedRepulsion | None
    ) -> None:
        super().__init__()
        self.atoms, self.descriptor, self.edges, self.repulsion = atoms, descriptor, Edges(cutoff), repulsion

    def forward(self, systems: Systems, outputs: Outputs, selected_atoms: Selection) -> Maps:
        """Evaluate; see metatomic's ``ModelInterface``."""
        nothing: Maps = {}
        if len(systems) == 0 or len(outputs) == 0:
            return nothing
        species, chosen = self.atoms.species(systems), self.atoms.chosen(systems, selected_atoms)
        centres = self.atoms.centres(systems, chosen)
        vectors, rows, others = self.edges(systems, species, centres)
        own = species.index_select(0, centres)
        features = self.descriptor(vectors.to(self.atoms.committee.mean.dtype), rows, others, own)
        added = torch.zeros((own.shape[0],), dtype=vectors.dtype, device=vectors.device)
        if self.repulsion is not None:
            added = self.repulsion(vectors, rows, others, own)
        return self.atoms.outputs(features, added, own, chosen, systems, outputs)


class ModelOfSystems(torch.nn.Module):
    """A potential whose descriptor takes whole systems."""

    def __init__(
        self, atoms: Atoms, descriptor: torch.nn.Module, cutoff: float, repulsion: ScriptedRepulsion | None
    ) -> None:
        super().__init__()
        self.atoms, self.descriptor, self.repulsion = atoms, descriptor, repulsion
        self.edges = None if repulsion is None else Edges(cutoff)

    def forward(self, systems: Systems, outputs: Outputs, selected_atoms: Selection) -> Maps:
        """Evaluate; see metatomic's ``ModelInterface``."""
        nothing: Maps = {}
        if len(systems) == 0 or len(outputs) == 0:
            return nothing
        species, chosen = self.atoms.species(systems), self.atoms.chosen(systems, selected_atoms)
        centres = self.atoms.centres(systems, chosen)
        own = species.index_select(0, centres)
        features = self.descriptor(systems, chosen).to(self.atoms.committee.mean.dtype)
        added = torch.zeros((own.shape[0],), dtype=features.dtype, device=features.device)
        if self.edges is not None and self.repulsion is not None:
            vectors, rows, others = self.edges(systems, species, centres)
            added = self.repulsion(vectors, rows, others, own)
        return self.atoms.outputs(features, added, own, chosen, systems, outputs)
