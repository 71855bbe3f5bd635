"""Pictures whose colours came out of a decoder of luma and chroma: found, coded as such, exceptions listed.

The list: the number of pixels that the conversion does not give (varint); for each the distance to the one before
(varint) and how far its three components are from what the conversion gives (zigzag varints).
"""

from dataclasses import dataclass

import numpy as np

from jaxicm.bits.varint import read_uvarint, unzigzag, write_uvarint, zigzag
from jaxicm.errors import CorruptFile
from jaxicm.ops.ycc import JPEG, PHOTO_CD, Conversion

CONVERSIONS: tuple[Conversion, ...] = (JPEG, PHOTO_CD)
"""The position plus one is the number in a file."""
SAMPLED = 1 << 14
"""Pixels looked at first."""
MOST_EXCEPTIONS = 1 / 128
"""Share of the pixels that a conversion may miss."""


@dataclass(frozen=True)
class Origin:
    """Where the colours of a picture came from.

    Attributes:
      number: of the conversion, from 1.
      ycc: int32 `[H, W, 3]`, luma and centred chroma.
      exceptions: the list of the pixels that it does not give.
    """

    number: int
    ycc: np.ndarray
    exceptions: bytes


def find_origin(rgb: np.ndarray) -> Origin | None:
    """Find the conversion that gave a picture its colours.

    Args:
      rgb: uint8 `[H, W, 3]`.

    Returns:
      The origin; None if no conversion gives nearly all of the pixels, or all of them are grey.
    """
    flat = rgb.reshape(-1, 3)
    if np.all(flat == flat[:, :1]):
        return None
    sample = flat[:: max(1, len(flat) // SAMPLED)]
    for number, conversion in enumerate(CONVERSIONS, 1):
        if np.mean(~conversion.from_rgb(sample)[1]) > MOST_EXCEPTIONS:
            continue
        packed = flat[:, 0].astype(np.int32) << 16 | flat[:, 1].astype(np.int32) << 8 | flat[:, 2]
        colours, index = np.unique(packed, return_inverse=True)
        found, solved = conversion.from_rgb(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1))
        missed = np.flatnonzero(~solved[index])
        if missed.size > MOST_EXCEPTIONS * len(flat):
            continue
        ycc = found[index].astype(np.int32)
        differences = flat[missed] - conversion.to_rgb(ycc[missed])
        return Origin(number, ycc.reshape(rgb.shape), _write(missed, differences))
    return None


def convert(number: int, ycc: np.ndarray, exceptions: bytes | memoryview) -> np.ndarray:
    """Return the picture of an `Origin`.

    Args:
      number: of the conversion.
      ycc: int32 `[H, W, 3]`.
      exceptions: the list.

    Returns:
      int32 `[H, W, 3]`, RGB.

    Raises:
      CorruptFile: if a value is out of range.
      TruncatedFile: if the list ends too early.
    """
    conversion = CONVERSIONS[number - 1]
    low = np.array([0, -conversion.zero[0], -conversion.zero[1]])
    if np.any((ycc < low) | (ycc > low + 255)):
        raise CorruptFile("a decoded sample is out of range; get an intact copy of the file")
    rgb = conversion.to_rgb(ycc).astype(np.int32)
    places, differences = _read(exceptions, rgb.shape[0] * rgb.shape[1])
    rgb.reshape(-1, 3)[places] += differences
    return rgb


def _write(places: np.ndarray, differences: np.ndarray) -> bytes:
    out = bytearray(write_uvarint(len(places)))
    for gap, difference in zip(np.diff(places, prepend=-1), differences, strict=True):
        out += write_uvarint(int(gap) - 1)
        for value in difference:
            out += write_uvarint(zigzag(int(value)))
    return bytes(out)


def _read(data: bytes | memoryview, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    count, position = read_uvarint(data, 0, "number of exceptions")
    if count > len(data):
        raise CorruptFile("the list of exceptions is damaged; get an intact copy of the file")
    places, differences = np.empty(count, np.int64), np.empty((count, 3), np.int32)
    place = -1
    for k in range(count):
        gap, position = read_uvarint(data, position, "exception")
        place += gap + 1
        places[k] = place
        for c in range(3):
            value, position = read_uvarint(data, position, "exception")
            differences[k, c] = unzigzag(min(value, 1 << 10))
    if position != len(data) or place >= pixels:
        raise CorruptFile("the list of exceptions is damaged; get an intact copy of the file")
    return places, differences
