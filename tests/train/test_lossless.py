"""Training the lossless codec: its loss, its variations, one step that learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy.pixels import PixelConfig
from jaxicm.errors import ConfigError
from jaxicm.models.lossless import LosslessConfig, initial_parameters
from jaxicm.train.lossless import LosslessTraining, lossless_loss, subsample_chroma

compute = jax.jit(lossless_loss, static_argnames=("settings", "vary"))
CONFIG = LosslessConfig(PixelConfig(scales=4, taps=12, hidden=8, layers=1, head=8, mixtures=1, experts=2))


def test_the_loss_is_bits_a_sample(photograph):
    settings = LosslessTraining(CONFIG, scales=2)
    crops = jnp.asarray(np.stack([photograph(32, 32, seed) for seed in range(2)]))
    params = initial_parameters(CONFIG, 0)
    terms, shown = compute(settings, params, crops, jax.random.key(0), vary=False)
    np.testing.assert_allclose(terms.loss * 3, terms.bpp, rtol=1e-6)
    np.testing.assert_allclose(shown * 255, crops, atol=1e-4)
    assert 1 < float(terms.loss.mean()) < 8


@pytest.mark.slow
def test_grey_crops_cost_one_channel(photograph):
    crops = jnp.asarray(photograph(32, 32))[None]
    params = initial_parameters(CONFIG, 0)
    colour, grey = (
        compute(LosslessTraining(CONFIG, 2, share, 0.0), params, crops, jax.random.key(0), vary=True)[0]
        for share in (0.0, 1.0)
    )
    assert float(grey.bpp[0]) < float(colour.bpp[0])
    np.testing.assert_allclose(grey.loss, grey.bpp)


def test_subsampled_chroma_keeps_luma_and_loses_detail():
    rng = np.random.default_rng(0)
    x = rng.integers(60, 190, (1, 16, 16, 3)).astype(np.uint8)
    y = np.asarray(subsample_chroma(jnp.asarray(x))).astype(float)
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs(x @ luma - y @ luma).max() < 2
    difference = y[..., 0] - y[..., 2]
    assert (
        np.abs(np.diff(difference, axis=2)).mean()
        < 0.4 * np.abs(np.diff(x[..., 0] - x[..., 2].astype(float), axis=2)).mean()
    )
    flat = np.full((1, 8, 8, 3), 77, np.uint8)
    np.testing.assert_array_equal(subsample_chroma(jnp.asarray(flat)), flat)


@pytest.mark.parametrize("change", [{"grey_share": 2.0}, {"subsampled_share": -0.1}, {"scales": 9}])
def test_settings_out_of_range_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        LosslessTraining(CONFIG, **change)
