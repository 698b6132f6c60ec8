"""Labels from any ASE calculator, many frames in one process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ase
import numpy as np
from pydantic import Field

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations
from bloomery.labellers.contract import Labeller, LedgerEntry, Record, no_record
from bloomery.papers import ASE
from bloomery.plugins import Settings
from bloomery.progress import Progress, no_progress
from bloomery.quantities import Seconds
from bloomery.reference.calculators import CalculatorSpec, Values, reference_values


class CalculatorLabellerSettings(Settings):
    """Settings of the labeller `calculator`."""

    calculator: CalculatorSpec
    """The ASE calculator: its name, or its name and arguments."""
    frame_timeout_s: Seconds | None = Field(default=None, gt=0)
    """Give a frame up after so many seconds; by default never."""


class CalculatorLabeller(Labeller):
    """Energy, forces and, where the calculator has it and the cell is periodic in full, stress."""

    name = "calculator"
    title = "an ASE calculator"
    references = (ASE,)
    Settings = CalculatorLabellerSettings
    settings: CalculatorLabellerSettings

    def label(
        self, configurations: Configurations, *, progress: Progress = no_progress, record: Record = no_record
    ) -> tuple[Configurations, list[LedgerEntry]]:
        """Label frames one after the other."""
        self.check(configurations)
        calculator = self.settings.calculator.make()
        hashes = configurations.hashes()
        ledger: list[LedgerEntry] = []
        done: list[Configurations] = []
        for frame, atoms in enumerate(configurations.without_labels().to_atoms()):
            started = time.perf_counter()
            labelled, reason = None, ""
            try:
                values = self._values(atoms, calculator)
            except Exception as error:  # noqa: BLE001  whatever happens to one frame is that frame's entry in the ledger
                reason = f"{type(error).__name__}: {error}"
                calculator = self.settings.calculator.make()
            else:
                labelled, reason = _with_values(configurations[[frame]].without_labels(), values, frame)
            entry = LedgerEntry(
                frame=frame,
                hash=hashes[frame],
                outcome="failed" if labelled is None else "labelled",
                seconds=time.perf_counter() - started,
                exit_code=int(labelled is None),
                reason=reason,
            )
            ledger.append(entry)
            if labelled is not None:
                done.append(labelled)
            record(labelled, entry)
            progress("label", frame + 1, len(configurations), {"failed": frame + 1 - len(done)})
        return joined(done), ledger

    def check(self, configurations: Configurations) -> None:
        """Refuse frames without atoms."""
        if not configurations.counts.all():
            frame = int(np.argmin(configurations.counts))
            raise InputError(f"calculator: frame {frame} holds no atom, so there is nothing to label.")

    def _values(self, atoms: ase.Atoms, calculator: Any) -> Values:
        atoms.calc = calculator
        with time_limit(self.settings.frame_timeout_s):
            return reference_values(atoms)


def _with_values(frame: Configurations, values: Values, parent: int) -> tuple[Configurations, str] | tuple[None, str]:
    """Attach labels to one frame; a value that is not finite is a failure, with its reason."""
    rows = {key: np.asarray(value if key == "forces" else [value]) for key, value in values.items()}
    try:
        return frame.with_labels(masks=None, **rows).with_info(parent=parent), ""
    except ValueError as error:
        return None, f"the calculator's result cannot be used: {str(error).replace('frame 0', 'the frame')}"


def joined(frames: list[Configurations]) -> Configurations:
    """Join labelled frames; none at all still have ``info["parent"]``."""
    return Configurations.concatenate(frames) if frames else Configurations.empty().with_info(parent=np.zeros(0, int))


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
