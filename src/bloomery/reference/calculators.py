"""ASE calculators from a declarative description, so that job files can name one without holding code."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import packages_distributions
from typing import Any, ClassVar, Literal

import ase
import numpy as np
from ase.calculators.abc import GetPropertiesMixin
from ase.calculators.calculator import BaseCalculator, Calculator
from ase.calculators.emt import EMT
from ase.calculators.emt import parameters as emt_parameters
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import LABELS
from bloomery.frames.states import STATES
from bloomery.plugins import Settings
from bloomery.reference.periodicity import check_periodicity
from bloomery.reference.states import arguments_for, routes_of

Values = dict[str, float | NDArray[np.float64]]
StateName = Literal["charge", "spin", "tot_magnetization", "electronic_temperature", "initial_magmoms"]


class CalculatorSpec(Settings):
    """A calculator by name, with its keyword arguments.

    Short forms are accepted: ``emt``, or ``lj: {sigma: 3.4}``.
    """

    name: str
    """One of the names in `CALCULATORS`, or ``module:Class`` of an installed ASE calculator."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the class; plain values only."""
    state: dict[StateName, str] = Field(default_factory=dict)
    """How the calculator is told the state of a frame, by state (``charge``, ``spin``, ...): a keyword argument of the
    class, or ``info`` where it reads that name in ``Atoms.info``. Needed where it cannot be seen, as with MACE-OMol and
    fairchem: ``{charge: info, spin: info}``."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and len(value) == 1 and not {"name", "arguments", "state"} & set(value):
            name, arguments = next(iter(value.items()))
            return {"name": name, "arguments": arguments or {}}
        return value

    def make(self, told: Mapping[str, Any] | None = None) -> Any:
        """Make the calculator, with further arguments if it is ``told`` some.

        `InputError` says if there is no such calculator, it is not an ASE calculator, or it refuses its arguments.
        """
        arguments = self.arguments | dict(told or {})
        found = CALCULATORS.get(self.name, self.name)
        factory: Any = self._class(found) if isinstance(found, str) else found
        if factory is EMT:
            factory = _emt
        try:
            return factory(**arguments)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"calculator {self.name!r} cannot be made with {arguments}: {type(error).__name__}: {error}."
            ) from error

    @property
    def is_installed(self) -> bool:
        """Whether its package is in this environment."""
        package, separator, _ = self.name.partition(":")
        return not separator or importlib.util.find_spec(package.partition(".")[0]) is not None

    @property
    def distributions(self) -> tuple[str, ...]:
        """The installed distributions that its package is from; none for those of `CALCULATORS`."""
        package, separator, _ = self.name.partition(":")
        found = packages_distributions().get(package.partition(".")[0], []) if separator else []
        return tuple(sorted(set(found)))

    def check(self, elements: Collection[str]) -> None:
        """Raise what `make` does, and `InputError` if the calculator says that it does not know an element."""
        if message := unknown_elements(self.make(), elements, self.name):
            raise InputError(message)

    def routes(self, made: Any) -> dict[str, str]:
        """State to the way it goes into the calculator that was ``made`` (`bloomery.reference.states`)."""
        return routes_of(made, {str(name): way for name, way in self.state.items()})

    def check_frames(self, frames: Configurations, where: str = "") -> None:
        """Raise `InputError` for the first frame whose state or periodicity the calculator would not see.

        What `make` raises is raised too. ``where`` stands before the number of the frame, as ``silicon.extxyz: ``.
        """
        check_periodicity(self.name, frames, where)
        said = [name for name in frames.states if STATES[name].counts]
        if not said:
            return
        routes = self.routes(self.make())
        for name in said:
            if routes.get(name) in self.arguments:
                frame = int(np.argmax(frames.stated[name]))
                raise InputError(
                    f"{where}frame {frame}: {name}: frames say it, and the arguments of {self.name!r} say "
                    f"{routes[name]}; say it in one place."
                )
        first: dict[str, int] = {}
        for frame, key in enumerate(frames.state_keys()):
            first.setdefault(key, frame)
        for frame in first.values():
            try:
                arguments_for(frames.state_of(frame), routes, self.arguments, self.name)
            except InputError as error:
                raise InputError(f"{where}frame {frame}: {error}.") from error

    def _class(self, place: str) -> type:
        module, separator, attribute = place.partition(":")
        if not separator:
            raise InputError(
                f"calculator {self.name!r} is not known; choose one of {', '.join(CALCULATORS)}, or give module:Class."
            )
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise InputError(f"calculator {self.name!r} cannot be imported: {error}.") from error
        if not (isinstance(found, type) and issubclass(found, BaseCalculator | GetPropertiesMixin)):
            raise InputError(f"calculator {self.name!r} is not a class of ASE calculators.")
        return found


class Calculators:
    """The calculator of a spec for frames in any states: made anew where a state is an argument of it."""

    def __init__(self, spec: CalculatorSpec) -> None:
        self.spec = spec
        self._made: Any = None
        self._routes: dict[str, str] | None = None
        self._told: dict[str, Any] = {}
        self._key = b""

    def of(self, state: Mapping[str, Any]) -> Any:
        """Return the calculator for a state, as `Configurations.state_of` has it; `InputError` if it has none."""
        if self._routes is None and state:
            self._made = self.spec.make() if self._made is None else self._made
            self._routes = self.spec.routes(self._made)
        told = arguments_for(state, self._routes or {}, self.spec.arguments, self.spec.name) if state else {}
        key = b"".join(name.encode() + np.asarray(value, dtype=float).tobytes() for name, value in state.items())
        if self._made is None or told != self._told or (key != self._key and not hasattr(self._made, "reset")):
            self._made, self._told = self.spec.make(told), told
        elif key != self._key:
            self._made.reset()  # it would not see that something in Atoms.info is another
        self._key = key
        return self._made

    def renew(self) -> None:
        """Let the next calculator be a new one."""
        self._made = None


def _emt(**arguments: Any) -> Any:
    return _of_elements(EMT, {*emt_parameters}, "emt")(**arguments)


def _stillinger_weber(**parameters: Any) -> Any:
    from matscipy.calculators.manybody import Manybody, StillingerWeber  # noqa: PLC0415
    from matscipy.calculators.manybody.explicit_forms import stillinger_weber  # noqa: PLC0415

    silicon = stillinger_weber.Stillinger_Weber_PRB_31_5262_Si
    known = {name for name in silicon if not name.startswith("_") and name != "el"}
    for name, value in parameters.items():
        if name not in known or not isinstance(value, int | float):
            raise InputError(
                f"calculator 'stillinger_weber': {name}={value!r} is not one of its numbers {', '.join(sorted(known))}."
            )
    # With numbers of one's own it is one's own element.
    covered = None if parameters else {"Si"}
    return _of_elements(Manybody, covered, "stillinger_weber")(**StillingerWeber({**silicon, **parameters}))


def _tersoff(parameters: str = "Tersoff_PRB_39_5566_Si_C") -> Any:
    from matscipy.calculators.manybody import Manybody, TersoffBrenner  # noqa: PLC0415
    from matscipy.calculators.manybody.explicit_forms import tersoff_brenner  # noqa: PLC0415

    sets = {name: found for name, found in vars(tersoff_brenner).items() if isinstance(found, dict) and name[0] != "_"}
    if parameters not in sets:
        known = ", ".join(sorted(sets))
        raise InputError(f"calculator 'tersoff': parameters {parameters!r} are not known; choose of {known}.")
    return _of_elements(Manybody, set(sets[parameters]["el"]), "tersoff")(**TersoffBrenner(sets[parameters]))


def _of_elements(kind: type[Calculator], covered: set[str] | None, name: str) -> type[Calculator]:
    """Return a class of calculators that takes no frame with other elements, of which it would make its own."""

    class OfElements(kind):  # type: ignore[misc, valid-type]
        elements: ClassVar[set[str] | None] = covered

        def calculate(self, atoms: Any = None, *arguments: Any, **more: Any) -> None:
            found = {*(self.atoms if atoms is None else atoms).symbols}
            if message := unknown_elements(self, found, name):
                raise InputError(message)
            super().calculate(atoms, *arguments, **more)

    return OfElements


def unknown_elements(calculator: Any, elements: Collection[str], name: str) -> str:
    """Return a sentence if a calculator says which ``elements`` it knows, and not all of these are among them."""
    known = getattr(calculator, "elements", None)
    strange = sorted({*elements} - known) if isinstance(known, set | frozenset) else []
    if not strange:
        return ""
    return f"calculator {name!r} knows {', '.join(sorted(known or ()))}, and not {', '.join(strange)}; choose another."


CALCULATORS: dict[str, str | Callable[..., Any]] = {
    "emt": _emt,
    "lj": "ase.calculators.lj:LennardJones",
    "stillinger_weber": _stillinger_weber,
    "tersoff": _tersoff,
}
"""Names that stand for calculators which ship with libraries that are always installed: class, or what makes them.

``stillinger_weber`` takes the parameters of matscipy's silicon set (``epsilon``, ``lambda1``, ...) as overrides,
``tersoff`` the name of one of matscipy's parameter sets, ``emt`` and ``lj`` what ASE's classes take.
"""


def as_labels(values: Values) -> dict[str, NDArray[np.float64]]:
    """Values as the labels of a single frame."""
    return {name: np.asarray(value if LABELS[name].per == "atom" else [value]) for name, value in values.items()}


def reference_values(atoms: ase.Atoms, properties: Sequence[str] = ()) -> Values:
    """Energy in eV, forces in eV/Å, ``(A, 3)``, and for a full cell stress in eV/Å^3, ``(6,)``.

    The energy is the one that is consistent with the forces. Stress is left out where the calculator has none.
    ``properties`` are those of `bloomery.frames.labels.PROPERTIES` that are wanted too, in the units of ASE, which are
    ours.
    """
    implemented = atoms.calc.implemented_properties
    values: Values = {
        "energy": float(atoms.get_potential_energy(force_consistent="free_energy" in implemented)),
        "forces": np.array(atoms.get_forces(apply_constraint=False)),
    }
    if "stress" in implemented and atoms.pbc.all():
        values["stress"] = np.array(atoms.get_stress(apply_constraint=False))
    values |= {name: np.array(atoms.calc.get_property(name, atoms), dtype=float) for name in properties}
    return values
