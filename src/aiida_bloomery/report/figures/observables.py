"""Figures of what observables measured: the potential beside the reference method and the experiment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_bloomery.report.facts import Measured
from aiida_bloomery.report.figures.drawing import Colour, Figure, Series, joined, plot
from aiida_bloomery.report.references import called
from bloomery.observables.averages.spectra import LINES
from bloomery.observables.contract import Axes, Observable, array_name
from bloomery.plugins import find_plugin

MOST = 12
"""Figures of one observable, at most."""
WIDTH_95 = 1.96

CONTROL = "control"
"""What the control arm's side is called among the arrays."""
SIDES = (
    ("reference", "reference", Colour.INK, "--"),
    (CONTROL, "control arm", Colour.GREY, "-."),
    ("trajectory", "potential", Colour.BLUE, "-"),
    ("potential", "potential", Colour.BLUE, "-"),
    ("experiment", "experiment", Colour.ORANGE, ""),
)
"""Whose values: name in the arrays, words, colour, line."""
MARKERS = {"potential": "o", CONTROL: "D"}
_OURS = re.compile(r"__(?:trajectory|potential)(?=_|$)")


def title_of(measured: Measured) -> str:
    """What the page calls an observable."""
    return called("observable", measured.observable, measured.observable.replace("_", " ").capitalize())


def figures_of(measured: Measured, beside: Sequence[Measured] = ()) -> list[Figure]:
    """All figures that the arrays of an observable give, by their names; none for one that has numbers only.

    What others measured that stand ``beside`` is drawn too where it belongs there: harmonic lines in a spectrum.
    """
    measured = _with_control(measured)
    lines = _lines(measured, beside)
    found = [*_equations_of_state(measured), *_bands(measured), *_curves(measured, lines), *_scans(measured)]
    return found[:MOST]


def _with_control(measured: Measured) -> Measured:
    """Put the arrays of the control arm's potential among the others, as a side of their own."""
    if measured.control is None:
        return measured
    arrays, units = _as_control(measured.control.arrays), _as_control(measured.control.units)
    return replace(measured, arrays={**measured.arrays, **arrays}, units={**measured.units, **units})


def _as_control(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_OURS.sub(f"__{CONTROL}", name, count=1): value for name, value in values.items() if _OURS.search(name)}


# -- averages over trajectories --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lines:
    """Lines of a spectrum: where they are, and how intense, as far as that is known."""

    label: str
    colour: str
    x: NDArray[Any]
    y: NDArray[Any]
    unit: str


def _lines(measured: Measured, beside: Sequence[Measured]) -> list[Lines]:
    """Lines of the experiment, and of harmonic modes that have intensities of the kind of a spectrum."""
    found = []
    if LINES in measured.arrays:
        x, y = measured.arrays[f"{LINES}_x"], measured.arrays[LINES]
        found.append(Lines("experiment, lines", Colour.ORANGE, x, y, measured.units.get(LINES, "")))
    for other in beside:
        for structure in _structures(other):
            for side, label, colour, _ in SIDES:
                arrays = _of(other, structure, side)
                if "modes" in arrays and measured.observable in arrays:
                    unit = _unit(other, structure, measured.observable)
                    of = f"{label}, harmonic {structure}"
                    found.append(Lines(of, colour, arrays["modes"], arrays[measured.observable], unit))
    return found


def _curves(measured: Measured, lines: Sequence[Lines] = ()) -> Iterator[Figure]:
    """Curves with their block errors: arrays ``NAME__SIDE`` with ``NAME__SIDE_x`` and ``NAME__SIDE_error``."""
    arrays = measured.arrays
    for name in [whole.removesuffix("__trajectory") for whole in arrays if whole.endswith("__trajectory")]:
        words = _axes(measured, name)
        found = {
            side: (arrays[f"{name}__{side}_x"], arrays[f"{name}__{side}"], arrays.get(f"{name}__{side}_error"))
            for side, *_ in SIDES
            if f"{name}__{side}_x" in arrays and f"{name}__{side}" in arrays
        }
        units = [measured.units.get(f"{name}__trajectory{end}", "1") for end in ("_x", "")]
        title = f"{title_of(measured)}: {words.curve or name.replace('_', '-')}"
        own = lines if name == measured.observable else ()
        yield _figure(measured, name, title, found, words, units, _overlap(measured, name), own)


def _overlap(measured: Measured, name: str) -> str:
    scores = _scores(measured.summary, name)
    if "overlap" not in scores:
        return ""
    halves = scores.get("overlap_of_halves")
    noise = f"; the reference's halves overlap by {halves['value']:.1f} %" if halves else ""
    theirs = _scores(measured.control.summary, name).get("overlap") if measured.control else None
    control = f", of the control arm's potential {theirs['value']:.1f} %" if theirs else ""
    return f" Overlap with the reference: {scores['overlap']['value']:.1f} %{control}{noise}."


def _scores(summary: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = (summary.get("score") or {}).items()
    return next((scores for curve, scores in found if array_name(curve) == name), {})


# -- single points ---------------------------------------------------------------------------------------------------


def _scans(measured: Measured) -> Iterator[Figure]:
    """Curves of single points: arrays ``STRUCTURE__SIDE__NAME`` with ``STRUCTURE__SIDE__NAME_x``."""
    for structure in _structures(measured):
        names = dict.fromkeys(
            name.removesuffix("_x")
            for side in ("potential", "reference")
            for name in _of(measured, structure, side)
            if name.endswith("_x") and not name.startswith("bands")
        )
        for name in names:
            found = {}
            for side in ("potential", "reference", CONTROL):
                arrays = _of(measured, structure, side)
                if name in arrays and f"{name}_x" in arrays and arrays[name].shape == arrays[f"{name}_x"].shape:
                    found[side] = arrays[f"{name}_x"], arrays[name], arrays.get(f"{name}_spread")
            if found:
                words = _axes(measured, name)
                title = f"{title_of(measured)} of {structure}: {words.curve or name.replace('_', ' ')}"
                units = [_unit(measured, structure, f"{name}{end}") for end in ("_x", "")]
                yield _figure(measured, f"{structure}-{name}", title, found, words, units)


def _equations_of_state(measured: Measured) -> Iterator[Figure]:
    """Energies and their fit, each method from its own minimum: arrays ``STRUCTURE__SIDE__volumes`` and so on."""
    words = _axes(measured, "energies")
    for structure in _structures(measured):
        columns: list[Series] = []
        if not any("fit_energies" in _of(measured, structure, side) for side, *_ in SIDES):
            continue
        names = _axis(words.x, "Å³/atom"), _axis(words.y, "meV/atom")
        with plot(_name(measured, structure), *names) as (drawn, axes):
            for side, label, colour, style in SIDES:
                arrays = _of(measured, structure, side)
                if not {"volumes", "energies", "fit_volumes", "fit_energies"} <= set(arrays):
                    continue
                lowest = float(arrays["fit_energies"].min())
                above = 1000 * (arrays["energies"] - lowest)
                spread = arrays.get("energies_spread")
                bars = None if spread is None else 1000 * WIDTH_95 * spread
                axes.errorbar(
                    arrays["volumes"], above, yerr=bars, fmt=MARKERS.get(side, "s"), color=colour,
                    markersize=4, capsize=2, markerfacecolor="none", label=label,
                )  # fmt: skip
                axes.plot(
                    arrays["fit_volumes"], 1000 * (arrays["fit_energies"] - lowest), style, color=colour, linewidth=1.2
                )
                columns.append(
                    {"method": label, "volume (Å^3/atom)": arrays["volumes"], "energy (eV/atom)": arrays["energies"]}
                )
            axes.legend(loc="best")
        if columns:
            yield Figure(
                name=_name(measured, structure),
                title=f"{title_of(measured)} of {structure}",
                caption="Each method from its own minimum; lines are the fits, bars 1.96 times the committee's spread.",
                description=f"Energy against volume of {structure}, {_sides(columns)}.",
                canvas=drawn,
                columns=joined(columns),
            )


def _bands(measured: Measured) -> Iterator[Figure]:
    """Phonon bands of both methods along the same path: arrays ``STRUCTURE__SIDE__bands`` and so on."""
    for structure in _structures(measured):
        if not any("bands" in _of(measured, structure, side) for side, *_ in SIDES):
            continue
        columns: list[Series] = []
        ticks = None
        file = _name(measured, f"{structure}-bands")
        with plot(file, y="frequency (THz)", lines="", height=3.6) as (drawn, axes):
            for side, label, colour, style in SIDES:
                arrays = _of(measured, structure, side)
                if "bands" not in arrays or "bands_x" not in arrays:
                    continue
                lines = axes.plot(arrays["bands_x"], arrays["bands"], style, color=colour, linewidth=1.1)
                lines[0].set_label(label)
                ticks = arrays.get("band_ticks"), arrays.get("band_labels")
                columns += [
                    {"method": label, "band": np.int64(band), "wave vector (1/Å)": arrays["bands_x"],
                     "frequency (THz)": arrays["bands"][:, band]}
                    for band in range(arrays["bands"].shape[1])
                ]  # fmt: skip
            if not columns:
                continue
            if ticks is not None and ticks[0] is not None and ticks[1] is not None:
                axes.set_xticks(ticks[0], [label.replace("G", "Γ") for label in ticks[1].tolist()])
                for tick in ticks[0]:
                    axes.axvline(tick, color=Colour.GREY, linewidth=0.5)
            axes.axhline(0, color=Colour.GREY, linewidth=0.5)
            axes.margins(x=0)
            drawn.legend(loc="outside upper left", ncols=3)
        yield Figure(
            name=file,
            title=f"Phonon bands of {structure}",
            caption="All by finite displacements of the same supercells.",
            description=f"Phonon bands of {structure}, {_sides(columns)}.",
            canvas=drawn,
            columns=joined(columns),
        )


# -- drawing ---------------------------------------------------------------------------------------------------------

Curve = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]
"""Abscissae, values, and the values' standard errors, where they are known."""


def _figure(
    measured: Measured,
    name: str,
    title: str,
    found: Mapping[str, Curve],
    words: Axes,
    units: list[str],
    note: str = "",
    lines: Sequence[Lines] = (),
) -> Figure:
    """Draw curves by the side that they are of; units are those of both axes."""
    columns: list[Series] = []
    x_label, y_label = _axis(words.x, units[0]), _axis(words.y, units[1])
    with plot(_name(measured, name), x_label, y_label) as (drawn, axes):
        for side, label, colour, style in SIDES:
            if side not in found:
                continue
            x, y, error = found[side]
            if style:
                axes.plot(x, y, style, color=colour, linewidth=1.3, label=label)
            else:
                axes.plot(x, y, ".", color=colour, markersize=3, label=label)
            if error is not None and error.shape == y.shape:
                width = WIDTH_95 * error
                axes.fill_between(x, y - width, y + width, color=colour, alpha=0.22, linewidth=0)
            rows: Series = {"method": label, x_label: x, y_label: y}
            columns.append(rows if error is None else {**rows, "standard error": error})
        if lines:
            columns += _draw_lines(axes, lines, words.x, units[0])
            note += " Vertical lines: harmonic modes and measured lines, where their intensity is known with it."
        else:
            axes.legend(loc="best")
    return Figure(
        name=_name(measured, name),
        title=title,
        caption=f"Bands: 95 % intervals, where they are known.{note}",
        description=f"{title}, {_sides(columns)}.{note}",
        canvas=drawn,
        columns=joined(columns),
    )


def _draw_lines(axes: Any, lines: Sequence[Lines], name: str, unit: str) -> list[Series]:
    """Draw lines on an axis of their own, over the range of the curves; the narrower ones on the wider."""
    low, high = (float(end) for end in axes.get_xlim())
    right = axes
    if any(np.isfinite(one.y).any() for one in lines):
        right = axes.twinx()
        right.set_ylabel(_axis("intensity of a line", lines[0].unit))
    columns: list[Series] = []
    for width, one in zip(np.linspace(4, 1.2, len(lines)), lines, strict=True):
        seen = (one.x >= low) & (one.x <= high)
        known = np.isfinite(one.y)
        if known.any():
            x, y = one.x[seen & known], one.y[seen & known]
            right.vlines(x, 0, y, color=one.colour, linewidth=width, label=one.label)
        for number, x in enumerate(one.x[seen & ~known]):
            label = {} if known.any() or number else {"label": one.label}
            right.axvline(x, color=one.colour, linewidth=0.9, linestyle=":", **label)
        columns.append({"method": one.label, _axis(name, unit): one.x, _axis("intensity of a line", one.unit): one.y})
    axes.set(xlim=(low, high), ylim=(0, None))
    right.set_ylim(bottom=0)
    shown = [each.get_legend_handles_labels() for each in dict.fromkeys((axes, right))]
    axes.figure.legend(*([*chain(*part)] for part in zip(*shown, strict=True)), loc="outside upper left", ncols=2)
    return columns


def _axes(measured: Measured, curve: str) -> Axes:
    """What the observable calls the axes of a curve, where it is installed."""
    observable: type[Observable] = find_plugin("observables", measured.observable) or Observable
    return observable.curves.get(curve, observable.axes)


def _axis(name: str, unit: str) -> str:
    return name if unit in {"1", ""} else f"{name} ({unit})"


def _sides(columns: list[Series]) -> str:
    *others, last = dict.fromkeys(str(part["method"]) for part in columns)
    return f"{', '.join(others)} and {last}" if others else last


def _name(measured: Measured, part: str) -> str:
    """Of a figure's files: letters, digits, dashes and underscores alone."""
    words = f"{measured.key}-{part}".lower()
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in words)


def _structures(measured: Measured) -> list[str]:
    parts = (name.split("__") for name in measured.arrays)
    return list(dict.fromkeys(part[0] for part in parts if len(part) > 2 and part[1] in {"potential", "reference"}))


def _of(measured: Measured, structure: str, side: str) -> dict[str, NDArray[Any]]:
    start = f"{structure}__{side}__"
    return {name.removeprefix(start): array for name, array in measured.arrays.items() if name.startswith(start)}


def _unit(measured: Measured, structure: str, name: str) -> str:
    units = (measured.units.get(f"{structure}__{side}__{name}") for side in ("potential", "reference"))
    return next((unit for unit in units if unit is not None), "1")
