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
        """Take the pixels of a position of the cell, int32 `[C, rows, columns]`."""
        rows, columns = values.shape[1:]
        after = [self._margin + most - own for most, own in zip(self._most, (rows, columns), strict=True)]
        if rows and columns:
            margins = ((0, 0), (self._margin, after[0]), (self._margin, after[1]))
            self._padded[position] = np.pad(values, margins, mode="edge")
        else:
            shape = (most + 2 * self._margin for most in self._most)
            self._padded[position] = np.zeros((self._channels, *shape), np.int32)

    def plane(self, phase: Phase, tap: int) -> np.ndarray:
        """Return what a tap reads at all positions of a phase, a view `[C, rows, columns]`."""
        (down, i), (right, j) = (
            divmod(p + d, k) for p, d, k in zip(phase.position, phase.taps[tap], self._cell, strict=True)
        )
        rows, columns = self.shape(phase.position)
        top, left = self._margin + down, self._margin + right
        return self._padded[i, j][:, top : top + rows, left : left + columns]

    def assemble(self) -> np.ndarray:
        """Return the whole grid int32 `[C, height, width]`; all positions must have been put."""
        grid = np.empty((self._channels, *self._size), np.int32)
        for (i, j), padded in self._padded.items():
            rows, columns = self.shape((i, j))
            own = padded[:, self._margin : self._margin + rows, self._margin : self._margin + columns]
            grid[:, i :: self._cell[0], j :: self._cell[1]] = own
        return grid
