"""Exact convolutions against an integer implementation in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.errors import CorruptFile, ExactnessError
from jaxicm.nn import exact_conv
from jaxicm.nn.exact import Fixed, FrozenKernel
from jaxicm.nn.exact_conv import ACTIVATION, SLOPE_FRAC, WIDE, Block, FrozenConv

WIDTH = 6


def random_conv(rng, inputs=WIDTH, outputs=WIDTH, gain=1.0):
    kernel = rng.normal(0, gain / np.sqrt(9 * inputs), (3, 3, inputs, outputs)).astype(np.float32)
    return kernel, rng.normal(0, 0.5, outputs).astype(np.float32)


def conv_int64(x: np.ndarray, layer: FrozenConv) -> np.ndarray:
    """Accumulators of a zero-padded 3x3 convolution, one output at a time, in int64."""
    weight = layer.kernel.weight.astype(np.int64).reshape(3, 3, x.shape[-1], -1)
    padded = np.pad(x.astype(np.int64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = np.zeros((*x.shape[:3], weight.shape[-1]), np.int64)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            out[:, i, j] = np.tensordot(padded[:, i : i + 3, j : j + 3], weight, 3)
    return out + layer.bias.astype(np.int64)


def rescale_int64(value: np.ndarray, frac: np.ndarray | int, out: Fixed) -> np.ndarray:
    """Round integers times 2**-frac to the format `out`, halves upwards, in integers."""
    shift = np.broadcast_to(np.asarray(frac, np.int64) - out.frac, value.shape)
    up, down = np.maximum(-shift, 0), np.maximum(shift, 0)
    half = np.where(down > 0, 1 << np.maximum(down - 1, 0), 0)
    return np.clip(((value << up) + half) >> down, out.low, out.high)


def prelu_int64(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """PReLU of `WIDE` integers, to `ACTIVATION`."""
    product = np.where(x >= 0, x << SLOPE_FRAC, x * slope.astype(np.int64))
    return rescale_int64(product, WIDE.frac + SLOPE_FRAC, ACTIVATION)


def layer_int64(x: np.ndarray, layer: FrozenConv, out: Fixed) -> np.ndarray:
    return rescale_int64(conv_int64(x, layer), layer.kernel.exponent.astype(np.int64) + layer.x.frac, out)


@pytest.fixture(scope="module")
def block():
    rng = np.random.default_rng(3)
    first, second = (FrozenConv.freeze(*random_conv(rng, gain=g)) for g in (2.0, 1.0))
    slopes = [rng.integers(-40, 100, WIDTH).astype(np.int8) for _ in range(2)]
    real = [jnp.asarray(exact_conv.real_slope(s)) for s in slopes]
    return (first, second, slopes), Block(first.real(), real[0], second.real(), real[1])


@pytest.fixture(scope="module")
def activations():
    return np.random.default_rng(4).integers(-255, 256, (3, 12, 11, WIDTH))


def to_real(integers: np.ndarray) -> jax.Array:
    return jnp.asarray(integers, jnp.float32) * 2.0**-ACTIVATION.frac


def to_integers(real: jax.Array) -> np.ndarray:
    scaled = np.asarray(real, np.float64) * 2**ACTIVATION.frac
    assert np.array_equal(scaled, np.round(scaled))
    return scaled.astype(np.int64)


def test_a_convolution_has_the_bits_of_integer_arithmetic(block, activations):
    (layer, _, _), real = block
    accumulator = np.asarray(exact_conv.conv(to_real(activations), real.first), np.float64)
    unit = np.ldexp(1.0, -(layer.kernel.exponent.astype(np.int32) + ACTIVATION.frac))
    assert np.array_equal(accumulator / unit, conv_int64(activations, layer))


def test_a_residual_block_has_the_bits_of_integer_arithmetic(block, activations):
    (first, second, slopes), real = block
    h = prelu_int64(layer_int64(activations, first, WIDE), slopes[0])
    h = layer_int64(h, second, WIDE) + (activations << (WIDE.frac - ACTIVATION.frac))
    expected = prelu_int64(h, slopes[1])
    found = to_integers(exact_conv.residual(to_real(activations), real))
    assert np.array_equal(found, expected)
    assert len(np.unique(expected)) > 100  # neither clipped nor empty


def test_jit_batches_and_tiles_change_no_bit(block, activations):
    _, real = block
    x = to_real(activations)
    jitted = jax.jit(exact_conv.residual)
    whole = np.asarray(jitted(x, real))
    with jax.disable_jit():
        assert np.array_equal(np.asarray(exact_conv.residual(x, real)), whole)
    assert np.array_equal(np.asarray(jitted(x[1:2], real)), whole[1:2])
    # A tile needs a halo of one position for each of the two convolutions.
    tile = np.asarray(jitted(x[:, 2:11, 1:9], real))
    assert np.array_equal(tile[:, 2:-2, 2:-2], whole[:, 4:9, 3:7])


def test_a_valid_convolution_is_the_inside_of_a_padded_one(block, activations):
    _, real = block
    x = to_real(activations)
    inside = exact_conv.conv(x, real.first, padded=False)
    assert np.array_equal(inside, exact_conv.conv(x, real.first)[:, 1:-1, 1:-1])


def test_low_precision_operands_change_no_bit(block, activations):
    # What matrix units do: bfloat16 factors, float32 sums.
    _, real = block
    x = to_real(activations)
    small = [a.astype(jnp.bfloat16) for a in (x, real.first.kernel)]
    found = exact_conv.conv(small[0], exact_conv.Conv(small[1], real.first.bias))
    assert np.array_equal(found, exact_conv.conv(x, real.first))


def test_training_runs_the_frozen_integers(activations):
    kernel, bias = random_conv(np.random.default_rng(5))
    trained = exact_conv.quantize_conv(jnp.asarray(kernel), jnp.asarray(bias))
    frozen = FrozenConv.freeze(kernel, bias).real()
    assert np.array_equal(trained.kernel, frozen.kernel)
    assert np.array_equal(trained.bias, frozen.bias)
    slope = np.linspace(-3, 3, 25).astype(np.float32)
    restored = exact_conv.real_slope(exact_conv.freeze_slope(slope))
    assert np.array_equal(exact_conv.quantize_slope(jnp.asarray(slope)), restored)


def test_gradients_pass_through_the_rounding(activations):
    rng = np.random.default_rng(6)
    weights = {"kernel": jnp.asarray(random_conv(rng)[0]), "bias": jnp.zeros(WIDTH), "slope": jnp.full(WIDTH, 0.25)}
    x = to_real(activations // 6)  # nothing is clipped

    def exactly(p):
        layer = exact_conv.quantize_conv(p["kernel"], p["bias"])
        return (exact_conv.activate(exact_conv.conv(x, layer), exact_conv.quantize_slope(p["slope"])) ** 2).mean()

    def smoothly(p):
        window = jax.lax.conv_general_dilated(
            x, p["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        h = window + p["bias"].reshape(1, 1, 1, -1)
        return (jnp.where(h >= 0, h, h * p["slope"].reshape(1, 1, 1, -1)) ** 2).mean()

    found, expected = jax.grad(exactly)(weights), jax.grad(smoothly)(weights)
    for name in weights:
        distance = np.linalg.norm(found[name] - expected[name])
        assert distance < 0.03 * np.linalg.norm(expected[name]), name


def test_the_proof_bounds_what_can_happen():
    kernel, bias = random_conv(np.random.default_rng(7), inputs=8, outputs=4, gain=6.0)
    layer = FrozenConv.freeze(kernel, bias)
    worst = layer.prove("test")
    sign = np.sign(layer.kernel.weight.astype(np.int64)).reshape(3, 3, 8, 4)
    # The input that drives output 0 hardest, at the centre of a 3x3 picture.
    peak = [
        abs(conv_int64(255 * sign[None, :, :, :, o] * (1 if layer.bias[o] >= 0 else -1), layer)[0, 1, 1, o])
        for o in range(4)
    ]
    assert worst == pytest.approx(max(peak) / 2**24)
    assert worst < 1


def test_the_proof_fails_for_weights_that_are_too_large():
    weight = np.full((9 * 600, 1), 127, np.int8)
    layer = FrozenConv(FrozenKernel(weight, np.zeros(1, np.int8)), np.zeros(1, np.int32))
    with pytest.raises(ExactnessError, match="entropy/x"):
        layer.prove("entropy/x")


def test_arrays_of_a_wrong_shape_are_refused():
    layer = FrozenConv.freeze(*random_conv(np.random.default_rng(8)))
    arrays = layer.to_arrays()
    again = FrozenConv.from_arrays(arrays, WIDTH, WIDTH)
    assert np.array_equal(again.real().kernel, layer.real().kernel)
    for damaged in (arrays | {"bias": arrays["bias"][:-1]}, {k: v for k, v in arrays.items() if k != "exponent"}):
        with pytest.raises(CorruptFile, match="should be"):
            FrozenConv.from_arrays(damaged, WIDTH, WIDTH)
