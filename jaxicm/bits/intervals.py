"""Vectorised interleaved rANS for symbols that each have a distribution of their own.

:mod:`jaxicm.bits.rans` looks distributions up in tables; here they are functions that are evaluated at the slots the
decoder meets. A symbol is an interval of 2^20 slots. A message is a sequence of pushes; the decoder pulls them in the
same order, and can use what it decoded to find the distributions of the next pull.

The format. A state is an integer below 2^64, words have 32 bits, frequencies f and first slots c have 20 bits. A push
is padded *in front* with symbols of frequency 2^20, which change no state, to rows of one symbol a lane. Decoding a
row:

    s = x & (2^20 - 1)                      the slot; it tells the symbol, and f and c with it
    x = (x >> 20) * f + s - c
    if x < 2^32: x = x << 32 | next word    lanes in ascending order, while there are words

What the lanes end with. In a flat stream every state ends as a power of two, mostly 1; as a first symbol fills 20 bits
of its state whatever it costs, that wastes two bytes a lane. A nested stream wastes nothing: its states end as 2^32 + a
word, and these words are another stream, padded with zeros, of the symbols that follow, in an eighth of the lanes. The
switch is between two rows, maybe within a push, whose remaining symbols are then a push of the inner stream.

Layout: a byte of log2(lanes) and, as bit 4, whether the stream is nested; the number of words (varint); if nested,
the number of rows before the inner stream (varint); the states, as in :mod:`jaxicm.bits.rans` (5 bits for the leading
one if there are words or the stream is nested); the words, little-endian.

Sources: as for :mod:`jaxicm.bits.rans`. The nested streams are ours; they are "bits back" with a use for the bits:
J. Townsend, T. Bird, D. Barber, "Practical lossless compression with latent variables using bits back coding",
arXiv:1901.04866.
"""

from typing import Protocol

import numpy as np

from ..errors import CorruptFile, TruncatedFile
from .cumulative import PRECISION, TOTAL
from .interval_lanes import NESTED_FLAG, write_stream
from .lane_count import MAX_LANES, check_lanes, choose_lanes, most_symbols
from .lanes import HIGH, LOW, unpack_states
from .varint import read_uvarint

MOST_CHOSEN = 4096
"""Lanes that the encoder takes at most by itself; here they pay off for larger messages than with tables."""
_U = np.uint64
_CHUNK = 1 << 13  # symbols prepared at once, so that their distributions stay in the cache


class Rows(Protocol):
    """Distributions of rows of symbols."""

    def search(self, row: int, slots: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Write the entries that own the slots int64 [width]; return slot - first slot, and frequency, int64."""
        ...


class Model(Protocol):
    """Distributions of n symbols; those of :mod:`jaxicm.bits.mixture` are such models.

    Attributes:
      first: integers [n], the symbol that is entry 0.
    """

    @property
    def first(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def part(self, start: int, stop: int, rows: int) -> Rows:
        """Prepare the distributions from start to stop, as rows of equal length."""
        ...


class IntervalEncoder:
    """Collect intervals in coding order and write them as one stream."""

    def __init__(self) -> None:
        self._pushes: list[tuple[np.ndarray, np.ndarray]] = []

    def push(self, start: np.ndarray, frequency: np.ndarray) -> None:
        """Add symbols that the decoder will pull at once.

        Args:
          start: integers [n], the first slot of each symbol, >= 0.
          frequency: integers [n], number of slots of each symbol, >= 1; start + frequency <= 2^20.

        Raises:
          ValueError: if a value is out of range or the shapes differ.
        """
        start, frequency = np.asarray(start), np.asarray(frequency)
        if start.ndim != 1 or start.shape != frequency.shape:
            raise ValueError(f"start and frequency must be [n], got {start.shape} and {frequency.shape}")
        if not start.size:
            return
        if start.dtype.kind not in "iu" or frequency.dtype.kind not in "iu":
            raise ValueError(f"start and frequency must be integers, got {start.dtype} and {frequency.dtype}")
        if start.min() < 0 or frequency.min() < 1 or max(start.max(), frequency.max()) > TOTAL:
            raise ValueError(f"start must be >= 0, frequency >= 1 and both at most {TOTAL}")
        start, frequency = start.astype(np.uint32), frequency.astype(np.uint32)
        if (start + frequency).max() > TOTAL:
            raise ValueError(f"start + frequency must be at most {TOTAL}, got {(start + frequency).max()}")
        self._pushes.append((start, frequency))

    @property
    def size_bits(self) -> float:
        """Ideal size of what was pushed so far: the sum of log2(2^20 / frequency)."""
        return sum(float((PRECISION - np.log2(frequency)).sum()) for _, frequency in self._pushes)

    def finish(self, lanes: int | None = None) -> bytes:
        """Write all symbols pushed so far.

        Args:
          lanes: power of two, 1 to `MAX_LANES`; more lanes are faster and cost about a byte each. By default
            `choose_lanes` decides from the ideal size.

        Returns:
          The stream. The same intervals and lanes always give the same bytes.
        """
        symbols = sum(len(start) for start, _ in self._pushes)
        if lanes is None:
            lanes = choose_lanes(self.size_bits / 8, symbols, most=MOST_CHOSEN) if symbols else 1
        check_lanes(lanes, symbols)
        return write_stream(self._pushes, lanes)


class IntervalDecoder:
    """Read the symbols of a stream in the order in which they were pushed.

    Damaged data give an error here, in `pull` or in `finish`, or other symbols that the models can hold; the work is
    bounded by the size of the data and the number of symbols asked for.
    """

    def __init__(self, data: bytes | memoryview, *, padded: bool = False) -> None:
        """Read the head of a stream.

        Args:
          data: the whole stream, no byte more or less.
          padded: whether zeros may follow it.

        Raises:
          TruncatedFile: if the stream is longer than the data.
          CorruptFile: if it is shorter, or a field is out of range.
        """
        data = memoryview(data)
        if not len(data):
            raise TruncatedFile("the coded symbols are missing; get a complete copy of the file")
        log2_lanes, nested = data[0] & (NESTED_FLAG - 1), data[0] & NESTED_FLAG
        if data[0] >= 2 * NESTED_FLAG or 1 << log2_lanes > MAX_LANES:
            raise CorruptFile(f"the coded symbols ask for 2^{data[0] & 15} lanes; get an intact copy of the file")
        lanes = 1 << log2_lanes
        word_count, position = read_uvarint(data, 1, "number of words")
        self._rows_left: int | None = None
        if nested:
            self._rows_left, position = read_uvarint(data, position, "number of rows")
        states, position = unpack_states(data, position, lanes, word_count > 0 or nested > 0)
        size = position + 4 * word_count
        if size > len(data):
            raise TruncatedFile(f"found {len(data)} bytes of coded symbols, expected {size}; get a complete copy")
        if size < len(data) and not (padded and not any(data[size:])):
            raise CorruptFile(f"found {len(data)} bytes of coded symbols, expected {size}; get an intact copy")
        self._lanes, self._states = lanes, states
        self._words = np.frombuffer(data, "<u4", word_count, position).astype(np.uint32)
        self._next_word = 0
        self._inner: IntervalDecoder | None = None
        self._symbols_left = most_symbols(lanes)
        # Operands of full size: numpy takes longer over a scalar operand than over the sum itself.
        self._mask, self._shift = np.full(lanes, TOTAL - 1, _U), np.full(lanes, PRECISION, _U)
        self._bound, self._short = np.full(lanes, 1 << 32, _U), np.empty(lanes, bool)
        self._slots = np.empty(lanes, np.int64)

    @property
    def lanes(self) -> int:
        """Number of lanes of the stream."""
        return self._lanes

    def pull(self, model: Model) -> np.ndarray:
        """Decode the symbols of one push.

        Args:
          model: the distributions of the n symbols, as they were pushed.

        Returns:
          int32 [n].

        Raises:
          CorruptFile: if the stream has not enough words or lanes.
        """
        entries = np.empty(len(model), np.int64)
        self._pull(model, 0, entries)
        return np.add(entries, model.first, dtype=np.int32, casting="unsafe")

    def finish(self) -> None:
        """Check that the message ends here.

        Raises:
          CorruptFile: if rows or words remain, or the states are not those an encoder begins with.
        """
        if self._rows_left == 0:
            self._enter().finish()
            return
        states = self._states
        at_start = bool(np.all((states != 0) & (states & (states - _U(1)) == 0)))
        if self._rows_left or self._next_word < len(self._words) or not at_start:
            raise CorruptFile("the coded symbols do not end where they should; get an intact copy of the file")

    def _pull(self, model: Model, done: int, entries: np.ndarray) -> None:
        """Decode the symbols of a model from number `done` on."""
        count, lanes = len(model), self._lanes
        self._symbols_left -= count - done
        if self._symbols_left < 0:
            raise CorruptFile(f"the picture has too many symbols for {lanes} lanes; get an intact copy of the file")
        most = max(1, _CHUNK // lanes)
        while done < count:
            if self._rows_left == 0:
                self._enter()._pull(model, done, entries)
                return
            # The symbols of an incomplete first row are in the last lanes.
            left = count - done
            rows, width = (min(most, left // lanes), lanes) if left % lanes == 0 else (1, left % lanes)
            if self._rows_left is not None:
                rows = min(rows, self._rows_left)
                self._rows_left -= rows
            stop = done + rows * width
            self._decode_rows(model.part(done, stop, rows), entries[done:stop].reshape(rows, width))
            if not self._states.all():
                # No encoder passes through zero. Going on would take as long as a whole picture of the stated size.
                raise CorruptFile("the coded symbols end too early; get an intact copy of the file")
            done = stop

    def _enter(self) -> "IntervalDecoder":
        """Return the decoder of the inner stream, which the states hold now."""
        if self._inner is None:
            if self._next_word < len(self._words) or np.any(self._states >> _U(32) != 1):
                raise CorruptFile("the coded symbols do not end where they should; get an intact copy of the file")
            data = self._states.astype("<u4").tobytes()
            self._inner = IntervalDecoder(data, padded=True)
        return self._inner

    def _decode_rows(self, part: Rows, entries: np.ndarray) -> None:
        """Find the entries of rows [rows, width] in the last lanes and move the states on."""
        skip = self._lanes - entries.shape[1]
        words, position, end = self._words, self._next_word, len(self._words)
        x, slots, mask, shift = self._states[skip:], self._slots[skip:], self._mask[skip:], self._shift[skip:]
        signed, slots_u, bound, short = x.view(np.int64), slots.view(_U), self._bound[skip:], self._short[skip:]
        low, high = x.view(np.uint32)[LOW::2], x.view(np.uint32)[HIGH::2]
        for row, out in enumerate(entries):
            np.bitwise_and(x, mask, slots_u)
            offset, frequency = part.search(row, slots, out)
            np.right_shift(x, shift, x)
            np.multiply(signed, frequency, signed)
            np.add(signed, offset, signed)
            if position == end and self._rows_left is None:
                continue
            np.less(x, bound, short)
            needy = short.nonzero()[0]
            if needy.size:
                start, position = position, position + needy.size
                if position > end:
                    raise CorruptFile("the coded symbols end too early; get an intact copy of the file")
                high[needy] = low[needy]
                low[needy] = words[start:position]
        self._next_word = position
