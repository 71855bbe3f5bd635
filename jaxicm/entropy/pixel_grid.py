"""One grid of a picture while it is decoded, on the host: its sublattices, and the neighbours of a position."""

import numpy as np

from jaxicm.entropy.pixel_order import Phase
from jaxicm.entropy.schedule import Position


class PixelGrid:
    """The pixels of a grid, sorted by their position in the cell, with repeated edges.

    Every sublattice is padded on its own, so that what lies outside the picture never depends on pixels that are not
    decoded yet. A sublattice without any pixel, in a picture smaller than a cell, counts as zeros.

    Args:
      height, width: of the grid.
      channels: of a pixel.
      cell: (rows, columns) of the repeated cell.
      margin: cells by which neighbours lie away at most.
    """

    def __init__(self, height: int, width: int, channels: int, cell: Position, margin: int):
        self._size, self._cell, self._margin = (height, width), cell, margin
        self._most = -(-height // cell[0]), -(-width // cell[1])
        self._padded: dict[Position, np.ndarray] = {}
        self._channels = channels

    def shape(self, position: Position) -> tuple[int, int]:
        """Return rows and columns of a sublattice."""
        return tuple((side - p + c - 1) // c for side, p, c in zip(self._size, position, self._cell, strict=True))  # pyright: ignore[reportReturnType]

    def put(self, position: Position, values: np.ndarray) -> None:
        """Take the pixels of a position of the cell, int32 `[rows, columns, C]`."""
        rows, columns = values.shape[:2]
        after = [self._margin + most - own for most, own in zip(self._most, (rows, columns), strict=True)]
        if rows and columns:
            margins = ((self._margin, after[0]), (self._margin, after[1]), (0, 0))
            self._padded[position] = np.pad(values, margins, mode="edge")
        else:
            shape = (self._most[0] + 2 * self._margin, self._most[1] + 2 * self._margin, self._channels)
            self._padded[position] = np.zeros(shape, np.int32)

    def gather(self, phase: Phase, start: int, stop: int, out: np.ndarray) -> None:
        """Collect the taps of the positions of a phase.

        Args:
          phase: position and taps.
          start, stop: range of the positions, in row-major order.
          out: int32 `[stop - start, T, C]`, written.
        """
        columns = self.shape(phase.position)[1]
        first, last = start // columns, (stop - 1) // columns + 1
        inside = slice(start - first * columns, stop - first * columns)
        for t, (r, c) in enumerate(phase.taps):
            (down, i), (right, j) = (
                divmod(p + d, k) for p, d, k in zip(phase.position, (r, c), self._cell, strict=True)
            )
            top, left = self._margin + down, self._margin + right
            rows = self._padded[i, j][top + first : top + last, left : left + columns]
            out[:, t] = rows.reshape(-1, self._channels)[inside]

    def assemble(self) -> np.ndarray:
        """Return the whole grid int32 `[height, width, C]`; all positions must have been put."""
        grid = np.empty((*self._size, self._channels), np.int32)
        for (i, j), padded in self._padded.items():
            rows, columns = self.shape((i, j))
            own = padded[self._margin : self._margin + rows, self._margin : self._margin + columns]
            grid[i :: self._cell[0], j :: self._cell[1]] = own
        return grid
