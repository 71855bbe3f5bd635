"""Pictures as uint8 arrays: every conversion on the way in follows a stated rule and leaves a note.

The rules: the EXIF orientation is applied; alpha is blended onto a background colour (in the stored, gamma-coded
values); 16 bit becomes 8 bit by round(x / 257); palettes and bilevel pictures are expanded; CMYK is converted to sRGB
through its profile, or by the plain formula without one; of an animation the first frame is taken.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from jaxicm.errors import OptionError
from jaxicm.media.files import atomic_write, find_pictures, write_bytes
from jaxicm.media.loading import (
    fitting_profile,
    load_upright,
    one_line,
    open_picture,
    pillow_without_limits,
    read_source,
    to_plain_colour,
)

__all__ = ["Picture", "atomic_write", "find_pictures", "picture_format", "read_picture", "write_picture"]

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
_SAVE_OPTIONS = {
    "PNG": {"compress_level": 3},  # 6 takes 2.6 times as long for the same bytes (Kodak)
    "JPEG": {"quality": 95, "subsampling": "4:4:4", "optimize": True},
    "WEBP": {"lossless": True, "exact": True},  # exact: colours where alpha is 0 are kept
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
    name, data = read_source(source, name)
    notes: list[str] = []
    with pillow_without_limits():
        image, icc = load_upright(name, open_picture(name, data, notes), data, notes)
        image, icc = to_plain_colour(name, image, icc, notes)
        image = _flatten_alpha(image, background, notes)
    pixels = np.asarray(image)
    return Picture(pixels, fitting_profile(icc, pixels.ndim == 2, notes), tuple(notes))


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
        raise OptionError(f"{format} cannot hold this {size} picture ({one_line(error)}); use PNG") from error
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
