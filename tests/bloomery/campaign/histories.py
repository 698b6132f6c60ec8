"""Records of campaigns whose learning curve is known."""

from typing import Any

from bloomery.campaign.record import Record


def number(value: float, unit: str = "meV/Å", width: float = 0.1) -> dict[str, Any]:
    return {"value": value, "unit": unit, "lower": (1 - width) * value, "upper": (1 + width) * value}


def history(
    *forces: float,
    trained: float = 10.0,
    probe: int = 12,
    selected: int = 16,
    surprise: float = 3.0,
    seconds: float = 3600.0,
) -> Record:
    """One iteration for each error; 16 frames to learn from in each, and 4 of the probe."""
    iterations = [
        {
            "iteration": index,
            "n_selected": selected,
            "labels": {
                "labelled": 20, "cached": 0, "failed": 0, "seconds": seconds,
                "by_role": {"train": 14, "early_stopping": 2, "probe": 4},
            },
            "labels_total": 20 * (index + 1),
            "assess": {
                "selected": {"forces": {"rmse": number(surprise * error)}},
                "probe": {"forces": {"rmse": number(error)}},
            },
            "validation": {
                "n_frames": probe,
                "forces": {"rmse": number(error), "relative_rmse": number(error / 1000, "1")},
                "energy": {"rmse": number(error / 20, "meV/atom")},
            },
            "training": {"errors": {"train": {"forces": number(trained)}}},
        }
        for index, error in enumerate(forces)
    ]  # fmt: skip
    return Record.model_validate({"iterations": iterations})


def law(n: int, exponent: float = 0.5, start: float = 100.0) -> list[float]:
    return [start * (index + 1) ** -exponent for index in range(n)]
