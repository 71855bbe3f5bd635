"""Exact pictures: no sample is changed on the way in or out, and what cannot be exact is refused or noted."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from jaxicm.errors import InputError, OptionError, OutputError
from jaxicm.media.exact_pictures import encode_exact, read_exact, write_exact

LAYOUTS = {"grey": (), "grey and alpha": (2,), "RGB": (3,), "RGBA": (4,)}
HOLDS = {
    "PNG": [(dtype, layout) for dtype in (np.uint8, np.uint16) for layout in LAYOUTS],
    "TIFF": [*((np.uint8, layout) for layout in LAYOUTS), (np.uint16, "grey")],
    "PPM": [(dtype, layout) for dtype in (np.uint8, np.uint16) for layout in ("grey", "RGB")],
    "WEBP": [(np.uint8, "RGB"), (np.uint8, "RGBA")],
    "BMP": [(np.uint8, "grey"), (np.uint8, "RGB")],
}
SUFFIXES = {"PNG": ".png", "TIFF": ".tiff", "PPM": ".ppm", "WEBP": ".webp", "BMP": ".bmp"}


def drawn(dtype: type, layout: str, height: int = 6, width: int = 10, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, *LAYOUTS[layout]), dtype, endpoint=True)


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def check(data: bytes, expected: np.ndarray, *notes: str) -> None:
    picture = read_exact(data)
    assert picture.samples.dtype == expected.dtype
    np.testing.assert_array_equal(picture.samples, expected)
    assert picture.notes == notes


@pytest.mark.parametrize("size", [(6, 10), (1, 1), (7, 1), (1, 13)])
@pytest.mark.parametrize(
    ("format", "dtype", "layout"), [(format, *held) for format, types in HOLDS.items() for held in types]
)
def test_samples_come_back_from_every_format_that_holds_them(tmp_path, format, dtype, layout, size):
    samples = drawn(dtype, layout, *size)
    path = tmp_path / f"a{SUFFIXES[format]}"
    write_exact(path, samples)
    check(path.read_bytes(), samples)
    with Image.open(path) as image:
        assert image.format == format


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("format", [*HOLDS, "JPEG", "AVIF"])
def test_a_format_that_does_not_hold_the_samples_names_png(format, dtype, layout):
    samples = drawn(dtype, layout)
    if (dtype, layout) in HOLDS.get(format, [(np.uint8, "grey"), (np.uint8, "RGB")]):
        assert encode_exact(samples, format)
        return
    with pytest.raises(OptionError, match=f"{format} does not hold {8 * samples.itemsize} bit .*; use PNG"):
        encode_exact(samples, format)


@given(
    dtype=st.sampled_from([np.uint8, np.uint16]),
    layout=st.sampled_from(list(LAYOUTS)),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_png_holds_everything(dtype, layout, height, width, seed):
    samples = drawn(dtype, layout, height, width, seed)
    check(encode_exact(samples), samples)


@pytest.mark.parametrize(("colour_type", "layout"), [(0, "grey"), (2, "RGB"), (4, "grey and alpha"), (6, "RGBA")])
def test_a_16_bit_png_is_read_whole(png_by_hand, colour_type, layout):
    samples = drawn(np.uint16, layout)
    check(png_by_hand(samples if samples.ndim == 3 else samples[..., None], colour_type), samples)


def test_another_decoder_reads_what_we_write():
    imagecodecs = pytest.importorskip("imagecodecs")
    for layout in LAYOUTS:
        samples = drawn(np.uint16, layout)
        np.testing.assert_array_equal(imagecodecs.png_decode(encode_exact(samples)), samples)
    rgba = drawn(np.uint8, "RGBA")
    rgba[2:, :, 3] = 0
    np.testing.assert_array_equal(imagecodecs.webp_decode(encode_exact(rgba, "WEBP")), rgba)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_hidden_colours_under_no_opacity_survive(format):
    samples = drawn(np.uint8, "RGBA", 20, 30)
    samples[3:17, 5:, 3] = 0
    check(encode_exact(samples, format), samples)


@pytest.mark.parametrize("alpha", [0, 255])
def test_an_alpha_channel_of_one_value_is_kept(alpha):
    samples = drawn(np.uint8, "RGBA")
    samples[..., 3] = alpha
    for format in ("PNG", "TIFF"):
        check(encode_exact(samples, format), samples)
    if alpha == 255:
        with pytest.raises(OptionError, match="WebP drops an alpha channel that is opaque everywhere; use PNG"):
            encode_exact(samples, "WEBP")
    else:
        check(encode_exact(samples, "WEBP"), samples)


def test_a_palette_is_expanded_with_its_transparency():
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    check(saved(image), np.array([[[10, 20, 30], [40, 50, 60], [70, 80, 90]]], np.uint8), "palette expanded")
    expected = np.array([[[10, 20, 30, 5], [40, 50, 60, 128], [70, 80, 90, 255]]], np.uint8)
    check(saved(image, transparency=bytes([5, 128, 255])), expected, "palette expanded")
    expected[..., 3] = [255, 0, 255]
    check(saved(image, transparency=1), expected, "palette expanded")
    expected[0, 1, :3] = read_exact(saved(image, "GIF", transparency=1)).samples[0, 1, :3]
    check(saved(image, "GIF", transparency=1), expected, "palette expanded")


def test_bilevel_and_other_shallow_grey_is_expanded(png_by_hand):
    check(saved(Image.fromarray(np.array([[True, False]]))), np.array([[255, 0]], np.uint8), "1 bit expanded to 8 bit")
    two = png_by_hand(np.array([[[0b00011011]]], np.uint8), 0, 2)
    check(two, np.array([[0, 85, 170, 255]], np.uint8))


def test_the_transparent_colour_of_a_png_becomes_alpha(png_by_hand):
    def one(samples: np.ndarray, colour_type: int, bits: int, *key: int) -> bytes:
        return png_by_hand(samples, colour_type, bits, {b"tRNS": struct.pack(f">{len(key)}H", *key)})

    deep = drawn(np.uint16, "RGB")
    deep[2, 3] = deep[4, 5] = 256, 2, 40000
    opacity = np.full((6, 10), 65535, np.uint16)
    opacity[2, 3] = opacity[4, 5] = 0
    check(one(deep, 2, 16, 256, 2, 40000), np.dstack([deep, opacity]))
    check(one(deep[..., :1], 0, 16, 256), np.dstack([deep[..., 0], opacity]))
    colour = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8)
    check(one(colour, 2, 8, 1, 2, 4), np.array([[[1, 2, 3, 255], [1, 2, 4, 0]]], np.uint8))
    levels = np.array([[[0, 255], [255, 255], [119, 0], [0, 255]]], np.uint8)
    check(one(np.array([[[0x0F], [0x70]]], np.uint8), 0, 4, 7), levels)
    found = read_exact(one(np.array([[[0b10000000]]], np.uint8), 0, 1, 0)).samples
    np.testing.assert_array_equal(found, [[[255, 255]] + [[0, 0]] * 7])


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("layout", ["grey", "RGB"])
@pytest.mark.parametrize("maximum", [65535, 1023, 256])
def test_deep_maps_are_read_as_they_are(plain, layout, maximum):
    samples = np.minimum(drawn(np.uint16, layout), np.uint16(maximum))
    samples[0, :2], samples[1] = 0, samples[1] % 256
    magic = {(False, "grey"): "P5", (False, "RGB"): "P6", (True, "grey"): "P2", (True, "RGB"): "P3"}[plain, layout]
    body = " ".join(map(str, samples.ravel())).encode() if plain else samples.astype(">u2").tobytes()
    notes = {
        1023: ["samples of 10 bit kept as they are in 16 bit"],
        256: ["samples of 9 bit kept as they are in 16 bit"],
    }
    check(
        f"{magic}\n# a comment\n10 6\n{maximum}\n".encode() + body, samples.astype(np.uint16), *notes.get(maximum, [])
    )


def test_a_map_that_ends_early_or_exceeds_its_maximum_is_damaged():
    data = encode_exact(drawn(np.uint16, "RGB"), "PPM")
    with pytest.raises(InputError, match="truncated"):
        read_exact(data[:-1])
    with pytest.raises(InputError, match="above the file's maximum of 300"):
        read_exact(data.replace(b"65535", b"300", 1))


@pytest.mark.parametrize("compression", [1, 8])
def test_a_16_bit_tiff_is_read_whole(tiff_by_hand, compression):
    samples = drawn(np.uint16, "RGB")
    strip = samples.astype("<u2").tobytes()
    check(tiff_by_hand([strip if compression == 1 else zlib.compress(strip)], 10, 6, compression), samples)


@pytest.mark.parametrize("compression", [1, 8])
def test_a_16_bit_tiff_of_separate_planes_is_refused(tiff_by_hand, compression):
    strips = [plane.astype("<u2").tobytes() for plane in np.moveaxis(drawn(np.uint16, "RGB"), 2, 0)]
    strips = strips if compression == 1 else [zlib.compress(strip) for strip in strips]
    with pytest.raises(InputError, match=r"16 bit TIFF RGB is not read exactly.* 16-bit PNG"):
        read_exact(tiff_by_hand(strips, 10, 6, compression, [(284, 2)]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("orientation", range(2, 9))
def test_the_exif_orientation_is_applied(orientation, layout, dtype):
    turn = {  # EXIF 2.32 tag 0x0112: where row 0 and column 0 of the stored picture are
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: np.rot90,
    }
    samples, exif = drawn(dtype, layout), Image.Exif()
    exif[0x0112] = orientation
    png = encode_exact(samples)
    body = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body)) + b"eXIf" + body + struct.pack(">I", zlib.crc32(b"eXIf" + body))
    check(png[:33] + chunk + png[33:], turn[orientation](samples), f"EXIF orientation {orientation} applied")
    if dtype == np.uint8 or layout == "grey":
        tiff = saved(Image.fromarray(samples), "TIFF", exif=exif)
        check(tiff, turn[orientation](samples), f"EXIF orientation {orientation} applied")


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_16_bit_tiff_is_turned_once(tiff_by_hand, orientation):
    samples = drawn(np.uint16, "RGB")
    data = tiff_by_hand([samples.astype("<u2").tobytes()], 10, 6, 1, [(274, orientation)])
    turned = np.rot90(samples, {3: 2, 6: -1}[orientation])
    check(data, turned, f"EXIF orientation {orientation} applied")


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_an_icc_profile_is_kept_where_it_fits(tmp_path, format):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / f"a{SUFFIXES[format]}"
    write_exact(path, drawn(np.uint8, "RGBA"), icc=icc)
    assert read_exact(path).icc == icc
    assert read_exact(encode_exact(drawn(np.uint16, "RGB"), icc=icc)).icc == icc
    grey = read_exact(encode_exact(drawn(np.uint16, "grey and alpha"), icc=icc))
    assert grey.icc is None
    assert grey.notes == ("ICC profile dropped: it describes RGB, the pixels are GRAY",)


def test_lossy_files_are_read_as_their_decoded_pixels():
    pixels = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    for format in ("JPEG", "AVIF"):
        data = encode_exact(pixels, format)
        decoded = np.asarray(Image.open(io.BytesIO(data)))
        check(data, decoded, f"{format} decoded: the pixels are kept, not the file")
    cmyk = Image.fromarray(np.array([[[0, 0, 0, 0], [255, 0, 0, 0]]], np.uint8), "CMYK")
    expected = np.array([[[255] * 3, [0, 255, 255]]], np.uint8)
    check(saved(cmyk, "TIFF"), expected, "CMYK converted to sRGB without a profile")


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.fromarray(drawn(np.uint8, "RGBA", seed=seed)) for seed in (0, 1)]
    data = saved(frames[0], save_all=True, append_images=frames[1:])
    check(data, np.asarray(frames[0]), "first frame of several taken")


@pytest.mark.parametrize("bits", [10, 12])
def test_a_deep_avif_is_refused(bits):
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = np.full((16, 16, 3), 512, np.uint16)
    data = imagecodecs.avif_encode(samples, bitspersample=bits)
    with pytest.raises(InputError, match=f"a picture: {bits} bit AVIF RGB is not read exactly.* 16-bit PNG"):
        read_exact(data, name="a picture")


def test_jpeg_2000_is_exact_in_8_bit_and_in_grey_of_16_bit():
    imagecodecs = pytest.importorskip("imagecodecs")
    for samples in (drawn(np.uint8, "RGB"), drawn(np.uint16, "grey")):
        check(imagecodecs.jpeg2k_encode(samples, reversible=True, level=0), samples)
    with pytest.raises(InputError, match="16 bit JPEG2000 RGB is not read exactly"):
        read_exact(imagecodecs.jpeg2k_encode(drawn(np.uint16, "RGB"), reversible=True, level=0))
    shallow = drawn(np.uint16, "grey") >> 4
    data = imagecodecs.jpeg2k_encode(shallow, reversible=True, level=0, bitspersample=12)
    check(data, shallow << 4, "samples of 12 bit scaled to 16 bit by the picture reader")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a picture"),
        (encode_exact(drawn(np.uint16, "RGB", 40, 40))[:900], "damaged"),
        (saved(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"), "mode F"),
        (saved(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF"), "mode I "),
    ],
)
def test_a_bad_picture_is_an_input_error_in_one_line(data, says):
    with pytest.raises(InputError, match=says) as caught:
        read_exact(data)
    assert "\n" not in str(caught.value)


@given(at=st.integers(8, 3000), flip=st.integers(1, 255), cut=st.booleans(), format=st.sampled_from(["PNG", "PPM"]))
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_gives_a_picture_or_an_input_error(at, flip, cut, format):
    data = bytearray(encode_exact(drawn(np.uint16, "RGB", 24, 24), format))
    at %= len(data)
    data[at] ^= flip
    try:
        assert read_exact(bytes(data[:at] if cut else data)).samples.dtype in (np.uint8, np.uint16)
    except InputError as error:
        assert "\n" not in str(error)


def test_what_cannot_be_written_is_told(tmp_path, capfdbinary):
    samples = drawn(np.uint16, "RGB")
    for wrong in (
        samples.astype(np.float32),
        samples[..., None],
        samples[..., :1],
        samples[:0],
        np.zeros((2, 2, 5), np.uint8),
    ):
        with pytest.raises(InputError, match="samples must be uint8 or uint16"):
            encode_exact(wrong)
    with pytest.raises(OptionError, match=r"\.xyz"):
        write_exact(tmp_path / "a.xyz", samples)
    with pytest.raises(OptionError, match="use PNG"):
        write_exact(tmp_path / "a.webp", np.zeros((1, 20000, 3), np.uint8))
    with pytest.raises(OutputError, match="folder does not exist"):
        write_exact(tmp_path / "none" / "a.png", samples)
    assert list(tmp_path.iterdir()) == []
    write_exact("-", samples)
    check(capfdbinary.readouterr().out, samples)
