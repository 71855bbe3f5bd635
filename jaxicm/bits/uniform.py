"""Symbols of which nothing is known but their bounds, for :mod:`jaxicm.bits.intervals`.

Symbol y of N, from 0 on, owns the slots [y * 2^20 // N, (y + 1) * 2^20 // N).
"""

import numpy as np

from .cumulative import TOTAL


class Uniform:
    """Hold n equal distributions.

    Args:
      n: how many, >= 0.
      low, high: inclusive bounds, at most 2^17 symbols apart.

    Raises:
      ValueError: if there is no symbol between the bounds, or too many.
    """

    def __init__(self, n: int, low: int, high: int) -> None:
        if not low <= high < low + (1 << 17):
            raise ValueError(f"the bounds must hold 1 to 2^17 symbols, got {low} to {high}")
        self._n, self._count, self.first = n, high - low + 1, np.full(n, low, np.int32)

    def __len__(self) -> int:
        return self._n

    def interval(self, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first slot and the number of slots of symbols [n] within the bounds, uint32 [n] each."""
        entry = np.subtract(symbols, self.first, dtype=np.int64)
        if np.any((entry < 0) | (entry >= self._count)):
            raise ValueError("a symbol lies outside the bounds of its distribution")
        start = self._start(entry)
        return start.astype(np.uint32), (self._start(entry + 1) - start).astype(np.uint32)

    def part(self, start: int, stop: int, rows: int) -> "Uniform":
        """Return the distributions of some of the symbols: they are all alike."""
        del start, stop, rows
        return self

    def search(self, row: int, slots: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Write the entries that own the slots; return slot - first slot, and frequency."""
        del row
        np.floor_divide((slots + 1) * self._count - 1, TOTAL, out=out, casting="unsafe")
        start = self._start(out.astype(np.int64))
        return slots - start, self._start(out.astype(np.int64) + 1) - start

    def _start(self, entry: np.ndarray) -> np.ndarray:
        return entry * TOTAL // self._count
