"""Reading and writing pictures: every conversion follows its stated rule, every bad input is one clear error."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from jaxicm.errors import InputError, OptionError, OutputError
from jaxicm.media.colour_profile import is_srgb
from jaxicm.media.loading import MAX_PIXELS
from jaxicm.media.pictures import encode_picture, picture_format, read_picture, write_picture
from jaxicm.media.sixteen_bit import reduce_to_8_bit


def colours(height: int = 6, width: int = 10, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "PPM"])
@pytest.mark.parametrize("shape", [(6, 10, 3), (6, 10), (1, 1, 3), (1, 1)])
def test_a_lossless_picture_is_read_as_it_was_written(format, shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    picture = read_picture(saved(Image.fromarray(pixels), format))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.notes == ()
    assert picture.icc is None


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_a_lossy_picture_is_read_near_what_was_written(format):
    smooth = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    picture = read_picture(saved(Image.fromarray(smooth), format, quality=95))
    assert picture.pixels.shape == (48, 64, 3)
    assert np.abs(picture.pixels.astype(int) - smooth).mean() < 4


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp", ".bmp", ".ppm"])
def test_a_picture_written_without_loss_comes_back(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", colours())
    np.testing.assert_array_equal(read_picture(tmp_path / f"a{suffix}").pixels, colours())


def test_grey_written_stays_grey(tmp_path):
    write_picture(tmp_path / "a.png", colours()[..., 0])
    assert read_picture(tmp_path / "a.png").pixels.shape == (6, 10)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_the_exif_orientation_is_applied(orientation, format):
    pixels = colours()
    turn = {  # EXIF 2.32 tag 0x0112: where row 0 and column 0 of the stored picture are
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: np.rot90,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    picture = read_picture(saved(Image.fromarray(pixels), format, exif=exif, **options))
    np.testing.assert_array_equal(picture.pixels, turn[orientation](pixels))
    assert picture.notes == ((f"EXIF orientation {orientation} applied",) if orientation > 1 else ())


@given(alpha=st.integers(0, 255), colour=st.integers(0, 255), background=st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_alpha_is_blended_on_the_background(alpha, colour, background):
    pixels = np.array([[[colour, colour, 7, alpha], [1, 2, 3, 0]]], np.uint8)
    picture = read_picture(saved(Image.fromarray(pixels)), background=(background,) * 3)
    expected = [round((c * alpha + background * (255 - alpha)) / 255) for c in (colour, colour, 7)]
    np.testing.assert_array_equal(picture.pixels, [[expected, [background] * 3]])
    assert picture.notes[0].startswith("alpha flattened on ")


def test_grey_alpha_stays_grey_on_a_grey_background_only():
    data = saved(Image.fromarray(np.array([[[100, 0], [100, 255]]], np.uint8), "LA"))
    np.testing.assert_array_equal(read_picture(data).pixels, [[255, 100]])
    np.testing.assert_array_equal(read_picture(data, background=(9, 8, 7)).pixels, [[[9, 8, 7], [100] * 3]])
    assert "alpha flattened on #090807" in read_picture(data, background=(9, 8, 7)).notes


def test_opaque_alpha_is_dropped_with_a_note():
    pixels = np.dstack([colours(), np.full((6, 10), 255, np.uint8)])
    picture = read_picture(saved(Image.fromarray(pixels)))
    np.testing.assert_array_equal(picture.pixels, colours())
    assert picture.notes == ("alpha dropped: opaque everywhere",)


def test_the_rounding_to_8_bit_is_that_of_float_division():
    samples = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(reduce_to_8_bit(samples), np.round(samples / 257.0).astype(np.uint8))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_a_16_bit_png_is_rounded_not_cut(colour_type, channels, png_by_hand):
    samples = np.random.default_rng(2).integers(0, 65536, (5, 7, channels), np.uint16)
    if channels in (2, 4):
        samples[..., -1] = 65535
    picture = read_picture(png_by_hand(samples, colour_type))
    colour = samples[..., : channels - 1] if channels in (2, 4) else samples
    np.testing.assert_array_equal(picture.pixels, np.round(colour / 257.0).squeeze(-1 if colour.shape[2] == 1 else ()))
    assert "16 bit reduced to 8 bit by rounding x/257" in picture.notes


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_16_bit_tiff_is_rounded_not_cut(compression, tiff_by_hand):
    samples = np.random.default_rng(3).integers(0, 65536, (5, 7, 3), np.uint16)
    strip = samples.astype("<u2").tobytes()
    strip = strip if compression is None else zlib.compress(strip)
    picture = read_picture(tiff_by_hand([strip], 7, 5, 1 if compression is None else 8))
    np.testing.assert_array_equal(picture.pixels, np.round(samples / 257.0))
    assert picture.notes == ("16 bit reduced to 8 bit by rounding x/257",)


def test_the_transparent_colour_of_a_png_is_blended_at_every_depth(png_by_hand):
    deep = np.array([[[1, 2, 3], [256, 2, 3], [65535, 0, 0]]], np.uint16)
    picture = read_picture(png_by_hand(deep, 2, chunks={b"tRNS": struct.pack(">3H", 256, 2, 3)}))
    np.testing.assert_array_equal(picture.pixels, [[[0, 0, 0], [255] * 3, [255, 0, 0]]])
    grey = np.array([[[0x0F], [0x70]]], np.uint8)  # levels 0, 15, 7, 0 of 15
    picture = read_picture(png_by_hand(grey, 0, 4, {b"tRNS": struct.pack(">H", 7)}))
    np.testing.assert_array_equal(picture.pixels, [[0, 255, 255, 0]])
    bilevel = np.array([[[0b10110000]]], np.uint8)
    picture = read_picture(png_by_hand(bilevel, 0, 1, {b"tRNS": struct.pack(">H", 0)}))
    np.testing.assert_array_equal(picture.pixels, [[255] * 8])


def test_a_palette_is_expanded():
    image = Image.fromarray(colours()).quantize(8)
    picture = read_picture(saved(image))
    np.testing.assert_array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.notes == ("palette expanded",)


def test_a_palette_with_transparency_is_blended():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    picture = read_picture(saved(image, transparency=0))
    np.testing.assert_array_equal(picture.pixels, [[[255, 255, 255], [40, 50, 60]]])
    assert picture.notes == ("palette expanded", "alpha flattened on white")


def test_cmyk_is_converted_by_the_plain_formula_without_a_profile():
    cmyk = np.array([[[0, 0, 0, 0], [255, 255, 255, 255], [255, 0, 0, 0]]], np.uint8)
    picture = read_picture(saved(Image.fromarray(cmyk, "CMYK"), "TIFF"))
    np.testing.assert_array_equal(picture.pixels, [[[255] * 3, [0] * 3, [0, 255, 255]]])
    assert picture.notes == ("CMYK converted to sRGB without a profile",)


def test_a_bilevel_picture_is_expanded():
    picture = read_picture(saved(Image.fromarray(np.array([[True, False]]))))
    np.testing.assert_array_equal(picture.pixels, [[255, 0]])
    assert picture.notes == ("1 bit expanded to 8 bit",)


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.fromarray(np.full((4, 4, 3), v, np.uint8)) for v in (10, 200)]
    picture = read_picture(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    assert int(picture.pixels.max()) == 10
    assert "first frame of several taken" in picture.notes


def test_an_icc_profile_is_kept_and_written_back(tmp_path):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read_picture(saved(Image.fromarray(colours()), icc_profile=icc))
    assert picture.icc == icc
    write_picture(tmp_path / "a.png", picture.pixels, icc=picture.icc)
    with Image.open(tmp_path / "a.png") as written:
        assert written.info["icc_profile"] == icc
    assert is_srgb(icc)
    assert is_srgb(None)
    assert not is_srgb(b"no profile at all")


def test_a_profile_of_another_colour_space_is_dropped_with_a_note():
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read_picture(saved(Image.fromarray(colours()[..., 0]), icc_profile=icc))
    assert picture.icc is None
    assert picture.notes == ("ICC profile dropped: it describes RGB, the pixels are GRAY",)


def test_an_avif_of_10_bit_is_reported():
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = np.full((16, 16, 3), 512, np.uint16)
    picture = read_picture(imagecodecs.avif_encode(samples, bitspersample=10))
    assert picture.notes == ("10 bit reduced to 8 bit by the picture reader",)
    assert abs(int(picture.pixels.mean()) - 128) <= 2


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (saved(Image.fromarray(colours(64, 64)))[:600], "damaged"),
        (saved(Image.fromarray(colours(64, 64)), "JPEG")[:900], "damaged"),
        (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "mode F"),
    ],
)
def test_a_bad_picture_is_an_input_error_in_one_line(data, says):
    with pytest.raises(InputError, match=says) as caught:
        read_picture(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (200_000, 200_000), (1 << 21, 1)])
def test_zero_and_absurd_sizes_are_refused_before_anything_is_allocated(width, height, png_by_hand):
    data = png_by_hand(np.zeros((1, 1, 1), np.uint16), 0)
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    with pytest.raises(InputError):
        read_picture(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])


@given(at=st.integers(8, 2000), flip=st.integers(1, 255), cut=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_gives_a_picture_or_an_input_error(at, flip, cut):
    data = bytearray(saved(Image.fromarray(colours(24, 24)), "TIFF"))
    at %= len(data)
    data[at] ^= flip
    try:
        assert read_picture(bytes(data[:at] if cut else data)).pixels.dtype == np.uint8
    except InputError as error:
        assert "\n" not in str(error)


def test_reading_leaves_the_limits_of_pillow_alone():
    before = Image.MAX_IMAGE_PIXELS
    read_picture(saved(Image.fromarray(colours())))
    assert before == Image.MAX_IMAGE_PIXELS


def test_an_unknown_suffix_is_refused(tmp_path):
    assert picture_format("-") == "PNG"
    with pytest.raises(OptionError, match=r"\.xyz"):
        write_picture(tmp_path / "a.xyz", colours())
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_hold_the_picture_is_an_option_error():
    with pytest.raises(OptionError, match="use PNG"):
        encode_picture(np.zeros((1, 20000, 3), np.uint8), "WEBP")


def test_a_picture_goes_to_standard_output(capfdbinary):
    write_picture("-", colours())
    np.testing.assert_array_equal(read_picture(capfdbinary.readouterr().out).pixels, colours())


def test_a_picture_for_a_missing_folder_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="folder does not exist"):
        write_picture(tmp_path / "none" / "a.png", colours())
    assert MAX_PIXELS == 16384 * 16384
