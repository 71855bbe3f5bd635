"""What the host knows of one scale while it is coded: decoded values and the features that networks read of them."""

import numpy as np

from jaxicm.entropy import context
from jaxicm.entropy.phases import CELL, PHASES, REACH, SIGNED_TAPS

_ALL_VALUES = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
_SIGNED = context.compand(_ALL_VALUES.astype(np.int32))
_MAGNITUDE = context.MAGNITUDE_TABLE[np.abs(_SIGNED)]


def features(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look up both features of decoded values, in a tenth of the time of computing them.

    Args:
      values: int16, 16 times decoded values, contiguous.

    Returns:
      Companded values and their magnitudes, int8 of the same shape.
    """
    bits = values.view(np.uint16)
    return _SIGNED.take(bits), _MAGNITUDE.take(bits)


class Grid:
    """Decoded values of one scale with the features that networks read, zero where unknown.

    Attributes:
      values: int16 `[rows, columns, channels]`, 16 times the decoded values.
    """

    def __init__(self, rows: int, columns: int, channels: int):
        self.values = np.zeros((rows, columns, channels), np.int16)
        self._features = np.zeros((2, rows + 2 * REACH + 1, columns + 2 * REACH + 1, channels), np.int8)

    def put(self, position: tuple[int, int], values: np.ndarray) -> None:
        """Write values `[rows, columns, C]` at every cell's `position`."""
        (i, j), (rows, columns) = position, values.shape[:2]
        self.values[i::CELL, j::CELL] = values
        for plane, part in zip(self._features, features(values), strict=True):
            plane[REACH + i : -REACH - 1 : CELL, REACH + j : -REACH - 1 : CELL][:rows, :columns] = part

    def gather(self, phase: int, columns: int, start: int, stop: int, out: np.ndarray) -> None:
        """Write the features at the taps of positions `start` to `stop` of a phase, int8 `[positions, taps, C]`."""
        (i, j), taps = PHASES[phase]
        _, height, width, channels = self._features.shape
        row, column = np.divmod(np.arange(start, stop), columns)
        base = (REACH + i + CELL * row) * width + REACH + j + CELL * column
        # Signed features are the first plane, magnitudes the second: one look-up serves both.
        offsets = [r * width + c for r, c in taps[:SIGNED_TAPS]] + [(height + r) * width + c for r, c in taps]
        self._features.reshape(-1, channels).take(np.add.outer(base, offsets), 0, out, mode="clip")
