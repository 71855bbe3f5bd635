"""Pictures as uint8 or uint16 arrays without any loss: alpha and 16-bit samples are kept, for lossless coding.

The rules: the EXIF orientation is applied; palettes are expanded to RGB, with transparency to RGBA; the transparent
colour of a PNG becomes alpha; grey of 1, 2 or 4 bits is expanded to 8 bits, that of 9 to 15 bits is kept in 16 bits
as it is; of an animation the first frame is taken. CMYK and the like are converted as in `jaxicm.media.pictures`, and
a note says so. Deep pictures whose low bits Pillow does not hand out are refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ImageFile

from jaxicm.errors import InputError, OptionError
from jaxicm.media.files import write_bytes
from jaxicm.media.loading import (
    damage_told,
    fitting_profile,
    load_upright,
    open_picture,
    pillow_without_limits,
    read_source,
    stored_orientation,
    to_plain_colour,
)
from jaxicm.media.pictures import LOSSY_FORMATS, encode_picture, picture_format
from jaxicm.media.png_writer import encode_png
from jaxicm.media.portable_maps import decode_deep_map, encode_map
from jaxicm.media.sixteen_bit import read_16_bit_samples, stored_bit_depth

_LAYOUTS = {1: "grey", 2: "grey with alpha", 3: "RGB", 4: "RGBA"}
_HELD = {
    "PNG": {(depth, channels) for depth in (8, 16) for channels in (1, 2, 3, 4)},
    "TIFF": {(8, 1), (8, 2), (8, 3), (8, 4), (16, 1)},
    "PPM": {(8, 1), (8, 3), (16, 1), (16, 3)},
    "WEBP": {(8, 3), (8, 4)},
    "BMP": {(8, 1), (8, 3)},
    "JPEG": {(8, 1), (8, 3)},
    "AVIF": {(8, 1), (8, 3)},
}
"""Bits and channels of the samples that come back from each format as they were; from the lossy ones nearly."""
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF 2.32, tag 0x0112
    1: lambda samples: samples,
    2: lambda samples: samples[:, ::-1],
    3: lambda samples: samples[::-1, ::-1],
    4: lambda samples: samples[::-1],
    5: lambda samples: samples.swapaxes(0, 1),
    6: lambda samples: samples[::-1].swapaxes(0, 1),
    7: lambda samples: samples[::-1, ::-1].swapaxes(0, 1),
    8: lambda samples: samples[:, ::-1].swapaxes(0, 1),
}


@dataclass(frozen=True)
class ExactPicture:
    """Hold the samples of a picture and what was done to it while reading.

    Attributes:
        samples: uint8 or uint16, [H, W] (grey), [H, W, 2] (grey and alpha), [H, W, 3] (RGB) or [H, W, 4] (RGBA).
        icc: the ICC profile that describes `samples`, or None.
        notes: what was converted, one clause each, for instance "palette expanded".
    """

    samples: np.ndarray
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def read_exact(source: Path | str | bytes, *, name: str | None = None) -> ExactPicture:
    """Read a picture of any format that Pillow reads, with all its samples as they are.

    Args:
        source: a file name, "-" for standard input, or the contents of a file.
        name: what messages call it; by default the file name.

    Returns:
        The picture, upright. An alpha channel is kept, also where it is opaque everywhere.

    Raises:
        InputError: as `jaxicm.media.pictures.read_picture`, or more than 8 bits a sample in a format of which only 8
            can be read.
    """
    name, data = read_source(source, name)
    notes: list[str] = []
    with pillow_without_limits():
        image = open_picture(name, data, notes)
        if image.format in ("JPEG", "MPO", "AVIF"):
            notes.append(f"{image.format} decoded: the pixels are kept, not the file")
        icc = image.info.get("icc_profile") or None
        samples = _read_deep(name, image, data, notes)
        if samples is None:
            upright, icc = load_upright(name, image, data, notes)
            plain, icc = to_plain_colour(name, upright, icc, notes)
            samples = np.asarray(plain)
    return ExactPicture(samples, fitting_profile(icc, _channels(samples) < 3, notes), tuple(notes))


def _read_deep(name: str, image: ImageFile.ImageFile, data: bytes, notes: list[str]) -> np.ndarray | None:
    """Read samples of 9 to 16 bits, upright; None where the file has 8 bits or a type that is refused elsewhere."""
    with damage_told(name):
        depth = stored_bit_depth(image, data)
        if depth <= 8 or (image.mode in ("I", "F") and image.format != "PPM"):
            return None
        orientation = stored_orientation(image)
        if image.format == "PPM":
            samples, maximum = decode_deep_map(data)
            depth = 16 if maximum == 65535 else maximum.bit_length()
        else:
            samples = read_16_bit_samples(data)
    if samples is None:
        raise InputError(
            f"{name}: {depth} bit {image.format} {image.mode} is not read exactly, only 8 bits of it can be read;"
            " convert the picture to a 16-bit PNG"
        )
    if depth < 16:
        rule = "scaled to 16 bit by the picture reader" if image.format == "JPEG2000" else "kept as they are in 16 bit"
        notes.append(f"samples of {depth} bit {rule}")
    if orientation != 1:
        notes.append(f"EXIF orientation {orientation} applied")
        if image.format != "TIFF":  # which Pillow turns while it loads
            samples = np.ascontiguousarray(_TURNS[orientation](samples))
    return samples


def encode_exact(samples: np.ndarray, format: str = "PNG", icc: bytes | None = None) -> bytes:
    """Make the bytes of a picture file from which `read_exact` reads the same samples.

    Args:
        samples: uint8 or uint16, [H, W], [H, W, 2], [H, W, 3] or [H, W, 4], as of `ExactPicture`.
        format: a value of `jaxicm.media.pictures.FORMATS`. JPEG and AVIF are lossy and take 8-bit grey and RGB.
        icc: an ICC profile to embed, where the format can (PNG, TIFF, WebP, JPEG, AVIF).

    Returns:
        The file.

    Raises:
        InputError: samples of another type or shape.
        OptionError: the format cannot hold them.
    """
    known = samples.ndim == 2 or (samples.ndim == 3 and samples.shape[2] in (2, 3, 4))
    if samples.dtype not in (np.uint8, np.uint16) or not known or samples.size == 0:
        raise InputError(
            f"samples must be uint8 or uint16 [H, W] or [H, W, 2 to 4], got {samples.dtype} {samples.shape}"
        )
    depth, channels = 8 * samples.itemsize, _channels(samples)
    if (depth, channels) not in _HELD.get(format, ()):
        loss = "" if format in LOSSY_FORMATS else " without loss"
        raise OptionError(f"{format} does not hold {depth} bit {_LAYOUTS[channels]}{loss} here; use PNG")
    if format == "WEBP" and channels == 4 and samples[..., 3].min() == 255:
        raise OptionError("WebP drops an alpha channel that is opaque everywhere; use PNG")
    if format == "PPM":
        return encode_map(samples)
    if format == "PNG" and depth == 16:
        return encode_png(samples, icc)
    return encode_picture(samples, format, icc)


def write_exact(path: Path | str, samples: np.ndarray, *, format: str | None = None, icc: bytes | None = None) -> None:
    """Write a picture file atomically from which `read_exact` reads the same samples.

    Args:
        path: a file name, or "-" for standard output.
        samples: as of `encode_exact`.
        format: a Pillow format; by default taken from the suffix.
        icc: an ICC profile to embed, where the format can.

    Raises:
        InputError: samples of another type or shape.
        OptionError: unknown suffix, or a format that cannot hold the samples.
        OutputError: the file cannot be written.
    """
    write_bytes(path, encode_exact(samples, format or picture_format(path), icc))


def _channels(samples: np.ndarray) -> int:
    return samples.shape[2] if samples.ndim == 3 else 1
