"""The image model as a function, its start from statistics, and the counts of its cost."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.errors import ConfigError
from jaxicm.models.complexity import count_macs, count_parameters
from jaxicm.models.image import ImageConfig, ImageModel, initial_parameters, lambda_of_quality, start_from_statistics
from jaxicm.models.stage16 import TransformConfig

CONFIG = ImageConfig(
    TransformConfig(channels=768, fine_width=8, coarse_width=8, analysis_fine=1, synthesis_fine=1, anchors=2),
    ProgressiveConfig(channels=768, groups=2, hidden=8, anchors=2),
)


def test_lambda_grows_geometrically_with_quality():
    ends = lambda_of_quality(CONFIG, jnp.asarray([1.0, 50.5, 100.0]))
    np.testing.assert_allclose(ends, [0.0008, (0.0008 * 0.5) ** 0.5, 0.5], rtol=1e-5)


def in_blocks(config: ImageConfig, block_channels: int) -> ImageConfig:
    """Return the configuration with a transform of 8x8 blocks first."""
    return dataclasses.replace(config, transform=dataclasses.replace(config.transform, block_channels=block_channels))


@pytest.mark.parametrize("config", [CONFIG, in_blocks(CONFIG, 192)], ids=["16x16", "8x8 first"])
def test_the_start_is_an_orthonormal_transform_that_inverts_itself(config, photograph):
    pictures = np.stack([photograph(64, 64, seed) for seed in range(40)])
    started = start_from_statistics(initial_parameters(config, 0), config, pictures)
    x = jnp.asarray(photograph(64, 96, 99)[None] / 255.0, jnp.float32)
    quality, model = jnp.full(1, 70.0), ImageModel(config)
    y: Any = model.apply({"params": started}, x, quality, method="encode")
    # All 768 components are kept, so without quantisation the picture comes back.
    shown: Any = model.apply({"params": started}, y, quality, method="decode")
    np.testing.assert_allclose(shown, x, atol=2e-3)
    klt = np.asarray(started["analysis"]["klt"])
    np.testing.assert_allclose(klt.T @ klt, np.eye(768), atol=1e-3)
    std = np.asarray(started["analysis"]["std"])
    assert (np.diff(std) <= 1e-6).all(), "components come in falling order"


def test_two_small_matrices_keep_nearly_what_one_large_one_does(photograph):
    pictures = np.stack([photograph(64, 64, seed) for seed in range(40)])
    x, quality, lost = jnp.asarray(photograph(64, 96, 99)[None] / 255.0, jnp.float32), jnp.full(1, 70.0), []
    few = ImageConfig(
        dataclasses.replace(CONFIG.transform, channels=64), dataclasses.replace(CONFIG.entropy, channels=64)
    )
    for config in (few, in_blocks(few, 24)):
        params = start_from_statistics(initial_parameters(config, 0), config, pictures)
        model: Any = ImageModel(config)
        y = model.apply({"params": params}, x, quality, method="encode")
        back = model.apply({"params": params}, y, quality, method="decode")
        lost.append(float(jnp.mean(jnp.square(back - x))))
        assert count_parameters(params["analysis"]) < (60_000 if config is few else 15_000)
    assert lost[1] < 1.2 * lost[0]


def finer(**sizes: int) -> ImageConfig:
    """Return a small configuration with features on the 1/4 grid or also on the 1/2 grid."""
    blocks = {"fine_width": 8, "coarse_width": 8, "analysis_fine": 1, "synthesis_fine": 1, "synthesis_coarse": 0}
    transform = TransformConfig(channels=16, **blocks, anchors=2, quarter_width=8, **sizes)
    return ImageConfig(transform, ProgressiveConfig(channels=16, groups=2, hidden=8, anchors=2))


FINER = (finer(analysis_quarter=1, synthesis_quarter=2), finer(half_width=4, analysis_half=2, synthesis_half=1))


@pytest.mark.parametrize("config", FINER, ids=["quarter", "half"])
def test_finer_grids_take_part_in_both_directions(config):
    params = initial_parameters(config, 0)
    noise = jax.tree.map(
        lambda leaf: leaf + 0.1 * jnp.sin(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape), params
    )
    model, quality = ImageModel(config), jnp.full(1, 50.0)

    def both(params: dict, x: jax.Array) -> Any:
        y: Any = model.apply({"params": params}, x, quality, method="encode")
        assert y.shape == (1, 4, 6, 16)
        return model.apply({"params": params}, y, quality, method="decode")

    x = jnp.asarray(np.random.default_rng(0).random((1, 64, 96, 3)), jnp.float32)
    assert both(noise, x).shape == x.shape
    gradient = jax.jit(jax.grad(lambda p: jnp.mean(jnp.square(both(p, x) - x))))(noise)
    for part in ("analysis", "synthesis"):
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradient[part]):
            if path[-1].key == "kernel":
                assert float(jnp.abs(leaf).max()) > 0, (part, path)


@pytest.mark.parametrize(
    "config", [CONFIG, in_blocks(CONFIG, 192), *FINER], ids=["fine", "8x8 first", "quarter", "half"]
)
def test_no_pixel_has_an_effect_beyond_the_reach(config):
    model: Any = ImageModel(config)
    quality, reach = jnp.full(1, 50.0), config.reach
    params = jax.tree.map(
        lambda leaf: 0.3 * jnp.cos(jnp.arange(leaf.size, dtype=jnp.float32) ** 1.1).reshape(leaf.shape),
        initial_parameters(config, 0),
    )
    side, middle = 2 * reach + 3, reach + 1
    y = jnp.zeros((1, side, side, config.channels))
    changed = y.at[0, middle, middle].add(1.0)
    shown = [np.asarray(model.apply({"params": params}, one, quality, method="decode")) for one in (y, changed)]
    rows = np.flatnonzero(np.abs(shown[0] - shown[1]).max((0, 2, 3)))
    assert (middle - reach) * 16 <= rows.min() and rows.max() < (middle + reach + 1) * 16
    x = jnp.zeros((1, 16 * side, 16 * side, 3))
    changed = x.at[0, 16 * middle : 16 * middle + 16, 16 * middle : 16 * middle + 16].add(1.0)
    found = [np.asarray(model.apply({"params": params}, one, quality, method="encode")) for one in (x, changed)]
    rows = np.flatnonzero(np.abs(found[0] - found[1]).max((0, 2, 3)))
    assert middle - reach <= rows.min() and rows.max() <= middle + reach


def test_blocks_keep_no_more_than_they_have_and_no_less_than_the_latent():
    for count in (63, 193):
        with pytest.raises(ConfigError, match=r"block_channels must be in \[64, 192\]"):
            TransformConfig(channels=256, block_channels=count)


def test_features_need_their_grid():
    with pytest.raises(ConfigError, match="half_width needs"):
        TransformConfig(half_width=8)
    with pytest.raises(ConfigError, match=r"set transform\.quarter_width"):
        TransformConfig(synthesis_quarter=1)
    with pytest.raises(ConfigError, match=r"set transform\.half_width"):
        TransformConfig(quarter_width=8, analysis_half=1)


def test_macs_of_convolutions_and_products_are_counted():
    x, w = jnp.zeros((1, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))

    def layer(x: jax.Array) -> jax.Array:
        y = jax.lax.conv_general_dilated(x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.jit(lambda a: a @ jnp.zeros((5, 7)))(y)

    assert count_macs(layer, x) == 4 * 4 * 5 * 27 + 4 * 4 * 5 * 7
    assert count_parameters({"a": np.zeros((2, 3)), "b": {"c": np.zeros(4)}}) == 10


def test_a_loop_counts_as_often_as_it_runs():
    kernel = jnp.zeros((5, 5))

    def loop(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda carry, _: (carry @ kernel, None), x, None, length=7)[0]

    assert count_macs(loop, jnp.zeros((3, 5))) == 7 * 3 * 5 * 5
