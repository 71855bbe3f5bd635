"""Write PNG files of 8 or 16 bits a sample: Pillow writes no 16-bit colour.

Portable Network Graphics, third edition, W3C 2025: chunks (section 5), filters (9), compression (10), iCCP (11.3.2.3).
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Colour type by the number of channels: grey, grey and alpha, RGB, RGBA."""
_BAND_BYTES = 1 << 22
"""About as many bytes are filtered at a time, so that large pictures need no multiple of their memory."""


def encode_png(samples: np.ndarray, icc: bytes | None = None, *, level: int = 6) -> bytes:
    """Make the bytes of a PNG file, rows filtered for the minimum sum of absolute differences.

    Args:
        samples: uint8 or uint16, [H, W] (grey), [H, W, 2] (grey and alpha), [H, W, 3] (RGB) or [H, W, 4] (RGBA), sides
            from 1 to 2^31 - 1.
        icc: an ICC profile to embed.
        level: of zlib, 0 to 9.

    Returns:
        The file.
    """
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    pixel_bytes = channels * samples.itemsize
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", header)]
    if icc is not None:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc, 9)))
    compressor = zlib.compressobj(level, zlib.DEFLATED, 15, 9, zlib.Z_FILTERED)
    for band in _bands(samples):
        chunks.append(_chunk(b"IDAT", compressor.compress(filter_rows(*band, pixel_bytes).tobytes())))
    chunks += [_chunk(b"IDAT", compressor.flush()), _chunk(b"IEND", b"")]
    return b"".join(chunks)


def filter_rows(rows: np.ndarray, above: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """Filter rows, each with the filter whose output has the smallest sum of absolute values, read as signed bytes.

    Args:
        rows: uint8 [N, B], the bytes of N rows.
        above: uint8 [B], the row above the first, zeros at the top.
        pixel_bytes: bytes of a pixel.

    Returns:
        uint8 [N, 1 + B], the type of the filter before each row.
    """
    raw = rows.astype(np.int16)
    up = np.vstack([above, rows[:-1]]).astype(np.int16)
    left, corner = (np.pad(row, ((0, 0), (pixel_bytes, 0)))[:, : row.shape[1]] for row in (raw, up))
    best = rows
    kinds = np.zeros(len(rows), np.uint8)
    cost = _cost(rows)
    for kind, prediction in enumerate((left, up, (left + up) >> 1, _paeth(left, up, corner)), 1):
        filtered = (raw - prediction).astype(np.uint8)
        sums = _cost(filtered)
        better = sums < cost
        best = np.where(better[:, None], filtered, best)
        kinds, cost = np.where(better, np.uint8(kind), kinds), np.minimum(sums, cost)
    return np.hstack([kinds[:, None], best])


def _bands(samples: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the bytes of some rows at a time, uint8 [N, B], and of the row above them."""
    height = samples.shape[0]
    row_bytes = samples[0].nbytes
    count = max(1, _BAND_BYTES // row_bytes)
    above = np.zeros(row_bytes, np.uint8)
    for start in range(0, height, count):
        band = np.ascontiguousarray(samples[start : start + count], f">u{samples.itemsize}")
        rows = band.reshape(len(band), -1).view(np.uint8)
        yield rows, above
        above = rows[-1]


def _paeth(left: np.ndarray, up: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Return whichever of the three is nearest to left + up - corner, ties in this order (section 9.4)."""
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))


def _cost(filtered: np.ndarray) -> np.ndarray:
    return np.minimum(filtered, -filtered).sum(1, dtype=np.int64)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
