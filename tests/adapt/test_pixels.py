"""Fitting the pixel model to a picture."""

import jax
import numpy as np
import pytest

from jaxicm.adapt import pixels
from jaxicm.entropy.least_squares import FitConfig
from jaxicm.entropy.pixel_frozen import FrozenPixels
from jaxicm.entropy.pixel_update import adapted
from jaxicm.entropy.pixels import PixelConfig
from jaxicm.models.lossless import LosslessConfig, initial_parameters
from jaxicm.ops.colour import forward

CONFIG = LosslessConfig(
    # Without predictions fitted while decoding, whose training step takes a minute and a half to compile.
    PixelConfig(scales=4, taps=12, hidden=8, layers=1, head=8, mixtures=1, experts=2, fit=FitConfig(scales=0))
)


def samples(picture: np.ndarray) -> np.ndarray:
    return forward(picture.astype(np.int32), "ycocg", np)


def model() -> FrozenPixels:
    params = jax.tree.map(np.asarray, initial_parameters(CONFIG, 0)["pixels"])
    return FrozenPixels.freeze(params, CONFIG.pixels)


def test_the_code_of_the_picture_gets_shorter(photograph):
    told = []
    update = pixels.fit(model(), samples(photograph(136, 128)), 12, progress=lambda *line: told.append(line))
    assert update is not None and update.keys() == adapted(CONFIG.pixels, 3).keys()
    assert told[-1][:2] == (12, 12)
    assert told[-1][2] < told[0][2]
    model().updated(update)  # proves the bounds


@pytest.mark.slow
def test_grey_pictures_are_fitted(photograph):
    update = pixels.fit(model(), samples(photograph(128, 128))[..., :1], 3)
    assert update is not None and update.keys() == adapted(CONFIG.pixels, 1).keys()


@pytest.mark.slow
def test_converted_pictures_are_fitted(photograph):
    told = []
    pixels.fit(model(), samples(photograph(128, 128)), 3, colour=None, progress=lambda *line: told.append(line))
    assert len(told) == 3


def test_small_pictures_and_no_steps_change_nothing(photograph):
    assert pixels.fit(model(), samples(photograph(127, 300)), 5) is None
    assert pixels.fit(model(), samples(photograph(128, 128)), 0) is None
    assert pixels.fit(model(), 16 * samples(photograph(128, 128)), 5, depth=12) is None
