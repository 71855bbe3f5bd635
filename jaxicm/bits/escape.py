"""Escape codes: bits for the symbols that lie outside their probability table, so that any int32 can be coded.

The entropy coder codes the escape entry of the table; how far the symbol lies outside is written here, as plain bits.
A distance d >= 0 is an Elias gamma code of d + 1 with its unary parts and its low bits apart, which lets numpy read
all codes of a picture at once: first for each escape n zeros and a one, then for each escape a sign bit (1: below the
table) and the n low bits of d + 1, where n = floor(log2(d + 1)). Bits are packed high bit first, the last byte is
padded with zeros.
"""

import numpy as np

from ..errors import CorruptFile

MAX_LOW_BITS = 32
_CHUNK = 4096  # rows of 64 bits handled at once: bounds the memory


def escape_bits(distance: np.ndarray) -> np.ndarray:
    """Count the bits of each escape code.

    Args:
      distance: integers [m], 0 to 2^32 - 1; 0 is the first value outside the table.

    Returns:
      int64 [m], 2 to 66 bits.
    """
    return 2 * (_bit_length(distance.astype(np.uint64) + np.uint64(1)) - 1) + 2


def pack_escapes(below: np.ndarray, distance: np.ndarray) -> bytes:
    """Write escape codes.

    Args:
      below: bool [m], whether the symbol lies below its table.
      distance: integers [m], 0 to 2^32 - 1.

    Returns:
      The packed bits.
    """
    value = distance.astype(np.uint64) + np.uint64(1)
    low_bits = _bit_length(value) - 1
    unary = np.zeros(int(low_bits.sum()) + len(value), np.uint8)
    unary[np.cumsum(low_bits + 1) - 1] = 1
    low = value - (np.uint64(1) << low_bits.astype(np.uint64))
    sign = below.astype(np.uint64) << low_bits.astype(np.uint64)
    return np.packbits(np.concatenate([unary, fields_to_bits(low | sign, low_bits + 1)])).tobytes()


def unpack_escapes(data: bytes | memoryview, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Read escape codes that `pack_escapes` wrote; inverse of it.

    Args:
      data: the packed bits, no byte more or less.
      count: number of codes m, >= 0.

    Returns:
      `below`, bool [m], and `distance`, int64 [m].

    Raises:
      CorruptFile: if the bits are not `count` codes.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    ends = np.flatnonzero(bits)[:count]
    damaged = CorruptFile("the escape codes are damaged; get an intact copy of the file")
    if len(ends) < count:
        raise damaged
    widths = np.diff(ends, prepend=-1)  # low bits and sign
    if count and widths.max() > MAX_LOW_BITS + 1:
        raise damaged
    start = int(ends[-1]) + 1 if count else 0
    stop = start + int(widths.sum())
    if stop > len(bits) or len(bits) - stop >= 8 or bits[stop:].any():
        raise damaged
    fields = bits_to_fields(bits[start:stop], widths).astype(np.int64)
    one = np.int64(1) << (widths - 1)
    return (fields & one) != 0, (fields & (one - 1)) + one - 1


def fields_to_bits(values: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Lay out integers of different widths one after the other, high bit first.

    Args:
      values: uint64 [m], each below 2^width.
      widths: integers [m], 0 to 64.

    Returns:
      uint8 [sum of widths], zeros and ones.
    """
    parts = [np.zeros(0, np.uint8)]
    for start in range(0, len(values), _CHUNK):
        rows = np.unpackbits(values[start : start + _CHUNK].astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
        parts.append(rows[_used(widths[start : start + _CHUNK])])
    return np.concatenate(parts)


def bits_to_fields(bits: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Read integers of different widths; inverse of `fields_to_bits`.

    Args:
      bits: uint8 [sum of widths], zeros and ones.
      widths: integers [m], 0 to 64.

    Returns:
      uint64 [m].
    """
    parts, position = [np.zeros(0, np.uint64)], 0
    for start in range(0, len(widths), _CHUNK):
        used = _used(widths[start : start + _CHUNK])
        rows, size = np.zeros(used.shape, np.uint8), int(np.count_nonzero(used))
        rows[used] = bits[position : position + size]
        position += size
        parts.append(np.packbits(rows, axis=1).view(">u8")[:, 0].astype(np.uint64))
    return np.concatenate(parts)


def _used(widths: np.ndarray) -> np.ndarray:
    """Mark the low `width` of 64 bits in each row."""
    return np.arange(64) >= 64 - np.asarray(widths)[:, None]


def _bit_length(values: np.ndarray) -> np.ndarray:
    """Count the bits of positive integers below 2^53 (exact in float64)."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)
