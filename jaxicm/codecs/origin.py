"""Pictures whose colours came out of a decoder of luma and chroma: found, coded as such, exceptions listed.

If the decoder had enlarged chroma of half the resolution, that half is found as well.

The list: its size (varint), and raw LZMA of: the number of pixels that the conversion does not give (varint); for each
the distance to the one before (varint); for each how far its three components are from what the conversion gives
(zigzag varints).
"""

from dataclasses import dataclass

import numpy as np

from jaxicm.bits.varint import read_uvarint, unzigzag, write_uvarint, zigzag
from jaxicm.codecs.lossless_fallback import deflate, inflate
from jaxicm.errors import CorruptFile
from jaxicm.ops.chroma import ENLARGINGS, Enlarging, find_half
from jaxicm.ops.ycc import JPEG, PHOTO_CD, Conversion

CONVERSIONS: tuple[Conversion, ...] = (JPEG, PHOTO_CD)
"""The position plus one is the number in a file."""
SAMPLED = 1 << 14
"""Pixels looked at first."""
MOST_EXCEPTIONS = 1 / 128
"""Share of the pixels that a conversion may miss."""
MOST_UNEXPLAINED = 0.3
"""Share of the chroma of a part of the picture that enlarging may miss, before luma is looked at again."""
SHORTEST = 16
"""Sides below which half of the resolution is not looked for, in pixels."""
_PROBED = 128
WORTH = 0.5
"""Bits a pixel that the exceptions of chroma of half the resolution may cost."""
ODD_SHARE = 0.8
"""An axis is reversed if chroma is so much closer to its neighbours' mean at odd places."""


@dataclass(frozen=True)
class Origin:
    """Where the colours of a picture came from.

    Attributes:
      number: of the conversion, from 1.
      mirrored: whether rows and columns are reversed in what follows.
      ycc: int32 `[H, W, 3]`, luma and centred chroma.
      enlarging: number of the way in which chroma was enlarged, from 1; 0 is none.
      half: int32 `[2, H / 2, W / 2]`, what was enlarged to the chroma of `ycc`; None without that.
      exceptions: the list of the pixels that the conversion does not give.
    """

    number: int
    mirrored: tuple[bool, bool]
    ycc: np.ndarray
    enlarging: int
    half: np.ndarray | None
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
        if np.mean(~solved[index]) > MOST_EXCEPTIONS:
            continue
        ycc = found[index].astype(np.int32).reshape(rgb.shape)
        return _with_half(number, rgb, ycc) or _with_whole(number, rgb, ycc)
    return None


def _with_whole(number: int, rgb: np.ndarray, ycc: np.ndarray) -> Origin:
    mirrored = _interpolated_at_odd(ycc[..., 1:], 0), _interpolated_at_odd(ycc[..., 1:], 1)
    exceptions = _exceptions(rgb, CONVERSIONS[number - 1].to_rgb(ycc))
    return Origin(number, mirrored, mirror(ycc, mirrored), 0, None, exceptions)


def _with_half(number: int, rgb: np.ndarray, ycc: np.ndarray) -> Origin | None:
    """Find the enlarging that explains nearly all of the chroma."""
    if any(side % 2 or side < SHORTEST for side in rgb.shape[:2]):
        return None
    conversion = CONVERSIONS[number - 1]
    for kind, enlarging in enumerate(ENLARGINGS, 1):
        mirrored, missed = _orientation(enlarging, ycc[..., 1:])
        if missed > MOST_UNEXPLAINED:
            continue
        own, target = mirror(ycc, mirrored), mirror(rgb, mirrored).astype(np.int64)
        chroma = np.moveaxis(own[..., 1:], -1, 0)
        # Where a component is at the end of its range, other chroma could have given it.
        half = find_half(enlarging, chroma, np.all((target > 0) & (target < 255), axis=2))
        found = own.copy()
        found[..., 1:] = np.moveaxis(enlarging.enlarge(half), 0, -1)
        other = np.any(found != own, axis=2)
        found[other, 0] = conversion.luma_of(target[other], found[other, 1:])[0]
        exceptions = _exceptions(rgb, mirror(conversion.to_rgb(found), mirrored))
        if 8 * len(exceptions) < WORTH * other.size:
            return Origin(number, mirrored, found, kind, half, exceptions)
    return None


def _orientation(enlarging: Enlarging, chroma: np.ndarray) -> tuple[tuple[bool, bool], float]:
    """Return how to reverse a picture for an enlarging, and the share of the chroma `[H, W, 2]` that it then misses."""
    best = (False, False), 1.0
    for rows in (False, True) if enlarging.mirrored else (False,):
        for columns in (False, True) if enlarging.mirrored else (False,):
            x = np.moveaxis(mirror(chroma, (rows, columns)), -1, 0)
            if not enlarging.mirrored:
                # The search is long; the middle of the picture will do.
                top, left = (max(0, side // 2 - _PROBED) // 2 * 2 for side in x.shape[1:])
                x = x[:, top : top + 2 * _PROBED, left : left + 2 * _PROBED]
            missed = float(np.mean(np.any(enlarging.enlarge(enlarging.reduce(x)) != x, axis=0)))
            if missed < best[1]:
                best = (rows, columns), missed
    return best


def mirror(x: np.ndarray, mirrored: tuple[bool, bool]) -> np.ndarray:
    """Reverse rows and columns of `[H, W, C]` where that is said."""
    return x[:: -1 if mirrored[0] else 1, :: -1 if mirrored[1] else 1]


def _interpolated_at_odd(chroma: np.ndarray, axis: int) -> bool:
    """Say whether the pixels at odd places of an axis of even length lie between their neighbours, more than others.

    The coarser grids of the model are at odd places; reversed, they get what was not interpolated.
    """
    x = np.moveaxis(chroma, axis, 0)
    if len(x) < 4 or len(x) % 2:
        return False
    away = np.abs(2 * x[1:-1] - x[:-2] - x[2:])
    return bool(away[::2].mean() < ODD_SHARE * away[1::2].mean())


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


def _exceptions(rgb: np.ndarray, converted: np.ndarray) -> bytes:
    """List where a conversion does not give a picture."""
    difference = rgb.astype(np.int64) - converted
    places = np.flatnonzero(difference.any(axis=2))
    return _write(places, difference.reshape(-1, 3)[places])


def _write(places: np.ndarray, differences: np.ndarray) -> bytes:
    out = bytearray(write_uvarint(len(places)))
    for gap in np.diff(places, prepend=-1):
        out += write_uvarint(int(gap) - 1)
    for value in differences.reshape(-1):
        out += write_uvarint(zigzag(int(value)))
    return write_uvarint(len(out)) + deflate(bytes(out))


def _read(data: bytes | memoryview, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    size, position = read_uvarint(data, 0, "size of the exceptions")
    if size > 5 + 11 * pixels:
        raise CorruptFile("the list of exceptions is damaged; get an intact copy of the file")
    out = inflate(data[position:], size)
    count, position = read_uvarint(out, 0, "number of exceptions")
    if count > pixels:
        raise CorruptFile("the list of exceptions is damaged; get an intact copy of the file")
    values = np.empty(4 * count, np.int64)
    for k in range(4 * count):
        values[k], position = read_uvarint(out, position, "exception")
    places = np.cumsum(values[:count] + 1) - 1
    differences = np.array([unzigzag(int(value)) for value in values[count:]], np.int64).reshape(-1, 3)
    if position != len(out) or np.any(places >= pixels) or np.any(np.abs(differences) > 255):
        raise CorruptFile("the list of exceptions is damaged; get an intact copy of the file")
    return places, differences.astype(np.int32)
