"""The model card that goes with every exported potential: what it is, what it was fitted to, and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

CARD_FILE = "model_card.json"
TEXT_FILE = "MODEL_CARD.md"
UNITS = {"length": "Å", "energy": "eV", "forces": "eV/Å", "stress": "eV/Å^3"}


class Described(Protocol):
    """What a card reads of a potential."""

    @property
    def formats(self) -> Mapping[str, str]:
        """What it can be exported as, and what that is."""

    elements: list[str]
    energy_reference: dict[str, float]
    members: int
    dtype: str
    engine: str
    versions: dict[str, str]
    cutoff: float
    details: dict[str, Any]


def model_card(potential: Described, format: str, files: Sequence[Path] = ()) -> dict[str, Any]:  # noqa: A002
    """Collect what is known of a potential, as plain values.

    Errors and calibration are there where they were measured: see `with_measurements`.
    """
    details = potential.details
    known = ("settings", "seed", "trained_on", "measurements")
    return {
        "engine": potential.engine,
        "format": format,
        "about": potential.formats.get(format, ""),
        "files": sorted(path.name for path in files),
        "elements": potential.elements,
        "members": potential.members,
        "cutoff": potential.cutoff,
        "dtype": potential.dtype,
        "energy_reference": potential.energy_reference,
        "units": UNITS,
        "trained_on": details.get("trained_on", {}),
        "settings": details.get("settings", {}),
        "seed": details.get("seed"),
        "measurements": details.get("measurements", {}),
        "versions": potential.versions,
        "more": {key: value for key, value in details.items() if key not in known},
    }


def write_model_card(potential: Described, format: str, files: Sequence[Path], folder: Path) -> list[Path]:  # noqa: A002
    """Write the card as JSON and as a page of Markdown; return their paths."""
    card = model_card(potential, format, files)
    return save_card(card, folder)


def save_card(card: dict[str, Any], folder: Path) -> list[Path]:
    """Write a card's two files; return their paths."""
    paths = [folder / CARD_FILE, folder / TEXT_FILE]
    paths[0].write_text(json.dumps(card, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    paths[1].write_text(card_text(card), encoding="utf-8")
    return paths


def with_measurements(folder: Path, measurements: dict[str, Any]) -> dict[str, Any]:
    """Add what was measured to the card in a folder; return the card."""
    card: dict[str, Any] = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    card["measurements"] = {**card["measurements"], **measurements}
    save_card(card, folder)
    return card


def card_text(card: dict[str, Any]) -> str:
    """Return the card as Markdown."""
    data = card["trained_on"]
    units = ", ".join(f"{name} {unit}" for name, unit in card["units"].items())
    reference = ", ".join(f"{element} {energy:.6f} eV" for element, energy in card["energy_reference"].items())
    lines = [
        f"# Potential for {', '.join(card['elements'])}",
        "",
        (
            f"Fitted by the engine `{card['engine']}`: {card['members']} member(s), cutoff {card['cutoff']:g} Å, "
            f"{card['dtype']}. Exported as `{card['format']}`: {card['about']}."
        ),
        "",
        "| | |",
        "| --- | --- |",
        f"| files | {', '.join(card['files'])} |",
        f"| units | {units} |",
        f"| energy of an atom that was subtracted before fitting | {reference} |",
        f"| frames trained on | {data.get('frames', 'unknown')} (data set {data.get('digest', 'unknown')}) |",
        f"| frames to stop on | {data.get('early_stopping', 'unknown')} |",
        f"| seed | {card['seed']} |",
        f"| versions | {', '.join(f'{name} {version}' for name, version in sorted(card['versions'].items()))} |",
    ]
    lines += ["", "## Errors", ""]
    lines += _told(card["measurements"]) or ["Not measured for this card."]
    lines += ["", "## Settings", "", "```json", json.dumps(card["settings"], indent=1, ensure_ascii=False), "```", ""]
    return "\n".join(lines)


def _told(measurements: dict[str, Any]) -> list[str]:
    """Return what was measured: plain values first, then a table of quantities and one of each set of checks."""
    plain, quantities, checks = _sorted_out(measurements)
    lines = [f"- {name}: {_number(value)}" for name, value in plain]
    if quantities:
        lines += ["", "| quantity | value | 95 % interval |", "| --- | --- | --- |"]
        lines += [f"| {name} | {_with_unit(found)} | {_interval(found)} |" for name, found in quantities]
    if checks:
        lines += ["", "| check | off by | limit | passed |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {name} | {_with_unit(found)} | {_number(found['limit'])} | {'yes' if found['passed'] else 'no'} |"
            for name, found in checks
        ]
    return lines


Named = list[tuple[str, Any]]


def _sorted_out(measurements: dict[str, Any], path: str = "") -> tuple[Named, Named, Named]:
    """Return plain values, quantities with a unit, and checks with a limit, each with the way to it as its name."""
    plain, quantities, checks = Named(), Named(), Named()
    for key, value in measurements.items():
        name = f"{path} {key.replace('_', ' ')}".lstrip()
        if not isinstance(value, dict):
            plain.append((name, value))
        elif {"value", "limit", "passed"} <= value.keys():
            checks.append((key.replace("_", " "), value))
        elif "value" in value:
            quantities.append((name, value))
        else:
            inner = _sorted_out(value, name)
            plain += inner[0]
            quantities += inner[1]
            checks += inner[2]
    return plain, quantities, checks


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _with_unit(found: dict[str, Any]) -> str:
    unit = found.get("unit", "")
    return _number(found["value"]) + (f" {unit}" if unit not in {"", "1"} else "")


def _interval(found: dict[str, Any]) -> str:
    ends = [found.get(end) for end in ("lower", "upper")]
    return "" if None in ends else f"{_number(ends[0])} to {_number(ends[1])}"
