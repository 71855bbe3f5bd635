"""Pictures that are coded together become the same files and the same symbols as those that are coded alone."""

import itertools

import numpy as np
import pytest

from jaxicm.bits.container import unpack
from jaxicm.codecs import image_batches
from jaxicm.codecs.image_file import Source, latent_of
from jaxicm.codecs.image_result import DecodeResult, EncodeResult
from jaxicm.errors import CorruptFile, FileFormatError, InputError, OptionError, TruncatedFile, UnknownWeights

QUALITIES = (50.0, 3.0, 97.5, 50.0, 20.0, 50.0, 77.0)


@pytest.fixture(scope="module")
def pictures(photograph) -> list[np.ndarray]:
    sizes = ((90, 120), (33, 80), (1, 1), (64, 300), (17, 5))
    grey = photograph(50, 70)[..., 1].copy()
    random = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    return [*(photograph(*size) for size in sizes), grey, random]


@pytest.fixture(scope="module")
def singly(tiny_codec, pictures) -> list[EncodeResult]:
    return [
        tiny_codec.encode_detail(picture, quality=quality, plain=False)
        for picture, quality in zip(pictures, QUALITIES, strict=True)
    ]


@pytest.fixture(scope="module")
def batches(tiny_codec):
    with tiny_codec.batches(3, processes=2) as found:
        yield found


def test_files_are_those_of_single_pictures(batches, pictures, singly):
    together = list(batches.encode(pictures, QUALITIES, values=True))
    assert len(together) == len(singly)
    for found, alone in zip(together, singly, strict=True):
        assert isinstance(found, EncodeResult)
        np.testing.assert_array_equal(found.values_q4, alone.values_q4)
        assert (found.data, found.quality) == (alone.data, alone.quality)
        assert found.timings_s.keys() == {"analysis", "network", "transfer", "coder"}


def test_pictures_are_those_of_single_files(batches, tiny_codec, singly):
    for _ in range(2):
        together = list(batches.decode((alone.data for alone in singly), values=True))
        assert len(together) == len(singly)
        for found, alone in zip(together, singly, strict=True):
            assert isinstance(found, DecodeResult)
            np.testing.assert_array_equal(found.values_q4, alone.values_q4)
            image = tiny_codec.decode(alone.data)
            assert found.image.shape == image.shape
            assert np.abs(found.image.astype(int) - image).max() <= 1
            assert found.timings_s.keys() == {"network", "transfer", "coder", "synthesis"}
    assert next(iter(batches.decode([singly[0].data]))).values_q4.size == 0


def test_a_picture_of_several_windows(tiny_codec, batches, photograph, monkeypatch):
    monkeypatch.setattr(tiny_codec._transforms, "windows", ((20, 24), (24, 20)))
    picture = photograph(500, 420)
    alone = tiny_codec.encode_detail(picture, quality=60.0, plain=False)
    together = next(iter(batches.encode([picture], 60.0, values=True)))
    # Products of other shapes may round a latent at a half to its other side.
    assert (together.values_q4 != alone.values_q4).mean() < 1e-3
    shown = next(iter(batches.decode([alone.data])))
    assert np.abs(shown.image.astype(int) - tiny_codec.decode(alone.data)).max() <= 1


def test_a_picture_coded_smaller_is_enlarged(tiny_codec, batches, photograph):
    data = tiny_codec.encode(photograph(90, 120), quality=50, scale=50)
    found = next(iter(batches.decode([data])))
    assert np.abs(found.image.astype(int) - tiny_codec.decode(data)).max() <= 1


def test_an_error_takes_the_place_of_its_file(batches, singly):
    good = [alone.data for alone in singly[:3]]
    found = list(batches.decode([good[0], singly[0].data[:-9], good[1], b"no file of ours", good[2]]))
    kinds = [DecodeResult, TruncatedFile, DecodeResult, FileFormatError, DecodeResult]
    assert all(isinstance(result, kind) for result, kind in zip(found, kinds, strict=True))


def test_a_damaged_payload_leaves_the_other_pictures_of_its_batch(batches, tiny_codec, pictures, singly):
    payload = latent_of(unpack(singly[0].data)[1])
    weights = bytes.fromhex(tiny_codec.info.digest)[:8]
    damaged = Source.of(pictures[0], 100, None).pack(payload[:-4] + bytes(4), weights, 800, "")
    found = list(batches.decode([singly[0].data, damaged, singly[0].data], values=True))
    assert isinstance(found[1], CorruptFile)
    for result in (found[0], found[2]):
        np.testing.assert_array_equal(result.values_q4, singly[0].values_q4)


def test_files_of_other_weights_are_refused(batches, pictures, singly):
    payload = latent_of(unpack(singly[0].data)[1])
    other = Source.of(pictures[0], 100, None).pack(payload, bytes(8), 800, "")
    assert isinstance(next(iter(batches.decode([other]))), UnknownWeights)


def test_errors_of_pictures_and_options(batches, pictures, tiny_codec):
    found = list(batches.encode([pictures[0], np.zeros((4, 4)), pictures[1]], [50.0, 50.0, 101.0]))
    assert [type(result) for result in found] == [EncodeResult, InputError, OptionError]
    with pytest.raises(OptionError, match="at least 1"):
        tiny_codec.batches(0)


def test_input_is_taken_only_so_far_ahead(batches, singly):
    taken = 0

    def endless():
        nonlocal taken
        for taken in itertools.count(1):
            yield singly[taken % 5].data  # of two shapes

    for result in itertools.islice(batches.decode(endless()), 10):
        assert isinstance(result, DecodeResult)
    assert taken <= 10 + 40


def test_of_large_pictures_fewer_are_coded_together(tiny_codec, pictures, singly, monkeypatch):
    monkeypatch.setattr(image_batches, "MOST_POSITIONS", 2 * 16 * 16)
    with tiny_codec.batches(3, processes=1) as batches:
        assert (batches._room((16, 16)), batches._room((16, 32)), batches._room((64, 64))) == (2, 1, 1)
        together = list(batches.encode([*pictures, pictures[0]], [*QUALITIES, QUALITIES[0]]))
    assert [found.data for found in together] == [alone.data for alone in [*singly, singly[0]]]
