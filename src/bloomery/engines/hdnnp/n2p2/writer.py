"""From a potential to n2p2's files: one folder for each member of the committee, each complete in itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from bloomery.descriptors.acsf.descriptor import Acsf
from bloomery.engines.hdnnp.model import Ranges, hidden_layers
from bloomery.engines.hdnnp.n2p2.functions import CUTOFF_NUMBERS, Line
from bloomery.engines.hdnnp.n2p2.reader import ACTIVATIONS, INPUT_FILE, SCALING_FILE, weights_file
from bloomery.engines.hdnnp.n2p2.tables import Layer, scaling_text, weights_text
from bloomery.engines.hdnnp.network_potential import NetworkPotential
from bloomery.errors import InputError
from bloomery.frames.file_units import ATOMIC, FileUnits
from bloomery.frames.input_data import UNITS_WORD

LETTERS = {name: letter for letter, name in ACTIVATIONS.items()}
NARROW = 1e-10
"""A function that varies less than this in the training frames is not scaled: n2p2 would divide by zero."""


def write_potential(potential: NetworkPotential, folder: str | Path, units: FileUnits = ATOMIC) -> list[Path]:
    """Write ``nnp-001``, ``nnp-002``, ... with ``input.nn``, ``scaling.data`` and weights, and a ``README.txt``.

    Raises
    ------
    InputError
        If n2p2 cannot express the potential; the reason and what to train instead are named.
    """
    obstacle = what_is_in_the_way(potential)
    if obstacle:
        raise InputError(f"the potential cannot be written for n2p2: {obstacle}.")
    files = _Writer(potential, units)
    folder = Path(folder)
    written = []
    for member in range(potential.members):
        own = folder / f"nnp-{member + 1:03d}"
        own.mkdir(parents=True, exist_ok=True)
        for name, text in files.member(member):
            (own / name).write_text(text, encoding="utf-8")
            written.append(own / name)
    readme = folder / "README.txt"
    readme.write_text(files.readme(), encoding="utf-8")
    return [*written, readme]


def what_is_in_the_way(potential: NetworkPotential) -> str:
    """Say why n2p2 cannot express a potential, with all settings to change; empty if it can."""
    strange = [name for name in potential.form.layers(hidden_layers(potential.parameters)) if name not in LETTERS]
    found: dict[str, str] = {}
    if not isinstance(potential.descriptor, Acsf):
        found["the descriptor acsf"] = f"its descriptor is {potential.descriptor.name!r}"
    if "skip" in potential.parameters:
        found["skip: false"] = "its networks have a linear path beside the hidden layers"
    if potential.form.switch:
        found["isolation_switch: false"] = "its energies are switched off for isolated atoms"
    if potential.repulsion is not None:
        found["repulsion: false"] = "it keeps atoms apart that are closer than in its training frames"
    if strange:
        found["activation: tanh"] = f"its activation function is {strange[0]}"
    if found:
        return f"{_listed(found.values())}; train with {_listed(found)}"
    if potential.ranges is None:
        return "it does not know the ranges of its training frames; train it again"
    return ""


def _listed(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


class _Writer:
    """The texts of a potential's files."""

    def __init__(self, potential: NetworkPotential, units: FileUnits) -> None:
        self.potential, self.units = potential, units
        descriptor = potential.descriptor
        if not isinstance(descriptor, Acsf) or potential.ranges is None:
            raise TypeError("what_is_in_the_way says so")
        self.settings = descriptor.settings
        # n2p2 numbers the elements by their atomic numbers, and sorts the functions.
        self.order = np.argsort([weights_file(element) for element in potential.elements]).tolist()
        functions = descriptor.functions(potential.elements)
        self.lines: list[list[Line]] = []
        self.columns: list[list[int]] = []
        self.statistics: list[np.ndarray] = []
        for species in self.order:
            own = [Line.of(f, self.settings.cutoff, units) for f in functions[potential.elements[species]]]
            columns = sorted(range(len(own)), key=lambda column, own=own: own[column].order)  # type: ignore[misc]
            self.columns.append(columns)
            self.lines.append([own[column] for column in columns])
            self.statistics.append(_statistics(potential.ranges, species, columns))

    def member(self, member: int) -> Iterator[tuple[str, str]]:
        """Names and texts of one member's files."""
        yield INPUT_FILE, self.input_text()
        yield SCALING_FILE, scaling_text(self.statistics)
        for place, species in enumerate(self.order):
            yield weights_file(self.potential.elements[species]), weights_text(self.layers(member, place, species))

    def input_text(self) -> str:
        """Return the text of ``input.nn``."""
        potential, settings = self.potential, self.settings
        elements = [potential.elements[species] for species in self.order]
        n_hidden = hidden_layers(potential.parameters)
        hidden = [potential.parameters[f"weight_{layer}"].shape[-1] for layer in range(n_hidden)]
        letters = [LETTERS[name] for name in potential.form.layers(len(hidden))]
        inner = f" {settings.inner_cutoff!r}" if settings.inner_cutoff else ""
        lines = [
            f"# Written by aiida-bloomery; {UNITS_WORD}{self.units.ascii}",
            f"number_of_elements {len(elements)}",
            f"elements {' '.join(elements)}",
            f"cutoff_type {CUTOFF_NUMBERS[settings.cutoff_function]}{inner}",
            "scale_symmetry_functions",
            "center_symmetry_functions",
            "scale_min_short 0.0",
            "scale_max_short 1.0",
            f"global_hidden_layers_short {len(hidden)}",
            f"global_nodes_short {' '.join(map(str, hidden))}",
            f"global_activation_short {' '.join([*letters, 'l'])}",
        ]
        for own in self.lines:
            lines += ["", *(line.text() for line in own)]
        return "\n".join(lines) + "\n"

    def layers(self, member: int, place: int, species: int) -> list[Layer]:
        """Weights of one element for n2p2's scaling of the inputs, and energies in the unit of the files.

        n2p2's inputs are ``(G - mean) / (max - min)``, ours ``(G - m) / s``; the difference goes into the first layer.
        """
        scaling, columns = self.potential.scaling, self.columns[place]
        values = {name: table[member, species].numpy() for name, table in self.potential.parameters.items()}
        count = hidden_layers(self.potential.parameters) + 1
        layers = [(values[f"weight_{i}"].copy(), values[f"bias_{i}"][0].copy()) for i in range(count)]
        minimum, maximum, mean, _ = self.statistics[place].T
        scale = scaling.scale[species, columns]
        weights, biases = layers[0][0][columns], layers[0][1]
        biases = biases + ((mean - scaling.mean[species, columns]) / scale) @ weights
        layers[0] = (weights * ((maximum - minimum) / scale)[:, None], biases)
        weights, biases = layers[-1]
        unit = scaling.energy / self.units.in_ev
        # The keyword atom_energy would be the place for references, but CP2K does not know it.
        own = scaling.offset[species] + self.potential.energy_reference[self.potential.elements[species]]
        layers[-1] = (weights * unit, biases * unit + own / self.units.in_ev)
        return layers

    def readme(self) -> str:
        """Say how LAMMPS and CP2K read the files."""
        angstrom, ev = 1 / self.units.in_angstrom, 1 / self.units.in_ev
        units = f"cflength {angstrom:.16g} cfenergy {ev:.16g}"
        lines = [
            f"Each folder is one member of the committee, in n2p2's format ({self.units.length}, {self.units.energy}).",
            "",
            "LAMMPS (units metal, one member):",
            f'  pair_style hdnnp {self.potential.cutoff:.10g} dir "nnp-001" {units}',
            f"  pair_coeff * * {' '.join(self.potential.elements)}",
            "",
            "CP2K (METHOD NNP, the whole committee):",
        ]
        obstacle = self.not_for_cp2k()
        if obstacle:
            return "\n".join([*lines, f"  not possible: {obstacle}", ""])
        lines += [
            "  &NNP",
            f"    NNP_INPUT_FILE_NAME nnp-001/{INPUT_FILE}",
            f"    SCALE_FILE_NAME nnp-001/{SCALING_FILE}",
        ]
        for member in range(self.potential.members):
            lines += ["    &MODEL", f"      WEIGHTS nnp-{member + 1:03d}/weights", "    &END MODEL"]
        return "\n".join([*lines, "  &END NNP", ""])

    def not_for_cp2k(self) -> str:
        """Say what CP2K does not know of the descriptor; empty if it knows all."""
        every = [line for own in self.lines for line in own]
        if self.units != ATOMIC:
            return "it reads bohr and Ha only"
        if self.settings.cutoff_function not in ("cosine", "tanh") or self.settings.inner_cutoff:
            return "it knows the cutoff functions cosine and tanh only, without an inner cutoff"
        if "softplus" in self.potential.form.activations:
            return "its derivative of softplus is wrong (measured with version 2023.1: energies agree, forces do not)"
        if any(line.kind not in ("radial", "narrow") for line in every):
            return "it knows radial and narrow symmetry functions only"
        if any(line.kind == "narrow" and line.shift for line in every):
            return "it knows narrow symmetry functions without a shift only"
        return ""


def _statistics(ranges: Ranges, species: int, columns: list[int]) -> np.ndarray:
    """Minimum, maximum, mean and deviation ``(n, 4)``; what hardly varies gets a width of one."""
    tables = (ranges.minimum, ranges.maximum, ranges.mean, ranges.deviation)
    minimum, maximum, mean, deviation = (table[species, columns] for table in tables)
    narrow = maximum - minimum < NARROW
    return np.stack([minimum, np.where(narrow, minimum + 1.0, maximum), mean, deviation], axis=1)
