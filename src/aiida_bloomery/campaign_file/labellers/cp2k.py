"""The labeller `cp2k`: CP2K's Quickstep, many frames in one job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from aiida_bloomery.calculations.cp2k_data import data_folder
from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.labellers.contract import LabellerPart, Program
from aiida_bloomery.campaign_file.labellers.kpoints import Kpoints
from aiida_bloomery.campaign_file.model import Code
from aiida_bloomery.campaign_file.options import job_options
from aiida_bloomery.setup.machine import cp2k_program
from aiida_bloomery.workflows.labelling.cp2k_checks import (
    check_frames,
    check_given,
    check_vacuum,
    read_sections,
    spills_over,
)
from aiida_bloomery.workflows.labelling.cp2k_inputs import DISPERSIONS, FUNCTIONALS, cp2k_inputs, cp2k_settings
from aiida_bloomery.workflows.labelling.frame_checks import one_of_each
from aiida_bloomery.workflows.protocols import merge, protocol_inputs
from bloomery.errors import InputError
from bloomery.frames.states import states_of
from bloomery.plugins import Settings
from bloomery.quantities import Angstrom, Kelvin, Unit

Rydberg = Annotated[float, Unit("Ry"), Field(gt=0)]
NONMETALS = {
    "H", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "Ge", "As", "Se", "Br", "Kr", "Te", "I", "Xe",
}  # fmt: skip


class Smearing(Settings):
    """Smearing of the occupations."""

    type: Literal["fermi-dirac"] = "fermi-dirac"
    """The only function that CP2K has forces for."""
    temperature: Annotated[Kelvin, Field(gt=0)] = 1000.0
    """Of the electrons, in K; a frame's own `electronic_temperature` goes before it."""


class Part(LabellerPart):
    """Labels from CP2K: energy, forces, and the stress of crystals."""

    program: ClassVar[Program | None] = Program(
        "cp2k", "CP2K.", "--version 2>&1", re.compile(r"CP2K version (\d+(?:\.\d+)+)")
    )

    functional: str | None = None
    """PBE (the default), PBEsol, revPBE, BLYP or LDA; others by their section XC_FUNCTIONAL under ``parameters``."""
    dispersion: Literal["none", "d3", "d3bj"] | None = None
    """Grimme's D3 with zero damping or that of Becke and Johnson; by default none."""
    cutoff: Rydberg | None = None
    """Cutoff of the finest grid in Ry; by default the protocol's."""
    rel_cutoff: Rydberg | None = None
    """Cutoff of the grid that a Gaussian is put on, in Ry; likewise."""
    basis: str | dict[str, str] | None = None
    """Basis set, the same for all elements or by element; by default DZVP-MOLOPT-SR-GTH."""
    potential: str | dict[str, str] | None = None
    """Potential, likewise, such as GTH-PBE or GTH-PBE-q18; by default that of the functional."""
    basis_files: list[str] | None = Field(default=None, min_length=1)
    """Files with basis sets, of CP2K's own or with their path; by default BASIS_MOLOPT."""
    potential_files: list[str] | None = Field(default=None, min_length=1)
    """Files with potentials, likewise; by default GTH_POTENTIALS."""
    kpoints: Kpoints | None = None
    """The k-point mesh; by default by the protocol's density, which is Gamma alone in large cells."""
    smearing: Smearing | Literal["none"] | None = None
    """Smearing of the occupations, which metals need, or ``none``, the default."""
    uks: bool | Literal["auto"] = "auto"
    """Whether spins are polarised; ``auto`` where a frame's spin, moments or odd number of electrons asks for it."""
    vacuum: Angstrom | None = None
    """Å between the outermost atoms and the end of the box of a molecule or slab; by default 5."""
    parameters: dict[str, Any] = Field(default={})
    """Further keywords of CP2K by section, such as ``FORCE_EVAL: {DFT: {SCF: {EPS_SCF: 1.0e-7}}}``."""
    frames_per_job: int | None = Field(default=None, ge=1)
    """How many frames one job labels."""
    frame_time: Annotated[float, Unit("s"), Field(gt=0)] | None = None
    """Longest time of one frame, in s."""

    @field_validator("parameters", mode="before")
    @classmethod
    def _as_cp2k_reads(cls, value: Any) -> Any:
        return read_sections(value) if isinstance(value, dict) else value

    @field_validator("functional")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in FUNCTIONALS:
            raise ValueError(
                f"{value!r} is none of {', '.join(FUNCTIONALS)}; others are a section XC_FUNCTIONAL under parameters"
            )
        return value

    @model_validator(mode="after")
    def _settings_fit(self) -> Part:
        message = self._given_twice() or check_given(self.parameters)
        if message is None and self.vacuum is not None and (problem := check_vacuum(self.vacuum)):
            message = f"vacuum: {problem}"
        if message is None and self.functional == "LDA" and self.dispersion in DISPERSIONS:
            message = "dispersion: D3 is not known for LDA; leave it out, or choose another functional"
        if message is not None:
            raise ValueError(message)
        return self

    def _given_twice(self) -> str | None:
        """Return a sentence about the first key that says what a keyword says too."""
        dft = self.parameters.get("FORCE_EVAL", {}).get("DFT", {})
        said_by = {
            "cutoff": ("MGRID", "CUTOFF"),
            "rel_cutoff": ("MGRID", "REL_CUTOFF"),
            "functional": ("XC", "XC_FUNCTIONAL"),
            "dispersion": ("XC", "VDW_POTENTIAL"),
        }
        for key, (section, name) in said_by.items():
            if getattr(self, key) is not None and name in dft.get(section, {}):
                return f"{key} and parameters.FORCE_EVAL.DFT.{section}.{name} say the same thing; keep one of them"
        return None

    def theory(self, campaign: Campaign) -> str:
        """The functional, with the dispersion that is added to it."""
        inputs = protocol_inputs("labelling.cp2k", campaign.file.protocol, self.overrides())
        if "XC" in inputs["parameters"]["FORCE_EVAL"]["DFT"]:
            return ""
        return f"{inputs['functional']}+D3" if inputs["dispersion"] in DISPERSIONS else str(inputs["functional"])

    def overrides(self) -> dict[str, object]:
        """What stands in the protocol's place."""
        grid = {"CUTOFF": self.cutoff, "REL_CUTOFF": self.rel_cutoff}
        grid = {key: value for key, value in grid.items() if value is not None}
        own: dict[str, Any] = {"FORCE_EVAL": {"DFT": {"MGRID": grid}}} if grid else {}
        names = ("functional", "dispersion", "basis", "potential", "basis_files", "potential_files", "vacuum")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.kpoints is not None:
            given["kpoints"] = self.kpoints.as_input()
        if isinstance(self.smearing, Smearing):
            given["temperature"] = self.smearing.temperature
        if self.uks != "auto":
            given["uks"] = self.uks
        return {**super().overrides(), **given, "parameters": merge(own, self.parameters)}

    def check(self, campaign: Campaign) -> None:
        """See that CP2K has what the elements need, and that it can take the frames."""
        data = self._data(campaign)
        try:
            rules = cp2k_settings(campaign.structures.elements, campaign.file.protocol, self.overrides(), data=data)[
                "rules"
            ]
        except InputError as error:
            key, _, message = str(error).partition(": ")
            known = key in type(self).model_fields
            raise campaign.source.error(
                campaign.labeller_key(key) if known else campaign.labeller_key(), message if known else str(error)
            ) from error
        for name, frames in campaign.named_frames:
            found = check_frames(frames, rules)
            if found is not None:
                raise campaign.source.error(name, f"frame {found[0]} {found[1]}.")
            for frame in range(len(frames)):
                problem = None if frames.pbc[frame].all() else spills_over(frames[frame].to_atoms()[0])
                if problem is not None:
                    raise campaign.source.error(name, f"frame {frame} {problem}.")

    def notes(self, campaign: Campaign) -> Iterator[str]:
        """Say what is not seen here, where a spin is guessed, and where metals have no smearing."""
        where = campaign.labeller_words
        if self._data(campaign) is None:
            yield (
                f"{where}: CP2K's files are not on this machine, so that basis sets and potentials are not "
                "looked up; its job would say what is missing."
            )
        frames = campaign.structures
        if NONMETALS.isdisjoint(frames.elements) and not isinstance(self.smearing, Smearing):
            yield (
                f"{where}.smearing: {', '.join(frames.elements)} may be a metal, whose occupations do not "
                "converge without smearing; give `smearing: {temperature: 1000 K}`."
            )
        if self.uks == "auto":
            for name, atoms in one_of_each(frames).items():
                state = states_of(atoms)
                odd = (int(atoms.numbers.sum()) - round(float(state.get("charge", 0)))) % 2
                if odd and not {"spin", "tot_magnetization"} & set(state):
                    yield f"{where}: {name} has an odd number of electrons and no spin: taken for a doublet."
        for name, every in campaign.named_frames:
            if every.pbc.all():
                continue
            yield f"{name}: some frames are open along a direction; they get no stress, and a box of CP2K's own."
            break

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> Mapping[str, object]:
        """Inputs of the workchain."""
        seconds = None if self.frame_time is None else max(1, round(self.frame_time))
        pack = {"size": self.frames_per_job, "concurrency": entry.parallel, "frame_timeout_s": seconds}
        overrides = {**self.overrides(), "pack": {key: value for key, value in pack.items() if value is not None}}
        local = code.computer is not None and code.computer.transport_type == "core.local"
        return cp2k_inputs(
            code,
            campaign.structures.elements,
            campaign.file.protocol,
            overrides,
            data=data_folder(Path(str(code.get_executable()))) if local else None,
            options=job_options(entry, code, mpi=entry.cores > 1),
        )

    def _data(self, campaign: Campaign) -> Path | None:
        """CP2K's files, if the campaign runs the CP2K of this machine."""
        entry = campaign.file.codes.entry("cp2k")
        if entry is not None and entry.code is not None and not entry.code.endswith("@localhost"):
            return None
        return data_folder(cp2k_program())
