"""Cutting pictures of any size into windows of a few fixed shapes.

Windows overlap by the reach of the transform on both sides, so that what is kept of each does not depend on the
window. Where a picture is smaller than the window, the rest is filled by repeating its edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Span:
    """One window along one axis, in latent positions: it reads [start, start + size) and keeps [first, last)."""

    start: int
    size: int
    first: int
    last: int


def spans(length: int, size: int, reach: int) -> list[Span]:
    """Cover `length` positions by windows of `size` that overlap by at least twice `reach`.

    Args:
      length: of the axis, at least 1.
      size: of a window, more than twice `reach`.
      reach: positions at an inner window edge that must not be kept.

    Returns:
      Windows in order; what they keep is disjoint and complete.
    """
    if length <= size:
        return [Span(0, size, 0, length)]
    count = -(-(length - 2 * reach) // (size - 2 * reach))
    starts = [k * (length - size) // (count - 1) for k in range(count)]
    edges = [0, *((a + size + b) // 2 for a, b in pairwise(starts)), length]
    return [Span(s, size, a, b) for s, (a, b) in zip(starts, pairwise(edges), strict=True)]


def plan(height: int, width: int, shapes: Sequence[tuple[int, int]], reach: int) -> list[tuple[Span, Span]]:
    """Choose the window shape that covers `height` x `width` with the least work.

    Args:
      height, width: of the latent.
      shapes: window shapes (rows, columns) to choose from.
      reach: of the transform, in latent positions.

    Returns:
      (rows, columns) of each window, row by row.
    """

    def cover(shape: tuple[int, int]) -> tuple[list[Span], list[Span]]:
        return spans(height, shape[0], reach), spans(width, shape[1], reach)

    rows, columns = min(map(cover, shapes), key=lambda c: len(c[0]) * len(c[1]) * c[0][0].size * c[1][0].size)
    return [(r, c) for r in rows for c in columns]


def cut(array: np.ndarray, row: Span, column: Span, unit: int = 1) -> np.ndarray:
    """Copy a window out of `[h * unit, w * unit, C]`, repeating the edge beyond the array."""
    rows, columns = (slice(span.start * unit, (span.start + span.size) * unit) for span in (row, column))
    part = array[rows, columns]
    missing = (row.size * unit - part.shape[0], column.size * unit - part.shape[1])
    return np.pad(part, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge") if any(missing) else part


def paste(out: np.ndarray, window: np.ndarray, row: Span, column: Span, unit: int = 1) -> None:
    """Write what a window keeps into `[h * unit, w * unit, C]`, which may end earlier (a cropped picture)."""
    target = out[row.first * unit : row.last * unit, column.first * unit : column.last * unit]
    top, left = (row.first - row.start) * unit, (column.first - column.start) * unit
    target[...] = window[top : top + target.shape[0], left : left + target.shape[1]]
