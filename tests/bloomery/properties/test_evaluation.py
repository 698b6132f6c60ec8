"""Errors of property models: against sums done by hand, and with intervals that shrink as frames are added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from bloomery.frames.configurations import Configurations
from bloomery.frames.labels import Property
from bloomery.properties.contract import FittedProperty, PropertyPrediction
from bloomery.properties.evaluation import errors_of, told_errors
from bloomery.testing.properties import frames_for, teacher


class OffBy(FittedProperty):
    """Says the labels, off by a normal error of known size."""

    model = "off_by"

    def __init__(self, name: Property, frames: Configurations, error: float) -> None:
        super().__init__(name, frames.elements, 5.0)
        self.error = error

    def _predicted(self, configurations: Configurations) -> PropertyPrediction:
        labels = configurations.label(self.name)[0]
        generator = np.random.default_rng(3)
        values = labels + self.error * generator.normal(size=labels.shape)
        return PropertyPrediction(values, values + self.error * generator.normal(size=(8, *labels.shape)), 1.0)

    def content(self) -> tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]:
        raise NotImplementedError

    @classmethod
    def of_content(
        cls, name: Property, elements: list[str], plain: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> Self:
        raise NotImplementedError


@pytest.mark.parametrize("name", ["dipole", "charges", "born_effective_charges"])
def test_root_mean_square_and_share_are_those_of_all_components(name: Property) -> None:
    frames = teacher(name, frames_for(name, 40))
    fitted = OffBy(name, frames, 0.01)
    told = errors_of(fitted, frames)
    assert told is not None
    labels = frames.label(name)[0]
    errors = fitted.predict(frames).values - labels
    assert told["rmse"]["value"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert told["rmse"]["lower"] < 0.01 < told["rmse"]["upper"]
    share = told["share_of_scatter"]
    assert share is not None
    if name == "dipole":
        assert share["value"] == pytest.approx(told["rmse"]["value"] / np.sqrt(labels.var(axis=0).mean()))
    else:
        # Hydrogens differ from oxygens in their charge: to know that much is nothing to be proud of.
        parts = [labels[frames.numbers == number] for number in np.unique(frames.numbers)]
        squares = sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts)
        assert share["value"] == pytest.approx(np.sqrt((errors**2).sum() / squares))
        assert share["value"] > told["rmse"]["value"] / np.sqrt(labels.var(axis=0).mean())


def test_one_block_has_no_interval() -> None:
    frames = teacher("dipole", frames_for("dipole", 8))
    together = frames.with_info(block=np.zeros(8, dtype=np.int64))
    told = errors_of(OffBy("dipole", frames, 0.01), together)
    assert told is not None
    assert "lower" not in told["rmse"]
    assert " to " not in told_errors(told)


def test_frames_without_the_label_have_no_errors() -> None:
    frames = teacher("dipole", frames_for("dipole", 8))
    assert errors_of(OffBy("dipole", frames, 0.01), frames.without_labels()) is None
