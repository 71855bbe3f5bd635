"""The lossless model with the network of the paper."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy.masked import MaskedConfig
from jaxicm.entropy.masked_coder import FrozenMasked
from jaxicm.entropy.pixel_frozen import FrozenPixels
from jaxicm.entropy.pixels import PixelConfig
from jaxicm.errors import ConfigError
from jaxicm.models.lossless import LosslessConfig, LosslessModel, initial_parameters
from jaxicm.models.lossless_frozen import freeze_model, model_from_arrays

TINY = MaskedConfig(features=4, blocks=1, mixtures=2, scales=2)
PAPER = LosslessConfig(colour="none", masked=TINY)
OURS = LosslessConfig(PixelConfig(scales=1, taps=12, hidden=8, layers=1, head=4, mixtures=1))


@pytest.fixture(scope="module")
def params() -> dict:
    return initial_parameters(PAPER, 0)


def test_grey_pictures_cost_the_first_channel_only_and_see_no_other(params):
    x = np.random.default_rng(0).integers(0, 256, (2, 8, 12, 3), np.uint8)
    x[1, ..., 0] = x[0, ..., 0]
    bits = LosslessModel(PAPER).apply({"params": params}, jnp.asarray(x), jnp.array([True, True]))
    assert isinstance(bits, jax.Array) and bits.shape == (2, 2, 3)
    np.testing.assert_array_equal(bits[0], bits[1])
    assert np.all(bits[..., 0] > 0) and not np.any(bits[..., 1:])


def test_steps_count_scales_positions_and_channels():
    assert PAPER.steps == 2 * 3 * 3 and PAPER.scales == 2
    wide = dataclasses.replace(PAPER, masked=dataclasses.replace(TINY, cell="4x4", kind="entropy", scales=4))
    assert wide.steps == 4 * 12 * 3
    assert OURS.steps == 3 * 3


def test_colours_stay_as_they_are():
    with pytest.raises(ConfigError, match="colour: found 'ycocg', must be none with the network of the paper"):
        LosslessConfig(masked=TINY)


@pytest.mark.parametrize(("config", "kind"), [(PAPER, FrozenMasked), (OURS, FrozenPixels)])
def test_the_frozen_model_is_that_of_the_config(config, kind):
    frozen = freeze_model(jax.tree.map(np.asarray, initial_parameters(config, 1)), config)
    again = model_from_arrays(frozen.to_arrays(), config)
    assert type(frozen) is type(again) is kind
    for name, array in frozen.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name])
