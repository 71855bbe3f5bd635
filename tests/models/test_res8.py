"""The Res autoencoder: sizes, and one block against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.models import res8
from jaxicm.models.res8 import Analysis, Res8Config, ResBlock, ResBlockUp, Synthesis


def count(module, shape) -> int:
    tree = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(shape)))
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameters_are_as_many_as_in_the_specification():
    assert count(Analysis(Res8Config()), (1, 16, 16, 3)) == 1_335_432
    assert count(Synthesis(Res8Config()), (1, 2, 2, 128)) == 3_555_862


def conv_numpy(x: np.ndarray, layer: dict, stride: int = 1) -> np.ndarray:
    """3x3 convolution with one zero on every side, one position at a time."""
    kernel, bias = np.asarray(layer["kernel"], np.float64), np.asarray(layer["bias"], np.float64)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width = ((side - 1) // stride + 1 for side in x.shape[:2])
    out = np.empty((height, width, kernel.shape[-1]))
    for i in range(height):
        for j in range(width):
            window = padded[i * stride : i * stride + 3, j * stride : j * stride + 3]
            out[i, j] = np.tensordot(window, kernel, 3) + bias
    return out


def prelu_numpy(x: np.ndarray, layer: dict) -> np.ndarray:
    return np.where(x > 0, x, x * float(layer["slope"][0]))


def shuffle_numpy(x: np.ndarray) -> np.ndarray:
    """Pixel shuffle by two, one pixel at a time; channels are (row, column, channel)."""
    channels = x.shape[-1] // 4
    out = np.empty((2 * x.shape[0], 2 * x.shape[1], channels))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            start = (2 * (i % 2) + j % 2) * channels
            out[i, j] = x[i // 2, j // 2, start : start + channels]
    return out


def weights(module, shape) -> dict:
    tree = module.init(jax.random.key(0), jnp.zeros(shape))["params"]
    leaves, shape_of = jax.tree.flatten(tree)
    rng = np.random.default_rng(1)
    return jax.tree.unflatten(shape_of, [a + rng.normal(0, 0.1, a.shape).astype(np.float32) for a in leaves])


@pytest.mark.parametrize(("stride", "inputs"), [(1, 4), (1, 3), (2, 3)])
def test_a_residual_block_is_the_one_of_the_specification(stride, inputs):
    x = np.random.default_rng(2).normal(size=(1, 6, 8, inputs)).astype(np.float32)
    block = ResBlock(4, stride)
    p = weights(block, x.shape)
    h = prelu_numpy(conv_numpy(x[0], p["first"], stride), p["first_act"])
    h = prelu_numpy(conv_numpy(h, p["second"]), p["second_act"])
    if stride == 2:
        shortcut = conv_numpy(x[0], p["shortcut"], 2)
    elif inputs != 4:
        shortcut = x[0] @ np.asarray(p["shortcut"]["kernel"])[0, 0] + np.asarray(p["shortcut"]["bias"])
    else:
        shortcut = x[0]
    np.testing.assert_allclose(block.apply({"params": p}, jnp.asarray(x))[0], h + shortcut, atol=1e-4)


def test_an_upsampling_block_is_the_one_of_the_specification():
    x = np.random.default_rng(2).normal(size=(1, 3, 5, 4)).astype(np.float32)
    block = ResBlockUp(4)
    p = weights(block, x.shape)
    h = prelu_numpy(shuffle_numpy(conv_numpy(x[0], p["first"]["conv"])), p["first_act"])
    h = prelu_numpy(conv_numpy(h, p["second"]), p["second_act"])
    expected = h + shuffle_numpy(conv_numpy(x[0], p["shortcut"]["conv"]))
    np.testing.assert_allclose(block.apply({"params": p}, jnp.asarray(x))[0], expected, atol=1e-4)


def test_the_transforms_change_the_size_by_eight():
    config = Res8Config(channels=6, width=4)

    def both(key, x, position):
        y, _ = Analysis(config).init_with_output(key, x, position)
        return y, Synthesis(config).init_with_output(key, y, position)[0]

    y, picture = jax.eval_shape(both, jax.random.key(0), jnp.zeros((2, 24, 40, 3)), jnp.zeros(2))
    assert y.shape == (2, 24 // res8.STRIDE, 40 // res8.STRIDE, 6)
    assert picture.shape == (2, 24, 40, 3)
