"""The progressive model in training against the coder that runs frozen integers: the same values and the same rate."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.bits.rans import Decoder, Encoder
from jaxicm.entropy import context, gaussian
from jaxicm.entropy.progressive import Progressive, ProgressiveConfig, interpolate
from jaxicm.entropy.progressive_frozen import FrozenProgressive, interpolate_integers

SIZE = (12, 20)
ANCHORS_Q4 = (16, 1600)


@pytest.fixture(scope="module")
def config(tiny_config) -> ProgressiveConfig:
    return tiny_config.entropy


@pytest.fixture(scope="module")
def frozen(tiny_parameters, config) -> FrozenProgressive:
    return FrozenProgressive.freeze(tiny_parameters["entropy"], config)


def quantize(y: np.ndarray, mean: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Choose the symbols as the codec does, in numpy."""
    residual = y - mean.astype(np.float32) / 16
    return (gaussian.round_with_cost(residual, index, np) * (index > 0)).astype(np.int32)


def code(frozen: FrozenProgressive, quality_q4: int, y: np.ndarray) -> tuple[np.ndarray, bytes, float]:
    """Quantise and write a latent `[h, w, C]`: 16 times its values, the stream, its ideal bits."""
    tables = frozen.tables()
    coder, encoder, bits = frozen.coder(quality_q4, *y.shape[:2]), Encoder(tables), 0.0
    for step in coder:
        mean, index = step.predict()
        symbols = quantize(step.select(y), mean, index)
        step.fill(symbols)
        encoder.push(symbols[index > 0], index[index > 0])
        bits += tables.cost_bits(symbols[index > 0], index[index > 0])
    return coder.values_q4, encoder.finish(), bits


def read(frozen: FrozenProgressive, quality_q4: int, data: bytes, size: tuple[int, int]) -> np.ndarray:
    decoder, coder = Decoder(data, frozen.tables()), frozen.coder(quality_q4, *size)
    for step in coder:
        _, index = step.predict()
        symbols = np.zeros(len(index), np.int32)
        symbols[index > 0] = decoder.pull(index[index > 0])
        step.fill(symbols)
    decoder.finish()
    return coder.values_q4


def draw(frozen: FrozenProgressive, quality_q4: int, size: tuple[int, int], seed: int) -> np.ndarray:
    """Draw a latent from the model itself."""
    rng, coder = np.random.default_rng(seed), frozen.coder(quality_q4, *size)
    scales = gaussian.scale_table()
    for step in coder:
        _, index = step.predict()
        step.fill(np.where(index > 0, np.rint(rng.normal(0, scales[index])), 0).astype(np.int32))
    return coder.values_q4.astype(np.float32) / 16


@pytest.fixture(scope="module")
def latents(frozen, config) -> dict[str, tuple[int, np.ndarray]]:
    """Latents `[h, w, C]` by name, each with 16 times a quality that is an anchor."""
    rng, shape, found = np.random.default_rng(0), (*SIZE, config.channels), {}
    for q in ANCHORS_Q4:
        drawn = draw(frozen, q, SIZE, q)
        rare = rng.random(shape) < 0.003
        found |= {
            f"{q} zero": (q, np.zeros(shape, np.float32)),
            f"{q} drawn": (q, drawn),
            f"{q} between": (q, drawn + rng.uniform(-0.5, 0.5, shape).astype(np.float32)),
            f"{q} escapes": (q, np.where(rare, rng.choice([-1000, -700, 700, 1000], shape), drawn).astype(np.float32)),
            f"{q} wide": (q, rng.normal(0, 40, shape).astype(np.float32)),
            f"{q} beyond": (q, rng.normal(0, 2000, shape).astype(np.float32)),
        }
    return found


@pytest.fixture(scope="module")
def trained(latents, tiny_parameters, config) -> dict[str, tuple[np.ndarray, float]]:
    """What training computes, compiled: values and bits."""
    model = Progressive(config)
    position = jnp.asarray([(q / 16 - 1) / 99 * (config.anchors - 1) for q, _ in latents.values()], jnp.float32)
    y = jnp.asarray(np.stack([y for _, y in latents.values()]))
    values, bits = jax.jit(model.apply)({"params": tiny_parameters["entropy"]}, y, position)
    return {n: (np.asarray(v), float(b)) for n, v, b in zip(latents, values, bits, strict=True)}


def test_the_coder_finds_the_values_of_training(frozen, latents, trained):
    for name, (quality_q4, y) in latents.items():
        values_q4, _, _ = code(frozen, quality_q4, y)
        np.testing.assert_array_equal(values_q4, trained[name][0] * 16, err_msg=name)
        assert np.abs(values_q4).max() <= 16383


def test_the_decoder_finds_the_values_of_the_encoder(frozen, latents):
    for name, (quality_q4, y) in latents.items():
        values_q4, data, _ = code(frozen, quality_q4, y)
        np.testing.assert_array_equal(read(frozen, quality_q4, data, SIZE), values_q4, err_msg=name)


def test_the_rate_of_training_is_the_size_of_the_stream(frozen, latents, trained):
    # "wide" and "beyond" are no latents of this model: training bounds each value by 20 bits and counts skipped ones.
    for name in (n for n in latents if n.split()[1] in ("zero", "drawn", "between", "escapes")):
        quality_q4, y = latents[name]
        _, data, ideal = code(frozen, quality_q4, y)
        size, estimate = len(data), trained[name][1] / 8
        assert abs(size - ideal / 8) <= 0.01 * size + 64, name
        assert abs(size - estimate) <= 0.01 * size + 64, f"{name}: training says {estimate:.0f} bytes, coded {size}"


def test_escapes_were_tested(frozen, latents):
    tables = frozen.tables()
    reach = -tables.offset
    for name, (quality_q4, y) in latents.items():
        coder, outside = frozen.coder(quality_q4, *SIZE), 0
        for step in coder:
            mean, index = step.predict()
            symbols = quantize(step.select(y), mean, index)
            outside += int((np.abs(symbols) > reach[index]).sum())
            step.fill(symbols)
        assert outside > 10 or name.split()[1] not in ("escapes", "beyond")


@pytest.mark.parametrize("anchors", [2, 8])
def test_biases_are_interpolated_in_whole_numbers(anchors):
    integers = np.random.default_rng(0).integers(-(10**6), 10**6, (3, anchors, 5)).astype(np.int32)
    for quality_q4 in (16, 17, 500, 812, 1599, 1600):
        place = Fraction(quality_q4 - 16, 1584) * (anchors - 1)
        low = min(int(place), anchors - 2)
        part = place - low
        pairs = [zip(row[low], row[low + 1], strict=True) for row in integers]
        expected = [[math.floor(int(a) * (1 - part) + int(b) * part) for a, b in row] for row in pairs]
        np.testing.assert_array_equal(interpolate_integers(integers, quality_q4), expected)


def test_training_interpolates_linearly():
    anchors = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    for place in (0.0, 0.4, 1.0, 2.75, 3.0):
        expected = [[np.interp(place, range(4), row[:, c]) for c in range(3)] for row in anchors]
        np.testing.assert_allclose(interpolate(jnp.asarray(anchors), jnp.asarray([place]))[0], expected, rtol=1e-5)


def test_features_of_training_are_those_of_the_coder():
    values_q4 = np.arange(-16383, 16384)
    signed = context.compand(values_q4.astype(np.int16))
    np.testing.assert_array_equal(context.compand_ste(jnp.asarray(values_q4 / 16, jnp.float32)), signed)
    magnitude = context.MAGNITUDE_TABLE[np.abs(signed)]
    np.testing.assert_array_equal(context.magnitude_ste(jnp.asarray(signed, jnp.float32)), magnitude)
    # The logarithm may be wrong by far more than any library's and still round to the same integer.
    exact = 18 * np.log2(1.0 + np.arange(128))
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-3
    # A companded value stands for one within half of its interval: a quarter up to 16, four above, clipped at 268.
    error = np.abs(np.asarray(context.expand(jnp.asarray(signed, jnp.float32))) / 4 - values_q4 / 16)
    assert error[np.abs(values_q4) <= 256].max() <= 0.125
    assert error[np.abs(values_q4) <= 16 * 267].max() <= 4
