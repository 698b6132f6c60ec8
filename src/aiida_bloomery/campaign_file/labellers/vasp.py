"""The labeller `vasp`: VASP, many frames in one job, with potentials that aiida-vasp keeps."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from aiida_bloomery.calculations.vasp_input import Boundaries
from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.labellers.contract import Finding, LabellerPart, Program
from aiida_bloomery.campaign_file.labellers.kpoints import Kpoints
from aiida_bloomery.campaign_file.labellers.pw_physics import Shells, foreign
from aiida_bloomery.campaign_file.model import Code, ShortForm
from aiida_bloomery.campaign_file.options import job_options
from aiida_bloomery.workflows.labelling.frame_checks import lacks_vacuum
from aiida_bloomery.workflows.labelling.vasp_checks import SAID_BY, check_frames, check_given, read_tags, unknown_tags
from aiida_bloomery.workflows.labelling.vasp_inputs import FUNCTIONALS, vasp_inputs, vasp_tags
from bloomery.errors import InputError
from bloomery.plugins import Settings
from bloomery.quantities import EnergyInEV, Unit

USUAL = "PBE"
MADE_WITH = {"PBEsol": "PBE", "revPBE": "PBE", "RPBE": "PBE", "SCAN": "PBE", "r2SCAN": "PBE", "LDA": "Perdew-Zunger81"}
"""By functional the one that its potentials are usually made with, as their headers say it."""


class Smearing(Settings):
    """Smearing of the occupations."""

    type: Literal["gaussian", "fermi-dirac", "methfessel-paxton"] = "gaussian"
    """The function; a frame's own `electronic_temperature` goes before it."""
    width: Annotated[EnergyInEV, Field(gt=0)] = 0.05
    """Its width, in eV; of Fermi and Dirac's kB times the temperature."""


class Potentials(ShortForm):
    """Which potentials are taken. The name of a family alone is a short form."""

    short = ("family", str)

    family: str
    """Label of a family that was added with ``aiida-vasp potcar uploadfamily``."""
    names: dict[str, str] = Field(default={})
    """Names by element, such as ``Fe: Fe_pv``; by default that of the element."""


class Part(LabellerPart):
    """Labels from VASP: energy, forces, stress of crystals, and moments."""

    program: ClassVar[Program | None] = Program("vasp", "VASP.", "2>&1", re.compile(r"vasp\.(\d+\.\d+\.\d+)"))

    potentials: Potentials
    """Family of potentials in the profile, ``PBE.54``, or with names: ``{family: PBE.54, names: {Fe: Fe_pv}}``."""
    functional: str | None = None
    """PBE (the default), PBEsol, revPBE, RPBE, LDA, SCAN or r2SCAN; others by their tags under ``parameters``."""
    dispersion: Literal["none", "d2", "d3", "d3bj", "ts"] | None = None
    """Grimme's D2, his D3 with zero damping or that of Becke and Johnson, or that of Tkatchenko and Scheffler."""
    encut: Annotated[EnergyInEV, Field(gt=0)] | None = None
    """Cutoff of the wavefunctions in eV, for all frames; by default a multiple of the potentials' largest ENMAX."""
    kpoints: Kpoints | None = None
    """The k-point mesh; by default by the protocol's density."""
    smearing: Smearing | None = None
    """Smearing of the occupations; by default Gaussian, 0.05 eV."""
    moments: dict[str, Annotated[float, Unit("μB"), Field(ge=-10, le=10)]] | None = Field(default=None, min_length=1)
    """Moments in μB that atoms start from, by element; those that a frame says (``initial_magmoms``) come first."""
    hubbard: Shells | None = None
    """Hubbard corrections, ``{u: {Fe-3d: 4.0}}``."""
    boundaries: Boundaries = Boundaries()
    """What is done where frames are not periodic: molecules, wires and slabs."""
    parameters: dict[str, Any] = Field(default={})
    """Further tags of INCAR, such as ``NCORE: 4``."""
    frames_per_job: int | None = Field(default=None, ge=1)
    """How many frames one job labels."""
    frame_time: Annotated[float, Unit("s"), Field(gt=0)] | None = None
    """Longest time of one frame, in s."""

    @field_validator("parameters", mode="before")
    @classmethod
    def _as_vasp_reads(cls, value: Any) -> Any:
        return read_tags(value) if isinstance(value, dict) else value

    @field_validator("functional")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in FUNCTIONALS:
            raise ValueError(f"{value!r} is none of {', '.join(FUNCTIONALS)}; give the tags of others under parameters")
        return value

    @model_validator(mode="after")
    def _settings_fit(self) -> Part:
        message = self._given_twice() or check_given(self.parameters)
        if message is not None:
            raise ValueError(message)
        return self

    def _given_twice(self) -> str | None:
        """Return a sentence about the first key that says what a tag says too."""
        for key, tags in SAID_BY.items():
            for tag in tags:
                if getattr(self, key) is not None and tag in self.parameters:
                    return f"{key} and parameters.{tag} say the same thing; keep one of them"
        return None

    def overrides(self) -> dict[str, object]:
        """What stands in the protocol's place."""
        given: dict[str, object] = {"parameters": self.parameters, "boundaries": self.boundaries.model_dump()}
        for name in ("functional", "dispersion", "encut", "moments"):
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        if self.kpoints is not None:
            given["kpoints"] = self.kpoints.as_input()
        if self.smearing is not None:
            given["smearing"] = self.smearing.model_dump()
        if self.hubbard is not None:
            given["hubbard"] = dict(self.hubbard.u)
        return {**super().overrides(), **given}

    def check(self, campaign: Campaign) -> None:
        """See that settings go together, that elements are there, and that VASP can take the frames."""
        if importlib.util.find_spec("aiida_vasp") is None:
            raise campaign.source.error(
                campaign.labeller_key(), "aiida-vasp is not installed: pip install aiida-bloomery[vasp]"
            )
        with _at_key(campaign):
            vasp_tags(campaign.file.protocol, self.overrides())
        present = campaign.structures.elements
        for key, named in (
            ("moments", self.moments),
            ("hubbard", self.hubbard and self.hubbard.shells),
            ("potentials.names", self.potentials.names),
        ):
            if absent := foreign(named or (), present):
                raise campaign.source.error(
                    campaign.labeller_key(*key.split(".")),
                    f"names {absent}, and no structure holds it; correct or remove it.",
                )
        for element, name in self.potentials.names.items():
            if re.fullmatch(rf"{element}([._\d].*)?", name) is None:
                raise campaign.source.error(
                    campaign.labeller_key("potentials", "names", element),
                    f"{name!r} is no potential of {element}; give one, such as {element} or {element}_pv.",
                )
        for name, frames in campaign.named_frames:
            found = check_frames(frames) or lacks_vacuum(frames, self.boundaries.vacuum)
            if found is not None:
                raise campaign.source.error(name, f"frame {found[0]} {found[1]}.")

    def notes(self, campaign: Campaign) -> Iterator[str]:
        """Say what may not be meant: tags that are not known, charges in periods, and unpaired electrons in a pair."""
        for tag, close in unknown_tags(self.parameters).items():
            yield f"{campaign.labeller_words}.parameters.{tag}: is no tag that parsevasp knows" + (
                f"; perhaps {close} is meant." if close else "; look at its spelling."
            )
        for name, frames in campaign.named_frames:
            charged = np.flatnonzero(np.abs(frames.state("charge")[0]) > 0)
            if len(charged):
                yield (
                    f"{name}: frame {charged[0]} is charged and sees its periodic images, so that its energy depends "
                    "on the size of its cell."
                )
            spinless = self._odd_molecule(frames)
            if spinless is not None:
                yield (
                    f"{name}: frame {spinless} is a molecule with an odd number of electrons, and without a spin, so "
                    "that it is computed without spins; give it one (spin, which is 2S+1)."
                )

    def _odd_molecule(self, frames: Any) -> int | None:
        """The first molecule with an odd number of electrons for which nothing asks for spins."""
        if self.moments is not None or self.parameters.get("ISPIN") == 2:
            return None
        protons = np.bincount(frames.frame_of_atom, weights=frames.numbers, minlength=len(frames))
        odd = (protons - frames.state("charge")[0]) % 2 == 1
        for frame in np.flatnonzero(odd & ~frames.pbc.any(axis=1)).tolist():
            if not {"spin", "tot_magnetization", "initial_magmoms"} & set(frames.state_of(frame)):
                return int(frame)
        return None

    def theory(self, campaign: Campaign) -> str:  # noqa: ARG002
        """The functional, with the dispersion that is added to it."""
        name = self.functional or USUAL
        return f"{name}+D3" if self.dispersion in {"d3", "d3bj"} else name

    def findings(self, campaign: Campaign) -> Iterator[Finding]:
        """See that the potentials are there, and say what they are made with."""
        from aiida_bloomery.calculations.vasp_potentials import find_potentials, read_header  # noqa: PLC0415

        names = {element: self.potentials.names.get(element, element) for element in campaign.structures.elements}
        with _at_key(campaign):
            nodes = find_potentials(self.potentials.family, names)
        headers = {element: read_header(node) for element, node in nodes.items()}
        told = ", ".join(f"{header.title} ({header.electrons:g} electrons)" for header in headers.values())
        functional = self.functional or USUAL
        usual = MADE_WITH.get(functional, functional)
        others = sorted({header.functional for header in headers.values()} - {usual})
        if others and not {"GGA", "METAGGA", "LHFCALC"} & set(self.parameters):
            told += f"; made with {', '.join(others)}, and the labels are of {functional}"
            yield Finding("potentials", told, "warning")
        else:
            yield Finding("potentials", told)

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> Mapping[str, object]:
        """Inputs of the workchain."""
        seconds = None if self.frame_time is None else max(1, round(self.frame_time))
        pack = {"size": self.frames_per_job, "concurrency": entry.parallel, "frame_timeout_s": seconds}
        overrides = {
            **self.overrides(),
            "potentials": self.potentials.model_dump(),
            "pack": {key: value for key, value in pack.items() if value is not None},
        }
        with _at_key(campaign):
            return vasp_inputs(
                code,
                campaign.structures.elements,
                campaign.file.protocol,
                overrides,
                options=job_options(entry, code, mpi=entry.cores > 1),
            )


@contextmanager
def _at_key(campaign: Campaign) -> Iterator[None]:
    """Say of what goes wrong inside under which key it stands: the word that its sentence begins with."""
    try:
        yield
    except InputError as error:
        word, _, message = str(error).partition(": ")
        keys = {**{name: (name,) for name in Part.model_fields}, "family": ("potentials", "family")}
        keys["names"] = ("potentials", "names")
        if word in keys:
            raise campaign.source.error(campaign.labeller_key(*keys[word]), message) from error
        raise campaign.source.error(campaign.labeller_key(), str(error)) from error
