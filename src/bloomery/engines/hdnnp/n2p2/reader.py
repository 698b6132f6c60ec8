"""From n2p2's files to a potential that predicts what n2p2 predicts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydantic
import torch
from ase.data import atomic_numbers
from numpy.typing import NDArray

from bloomery.descriptors.acsf.descriptor import Acsf
from bloomery.descriptors.acsf.settings import AcsfSettings
from bloomery.engines.hdnnp.model import Form, Ranges, Scaling
from bloomery.engines.hdnnp.n2p2.functions import CUTOFF_TYPES, Line, read_functions
from bloomery.engines.hdnnp.n2p2.keywords import Keywords
from bloomery.engines.hdnnp.n2p2.tables import Layer, read_scaling, read_weights
from bloomery.engines.hdnnp.network_potential import Parts, descriptor_spec
from bloomery.errors import InputError
from bloomery.frames.file_units import ATOMIC, FileUnits
from bloomery.frames.input_data import UNITS_WORD, read_lines
from bloomery.plugins import describe_validation_error
from bloomery.versions import versions

INPUT_FILE = "input.nn"
SCALING_FILE = "scaling.data"
ACTIVATIONS = {
    "t": "tanh", "s": "logistic", "S": "reverse_logistic", "p": "softplus", "r": "relu", "g": "gaussian", "c": "cosine",
    "e": "exponential", "h": "square", "l": "identity",
}  # fmt: skip

COMMON = ("elements", "lines", "form", "hidden", "settings")
"""What the files of all members of one committee share."""


def weights_file(element: str) -> str:
    """Name of the file with one element's weights."""
    return f"weights.{atomic_numbers[element]:03d}.data"


def read_parts(folder: Path, units: FileUnits | None, device: str) -> Parts:
    """Read what a potential is made of; see `bloomery.engines.hdnnp.potential.read_potential`."""
    inputs = [folder / INPUT_FILE] if (folder / INPUT_FILE).is_file() else sorted(folder.glob(f"*/{INPUT_FILE}"))
    members = [path.parent for path in inputs if path.is_file()]
    if not members:
        raise InputError(f"{folder}: holds no {INPUT_FILE}, nor do its folders; give the folder of an n2p2 potential.")
    chosen = units or _said_units(members[0] / INPUT_FILE) or ATOMIC
    files = [_Files.read(member, chosen) for member in members]
    first = files[0]
    for other in files[1:]:
        if any(getattr(other, name) != getattr(first, name) for name in COMMON):
            raise InputError(
                f"{other.folder}: its {INPUT_FILE} describes another descriptor or network than that of "
                f"{first.folder}; members of one committee share both."
            )
    weights = [file.parameters(first) for file in files]
    return Parts(
        parameters={name: torch.from_numpy(np.stack([own[name] for own in weights])) for name in weights[0]},
        scaling=first.scaling(),
        ranges=first.ranges(),
        form=first.form,
        descriptor=descriptor_spec(Acsf(first.settings)),
        elements=first.elements,
        energy_reference=first.references,
        device=device,
        versions=versions(),
        details={"read_from": "n2p2", "units_read": str(chosen)},
    )


def _said_units(path: Path) -> FileUnits | None:
    """Units that the comments of a file say, as those of the writer do."""
    words = (line.removeprefix("#").split() for line in read_lines(path) if line.startswith("#"))
    said = [word.removeprefix(UNITS_WORD) for line in words for word in line if word.startswith(UNITS_WORD)]
    try:
        return FileUnits.parse(said[0]) if said else None
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


@dataclass(frozen=True)
class _Files:
    """One member's files, understood. Energies in eV."""

    folder: Path
    elements: list[str]
    lines: list[list[Line]]
    settings: AcsfSettings
    form: Form
    hidden: list[int]
    centre: list[NDArray[np.float64]]
    width: list[NDArray[np.float64]]
    statistics: list[NDArray[np.float64]]
    layers: list[list[Layer]]
    offset: float
    unit: float
    references: dict[str, float]

    @classmethod
    def read(cls, folder: Path, units: FileUnits) -> _Files:
        keywords = Keywords.read(folder / INPUT_FILE)
        _refuse(keywords)
        elements = _elements(keywords)
        every = read_functions(keywords, elements)
        lines = [[line for line in every if line.centre == element] for element in elements]
        lonely = [element for element, own in zip(elements, lines, strict=True) if not own]
        if lonely:
            raise keywords.error(f"{', '.join(lonely)} has no symmetry function.")
        statistics = read_scaling(folder / SCALING_FILE, [len(own) for own in lines])
        centre, width = _scales(keywords, statistics)
        widths, activations = _network(keywords, elements)
        sizes = [[len(own), *nodes, 1] for own, nodes in zip(lines, widths, strict=True)]
        layers = [read_weights(folder / weights_file(element), of) for element, of in zip(elements, sizes, strict=True)]
        if keywords.has("normalize_nodes"):
            layers = [[(weights / len(weights), bias / len(weights)) for weights, bias in own] for own in layers]
        mean, factor = _normalisation(keywords)
        return cls(
            folder=folder,
            elements=elements,
            lines=lines,
            settings=_descriptor(keywords, every, units),
            form=Form(activations, switch=False),
            hidden=[max(nodes) for nodes in zip(*widths, strict=True)],
            centre=centre,
            width=width,
            statistics=statistics,
            layers=layers,
            offset=mean * units.in_ev,
            unit=units.in_ev / factor,
            references=_references(keywords, elements, units),
        )

    @property
    def size(self) -> int:
        return max(len(own) for own in self.lines)

    def _table(self, columns: list[NDArray[np.float64]], fill: float) -> NDArray[np.float64]:
        """Rows of unequal length as one table."""
        result = np.full((len(columns), self.size), fill)
        for row, values in zip(result, columns, strict=True):
            row[: len(values)] = values
        return result

    def scaling(self) -> Scaling:
        """Return n2p2's scaling as ours, which divides and does not switch off."""
        mean, scale = self._table(self.centre, 0.0), self._table(self.width, 1.0)
        offset = np.full(len(self.elements), self.offset)
        return Scaling(mean, scale, np.zeros_like(mean), np.ones_like(mean), offset, self.unit)

    def ranges(self) -> Ranges:
        """Return what the file says of the training frames."""
        return Ranges(*[self._table([table[:, column] for table in self.statistics], 0.0) for column in range(4)])

    def parameters(self, like: _Files) -> dict[str, NDArray[np.float64]]:
        """Return the weights for the scales of another member; unequal widths are filled up with nodes of no effect."""
        widths = [self.size, *self.hidden, 1]
        result: dict[str, NDArray[np.float64]] = {}
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            result[f"weight_{layer}"] = np.zeros((len(self.elements), inputs, outputs))
            result[f"bias_{layer}"] = np.zeros((len(self.elements), 1, outputs))
        last = len(widths) - 2
        for species, layers in enumerate(self.layers):
            for layer, (weights, biases) in enumerate(layers):
                result[f"weight_{layer}"][species, : weights.shape[0], : weights.shape[1]] = weights
                result[f"bias_{layer}"][species, 0, : len(biases)] = biases
            n = len(self.lines[species])
            shift = (like.centre[species] - self.centre[species]) / self.width[species]
            first = result["weight_0"][species, :n]
            result["bias_0"][species, 0] += shift @ first
            first *= (like.width[species] / self.width[species])[:, None]
        ratio = self.unit / like.unit
        result[f"weight_{last}"] *= ratio
        result[f"bias_{last}"] *= ratio
        for species, element in enumerate(self.elements):
            own = self.offset + self.references[element]
            result[f"bias_{last}"][species] += (own - like.offset - like.references[element]) / like.unit
        return result


def _refuse(keywords: Keywords) -> None:
    """Refuse what changes the energy and is not known here."""
    kinds = [word for entry in keywords.all("nnp_type") for word in entry.arguments]
    if not {*kinds} <= {"1", "2", "2G", "2G-HDNNP"}:
        raise keywords.error(f"is a potential of type {' '.join(kinds)}; only short-ranged ones can be read.")
    for keyword in ("use_electrostatics", "electrostatic_type", "use_vdw", "remove_vdw_energies"):
        if keywords.has(keyword):
            raise keywords.error(f"uses {keyword}, an energy beyond the short-ranged networks, which cannot be read.")


def _elements(keywords: Keywords) -> list[str]:
    """Return the elements in n2p2's order, which is that of their atomic numbers."""
    words = keywords.words("elements")
    strange = [word for word in words if word not in atomic_numbers]
    if strange or not words:
        raise keywords.error(f"the keyword elements names {' '.join(strange) or 'none'}, not an element.")
    return sorted(words, key=lambda element: atomic_numbers[element])


def _descriptor(keywords: Keywords, lines: list[Line], units: FileUnits) -> AcsfSettings:
    words = keywords.words("cutoff_type")
    try:
        kind, inner = CUTOFF_TYPES[int(words[0])], float(words[1]) if len(words) > 1 else 0.0
    except (IndexError, ValueError, KeyError):
        known = ", ".join(str(number) for number in CUTOFF_TYPES)
        raise keywords.error(
            f"cutoff_type {' '.join(words)} cannot be read; the types {known} can (0, the hard one, has jumps in "
            "energy and force)."
        ) from None
    largest = max(line.cutoff for line in lines)
    try:
        return AcsfSettings(
            cutoff=largest * units.in_angstrom,
            cutoff_function=kind,
            inner_cutoff=0.0 if kind.startswith("tanh") else inner,
            functions=tuple(line.function(units, largest) for line in lines),
        )
    except pydantic.ValidationError as error:
        told = describe_validation_error(error, "symfunction_short", AcsfSettings)
        raise keywords.error(f"holds a symmetry function that cannot be read: {told}") from error


def _scales(
    keywords: Keywords, statistics: list[NDArray[np.float64]]
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """What is subtracted from each function, and what it is then divided by.

    n2p2's documentation, "Symmetry function scaling": ``Smin + (Smax - Smin) (G - reference) / width``.
    """
    scaled, centred = keywords.has("scale_symmetry_functions"), keywords.has("center_symmetry_functions")
    sigma = keywords.has("scale_symmetry_functions_sigma") and not scaled and not centred
    low, high = keywords.number("scale_min_short", 0.0), keywords.number("scale_max_short", 1.0)
    centres, widths = [], []
    for minimum, maximum, mean, deviation in (table.T for table in statistics):
        ones = np.ones_like(mean)
        if scaled or sigma:
            width = (deviation if sigma else maximum - minimum) / (high - low)
            centre = (mean if centred or sigma else minimum) - low * width
        else:
            width, centre = ones, mean if centred else 0 * ones
        if not (np.isfinite(centre).all() and np.isfinite(width).all() and (width != 0).all()):
            raise keywords.error(
                f"a symmetry function does not vary in {SCALING_FILE}, or has no sigma there, so it cannot be scaled; "
                "remove it, or scale another way."
            )
        centres.append(centre)
        widths.append(width)
    return centres, widths


def _network(keywords: Keywords, elements: list[str]) -> tuple[list[list[int]], tuple[str, ...]]:
    """Return the nodes of each element's hidden layers, and the activation functions, which all elements share."""
    nodes, activations = [], []
    for element in elements:
        own = _words_of(keywords, "nodes_short", element)
        letters = _words_of(keywords, "activation_short", element)
        try:
            nodes.append([int(word) for word in own])
            activations.append([ACTIVATIONS[letter] for letter in letters])
        except (ValueError, KeyError) as error:
            raise keywords.error(
                f"the network of {element} has nodes {' '.join(own)} and activation functions {' '.join(letters)}, of "
                f"which {error} is not known."
            ) from error
        if len(letters) != len(own) + 1 or not own:
            raise keywords.error(
                f"the network of {element} has {len(own)} hidden layers and {len(letters)} activation functions; give "
                "one for each hidden layer and one for the output."
            )
        if activations[-1][-1] != "identity":
            raise keywords.error(f"the output of {element} is not linear (l), which cannot be read.")
    if any(own != activations[0] for own in activations):
        raise keywords.error("elements with different activation functions or layers cannot be read.")
    return nodes, tuple(activations[0][:-1])


def _words_of(keywords: Keywords, keyword: str, element: str) -> tuple[str, ...]:
    """Return the arguments that hold for an element: its own ones, or those of all."""
    for entry in keywords.all(f"element_{keyword}"):
        if entry.arguments[:1] == (element,):
            return entry.arguments[1:]
    return keywords.words(f"global_{keyword}")


def _normalisation(keywords: Keywords) -> tuple[float, float]:
    """Mean energy per atom and factor of the energies; ``E = sum(networks) / factor + N mean``."""
    names = ("mean_energy", "conv_energy", "conv_length")
    present = [name for name in names if keywords.has(name)]
    if present and len(present) < len(names):
        raise keywords.error(f"has {', '.join(present)} only; {', '.join(names)} belong together.")
    # Lengths are converted in the functions' parameters as well, so that values and forces do not see it.
    return keywords.number("mean_energy", 0.0), keywords.number("conv_energy", 1.0)


def _references(keywords: Keywords, elements: list[str], units: FileUnits) -> dict[str, float]:
    found = dict.fromkeys(elements, 0.0)
    for entry in keywords.all("atom_energy"):
        if entry.arguments[:1] and entry.arguments[0] in found:
            found[entry.arguments[0]] = keywords.numbers(entry, 1)[0] * units.in_ev
    return found
