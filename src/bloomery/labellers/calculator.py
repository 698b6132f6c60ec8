"""Labels from any ASE calculator, many frames in one process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import ase
import numpy as np
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import PROPERTIES, Property
from bloomery.labellers.contract import OneByOne
from bloomery.papers import ASE
from bloomery.plugins import Settings
from bloomery.quantities import Seconds
from bloomery.reference.calculators import Calculators, CalculatorSpec, as_labels, reference_values


class CalculatorLabellerSettings(Settings):
    """Settings of the labeller `calculator`."""

    calculator: CalculatorSpec
    """The ASE calculator: its name, or its name and arguments."""
    frame_timeout_s: Seconds | None = Field(default=None, gt=0)
    """Give a frame up after so many seconds; by default never."""
    properties: tuple[Property, ...] = ()
    """Properties beyond the energy that frames are labelled with too, such as ``[dipole, charges]``."""


class CalculatorLabeller(OneByOne):
    """Energy, forces and, where the calculator has it and the cell is periodic in full, stress.

    Each frame is labelled in its state (`bloomery.reference.states`); what the calculator cannot be told is refused.
    """

    name = "calculator"
    title = "an ASE calculator"
    references = (ASE,)
    Settings = CalculatorLabellerSettings
    settings: CalculatorLabellerSettings
    not_physics = frozenset({"frame_timeout_s"})

    @property
    def packages(self) -> tuple[str, ...]:
        """The distribution that the class of calculators is from, where it is named by its module."""
        return self.settings.calculator.distributions

    def outcomes(self, configurations: Configurations) -> Iterator[tuple[Configurations, str] | tuple[None, str]]:
        """Evaluate the calculator; a value that is not finite is a failure, with its reason."""
        self.check(configurations)
        calculators = Calculators(self.settings.calculator)
        bare = configurations.without_labels()
        for frame, atoms in zip(bare, bare.to_atoms(), strict=True):
            atoms.calc = calculators.of(frame.state_of(0))
            yield evaluated(
                frame, atoms, self.settings.frame_timeout_s, calculators.renew, properties=self.settings.properties
            )

    def check(self, configurations: Configurations) -> None:
        """Refuse frames without atoms, and those whose state or periodicity the calculator would not see."""
        refuse_empty(configurations, self.name)
        self.settings.calculator.check_frames(configurations, "calculator: ")
        try:
            require_properties(self.settings.calculator, self.settings.properties)
        except InputError as error:
            raise InputError(f"calculator.properties: {error}") from error


def require_properties(calculator: CalculatorSpec, names: Sequence[str]) -> None:
    """Raise `InputError` for the first property that a calculator does not have."""
    has = set(getattr(calculator.make(), "implemented_properties", ())) if names else set()
    for name in names:
        if name not in has:
            known = ", ".join(sorted(has & {*PROPERTIES})) or "none of these properties"
            raise InputError(f"{calculator.name!r} has no {name}; it has {known}.")


def evaluated(
    frame: Configurations,
    atoms: ase.Atoms,
    seconds: float | None,
    failed: Callable[[], None] = lambda: None,
    *,
    properties: Sequence[str] = (),
) -> tuple[Configurations, str] | tuple[None, str]:
    """Label one frame by the calculator of its atoms, in so many seconds; or say why not, after calling ``failed``."""
    try:
        with time_limit(seconds):
            values = reference_values(atoms, properties)
    except Exception as error:  # noqa: BLE001  whatever happens to one frame is that frame's entry in the ledger
        failed()
        return None, f"{type(error).__name__}: {error}"
    try:
        return frame.with_labels(masks=None, **as_labels(values)), ""
    except ValueError as error:
        reason = str(error).replace("frame 0", "the frame")
        return None, f"the calculator's result cannot be used: {reason}"


def refuse_empty(configurations: Configurations, labeller: str) -> None:
    """Raise `InputError` for the first frame without atoms."""
    if not configurations.counts.all():
        frame = int(np.argmin(configurations.counts))
        raise InputError(f"{labeller}: frame {frame} holds no atom, so there is nothing to label.")


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `TimeoutError` in the block after so many seconds.

    It works in the main thread, and reaches a calculator that waits for another program or runs Python; one that stays
    in compiled code is interrupted when it returns.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError(f"no result within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
