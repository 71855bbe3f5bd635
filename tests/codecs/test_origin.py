"""Pictures that were luma and chroma once: found, returned exactly, smaller files, damage refused."""

import io
from functools import partial

import numpy as np
import pytest
from PIL import Image

from jaxicm.codecs import origin
from jaxicm.codecs.origin import convert, find_origin
from jaxicm.errors import CorruptFile, FileFormatError
from jaxicm.ops.chroma import ENLARGINGS
from jaxicm.ops.ycc import PHOTO_CD


def through_jpeg(picture: np.ndarray, subsampling: int) -> np.ndarray:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=92, subsampling=subsampling)
    return np.asarray(Image.open(data))


def through_photo_cd(picture: np.ndarray) -> np.ndarray:
    """PhotoCD with chroma of half the size, the samples at even places."""
    real = (picture.astype(float) - PHOTO_CD.offset) @ np.linalg.inv(PHOTO_CD.matrix).T
    ycc = np.rint(real).astype(np.int64)
    half = np.moveaxis(ycc[::2, ::2, 1:], -1, 0)[:, ::-1, ::-1]
    cosited = next(enlarging for enlarging in ENLARGINGS if enlarging.name == "cosited")
    chroma = np.moveaxis(cosited.enlarge(half)[:, ::-1, ::-1], 0, -1)
    return PHOTO_CD.to_rgb(np.concatenate([ycc[..., :1], chroma], axis=2)).astype(np.uint8)


def back(found: origin.Origin) -> np.ndarray:
    return convert(found.number, origin.mirror(found.ycc, found.mirrored), found.exceptions)


@pytest.mark.parametrize("subsampling", [0, 2])
def test_decoded_jpeg_is_found(photograph, subsampling):
    picture = through_jpeg(photograph(48, 64), subsampling)
    found = find_origin(picture)
    assert found is not None and origin.CONVERSIONS[found.number - 1].name == "JPEG"
    assert (found.half is not None) == (subsampling == 2)
    np.testing.assert_array_equal(back(found), picture)


@pytest.mark.parametrize("turns", range(4))
def test_photo_cd_is_found(photograph, turns):
    picture = np.ascontiguousarray(np.rot90(through_photo_cd(photograph(48, 64)), turns))
    found = find_origin(picture)
    assert found is not None and origin.CONVERSIONS[found.number - 1].name == "PhotoCD"
    assert found.enlarging and ENLARGINGS[found.enlarging - 1].name == "cosited"
    np.testing.assert_array_equal(back(found), picture)


def test_exceptions_come_back(photograph):
    picture = through_jpeg(photograph(64, 64), 0).copy()
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 64, (2, 20))
    picture[rows, columns] = rng.integers(0, 256, (20, 3))
    found = find_origin(picture)
    assert found is not None and len(found.exceptions) > 40
    np.testing.assert_array_equal(back(found), picture)


def test_other_pictures_have_no_origin(photograph):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    assert find_origin(noise) is None
    assert find_origin(photograph(48, 64)) is None
    assert find_origin(np.repeat(photograph(16, 16)[..., :1], 3, axis=2)) is None


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 47), (64, 64)])
@pytest.mark.parametrize("through", [through_photo_cd, *(partial(through_jpeg, subsampling=k) for k in range(3))])
def test_files_come_back(tiny_lossless, photograph, size, through):
    picture = through(photograph(64, 64))[: size[0], : size[1]]
    for samples in (picture, np.dstack([picture, picture[..., 0]])):
        np.testing.assert_array_equal(tiny_lossless.decode(tiny_lossless.encode(samples)), samples)


def test_the_origin_shortens_files(tiny_lossless, photograph):
    picture = through_photo_cd(photograph(64, 64))
    known = tiny_lossless.encode_detail(picture)
    unknown = tiny_lossless.encode_detail(picture, keep_rgb=True)
    assert known.origin == "PhotoCD" and unknown.origin is None
    assert len(known.data) < 0.8 * len(unknown.data)
    np.testing.assert_array_equal(tiny_lossless.decode(unknown.data), picture)


def test_damaged_exceptions_are_refused(photograph):
    found = find_origin(through_photo_cd(photograph(48, 64)))
    assert found is not None
    with pytest.raises(CorruptFile):
        convert(found.number, found.ycc + 300, found.exceptions)
    rng = np.random.default_rng(0)
    for size in range(len(found.exceptions)):
        with pytest.raises(FileFormatError):
            convert(found.number, found.ycc, found.exceptions[:size])
    for _ in range(200):
        data = bytearray(found.exceptions)
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            convert(found.number, found.ycc, bytes(data))
        except FileFormatError as error:
            assert "\n" not in str(error)
