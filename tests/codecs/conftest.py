"""A tiny lossless codec for the tests of this folder."""

import jax
import numpy as np
import pytest

from jaxicm.codecs.lossless import LosslessCodec
from jaxicm.entropy.pixels import PixelConfig
from jaxicm.models.lossless import LosslessConfig, initial_parameters
from jaxicm.train.freeze import freeze_parameters


@pytest.fixture(scope="session")
def tiny_lossless(private_folders) -> LosslessCodec:
    """A codec with random parameters, installed under the name "tiny_lossless"."""
    config = LosslessConfig(PixelConfig(scales=4, taps=12, hidden=16, layers=2, head=16, mixtures=2, experts=2))
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda a: np.asarray(a) + rng.normal(0, 0.02, a.shape).astype(np.float32), initial_parameters(config, 0)
    )
    path = private_folders / "models" / "tiny_lossless.safetensors"
    freeze_parameters(params, config, path, profile="tiny", trained_on="nothing", provenance={})
    return LosslessCodec.load(path)
