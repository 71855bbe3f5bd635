"""Colour conversion against tables, exact arithmetic and a second implementation; 4:2:0 filters against Pillow's."""

import subprocess
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxicm.errors import InputError, MissingDependency
from jaxicm.media.ffmpeg import program_with
from jaxicm.media.yuv import PlanarFormat, cut, double, halve, pad, read_frames, to_pixels, to_planes, write_frames

# full range BT.709: H.273 equations 1-3 (8 and 10 bit) worked out by hand; the ends of Cb and Cr are clipped
TABLE = {
    (0, 0, 0): ((0, 128, 128), (0, 512, 512)),
    (255, 255, 255): ((255, 128, 128), (1023, 512, 512)),
    (255, 0, 0): ((54, 99, 255), (217, 395, 1023)),
    (0, 255, 0): ((182, 30, 12), (732, 118, 47)),
    (0, 0, 255): ((18, 255, 116), (74, 1023, 465)),
}


def truncating(pixels: np.ndarray) -> np.ndarray:
    """Convert to 8-bit codes and back as `astype(np.uint8)` alone would."""
    red, green, blue = np.moveaxis(pixels, 2, 0) / 255
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    codes = (255 * luma, 255 * (blue - luma) / 1.8556 + 128, 255 * (red - luma) / 1.5748 + 128)
    luma, cb, cr = (np.clip(np.floor(values), 0, 255) for values in codes)
    red, blue = luma + 1.5748 * (cr - 128), luma + 1.8556 * (cb - 128)
    green = (luma - 0.2126 * red - 0.0722 * blue) / 0.7152
    return np.clip(np.stack([red, green, blue], axis=2), 0, 255).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize(("colour", "codes"), TABLE.items())
def test_primary_colours_have_the_codes_of_the_standard(colour, codes):
    pixels = np.full((1, 1, 3), colour, np.uint8)
    for bits, expected in zip((8, 10), codes, strict=True):
        assert tuple(int(plane[0, 0]) for plane in to_planes(pixels, "444", bits)) == expected


@pytest.mark.parametrize("bits", [8, 10])
def test_codes_are_rounded_not_truncated(bits):
    """Against exact fractions, and the error has no mean: truncation's would be half a step."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    planes = to_planes(pixels, "444", bits)
    peak, half = (1 << bits) - 1, 1 << (bits - 1)
    red, blue = Fraction(2126, 10000), Fraction(722, 10000)
    errors = []
    for plane, part in zip(planes, range(3), strict=True):
        for index in np.ndindex(10, 50):
            r, g, b = (Fraction(int(value), 255) for value in pixels[index])
            y = red * r + (1 - red - blue) * g + blue * b
            exact = (y * peak, (b - y) / (2 - 2 * blue) * peak + half, (r - y) / (2 - 2 * red) * peak + half)[part]
            code = min(max((2 * exact + 1).__floor__() // 2, 0), peak)
            assert plane[index] == code
            errors.append(float(code - exact))
    assert abs(np.mean(errors)) < 0.02


def test_ten_bits_keep_every_colour():
    # truncated codes lose one level in most pixels; so would truncated pixels
    pixels = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    np.testing.assert_array_equal(to_pixels(to_planes(pixels, "444", 10), 10), pixels)


def test_eight_bits_cost_no_more_than_their_rounding():
    pixels = np.random.default_rng(2).integers(0, 256, (300, 300, 3), np.uint8)
    planes = to_planes(pixels, "444", 8)
    # variance 1/12 of each code, carried over by the inverse matrix; rounded and clipped at the end
    matrix = np.array([[1, 0, 1.5748], [1, -0.1873, -0.4681], [1, 1.8556, 0]])
    variance = (matrix**2).sum() / 3 / 12 + 1 / 12
    assert psnr(to_pixels(planes, 8), pixels) > 10 * np.log10(255**2 / variance) - 0.1
    assert psnr(to_pixels(planes, 8), pixels) > psnr(truncating(pixels), pixels) + 3


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("chroma", ["420", "444"])
def test_grey_has_neutral_chroma_and_comes_back(bits, chroma):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    planes = to_planes(np.stack([grey] * 3, axis=2), chroma, bits)
    for plane, alone in zip(planes, to_planes(grey, chroma, bits), strict=True):
        np.testing.assert_array_equal(plane, alone)
    assert (planes[1] == 1 << (bits - 1)).all()
    np.testing.assert_array_equal(to_pixels(planes, bits, grey=True), grey)
    np.testing.assert_array_equal(to_pixels(planes, bits), np.stack([grey] * 3, axis=2))
    (luma,) = to_planes(grey, "400", bits)
    np.testing.assert_array_equal(to_pixels([luma], bits)[..., 2], grey)


def test_the_library_zimg_finds_the_same_codes(tmp_path):
    try:
        program = program_with("libx265", "test")
    except MissingDependency as error:
        pytest.skip(str(error))
    pixels = np.random.default_rng(3).integers(0, 256, (32, 48, 3), np.uint8)
    (tmp_path / "in").write_bytes(np.moveaxis(pixels[..., [1, 2, 0]], 2, 0).tobytes())
    chain = "zscale=matrixin=gbr:rangein=full:matrix=709:range=full,format=yuv444p10le"
    command = [program, "-v", "error", "-f", "rawvideo", "-pix_fmt", "gbrp", "-s", "48x32", "-i", tmp_path / "in"]
    command += ["-vf", chain, "-f", "rawvideo", tmp_path / "out"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if "No such filter" in done.stderr:
        pytest.skip("this ffmpeg was built without zimg")
    assert done.returncode == 0, done.stderr
    (found,) = read_frames(tmp_path / "out", PlanarFormat(32, 48, "444", 10))
    for ours, theirs in zip(to_planes(pixels, "444", 10), found, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 1
        assert (ours != theirs).mean() < 0.01


@pytest.mark.parametrize(("height", "width"), [(32, 40), (33, 41), (1, 1), (2, 3)])
def test_the_filters_are_those_of_pillow_and_keep_a_constant(height, width):
    plane = np.random.default_rng(4).normal(size=(height, width))
    half = halve(plane)
    assert half.shape == ((height + 1) // 2, (width + 1) // 2)
    np.testing.assert_allclose(halve(np.full_like(plane, 0.3)), 0.3)
    np.testing.assert_allclose(double(np.full_like(plane, 0.3)), 0.3)
    whole = double(half)
    assert whole.shape == (2 * half.shape[0], 2 * half.shape[1])
    if height > 16:  # away from the edges, where Pillow shortens its kernels
        even = plane[:32, :40].astype(np.float32)
        theirs = np.asarray(Image.fromarray(even).resize((20, 16), Image.Resampling.LANCZOS))
        np.testing.assert_allclose(halve(even)[4:-4, 4:-4], theirs[4:-4, 4:-4], atol=1e-5)
        theirs = np.asarray(Image.fromarray(even).resize((80, 64), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(double(even)[4:-4, 4:-4], theirs[4:-4, 4:-4], atol=1e-5)


def test_smooth_colour_survives_the_sampling(photograph):
    pixels = np.asarray(Image.fromarray(photograph(24, 32)).resize((97, 71), Image.Resampling.BICUBIC))
    assert psnr(to_pixels(to_planes(pixels, "420", 10), 10), pixels) > 40


@given(
    st.integers(1, 9), st.integers(1, 9), st.sampled_from(["400", "420", "444"]), st.sampled_from([8, 10]), st.data()
)
def test_raw_files_and_padding_are_undone(height, width, chroma, bits, data):
    form = PlanarFormat(height, width, chroma, bits)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    frames = [tuple(rng.integers(0, 1 << bits, shape).astype(form.dtype) for shape in form.shapes) for _ in range(2)]
    padded = form.padded(4)
    assert padded.height % 2 == padded.width % 2 == 0
    assert (padded.height, padded.width) >= (4, 4)
    for planes in frames:
        large = pad(planes, form, padded)
        assert [plane.shape for plane in large] == list(padded.shapes)
        for plane, back, whole in zip(planes, cut(large, form), large, strict=True):
            np.testing.assert_array_equal(plane, back)
            assert whole[-1, -1] == plane[-1, -1]


def test_a_raw_file_has_planes_in_order_and_the_low_byte_first(tmp_path):
    form = PlanarFormat(1, 3, "420", 10)
    planes = (np.array([[1, 2, 0x3FF]], "<u2"), np.array([[4, 5]], "<u2"), np.array([[6, 7]], "<u2"))
    write_frames(tmp_path / "a.yuv", [planes, planes], form)
    frame = bytes([1, 0, 2, 0, 0xFF, 3, 4, 0, 5, 0, 6, 0, 7, 0])
    assert (tmp_path / "a.yuv").read_bytes() == frame * 2
    assert form.frame_bytes == len(frame)
    found = read_frames(tmp_path / "a.yuv", form)
    assert len(found) == 2
    for ours, theirs in zip(found[1], planes, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_does_not_fit_is_refused(tmp_path):
    form = PlanarFormat(2, 2, "444", 8)
    (tmp_path / "a.yuv").write_bytes(bytes(13))
    with pytest.raises(InputError, match="13 bytes are no whole number of frames of 12 bytes"):
        read_frames(tmp_path / "a.yuv", form)
    with pytest.raises(InputError, match="has planes"):
        write_frames(tmp_path / "b.yuv", [(np.zeros((2, 2), np.uint8),)], form)
    with pytest.raises(InputError, match="10 bits expected, got 1024"):
        PlanarFormat(1, 1, "400", 10).check((np.full((1, 1), 1024, np.uint16),))
    with pytest.raises(InputError, match="at least 1x1"):
        PlanarFormat(0, 4)
    with pytest.raises(InputError, match="got 422"):
        PlanarFormat(2, 2, "422")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got float64"):
        to_planes(np.zeros((2, 2, 3)))
