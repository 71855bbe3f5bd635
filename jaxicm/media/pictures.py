"""Pictures as uint8 arrays: every conversion on the way in follows a stated rule and leaves a note.

The rules: the EXIF orientation is applied; alpha is blended onto a background colour (in the stored, gamma-coded
values); 16 bit becomes 8 bit by round(x / 257); palettes and bilevel pictures are expanded; CMYK is converted to sRGB
through its profile, or by the plain formula without one; of an animation the first frame is taken.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from jaxicm.errors import InputError, OptionError
from jaxicm.media.colour_profile import convert_to_srgb, profile_space
from jaxicm.media.files import atomic_write, find_pictures, read_bytes, source_name, write_bytes
from jaxicm.media.sixteen_bit import read_16_bit_colour, reduce_to_8_bit, stored_bit_depth

__all__ = ["Picture", "atomic_write", "find_pictures", "picture_format", "read_picture", "write_picture"]

MAX_SIDE = 1 << 20
MAX_PIXELS = 1 << 28
WHITE = (255, 255, 255)
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
}
"""Suffix and Pillow format of the pictures that are written. WebP is written without loss, JPEG and AVIF cannot be."""
LOSSY_FORMATS = frozenset({"JPEG", "AVIF"})
_SIGNATURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_SAVE_OPTIONS = {
    "PNG": {"compress_level": 3},  # 6 takes 2.6 times as long for the same bytes (Kodak)
    "JPEG": {"quality": 95, "subsampling": "4:4:4", "optimize": True},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}


@dataclass(frozen=True)
class Picture:
    """Hold a picture and what was done to it while reading.

    Attributes:
        pixels: uint8 [H, W, 3] (RGB) or [H, W] (grey).
        icc: the ICC profile that describes `pixels`, or None.
        notes: the conversions made, one clause each, for instance "alpha flattened on white".
    """

    pixels: np.ndarray
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def read_picture(
    source: Path | str | bytes, *, background: tuple[int, int, int] = WHITE, name: str | None = None
) -> Picture:
    """Read a picture of any format that Pillow reads (PNG, JPEG, WebP, AVIF, TIFF, ...).

    Args:
        source: a file name, "-" for standard input, or the contents of a file.
        background: RGB colour in [0, 255] onto which transparent pictures are blended.
        name: what messages call it; by default the file name.

    Returns:
        The picture, upright, 8 bit, grey or RGB.

    Raises:
        InputError: missing, empty, not a picture, damaged, of unsupported samples, or larger than 2^28 pixels.
    """
    name = name or ("the picture" if isinstance(source, bytes) else source_name(source))
    data = source if isinstance(source, bytes) else read_bytes(source)
    if not data:
        raise InputError(f"{name}: empty (0 bytes)")
    notes: list[str] = []
    with _pillow_without_limits():
        image, icc = _load_upright(name, data, notes)
        image, icc = _to_plain_colour(name, image, icc, notes)
        image = _flatten_alpha(image, background, notes)
    pixels = np.asarray(image)
    space = "GRAY" if pixels.ndim == 2 else "RGB"
    if icc is not None and profile_space(icc) != space:
        notes.append(f"ICC profile dropped: it describes {profile_space(icc) or 'nothing'}, the pixels are {space}")
        icc = None
    return Picture(pixels, icc, tuple(notes))


@contextlib.contextmanager
def _pillow_without_limits() -> Iterator[None]:
    # Pillow's own limit is 179 million pixels and its messages are for programmers; sizes are checked here instead
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _load_upright(name: str, data: bytes, notes: list[str]) -> tuple[Image.Image, bytes | None]:
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
            raise InputError(f"{name}: HEIC is not read; convert the picture to PNG or JPEG first") from error
        known = next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)
        if known is not None:
            raise InputError(f"{name}: damaged {known} (its header does not hold); get a fresh copy") from error
        raise InputError(
            f"{name}: not a picture (begins with {data[:8]!r}); PNG, JPEG, WebP, AVIF, TIFF and others are read"
        ) from error
    except Exception as error:  # Pillow's parsers raise almost any type on a damaged header
        raise InputError(f"{name}: damaged picture ({_one_line(error)}); get a fresh copy") from error
    width, height = image.size
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise InputError(
            f"{name}: {width}x{height} pixels; sides from 1 to {MAX_SIDE} and at most {MAX_PIXELS} pixels"
            " (16384x16384) are supported, cut the picture into parts"
        )
    icc = image.info.get("icc_profile") or None
    try:
        depth = stored_bit_depth(image, data)
        orientation = _orientation(image)
        if getattr(image, "is_animated", False):
            notes.append("first frame of several taken")
        if depth > 8 and not image.mode.startswith("I"):
            rounded = read_16_bit_colour(data) if depth == 16 else None
            rule = "by rounding x/257" if rounded is not None else "by the picture reader"
            notes.append(f"{depth} bit reduced to 8 bit {rule}")
            image = image if rounded is None else rounded
        image.load()
        upright = ImageOps.exif_transpose(image)  # TIFF has been turned by load() already and is left alone here
    except Exception as error:
        raise InputError(f"{name}: damaged picture ({_one_line(error)}); get a fresh copy") from error
    if orientation != 1:
        notes.append(f"EXIF orientation {orientation} applied")
    return upright, icc


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(0x0112, 1)
    return value if value in range(2, 9) else 1


def _to_plain_colour(
    name: str, image: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[Image.Image, bytes | None]:
    """Convert to mode L, LA, RGB or RGBA."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        notes.append("16 bit reduced to 8 bit by rounding x/257")
        return Image.fromarray(reduce_to_8_bit(np.asarray(image))), icc
    if mode == "1":
        notes.append("1 bit expanded to 8 bit")
        image = image.convert("L")
    elif mode in ("P", "PA"):
        notes.append("palette expanded")
        image = image.convert("RGBA" if mode == "PA" or "transparency" in image.info else "RGB")
    elif mode == "CMYK":
        managed = convert_to_srgb(image, icc) if icc is not None else None
        notes.append("CMYK converted to sRGB " + ("through its ICC profile" if managed else "without a profile"))
        return (managed or image.convert("RGB")), None
    elif mode in ("YCbCr", "HSV", "RGBX"):
        notes.append(f"{mode} converted to RGB")
        image = image.convert("RGB")
    elif mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[mode])
    elif mode not in ("L", "LA", "RGB", "RGBA"):
        raise InputError(
            f"{name}: samples of Pillow mode {mode} are not supported; convert the picture to 8 or 16 bit grey or RGB"
        )
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    return image, icc


def _flatten_alpha(image: Image.Image, background: tuple[int, int, int], notes: list[str]) -> Image.Image:
    if image.mode not in ("LA", "RGBA"):
        return image
    if image.getchannel("A").getextrema() == (255, 255):
        notes.append("alpha dropped: opaque everywhere")
        return image.convert(image.mode[:-1])
    grey = image.mode == "LA" and len(set(background)) == 1
    samples = np.asarray(image if grey else image.convert("RGBA"), np.uint32)
    alpha = samples[..., -1:]
    behind = np.asarray(background[:1] if grey else background, np.uint32)
    blended = ((samples[..., :-1] * alpha + behind * (255 - alpha) + 127) // 255).astype(np.uint8)
    colour = "white" if background == WHITE else "#" + bytes(background).hex()
    notes.append(f"alpha flattened on {colour}")
    return Image.fromarray(blended[..., 0] if grey else blended)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def picture_format(path: Path | str) -> str:
    """Return the Pillow format in which a picture of this name is written; "-" is PNG.

    Raises:
        OptionError: the suffix names no format that is written.
    """
    suffix = Path(path).suffix.lower()
    if str(path) == "-":
        return "PNG"
    if suffix not in FORMATS:
        raise OptionError(f"{path}: unknown picture suffix {suffix!r}; use one of {' '.join(FORMATS)}")
    return FORMATS[suffix]


def encode_picture(pixels: np.ndarray, format: str = "PNG", icc: bytes | None = None) -> bytes:
    """Make the bytes of a picture file.

    Args:
        pixels: uint8 [H, W, 3] or [H, W].
        format: a value of `FORMATS`.
        icc: an ICC profile to embed, where the format can.

    Returns:
        The file.

    Raises:
        OptionError: the format cannot hold the picture, for instance a WebP above 16383 pixels a side.
    """
    buffer = io.BytesIO()
    options = dict(_SAVE_OPTIONS.get(format, {}))
    if icc is not None and format not in ("BMP", "PPM"):
        options["icc_profile"] = icc
    try:
        Image.fromarray(pixels).save(buffer, format, **options)
    except (OSError, ValueError) as error:
        size = "x".join(str(side) for side in pixels.shape[1::-1])
        raise OptionError(f"{format} cannot hold this {size} picture ({_one_line(error)}); use PNG") from error
    return buffer.getvalue()


def write_picture(path: Path | str, pixels: np.ndarray, *, format: str | None = None, icc: bytes | None = None) -> None:
    """Write a picture file atomically.

    Args:
        path: a file name, or "-" for standard output.
        pixels: uint8 [H, W, 3] or [H, W].
        format: a Pillow format; by default taken from the suffix.
        icc: an ICC profile to embed, where the format can.

    Raises:
        OptionError: unknown suffix, or a format that cannot hold the picture.
        OutputError: the file cannot be written.
    """
    write_bytes(path, encode_picture(pixels, format or picture_format(path), icc))


def as_rgb(pixels: np.ndarray) -> np.ndarray:
    """Return [H, W, 3]: a picture as it is, or the plane of a grey one three times.

    Args:
        pixels: [H, W, 3] or [H, W].
    """
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
