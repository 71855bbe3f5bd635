"""The paper's pixel model: orders, real streams, training against coding, and exactness."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxicm.bits.intervals import IntervalDecoder, IntervalEncoder
from jaxicm.bits.mixture import Mixture, pull_symbols, push_symbols
from jaxicm.entropy import masked
from jaxicm.entropy.masked import GUIDED, Masked, MaskedConfig, Parameters
from jaxicm.entropy.masked_coder import FrozenMasked
from jaxicm.entropy.pixel_order import CELLS
from jaxicm.errors import ConfigError, CorruptFile

TINY = MaskedConfig(features=4, blocks=1, mixtures=2, scales=2)
KINDS = ("fixed", "random", *GUIDED)
LOW, HIGH = (0, 0, 0), (255, 255, 255)


def initial(config: MaskedConfig, seed: int = 0) -> dict:
    """Parameters that predict something: the output layer is not small, slopes and biases differ."""
    model = Masked(config)
    shape = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.int32)
    tree = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, 1), shape)["params"]
    rng = np.random.default_rng(seed)
    start = masked._start_head(jax.random.key(0), tree["head_bias"].shape)

    def draw(path, leaf):
        name = path[-1].key
        if name.endswith("_slope"):
            return rng.uniform(0, 0.5, leaf.shape).astype(np.float32)
        if name == "head_bias":
            return (np.asarray(start) + rng.normal(0, 0.1, leaf.shape)).astype(np.float32)
        values = rng.normal(0, 0.05, leaf.shape)
        if name.endswith("_kernel"):
            values = rng.normal(0, (0.3 if name == "head_kernel" else 1.0) / np.sqrt(9 * leaf.shape[2]), leaf.shape)
        return values.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, tree)


def picture(height: int, width: int, channels: int = 3, seed: int = 0, high: int = 255) -> np.ndarray:
    """Draw smooth colours with a little noise, int32 `[height, width, channels]`."""
    rng = np.random.default_rng(seed)
    rows, columns = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    wave = np.sin(rows / 5 + rng.uniform(0, 6, channels)) + np.cos(columns / 7 + rng.uniform(0, 6, channels))
    noise = rng.normal(0, 0.02, (height, width, 1))
    return np.clip(np.round((wave / 4 + 0.5 + noise) * high), 0, high).astype(np.int32)


def drive(coder, coarsest, code):
    """Run a coder; `code(step, mixture)` gives the samples of each step."""
    coder.start(coarsest)
    for step in coder:
        step.fill(code(step, step.predict()))
    return coder.samples


def encode(model, x, depth=8):
    """Return the stream, its ideal bits for each channel, and the steps' pixel numbers."""
    height, width, channels = x.shape
    low, high = (0,) * channels, ((1 << depth) - 1,) * channels
    coder, encoder = model.coder(height, width, low, high, depth), IntervalEncoder()
    number = np.repeat(np.arange(height * width).reshape(height, width, 1), channels, axis=2).astype(np.int32)
    bits, steps = np.zeros(channels), []

    def code(step, mixture: Mixture):
        values = step.select(x)
        steps.append((step.channel, step.select(number)))
        push_symbols(encoder, mixture, values)
        bits[step.channel] += mixture.cost_bits(values) if len(values) else 0.0
        return values

    assert np.array_equal(drive(coder, coder.select_coarsest(x), code), x)
    return encoder.finish(), bits, steps


def decode(model, data, x, depth=8):
    height, width, channels = x.shape
    coder = model.coder(height, width, (0,) * channels, ((1 << depth) - 1,) * channels, depth)
    decoder = IntervalDecoder(data)
    samples = drive(coder, coder.select_coarsest(x), lambda step, mixture: pull_symbols(decoder, mixture))
    decoder.finish()
    return samples


@pytest.fixture(scope="module")
def params():
    return initial(TINY)


@pytest.fixture(scope="module")
def model(params):
    return FrozenMasked.freeze(params, TINY)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_order_codes_every_pixel_once_and_survives_a_real_stream(params, cell, kind):
    config = dataclasses.replace(TINY, cell=cell, kind=kind, seed=1, carry_z=cell != "2x4")
    model = FrozenMasked.freeze(params, config)
    x = picture(9, 14, seed=len(kind))
    data, _, steps = encode(model, x)
    again = FrozenMasked.from_arrays(model.to_arrays(), config)
    assert np.array_equal(decode(again, data, x), x)
    for channel in range(3):
        coded = np.concatenate([numbers for c, numbers in steps if c == channel])
        assert sorted([*coded, *(14 * r + c for r in (3, 7) for c in (3, 7, 11))]) == list(range(9 * 14))
    assert [c for c, _ in steps] == [0, 1, 2] * (2 * len(CELLS[cell][1]))


@settings(deadline=None, max_examples=8)
@given(st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 3]), st.integers(0, 99))
def test_pictures_of_any_size_come_back(params, height, width, channels, seed):
    model = FrozenMasked.freeze(params, dataclasses.replace(TINY, kind="entropy"))
    x = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.int32)
    assert np.array_equal(decode(model, encode(model, x)[0], x), x)


@pytest.mark.parametrize("depth", [1, 5, 12, 16])
def test_other_depths_come_back(model, depth):
    x = picture(6, 9, 3, seed=3, high=(1 << depth) - 1)
    assert np.array_equal(decode(model, encode(model, x, depth)[0], x, depth), x)


def test_the_fixed_order_is_the_list_of_the_cell(model):
    _, _, steps = encode(model, picture(8, 8))
    first = [numbers for channel, numbers in steps if channel == 0][-3:]  # of the finest scale
    grid = np.arange(64).reshape(8, 8)
    for numbers, (row, column) in zip(first, CELLS["2x2"][1], strict=True):
        assert np.array_equal(numbers, grid[row::2, column::2].ravel())


def test_guided_orders_follow_the_content(params):
    found = {}
    for kind in KINDS:
        config = dataclasses.replace(TINY, cell="4x4", kind=kind, seed=3)
        _, bits, steps = encode(FrozenMasked.freeze(params, config), picture(16, 16, seed=2))
        found[kind] = [numbers.tolist() for channel, numbers in steps if channel == 0], bits.sum()
    orders = [numbers for numbers, _ in found.values()]
    assert all(a != b for k, a in enumerate(orders) for b in orders[:k])
    assert len({round(bits, 3) for _, bits in found.values()}) == 4
    # Cells differ from one another in what they code in the first step of the finest scale.
    inside = [{(n // 16 % 4, n % 16 % 4) for n in numbers[12]} for numbers in (found[kind][0] for kind in GUIDED)]
    assert all(len(positions) > 1 for positions in inside)


def test_the_most_uncertain_unknown_position_is_chosen_and_ties_go_to_the_first():
    config = dataclasses.replace(TINY, kind="entropy", mixtures=1)
    scale = np.zeros((1, 3, 4, 30 // 3))  # K = 1: one weight, three shifts, three scales, three coefficients
    scale[0, :, :, 4:7] = np.array([[1, 2, 4, 4], [3, 9, 4, 9], [5, 6, 7, 8]])[..., None]
    known = jnp.zeros((1, 3, 4), bool).at[0, 1::2, 1::2].set(True)
    zero = jnp.int32(0)
    chosen = masked.choose(config, jnp.asarray(scale, jnp.float32), known, zero)[0, ..., 0]
    # [cell row][cell column][position]; the last row of cells has no second row of pixels.
    assert np.argmax(chosen, axis=2).tolist() == [[2, 0], [1, 1]] and chosen.sum() == 4
    inverse = masked.choose(
        dataclasses.replace(config, kind="inverse_entropy"), jnp.asarray(scale, jnp.float32), known, zero
    )[0, ..., 0]
    assert np.argmax(inverse, axis=2).tolist() == [[0, 0], [0, 0]]
    finished = masked.choose(config, jnp.asarray(scale, jnp.float32), jnp.ones_like(known), zero)
    assert not finished.any()


def test_the_predicted_entropy_is_the_weighted_mean_of_the_scales():
    rng = np.random.default_rng(0)
    weight, scale = rng.integers(0, 97, (50, 1, 16)), rng.integers(0, 168, (50, 3, 16))
    zeros = jnp.zeros(1)
    found = masked.predicted_entropy(
        Parameters(jnp.asarray(weight, jnp.float32), zeros, jnp.asarray(scale, jnp.float32), zeros)
    )
    linear = [[(8 + i % 8) << (i // 8) for i in row] for row in weight[:, 0].tolist()]
    sums = scale.sum(axis=1).tolist()
    expected = [4 * sum(a * b for a, b in zip(w, s, strict=True)) // sum(w) for w, s in zip(linear, sums, strict=True)]
    assert found.tolist() == expected


@pytest.mark.parametrize("kind", ["fixed", "entropy"])
def test_the_bits_of_training_are_the_cost_of_coding(params, kind):
    config = dataclasses.replace(TINY, kind=kind, cell="2x4")
    x = picture(35, 50, seed=4)
    data, coded, _ = encode(FrozenMasked.freeze(params, config), x)
    run = jax.jit(lambda x: Masked(config).apply({"params": params}, x))
    bits = np.asarray(run(jnp.asarray(x)[None])[0])
    assert bits.shape == (2, 3)
    assert bits.sum(axis=0) == pytest.approx(coded, rel=0.005)
    assert abs(len(data) * 8 - bits.sum()) <= 0.005 * bits.sum() + 512


def test_training_codes_fewer_scales_on_request(params):
    x = jnp.asarray(picture(8, 12))[None]
    assert Masked(TINY).apply({"params": params}, x, 1).shape == (1, 1, 3)


def test_jit_and_batch_change_no_bit_of_the_network(model):
    rng = np.random.default_rng(5)
    shape = (3, 4, 3)
    z = jnp.asarray(rng.integers(-255, 256, (*shape, TINY.features)) / 32, jnp.float32)
    samples = jnp.asarray(rng.integers(0, 256, (*shape, 3)), jnp.int32)
    known = jnp.asarray(rng.random(shape) < 0.5)

    def evaluate(*given):
        z, outputs = masked.network(model.network.real(), *given)
        found = masked.parameters(outputs)
        return z, outputs, *found, masked.predicted_entropy(found)

    jitted = jax.jit(evaluate)
    whole, single = jitted(z, samples, known), jitted(z[1:2], samples[1:2], known[1:2])
    with jax.disable_jit():
        eager = evaluate(z, samples, known)
    for a, b, c in zip(whole, eager, single, strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(a[1:2], c)
        assert len(np.unique(a)) > 3
    for value in jax.tree.leaves(whole[2:]):
        assert np.array_equal(value, np.round(value))


def test_the_coupling_is_the_same_integers_on_the_host(model):
    x = picture(4, 4)
    coder = model.coder(4, 4, LOW, HIGH)
    coder.start(coder.select_coarsest(x))
    step = next(iter(coder))
    pixels = step._pixels
    distance = x[pixels.row, pixels.column][:, :3] - pixels.start  # any integers will do
    coder.samples[pixels.row, pixels.column] = pixels.start + distance
    expected = masked.couple(jnp.asarray(pixels.coefficient, jnp.float32), jnp.asarray(distance, jnp.float32))
    for channel in range(3):
        mean = coder.mixture(pixels, channel).mean.T
        shift = mean - 16 * pixels.start[:, channel : channel + 1] - pixels.shift[:, channel]
        assert np.array_equal(shift, expected[:, channel])
    assert np.abs(expected[:, 1:]).max() > 0


def test_gradients_reach_every_parameter(params):
    x = jnp.asarray(picture(9, 10))[None]
    gradients = jax.jit(jax.grad(lambda p: Masked(TINY).apply({"params": p}, x).sum()))(params)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, path


@pytest.mark.parametrize(("cell", "calls"), [("2x2", 3), ("2x4", 6), ("4x4", 12)])
def test_network_calls_depend_on_the_scales_and_the_cell_only(params, cell, calls):
    model = FrozenMasked.freeze(params, dataclasses.replace(TINY, cell=cell))
    coder = model.coder(4, 5, (0,), (255,))
    drive(coder, np.zeros((*coder.coarsest, 1), np.int32), lambda step, mixture: mixture.low)
    assert coder.network_calls == 2 * calls


def test_the_cost_counts_every_evaluation():
    config = MaskedConfig(scales=1, features=4, blocks=1, mixtures=1)
    model = FrozenMasked.freeze(initial(config), config)
    assert model.macs_per_pixel() == 3 * 9 * ((3 + 1 + 4) * 4 + 2 * 16 + 16 + 4 * 10)
    two = FrozenMasked(dataclasses.replace(config, scales=2), model.network)
    assert two.macs_per_pixel() == 1.25 * model.macs_per_pixel() + 9 * 4 * 16 / 4


def test_the_proof_names_every_layer_and_holds(model):
    proof = model.proof()
    assert set(proof) == {"enter", "block0a", "block0b", "context", "head", "upsample", "slopes"}
    assert all(0 < worst < 1 for worst in proof.values())


def test_damaged_weights_and_wrong_grids_are_refused(model):
    arrays = model.to_arrays()
    for key in ("head.weight", "enter.slope"):
        with pytest.raises(CorruptFile):
            FrozenMasked.from_arrays({k: v for k, v in arrays.items() if k != key}, TINY)
    with pytest.raises(CorruptFile):
        FrozenMasked.from_arrays(arrays, dataclasses.replace(TINY, mixtures=3))
    with pytest.raises(ValueError, match="coarsest grid"):
        model.coder(8, 8, LOW, HIGH).start(np.zeros((3, 2, 3), np.int32))


@pytest.mark.parametrize("wrong", [{"cell": "3x3"}, {"kind": "spiral"}, {"scales": 6}, {"mixtures": 17}])
def test_configs_check_themselves(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MaskedConfig(**wrong)
