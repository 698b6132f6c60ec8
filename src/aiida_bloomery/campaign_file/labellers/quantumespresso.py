"""The labeller `quantumespresso`: pw.x, packed first, then frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from aiida_bloomery.campaign_file.labellers.contract import LabellerPart, frames_of
from aiida_bloomery.setup.pseudopotentials import FAMILY
from bloomery.plugins import Settings
from bloomery.quantities import Unit

if TYPE_CHECKING:
    from aiida_bloomery.campaign_file.model import Code
    from aiida_bloomery.campaign_file.resolve import Campaign

Rydberg = Annotated[float, Unit("Ry"), Field(gt=0)]
Repeat = Annotated[int, Field(ge=1)]
Shift = Literal[0, 1]
OURS = {"calculation", "tprnfor", "tstress", "prefix", "outdir", "pseudo_dir", "ibrav", "nat", "ntyp"}
"""pw.x's variables that the labeller sets itself."""


class Kpoints(Settings):
    """The k-point mesh: the same for every frame, or by its density."""

    mesh: tuple[Repeat, Repeat, Repeat] | None = None
    """Points along the reciprocal cell vectors."""
    shift: tuple[Shift, Shift, Shift] = (0, 0, 0)
    """1 shifts the mesh by half a step along a vector, away from Gamma."""
    distance: Annotated[float, Unit("1/Å"), Field(gt=0, le=2)] | None = None
    """Largest distance between points in 1/Å, from which each frame's cell gives its mesh."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Kpoints:
        if (self.mesh is None) == (self.distance is None):
            raise ValueError("give either a mesh, such as [3, 3, 3], or a distance, such as 0.2 1/Å")
        return self


class Smearing(Settings):
    """Smearing of the occupations."""

    type: Literal["cold", "gaussian", "fermi-dirac", "methfessel-paxton"] = "cold"
    """The function; ``cold`` is that of Marzari and Vanderbilt."""
    width: Rydberg = 0.01
    """Its width, in Ry."""


class Part(LabellerPart):
    """Labels from pw.x: energy, forces and stress."""

    code_key: ClassVar[str] = "pw"

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
    parameters: dict[str, dict[str, Any]] = Field(default={})
    """Further variables of pw.x by namelist, such as ``SYSTEM: {nspin: 2}``."""
    frames_per_job: int | None = Field(default=None, ge=1)
    """How many frames one job labels."""
    frame_time: Annotated[float, Unit("s"), Field(gt=0)] | None = None
    """Longest time of one frame, in s."""

    @model_validator(mode="after")
    def _cutoffs_fit(self) -> Part:
        if self.ecutwfc is not None and self.ecutrho is not None and self.ecutrho < 4 * self.ecutwfc:
            raise ValueError(
                f"ecutrho is {self.ecutrho:g} Ry and must be at least 4 times ecutwfc ({self.ecutwfc:g} Ry)"
            )
        for namelist, variables in self.parameters.items():
            for name in variables:
                if name.lower() in OURS:
                    raise ValueError(f"parameters.{namelist}.{name} is set by the labeller itself; remove it")
        return self

    def check(self, campaign: Campaign) -> None:
        """See that cells are periodic, and that pseudopotential files and elements fit."""
        for name, frames in frames_of(campaign):
            open_frames = np.flatnonzero(~frames.pbc.all(axis=1))
            if len(open_frames):
                raise campaign.source.error(
                    name,
                    f"frame {open_frames[0]} is not periodic along all three vectors, which pw.x needs; put it "
                    'into a periodic cell (pbc="T T T" in an extxyz file).',
                )
        if isinstance(self.pseudopotentials, dict):
            for element in campaign.structures.elements:
                if element not in self.pseudopotentials:
                    raise campaign.source.error(
                        ("labelling", "quantumespresso", "pseudopotentials"), f"has no file for {element}; add one."
                    )
            for element in self.pseudopotentials:
                self._file(campaign, element)

    def pseudos(self, campaign: Campaign) -> dict[str, Any]:
        """Pseudopotential nodes by element. A profile is loaded."""
        from aiida import orm  # noqa: PLC0415
        from aiida.plugins import DataFactory  # noqa: PLC0415

        key = ("labelling", "quantumespresso", "pseudopotentials")
        if isinstance(self.pseudopotentials, dict):
            upf = DataFactory("pseudo.upf")
            found = {}
            for element in campaign.structures.elements:
                with self._file(campaign, element).open("rb") as handle:
                    found[element] = upf.get_or_create(handle, filename=Path(self.pseudopotentials[element]).name)
            return found
        query = orm.QueryBuilder().append(orm.Group, filters={"label": self.pseudopotentials})
        families = [group for group in query.all(flat=True) if hasattr(group, "get_pseudos")]
        if not families:
            known = [
                group.label
                for group in orm.QueryBuilder().append(orm.Group).all(flat=True)
                if hasattr(group, "elements")
            ]
            raise campaign.source.error(
                key,
                f"there is no pseudopotential family {self.pseudopotentials!r} (there: {', '.join(known) or 'none'}); "
                "run `aiida-bloomery setup`, or install one with `aiida-pseudo install`.",
            )
        missing = [element for element in campaign.structures.elements if element not in families[0].elements]
        if missing:
            raise campaign.source.error(
                key,
                f"the family {self.pseudopotentials!r} has no pseudopotential for {', '.join(missing)}; choose another "
                "family, or give a UPF file for each element.",
            )
        return dict(families[0].get_pseudos(elements=campaign.structures.elements))

    def _file(self, campaign: Campaign, element: str) -> Path:
        from aiida_bloomery.setup.pseudopotentials import read_header  # noqa: PLC0415
        from bloomery.errors import InputError  # noqa: PLC0415
        from bloomery.frames.configurations import symbols_to_numbers  # noqa: PLC0415

        key = ("labelling", "quantumespresso", "pseudopotentials", element)
        name = self.pseudopotentials[element] if isinstance(self.pseudopotentials, dict) else ""
        path = campaign.source.folder / Path(name).expanduser()
        try:
            symbols_to_numbers([element])
        except InputError as error:
            raise campaign.source.error(key, str(error)) from error
        if not path.is_file():
            raise campaign.source.error(key, f"{path}: there is no such file; check the path.")
        header = read_header(path.read_text(encoding="utf-8", errors="replace")[:20000])
        if header is not None and header.element != element:
            raise campaign.source.error(key, f"{name} is a pseudopotential of {header.element}; give one of {element}.")
        return path

    def inputs(self, campaign: Campaign, code: Any, entry: Code) -> dict[str, Any]:
        """Inputs of the workchain."""
        from aiida_bloomery.campaign_file.codes import job_options  # noqa: PLC0415
        from aiida_bloomery.workflows.labelling.pw_inputs import pw_inputs  # noqa: PLC0415

        family = self.pseudopotentials if isinstance(self.pseudopotentials, str) else self.pseudos(campaign)
        mesh: dict[str, Any] | None = None
        if self.kpoints is not None:
            mesh = {"mesh": list(self.kpoints.mesh)} if self.kpoints.mesh else {"distance": self.kpoints.distance}
            mesh["offset"] = [shift / 2 for shift in self.kpoints.shift]
        options = job_options(entry, code, mpi=entry.cores > 1)
        # With limits in place a pack knows its time: frames that hang are ended one by one.
        pack = {"size": self.frames_per_job, "concurrency": entry.parallel, "frame_timeout_s": self._frame_seconds()}
        overrides: dict[str, Any] = {"parameters": self._namelists(family, campaign.structures.elements)}
        overrides["pack"] = {key: value for key, value in pack.items() if value is not None}
        if self.max_failed_share is not None:
            overrides["max_failed_share"] = self.max_failed_share
        return pw_inputs(
            code,
            campaign.structures.elements,
            campaign.file.protocol,
            overrides,
            pseudos=family,
            kpoints=mesh,
            options=options,
        )

    def _frame_seconds(self) -> int | None:
        return None if self.frame_time is None else max(1, round(self.frame_time))

    def _namelists(self, family: Any, elements: list[str]) -> dict[str, Any]:
        """Variables of pw.x that differ from the protocol's."""
        from aiida_bloomery.workflows.labelling.pw_inputs import resolve_pseudos  # noqa: PLC0415

        system: dict[str, Any] = {}
        if self.ecutwfc is not None:
            system["ecutwfc"] = self.ecutwfc
            _, recommended = resolve_pseudos(family, elements)
            ratio = recommended["ecutrho"] / recommended["ecutwfc"] if recommended else 4.0
            system["ecutrho"] = self.ecutwfc * ratio
        if self.ecutrho is not None:
            system["ecutrho"] = self.ecutrho
        if self.smearing == "none":
            system |= {"occupations": "fixed", "degauss": 0.0}
        elif self.smearing is not None:
            system |= {"occupations": "smearing", "smearing": self.smearing.type, "degauss": self.smearing.width}
        namelists = {name.upper(): dict(variables) for name, variables in self.parameters.items()}
        namelists["SYSTEM"] = system | namelists.get("SYSTEM", {})
        return namelists
