"""Filters behind a decoder: sizes, the start at the identity, how far they look, what they are told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.models.filter import (
    LEAST_PIXELS,
    MOST_PIXELS,
    PAPER_PLANES,
    LateralFilter,
    LateralFilterConfig,
    NestedBlocks,
    PlaneFilter,
    PlaneFilterConfig,
)

OURS = PlaneFilterConfig()
SMALL = PlaneFilterConfig(width=8, blocks=2)


def moved(params, by=0.1):
    """Move all parameters at random: away from the identity."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: a + by * rng.normal(size=a.shape).astype(np.float32), params)


def start(model, *arguments):
    return jax.jit(model.init)(jax.random.key(0, impl="rbg"), *arguments)  # the other generator is slow to compile


def planes(height=64, width=48):
    luma, chroma = jax.random.split(jax.random.key(0))
    return jax.random.uniform(luma, (1, height, width, 1)), jax.random.uniform(chroma, (1, height // 2, width // 2, 2))


@pytest.mark.parametrize("config", [OURS, PAPER_PLANES, SMALL], ids=["ours", "paper", "small"])
def test_planes_begin_as_they_are_and_are_told_the_qp(config):
    model, (luma, chroma) = PlaneFilter(config), planes()
    params = start(model, luma, chroma, jnp.array([32.0]))
    apply = jax.jit(model.apply)
    for qp in (22.0, 47.0):
        found = apply(params, luma, chroma, jnp.array([qp]))
        np.testing.assert_array_equal(found[0], luma)
        np.testing.assert_array_equal(found[1], chroma)
    low, high = (apply(moved(params), luma, chroma, jnp.array([qp])) for qp in (22.0, 47.0))
    assert low[0].shape == luma.shape and low[1].shape == chroma.shape
    assert np.abs(low[0] - high[0]).max() > 1e-3 and np.abs(low[1] - high[1]).max() > 1e-3


@pytest.mark.parametrize("config", [OURS, PAPER_PLANES], ids=["ours", "paper"])
def test_planes_are_looked_at_as_far_as_is_said(config):
    model, (luma, chroma) = PlaneFilter(config), planes(96, 96)
    params = moved(start(model, luma, chroma, jnp.array([32.0])))
    slope = jax.jit(jax.grad(lambda y: model.apply(params, y, chroma, jnp.array([32.0]))[0][0, 48, 48, 0]))(luma)
    rows, columns = np.nonzero(np.asarray(slope)[0, :, :, 0])
    # Of a pair of packed samples the second one is seen as well.
    for found in (rows, columns):
        assert 48 - config.reach <= found.min() and found.max() <= 49 + config.reach
    assert rows.min() <= 48 - config.reach + 2


def test_the_papers_small_filter_has_the_sizes_of_the_specification():
    luma, chroma = planes()
    params = start(PlaneFilter(PAPER_PLANES), luma, chroma, jnp.array([32.0]))["params"]
    biases = sum(layer["bias"].size for name, layer in params.items() if "act" not in name)
    assert biases == 32 * 9 + 3
    kernels = sum(layer["kernel"].size for name, layer in params.items() if "act" not in name)
    assert kernels == PAPER_PLANES.macs_per_pixel == 75_744
    assert OURS.macs_per_pixel < 40_000


def test_the_lateral_filter_begins_as_the_identity_and_looks_as_far_as_is_said():
    config = LateralFilterConfig(width=8)
    model, x = LateralFilter(config), jax.random.uniform(jax.random.key(0), (1, 256, 256, 3))
    params = start(model, x, jnp.array([37.0]))
    np.testing.assert_array_equal(jax.jit(model.apply)(params, x, jnp.array([37.0])), x)
    # All positive: no rectifier hides a connection.
    params = jax.tree.map(lambda a: jnp.abs(a) + 0.01, params)
    slope = jax.jit(jax.grad(lambda x: model.apply(params, x, jnp.array([37.0]))[0, 128, 128, 0]))(x)
    rows, columns = np.nonzero(np.asarray(slope)[0, :, :, 0])
    for found in (rows, columns):
        assert 128 - config.reach <= found.min() and found.max() <= 128 + config.reach
    assert rows.min() < 128 - config.reach + 16


@pytest.mark.slow
def test_the_lateral_filter_is_told_qp_and_resolution_or_neither():
    x = jax.random.uniform(jax.random.key(0), (2, 32, 40, 3))
    for inject in (4, 0):
        model = LateralFilter(LateralFilterConfig(width=8, inject=inject))
        params = moved(start(model, x, jnp.array([22.0, 37.0])))
        apply = jax.jit(model.apply)
        base = apply(params, x, jnp.array([22.0, 37.0]), LEAST_PIXELS)
        assert base.shape == x.shape
        other_qp = apply(params, x, jnp.array([22.0, 47.0]), LEAST_PIXELS)
        larger = apply(params, x, jnp.array([22.0, 37.0]), MOST_PIXELS)
        np.testing.assert_array_equal(base[0], other_qp[0])
        assert np.array_equal(base[1], other_qp[1]) == np.array_equal(base, larger) == (inject == 0)


def test_the_first_two_of_three_nested_blocks_are_the_same_one():
    x = jnp.zeros((1, 16, 16, 3))
    params = start(LateralFilter(LateralFilterConfig()), x, jnp.array([37.0]))["params"]
    tied = start(NestedBlocks(64), jnp.zeros((1, 4, 4, 64)))["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(tied))
    assert count == 4 * 9 * 64**2 + 2 * (64**2 + 64), "four 3x3 kernels without biases, two 1x1 with"
    assert {"lateral1", "lateral2", "inject_up0", "up0", "down2"} <= params.keys()
