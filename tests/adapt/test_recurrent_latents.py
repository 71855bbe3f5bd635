"""Latents of the papers' recurrent model, adapted to a picture: what is measured is what the file holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.adapt.image import ImageArrays
from jaxicm.adapt.latents import distortion_bits
from jaxicm.adapt.rounding import coded, costs, relaxed
from jaxicm.adapt.stage import Stage
from jaxicm.codecs import latent_adapter
from jaxicm.codecs.adaptation import OBJECTIVES
from jaxicm.codecs.image import ImageCodec
from jaxicm.entropy import gaussian
from jaxicm.entropy.recurrent_coder import FrozenRecurrent
from jaxicm.entropy.recurrent_network import RecurrentConfig
from jaxicm.entropy.recurrent_rate import code_grid
from jaxicm.models.image import ImageConfig, initial_parameters
from jaxicm.models.res8 import Res8Config
from jaxicm.train.freeze import freeze_parameters

SIZES = RecurrentConfig(channels=4, features=4, blocks=0)
CONFIG = ImageConfig(res8=Res8Config(channels=4, width=4), recurrent=SIZES, lambda_min=0.001, lambda_max=0.001)


@pytest.fixture(scope="module")
def params() -> dict:
    params = jax.tree.map(np.asarray, initial_parameters(CONFIG, 3))
    # Latents that do not round to zero, and pictures that are not all clipped.
    return params | {name: np.full_like(params[name], v) for name, v in (("log_gain", 3.0), ("log_step", -3.0))}


@pytest.fixture(scope="module")
def codec(params, tmp_path_factory) -> ImageCodec:
    path = tmp_path_factory.mktemp("paper") / "paper.safetensors"
    freeze_parameters(params, CONFIG, path, profile="paper", trained_on="nothing", provenance={})
    return ImageCodec.load(path)


@pytest.fixture(scope="module")
def model(params) -> FrozenRecurrent:
    return FrozenRecurrent.freeze(params["entropy"], SIZES)


@pytest.mark.parametrize(
    ("size", "effort"),
    [((64, 96), 1), ((70, 51), (Stage(method="noise", iterations=4, learning_rate=0.1, check_every=2),))],
)
def test_the_file_holds_what_was_measured(codec, photograph, monkeypatch, size, effort):
    seen = []

    def spy(y, problem, networks, *rest, **options):
        seen.append((problem, networks, real(y, problem, networks, *rest, **options)))
        return seen[-1][-1]

    real = latent_adapter.adapt
    monkeypatch.setattr(latent_adapter, "adapt", spy)
    result = codec.encode_detail(photograph(*size), effort=effort, verify=True)
    [(problem, networks, outcome)] = seen
    assert result.adapted.cost < result.adapted.start, "the adapted file must be taken for this test to mean anything"
    np.testing.assert_array_equal(outcome.values[0] * 16, result.values_q4)
    assert np.abs(result.values_q4).max() >= 16

    whole = [-(-side // 8) * 8 for side in size]
    assert problem.inside.all()
    assert problem.x.shape == (1, *whole, 3)
    assert problem.shown.sum() == size[0] * size[1]
    shown = np.floor(np.clip(networks.decode(problem.arrays, jnp.asarray(outcome.values)), 0, 1) * 255 + 0.5)
    assert shown.shape == (1, *whole, 3)
    # Another compilation may round the rare pixel that lies between two values to the other one.
    away = np.abs(shown[0, : size[0], : size[1]] - codec.decode(result.data))
    assert away.max() <= 1
    assert away.mean() < 1e-3
    objective = OBJECTIVES["mse"]
    bits = outcome.cost - np.asarray(distortion_bits(jnp.asarray(shown) / 255, problem, objective.function))
    assert bits[0] == pytest.approx(result.estimated_bits, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(9, 7), (64, 96), (64, 100)])  # smaller than a window of the decoder, one, and two
def test_a_picture_is_shown_as_the_decoder_shows_it(codec, size):
    values_q4 = np.random.default_rng(0).integers(-160, 161, (*size, 4)).astype(np.int16)
    decoded = codec._transforms.synthesize(values_q4, 50.0, (8 * size[0], 8 * size[1]))
    arrays = ImageArrays(codec._transforms.parameters, None, jnp.float32(50.0))
    decode = jax.jit(codec._adapter._networks(*size).decode)
    found = np.floor(np.clip(decode(arrays, values_q4[None].astype(np.float32) / 16), 0, 1) * 255 + 0.5)[0]
    away = np.abs(found - decoded)
    assert away.max() <= 1
    assert away.mean() < 1e-3


def test_the_coarsest_grid_costs_what_the_tables_of_its_channels_say(model):
    tables = model.tables()
    # A latent of one row has no other grid.
    y = np.random.default_rng(1).normal(0, 4, (1, 1, 3, 4)).astype(np.float32)
    channel = np.tile(np.arange(4), 3)

    def cost(symbols: np.ndarray) -> np.ndarray:
        return tables.costs(symbols.reshape(-1).astype(np.int32), gaussian.SCALE_COUNT + channel)

    checker = jnp.asarray(costs(tables))
    values, bits = code_grid(model.layers(), SIZES, jnp.asarray(y), coded(checker, gaussian.offset_rows()))
    np.testing.assert_array_equal(values, np.round(y))
    assert float(bits[0]) == pytest.approx(cost(np.round(y)).sum(), rel=1e-5)

    noisy = relaxed("noise", checker, jnp.zeros(()), jnp.ones(()), jnp.zeros(()))
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, y.shape).astype(np.float32)
    values, bits = code_grid(model.layers(), SIZES, jnp.asarray(y), noisy, noise=jnp.asarray(noise))
    np.testing.assert_array_equal(values, y + noise)
    part = (y + noise - np.floor(y + noise)).reshape(-1)
    expected = (1 - part) * cost(np.floor(y + noise)) + part * cost(np.floor(y + noise) + 1)
    assert float(bits[0]) == pytest.approx(expected.sum(), rel=1e-4)


@pytest.mark.parametrize("flows", [False, True])
def test_the_gradient_through_the_context_can_be_stopped(model, flows):
    def predicted(y, mean, index, noise):
        return y, mean**2 + index

    def run(y):
        values, bits = code_grid(model.layers(), SIZES, y, predicted, context_gradient=flows)
        return bits.sum(), values.sum()

    y = jnp.asarray(np.random.default_rng(3).normal(0, 3, (1, 4, 5, 4)), jnp.float32)
    of_bits, of_values = jax.jit(jax.jacrev(run))(y)
    np.testing.assert_array_equal(of_values, np.ones(y.shape))
    # Every value of the two coarser grids is read by a later step.
    assert (np.asarray(of_bits)[:, 1::2, 1::2] != 0).all() if flows else not np.asarray(of_bits).any()
