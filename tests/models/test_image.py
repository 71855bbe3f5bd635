"""The image model as a function, its start from statistics, and the counts of its cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy.progressive import ProgressiveConfig
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


@pytest.fixture(scope="module")
def started(photograph) -> dict:
    pictures = np.stack([photograph(64, 64, seed) for seed in range(40)])
    return start_from_statistics(initial_parameters(CONFIG, 0), CONFIG, pictures)


def test_the_start_is_an_orthonormal_transform_that_inverts_itself(started, photograph):
    x = jnp.asarray(photograph(64, 96, 99)[None] / 255.0, jnp.float32)
    quality, model = jnp.full(1, 70.0), ImageModel(CONFIG)
    y = model.apply({"params": started}, x, quality, method="encode")
    # All 768 components are kept, so without quantisation the picture comes back.
    np.testing.assert_allclose(model.apply({"params": started}, y, quality, method="decode"), x, atol=2e-3)
    klt = np.asarray(started["analysis"]["klt"])
    np.testing.assert_allclose(klt.T @ klt, np.eye(768), atol=1e-3)
    std = np.asarray(started["analysis"]["std"])
    assert (np.diff(std) <= 1e-6).all(), "components come in falling order"


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
