"""The order in which a latent is coded, as data.

A `Schedule` is a sequence of steps. Each step names a grid (the latent subsampled some times) and, for ranges of
channels, the positions inside a repeated cell of that grid. Training, encoding and decoding read the same value, and
the number of steps does not depend on the size of the picture. numpy only.

Sources: appendix A of the specification; MSP: Zhang et al., arXiv 2210.04112 (order read in the VCM reference
software); checkerboard: He et al., CVPR 2021; channel groups: He et al. (ELIC), CVPR 2022; HPCM: Li et al., ICCV 2025.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from jaxicm.entropy.phases import CELL, PHASES, SCALES, SLOTS

Position = tuple[int, int]


@dataclass(frozen=True)
class Part:
    """Positions of a cell in a range of channels.

    Attributes:
      channels: half-open range (start, stop).
      cell: (rows, columns) of the repeated cell.
      positions: (row, column) inside the cell, in any order.
    """

    channels: tuple[int, int]
    cell: tuple[int, int]
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class Step:
    """Entries that are coded together, given everything before them.

    Attributes:
      scale: subsamplings of the step's grid; position p of it lies at `2**scale * p + 2**scale - 1` of the latent.
      parts: what is coded.
      prior: whether a model without context codes the step (the factorised prior).
    """

    scale: int
    parts: tuple[Part, ...]
    prior: bool = False

    def grid_mask(self, height: int, width: int, channels: int) -> np.ndarray:
        """Return bool `[height, width, channels]` on the step's own grid of that size."""
        mask = np.zeros((height, width, channels), bool)
        for part in self.parts:
            for row, column in part.positions:
                mask[row :: part.cell[0], column :: part.cell[1], slice(*part.channels)] = True
        return mask

    def mask(self, height: int, width: int, channels: int) -> np.ndarray:
        """Return bool `[height, width, channels]` on the finest grid, whose size is given."""
        mask = np.zeros((height, width, channels), bool)
        view = subsample(mask, self.scale)
        view[...] = self.grid_mask(view.shape[0], view.shape[1], channels)
        return mask


@dataclass(frozen=True)
class Schedule:
    """A complete order: every entry of a latent of any size belongs to exactly one step.

    Attributes:
      name: of the preset.
      channels: of the latent.
      scales: subsamplings of the coarsest grid; its steps come first.
      steps: in coding order.

    Raises:
      ValueError: if an entry is coded twice or never, or a coarser grid follows a finer one.
    """

    name: str
    channels: int
    scales: int
    steps: tuple[Step, ...]

    def __post_init__(self):
        order = [step.scale for step in self.steps]
        if order != sorted(order, reverse=True) or not order or order[0] != self.scales:
            raise ValueError(f"{self.name}: steps must go from scale {self.scales} down, got {order}")
        # Masks repeat, so one period shows whether every entry is coded once at any size.
        cells = [(part.cell, step.scale) for step in self.steps for part in step.parts]
        rows, columns = (math.lcm(*(cell[axis] << scale for cell, scale in cells)) for axis in (0, 1))
        count = np.zeros((rows, columns, self.channels), np.int32)
        for step in self.steps:
            view = subsample(count, step.scale)
            view += step.grid_mask(view.shape[0], view.shape[1], self.channels)
        if not (count == 1).all():
            raise ValueError(f"{self.name}: entries must be coded once, found {count.min()} to {count.max()} times")

    @property
    def network_steps(self) -> int:
        """Steps that need a network, the sequential cost of coding."""
        return sum(not step.prior for step in self.steps)

    def masks(self, height: int, width: int) -> np.ndarray:
        """Return the entries of each step on the finest grid, bool `[steps, height, width, channels]`."""
        return np.stack([step.mask(height, width, self.channels) for step in self.steps])

    def for_size(self, height: int, width: int) -> "Schedule":
        """Leave out the scales that a small latent does not have.

        A latent with a side below `2**scales` has no coarsest grid. The steps of the coarsest grid then move to scale
        `min(scales, floor(log2(min(height, width))))`. Both sides derive it from the size; nothing is signalled.
        """
        scales = effective_scales(self.scales, height, width)
        if scales == self.scales:
            return self
        coarsest = tuple(replace(step, scale=scales) for step in self.steps if step.scale == self.scales)
        finer = tuple(step for step in self.steps if step.scale < scales)
        return replace(self, scales=scales, steps=coarsest + finer)


def effective_scales(scales: int, height: int, width: int) -> int:
    """Return how many of `scales` subsamplings leave at least one position, `height` and `width` >= 1."""
    return min(scales, min(height, width).bit_length() - 1)


def subsample(grid: np.ndarray, scale: int) -> np.ndarray:
    """Return the view `[..rows, ..columns]` of the positions that scale keeps (the odd ones, `scale` times)."""
    stride = 1 << scale
    return grid[stride - 1 :: stride, stride - 1 :: stride]


def whole(channels: int, scale: int, *, prior: bool) -> Step:
    """Return the step that codes all of a grid at once."""
    return Step(scale, (Part((0, channels), (1, 1), ((0, 0),)),), prior)


def msp(
    name: str, channels: int, *, scales: int, cell: tuple[int, int], order: tuple[Position, ...], seeds: int
) -> Schedule:
    """Build a multi-scale progressive order.

    Args:
      name: of the order.
      channels: of the latent, > `seeds`.
      scales: subsamplings.
      cell: of every grid.
      order: the positions of the cell that the coarser scale does not give, as coded.
      seeds: leading channels that are coded one by one; the others follow at once.

    Returns:
      The schedule; its first step is the coarsest grid under the prior.
    """
    ranges = [(k, k + 1) for k in range(seeds)] + [(seeds, channels)]
    steps = [whole(channels, scales, prior=True)]
    for scale in reversed(range(scales)):
        steps += [Step(scale, (Part(part, cell, (position,)),)) for position in order for part in ranges]
    return Schedule(name, channels, scales, tuple(steps))


def msp_base(channels: int = 128, scales: int = 3, seeds: int = 2) -> Schedule:
    """The paper's profile "base": 2x2 cells, two seed channels, 27 network steps at three scales."""
    order = ((0, 0), (0, 1), (1, 0))
    return msp("msp_base", channels, scales=scales, cell=(2, 2), order=order, seeds=seeds)


def msp_extra(channels: int = 128, scales: int = 4, seeds: int = 4) -> Schedule:
    """The paper's profile "extra": 2x4 cells, four seed channels, 120 network steps at four scales."""
    order = ((1, 2), (1, 0), (0, 3), (0, 1), (0, 2), (0, 0))
    return msp("msp_extra", channels, scales=scales, cell=(2, 4), order=order, seeds=seeds)


_EVEN: tuple[Position, ...] = ((0, 0), (1, 1))
_ODD: tuple[Position, ...] = ((0, 1), (1, 0))


def checkerboard(channels: int = 128) -> Schedule:
    """Two steps: the even fields of a checkerboard, then the odd ones."""
    steps = tuple(Step(0, (Part((0, channels), (2, 2), fields),)) for fields in (_EVEN, _ODD))
    return Schedule("checkerboard", channels, 0, steps)


def channel_groups(channels: int = 320, sizes: tuple[int, ...] = (16, 16, 32, 64)) -> Schedule:
    """Uneven channel groups as in ELIC, each in two checkerboard steps; the last group is the rest.

    Groups beyond `channels` are left out.
    """
    edges = [0, *(int(edge) for edge in np.cumsum(sizes) if edge < channels), channels]
    steps = [
        Step(0, (Part((start, stop), (2, 2), fields),))
        for start, stop in itertools.pairwise(edges)
        for fields in (_EVEN, _ODD)
    ]
    return Schedule("channel_groups", channels, 0, tuple(steps))


_QUARTERS: tuple[Position, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
_PATTERNS: tuple[tuple[Position, Position], ...] = (
    ((0, 0), (2, 2)), ((0, 2), (2, 0)), ((1, 1), (3, 3)), ((1, 3), (3, 1)),
    ((0, 1), (2, 3)), ((0, 3), (2, 1)), ((1, 0), (3, 2)), ((1, 2), (3, 0)),
)  # fmt: skip
"""HPCM's eight patterns of a 4x4 cell."""
_FINE = (
    (0, 2, 4, 6, 1, 3, 5, 7), (1, 3, 5, 7, 0, 2, 4, 6), (2, 4, 6, 0, 3, 5, 7, 1), (3, 5, 7, 1, 2, 4, 6, 0),
    (4, 6, 0, 2, 5, 7, 1, 3), (5, 7, 1, 3, 4, 6, 0, 2), (6, 0, 2, 4, 7, 1, 3, 5), (7, 1, 3, 5, 6, 0, 2, 4),
)  # fmt: skip
"""Pattern of each eighth of the channels in each fine step; the first two rows are the middle scale."""
_MIDDLE = ((0, 1, 2, 3), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2))
"""Position in the 2x2 cell of each quarter of the channels in each middle step; the first row is the coarse scale."""


def hpcm(channels: int = 320) -> Schedule:
    """An order like HPCM's: 2 coarse, 3 middle and 6 fine steps, every step with other positions in other channels.

    Its coarser grids lie at other positions in other channels, so all steps are given on the finest grid (scale 0).
    The order of the quarters inside the 2x2 cell is not known from the source; it is row-major here.

    Args:
      channels: of the latent, at least 8; eighths are as equal as possible.
    """
    if channels < 8:
        raise ValueError(f"hpcm needs at least 8 channels, got {channels}")

    def eighth(j: int) -> tuple[int, int]:
        return j * channels // 8, (j + 1) * channels // 8

    def middle_origin(j: int) -> Position:
        # The two patterns of an eighth make up one position of each 2x2 cell.
        return _PATTERNS[_FINE[0][j]][0] if _FINE[0][j] % 2 == 0 else _PATTERNS[_FINE[1][j]][0]

    def on_finest(j: int, rows: int, middle: tuple[Position, ...]) -> Part:
        row, column = middle_origin(j)
        return Part(eighth(j), (2 * rows, 2 * rows), tuple((2 * r + row, 2 * c + column) for r, c in middle))

    steps = []
    for step in range(2):
        parts = []
        for j in range(8):
            r, c = _QUARTERS[_MIDDLE[0][j // 2]]
            fields = _EVEN if (j // 4 + step) % 2 == 0 else _ODD
            parts.append(on_finest(j, 4, tuple((2 * a + r, 2 * b + c) for a, b in fields)))
        steps.append(Step(0, tuple(parts)))
    for table in _MIDDLE[1:]:
        steps.append(Step(0, tuple(on_finest(j, 2, (_QUARTERS[table[j // 2]],)) for j in range(8))))
    for table in _FINE[2:]:
        steps.append(Step(0, tuple(Part(eighth(j), (4, 4), _PATTERNS[table[j]]) for j in range(8))))
    return Schedule("hpcm", channels, 0, tuple(steps))


def jaxicm(channels: int = 320, groups: int = 4) -> Schedule:
    """Our order: that of `entropy.progressive`, from its constants.

    Args:
      channels: of the latent, divisible by `groups`.
      groups: of channels, one after the other at every position.
    """
    if channels % groups:
        raise ValueError(f"channels must be divisible by groups, got {channels} and {groups}")
    size = channels // groups
    steps = []
    for slot in SLOTS:
        side, position = (1, (0, 0)) if slot.phase is None else (CELL, PHASES[slot.phase].position)
        for g in range(groups):
            steps.append(Step(slot.scale, (Part((g * size, (g + 1) * size), (side, side), (position,)),)))
    return Schedule("jaxicm", channels, SCALES, tuple(steps))


PRESETS: dict[str, Callable[[int], Schedule]] = {
    "msp_base": msp_base,
    "msp_extra": msp_extra,
    "checkerboard": checkerboard,
    "channel_groups": channel_groups,
    "hpcm": hpcm,
    "jaxicm": jaxicm,
}
"""Orders by name: functions of the number of channels."""
