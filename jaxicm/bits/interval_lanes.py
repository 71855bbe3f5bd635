"""Encoding of explicit intervals: pushes to rows, rows to states and words, and these to a stream.

The format is described in :mod:`jaxicm.bits.intervals`, the flush of the states in :mod:`jaxicm.bits.lanes`.
"""

import numpy as np

from .cumulative import PRECISION, TOTAL
from .lanes import HIGH, LOW, pack_states
from .varint import write_uvarint

NESTED_FLAG = 16
"""Marks a nested stream in its first byte."""
_U = np.uint64
_ONE = 1 << 32
_NEST_LANES = 8  # fewer lanes are not worth an inner stream
_INNER_SHARE = 8  # lanes for one of the inner stream
_INNER_ROWS = 128  # of the outer stream, at most, go into the inner one, which is slower
_INNER_BITS = 20  # a lane; if the last rows hold less, a flat stream is shorter
Push = tuple[np.ndarray, np.ndarray]
"""First slot and frequency of symbols, uint32 [n] both."""
_CHUNK = 1 << 15  # intervals prepared at once, so that the arrays stay in the cache


def _limit(f: np.ndarray) -> np.ndarray:
    """Return the largest states that take symbols of these frequencies and stay below 2^64."""
    return (f << _U(64 - PRECISION)) - _U(1)  # 2^64 wraps to 0 and then to 2^64 - 1


def _code(x: np.ndarray, f: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the states after encoding one row."""
    return x + (x // f) * (_U(TOTAL) - f) + c


def _encode_tail(frequency: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, int]:
    """Encode the last rows, as many as need no word; return the states and the number of rows before them."""
    lanes, end = frequency.shape[1], len(frequency)

    def row(i: int) -> tuple[np.ndarray, np.ndarray]:
        return frequency[i].astype(_U), first[i].astype(_U)

    def encode_down(x: np.ndarray, left: int) -> tuple[np.ndarray, int]:
        while left:
            f, c = row(left - 1)
            if np.any(x > _limit(f)):
                break
            x, left = _code(x, f, c), left - 1
        return x, left

    x, left = encode_down(np.ones(lanes, _U), end)
    if not left:
        return x, 0
    # Up to the frequency of the first symbol a higher start is free, beyond it a doubling of the start doubles the end.
    free = np.frexp(frequency[end - 1].astype(np.float64))[1] - 1
    exponent = np.zeros(lanes, np.int64)
    while True:
        x, over = _U(1) << exponent.astype(_U), np.zeros(lanes, bool)
        for i in range(end - 1, left - 1, -1):
            f, c = row(i)
            over |= x > _limit(f)
            x = _code(x, f, c)
        if over.any():
            # A state that stays low while symbols begin at slot 0 can jump from below 2^32 beyond 2^64.
            left, exponent = (left + end + 1) // 2, np.zeros(lanes, np.int64)
            continue
        low = x < _U(1 << 32)
        if not low.any():
            return encode_down(x, left)
        # These lanes must reach the interval before words are written: begin them at a higher power of two.
        missing = 33 - np.frexp(x.astype(np.float64))[1]
        exponent = np.where(low, np.maximum(exponent + np.maximum(1, missing), free), exponent)


def encode_intervals(
    frequency: np.ndarray, first: np.ndarray, states: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Encode rows of symbols, from the last to the first.

    Args:
      frequency: uint32 [rows, lanes], 1 to 2^20.
      first: uint32 [rows, lanes], the first slot of each symbol; first + frequency is at most 2^20.
      states: uint64 [lanes], at least 2^32, with which the decoder is to end; by default powers of two, as low as
        possible.

    Returns:
      The states uint64 [lanes] from which the decoder starts, and the words uint32 in the order in which it reads them.
    """
    x, left = _encode_tail(frequency, first) if states is None else (states.copy(), len(frequency))
    lanes = len(x)
    low, high = x.view(np.uint32)[LOW::2], x.view(np.uint32)[HIGH::2]
    words = np.empty(left * lanes, np.uint32)
    position = len(words)
    full, quotient = np.empty(lanes, bool), np.empty(lanes, _U)
    chunk = max(1, _CHUNK // lanes)
    for stop in range(left, 0, -chunk):
        part = slice(max(0, stop - chunk), stop)
        f, c = frequency[part][::-1].astype(_U), first[part][::-1].astype(_U)
        for limit, f1, gap, c1 in zip(_limit(f), f, _U(TOTAL) - f, c, strict=True):
            np.greater(x, limit, full)
            emit = full.nonzero()[0]
            if emit.size:
                end, position = position, position - emit.size
                words[position:end] = low[emit]
                low[emit] = high[emit]
                high[emit] = 0
            np.floor_divide(x, f1, quotient)
            np.multiply(quotient, gap, quotient)
            np.add(x, quotient, x)
            np.add(x, c1, x)
    return x, words[position:]


def write_stream(pushes: list[Push], lanes: int) -> bytes:
    """Write pushes as a stream, nested if that is worth it; the same pushes and lanes always give the same bytes."""
    frequency, first = _lay_out(pushes, lanes)
    outer, inner = _inner_stream(pushes, frequency) if lanes >= _NEST_LANES else (0, b"")
    flag, rows, states = 0, b"", None
    if inner:
        flag, rows, frequency, first = NESTED_FLAG, write_uvarint(outer), frequency[:outer], first[:outer]
        states = np.frombuffer(inner.ljust(4 * lanes, b"\0"), "<u4").astype(_U) + _U(_ONE)
    states, words = encode_intervals(frequency, first, states)
    head = bytes([(lanes.bit_length() - 1) | flag]) + write_uvarint(len(words)) + rows
    return head + pack_states(states, len(words) > 0 or flag > 0) + words.astype("<u4").tobytes()


def _lay_out(pushes: list[Push], lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay out pushes as rows, uint32 [rows, lanes] of frequency and first slot."""
    counts = [-(-len(start) // lanes) for start, _ in pushes]
    frequencies = np.full(sum(counts) * lanes, TOTAL, np.uint32)
    starts = np.zeros(sum(counts) * lanes, np.uint32)
    stop = 0
    for (start, frequency), count in zip(pushes, counts, strict=True):
        stop += count * lanes
        starts[stop - len(start) : stop] = start
        frequencies[stop - len(start) : stop] = frequency
    return frequencies.reshape(-1, lanes), starts.reshape(-1, lanes)


def _inner_stream(pushes: list[Push], frequency: np.ndarray) -> tuple[int, bytes]:
    """Fill one word a lane with an inner stream of the last rows.

    Returns:
      The number of rows before it, and the inner stream; no stream if the last rows are too cheap to fill the words.
    """
    lanes, last = frequency.shape[1], frequency[-_INNER_ROWS:]
    bits = np.cumsum((PRECISION - np.log2(last)).sum(1)[::-1])
    count = int(np.searchsorted(bits, 32 * lanes, "right"))
    while count and bits[count - 1] > _INNER_BITS * lanes:
        inner = write_stream(_last_pushes(pushes, lanes, count), lanes // _INNER_SHARE)
        if len(inner) <= 4 * lanes:
            return len(frequency) - count, inner
        count -= 1
    return 0, b""


def _last_pushes(pushes: list[Push], lanes: int, count: int) -> list[Push]:
    """Return the symbols of the last rows."""
    found = []
    for start, frequency in reversed(pushes):
        if not count:
            break
        rows = min(count, -(-len(start) // lanes))
        found.append((start[-rows * lanes :], frequency[-rows * lanes :]))
        count -= rows
    return found[::-1]
