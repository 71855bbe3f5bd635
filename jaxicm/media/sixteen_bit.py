"""Read deep pictures whole and round them to 8 bit; Pillow by itself drops the low byte of 16-bit colour silently."""

import io
import sys

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

# byte orders of raw modes, and the order that reads the other byte; N is the order of this machine (libtiff)
_SWAPPED = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}


def reduce_to_8_bit(samples: np.ndarray) -> np.ndarray:
    """Round 16-bit samples to 8 bit: round(x / 257), so that 0 and 65535 become 0 and 255.

    Args:
        samples: integers in [0, 65535], any shape.

    Returns:
        uint8 array of the same shape.
    """
    return ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def stored_bit_depth(image: ImageFile.ImageFile, data: bytes) -> int:
    """Find how many bits a sample has in the file, where that is more than the 8 that Pillow hands out.

    Args:
        image: the opened picture, not loaded yet.
        data: the file.

    Returns:
        Bits per sample; 8 where the file says nothing else.
    """
    if image.format == "AVIF":
        # av1C: marker and version, profile and level, then tier (1 bit), high_bitdepth, twelve_bit, ...
        start = data.find(b"av1C") + 4
        flags = data[start + 2] if 4 <= start <= len(data) - 3 else 0
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    if image.format == "JPEG2000":
        start = data.find(
            b"\xff\x51"
        )  # SIZ: marker 2, length 2, capabilities 2, eight 32-bit sizes, components 2, Ssiz
        return (data[start + 40] & 0x7F) + 1 if 0 <= start <= len(data) - 41 else 8
    if image.format == "PPM":
        arguments = image.tile[0].args if image.tile else None
        if isinstance(arguments, tuple) and isinstance(arguments[-1], int) and arguments[-1] > 255:
            return 16
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        deepest = max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,)))
        return deepest if 8 < deepest <= 16 else 8
    return 16 if image.mode.startswith("I;16") or ";16" in raw_mode(image) else 8


def read_16_bit_samples(data: bytes) -> np.ndarray | None:
    """Read 16-bit samples as they are; those of colour by reading the high and the low bytes as two pictures.

    Args:
        data: a PNG, TIFF or other file whose pixels Pillow unpacks with a raw mode such as "I;16" or "RGB;16B".

    Returns:
        uint16 [H, W] (grey), or [H, W, C] with C of 2 (grey and alpha), 3 (RGB) or 4 (RGBA); the transparent colour of
        a PNG becomes alpha. None where Pillow cannot unpack the low bytes.
    """
    high = Image.open(io.BytesIO(data))
    if high.mode.startswith("I;16"):
        return _with_alpha(np.asarray(high).astype(np.uint16), high.info.get("transparency"))
    mode = raw_mode(high)
    try:
        if mode == "LA;16B":  # there is no LA;16L: take the four bytes of a pixel as they are
            _set_raw_mode(high, "RGBA")
            four = np.asarray(high, np.uint16)
            return four[..., 0::2] << 8 | four[..., 1::2]
        layout, _, order = mode.partition(";")
        if layout not in ("RGB", "RGBA", "RGBX") or order not in _SWAPPED or _planes_apart(high):
            return None
        low = Image.open(io.BytesIO(data))
        _set_raw_mode(low, f"{layout};{_SWAPPED[order]}")
        samples = np.asarray(high, np.uint16) << 8 | np.asarray(low, np.uint16)
    except ValueError:  # no such unpacker in this Pillow
        return None
    return _with_alpha(samples, high.info.get("transparency"))


def read_16_bit_colour(data: bytes) -> Image.Image | None:
    """Read 16-bit colour with rounding.

    Args:
        data: as of `read_16_bit_samples`.

    Returns:
        An 8-bit RGB, LA or RGBA picture, or None where Pillow cannot unpack the low bytes.
    """
    samples = read_16_bit_samples(data)
    if samples is None:
        return None
    rounded = Image.fromarray(reduce_to_8_bit(samples))
    rounded.info = {key: value for key, value in Image.open(io.BytesIO(data)).info.items() if key != "transparency"}
    return rounded


def raw_mode(image: ImageFile.ImageFile) -> str:
    """Return how Pillow unpacks the pixels of an opened picture, for instance "RGB;16B"; "" where it does not say."""
    arguments = getattr(image, "tile", None) and image.tile[0].args
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _with_alpha(samples: np.ndarray, transparent: int | tuple[int, ...] | None) -> np.ndarray:
    if transparent is None or (samples.ndim == 3 and samples.shape[2] != 3):
        return samples
    differs = samples != np.asarray(transparent, np.uint16)
    alpha = (differs if samples.ndim == 2 else differs.any(-1)) * np.uint16(65535)
    return np.dstack([samples, alpha])


def _planes_apart(image: ImageFile.ImageFile) -> bool:
    """Say whether a TIFF holds its colours one after the other: Pillow then unpacks them in its own way."""
    return (
        isinstance(image, TiffImagePlugin.TiffImageFile)
        and image.tag_v2.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2
    )


def _set_raw_mode(image: ImageFile.ImageFile, raw_mode: str) -> None:
    image.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in image.tile
    ]
