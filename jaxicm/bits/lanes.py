"""The arithmetic of the encoder's lanes: rows of symbols to states and words, and the flush of the states.

The format is described in :mod:`jaxicm.bits.rans`.
"""

import sys

import numpy as np

from ..errors import CorruptFile, TruncatedFile
from .escape import bits_to_fields, fields_to_bits
from .tables import FREQUENCY_BITS, FREQUENCY_MASK, PRECISION, TOTAL

LOW, HIGH = (0, 1) if sys.byteorder == "little" else (1, 0)
"""Which 32-bit half of a 64-bit state in memory is the low one."""
_U = np.uint64
_CHUNK = 1 << 16  # symbols prepared at once, so that the arrays stay in the cache


def _split(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return frequency and first slot as uint64."""
    return (packed & FREQUENCY_MASK).astype(_U), (packed >> np.uint32(FREQUENCY_BITS)).astype(_U)


def _limit(f: np.ndarray) -> np.ndarray:
    """Return the largest states that take a row of two symbols [..., 2, lanes] and stay below 2^64."""
    return (f[..., 0, :] * f[..., 1, :] << _U(64 - 2 * PRECISION)) - _U(1)  # 2^64 wraps to 0 and then to 2^64 - 1


def _code_singly(x: np.ndarray, f: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the states after encoding one row [2, lanes] of the tail."""
    for i in (1, 0):
        x = x + (x // f[i]) * (_U(TOTAL) - f[i]) + c[i]
    return x


def _encode_tail(rows: np.ndarray, lanes: int) -> tuple[np.ndarray, int]:
    """Encode the last rows, as many as need no word; return the states and the number of rows before them."""
    end = len(rows)

    def encode_down(x: np.ndarray, left: int) -> tuple[np.ndarray, int]:
        while left:
            f, c = _split(rows[left - 1])
            if np.any(x > _limit(f)):
                break
            x, left = _code_singly(x, f, c), left - 1
        return x, left

    x, left = encode_down(np.ones(lanes, _U), end)
    if not left:
        return x, 0
    # Up to the frequency of the first symbol a higher start is free, beyond it a doubling of the start doubles the end.
    free = np.frexp(_split(rows[-1])[0][1].astype(np.float64))[1] - 1
    exponent = np.zeros(lanes, np.int64)
    while True:
        low = x < _U(1 << 32)
        if not low.any():
            return encode_down(x, left)
        # These lanes must reach the interval before words are written: begin them at a higher power of two.
        missing = np.maximum(0, 33 - np.frexp(x.astype(np.float64))[1])
        exponent = np.where(low, np.maximum(exponent + np.maximum(1, missing), free), exponent)
        x, over = _U(1) << exponent.astype(_U), np.zeros(lanes, bool)
        for row in rows[left:][::-1]:
            f, c = _split(row)
            over |= x > _limit(f)
            x = _code_singly(x, f, c)
        if over.any():
            # A state that stays low while symbols begin at slot 0 can jump from below 2^32 beyond 2^64.
            left, exponent, x = (left + end + 1) // 2, np.zeros(lanes, np.int64), np.ones(lanes, _U)


def encode_rows(rows: np.ndarray, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Encode rows of symbols, from the last to the first.

    Args:
      rows: uint32 [rows, 2, lanes] as `Tables.pack` makes them, without escape flags.
      lanes: number of states.

    Returns:
      The states uint64 [lanes] from which the decoder starts, and the words uint32 in the order in which it reads them.
    """
    x, left = _encode_tail(rows, lanes)
    low, high = x.view(np.uint32)[LOW::2], x.view(np.uint32)[HIGH::2]
    words = np.empty(left * lanes, np.uint32)
    position = len(words)
    full, q_b, q_ab = np.empty(lanes, bool), np.empty(lanes, _U), np.empty(lanes, _U)
    add, multiply, floor_divide, greater = np.add, np.multiply, np.floor_divide, np.greater
    chunk = max(1, _CHUNK // (2 * lanes))
    for stop in range(left, 0, -chunk):
        f, c = _split(rows[max(0, stop - chunk) : stop][::-1])
        f_a, f_b = f[:, 0].copy(), f[:, 1].copy()
        # The inverse of the decoder's step, written as x plus multiples of the quotients x // f_b and x // f_b // f_a.
        gap_b, gap_ab = _U(TOTAL) - f_b, _U(TOTAL * TOTAL) - (f_a << _U(PRECISION))
        first = (c[:, 0] << _U(PRECISION)) + c[:, 1]
        for limit, f_a1, f_b1, gap_b1, gap_ab1, first1 in zip(_limit(f), f_a, f_b, gap_b, gap_ab, first, strict=True):
            greater(x, limit, full)
            emit = full.nonzero()[0]
            if emit.size:
                end, position = position, position - emit.size
                words[position:end] = low[emit]
                low[emit] = high[emit]
                high[emit] = 0
            floor_divide(x, f_b1, q_b)
            floor_divide(q_b, f_a1, q_ab)
            multiply(q_b, gap_b1, q_b)
            multiply(q_ab, gap_ab1, q_ab)
            add(x, q_b, x)
            add(x, q_ab, x)
            add(x, first1, x)
    return x, words[position:]


def pack_states(states: np.ndarray, long: bool) -> bytes:
    """Write the states of the lanes: for each where its leading one is, then for each the bits below it.

    Args:
      states: uint64 [lanes], >= 1.
      long: whether all are at least 2^32, which is so if there are words; it saves a bit a lane.

    Returns:
      The packed bits.
    """
    leading = _leading_bit(states)
    fields = fields_to_bits((leading - 32 if long else leading).astype(_U), np.full(len(states), 5 if long else 6))
    rest = fields_to_bits(states - (_U(1) << leading.astype(_U)), leading)
    return np.packbits(np.concatenate([fields, rest])).tobytes()


def unpack_states(data: memoryview, position: int, lanes: int, long: bool) -> tuple[np.ndarray, int]:
    """Read what `pack_states` wrote.

    Args:
      data: the whole stream.
      position: where the states begin.
      lanes: number of states.
      long: as for `pack_states`.

    Returns:
      The states, uint64 [lanes], and the position after them.

    Raises:
      TruncatedFile: if the data end inside the states.
      CorruptFile: if padding bits are not zero.
    """
    width = 5 if long else 6
    bits = np.unpackbits(np.frombuffer(data[position : position + 9 * lanes], np.uint8))
    cut = TruncatedFile("the file ends inside the coder's states; get a complete copy of it")
    if len(bits) < width * lanes:
        raise cut
    leading = bits_to_fields(bits[: width * lanes], np.full(lanes, width)).astype(np.int64) + (32 if long else 0)
    stop = width * lanes + int(leading.sum())
    end = -(-stop // 8) * 8
    if len(bits) < end:
        raise cut
    if bits[stop:end].any():
        raise CorruptFile("the coder's states are damaged; get an intact copy of the file")
    rest = bits_to_fields(bits[width * lanes : stop], leading)
    return rest | (_U(1) << leading.astype(_U)), position + end // 8


def _leading_bit(states: np.ndarray) -> np.ndarray:
    """Return floor(log2(state)) exactly; a conversion of all 64 bits to float could round up."""
    high = (states >> _U(32)).astype(np.float64)
    return np.where(high > 0, np.frexp(high)[1] + 32, np.frexp(states.astype(np.float64))[1]).astype(np.int64) - 1
