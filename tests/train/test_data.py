"""Pictures and crops: selection, decoding, determinism, and crops that really are parts of the pictures."""

from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import ConfigError
from jaxicm.train.data import CropSource, central_crops, load_pictures, make_source, matches, reduced, select_files
from jaxicm.train.resident import resident_crops


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


def test_broken_pictures_are_reported_and_skipped(picture_folder: Path, tmp_path: Path):
    good = picture_folder / "p0003.png"
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "grey.png")
    remarks: list[str] = []
    pictures = load_pictures([tmp_path / "cut.png", good, tmp_path / "text.jpg", tmp_path / "grey.png"], remarks.append)
    np.testing.assert_array_equal(pictures[0], np.asarray(Image.open(good)))
    np.testing.assert_array_equal(pictures[1][..., 2], np.arange(64).reshape(8, 8))
    assert len(pictures) == len(remarks) == 2
    assert "cut.png" in remarks[0] and "text.jpg" in remarks[1]


def test_an_array_of_pictures_counts_as_a_folder(tmp_path: Path):
    array = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), np.uint8)
    np.save(tmp_path / "good.npy", array)
    np.save(tmp_path / "bad.npy", array.astype(np.float32))
    files = select_files([str(tmp_path / "good.npy"), str(tmp_path / "bad.npy")], ["*.png"])
    remarks: list[str] = []
    np.testing.assert_array_equal(load_pictures(files, remarks.append), array)
    assert len(remarks) == 1 and "float32" in remarks[0]


def coordinates(height: int, width: int, number: int) -> np.ndarray:
    """Draw a picture whose samples are its row, its column and its number."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=-1).astype(np.uint8)


PICTURES = (coordinates(20, 30, 0), coordinates(25, 16, 1), coordinates(40, 40, 2))


def check_crops(crops: np.ndarray, crop: int) -> set[tuple[bool, bool]]:
    """Check that each crop is a mirrored or transposed part of a picture; return which variations occurred."""
    found = set()
    for item in crops.astype(int):
        swapped = item[0, 0, 0] == item[1, 0, 0]  # the row number stays along the first axis: transposed
        upright = item.swapaxes(0, 1) if swapped else item
        mirrored = upright[0, 0, 1] > upright[0, 1, 1]
        upright = upright[:, ::-1] if mirrored else upright
        top, left, number = upright[0, 0]
        expected = PICTURES[number][top : top + crop, left : left + crop]
        np.testing.assert_array_equal(upright, expected)
        found.add((bool(mirrored), bool(swapped)))
    return found


def test_crops_are_parts_of_the_pictures_in_all_variations():
    source = CropSource(PICTURES, crop=16)
    crops = np.concatenate([source.batch(step, 8) for step in range(10)])
    assert len(check_crops(crops, 16)) == 4
    assert set(crops[:, 0, 0, 2]) == {0, 1, 2}
    plain = CropSource(PICTURES, crop=16, flip=False, transpose=False)
    assert check_crops(plain.batch(0, 40), 16) == {(False, False)}


def test_crops_depend_on_seed_and_step_alone():
    source = CropSource(PICTURES, crop=8, seed=3)
    first = source.batch(5, 4)
    source.batch(6, 4)
    np.testing.assert_array_equal(source.batch(5, 4), first)
    assert not np.array_equal(source.batch(6, 4), first)
    assert not np.array_equal(CropSource(PICTURES, crop=8, seed=4).batch(5, 4), first)


def test_resident_crops_are_parts_of_the_pictures_in_all_variations():
    stack, sizes = CropSource(PICTURES, crop=16).stack()
    draw = jax.jit(resident_crops, static_argnames=("count", "crop", "flip", "transpose"))
    crops = np.asarray(draw(stack, sizes, jax.random.key(0), count=120, crop=16))
    assert len(check_crops(crops, 16)) == 4
    assert set(crops[:, 0, 0, 2]) == {0, 1, 2}
    plain = np.asarray(draw(stack, sizes, jax.random.key(0), count=40, crop=16, flip=False, transpose=False))
    assert check_crops(plain, 16) == {(False, False)}


def test_a_stack_that_would_be_mostly_empty_is_refused():
    pictures = (coordinates(8, 200, 0), coordinates(200, 8, 1), *(coordinates(8, 8, 2),) * 50)
    with pytest.raises(ConfigError, match="without --resident"):
        CropSource(pictures, crop=8).stack()


def test_reduced_copies_are_made_once_and_small_pictures_left_out():
    remarks: list[str] = []
    source = make_source(PICTURES, crop=20, scales=(1.0, 0.5), warn=remarks.append)
    assert [picture.shape[:2] for picture in source.pictures] == [(20, 30), (40, 40), (20, 20)]
    assert source.originals == 2
    assert remarks == ["3 of 6 pictures (reduced copies counted) are smaller than the crop"]
    flat = np.full((11, 20, 3), 77, np.uint8)
    np.testing.assert_array_equal(reduced(flat, 0.6), np.full((7, 12, 3), 77, np.uint8))


def test_no_picture_is_an_error_that_says_why():
    with pytest.raises(ConfigError, match="there are none"):
        make_source([], crop=8)
    with pytest.raises(ConfigError, match="all 3 are smaller than the crop of 64"):
        make_source(PICTURES, crop=64)


def test_central_crops_leave_out_small_pictures():
    crops = central_crops(PICTURES, 20)
    np.testing.assert_array_equal(crops[0], PICTURES[0][:, 5:25])
    np.testing.assert_array_equal(crops[1], PICTURES[2][10:30, 10:30])
    assert central_crops([], 20).shape == (0, 20, 20, 3)
