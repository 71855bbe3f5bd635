"""A deeper model that begins at a shallower one."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxicm.models.deepening import deepen
from jaxicm.models.image import ImageModel


@pytest.fixture(scope="module")
def deeper(tiny_config):
    transform = tiny_config.transform
    more = {name: getattr(transform, name) + 1 for name in ("analysis_fine", "synthesis_coarse", "synthesis_fine")}
    return dataclasses.replace(tiny_config, transform=dataclasses.replace(transform, **more))


def test_a_deepened_model_computes_the_same(tiny_config, tiny_parameters, deeper, photograph):
    x, quality = photograph(64, 64)[None].astype(np.float32) / 255, np.full(1, 40.0, np.float32)
    shapes = jax.eval_shape(ImageModel(deeper).init, jax.random.key(0), x, quality)["params"]
    rng = np.random.default_rng(0)
    start = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    grown = deepen(tiny_parameters, start)
    assert jax.tree.map(np.shape, grown) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    assert np.asarray(grown["synthesis"]["fine4"]["spatial"]["kernel"]).any(), "a new block has room to learn"

    def run(config, params, value, method):
        return np.asarray(ImageModel(config).apply({"params": params}, value, quality, method=method))

    y = run(tiny_config, tiny_parameters, x, "encode")
    np.testing.assert_allclose(run(deeper, grown, x, "encode"), y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        run(deeper, grown, y, "decode"), run(tiny_config, tiny_parameters, y, "decode"), rtol=1e-5, atol=1e-5
    )


def test_a_finer_grid_adds_nothing_at_first(tiny_config, tiny_parameters, photograph):
    finer = dataclasses.replace(
        tiny_config.transform, quarter_width=8, analysis_quarter=1, synthesis_quarter=2, fine_pixels=True
    )
    config = dataclasses.replace(tiny_config, transform=finer)
    shapes = jax.eval_shape(
        ImageModel(config).init, jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32), np.ones(1, np.float32)
    )["params"]
    rng = np.random.default_rng(0)
    start = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    grown = deepen(tiny_parameters, start)
    assert jax.tree.map(np.shape, grown) == jax.tree.map(lambda leaf: leaf.shape, shapes)
    x, quality = photograph(64, 64)[None].astype(np.float32) / 255, np.full(1, 40.0, np.float32)

    def run(config, params, value, method):
        return np.asarray(ImageModel(config).apply({"params": params}, value, quality, method=method))

    y = run(tiny_config, tiny_parameters, x, "encode")
    np.testing.assert_allclose(run(config, grown, x, "encode"), y, rtol=1e-5, atol=1e-5)
    shown = run(tiny_config, tiny_parameters, y, "decode")
    np.testing.assert_allclose(run(config, grown, y, "decode"), shown, rtol=1e-5, atol=1e-5)
    again = deepen(grown, start)
    assert jax.tree.map(np.shape, again) == jax.tree.map(np.shape, grown), "once grown nothing moves"
    np.testing.assert_array_equal(run(config, again, y, "decode"), run(config, grown, y, "decode"))


def test_what_differs_otherwise_is_left_as_found(tiny_parameters):
    start = {"synthesis": {"klt": np.zeros(3), "other": np.zeros(2)}, "analysis": {}}
    grown = deepen(tiny_parameters, start)
    assert jax.tree.map(np.shape, grown) == jax.tree.map(np.shape, tiny_parameters)
