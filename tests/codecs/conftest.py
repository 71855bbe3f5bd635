"""A tiny lossless codec and damage to files for the tests of this folder."""

from collections.abc import Callable

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


@pytest.fixture(scope="session")
def mutate() -> Callable[..., bytes]:
    """Return the function that damages a file."""
    return _mutate


def _mutate(data: bytes, rng: np.random.Generator, most: int = 3) -> bytes:
    """Change, delete, insert, repeat or cut off bytes in up to `most` places."""
    damaged = bytearray(data)
    for _ in range(rng.integers(1, most + 1)):
        at, size = int(rng.integers(len(damaged) + 1)), int(rng.integers(1, 9))
        match int(rng.integers(6)):
            case 0:
                del damaged[at : at + size]
            case 1:
                damaged[at:at] = rng.bytes(size)
            case 2:
                damaged[at : at + size] = rng.bytes(size)
            case 3 if at < len(damaged):
                damaged[at] ^= 1 << int(rng.integers(8))
            case 4:
                damaged[at:at] = damaged[at : at + size]
            case _:
                del damaged[at:]
    return bytes(damaged)
