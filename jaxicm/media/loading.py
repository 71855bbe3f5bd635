"""Open and load pictures with Pillow: bad input is one clear error, conversions are noted, nothing is flattened yet."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from jaxicm.errors import InputError
from jaxicm.media.colour_profile import convert_to_srgb, profile_space
from jaxicm.media.files import read_bytes, source_name
from jaxicm.media.sixteen_bit import raw_mode, read_16_bit_colour, reduce_to_8_bit, stored_bit_depth

MAX_SIDE = 1 << 20
MAX_PIXELS = 1 << 28
_SIGNATURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_GREY_STEPS = {"L;2": 85, "L;4": 17}
"""Raw modes of grey below 8 bit, and the distance of its levels once it is expanded."""


def read_source(source: Path | str | bytes, name: str | None) -> tuple[str, bytes]:
    """Return what messages call a picture, and the contents of its file.

    Raises:
        InputError: missing, unreadable or empty.
    """
    name = name or ("the picture" if isinstance(source, bytes) else source_name(source))
    data = source if isinstance(source, bytes) else read_bytes(source)
    if not data:
        raise InputError(f"{name}: empty (0 bytes)")
    return name, data


@contextlib.contextmanager
def pillow_without_limits() -> Iterator[None]:
    """Lift Pillow's limit of 179 million pixels and silence its warnings: sizes are checked in `open_picture`."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def damage_told(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises on a damaged file into an `InputError`; its parsers raise almost any type."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name}: damaged picture ({one_line(error)}); get a fresh copy") from error


def open_picture(name: str, data: bytes, notes: list[str]) -> ImageFile.ImageFile:
    """Open a picture without reading its pixels.

    Args:
        name: what messages call it.
        data: the file.
        notes: receives one where there are several frames.

    Returns:
        The picture, not loaded.

    Raises:
        InputError: no picture, damaged, or of a size that is not supported.
    """
    with damage_told(name):
        try:
            image = Image.open(io.BytesIO(data))
        except UnidentifiedImageError as error:
            raise _no_picture(name, data) from error
    width, height = image.size
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise InputError(
            f"{name}: {width}x{height} pixels; sides from 1 to {MAX_SIDE} and at most {MAX_PIXELS} pixels"
            " (16384x16384) are supported, cut the picture into parts"
        )
    with damage_told(name):
        if getattr(image, "is_animated", False):
            notes.append("first frame of several taken")
    return image


def _no_picture(name: str, data: bytes) -> InputError:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
        return InputError(f"{name}: HEIC is not read; convert the picture to PNG or JPEG first")
    known = next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)
    if known is not None:
        return InputError(f"{name}: damaged {known} (its header does not hold); get a fresh copy")
    return InputError(
        f"{name}: not a picture (begins with {data[:8]!r}); PNG, JPEG, WebP, AVIF, TIFF and others are read"
    )


def load_upright(
    name: str, image: ImageFile.ImageFile, data: bytes, notes: list[str]
) -> tuple[Image.Image, bytes | None]:
    """Read the pixels of an opened picture, apply the orientation, and round 16-bit colour to 8 bit.

    Args:
        name: what messages call it.
        image: of `open_picture`.
        data: the file.
        notes: receives what was done.

    Returns:
        The picture, of any mode, and its ICC profile.

    Raises:
        InputError: damaged.
    """
    icc = image.info.get("icc_profile") or None
    with damage_told(name):
        depth, stored = stored_bit_depth(image, data), raw_mode(image)
        orientation = stored_orientation(image)  # loads a PNG, of which nothing of the above is known afterwards
        if stored in _GREY_STEPS and "transparency" in image.info:  # Pillow expands the pixels, not this level
            image.info["transparency"] *= _GREY_STEPS[stored]
        if stored.startswith("RGBa"):
            notes.append("premultiplied alpha divided out")
        rounded = None
        if depth > 8 and not image.mode.startswith("I"):
            rounded = read_16_bit_colour(data) if depth == 16 else None
            rule = "by rounding x/257" if rounded is not None else "by the picture reader"
            notes.append(f"{depth} bit reduced to 8 bit {rule}")
        loaded: Image.Image = image if rounded is None else rounded
        loaded.load()
        upright = ImageOps.exif_transpose(loaded)  # TIFF has been turned by load() already and is left alone here
    if orientation != 1:
        notes.append(f"EXIF orientation {orientation} applied")
    return upright, icc


def stored_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, of a picture that is not loaded yet; 1 where there is none."""
    value = image.getexif().get(0x0112, 1)
    return value if value in range(2, 9) else 1


def to_plain_colour(
    name: str, image: Image.Image, icc: bytes | None, notes: list[str]
) -> tuple[Image.Image, bytes | None]:
    """Convert a picture to mode L, LA, RGB or RGBA.

    Args:
        name: what messages call it.
        image: of any mode.
        icc: its profile.
        notes: receives what was done.

    Returns:
        The picture, and the profile where it still describes it.

    Raises:
        InputError: samples of another kind, for instance floating point.
    """
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and image.format == "PPM"):
        notes.append("16 bit reduced to 8 bit by rounding x/257")
        return Image.fromarray(reduce_to_8_bit(np.asarray(image))), icc
    if mode == "1":
        notes.append("1 bit expanded to 8 bit")
        image = image.convert("LA" if "transparency" in image.info else "L")
    elif mode in ("P", "PA"):
        notes.append("palette expanded")
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif mode == "CMYK":
        managed = convert_to_srgb(image, icc) if icc is not None else None
        notes.append("CMYK converted to sRGB " + ("through its ICC profile" if managed else "without a profile"))
        return (managed or image.convert("RGB")), None
    elif mode in ("YCbCr", "HSV", "RGBX"):
        notes.append(f"{mode} converted to RGB")
        image = image.convert("RGB")
    elif mode in ("La", "RGBa"):
        notes.append("premultiplied alpha divided out")
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[mode])
    elif mode not in ("L", "LA", "RGB", "RGBA"):
        raise InputError(
            f"{name}: samples of Pillow mode {mode} are not supported; convert the picture to 8 or 16 bit grey or RGB"
        )
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    return image, icc


def fitting_profile(icc: bytes | None, grey: bool, notes: list[str]) -> bytes | None:
    """Return a profile where it describes pixels of this kind; where not, None and a note."""
    space = "GRAY" if grey else "RGB"
    if icc is None or profile_space(icc) == space:
        return icc
    notes.append(f"ICC profile dropped: it describes {profile_space(icc) or 'nothing'}, the pixels are {space}")
    return None


def one_line(error: Exception) -> str:
    """Return the message of an error without line breaks, or its type where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
