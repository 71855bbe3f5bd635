"""The papers' networks (stride-8 autoencoder, recurrent progressive model) through the whole codec."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.codecs.image import ImageCodec
from jaxicm.entropy.recurrent_network import RecurrentConfig
from jaxicm.errors import ConfigError
from jaxicm.models.image import ImageConfig, initial_parameters
from jaxicm.models.res8 import Res8Config
from jaxicm.train.freeze import freeze_parameters

CONFIG = ImageConfig(
    res8=Res8Config(channels=8, width=8),
    recurrent=RecurrentConfig(channels=8, features=8, blocks=1),
    lambda_min=0.01,
    lambda_max=0.01,
)


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> ImageCodec:
    params = initial_parameters(CONFIG, 3)
    params["log_gain"] = jnp.full_like(params["log_gain"], 3.0)  # otherwise an untrained latent rounds to zero
    path = tmp_path_factory.mktemp("paper") / "paper.safetensors"
    freeze_parameters(
        jax.tree.map(np.asarray, params), CONFIG, path, profile="paper", trained_on="nothing", provenance={}
    )
    return ImageCodec.load(path)


@pytest.mark.parametrize("shape", [(40, 72, 3), (9, 20)])
def test_a_picture_survives_the_papers_codec(codec, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    result = codec.encode_detail(image, quality=50, verify=True, plain=False)
    decoded = codec.decode_detail(result.data)
    np.testing.assert_array_equal(decoded.values_q4, result.values_q4)
    assert decoded.image.shape == shape
    assert np.abs(result.values_q4).max() >= 16, "the latent must not be all zero for this test to mean anything"


def test_its_cost_is_described(codec):
    assert codec.info.steps == 27
    assert codec.info.kmac_per_pixel["decode"] > 0


def test_a_single_rate_model_must_not_promise_many():
    with pytest.raises(ConfigError, match="one rate"):
        ImageConfig(res8=CONFIG.res8, recurrent=CONFIG.recurrent)
    with pytest.raises(ConfigError, match="agree on channels, got 8 and 320"):
        ImageConfig(res8=CONFIG.res8)
