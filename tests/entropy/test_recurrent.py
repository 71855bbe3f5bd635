"""The recurrent MSP model: sizes, real streams, and training against coding."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.bits import rans
from jaxicm.entropy import gaussian, recurrent_network
from jaxicm.entropy.recurrent import Recurrent
from jaxicm.entropy.recurrent_coder import FrozenRecurrent
from jaxicm.entropy.recurrent_network import BASE, EXTRA, RecurrentConfig
from jaxicm.entropy.schedule import PRESETS
from jaxicm.errors import CorruptFile

TINY = RecurrentConfig(channels=8, features=4, blocks=1)


def initial(config: RecurrentConfig, seed: int = 0) -> dict:
    """Parameters that predict something: the output layer is not small, slopes and biases differ."""
    model = Recurrent(config)
    shape = jax.ShapeDtypeStruct((1, 8, 8, config.channels), jnp.float32)
    key = jax.random.key(seed)
    tree = jax.eval_shape(lambda y: model.init(key, y, None, key), shape)["params"]
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name.startswith("matrix"):  # of a prior about 10 steps wide
            return np.full(leaf.shape, float(np.log(np.expm1(1 / 10**0.2 / leaf.shape[-2]))), np.float32)
        if name.endswith("_slope"):
            return rng.uniform(0, 0.5, leaf.shape).astype(np.float32)
        values = rng.normal(0, 0.05, leaf.shape)
        if name.endswith("_kernel"):
            values = rng.normal(0, (0.4 if name == "head_kernel" else 1.0) / np.sqrt(9 * leaf.shape[2]), leaf.shape)
        if name == "head_bias":
            values[config.channels :] += np.log(1.2 / gaussian.SCALE_FLOOR)
        return values.astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, tree)


def drive(coder, choose):
    """Run a coder; `choose(step, mean_q4, index, coded)` gives the coded symbols of each step."""
    for step in coder:
        mean, index = step.predict()
        coded = index > 0
        symbols = np.zeros(len(index), np.int32)
        symbols[coded] = choose(step, mean, index, coded)
        step.fill(symbols)
    return coder.values_q4


def encode(model: FrozenRecurrent, y: np.ndarray) -> tuple[bytes, np.ndarray]:
    encoder = rans.Encoder(model.tables())

    def choose(step, mean, index, coded):
        target = step.select(y)[coded]
        symbols = np.round(target - mean[coded].astype(np.float32) / 16).astype(np.int32)
        assert np.abs(symbols + mean[coded] / 16 - target).max(initial=0) <= 0.5 + 1e-2
        encoder.push(symbols, index[coded])
        return symbols

    values = drive(model.coder(800, *y.shape[:2]), choose)
    return encoder.finish(), values


def decode(model: FrozenRecurrent, data: bytes, height: int, width: int) -> np.ndarray:
    decoder = rans.Decoder(data, model.tables())
    values = drive(model.coder(800, height, width), lambda step, mean, index, coded: decoder.pull(index[coded]))
    decoder.finish()
    return values


def sample(model: FrozenRecurrent, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw a latent, not rounded, that follows the model's own predictions."""
    rng = np.random.default_rng(seed)
    scale, prior = gaussian.scale_table(), model.prior
    y = np.zeros((height, width, model.config.channels), np.float32)

    def choose(step, mean, index, coded):
        channel = np.maximum(index.astype(int) - gaussian.SCALE_COUNT, 0)
        slots = rng.integers(0, 4096, len(index))
        entry = (slots[:, None] >= prior.cdf[channel, 1:]).sum(axis=1)
        entry = np.minimum(entry, prior.size[channel] - 2) + prior.offset[channel]
        offset = rng.normal(size=len(index)) * scale[np.minimum(index, gaussian.SCALE_COUNT - 1)]
        value = np.where(index >= gaussian.SCALE_COUNT, entry, mean / 16 + np.where(coded, offset, 0))
        part = np.arange(y.size).reshape(y.shape)
        y.reshape(-1)[step.select(part)] = value
        return np.round(step.select(y) - mean.astype(np.float32) / 16).astype(np.int32)[coded]

    drive(model.coder(800, height, width), choose)
    return y


@pytest.fixture(scope="module")
def params():
    return initial(TINY)


@pytest.fixture(scope="module")
def model(params):
    return FrozenRecurrent.freeze(params, TINY)


@pytest.mark.parametrize(("config", "evaluations", "network_millions"), [(BASE, 27, 0.89), (EXTRA, 120, 2.95)])
def test_the_profiles_have_the_published_sizes(config, evaluations, network_millions):
    assert config.schedule.network_steps == evaluations
    tree = jax.eval_shape(
        lambda: Recurrent(config).init(jax.random.key(0), jnp.zeros((1, 1, 1, 128)), None, jax.random.key(0))
    )["params"]
    total = sum(leaf.size for leaf in jax.tree.leaves(tree))
    prior = sum(leaf.size for leaf in jax.tree.leaves(tree["prior"]))
    assert round((total - prior) / 1e6, 2) == network_millions
    # The published prior has three quantiles a channel more; ours finds its tables without them.
    assert prior == 128 * (61 - 3)


@pytest.mark.parametrize("size", [(5, 6), (1, 3)])
def test_every_latent_survives_a_real_stream(model, size):
    y = np.random.default_rng(1).normal(0, 3, (*size, TINY.channels)).astype(np.float32)
    y.reshape(-1)[:2] = 5000.0, -70000.0  # escapes, and values beyond the format
    data, values = encode(model, y)
    assert values.dtype == np.int32
    again = FrozenRecurrent.from_arrays(model.to_arrays(), TINY)
    assert np.array_equal(decode(again, data, *size), values)
    assert values.reshape(-1)[:2].tolist() == [16383, -16383]


def test_entries_at_the_smallest_scale_are_not_coded(params):
    bias = params["head_bias"].copy()
    bias[TINY.channels] = -9.0  # channel 0
    model = FrozenRecurrent.freeze(params | {"head_bias": bias}, TINY)
    pushed = []

    def choose(step, mean, index, coded):
        channel = step.select(np.broadcast_to(np.arange(TINY.channels), (16, 16, TINY.channels)))
        pushed.append(channel[coded & (index < gaussian.SCALE_COUNT)])
        return np.ones(coded.sum(), np.int32)

    drive(model.coder(800, 16, 16), choose)
    assert sorted(set(np.concatenate(pushed))) == list(range(1, TINY.channels))


@pytest.mark.parametrize("order", sorted(set(PRESETS) - {"msp_base"}))
def test_every_order_survives_a_real_stream(order):
    config = dataclasses.replace(TINY, order=order, carry_z=order != "hpcm")
    model = FrozenRecurrent.freeze(initial(config), config)
    y = np.random.default_rng(2).normal(0, 3, (5, 6, TINY.channels)).astype(np.float32)
    data, values = encode(model, y)
    assert np.array_equal(decode(model, data, 5, 6), values)


def test_network_calls_do_not_depend_on_the_size(model):
    found = []
    for side in (16, 32):
        coder = model.coder(800, side, side)
        steps = []
        drive(
            coder, lambda step, mean, index, coded, steps=steps: steps.append(step) or np.zeros(coded.sum(), np.int32)
        )
        found.append((coder.network_calls, len(steps)))
    assert found == [(27, 28), (27, 28)]


def test_the_rate_estimate_agrees_with_real_bytes_and_training_with_coding(model, params):
    y = sample(model, 32, 32)
    data, values = encode(model, y)
    run = jax.jit(lambda y, key: Recurrent(TINY).apply({"params": params}, y, None, key))
    y_hat, bits = run(jnp.asarray(y)[None], jax.random.key(0))
    assert np.array_equal(np.asarray(y_hat[0]) * 16, values)
    assert abs(float(bits[0]) / 8 - len(data)) <= 0.01 * len(data) + 64


def test_gradients_reach_every_parameter(params):
    y = jnp.asarray(np.random.default_rng(4).normal(0, 3, (2, 4, 5, TINY.channels)), jnp.float32)  # two scales

    def loss(p):
        y_hat, bits = Recurrent(TINY).apply({"params": p}, y, None, jax.random.key(0))
        return bits.sum() + (y_hat**2).sum()

    gradients = jax.jit(jax.grad(loss))(params)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0, path


def test_jit_and_batch_change_no_bit_of_the_network(model):
    rng = np.random.default_rng(5)
    shape = (3, 4, 3, TINY.channels)
    z = jnp.asarray(rng.integers(-255, 256, (*shape[:3], TINY.features)) / 32, jnp.float32)
    y = jnp.asarray(rng.integers(-800, 800, shape) / 16, jnp.float32)
    known = jnp.asarray(rng.random(shape) < 0.5)
    jitted = jax.jit(recurrent_network.network)
    whole = jitted(model.layers(), z, y, known)
    with jax.disable_jit():
        eager = recurrent_network.network(model.layers(), z, y, known)
    single = jitted(model.layers(), z[1:2], y[1:2], known[1:2])
    for name, a, b, c in zip(("z", "mean", "index"), whole, eager, single, strict=True):
        assert np.array_equal(a, b), name
        assert np.array_equal(a[1:2], c), name
    assert len(np.unique(whole[1])) > 20
    assert len(np.unique(whole[2])) > 5


def test_without_carried_context_steps_of_a_scale_do_not_see_each_others_z(model, params):
    # With everything else equal, the two variants agree up to the second step of the first scale.
    config = dataclasses.replace(TINY, carry_z=False)
    other = FrozenRecurrent.freeze(params, config)
    predictions = []
    for frozen in (model, other):
        seen = []
        rng = np.random.default_rng(6)

        def choose(step, mean, index, coded, seen=seen, rng=rng):
            seen.append(mean)
            return rng.integers(-3, 4, coded.sum())

        drive(frozen.coder(800, 16, 16), choose)
        predictions.append(seen)
    same = [np.array_equal(a, b) for a, b in zip(*predictions, strict=True)]
    assert same[:2] == [True, True]
    assert not all(same)


def test_the_proof_names_every_layer_and_holds(model):
    proof = model.proof()
    assert set(proof) == {"enter", "block0a", "block0b", "context", "head", "upsample", "slopes"}
    assert all(0 < worst < 1 for worst in proof.values())


def test_the_tables_are_gaussians_then_the_prior(model):
    tables = model.tables()
    assert len(tables) == gaussian.SCALE_COUNT + TINY.channels
    assert np.array_equal(tables.size[gaussian.SCALE_COUNT :], model.prior.size)


def test_damaged_weights_are_refused(model):
    arrays = model.to_arrays()
    for key in ("head.weight", "enter.slope", "prior.cdf"):
        with pytest.raises(CorruptFile):
            FrozenRecurrent.from_arrays({k: v for k, v in arrays.items() if k != key}, TINY)
    with pytest.raises(CorruptFile, match="prior tables"):
        last = {"prior.cdf": arrays["prior.size"][-1], "prior.size": 1, "prior.offset": 1}
        short = {k: v[: -last[k]] if k in last else v for k, v in arrays.items()}
        FrozenRecurrent.from_arrays(short, TINY)


def test_configs_check_themselves():
    with pytest.raises(ValueError, match="channels"):
        RecurrentConfig(channels=193)
    with pytest.raises(ValueError, match="order"):
        RecurrentConfig(order="spiral")
