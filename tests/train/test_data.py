"""Which files are taken, and the squares that are measured."""

from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import ConfigError
from jaxicm.train.data import central_crops, matches, select_files


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("data/photos-b/p0024.jpg", "photos-b/*%12", True),
        ("data/photos-b/p0025.jpg", "photos-b/*%12", False),
        ("data/photos-a/p0024.jpg", "photos-b/*%12", False),
        ("data/photos-b/p0000.jpg", "*%12", True),
        ("photo.jpg", "*%1", False),
        ("photo.jpg", "*", True),
        ("a/b/photo.JPG", "b/*.JPG", True),
        ("a/b/photo.jpg", "photo.*", True),
    ],
)
def test_a_pattern_is_a_glob_and_a_divisor(path: str, pattern: str, fits: bool):
    assert matches(Path(path), pattern) is fits


@pytest.mark.parametrize("pattern", ["*%x", "*%0"])
def test_a_divisor_that_is_no_number_is_an_error(pattern: str):
    with pytest.raises(ConfigError, match="whole number"):
        matches(Path("p1.jpg"), pattern)


def test_files_are_selected_by_patterns(picture_folder: Path):
    names = [path.name for path in select_files([str(picture_folder)], ["*"], ["*%3"])]
    assert names == ["p0001.png", "p0002.png", "p0004.png", "p0005.png", "p0007.png"]
    with pytest.raises(ConfigError, match="no such folder"):
        select_files([str(picture_folder / "none")], ["*"])


def test_central_crops_leave_out_small_pictures():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in ((20, 30), (25, 16), (40, 40))]
    crops = central_crops(pictures, 20)
    np.testing.assert_array_equal(crops[0], pictures[0][:, 5:25])
    np.testing.assert_array_equal(crops[1], pictures[2][10:30, 10:30])
    assert central_crops([], 20).shape == (0, 20, 20, 3)
