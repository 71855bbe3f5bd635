"""The coding order of the progressive model: scales, phases of a 2x2 cell and the neighbours that each may read."""

from typing import NamedTuple

SCALES = 2
"""Subsamplings of the latent."""
CELL = 2
COARSE = 3
"""Weight bank of the coarsest grid; banks 0-2 belong to the phases."""


class Phase(NamedTuple):
    """One of the three coded positions of a 2x2 cell.

    Attributes:
      position: (row, column) inside the cell.
      taps: offsets (row, column) to positions decoded earlier; the first `SIGNED_TAPS` are the nearest.
    """

    position: tuple[int, int]
    taps: tuple[tuple[int, int], ...]


SIGNED_TAPS = 4
TAPS = 12
_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
_CROSS = ((-1, 0), (1, 0), (0, -1), (0, 1))
_TALL = ((-2, -1), (-2, 1), (2, -1), (2, 1))
PHASES = (
    Phase((0, 0), (*_DIAGONAL, (-1, -3), (-1, 3), (1, -3), (1, 3), (-3, -1), (-3, 1), (3, -1), (3, 1))),
    Phase((0, 1), (*_CROSS, (-1, -2), (-1, 2), (1, -2), (1, 2), *_TALL)),
    Phase((1, 0), (*_CROSS, *_DIAGONAL, *_TALL)),
)
"""(1, 1) is known from the coarser scale; a tap never reads a position that is coded later."""
REACH = 3


class Slot(NamedTuple):
    """One pass over a grid: a scale (2 is the coarsest) and a phase (None for the coarsest grid)."""

    scale: int
    phase: int | None

    @property
    def bank(self) -> int:
        """Index of the weights."""
        return COARSE if self.phase is None else self.phase


SLOTS = (Slot(SCALES, None), *(Slot(scale, phase) for scale in (1, 0) for phase in range(3)))


def bank_of(name: str, slot: int) -> int:
    """Return which bank of a layer's weights a slot uses; "w1" has none for the coarsest grid, which has no taps."""
    # There the first layer multiplies zeros, so any bank will do.
    return 0 if name == "w1" and SLOTS[slot].phase is None else SLOTS[slot].bank
