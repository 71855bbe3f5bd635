"""Which of several versions of a picture each block shows: choosing, coding and blending indices (system S1).

Indices are coded in raster order by the adaptive binary coder: whether a block is as its left neighbour, else whether
it is as the one above, else which of the others it is, bit by bit, bits that are certain left out. So no message names
an index that does not exist, and blocks that are all the same cost about a byte.

Blocks leave no seams: within `BLEND` luma samples of a border the two versions are mixed, with weights that rise
linearly across it, in whole sixteenths along each axis. All of it is integers, the same in encoder and decoder.
"""

from collections.abc import Mapping, Sequence
from math import log2

import numpy as np

from jaxicm.bits.binary import PROBABILITY_BITS, BinaryCoder, BinaryDecoder, BinaryEncoder, Context
from jaxicm.errors import CorruptFile
from jaxicm.media.yuv import Planes

BLOCKS = (0, 32, 64, 128, 256)
"""Sides of a block in luma samples, 0 for one block as large as the picture; the position is the number in the file."""
BLEND = 4
"""Luma samples on each side of a border in which versions are mixed, half as many of chroma."""
_UNIT = 16
"""Weights along an axis are whole multiples of its inverse."""


def grid(height: int, width: int, block: int) -> tuple[int, int]:
    """Return the rows and columns of blocks of a picture; block is one of `BLOCKS`."""
    return (-(-height // block), -(-width // block)) if block else (1, 1)


def block_errors(a: Sequence[np.ndarray], b: Sequence[np.ndarray], block: int, chroma_weight: float) -> np.ndarray:
    """Return the squared error of each block.

    Args:
      a, b: planes of 4:2:0, or luma alone, integers of the same shapes.
      block: one of `BLOCKS`.
      chroma_weight: of a squared error of chroma relative to luma's.

    Returns:
      float64 `[rows, columns]`.
    """
    total = np.zeros(grid(a[0].shape[0], a[0].shape[1], block))
    for number, (p, q) in enumerate(zip(a, b, strict=True)):
        side, squares = block // 2 if number else block, np.square(p.astype(np.int64) - q)
        for axis in (0, 1):
            length = squares.shape[axis]
            squares = np.add.reduceat(squares, np.arange(0, length, side or length), axis)
        total += squares * (chroma_weight if number else 1.0)
    return total


def choose(errors: np.ndarray, bit_worth: float) -> np.ndarray:
    """Choose an index for each block by its squared error and the bits that it costs after those before it.

    Args:
      errors: `[K, rows, columns]`, of K versions.
      bit_worth: squared error that a bit is worth.

    Returns:
      int `[rows, columns]`, 0 to K - 1.
    """
    count, rows, columns = errors.shape
    contexts, encoder, indices = _IndexContexts(count), BinaryEncoder(), np.zeros((rows, columns), np.int64)
    for row, column in np.ndindex(rows, columns):
        near = _neighbours(indices, row, column)
        costs = [errors[k, row, column] + bit_worth * _cost_bits(contexts, k, near) for k in range(count)]
        indices[row, column] = contexts.code(encoder, int(np.argmin(costs)), near)
    return indices


def write_map(indices: np.ndarray, block: int, count: int) -> bytes:
    """Write the indices of a picture.

    Args:
      indices: int `[rows, columns]`, 0 to count - 1.
      block: one of `BLOCKS`.
      count: of versions, at least 2.

    Returns:
      The number of the block's size, and the message of the binary coder.
    """
    contexts, encoder = _IndexContexts(count), BinaryEncoder()
    for row, column in np.ndindex(*indices.shape):
        contexts.code(encoder, int(indices[row, column]), _neighbours(indices, row, column))
    return bytes([BLOCKS.index(block)]) + encoder.finish()


def read_map(payload: bytes, height: int, width: int, count: int) -> tuple[np.ndarray, int]:
    """Read what `write_map` wrote.

    Args:
      payload: bytes.
      height, width: of the picture in luma samples.
      count: of versions, at least 2.

    Returns:
      int `[rows, columns]`, and the side of a block.

    Raises:
      CorruptFile: the size of the blocks is unknown, or the message does not end where it should.
    """
    block = block_of(payload)
    contexts, decoder = _IndexContexts(count), BinaryDecoder(payload[1:])
    indices = np.zeros(grid(height, width, block), np.int64)
    for row, column in np.ndindex(*indices.shape):
        indices[row, column] = contexts.code(decoder, 0, _neighbours(indices, row, column))
    decoder.finish()
    return indices, block


def block_of(payload: bytes) -> int:
    """Return the side of a block of `write_map`'s payload; raise CorruptFile where it is unknown."""
    if not payload or payload[0] >= len(BLOCKS):
        raise CorruptFile("the map of the blocks has an unknown size of block; update jaxicm or get an intact copy")
    return BLOCKS[payload[0]]


def blend(versions: Mapping[int, Sequence[np.ndarray]], indices: np.ndarray, block: int) -> Planes:
    """Show in each block the version of its index, mixed with its neighbours' near their borders.

    Args:
      versions: planes of 4:2:0, or luma alone, by index; those that `indices` holds.
      indices: int `[rows, columns]`.
      block: one of `BLOCKS`.

    Returns:
      Planes of the same shapes and type, rounded half up.
    """
    used = [int(k) for k in np.unique(indices)]
    if len(used) == 1:
        return tuple(versions[used[0]])
    shown = []
    for number, like in enumerate(versions[used[0]]):
        part = 2 if number else 1
        down, across = (
            _shares(length, blocks, block // part, BLEND // part)
            for length, blocks in zip(like.shape, indices.shape, strict=True)
        )
        total = np.full(like.shape, _UNIT**2 // 2, np.int32)
        for k in used:
            # Products of float32, fast, and exact: all sums are whole numbers up to 256.
            weight = down.T @ (indices == k).astype(np.float32) @ across
            total += weight.astype(np.int32) * versions[k][number]
        shown.append((total // _UNIT**2).astype(like.dtype))
    return tuple(shown)


def _shares(length: int, blocks: int, side: int, reach: int) -> np.ndarray:
    """Return how much of each sample along an axis belongs to each block, float32 `[blocks, length]` in sixteenths."""
    distance = np.arange(length) - side * np.arange(blocks + 1)[:, None]
    # Of the blocks from each one on; around a border 2 reach samples rise in equal steps, symmetrically.
    later = np.clip((2 * distance + 2 * reach + 1) * (_UNIT // (4 * reach)), 0, _UNIT)
    later[0], later[-1] = _UNIT, 0
    return (later[:-1] - later[1:]).astype(np.float32)


class _IndexContexts:
    """What the coder of indices has learned so far."""

    def __init__(self, count: int):
        self._count = count
        self._agree, self._differ, self._above = Context(), Context(), Context()
        self._tree = [Context() for _ in range(1 << (count - 1).bit_length())]

    def code(self, coder: BinaryCoder, index: int, near: Sequence[int]) -> int:
        """Write or read an index; `near` holds those of the blocks at the left and above, as far as they exist."""
        distinct = list(dict.fromkeys(near))
        flags = (self._agree,) if len(distinct) == 1 else (self._differ, self._above)
        others = set(range(self._count))
        for known, context in zip(distinct, flags, strict=False):
            others.discard(known)
            # With two versions the second flag would be certain.
            if not others or coder.code(index == known, context):
                return known
        node = 1
        for place in reversed(range((self._count - 1).bit_length())):
            ones = {k for k in others if k >> place & 1}
            bit = bool(ones)
            if bit and len(ones) < len(others):
                bit = coder.code(index >> place & 1 == 1, self._tree[node])
            others = ones if bit else others - ones
            node = 2 * node + bit
        return others.pop()


class _Meter:
    """Adds up what bits would cost, without learning from them. Follows `BinaryCoder`."""

    def __init__(self):
        self.bits = 0.0

    def code(self, bit: bool, context: Context) -> bool:
        zero = context.probability / (1 << PROBABILITY_BITS)
        self.bits -= log2(1 - zero if bit else zero)
        return bit

    def code_bypass(self, bit: bool) -> bool:
        self.bits += 1
        return bit


def _cost_bits(contexts: _IndexContexts, index: int, near: Sequence[int]) -> float:
    meter = _Meter()
    contexts.code(meter, index, near)
    return meter.bits


def _neighbours(indices: np.ndarray, row: int, column: int) -> list[int]:
    places = ([(row, column - 1)] if column else []) + ([(row - 1, column)] if row else [])
    return [int(indices[place]) for place in places]
