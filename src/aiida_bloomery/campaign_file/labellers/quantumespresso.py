"""The labeller `quantumespresso`: pw.x, packed first, then frame by frame."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import numpy as np
from pydantic import Field, field_validator, model_validator

from aiida_bloomery.calculations.ph_response import Response, unsuited, without_response
from aiida_bloomery.calculations.pw_boundaries import Boundaries
from aiida_bloomery.calculations.pw_variables import not_a_variable, read_namelists, unknown_variables
from aiida_bloomery.campaign_file.campaign import Campaign
from aiida_bloomery.campaign_file.codes import load_beside
from aiida_bloomery.campaign_file.labellers import givers_of
from aiida_bloomery.campaign_file.labellers.contract import Finding, LabellerPart, Program
from aiida_bloomery.campaign_file.labellers.kpoints import Kpoints
from aiida_bloomery.campaign_file.labellers.pw_physics import (
    Dispersion,
    Hubbard,
    foreign,
    knows_functional,
    shells_of,
    wants_card,
)
from aiida_bloomery.campaign_file.model import Code
from aiida_bloomery.campaign_file.options import job_options
from aiida_bloomery.campaign_file.versions import hear_version
from aiida_bloomery.setup.pseudopotentials import FAMILY, read_header
from aiida_bloomery.workflows.labelling.pw_checks import check_given, check_states, lacks_vacuum, undefined_response
from aiida_bloomery.workflows.protocols import merge, protocol_inputs
from bloomery.campaign.convergence import Ladder
from bloomery.errors import InputError
from bloomery.frames.boxes import empty_space
from bloomery.frames.configurations import Configurations, symbols_to_numbers
from bloomery.frames.labels import PROPERTIES
from bloomery.plugins import Settings
from bloomery.quantities import Unit

Rydberg = Annotated[float, Unit("Ry"), Field(gt=0)]
UNEVEN = 1.5
"""Distances between k-points may differ by this factor between structures."""
HEADER = 20_000
"""Characters of a UPF file that hold its header."""

SAID_BY_FAMILIES = {"PBE", "PBESOL", "LDA", "PZ", "SCAN", "R2SCAN"}
"""Functionals that labels of families say of their pseudopotentials."""

SAID_BY = {
    "ecutwfc": ("ecutwfc",),
    "ecutrho": ("ecutrho",),
    "smearing": ("occupations", "smearing", "degauss"),
    "functional": ("input_dft",),
    "dispersion": ("vdw_corr", "dftd3_version", "dftd3_threebody"),
    "moments": ("nspin", "starting_magnetization", "noncolin"),
    "hubbard": ("lda_plus_u", "lda_plus_u_kind", "hubbard_u", "u_projection_type"),
}
"""Keys of their own, and the variables of pw.x in SYSTEM that they set."""


class Smearing(Settings):
    """Smearing of the occupations."""

    type: Literal["cold", "gaussian", "fermi-dirac", "methfessel-paxton"] = "cold"
    """The function; ``cold`` is that of Marzari and Vanderbilt."""
    width: Rydberg = 0.01
    """Its width, in Ry."""


PROGRAM = Program("pw", "Quantum ESPRESSO's pw.x.", "-in /dev/null 2>&1", re.compile(r"Program PWSCF v\.?(\S+)"))


PH = Program(
    "ph",
    "Quantum ESPRESSO's ph.x, which runs in the jobs of pw.x and on its computer: `code` alone.",
    "-in /dev/null 2>&1",
    re.compile(r"Program PHONON v\.?(\S+)"),
)


class Part(LabellerPart):
    """Labels from pw.x: energy, forces and stress; and from ph.x: dielectric tensor and Born effective charges."""

    program: ClassVar[Program | None] = PROGRAM
    beside: ClassVar[tuple[Program, ...]] = (PH,)

    pseudopotentials: str | dict[str, str] = FAMILY
    """Label of a pseudopotential family, or a UPF file for each element."""
    kpoints: Kpoints | None = None
    """The k-point mesh; by default by the protocol's density."""
    ecutwfc: Rydberg | None = None
    """Cutoff of the wavefunctions in Ry; by default the family's largest for the elements."""
    ecutrho: Rydberg | None = None
    """Cutoff of the density in Ry; likewise."""
    smearing: Smearing | Literal["none"] | None = None
    """Smearing of the occupations, or ``none`` for fixed ones; by default the protocol's."""
    functional: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9+_\-]*$")
    """A functional in the place of the pseudopotentials' own, by pw.x's name for it, such as ``rev-vdw-df2``."""
    dispersion: Dispersion | None = None
    """Dispersion: ``d3``, ``d3bj``, ``d2`` or ``ts``, or ``{method: d3, three_body: true}``."""
    moments: dict[str, Annotated[float, Unit("μB"), Field(ge=-10, le=10)]] | None = Field(default=None, min_length=1)
    """Moments in μB that atoms start from, by element; those that a frame says (``initial_magmoms``) come first."""
    hubbard: Hubbard | None = None
    """Hubbard corrections, ``{u: {Fe-3d: 4.0}}``."""
    boundaries: Boundaries = Boundaries()
    """What is done where frames are not periodic: molecules, wires and slabs."""
    parameters: dict[str, dict[str, object]] = Field(default={})
    """Further variables of pw.x by namelist, such as ``SYSTEM: {vdw_corr: dft-d3}``."""
    properties: list[Response] = Field(default=[])
    """Labels of insulators that ph.x adds in the same job: ``dielectric_tensor``, ``born_effective_charges``."""
    frames_per_job: int | None = Field(default=None, ge=1)
    """How many frames one job labels."""
    frame_time: Annotated[float, Unit("s"), Field(gt=0)] | None = None
    """Longest time of one frame, in s."""

    @field_validator("parameters", mode="before")
    @classmethod
    def _as_pw_reads(cls, value: Any) -> Any:
        return read_namelists(value) if isinstance(value, dict) else value

    @field_validator("properties", mode="before")
    @classmethod
    def _that_ph_gives(cls, value: Any) -> Any:
        for name in value if isinstance(value, list | tuple) else ():
            if name in PROPERTIES and name not in get_args(Response):
                others = [giver for giver in givers_of(name) if giver != "quantumespresso"]
                given = f"{', '.join(others)} give{'s' * (len(others) == 1)} it" if others else "no labeller gives it"
                raise ValueError(
                    f"pw.x and ph.x give no {name} ({given}); they give {' and '.join(get_args(Response))}"
                )
        if isinstance(value, list) and len({*map(str, value)}) < len(value):
            raise ValueError("names a property twice; name each once")
        return value

    @model_validator(mode="after")
    def _settings_fit(self) -> Part:
        if self.ecutwfc is not None and self.ecutrho is not None and self.ecutrho < 4 * self.ecutwfc:
            raise ValueError(
                f"ecutrho is {self.ecutrho:g} Ry and must be at least 4 times ecutwfc ({self.ecutwfc:g} Ry)"
            )
        message = self._given_twice() or not_a_variable(self.parameters) or check_given(self.parameters)
        if message is not None:
            raise ValueError(message)
        return self

    def runs_beside(self) -> tuple[Program, ...]:
        """ph.x, if properties are asked for."""
        return (PH,) if self.properties else ()

    @property
    def frame_seconds(self) -> int | None:
        """Longest time of one frame in whole seconds."""
        return None if self.frame_time is None else max(1, round(self.frame_time))

    @property
    def namelists(self) -> dict[str, dict[str, object]]:
        """The further variables, by namelist."""
        return {name: dict(variables) for name, variables in self.parameters.items()}

    def theory(self, campaign: Campaign) -> str:  # noqa: ARG002
        """The functional that is said, or that of the family's label, with what is added to it."""
        label = self.pseudopotentials if isinstance(self.pseudopotentials, str) else ""
        of_family = (part for part in re.split(r"[^A-Za-z0-9]+", label) if part.upper() in SAID_BY_FAMILIES)
        name = self.functional or next(of_family, "")
        more = ["U"] if self.hubbard is not None else []
        more += [self.dispersion.method.removesuffix("bj").upper()] if self.dispersion is not None else []
        return "+".join([name, *more]) if name else ""

    def _given_twice(self) -> str | None:
        """Return a sentence about the first key that says what a variable says too."""
        system = self.parameters.get("SYSTEM", {})
        for key, names in SAID_BY.items():
            for name in system:
                if getattr(self, key) is not None and name.lower() in names:
                    return f"{key} and parameters.SYSTEM.{name} say the same thing; keep one of them"
        return None

    def check(self, campaign: Campaign) -> None:
        """See that boxes have room, that pw.x can be told states, and that pseudopotentials and elements fit."""
        for name, frames in campaign.named_frames:
            if lacking := lacks_vacuum(frames, self.boundaries):
                raise campaign.source.error(name, f"frame {lacking[0]} {lacking[1]}.")
            problem = check_states(frames, self.namelists)
            if problem is not None:
                raise campaign.source.error(name, problem.removeprefix("configurations: "))
        for key, elements in (("moments", self.moments), ("hubbard", self.hubbard and self.hubbard.shells)):
            if absent := foreign(elements or (), campaign.structures.elements):
                raise campaign.source.error(
                    campaign.labeller_key(key), f"names {absent}, and no structure holds it; correct or remove it."
                )
        self._check_response(campaign)
        if isinstance(self.pseudopotentials, dict):
            for element in campaign.structures.elements:
                if element not in self.pseudopotentials:
                    raise _error(campaign, f"has no file for {element}; add one.")
            for element, name in self.pseudopotentials.items():
                path = _upf_file(campaign, element, name)
                self._check_pseudo(campaign, element, path.read_text(encoding="utf-8", errors="replace"))

    def _check_response(self, campaign: Campaign) -> None:
        """See that ph.x can give what is asked for, of frames like these and of pw.x as it is told to run."""
        if not self.properties:
            return
        protocol = protocol_inputs("labelling.quantumespresso", campaign.file.protocol)
        own = self._own_system | self.namelists.get("SYSTEM", {})
        found = unsuited(merge(protocol["parameters"], {**self.namelists, "SYSTEM": own}))
        if found is not None:
            variable, message = found
            name = variable.rpartition(".")[2]
            key = next((key for key, names in SAID_BY.items() if getattr(self, key) and name in names), "properties")
            smeared = key == "smearing" or name == "occupations"
            remedy = "set smearing: none" if smeared else "change that"
            raise campaign.source.error(
                campaign.labeller_key("properties" if smeared else key),
                f"{message}; {remedy}, or ask for no properties.",
            )
        for name, frames in campaign.named_frames:
            if (problem := undefined_response(frames, self.properties)) is not None:
                raise campaign.source.error(name, problem)

    def _skewed_mesh(self, campaign: Campaign) -> Iterator[str]:
        """A mesh that is shifted along vectors which are not at right angles: it has less symmetry than the crystal."""
        if self.kpoints is None or not any(self.kpoints.shift):
            return
        for name, frames in campaign.named_frames:
            cells = np.array([atoms.cell.array for atoms in frames.to_atoms()])
            products = np.abs(np.einsum("nij,nkj->nik", cells, cells)[:, [0, 0, 1], [1, 2, 2]])
            if (products > 1e-3 * (cells**2).sum(axis=2).max()).any():
                yield (
                    f"{campaign.labeller_words}.kpoints.shift: along vectors that are not at right angles, as in "
                    f"{name}, a shifted mesh has less symmetry than the crystal, and tensors of ph.x are off by tens "
                    "of percent; leave the shift out, or take a cell with right angles."
                )
                return

    def notes(self, campaign: Campaign) -> Iterator[str]:
        """Say what may not be meant: one mesh for all cells, charges in periods, slabs that are periodic across."""
        where = campaign.labeller_words
        if self.properties:
            yield (
                f"{where}.properties: ph.x takes three to ten times as long as pw.x for each frame; frame_time holds "
                "for both together."
            )
            yield from self._skewed_mesh(campaign)
        yield from self._doubtful_boundaries(campaign)
        for name in unknown_variables(self.parameters):
            yield (
                f"{where}.parameters.{name}: pw.x up to 7.5 has no such variable, and stops at what "
                "it does not know; look at its spelling."
            )
        if self.functional is not None and not knows_functional(self.functional):
            yield f"{where}.functional: pw.x up to 7.5 has no {self.functional!r}; look at its spelling."
        if self.kpoints is None or self.kpoints.mesh is None:
            return
        frames = campaign.structures[np.flatnonzero(campaign.structures.pbc.all(axis=1))]
        if not len(frames):
            return
        reciprocal = np.linalg.norm(np.linalg.inv(frames.cells), axis=1) * 2 * np.pi
        apart = (reciprocal / self.kpoints.mesh).max(axis=1)
        if apart.max() > UNEVEN * apart.min():
            sizes = ", ".join(map(str, sorted(set(frames.counts.tolist()))))
            yield (
                f"{where}.kpoints: one mesh for cells of {sizes} atoms puts k-points "
                f"{apart.min():.2f} to {apart.max():.2f} 1/Å apart, so that energies per atom are not comparable; give "
                "a distance."
            )

    def _doubtful_boundaries(self, campaign: Campaign) -> Iterator[str]:
        """Say which energies depend on the size of a box, and which frames look like slabs and are periodic across."""
        for name, frames in campaign.named_frames:
            open_ = np.asarray(~frames.pbc.any(axis=1))
            charged = np.abs(frames.state("charge")[0]) > 0
            corrected = open_ & (self.boundaries.molecules != "none")
            in_period = np.flatnonzero(charged & ~corrected)
            if len(in_period):
                yield (
                    f"{name}: frame {in_period[0]} is charged and sees its periodic images, so that its energy depends "
                    "on the size of its cell"
                    + ("; choose a correction (boundaries.molecules)." if open_[in_period[0]] else ".")
                )
            hollow = _hollow(frames, self.boundaries.vacuum)
            if hollow is not None:
                frame, axis, width = hollow
                vector, pbc = ("first", "second", "third")[axis], ["T", "T", "T"]
                pbc[axis] = "F"
                yield (
                    f"{name}: frame {frame} has {width:.1f} Å of empty space along its {vector} vector and is periodic "
                    f'there, as a crystal; if it is a slab, say so (pbc="{" ".join(pbc)}").'
                )

    def findings(self, campaign: Campaign) -> Iterator[Finding]:
        """See that all pseudopotentials were made with the same functional, as their headers say."""
        functionals = {}
        for element, node in sorted(self._pseudos(campaign).items()):
            content = node.get_content()
            header = read_header(content)
            self._check_pseudo(campaign, element, content)
            functionals[element] = header.functional if header is not None and header.functional else "unknown"
        said = ", ".join(f"{element} {name}" for element, name in functionals.items())
        if self.functional is not None:
            yield Finding("functional", f"{self.functional}, with pseudopotentials of: {said}")
        elif self.properties and (odd := without_response(functionals)) is not None:
            raise _error(
                campaign,
                f"that of {odd} was made with {functionals[odd]}, which ph.x has no response of; choose "
                "others, or ask for no properties.",
            )
        elif len(set(functionals.values()) - {"unknown"}) > 1:
            raise _error(campaign, f"the functionals differ ({said}); choose pseudopotentials of one functional.")
        if "unknown" in functionals.values():
            yield Finding("pseudopotentials", f"a header does not say its functional: {said}", "warning")
        else:
            yield Finding("pseudopotentials", said)

    def _check_pseudo(self, campaign: Campaign, element: str, upf: str) -> None:
        """See that a pseudopotential has the shell that is corrected, and electrons for the moment to start from."""
        header, moment = read_header(upf), (self.moments or {}).get(element, 0.0)
        if header is not None and header.z_valence and abs(moment) > header.z_valence:
            raise campaign.source.error(
                campaign.labeller_key("moments", element),
                f"is {moment:g} μB, more than its {header.z_valence:g} valence electrons; give a smaller one.",
            )
        shell, shells = (self.hubbard.shells if self.hubbard else {}).get(element), shells_of(upf)
        if shell is not None and shells is not None and shell not in shells:
            raise campaign.source.error(
                campaign.labeller_key("hubbard", "u"),
                f"{element}-{shell} is corrected, and the pseudopotential of {element} has no wavefunction of that "
                f"shell (it has {', '.join(sorted(shells))}); choose another shell or pseudopotential.",
            )

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> Mapping[str, object]:
        """Inputs of the workchain."""
        from aiida_bloomery.workflows.labelling.pw_inputs import pw_inputs  # noqa: PLC0415

        if self._lacks_cutoff:
            raise campaign.source.error(
                campaign.labeller_key("ecutwfc"),
                "is missing, and files of pseudopotentials recommend none; give it in Ry, or let "
                "`aiida-bloomery converge` find it.",
            )
        card = self._wants_card(campaign, code)
        pseudos = self.pseudopotentials if isinstance(self.pseudopotentials, str) else self._pseudos(campaign)
        # With limits in place a pack knows its time: frames that hang are ended one by one.
        pack = {"size": self.frames_per_job, "concurrency": entry.parallel, "frame_timeout_s": self.frame_seconds}
        overrides: dict[str, object] = {
            "parameters": self._differing(pseudos, campaign, card=card),
            "pack": {key: value for key, value in pack.items() if value is not None},
            **self.overrides(),
        }
        return pw_inputs(
            code,
            campaign.structures.elements,
            campaign.file.protocol,
            overrides,
            pseudos=pseudos,
            kpoints=None if self.kpoints is None else self.kpoints.as_input(),
            options=job_options(entry, code, mpi=entry.cores > 1),
            boundaries=self.boundaries.model_dump(),
            hubbard=self.hubbard.as_input() if self.hubbard is not None and card else None,
            properties=self.properties,
            ph_code=load_beside(campaign, PH, code) if self.properties else None,
        )

    @property
    def _lacks_cutoff(self) -> bool:
        """Whether neither the file nor a family says a cutoff."""
        said = self.ecutwfc is not None or "ecutwfc" in self.namelists.get("SYSTEM", {})
        return isinstance(self.pseudopotentials, dict) and not said

    def begun(self, campaign: Campaign) -> Self:
        """Begin with the cutoff that the pseudopotentials' headers ask for, where there is none."""
        from aiida_bloomery.campaign_file.labellers.pw_ladders import asked_for  # noqa: PLC0415

        if not self._lacks_cutoff:
            return self
        return self.model_copy(update={"ecutwfc": max(low for low, _ in asked_for(self._pseudos(campaign)))})

    def ladders(
        self,
        campaign: Campaign,
        inputs: Mapping[str, Any],
        frames: Configurations,
        values: Mapping[str, Sequence[float]],
    ) -> list[Ladder]:
        """Cutoffs, width of the smearing and density of k-points, as far as they are open."""
        from aiida_bloomery.campaign_file.labellers.pw_ladders import pw_ladders  # noqa: PLC0415
        from aiida_bloomery.workflows.labelling.pw_inputs import resolve_pseudos  # noqa: PLC0415

        recommended: Mapping[str, float] = {}
        if isinstance(self.pseudopotentials, str):
            _, recommended = resolve_pseudos(self.pseudopotentials, campaign.structures.elements)
        return pw_ladders(
            inputs["pw"],
            frames,
            protocol_inputs("labelling.quantumespresso", campaign.file.protocol),
            recommended=recommended,
            fixed=self.parameters.get("SYSTEM", {}),
            values=values,
        )

    def _wants_card(self, campaign: Campaign, code: Any) -> bool:
        """Whether the program wants Hubbard parameters in a card; it is asked for its version if nobody says so."""
        if self.hubbard is None:
            return False
        if self.hubbard.form is not None:
            return self.hubbard.form == "card"
        version = hear_version(code, PROGRAM).version
        wanted = None if version is None else wants_card(version)
        if wanted is None:
            raise campaign.source.error(
                campaign.labeller_key("hubbard"),
                f"pw.x of {code.full_label} did not say its version, on which it depends how it is told; give "
                "form: card (7.1 and later) or form: namelist.",
            )
        return wanted

    def _differing(self, pseudos: Any, campaign: Campaign, *, card: bool) -> dict[str, dict[str, object]]:
        """Variables of pw.x that differ from the protocol's."""
        from aiida_bloomery.workflows.labelling.pw_inputs import resolve_pseudos  # noqa: PLC0415

        system: dict[str, object] = self._own_system
        if self.hubbard is not None and not card:
            system |= self.hubbard.as_namelist()
        if self.moments is not None:
            valences = {element: node.z_valence for element, node in self._pseudos(campaign).items()}
            shares = {element: round(moment / valences[element], 6) for element, moment in self.moments.items()}
            system |= {"nspin": 2, "starting_magnetization": shares}
        if self.ecutwfc is not None:
            system["ecutwfc"] = self.ecutwfc
            _, recommended = resolve_pseudos(pseudos, campaign.structures.elements)
            ratio = recommended["ecutrho"] / recommended["ecutwfc"] if recommended else 4.0
            system["ecutrho"] = self.ecutwfc * ratio
        if self.ecutrho is not None:
            system["ecutrho"] = self.ecutrho
        namelists = self.namelists
        namelists["SYSTEM"] = system | namelists.get("SYSTEM", {})
        return namelists

    @property
    def _own_system(self) -> dict[str, object]:
        """Variables of SYSTEM that follow from keys alone."""
        system: dict[str, object] = {}
        if self.functional is not None:
            system["input_dft"] = self.functional
        if self.dispersion is not None:
            system |= self.dispersion.system
        if self.smearing == "none":
            system |= {"occupations": "fixed", "degauss": 0.0}
        elif self.smearing is not None:
            system |= {"occupations": "smearing", "smearing": self.smearing.type, "degauss": self.smearing.width}
        return system

    def _pseudos(self, campaign: Campaign) -> dict[str, Any]:
        """Pseudopotential nodes by element. A profile is loaded."""
        from aiida import orm  # noqa: PLC0415
        from aiida.plugins import DataFactory  # noqa: PLC0415

        elements = campaign.structures.elements
        if isinstance(self.pseudopotentials, dict):
            upf = DataFactory("pseudo.upf")
            found = {}
            for element in elements:
                name = self.pseudopotentials[element]
                with _upf_file(campaign, element, name).open("rb") as handle:
                    found[element] = upf.get_or_create(handle, filename=Path(name).name)
            return found
        groups = orm.QueryBuilder().append(orm.Group).all(flat=True)
        families = [group for group in groups if hasattr(group, "get_pseudos")]
        family = next((group for group in families if group.label == self.pseudopotentials), None)
        if family is None:
            known = ", ".join(group.label for group in families) or "none"
            raise _error(
                campaign,
                f"there is no pseudopotential family {self.pseudopotentials!r} (there: {known}); "
                "run `aiida-bloomery setup`, or install one with `aiida-pseudo install`.",
            )
        missing = [element for element in elements if element not in family.elements]
        if missing:
            raise _error(
                campaign,
                f"the family {self.pseudopotentials!r} has no pseudopotential for {', '.join(missing)}; choose another "
                "family, or give a UPF file for each element.",
            )
        return dict(family.get_pseudos(elements=elements))


def _hollow(frames: Configurations, vacuum: float) -> tuple[int, int, float] | None:
    """The first periodic frame with so much empty space along one vector alone: its index, the vector, and how wide."""
    for frame, atoms in enumerate(frames.without_labels().to_atoms()):
        if atoms.pbc.all() and len(atoms) > 1:
            spaces = empty_space(atoms)
            wide = np.flatnonzero(spaces > vacuum)
            if len(wide) == 1:
                return frame, int(wide[0]), float(spaces[wide[0]])
    return None


def _error(campaign: Campaign, message: str) -> InputError:
    return campaign.source.error(campaign.labeller_key("pseudopotentials"), message)


def _upf_file(campaign: Campaign, element: str, name: str) -> Path:
    """The pseudopotential file of an element."""
    key = campaign.labeller_key("pseudopotentials", element)
    path = campaign.source.folder / Path(name).expanduser()
    with campaign.source.at(key):
        symbols_to_numbers([element])
    if not path.is_file():
        raise campaign.source.error(key, f"{path}: there is no such file; check the path.")
    header = read_header(path.read_text(encoding="utf-8", errors="replace")[:HEADER])
    if header is not None and header.element != element:
        raise campaign.source.error(key, f"{name} is a pseudopotential of {header.element}; give one of {element}.")
    return path
