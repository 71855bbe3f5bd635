"""Distortions against the measures of decoded pictures."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.evaluate import metrics
from jaxicm.objectives.distortion import MS_SSIM_EXCHANGE, RGB_TO_YUV, distortion


@pytest.fixture(scope="module")
def pair(photograph: Callable[..., np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    original = photograph(48, 40)
    return original, np.clip(original + rng.normal(0, 9, original.shape), 0, 255).astype(np.uint8)


def measured(pair: tuple[np.ndarray, np.ndarray], kind: str) -> float:
    x, y = (jnp.asarray(picture[None], jnp.float32) / 255 for picture in pair)
    return float(distortion(x, y, kind)[0])  # type: ignore[arg-type]


def test_mse_is_that_of_psnr(pair: tuple[np.ndarray, np.ndarray]):
    assert -10 * np.log10(measured(pair, "mse")) == pytest.approx(metrics.psnr(*pair), abs=1e-4)


def test_ms_ssim_is_in_units_of_squared_error(pair: tuple[np.ndarray, np.ndarray]):
    assert measured(pair, "ms-ssim") == pytest.approx(MS_SSIM_EXCHANGE * (1 - metrics.ms_ssim(*pair)), rel=1e-3)
    assert pytest.approx(8.73, rel=0.01) == 0.0067 * 255**2 * MS_SSIM_EXCHANGE  # CompressAI's pair of quality 3


def test_yuv_weighs_the_planes_6_1_1():
    # Colours with known Y, U, V of BT.709: grey has no chroma, and pure blue has U = 1/2.
    np.testing.assert_allclose(np.ones(3) @ RGB_TO_YUV, [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(np.array([0, 0, 1]) @ RGB_TO_YUV, [0.0722, 0.5, -0.0722 / 1.5748], atol=1e-6)
    black = jnp.zeros((1, 4, 4, 3))
    grey = jnp.full((1, 4, 4, 3), 0.5)
    assert float(distortion(black, grey, "yuv")[0]) == pytest.approx(0.25 * 6 / 8)
    blue = black.at[..., 2].set(1.0)
    expected = (6 * 0.0722**2 + 0.25 + (0.0722 / 1.5748) ** 2) / 8
    assert float(distortion(black, blue, "yuv")[0]) == pytest.approx(expected, rel=1e-5)
