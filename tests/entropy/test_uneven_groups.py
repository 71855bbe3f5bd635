"""Groups of different sizes, and networks that see some channels: training, coding and releasing agree as ever."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy import gaussian
from jaxicm.entropy.phases import SLOTS
from jaxicm.entropy.progressive import Progressive, ProgressiveConfig, gaussian_start, head_parameters, head_shapes
from jaxicm.entropy.progressive_frozen import FrozenProgressive
from jaxicm.errors import ConfigError

CONFIG = ProgressiveConfig(channels=16, hidden=16, anchors=2, group_channels=(1, 5, 10))
FEW = dataclasses.replace(CONFIG, context_channels=3)
SPREAD = {"taps_mu": 0.15, "taps_log": 0.004, "b1": 0.2, "b2": 0.2, "bu": 0.2, "bo": 0.1, "o": 0.06}


@pytest.fixture(scope="module", params=[CONFIG, FEW], ids=["all", "few"])
def config(request) -> ProgressiveConfig:
    return request.param


@pytest.fixture(scope="module")
def params(config) -> dict[str, np.ndarray]:
    y, position = jax.ShapeDtypeStruct((1, 4, 4, 16), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.float32)
    shapes = jax.eval_shape(Progressive(config).init, jax.random.key(0), y, position)["params"]
    rng = np.random.default_rng(0)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        spread = SPREAD.get(name, SPREAD.get(name.rstrip("0123456789"), 0.2))
        return rng.normal(0, spread, shape).astype(np.float32)

    drawn = {name: draw(name, leaf.shape) for name, leaf in shapes.items()}
    start = gaussian_start(np.broadcast_to(np.linspace(8, 0.5, 16), (2, 16)), config)
    return drawn | {name: drawn[name] + biases for name, biases in start.items()}


@pytest.fixture(scope="module")
def frozen(params, config) -> FrozenProgressive:
    return FrozenProgressive.freeze(params, config)


def test_parameters_have_the_shapes_of_their_groups(params, config, frozen):
    assert params["w1"].shape == (3, 16 * config.seen, 16)
    trunk = 16 * (config.seen * 16 + 16) + 16 * 16
    assert frozen.macs_per_position() == trunk + 16 * (3 * (16 + 2 * 6) + 2 * 16)
    assert head_shapes(CONFIG).items() <= {name: leaf.shape for name, leaf in params.items()}.items()
    for group, (known, size) in enumerate(((0, 1), (1, 5), (6, 10))):
        u, bu, o, bo = head_parameters(params, CONFIG, group)
        assert u.shape == (4, 16 + 2 * known, 16) and bu.shape == (len(SLOTS), 2, 16)
        assert o.shape == (4, 16, 2 * size) and bo.shape == (len(SLOTS), 2, 2 * size)
    assert CONFIG.steps == 3 * len(SLOTS) and CONFIG.most_known == 6


@pytest.mark.parametrize("quality_q4", [16, 1600])
def test_the_coder_finds_the_values_of_training(params, config, frozen, quality_q4):
    rng, scales, coder = np.random.default_rng(1), gaussian.scale_table(), frozen.coder(quality_q4, 8, 12)
    for step in coder:  # a latent as the model itself expects it
        _, index = step.predict()
        step.fill(np.where(index > 0, np.rint(rng.normal(0, scales[index])), 0).astype(np.int32))
    y = coder.values_q4.astype(np.float32) / 16
    position = jnp.full(1, (quality_q4 / 16 - 1) / 99)
    values, bits = jax.jit(Progressive(config).apply)({"params": params}, jnp.asarray(y[None]), position)
    coder, tables, cost, steps = frozen.coder(quality_q4, 8, 12), frozen.tables(), 0.0, 0
    for step in coder:
        mean, index = step.predict()
        residual = step.select(y) - mean.astype(np.float32) / 16
        symbols = (gaussian.round_with_cost(residual, index, np) * (index > 0)).astype(np.int32)
        step.fill(symbols)
        cost += tables.cost_bits(symbols[index > 0], index[index > 0])
        steps += 1
    np.testing.assert_array_equal(coder.values_q4 / 16, np.asarray(values)[0])
    assert steps == CONFIG.steps and cost == pytest.approx(float(bits[0]), rel=0.02)


def test_released_integers_come_back_and_can_be_trained_on(config, frozen):
    again = FrozenProgressive.from_arrays(frozen.to_arrays(), config)
    thawed = FrozenProgressive.freeze(again.thaw(), config)
    for name, array in frozen.to_arrays().items():
        np.testing.assert_array_equal(thawed.to_arrays()[name], array, name)
    assert max(frozen.proof().values()) < 1


def test_every_scale_starts_at_the_deviation_of_its_channel():
    std = np.exp(np.random.default_rng(2).uniform(-1, 3, (2, 16)))
    start = gaussian_start(std, CONFIG)
    found = np.concatenate([start[f"bo{g}"][3, :, part.stop - part.start :] for g, part in enumerate(CONFIG.parts)], -1)
    np.testing.assert_allclose(gaussian.SCALE_FLOOR * np.exp(found), std, rtol=1e-5)
    even = gaussian_start(std, ProgressiveConfig(channels=16, groups=2, hidden=16, anchors=2))
    np.testing.assert_allclose(gaussian.SCALE_FLOOR * np.exp(even["bo"][0, 1, :, 8:]), std[:, 8:], rtol=1e-5)


def test_sizes_that_do_not_fit_are_refused():
    for sizes in ((4, 4), (0, 16), (8, 9)):
        with pytest.raises(ConfigError, match="group_channels"):
            ProgressiveConfig(channels=16, group_channels=sizes)
    with pytest.raises(ConfigError, match="context_channels"):
        ProgressiveConfig(channels=16, context_channels=17)
