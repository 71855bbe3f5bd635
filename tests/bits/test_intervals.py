"""The coder of explicit intervals against a scalar decoder of the same format, and with damaged input."""

import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxicm.bits.intervals import MOST_CHOSEN, IntervalDecoder, IntervalEncoder
from jaxicm.bits.lane_count import MAX_LANES, choose_lanes
from jaxicm.errors import CorruptFile, FileFormatError, TruncatedFile

TOTAL = 1 << 20


class Steps:
    """A model with any cumulative counts: an array [symbols + 1] for each symbol, looked up in plain Python."""

    def __init__(self, edges, first=0):
        self.edges, self.first = edges, np.full(len(edges), first)

    def __len__(self):
        return len(self.edges)

    def part(self, start, stop, rows):
        part = Steps(self.edges[start:stop])
        part.width = (stop - start) // rows
        return part

    def search(self, row, slots, out):
        edges = self.edges[row * self.width : (row + 1) * self.width]
        out[:] = [max(i for i, e in enumerate(edge) if e <= slot) for edge, slot in zip(edges, slots, strict=True)]
        start = np.array([edge[i] for edge, i in zip(edges, out, strict=True)])
        return slots - start, np.array([edge[i + 1] for edge, i in zip(edges, out, strict=True)]) - start


class Table:
    """A model with one table for all symbols."""

    def __init__(self, edges, count):
        self.edges, self.count, self.first = np.array(edges), count, np.zeros(count, int)

    def __len__(self):
        return self.count

    def part(self, start, stop, rows):
        return self

    def search(self, row, slots, out):
        out[:] = np.searchsorted(self.edges, slots, "right") - 1
        return slots - self.edges[out], np.diff(self.edges)[out]

    def intervals(self, symbols):
        return self.edges[symbols], np.diff(self.edges)[symbols]


def geometric_table(count, ratio=0.75, symbols=40):
    pmf = ratio ** np.arange(symbols)
    edges = np.rint(np.cumsum(pmf) / pmf.sum() * (TOTAL - symbols)).astype(int) + np.arange(1, symbols + 1)
    return Table([0, *edges], count)


def draw(rng, table):
    return np.searchsorted(table.edges, rng.integers(0, TOTAL, len(table)), "right") - 1


def encode(pushes, lanes=None):
    encoder = IntervalEncoder()
    for table, symbols in pushes:
        encoder.push(*table.intervals(symbols))
    return encoder.finish(lanes)


def decode(data, models):
    decoder = IntervalDecoder(data)
    symbols = [decoder.pull(model).tolist() for model in models]
    decoder.finish()
    return symbols


def scalar_decode(data, pushes):
    """Decode with Python integers; a push is a list of cumulative counts."""
    position = 1

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte, position = data[position], position + 1
            value, shift = value + (byte % 128 << shift), shift + 7
            if byte < 128:
                return value

    lanes, nested, word_count = 1 << data[0] % 16, data[0] >= 16, varint()
    rows_left = varint() if nested else None
    bits, at = "".join(format(byte, "08b") for byte in data[position:]), 0
    width, base = (5, 32) if word_count or nested else (6, 0)
    exponents = [int(bits[i * width : (i + 1) * width], 2) + base for i in range(lanes)]
    at = width * lanes
    states = []
    for exponent in exponents:
        states.append(int("1" + bits[at : at + exponent], 2))
        at += exponent
    position += -(-at // 8)
    words = [int.from_bytes(data[position + 4 * i :][:4], "little") for i in range(word_count)]
    result = []
    for number, push in enumerate(pushes):
        result.append([])
        padding = [None] * (-len(push) % lanes)
        cells = padding + push
        for i in range(0, len(cells), lanes):
            if rows_left == 0:
                break
            for j, edges in enumerate(cells[i : i + lanes]):
                if edges is None:
                    continue
                slot = states[j] % TOTAL
                entry = max(k for k, edge in enumerate(edges) if edge <= slot)
                states[j] = states[j] // TOTAL * (edges[entry + 1] - edges[entry]) + slot - edges[entry]
                if states[j] < 1 << 32 and words:
                    states[j] = (states[j] << 32) + words.pop(0)
                result[-1].append(entry)
            rows_left = None if rows_left is None else rows_left - 1
        if rows_left == 0:
            rest = [push[len(result[-1]) :], *pushes[number + 1 :]]
            inner = b"".join((x - (1 << 32)).to_bytes(4, "little") for x in states)
            first, *others = scalar_decode(inner, rest)
            return [*result[:-1], result[-1] + first, *others]
    assert not words and all(x & (x - 1) == 0 for x in states) and not rows_left
    return result


@st.composite
def messages(draw):
    pushes = []
    for _ in range(draw(st.integers(0, 4))):
        count = draw(st.integers(0, 40))
        edges = []
        for _ in range(count):
            cuts = draw(st.lists(st.integers(1, TOTAL - 1), unique=True, max_size=5))
            edges.append([0, *sorted(cuts), TOTAL])
        pushes.append((edges, [draw(st.integers(0, len(edge) - 2)) for edge in edges]))
    return pushes, 1 << draw(st.integers(0, 6))


@settings(deadline=None, max_examples=150)
@given(messages())
def test_any_intervals_come_back_and_a_scalar_decoder_agrees(message):
    pushes, lanes = message
    encoder = IntervalEncoder()
    for edges, symbols in pushes:
        start = np.array([edge[s] for edge, s in zip(edges, symbols, strict=True)], int)
        end = np.array([edge[s + 1] for edge, s in zip(edges, symbols, strict=True)], int)
        encoder.push(start, end - start)
    data = encoder.finish(lanes)
    expected = [symbols for _, symbols in pushes]
    assert decode(data, [Steps(edges) for edges, _ in pushes]) == expected
    assert scalar_decode(data, [edges for edges, _ in pushes]) == expected


@pytest.mark.parametrize("lanes", [8, 32, 256])
def test_a_scalar_decoder_agrees_on_nested_streams(lanes):
    rng = np.random.default_rng(lanes)
    tables = [geometric_table(n, ratio) for n, ratio in ((3000, 0.9), (1, 0.5), (700, 0.4), (lanes - 1, 0.8))]
    pushes = [(table, draw(rng, table)) for table in tables]
    data = encode(pushes, lanes)
    assert data[0] >= 16
    expected = [symbols.tolist() for _, symbols in pushes]
    assert decode(data, tables) == expected
    assert scalar_decode(data, [[table.edges.tolist()] * len(table) for table in tables]) == expected


@pytest.mark.parametrize("lanes", [1, 2, 8, 64, 1024, MAX_LANES, None])
def test_many_pushes_of_all_sizes_come_back(lanes):
    rng = np.random.default_rng(1)
    tables = [geometric_table(n, rng.uniform(0.1, 0.97)) for n in (1, 0, 2, 17, 5000, 63, 64, 65, 12_345, 3, 1023)]
    pushes = [(table, draw(rng, table)) for table in tables]
    assert decode(encode(pushes, lanes), tables) == [symbols.tolist() for _, symbols in pushes]


def test_lanes_of_very_different_cost_come_back():
    """A lane of cheap symbols must be lifted into the interval before words, and must not overflow by that."""
    certain, dear, jumping = [0, TOTAL], [0, 1, TOTAL], [0, 2, TOTAL]
    for cheap in (certain, jumping):
        edges = [dear, cheap] * 20
        encoder = IntervalEncoder()
        encoder.push(np.zeros(40, int), np.array([edge[1] for edge in edges]))
        assert decode(encoder.finish(2), [Steps(edges)]) == [[0] * 40]


def test_symbols_begin_at_the_first_of_the_model():
    edges = [[0, 5, TOTAL]] * 7
    encoder = IntervalEncoder()
    encoder.push(np.array([5] * 7), np.array([TOTAL - 5] * 7))
    assert decode(encoder.finish(4), [Steps(edges, first=-300)]) == [[-299] * 7]


def test_no_symbols_make_a_tiny_stream():
    data = IntervalEncoder().finish()
    assert len(data) == 3
    assert decode(data, [Table([0, TOTAL], 0)] * 2) == [[], []]


def test_symbols_of_no_information_cost_nothing_but_the_states():
    table = Table([0, TOTAL - 1, TOTAL], 40_000)
    symbols = np.zeros(40_000, int)
    data = encode([(table, symbols)])
    assert len(data) <= 24
    assert decode(data, [table]) == [symbols.tolist()]


@pytest.mark.parametrize("ratio", [0.2, 0.75, 0.97])
@pytest.mark.parametrize("count", [3000, 30_000, 300_000])
def test_the_stream_is_as_long_as_the_ideal_code(count, ratio):
    table = geometric_table(count, ratio)
    symbols = draw(np.random.default_rng(count), table)
    ideal_bytes = (20 - np.log2(np.diff(table.edges)[symbols])).sum() / 8
    parts = np.array_split(symbols, 9)
    data = encode([(table, part) for part in parts])
    assert ideal_bytes <= len(data) <= 1.003 * ideal_bytes + 16


@pytest.mark.parametrize("ratio", [0.5, 0.75, 0.97])
def test_a_lane_costs_at_most_a_byte_and_a_half(ratio):
    table = geometric_table(300_000, ratio)
    symbols = draw(np.random.default_rng(0), table)
    ideal_bytes = (20 - np.log2(np.diff(table.edges)[symbols])).sum() / 8
    for lanes in (64, 512, 4096):
        assert len(encode([(table, symbols)], lanes)) <= ideal_bytes + 1.5 * lanes


def test_lanes_follow_the_payload():
    chosen = [choose_lanes(size, most=MOST_CHOSEN) for size in (0, 1000, 5000, 30_000, 60_000, 1e9)]
    assert chosen == [4, 4, 8, 64, 128, 4096]
    assert choose_lanes(10, symbols=1 << 20, most=MOST_CHOSEN) == 32


@pytest.mark.parametrize("lanes", [0, 3, -4, 2 * MAX_LANES])
def test_a_bad_number_of_lanes_is_refused(lanes):
    with pytest.raises(ValueError, match="power of two"):
        IntervalEncoder().finish(lanes)


def test_bad_intervals_are_refused():
    bad = (([0], [0]), ([-1], [2]), ([1], [TOTAL]), ([0], [TOTAL + 1]), ([0.0], [1]), ([0, 0], [1]), ([[0]], [[1]]))
    for start, frequency in bad:
        with pytest.raises(ValueError, match="must be"):
            IntervalEncoder().push(np.array(start), np.array(frequency))


def test_too_many_symbols_for_the_lanes_are_refused():
    table = Table([0, TOTAL], 70_000)
    with pytest.raises(ValueError, match="hold at most"):
        encode([(table, np.zeros(70_000, int))], 1)
    with pytest.raises(CorruptFile, match="too many symbols"):
        IntervalDecoder(IntervalEncoder().finish(1)).pull(table)


@pytest.fixture(scope="module", params=[4, 64])
def stream(request):
    """A flat stream and a nested one."""
    rng = np.random.default_rng(5)
    tables = [geometric_table(n, 0.8) for n in (200, 33, 500, 70)]
    pushes = [(table, draw(rng, table)) for table in tables]
    return encode(pushes, request.param), tables, [symbols.tolist() for _, symbols in pushes]


def test_the_bytes_are_those_of_this_format(stream):
    data, _, _ = stream
    assert (len(data), zlib.crc32(data)) in [(372, 1590149206), (427, 1950821276)]


def test_a_truncated_stream_is_an_error(stream):
    data, tables, _ = stream
    for size in range(len(data)):
        with pytest.raises((TruncatedFile, CorruptFile)):
            decode(data[:size], tables)
    with pytest.raises(TruncatedFile):
        IntervalDecoder(data[:-1])


def test_bytes_after_the_stream_are_an_error(stream):
    data, tables, _ = stream
    with pytest.raises(CorruptFile, match="expected"):
        decode(data + b"\0", tables)


def test_symbols_left_over_are_an_error(stream):
    data, tables, _ = stream
    decoder = IntervalDecoder(data)
    for table in tables[:-1]:
        decoder.pull(table)
    with pytest.raises(CorruptFile, match="do not end"):
        decoder.finish()


def test_every_flipped_bit_gives_an_error_or_valid_symbols(stream):
    data, tables, symbols = stream
    damaged_symbols = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded = decode(bytes(damaged), tables)
        except FileFormatError:
            continue
        assert [len(part) for part in decoded] == [len(part) for part in symbols]
        damaged_symbols += 1
    assert damaged_symbols < 0.1 * 8 * len(data)  # the words and the final states guard each other


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300), st.integers(0, 300))
def test_arbitrary_bytes_give_an_error_or_symbols(data, count):
    try:
        (symbols,) = decode(data, [geometric_table(count)])
    except FileFormatError:
        return
    assert len(symbols) == count


def test_a_stream_that_promises_much_fails_at_once():
    start = time.process_time()
    for head in ("0dffffffff7f", "1d00ffffffff7f", "1d000000", "0fffffffff7f", "10808080808001", "100000"):
        with pytest.raises(FileFormatError):
            decode(bytes.fromhex(head) + bytes(100), [geometric_table(100_000)])
    assert time.process_time() - start < 0.5
