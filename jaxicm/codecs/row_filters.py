"""Filters of rows before a general compressor, after those of PNG, but invertible a whole row at a time.

A row of bytes is written as its difference, modulo 256, from a prediction: nothing, the byte of the same channel to the
left, the byte above, or left + above - above left (the plane through the three; PNG's Paeth filter picks one of them,
which only a loop over bytes can undo). Sixteen-bit samples are two byte planes, high bytes first, so that a plane of
smooth high bytes is not torn apart by noisy low ones.

The result: for each byte plane the filters of its rows (a byte each), then for each byte plane its rows.
"""

import numpy as np

from jaxicm.errors import CorruptFile

NONE, LEFT, ABOVE, PLANE = range(4)
_BAND = 256
"""Rows filtered at once: bounds the memory."""


def size_bytes(shape: tuple[int, int, int], dtype: np.dtype) -> int:
    """Return the bytes that `forward` makes of samples `[H, W, C]`."""
    return dtype.itemsize * shape[0] * (shape[1] * shape[2] + 1)


def forward(cube: np.ndarray) -> bytes:
    """Filter samples, each row by the filter with the smallest sum of absolute differences (as PNG encoders do).

    Args:
      cube: uint8 or uint16 `[H, W, C]`.

    Returns:
      `size_bytes` bytes.
    """
    choices, rows = [], []
    for plane in _byte_planes(cube):
        for start in range(0, len(plane), _BAND):
            choice, filtered = _filter_band(plane[start : start + _BAND], plane[start - 1] if start else None)
            choices.append(choice.tobytes())
            rows.append(filtered.tobytes())
    return b"".join(choices + rows)


def inverse(data: bytes, shape: tuple[int, int, int], dtype: np.dtype) -> np.ndarray:
    """Undo `forward`.

    Args:
      data: `size_bytes` bytes.
      shape: `[H, W, C]`.
      dtype: uint8 or uint16.

    Returns:
      The samples.

    Raises:
      CorruptFile: if a row has no filter of these.
    """
    height, planes = shape[0], dtype.itemsize
    stored = np.frombuffer(data, np.uint8)
    choices = stored[: planes * height].reshape(planes, height)
    if choices.max() > PLANE:
        raise CorruptFile(
            f"found the row filter {choices.max()}, expected 0 to {PLANE}; get an intact copy of the file"
        )
    rows = stored[planes * height :].reshape(planes, *shape).copy()
    for plane, choice in zip(rows, choices, strict=True):
        leftward = (choice == LEFT) | (choice == PLANE)
        plane[leftward] = np.cumsum(plane[leftward], axis=1, dtype=np.uint8)
        for y in np.flatnonzero(choice[1:] >= ABOVE) + 1:
            plane[y] += plane[y - 1]
    if planes == 1:
        return rows[0]
    return rows[0].astype(np.uint16) << np.uint16(8) | rows[1]


def _filter_band(band: np.ndarray, before: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Filter some rows `[N, W, C]`, uint8, below the row `before`; return the filters `[N]` and the filtered rows."""
    above = np.zeros_like(band)
    above[1:] = band[:-1]
    if before is not None:
        above[0] = before
    vertical = band - above
    options = np.stack([band, _from_left(band), vertical, _from_left(vertical)])
    # The distance from 0 modulo 256, summed over a row.
    weights = np.minimum(options, -options).reshape(*options.shape[:2], -1).sum(2, dtype=np.int64)
    choice = weights.argmin(0).astype(np.uint8)
    return choice, options[choice, np.arange(len(band))]


def _byte_planes(cube: np.ndarray) -> list[np.ndarray]:
    if cube.itemsize == 1:
        return [cube]
    return [(cube >> np.uint16(8)).astype(np.uint8), (cube & np.uint16(255)).astype(np.uint8)]


def _from_left(plane: np.ndarray) -> np.ndarray:
    difference = plane.copy()
    difference[:, 1:] -= plane[:, :-1]
    return difference
