"""The number in a validation that a target is about."""

from __future__ import annotations

from typing import Any


def measured_number(validation: dict[str, Any], target: str) -> dict[str, Any] | None:
    """Return the measured number that a target is about."""
    group, key = ("forces", "relative_rmse") if target == "relative_forces" else (target, "rmse")
    found = validation.get(group, {}).get(key)
    return found if isinstance(found, dict) else None
