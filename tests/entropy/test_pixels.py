"""The pixel model: training against coding, real streams, independence of batch and chunks, damaged arrays."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.bits.intervals import IntervalDecoder, IntervalEncoder
from jaxicm.bits.mixture import pull_symbols, push_symbols
from jaxicm.entropy import pixel_context, pixel_phase
from jaxicm.entropy.least_squares import FitConfig
from jaxicm.entropy.pixel_frozen import FrozenPixels
from jaxicm.entropy.pixels import PixelConfig, Pixels
from jaxicm.errors import ConfigError, CorruptFile, ExactnessError
from jaxicm.ops.colour import forward

TINY = PixelConfig(
    taps=12, hidden=16, head=8, mixtures=2, scales=3, biases=2, experts=3, fit=FitConfig(block=8, windows=(0, 1))
)
LOW, HIGH = (0, -255, -255), (255, 255, 255)


def initial(config: PixelConfig, seed: int = 0) -> dict:
    """Parameters that predict something, none of them zero."""
    model = Pixels(config, LOW, HIGH)
    shape = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.int32)
    tree = jax.eval_shape(lambda x: model.init(jax.random.key(seed), x, 1), shape)["params"]
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name.startswith("b_o"):
            row = [*np.repeat([0.0, 0.1, -1.0], config.mixtures), *np.full(config.experts + config.fit.count, 0.5)]
            return np.broadcast_to(row, leaf.shape).astype(np.float32)
        spread = 0.1 if name.startswith("b_") else (0.1 if name[0] in "ta" else 0.7) / np.sqrt(leaf.shape[-2])
        return rng.normal(0, spread, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, tree)


@pytest.fixture(scope="module")
def frozen() -> FrozenPixels:
    return FrozenPixels.freeze(initial(TINY), TINY)


@pytest.fixture(scope="module")
def picture(photograph) -> np.ndarray:
    return forward(photograph(48, 64).astype(np.int32), "ycocg", np)


def run(coder, choose) -> np.ndarray:
    """Drive a coder; `choose(step, mixture)` returns the samples of each step."""
    for step in coder:
        step.fill(choose(step, step.predict()))
    return coder.samples


def encode(model: FrozenPixels, x: np.ndarray, low=LOW, high=HIGH, depth: int = 8) -> tuple[bytes, float]:
    encoder = IntervalEncoder()
    coder = model.coder(*x.shape[:2], low[: x.shape[2]], high[: x.shape[2]], depth, "ycocg")
    coder.start(coder.select_coarsest(x))
    cost = 0.0

    def choose(step, mixture):
        nonlocal cost
        symbols = step.select(x)
        push_symbols(encoder, mixture, symbols)
        cost += mixture.cost_bits(symbols)
        return symbols

    np.testing.assert_array_equal(run(coder, choose), x)
    return encoder.finish(), cost


def decode(model: FrozenPixels, data: bytes, x: np.ndarray, low=LOW, high=HIGH, depth: int = 8) -> np.ndarray:
    decoder = IntervalDecoder(data)
    coder = model.coder(*x.shape[:2], low[: x.shape[2]], high[: x.shape[2]], depth, "ycocg")
    coder.start(coder.select_coarsest(x))
    samples = run(coder, lambda step, mixture: pull_symbols(decoder, mixture))
    decoder.finish()
    return samples


def test_training_estimates_what_coding_pays(frozen, picture):
    data, cost = encode(frozen, picture)
    model = Pixels(TINY, LOW, HIGH)
    bits = jax.jit(model.apply)({"params": initial(TINY)}, jnp.asarray(picture)[None])
    estimate = float(np.sum(bits))
    assert abs(estimate - cost) < 0.002 * cost
    assert abs(8 * len(data) - cost) < 0.005 * cost + 8 * 64


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 9), (17, 33), (48, 64)])
@pytest.mark.parametrize(
    "config",
    [
        TINY,
        dataclasses.replace(TINY, fit=FitConfig(scales=0)),
        dataclasses.replace(TINY, cell="2x4"),
        dataclasses.replace(TINY, cell="4x4", kind="random", layers=3),
    ],
)
def test_pictures_come_back(config, size, photograph):
    model = FrozenPixels.freeze(initial(config), config)
    x = forward(photograph(*size).astype(np.int32), "ycocg", np)
    np.testing.assert_array_equal(decode(model, encode(model, x)[0], x), x)


def test_grey_and_sixteen_bit_come_back(frozen, photograph):
    grey = photograph(20, 27)[..., :1].astype(np.int32)
    np.testing.assert_array_equal(decode(frozen, encode(frozen, grey)[0], grey), grey)
    deep = forward(photograph(20, 27).astype(np.int32) * 257, "ycocg", np)
    bounds = (0, -65535, -65535), (65535, 65535, 65535)
    data, _ = encode(frozen, deep, *bounds, depth=16)
    np.testing.assert_array_equal(decode(frozen, data, deep, *bounds, depth=16), deep)


def test_the_number_of_network_calls_does_not_depend_on_the_size(frozen, photograph):
    calls = []
    for size in ((16, 16), (40, 56)):
        x = forward(photograph(*size).astype(np.int32), "ycocg", np)
        coder = frozen.coder(*size, LOW, HIGH, 8, "ycocg")
        coder.start(coder.select_coarsest(x))
        run(coder, lambda step, mixture: step.select(x))  # noqa: B023
        calls.append(coder.network_calls)
    rounds = 3 * TINY.fit.scales + 1
    assert calls[0] == calls[1] == rounds * 3 * (1 + 3)


def test_chunks_and_compilation_change_no_bit(frozen, picture, monkeypatch):
    """Other sizes of the calls and interpreted instead of compiled code give the same stream."""
    expected = encode(frozen, picture[:16, :24])[0]
    monkeypatch.setattr(pixel_phase, "CHUNKS", (7, 33, pixel_phase.SEGMENT))
    assert encode(frozen, picture[:16, :24])[0] == expected
    with jax.disable_jit():
        assert encode(frozen, picture[:16, :24])[0] == expected


@pytest.mark.slow
def test_the_batch_changes_no_bit(picture):
    model, params = Pixels(TINY, LOW, HIGH), {"params": initial(TINY)}
    x = jnp.asarray(np.stack([picture[:32, :32], picture[16:, 32:]]))
    both = model.apply(params, x, 2)
    alone = np.concatenate([np.asarray(model.apply(params, x[k : k + 1], 2)) for k in range(2)])
    np.testing.assert_allclose(both, alone, rtol=1e-6)


def test_roughness_is_the_same_on_the_host_and_on_the_device(picture):
    for grid in (picture[None], picture[None] * 300):
        np.testing.assert_array_equal(
            pixel_context.roughness(grid.astype(np.int32), np), pixel_context.roughness(jnp.asarray(grid, jnp.int32))
        )


def test_stronger_contrast_shows_the_network_the_same_pattern():
    """Differences are divided by a power of two: twice the contrast, one exponent more, the same features."""
    rng = np.random.default_rng(0)
    taps = rng.integers(-60, 60, (50, 36)).astype(np.int32)
    rough = np.zeros((50, 6), np.int32)
    once = pixel_context.observe(jnp.asarray(taps + 100), jnp.asarray(rough), 3)
    twice = pixel_context.observe(jnp.asarray(2 * taps + 100), jnp.asarray(rough), 3)
    np.testing.assert_array_equal(once.exponent + 1, twice.exponent)
    np.testing.assert_array_equal(once.features[:, :36], twice.features[:, :36])


def test_trained_parameters_survive_freezing_and_thawing(frozen):
    again = FrozenPixels.freeze(frozen.thaw(), TINY)
    for name, array in frozen.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name], err_msg=name)


def test_arrays_that_do_not_fit_are_refused(frozen):
    arrays = frozen.to_arrays()
    assert FrozenPixels.from_arrays(arrays, TINY).to_arrays().keys() == arrays.keys()
    for name in arrays:
        with pytest.raises(CorruptFile, match=name):
            FrozenPixels.from_arrays({k: v for k, v in arrays.items() if k != name}, TINY)
    with pytest.raises(CorruptFile):
        FrozenPixels.from_arrays(arrays, dataclasses.replace(TINY, hidden=8))


def test_proofs_hold_and_fail(frozen):
    assert 0 < max(frozen.proof().values()) < 1
    huge = {name: np.full_like(value, 2.0**30) if name == "b_w0" else value for name, value in initial(TINY).items()}
    with pytest.raises(ExactnessError):
        FrozenPixels.freeze(huge, TINY)


@pytest.mark.parametrize("change", [{"cell": "3x3"}, {"kind": "spiral"}, {"taps": 3}, {"mixtures": 0}, {"scales": 0}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        dataclasses.replace(TINY, **change)
