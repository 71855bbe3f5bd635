"""The lossless codec: every kind of picture comes back, sizes are honest, damage is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxicm
from jaxicm.bits.container import pack, unpack
from jaxicm.codecs import lossless
from jaxicm.codecs.lossless import EFFORT_STEPS
from jaxicm.errors import CorruptFile, FileFormatError, InputError, OptionError, UnknownWeights


def content(name: str, shape: tuple[int, ...], seed: int, photograph) -> np.ndarray:
    """Make samples uint8 of a shape."""
    rng = np.random.default_rng(seed)
    match name:
        case "photo":
            channels = 1 if len(shape) == 2 else shape[2]
            picture = photograph(*shape[:2], seed)
            return np.concatenate([picture, picture[..., ::-1]], axis=2)[..., :channels].reshape(shape)
        case "noise":
            return rng.integers(0, 256, shape).astype(np.uint8)
        case "flat":
            return np.full(shape, rng.integers(0, 256), np.uint8)
        case _:
            return (rng.integers(0, 4, shape) * 70).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([None, 2, 3, 4]), st.booleans(),
    st.sampled_from(["photo", "noise", "flat", "palette"]), st.integers(0, 99),
)  # fmt: skip
def test_pictures_come_back(tiny_lossless, photograph, height, width, channels, deep, name, seed):
    shape = (height, width) if channels is None else (height, width, channels)
    samples = content(name, shape, seed, photograph)
    if deep:
        samples = samples.astype(np.uint16) * 256 + np.random.default_rng(seed).integers(0, 256, shape, np.uint16)
    result = tiny_lossless.encode_detail(samples)
    back = tiny_lossless.decode(result.data)
    assert back.dtype == samples.dtype
    np.testing.assert_array_equal(back, samples)
    assert len(result.data) <= samples.nbytes * 1.01 + 48
    np.testing.assert_array_equal(jaxicm.decode(result.data), samples)


def test_the_estimate_is_the_size(tiny_lossless, photograph):
    result = tiny_lossless.encode_detail(photograph(120, 150))
    assert result.mode == "learned"
    assert abs(8 * len(result.data) - result.estimated_bits) < 0.005 * result.estimated_bits + 8 * 64


def test_sixteen_bit_copies_of_eight_bit_cost_nearly_the_same(tiny_lossless, photograph):
    samples = photograph(60, 80)
    deep = samples.astype(np.uint16) * 257
    # The set of used values of each channel is at most a bitmap of 32 bytes.
    assert len(tiny_lossless.encode(deep)) < len(tiny_lossless.encode(samples)) + 3 * 40


@pytest.mark.slow
def test_fitting_the_model_shortens_the_file(tiny_lossless, photograph):
    samples = photograph(160, 144)
    effort = 5
    plain, told = tiny_lossless.encode(samples), []
    fitted = tiny_lossless.encode_detail(
        samples, effort=effort, verify=True, progress=lambda done, total, bits: told.append((done, total))
    )
    assert len(fitted.data) < len(plain)
    assert told == [(k + 1, EFFORT_STEPS[effort]) for k in range(EFFORT_STEPS[effort])]
    np.testing.assert_array_equal(jaxicm.decode(fitted.data), samples)
    with pytest.raises(OptionError, match="effort"):
        tiny_lossless.encode(samples, effort=10)


def test_tensors_of_any_number_of_channels_come_back(tiny_lossless):
    tensor = np.random.default_rng(0).poisson(3, (17, 23, 5)).astype(np.uint8)
    data = tiny_lossless.encode_tensor(tensor)
    assert len(data) < tensor.size * 0.75
    np.testing.assert_array_equal(tiny_lossless.decode_tensor(data, tensor.shape), tensor)
    with pytest.raises(FileFormatError):
        tiny_lossless.decode_tensor(data[:-3], tensor.shape)


@pytest.mark.parametrize(
    "samples",
    [np.zeros((3, 3), np.float32), np.zeros((3, 3, 5), np.uint8), np.zeros((0, 3), np.uint8), np.zeros(3, np.uint8)],
)
def test_what_is_no_picture_is_refused(tiny_lossless, samples):
    with pytest.raises(InputError):
        tiny_lossless.encode(samples)


def test_files_of_other_weights_and_other_codecs_are_told(tiny_lossless, tiny_codec, photograph):
    picture = photograph(48, 64)
    data = tiny_lossless.encode(picture)
    header, sections = unpack(data)
    other = pack(lossless.Header("lossless", b"12345678", header.height, header.width, quality_q4=1600), sections)
    with pytest.raises(UnknownWeights):
        tiny_lossless.decode(other)
    with pytest.raises(CorruptFile, match="lossy"):
        tiny_codec.decode(data)
    with pytest.raises(CorruptFile, match="not a lossless"):
        tiny_lossless.decode(tiny_codec.encode(picture))


def test_damaged_payloads_give_a_named_error_or_samples(tiny_lossless, photograph):
    """Behind valid checksums, as after a mistake of a programmer or an attack."""
    rng = np.random.default_rng(0)
    pictures = [photograph(24, 40), photograph(24, 40)[..., 0], photograph(160, 145)[:, :144]]
    files = [unpack(tiny_lossless.encode(p, effort=1)) for p in pictures]
    for k in range(100):
        header, sections = files[2 if k % 10 == 9 else k % 2]  # the large one takes long
        payload = bytearray(sections[0].payload)
        # The head is where most of the fields are.
        at = int(rng.integers(len(payload) if k % 2 else 60))
        if k % 5:
            payload[at] ^= int(rng.integers(1, 256))
        else:
            del payload[at : at + int(rng.integers(1, 9))]
        try:
            found = tiny_lossless.decode(pack(header, [lossless.Section(sections[0].kind, bytes(payload))]))
        except FileFormatError:
            continue
        assert found.shape[:2] == (header.height, header.width)
