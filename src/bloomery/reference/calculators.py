"""ASE calculators from a declarative description, so that job files can name one without holding code."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ase.calculators.abc import GetPropertiesMixin
from ase.calculators.calculator import BaseCalculator
from pydantic import Field, model_validator

from bloomery.errors import InputError
from bloomery.plugins import Settings


class CalculatorSpec(Settings):
    """A calculator by name, with its keyword arguments.

    Short forms are accepted: ``emt``, or ``lj: {sigma: 3.4}``.
    """

    name: str
    """One of the names in `CALCULATORS`, or ``module:Class`` of an installed ASE calculator."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the class; plain values only."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and len(value) == 1 and not {"name", "arguments"} & set(value):
            name, arguments = next(iter(value.items()))
            return {"name": name, "arguments": arguments or {}}
        return value

    def make(self) -> Any:
        """Make the calculator.

        Raises
        ------
        InputError
            If there is no such calculator, it is not an ASE calculator, or it refuses its arguments.
        """
        factory = CALCULATORS[self.name] if self.name in CALCULATORS else self._class()
        try:
            return factory(**self.arguments)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"calculator {self.name!r} cannot be made with {self.arguments}: {type(error).__name__}: {error}."
            ) from error

    def _class(self) -> type:
        module, separator, attribute = self.name.partition(":")
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


def _stillinger_weber(**parameters: Any) -> Any:
    from matscipy.calculators.manybody import Manybody, StillingerWeber  # noqa: PLC0415
    from matscipy.calculators.manybody.explicit_forms.stillinger_weber import (  # noqa: PLC0415
        Stillinger_Weber_PRB_31_5262_Si,
    )

    known = {name for name in Stillinger_Weber_PRB_31_5262_Si if not name.startswith("_") and name != "el"}
    for name, value in parameters.items():
        if name not in known or not isinstance(value, int | float):
            raise InputError(
                f"calculator 'stillinger_weber': {name}={value!r} is not one of its numbers {', '.join(sorted(known))}."
            )
    return Manybody(**StillingerWeber({**Stillinger_Weber_PRB_31_5262_Si, **parameters}))


def _tersoff(parameters: str = "Tersoff_PRB_39_5566_Si_C") -> Any:
    from matscipy.calculators.manybody import Manybody, TersoffBrenner  # noqa: PLC0415
    from matscipy.calculators.manybody.explicit_forms import tersoff_brenner  # noqa: PLC0415

    known = sorted(name for name in vars(tersoff_brenner) if isinstance(getattr(tersoff_brenner, name), dict))
    known = [name for name in known if not name.startswith("_")]
    if parameters not in known:
        raise InputError(
            f"calculator 'tersoff': parameters {parameters!r} are not known; choose of {', '.join(known)}."
        )
    return Manybody(**TersoffBrenner(getattr(tersoff_brenner, parameters)))


def _emt(**arguments: Any) -> Any:
    from ase.calculators.emt import EMT  # noqa: PLC0415

    return EMT(**arguments)


def _lennard_jones(**arguments: Any) -> Any:
    from ase.calculators.lj import LennardJones  # noqa: PLC0415

    return LennardJones(**arguments)


CALCULATORS: dict[str, Callable[..., Any]] = {
    "emt": _emt,
    "lj": _lennard_jones,
    "stillinger_weber": _stillinger_weber,
    "tersoff": _tersoff,
}
"""Names that stand for calculators which ship with libraries that are always installed.

``stillinger_weber`` takes the parameters of matscipy's silicon set (``epsilon``, ``lambda1``, ...) as overrides,
``tersoff`` the name of one of matscipy's parameter sets, ``emt`` and ``lj`` what ASE's classes take.
"""
