"""Orders in which the pixels of a picture are coded, and the neighbours that each step may read.

The picture is subsampled by two, several times, keeping the odd rows and columns. The coarsest grid comes first; at
each finer scale the pixels that it does not give follow in steps, one position of a repeated cell after the other, all
channels of a pixel together. An order is a `Schedule`, one value.

Source: system S7 (Zhang et al., "Lossless image compression using a multi-scale progressive statistical model", ACCV
2020); the order of 4x4 cells is that of appendix A.2 of the specification.
"""

import functools
import random
from typing import NamedTuple

from jaxicm.entropy.schedule import Position, Schedule, msp

CELLS: dict[str, tuple[Position, tuple[Position, ...]]] = {
    "2x2": ((2, 2), ((0, 0), (0, 1), (1, 0))),
    "2x4": ((2, 4), ((1, 2), (1, 0), (0, 3), (0, 1), (0, 2), (0, 0))),
    "4x4": (
        (4, 4),
        ((2, 2), (0, 0), (2, 0), (0, 2), (1, 2), (3, 0), (1, 0), (3, 2), (2, 1), (0, 3), (0, 1), (2, 3)),
    ),
}
"""Cells by name: their sides, and the positions that the coarser grid does not give, as coded."""


class Order(NamedTuple):
    """An order of pixels.

    Attributes:
      cell: name of the cell, a key of `CELLS`.
      kind: "fixed" (as in `CELLS`) or "random" (the same positions, shuffled).
      seed: of the shuffle.
    """

    cell: str = "2x2"
    kind: str = "fixed"
    seed: int = 0


@functools.cache
def pixel_schedule(order: Order, channels: int, scales: int) -> Schedule:
    """Make the schedule of an order.

    Args:
      order: of pixels.
      channels: of a pixel.
      scales: subsamplings.

    Returns:
      The schedule; its first step is the coarsest grid, without a network.
    """
    cell, positions = CELLS[order.cell]
    if order.kind == "random":
        positions = tuple(random.Random(order.seed).sample(positions, len(positions)))
    return msp(f"{order.cell}-{order.kind}", channels, scales=scales, cell=cell, order=positions, seeds=0)


class Phase(NamedTuple):
    """One step at every scale: a position of the cell and what it reads.

    Attributes:
      position: (row, column) inside the cell.
      taps: offsets (row, column) to pixels decoded earlier, the nearest first.
    """

    position: Position
    taps: tuple[Position, ...]


@functools.cache
def phases(order: Order, taps: int) -> tuple[Phase, ...]:
    """List the steps of a scale.

    Args:
      order: of pixels.
      taps: neighbours of each.

    Returns:
      One phase for each position that is coded.
    """
    steps = [step for step in pixel_schedule(order, 1, 1).steps if not step.prior]
    rows, columns = CELLS[order.cell][0]
    known = {(r, c) for r in range(1, rows, 2) for c in range(1, columns, 2)}
    found = []
    for step in steps:
        position = step.parts[0].positions[0]
        found.append(Phase(position, _nearest(position, known, (rows, columns), taps)))
        known.add(position)
    return tuple(found)


def _nearest(position: Position, known: set[Position], cell: Position, count: int) -> tuple[Position, ...]:
    reach = 8
    offsets = [
        (r * r + c * c, r, c)
        for r in range(-reach, reach + 1)
        for c in range(-reach, reach + 1)
        if ((position[0] + r) % cell[0], (position[1] + c) % cell[1]) in known
    ]
    return tuple((r, c) for _, r, c in sorted(offsets)[:count])


def reach(order: Order, taps: int) -> int:
    """Return how many cells the neighbours lie away at most."""
    rows, columns = CELLS[order.cell][0]
    far = [
        max(abs((p.position[0] + r) // rows), abs((p.position[1] + c) // columns))
        for p in phases(order, taps)
        for r, c in p.taps
    ]
    return max(far)
