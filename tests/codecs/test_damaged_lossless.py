"""Mutated and truncated lossless files: an error with a name or the samples, in bounded time."""

import dataclasses
import io
import time

import numpy as np
import pytest
from PIL import Image

from jaxicm.bits.container import Section, SectionKind, pack, unpack
from jaxicm.errors import FileFormatError

CONTAINER_FILES = 6_000
CODED_FILES = 200


@pytest.fixture(scope="module")
def files(tiny_lossless, photograph) -> list[bytes]:
    """Colour, converted colour, grey, alpha, 16 bits, and a simple payload."""
    picture, jpeg = photograph(24, 40), io.BytesIO()
    Image.fromarray(photograph(32, 40)).save(jpeg, "JPEG", quality=90)
    samples = [
        picture,
        np.asarray(Image.open(jpeg)),
        picture[..., 0],
        np.dstack([picture, picture[..., 0]]),
        picture.astype(np.uint16) * 200 + picture[::-1],
        np.zeros((20, 20), np.uint8),
    ]
    return [tiny_lossless.encode(x) for x in samples]


def outcome(codec, data: bytes) -> np.ndarray | FileFormatError:
    start = time.process_time()
    try:
        return codec.decode(data)
    except FileFormatError as error:
        assert "\n" not in str(error)
        return error
    finally:
        assert time.process_time() - start < 10


def test_mutated_files_are_errors_or_the_same_samples(tiny_lossless, files, mutate):
    rng, same = np.random.default_rng(0), 0
    expected = [tiny_lossless.decode(data) for data in files]
    for k in range(CONTAINER_FILES):
        found = outcome(tiny_lossless, mutate(files[k % len(files)], rng))
        if isinstance(found, np.ndarray):
            same += 1
            np.testing.assert_array_equal(found, expected[k % len(files)])
    assert same < CONTAINER_FILES / 100


def test_every_cut_file_is_an_error(tiny_lossless, files):
    for data in files:
        for size in range(0, len(data), 7):
            assert isinstance(outcome(tiny_lossless, data[:size]), FileFormatError)


def test_damage_behind_valid_checksums_is_an_error_or_samples(tiny_lossless, files, mutate):
    rng = np.random.default_rng(1)
    for k in range(CODED_FILES):
        header, sections = unpack(files[k % len(files)])
        payload = mutate(sections[0].payload, rng)
        if k % 3 == 0:
            height, width = (int(side) for side in rng.integers(1, 60, 2))
            header = dataclasses.replace(header, height=height, width=width)
        found = outcome(tiny_lossless, pack(header, [Section(SectionKind.LATENT, payload)]))
        if isinstance(found, np.ndarray):
            assert found.shape[:2] == (header.height, header.width)


@pytest.mark.parametrize("size", [(16384, 16384), (1, 16384), (16384, 1)], ids=str)
def test_a_tiny_payload_of_a_huge_picture_fails_early(tiny_lossless, files, size):
    for data in files[:4]:
        header, sections = unpack(data)
        header = dataclasses.replace(header, height=size[0], width=size[1])
        assert isinstance(outcome(tiny_lossless, pack(header, sections)), FileFormatError)
