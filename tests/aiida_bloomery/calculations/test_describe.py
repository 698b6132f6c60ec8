"""Descriptor jobs: one row of features for each frame."""

from __future__ import annotations

import numpy as np
import pytest

from bloomery.plugins import PluginSpec


def test_features_are_those_of_the_descriptor(chain):
    pool = chain.sample_1.outputs.frames.configurations
    features = chain.describe_1.outputs.features.get_array("pool_md_0")
    expected = PluginSpec(name="power_spectrum").load("descriptors").averages(pool, ["Si"])
    assert np.allclose(features, expected, atol=1e-10)


def test_every_input_has_its_array(chain):
    assert set(chain.describe_1.outputs.features.get_arraynames()) == {"pool_md_0", "data_batch_000"}
    assert chain.describe_1.outputs.report["n_features"] > 0


def test_nothing_to_describe_is_refused(jobs):
    with pytest.raises(ValueError, match="configurations: is empty"):
        jobs.run("describe", parameters={"descriptor": "power_spectrum"}, configurations={})
