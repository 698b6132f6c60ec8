"""Writing a potential as a metatomic model, and the calculator of what was written."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ase.calculators.calculator import Calculator

from bloomery.descriptors.acsf.descriptor import Acsf
from bloomery.descriptors.power_spectrum.descriptor import PowerSpectrum
from bloomery.descriptors.soap import Soap
from bloomery.engines.hdnnp.metatomic.networks import Committee
from bloomery.engines.hdnnp.metatomic.power_spectrum import ScriptedPowerSpectrum
from bloomery.engines.hdnnp.metatomic.repulsion import ScriptedRepulsion
from bloomery.engines.hdnnp.metatomic.symmetry_functions import ScriptedSymmetryFunctions
from bloomery.engines.hdnnp.network_potential import NetworkPotential
from bloomery.frames.configurations import symbols_to_numbers

MODEL_FILE = "model.pt"
EXTENSIONS_FOLDER = "extensions"
OUTPUTS = {
    "energy": "mean of the committee",
    "energy_ensemble": "members of the committee",
    "energy_uncertainty": "standard deviation over the members of the committee",
}
COMMITTEE = "(mean of the {} members), energy_ensemble (each member), energy_uncertainty (their standard deviation)"
USAGE = """Elements {elements}; lengths in Å, energies in eV, references of the atoms included.
Outputs, of systems and of atoms: energy {committee}
Forces and stresses are derivatives of the energy.

In ASE (pip install metatomic-ase):

    from metatomic_ase import MetatomicCalculator
    atoms.calc = MetatomicCalculator("{model}"{extensions_python})

In LAMMPS with its package ML-METATOMIC (conda install -c metatensor -c conda-forge lammps-metatomic), units metal:

    pair_style metatomic {model}{extensions_lammps}
    pair_coeff * * {numbers}

with one atomic number for each LAMMPS type, in the order of the types.

In i-PI (pip install ipi metatomic-ase), without a socket:

    <ffdirect name="bloomery">
      <pes>metatomic</pes>
      <parameters>{{template: start.xyz, model: {model}, device: cpu{extensions_ipi}}}</parameters>
    </ffdirect>

In torch-sim (pip install metatomic-torchsim):

    from metatomic_torchsim import MetatomicModel
    model = MetatomicModel("{model}"{extensions_python})
"""


def what_is_in_the_way(potential: NetworkPotential) -> str:
    """Say why a potential cannot become a metatomic model here; empty if it can."""
    if type(potential.descriptor) not in (Acsf, PowerSpectrum, Soap):
        name = potential.descriptor.name
        return f"its descriptor {name!r} is not written in TorchScript; train with power_spectrum, acsf or soap"
    if importlib.util.find_spec("metatomic") is None:
        return "the package metatomic-torch is not installed; install it with pip install 'aiida-bloomery[metatomic]'"
    needed = ("featomic", "featomic.torch") if isinstance(potential.descriptor, Soap) else ()
    if any(importlib.util.find_spec(name) is None for name in needed):
        return "its descriptor 'soap' needs the package featomic-torch; install it with pip install featomic-torch"
    return ""


def write_model(potential: NetworkPotential, folder: Path) -> list[Path]:
    """Write the model and how to run it; return their paths."""
    soap = isinstance(potential.descriptor, Soap)
    extensions = folder / EXTENSIONS_FOLDER
    model = make_model(potential)
    with _these_extensions("featomic" if soap else None):
        model.save(folder / MODEL_FILE, collect_extensions=str(extensions) if soap else None)
    usage = folder / "README.txt"
    usage.write_text(_usage(potential, soap), encoding="utf-8")
    collected = [path for path in sorted(extensions.rglob("*")) if path.is_file()] if soap else []
    return [folder / MODEL_FILE, *collected, usage]


def make_model(potential: NetworkPotential) -> Any:
    """Make metatomic's ``AtomisticModel`` of a potential; energies are in eV and in float64.

    A potential in float32 computes its features and networks in float32, and sums up in float64 as it always does.
    """
    from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput  # noqa: PLC0415

    told = OUTPUTS if potential.members > 1 else {"energy": OUTPUTS["energy"]}
    outputs = {name: ModelOutput(unit="eV", sample_kind="atom", description=about) for name, about in told.items()}
    capabilities = ModelCapabilities(
        outputs=outputs,
        atomic_types=symbols_to_numbers(potential.elements),
        interaction_range=potential.cutoff,
        length_unit="angstrom",
        supported_devices=["cpu"] if isinstance(potential.descriptor, Soap) else ["cuda", "cpu"],
        dtype="float64",
    )
    trained = potential.details.get("trained_on", {})
    metadata = ModelMetadata(
        name=f"hdnnp for {', '.join(potential.elements)}",
        description=(
            f"Committee of {potential.members} neural networks on the descriptor {potential.descriptor.name}, trained "
            f"by aiida-bloomery on {trained.get('frames', 'an unknown number of')} frames (data set "
            f"{trained.get('digest', 'unknown')})."
        ),
        references={"architecture": ["Behler and Parrinello, Phys. Rev. Lett. 98, 146401 (2007)"]},
    )
    return AtomisticModel(_module(potential).eval(), metadata, capabilities)


def _module(potential: NetworkPotential) -> torch.nn.Module:
    from bloomery.engines.hdnnp.metatomic.model import Atoms, ModelOfSystems, ModelOfVectors  # noqa: PLC0415

    repulsion = None if potential.repulsion is None else ScriptedRepulsion(potential.repulsion)
    atoms = Atoms(Committee(potential.folded()), potential.elements, potential.energy_reference)
    descriptor = potential.descriptor
    if isinstance(descriptor, Soap):
        from bloomery.engines.hdnnp.metatomic.soap import ScriptedSoap  # noqa: PLC0415

        return ModelOfSystems(atoms, ScriptedSoap(descriptor, potential.elements), potential.cutoff, repulsion)
    if isinstance(descriptor, Acsf):
        functions = ScriptedSymmetryFunctions(descriptor, potential.elements, potential.dtype)
        return ModelOfVectors(atoms, functions, potential.cutoff, repulsion)
    if isinstance(descriptor, PowerSpectrum):
        spectrum = ScriptedPowerSpectrum(descriptor, potential.elements, potential.dtype)
        return ModelOfVectors(atoms, spectrum, potential.cutoff, repulsion)
    raise TypeError("what_is_in_the_way says so")


@contextmanager
def _these_extensions(name: str | None) -> Iterator[None]:
    """Let metatomic see no other extension of TorchScript: it asks for all that happen to be loaded when it saves."""
    loaded = torch.ops.loaded_libraries
    seen = {path for path in loaded if name is not None and name in Path(path).name}
    torch.ops.loaded_libraries = seen
    try:
        yield
    finally:
        torch.ops.loaded_libraries = loaded


def _usage(potential: NetworkPotential, soap: bool) -> str:
    return USAGE.format(
        elements=", ".join(potential.elements),
        committee=COMMITTEE.format(potential.members) if potential.members > 1 else "",
        model=MODEL_FILE,
        numbers=" ".join(str(number) for number in symbols_to_numbers(potential.elements)),
        extensions_python=f', extensions_directory="{EXTENSIONS_FOLDER}"' if soap else "",
        extensions_lammps=f" extensions {EXTENSIONS_FOLDER}" if soap else "",
        extensions_ipi=f", extensions: {EXTENSIONS_FOLDER}" if soap else "",
    )


def model_calculator(folder: Path, device: str = "cpu") -> Calculator:
    """Return metatomic's ASE calculator of what `write_model` wrote."""
    from metatomic_ase import MetatomicCalculator  # noqa: PLC0415

    extensions = folder / EXTENSIONS_FOLDER
    directory = str(extensions) if extensions.is_dir() else None
    # The energy of one atom is no observable: members may disagree about it and agree about the sum.
    return MetatomicCalculator(
        str(folder / MODEL_FILE), extensions_directory=directory, device=device, uncertainty_threshold=None
    )
