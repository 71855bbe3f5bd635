"""Crops in other light: the map itself, and the two ways by which a run takes such crops."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.errors import ConfigError
from jaxicm.train.data_config import DataConfig
from jaxicm.train.resident import resident_crops, stack_pictures
from jaxicm.train.sampling import CropSampler
from jaxicm.train.tone import LEAST_CONTRAST, SATURATION, draw_tone, toned

NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


class OnePicture(NamedTuple):
    """A source of one picture."""

    fingerprint: str = "one"

    def __len__(self) -> int:
        return 1

    def encoded(self, index: int) -> None:
        del index

    def picture(self, index: int) -> np.ndarray:
        del index
        return NOISE

    def describe(self, index: int) -> str:
        return f"picture {index}"


def crop_of(share: float, number: int = 0) -> np.ndarray:
    data = DataConfig(flip=False, transpose=False, toned=share)
    return CropSampler((OnePicture(),), (1.0,), data, 32, 0).sample(number).crop


def test_contrast_and_saturation_of_one_change_nothing():
    np.testing.assert_array_equal(toned(NOISE.astype(np.float32), 1.0, 1.0, 0.7), NOISE)


def test_levels_are_moved_as_their_names_say():
    crop = np.array([[100.0, 100.0, 100.0], [200.0, 100.0, 50.0]])
    np.testing.assert_array_equal(toned(crop, 0.5, 1.0, 0.0), [[50, 50, 50], [100, 50, 25]])
    np.testing.assert_array_equal(toned(crop, 0.5, 1.0, 1.0)[0], [178, 178, 178])  # 50 + 127.5, to even
    grey = toned(crop, 1.0, 0.0, 0.0)
    np.testing.assert_array_equal(grey[0], crop[0])
    np.testing.assert_array_equal(grey[1], [124, 124, 124])  # 0.299 200 + 0.587 100 + 0.114 50 = 124.2
    assert toned(np.array([[255.0, 0.0, 0.0]]), 1.0, 1.2, 0.0).tolist() == [[255, 0, 0]]  # clipped, not wrapped


def test_numbers_are_spread_over_the_ranges():
    for position, contrast, saturation in (
        (0.0, LEAST_CONTRAST, SATURATION[0]),
        (1.0, 1.0, SATURATION[1]),
    ):
        assert draw_tone(np.full(3, position)) == pytest.approx((contrast, saturation, position))


def test_device_and_host_compute_the_same_levels():
    position = np.random.default_rng(1).random((3, 20, 1, 1, 1), np.float32)
    crops = np.stack([NOISE] * 20).astype(np.float32)
    host = toned(crops, *draw_tone(position))
    device = np.asarray(toned(jnp.asarray(crops), *draw_tone(jnp.asarray(position))))
    assert np.abs(host - device).max() <= 1  # a sum on the border of two levels
    assert np.mean(host != device) < 1e-3


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_resident_crops_are_toned_in_the_share_that_is_asked_for(share: float):
    stack, sizes = map(jnp.asarray, stack_pictures([NOISE]))
    key = jax.random.key(0)
    plain = np.asarray(resident_crops(stack, sizes, key, count=200, crop=32))
    varied = np.asarray(resident_crops(stack, sizes, key, count=200, crop=32, toned=share))
    changed = np.any(plain != varied, axis=(1, 2, 3))
    assert abs(changed.mean() - share) < 0.1
    assert varied.dtype == np.uint8
    spread = varied[changed].std(axis=(1, 2, 3)) / plain[changed].std(axis=(1, 2, 3))
    assert np.all(spread < 1.2)


def test_sampled_crops_are_toned_in_the_share_that_is_asked_for():
    same = [np.array_equal(crop_of(0.5, number), crop_of(0.0, number)) for number in range(60)]
    assert 0.3 < np.mean(same) < 0.7
    np.testing.assert_array_equal(crop_of(0.5, 7), crop_of(0.5, 7))
    assert crop_of(1.0).dtype == np.uint8


def test_a_run_with_tones_is_another_run_and_one_without_is_none():
    settings = [CropSampler((OnePicture(),), (1.0,), DataConfig(toned=share), 32, 0).settings() for share in (0.0, 0.5)]
    assert "data.toned" not in settings[0]
    assert settings[1]["data.toned"] == 0.5


def test_a_share_outside_its_range_is_refused():
    with pytest.raises(ConfigError, match="toned"):
        DataConfig(toned=1.5)
