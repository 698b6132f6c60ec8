"""One member of an external engine: its files, its program, what is kept."""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from bloomery.engines.committees import Member, Report
from bloomery.engines.external.definition import DataFormat, ErrorRule, Progress, Units, built_in, fill
from bloomery.engines.external.settings import ExternalSettings
from bloomery.engines.file_potential import write_contents
from bloomery.engines.preparation import closed_or_open
from bloomery.engines.programs import run_program
from bloomery.engines.trainer_files import LogReader
from bloomery.errors import BloomeryError, DivergedError, InputError
from bloomery.frames.configurations import Configurations

LOG_FILE = "program.log"
START_FOLDER = "start"
KINDS: dict[str, type[BloomeryError]] = {"bad_input": InputError, "diverged": DivergedError, "failed": BloomeryError}


def fit_member(settings: ExternalSettings, member: Member, report: Report) -> Mapping[str, Path]:
    """Fit one member; return its files."""
    definition, folder = settings.definition, member.folder
    training = definition.train
    reach = settings.cutoff
    train = write_data(member.train, training.data, training.data.train, folder, definition.units, reach)
    if training.data.validation is not None:
        early = member.early_stopping if len(member.early_stopping) else member.train
        write_data(early, training.data, training.data.validation, folder, definition.units, reach)
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    known = built_in(member.seed, member.device, threads, member.elements, train, folder)
    values = {**settings.parameters, **known}
    for name, text in training.files.items():
        (folder / name).write_text(fill(text, values), encoding="utf-8")
    command = training.command
    if member.start and training.warm_command is not None:
        command = training.warm_command
        write_contents(member.start, folder / START_FOLDER)
    watch = _Watch(training.progress, folder, values, report)
    _run(command, folder, values, training.errors, watch)
    if not watch.told:
        report(1, 1, {})
    missing = [name for name in training.keep if not (folder / name).is_file()]
    if missing:
        raise BloomeryError(
            f"{command[0]} ended well and wrote no {missing[0]}; correct train.keep of the definition, or look into "
            f"{folder / LOG_FILE}."
        )
    return {name: folder / name for name in training.keep}


def write_data(frames: Configurations, data: DataFormat, name: str, folder: Path, units: Units, reach: float) -> int:
    """Write labelled frames, slabs and wires in cells with ``reach`` in Å of empty space; return how many.

    If no frame has all labels that are written, `InputError` is raised.
    """
    keys = {label: key for label, key in data.keys.model_dump().items() if key is not None}
    if data.format == "npz":
        frames.without_info(*frames.info).save(folder / name)
        return len(frames)
    if data.absent == "leave_out":
        has = [frames.has("stress" if label == "virial" else label) for label in keys]
        frames = frames[np.all([np.ones(len(frames), dtype=bool), *has], axis=0)]
        if not len(frames):
            raise InputError(
                f"no frame of the member has all of {', '.join(keys)}, which the definition writes; label frames, or "
                "name fewer labels under train.data.keys."
            )
    rows = [_labels(frames[[frame]], keys, units) for frame in range(len(frames))]
    bare_frames = frames.without_labels().without_info(*frames.info).without_states().to_atoms()
    atoms = [_scaled(closed_or_open(bare, reach), units) for bare in bare_frames]
    if data.format == "dataframe":
        import pandas as pd  # noqa: PLC0415

        columns = {keys[label]: [row[label] for row in rows] for label in keys}
        table = pd.DataFrame({"ase_atoms": atoms, **columns})
        table.to_pickle(folder / name, compression="gzip", protocol=4)
        return len(frames)
    for bare, row in zip(atoms, rows, strict=True):
        for label, value in row.items():
            (bare.arrays if label == "forces" else bare.info)[keys[label]] = value
    ase.io.write(folder / name, atoms, format="extxyz")
    return len(frames)


def _labels(frame: Configurations, keys: Mapping[str, str], units: Units) -> dict[str, Any]:
    """Labels of one frame in the program's units; NaN where absent."""
    found: dict[str, Any] = {}
    for label in keys:
        values, mask = frame.label("stress" if label == "virial" else label)
        value = values if mask[0] else np.full_like(values, math.nan)
        if label == "energy":
            found[label] = float(value[0]) / units.in_ev
        elif label == "forces":
            found[label] = value / units.in_ev * units.in_angstrom
        else:
            tensor = voigt_6_to_full_3x3_stress(value[0] / units.in_ev * units.in_angstrom**3)
            volume = float(frame.volumes[0]) / units.in_angstrom**3
            found[label] = tensor if label == "stress" else -tensor * volume
    return found


def _scaled(atoms: ase.Atoms, units: Units) -> ase.Atoms:
    factor = 1 / units.in_angstrom
    if factor != 1:
        atoms.set_cell(atoms.cell.array * factor)
        atoms.positions *= factor
    return atoms


def write_frames(frames: Configurations, path: Path, units: Units, reach: float) -> None:
    """Write bare frames as extxyz, in the program's unit of length, to the last digit; slabs and wires as there.

    ASE writes eight decimals: a force differenced from energies of such frames is off by the rounding.
    """
    lines: list[str] = []
    for atoms in frames.without_labels().to_atoms():
        bare = _scaled(closed_or_open(atoms, reach), units)
        cell = " ".join(repr(float(value)) for value in bare.cell.array.ravel())
        pbc = " ".join("T" if periodic else "F" for periodic in bare.pbc)
        lattice = f'Lattice="{cell}" ' if bare.cell.rank else ""
        lines += [str(len(bare)), f'{lattice}Properties=species:S:1:pos:R:3 pbc="{pbc}"']
        lines += [
            f"{symbol} {x!r} {y!r} {z!r}"
            for symbol, (x, y, z) in zip(bare.get_chemical_symbols(), bare.positions.tolist(), strict=True)
        ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def run_command(
    command: Sequence[str], folder: Path, values: dict[str, object], watch: Callable[[], None] = lambda: None
) -> None:
    """Run a command of a definition in a folder; see `run_program`."""
    filled = [fill(text, values) for text in command]
    run_program([_find_anywhere(filled[0]), *filled[1:]], folder, watch=watch, log=LOG_FILE)


def _find_anywhere(name: str) -> str:
    """Return the path of a program beside this Python or on the search path; `InputError` if there is none."""
    if name == "python":
        return sys.executable
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise InputError(
            f"engine 'external' finds no program {name!r}; install it into the environment that runs the training, or "
            "give its full path in the definition."
        )
    return found


def _run(
    command: Sequence[str], folder: Path, values: dict[str, object], rules: Sequence[ErrorRule], watch: _Watch
) -> None:
    failed: BloomeryError | None = None
    try:
        run_command(command, folder, values, watch)
    except InputError:
        raise
    except BloomeryError as error:
        failed = error
    log = folder / LOG_FILE
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    for rule in () if isinstance(failed, DivergedError) else rules:
        if re.search(rule.pattern, text, flags=re.MULTILINE):
            raise KINDS[rule.kind](rule.message) from failed
    if failed is not None:
        raise failed


class _Watch:
    """Reports what the definition's pattern finds in new lines."""

    def __init__(self, progress: Progress | None, folder: Path, values: dict[str, object], report: Report) -> None:
        self.progress, self.report, self.told = progress, report, 0
        if progress is not None:
            self.reader = LogReader(folder / (progress.file or LOG_FILE))
            self.pattern = re.compile(progress.pattern)
            text = fill(progress.epochs, values)
            try:
                self.epochs = int(float(text))
            except ValueError as error:
                raise InputError(f"definition.train.progress.epochs: {text!r} is not a number.") from error

    def __call__(self) -> None:
        if self.progress is None:
            return
        for line in self.reader.lines():
            match = self.pattern.search(line)
            if match is None:
                continue
            found = {name: value for name, value in match.groupdict().items() if value is not None}
            try:
                epoch = int(float(found.pop("epoch")))
                numbers = {name: float(value) for name, value in found.items()}
            except (KeyError, ValueError) as error:
                raise InputError(
                    f"definition.train.progress.pattern: finds what is not a number in {line.strip()!r}."
                ) from error
            self.told += 1
            self.report(epoch, max(self.epochs, epoch), numbers)
