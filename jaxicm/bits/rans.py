"""Vectorised interleaved rANS: one entropy coder for all the symbols of a file, in numpy.

A message is a sequence of pushes. The decoder pulls them in the same order with the same table indices, and can use
what it decoded to find the indices of the next pull. All lanes share one stream of words, so lanes are paid for once.

The format. A state is an integer below 2^64, words have 32 bits, frequencies f and first slots c have 12 bits.
A push of n symbols, its last `SORT_ROWS * lanes` of them sorted stably by `Tables.rank`, is padded *in front* with
symbols of frequency 4096, which change no state, to rows of two symbols a lane: [rows, 2, lanes]. Decoding a row:

    a, b = (x >> 12) & 4095, x & 4095                   the slots of the lane's two symbols
    x = ((x >> 24) * f_a + a - c_a) * f_b + b - c_b
    if x < 2^32: x = x << 32 | next word                lanes in ascending order

From the row after the last word on (the tail), the two symbols are decoded one after the other,
x = (x >> 12) * f + (x & 4095) - c, and nothing is read. A message ends with every state a power of two, mostly 1.
The pair step needs a quarter fewer numpy calls; the single step wastes fewer bits of the first symbol encoded.

Layout: a byte of log2(lanes) and, as bit 4, whether there are escapes; the number of words (varint); with escapes,
their number and their size in bytes (varints); the states, as the position of the leading one of each lane (5 bits
above 32, or 6 bits if there are no words) and then the bits below it of each, padded to a byte; the words,
little-endian; the escapes.

Sources: J. Duda, "Asymmetric numeral systems", arXiv:1311.2540; F. Giesen, "Interleaved entropy coders",
arXiv:1402.3392. Ours: the pairs, the tail from states below the interval, the flush of variable length: a lane costs
about one byte instead of eight.
"""

import numpy as np

from ..errors import CorruptFile, TruncatedFile
from .escape import escape_bits, pack_escapes, unpack_escapes
from .lane_count import MAX_LANES, check_lanes, choose_lanes, most_symbols
from .lanes import HIGH, LOW, encode_rows, pack_states, unpack_states
from .tables import ESCAPE_FLAG, ESCAPED, FREQUENCY_MASK, PRECISION, TOTAL, Tables, frequency_cost_bits
from .varint import read_uvarint, write_uvarint

SORT_ROWS = 64
"""How much of a push is sorted. The dear symbols come last, where they fill the tail in few, even rows."""
ESCAPES_FLAG = 16
_U = np.uint64
_CHUNK = 1 << 16  # symbols decoded at once, so that the addresses stay in the cache
_COST_SAMPLE = 1 << 14


class Encoder:
    """Collect symbols in coding order and write them as one stream."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._pushes: list[tuple[np.ndarray, np.ndarray]] = []
        self._below: list[np.ndarray] = [np.zeros(0, bool)]
        self._distance: list[np.ndarray] = [np.zeros(0, np.int64)]
        self._estimate_bits = 0.0

    def push(self, symbols: np.ndarray, indices: np.ndarray) -> None:
        """Add symbols that the decoder will pull at once.

        Args:
          symbols: integers [n], any int32, n >= 0.
          indices: integers [n], the table of each symbol, 0 to T - 1.

        Raises:
          ValueError: if a value is out of range or the shapes differ.
        """
        packed = self._tables.pack(symbols, indices)
        if not packed.size:
            return
        if packed.max() >= ESCAPE_FLAG:
            below, distance = self._tables.escapes(packed, symbols, indices)
            self._below.append(below)
            self._distance.append(distance)
            self._estimate_bits += float(escape_bits(distance).sum())
            packed &= ~ESCAPE_FLAG
        # The estimate only chooses the lanes, so a sample of a large push is enough.
        sample = packed[:: max(1, packed.size // _COST_SAMPLE)] & FREQUENCY_MASK
        self._estimate_bits += float(frequency_cost_bits.take(sample).sum()) * packed.size / sample.size
        self._pushes.append((packed, np.array(indices)))

    def finish(self, lanes: int | None = None) -> bytes:
        """Write all symbols pushed so far.

        Args:
          lanes: power of two, 1 to `MAX_LANES`; more lanes are faster and cost about a byte each. By default
            `choose_lanes` decides from the code length of the symbols.

        Returns:
          The stream. The same symbols, tables and lanes always give the same bytes.
        """
        symbols = sum(packed.size for packed, _ in self._pushes)
        if lanes is None:
            lanes = choose_lanes(self._estimate_bits / 8, symbols) if symbols else 1
        check_lanes(lanes, symbols)
        states, words = encode_rows(self._rows(lanes), lanes)
        below, distance = np.concatenate(self._below), np.concatenate(self._distance)
        head, escapes = bytes([lanes.bit_length() - 1]) + write_uvarint(len(words)), b""
        if len(below):
            escapes = pack_escapes(below, distance)
            head = bytes([head[0] | ESCAPES_FLAG]) + head[1:]
            head += write_uvarint(len(below)) + write_uvarint(len(escapes))
        return head + pack_states(states, len(words) > 0) + words.astype("<u4").tobytes() + escapes

    def _rows(self, lanes: int) -> np.ndarray:
        """Lay out all pushes as rows of packed (frequency, first slot), uint32 [rows, 2, lanes]."""
        counts = [_row_count(len(packed), lanes) for packed, _ in self._pushes]
        rows = np.full(sum(counts) * 2 * lanes, TOTAL, np.uint32)
        stop = 0
        for (packed, indices), count in zip(self._pushes, counts, strict=True):
            stop += count * 2 * lanes
            rows[stop - len(packed) : stop] = packed
            order = np.argsort(self._tables.rank.take(indices[-SORT_ROWS * lanes :]), kind="stable")
            rows[stop - len(order) : stop] = packed[-SORT_ROWS * lanes :][order]
        return rows.reshape(-1, 2, lanes)


class Decoder:
    """Read the symbols of a stream in the order in which they were pushed.

    Damaged data give an error here, in `pull` or in `finish`, or other symbols that the tables can hold; the work is
    bounded by the size of the data and the number of symbols asked for.
    """

    def __init__(self, data: bytes | memoryview, tables: Tables) -> None:
        """Read the head of a stream.

        Args:
          data: the whole stream, no byte more or less.
          tables: the tables that it was encoded with.

        Raises:
          TruncatedFile: if the stream is longer than the data.
          CorruptFile: if it is shorter, or a field is out of range.
        """
        data = memoryview(data)
        if not len(data):
            raise TruncatedFile("the coded symbols are missing; get a complete copy of the file")
        log2_lanes, escapes = data[0] & (ESCAPES_FLAG - 1), data[0] & ESCAPES_FLAG
        if data[0] >= 2 * ESCAPES_FLAG or 1 << log2_lanes > MAX_LANES:
            raise CorruptFile(f"the coded symbols ask for 2^{data[0] & 15} lanes; get an intact copy of the file")
        lanes = 1 << log2_lanes
        word_count, position = read_uvarint(data, 1, "number of words")
        escape_count = escape_size = 0
        if escapes:
            escape_count, position = read_uvarint(data, position, "number of escapes")
            escape_size, position = read_uvarint(data, position, "size of the escapes")
        states, position = unpack_states(data, position, lanes, word_count > 0)
        size = position + 4 * word_count + escape_size
        if size > len(data):
            raise TruncatedFile(f"found {len(data)} bytes of coded symbols, expected {size}; get a complete copy")
        if size < len(data):
            raise CorruptFile(f"found {len(data)} bytes of coded symbols, expected {size}; get an intact copy")
        self._tables, self._lanes = tables, lanes
        self._words = np.frombuffer(data, "<u4", word_count, position).astype(np.uint32)
        self._below, self._distance = unpack_escapes(data[position + 4 * word_count :], escape_count)
        self._next_word = self._next_escape = 0
        self._symbols_left = most_symbols(lanes)
        # Row 1 holds the states, row 0 the states without the slot of the second symbol.
        self._work = np.zeros((2, lanes), _U)
        self._work[1] = states
        # Buffers are made once: fresh memory costs a page fault for every 4 KiB, as long as decoding 1000 symbols.
        self._address = np.empty((max(1, _CHUNK // (2 * lanes)), 2 * lanes), np.int64)
        self._found, self._slots = np.empty((2 * lanes, 2), _U), np.empty(2 * lanes, _U)
        # Operands of full size: numpy takes longer over a scalar operand than over the sum itself.
        self._mask, self._shift = np.full(2 * lanes, TOTAL - 1, _U), np.full(lanes, PRECISION, _U)
        self._bound, self._short = np.full(lanes, 1 << 32, _U), np.empty(lanes, bool)

    @property
    def lanes(self) -> int:
        """Number of lanes of the stream."""
        return self._lanes

    def pull(self, indices: np.ndarray) -> np.ndarray:
        """Decode the symbols of one push.

        Args:
          indices: integers [n], the table of each symbol, as they were pushed.

        Returns:
          int32 [n].

        Raises:
          CorruptFile: if the stream has not enough words, escapes or lanes, or an escaped symbol does not fit int32.
          ValueError: if an index names no table.
        """
        tables, lanes = self._tables, self._lanes
        indices = tables.check_indices(indices)
        count, window = len(indices), min(len(indices), SORT_ROWS * lanes)
        self._symbols_left -= count
        if self._symbols_left < 0:
            raise CorruptFile(f"the picture has too many symbols for {lanes} lanes; get an intact copy of the file")
        order = np.argsort(tables.rank.take(indices[count - window :]), kind="stable")
        sorted_indices = indices.copy()
        sorted_indices[count - window :] = indices[count - window :][order]
        symbols, (step, value) = np.empty(count, np.int32), tables.decoding
        left, done = _row_count(count, lanes), 0
        padding = left * 2 * lanes - count
        while left:
            rows = self._address[:left]
            flat = rows.reshape(-1)
            flat[:padding] = len(tables) << PRECISION
            real, stop = flat[padding:], done + flat.size - padding
            np.left_shift(sorted_indices[done:stop], PRECISION, out=real, dtype=np.int64)
            self._decode_rows(rows, step)
            if not self._work[1].all():
                # No encoder passes through zero. Going on would take as long as a whole picture of the stated size.
                raise CorruptFile("the coded symbols end too early; get an intact copy of the file")
            value.take(real, out=symbols[done:stop], mode="clip")
            left, done, padding = left - len(rows), stop, 0
        window_symbols = symbols[count - window :]
        window_symbols[order] = window_symbols.copy()
        if count and symbols.min() == ESCAPED:
            self._fill_escapes(symbols, indices)
        return symbols

    def finish(self) -> None:
        """Check that the message ends here.

        Raises:
          CorruptFile: if words or escapes remain, or the states are not those an encoder begins with.
        """
        states = self._work[1]
        at_start = bool(np.all((states != 0) & (states & (states - _U(1)) == 0)))
        if self._next_word < len(self._words) or self._next_escape < len(self._below) or not at_start:
            raise CorruptFile("the coded symbols do not end where they should; get an intact copy of the file")

    def _fill_escapes(self, symbols: np.ndarray, indices: np.ndarray) -> None:
        at = np.flatnonzero(symbols == ESCAPED)
        start, stop = self._next_escape, self._next_escape + len(at)
        if stop > len(self._below):
            raise CorruptFile("the coded symbols ask for more escape codes than there are; get an intact copy")
        values = self._tables.restore(self._below[start:stop], self._distance[start:stop], indices[at])
        if values.min() < -(1 << 31) or values.max() >= 1 << 31:
            raise CorruptFile("an escaped symbol does not fit 32 bits; get an intact copy of the file")
        symbols[at] = values
        self._next_escape = stop

    def _decode_rows(self, rows: np.ndarray, step: np.ndarray) -> None:
        """Add the slot of each symbol to its table's first address, in place, and move the states on."""
        lanes, words, position, end = self._lanes, self._words, self._next_word, len(self._words)
        both, (shifted, x) = self._work.reshape(-1), self._work
        low, high = x.view(np.uint32)[LOW::2], x.view(np.uint32)[HIGH::2]
        slots, found, mask, shift = self._slots, self._found, self._mask, self._shift
        slot_index, bound, short, take = slots.view(np.int64), self._bound, self._short, step.take
        f_a, add_a, f_b, add_b = found[:lanes, 0], found[:lanes, 1], found[lanes:, 0], found[lanes:, 1]
        add, multiply, right_shift, bitwise_and, less = (
            np.add, np.multiply, np.right_shift, np.bitwise_and, np.less,
        )  # fmt: skip
        done = 0
        for row in rows:
            if position == end:
                break
            done += 1
            right_shift(x, shift, shifted)
            bitwise_and(both, mask, slots)
            add(slot_index, row, row)
            take(row, 0, found, "clip")
            right_shift(shifted, shift, x)
            multiply(x, f_a, x)
            add(x, add_a, x)
            multiply(x, f_b, x)
            add(x, add_b, x)
            less(x, bound, short)
            needy = short.nonzero()[0]
            if needy.size:
                start, position = position, position + needy.size
                if position > end:
                    raise CorruptFile("the coded symbols end too early; get an intact copy of the file")
                high[needy] = low[needy]
                low[needy] = words[start:position]
        self._next_word = position
        for row in rows[done:].reshape(-1, lanes):
            row += (x & _U(TOTAL - 1)).view(np.int64)
            found = step.take(row, 0)
            x >>= shift
            x *= found[:, 0]
            x += found[:, 1]


def _row_count(symbols: int, lanes: int) -> int:
    return -(-symbols // (2 * lanes))
