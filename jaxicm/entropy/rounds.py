"""Rounds of a phase: its pixels, spread evenly, so that later rounds learn from earlier ones near by."""

from collections.abc import Iterator, Sequence

import numpy as np

PERIOD = 4
"""Rows and columns after which the rounds repeat."""
Part = tuple[slice, slice]
"""Rows and columns of a lattice."""
EVERYWHERE: Part = (slice(None), slice(None))


def _every(stride: int, *offsets: tuple[int, int]) -> list[Part]:
    return [(slice(row, None, stride), slice(column, None, stride)) for row, column in offsets]


COMPLETING = _every(2, (0, 1), (1, 0), (1, 1))
"""What completes a lattice of which every second row and column is known."""
ROUND_PARTS = (_every(4, (0, 0)), _every(4, (0, 2), (2, 0), (2, 2)), COMPLETING)
"""Pixels of the rounds, in coding order."""
ROUNDS = len(ROUND_PARTS)


def round_of(rows: int, columns: int) -> np.ndarray:
    """Return the round of each pixel of a phase, int `[rows, columns]`, 0 to 2."""
    i, j = np.mgrid[:rows, :columns]
    return np.where((i | j) % 4 == 0, 0, np.where((i | j) % 2 == 0, 1, 2))


def counts(parts: Sequence[Part], shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return rows and columns of each part of a lattice."""
    rows, columns = (range(side) for side in shape[-2:])
    return [(len(rows[part[0]]), len(columns[part[1]])) for part in parts]


def pieces(parts: Sequence[Part], shape: Sequence[int], start: int, stop: int) -> Iterator[tuple[Part, slice, slice]]:
    """Yield what a range of the pixels of some parts consists of: part, range inside it, place in the range."""
    first = 0
    for part, (rows, columns) in zip(parts, counts(parts, shape), strict=True):
        low, high = max(start, first), min(stop, first + rows * columns)
        if low < high:
            yield part, slice(low - first, high - first), slice(low - start, high - start)
        first += rows * columns


def collect_range(plane: np.ndarray, part: Part, inside: slice) -> np.ndarray:
    """Return a range of the pixels of a part of `[..., h, w]`, in row-major order: `[..., n]`."""
    found = plane[..., *part]
    columns = found.shape[-1]
    first, last = inside.start // columns, (inside.stop - 1) // columns + 1
    flat = _flat(found[..., first:last, :])
    return flat[..., inside.start - first * columns : inside.stop - first * columns]


def collect(plane: np.ndarray, parts: Sequence[Part]) -> np.ndarray:
    """Return the pixels of parts of `[..., h, w]`, one part after the other: `[..., n]`."""
    return np.concatenate([_flat(plane[..., *part]) for part in parts], axis=-1)


def _flat(plane: np.ndarray) -> np.ndarray:
    return plane.reshape(*plane.shape[:-2], plane.shape[-2] * plane.shape[-1])
