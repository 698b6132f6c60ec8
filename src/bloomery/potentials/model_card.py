"""The model card that goes with every exported potential: what it is, what it was fitted to, and how good it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

CARD_FILE = "model_card.json"
TEXT_FILE = "MODEL_CARD.md"
UNITS = {"length": "Å", "energy": "eV", "forces": "eV/Å", "stress": "eV/Å^3"}


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What is known of a potential; see `bloomery.potentials.contract.Details`."""

    engine: str
    format: str
    about: str
    files: list[str]
    elements: list[str]
    members: int
    cutoff: float
    dtype: str
    energy_reference: Mapping[str, float]
    units: Mapping[str, str]
    trained_on: Mapping[str, object]
    settings: Mapping[str, object]
    seed: int | None
    measurements: Mapping[str, object]
    """Errors and calibration, where they were measured: see `with_measurements`."""
    versions: Mapping[str, str]
    more: Mapping[str, object]
    """What else the potential says of itself."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the card in a folder."""
        return cls(**json.loads((folder / CARD_FILE).read_text(encoding="utf-8")))

    def save(self, folder: Path) -> list[Path]:
        """Write the card as JSON and as a page of Markdown; return their paths."""
        paths = [folder / CARD_FILE, folder / TEXT_FILE]
        content = json.dumps(vars(self), indent=1, allow_nan=False, ensure_ascii=False)
        paths[0].write_text(content + "\n", encoding="utf-8")
        paths[1].write_text(self.text(), encoding="utf-8")
        return paths

    def text(self) -> str:
        """Return the card as Markdown."""
        data = self.trained_on
        units = ", ".join(f"{name} {unit}" for name, unit in self.units.items())
        reference = ", ".join(f"{element} {energy:.6f} eV" for element, energy in self.energy_reference.items())
        lines = [
            f"# Potential for {', '.join(self.elements)}",
            "",
            (
                f"Fitted by the engine `{self.engine}`: {self.members} member(s), cutoff {self.cutoff:g} Å, "
                f"{self.dtype}. Exported as `{self.format}`: {self.about}."
            ),
            "",
            "| | |",
            "| --- | --- |",
            f"| files | {', '.join(self.files)} |",
            f"| units | {units} |",
            f"| energy of an atom that was subtracted before fitting | {reference} |",
            f"| frames trained on | {data.get('frames', 'unknown')} (data set {data.get('digest', 'unknown')}) |",
            f"| frames to stop on | {data.get('early_stopping', 'unknown')} |",
            f"| seed | {self.seed} |",
            f"| versions | {', '.join(f'{name} {version}' for name, version in sorted(self.versions.items()))} |",
        ]
        lines += ["", "## Errors", "", *(_told(self.measurements) or ["Not measured for this card."])]
        lines += ["", "## Settings", "", "```json", json.dumps(self.settings, indent=1, ensure_ascii=False), "```", ""]
        return "\n".join(lines)


def with_measurements(folder: Path, measurements: Mapping[str, object]) -> None:
    """Add what was measured to the card in a folder."""
    card = ModelCard.read(folder)
    replace(card, measurements={**card.measurements, **measurements}).save(folder)


def _told(measurements: Mapping[str, object]) -> list[str]:
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


def _sorted_out(measurements: Mapping[str, object], path: str = "") -> tuple[Named, Named, Named]:
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
            for found, inner in zip((plain, quantities, checks), _sorted_out(value, name), strict=True):
                found.extend(inner)
    return plain, quantities, checks


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _with_unit(found: Mapping[str, Any]) -> str:
    unit = found.get("unit", "")
    return _number(found["value"]) + (f" {unit}" if unit not in {"", "1"} else "")


def _interval(found: Mapping[str, Any]) -> str:
    ends = [found.get(end) for end in ("lower", "upper")]
    return "" if None in ends else f"{_number(ends[0])} to {_number(ends[1])}"
