"""Mutated and truncated files: an error with a name or a picture, in bounded time and memory."""

import dataclasses
import resource
import time

import numpy as np
import pytest

from jaxicm.bits.container import Header, Section, SectionKind, pack, unpack
from jaxicm.errors import FileFormatError

SIZE = (24, 40)
CONTAINER_FILES = 19_000
CODED_FILES = 1_000


@pytest.fixture(scope="module")
def files(tiny_codec, photograph) -> list[bytes]:
    """Files of some qualities, one grey, one with a profile; the functions they need are compiled."""
    picture = photograph(*SIZE)
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    made = [tiny_codec.encode(picture, quality=q) for q in (1, 50, 100)]
    made += [
        tiny_codec.encode(noise, quality=100),
        tiny_codec.encode(picture[..., 0]),
        tiny_codec.encode(picture, icc=b"i"),
    ]
    for data in made:
        tiny_codec.decode(data)
    return made


def outcome(codec, data: bytes, limit_s: float = 10.0) -> np.ndarray | FileFormatError:
    """Decode a file that may be damaged; anything but a picture or an error of ours fails the test."""
    start = time.process_time()
    try:
        result = codec.decode_detail(data)
    except FileFormatError as error:
        assert "\n" not in str(error)
        return error
    finally:
        assert time.process_time() - start < limit_s
    return result.image


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def test_mutated_files_are_errors_or_the_same_picture(tiny_codec, files, mutate):
    rng, same = np.random.default_rng(0), 0
    pictures = [tiny_codec.decode(data) for data in files]
    start, memory = time.process_time(), peak_bytes()
    for k in range(CONTAINER_FILES):
        found = outcome(tiny_codec, mutate(files[k % len(files)], rng))
        if isinstance(found, np.ndarray):
            same += 1
            np.testing.assert_array_equal(found, pictures[k % len(files)])
    # A mutation can undo itself (an insertion cut off); no other gets past the checksums.
    assert same < CONTAINER_FILES / 100
    assert time.process_time() - start < 120
    assert peak_bytes() - memory < 100 << 20


def test_every_cut_file_is_an_error(tiny_codec, files):
    for data in files:
        for size in range(len(data)):
            assert isinstance(outcome(tiny_codec, data[:size]), FileFormatError)


def repack(data: bytes, rng: np.random.Generator, mutate) -> bytes:
    """Damage the payload, the header or both, with checksums that hold, so that the decoder itself is reached."""
    header, sections = unpack(data)
    what = int(rng.integers(1, 8))
    payload = sections[0].payload
    if what & 1:
        payload = mutate(payload, rng) if rng.random() < 0.8 else payload[:1] + rng.bytes(len(payload) - 1)
    if what & 2:
        header = dataclasses.replace(header, quality_q4=int(rng.integers(16, 1601)), channels=int(rng.choice([1, 3])))
    if what & 4:
        height, width = (int(s) for s in rng.integers(1, 120, 2))
        header = dataclasses.replace(header, height=height, width=width)
    return pack(header, [Section(SectionKind.LATENT, payload), *sections[1:]])


def test_damage_behind_valid_checksums_is_an_error_or_a_picture(tiny_codec, files, mutate):
    rng, pictures = np.random.default_rng(1), 0
    memory = peak_bytes()
    for k in range(CODED_FILES):
        data = repack(files[k % len(files)], rng, mutate)
        header, _ = unpack(data)
        found = outcome(tiny_codec, data)
        if isinstance(found, np.ndarray):
            pictures += 1
            assert found.dtype == np.uint8
            assert found.shape == (header.height, header.width) + ((3,) if header.channels == 3 else ())
    # Damage that leaves a valid stream (a quality or a size of the same latent grid) is rare, but not never.
    assert 0 < pictures < CODED_FILES / 2
    assert peak_bytes() - memory < 300 << 20


@pytest.mark.slow
def test_much_more_damage_behind_valid_checksums(tiny_codec, files, mutate):
    rng = np.random.default_rng(2)
    for k in range(20 * CODED_FILES):
        outcome(tiny_codec, repack(files[k % len(files)], rng, mutate))


HUGE = [(16384, 16384), (1, 16384), (16384, 1), (4096, 9000)]


@pytest.mark.parametrize("size", HUGE, ids=str)
def test_a_tiny_payload_of_a_huge_picture_fails_early(tiny_codec, files, size, mutate):
    memory = peak_bytes()
    rng = np.random.default_rng(3)
    for data in files[:4]:
        header, sections = unpack(data)
        header = dataclasses.replace(header, height=size[0], width=size[1])
        payloads = [sections[0].payload, b"\0\0\0", *(mutate(sections[0].payload, rng, 1) for _ in range(3))]
        for payload in payloads:
            data = pack(header, [Section(SectionKind.LATENT, payload)])
            assert isinstance(outcome(tiny_codec, data), FileFormatError)
    assert peak_bytes() - memory < 600 << 20


def test_one_lane_does_not_hold_a_huge_picture(tiny_codec, files):
    """A state that decodes to itself could otherwise keep the decoder busy for an hour."""
    header, _ = unpack(files[1])
    for log2_lanes in range(14):
        lanes = 1 << log2_lanes
        # No words; every state is 1.
        payload = bytes([log2_lanes, 0]) + bytes(-(-6 * lanes // 8))
        huge = Header(**{**vars(header), "height": 16384, "width": 16384})
        found = outcome(tiny_codec, pack(huge, [Section(SectionKind.LATENT, payload)]), 60)
        assert isinstance(found, FileFormatError)
