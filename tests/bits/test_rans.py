"""The rANS coder against a scalar coder of the same format, and on its own with arbitrary and damaged input."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxicm.bits.lane_count import MAX_LANES, choose_lanes
from jaxicm.bits.rans import Decoder, Encoder
from jaxicm.bits.tables import Tables, gaussian_tables
from jaxicm.errors import CorruptFile, TruncatedFile

SCALES = np.exp(np.linspace(np.log(0.11), np.log(32), 64))
NORMAL = gaussian_tables(SCALES)
SMALL = Tables(
    cdf=np.array([[0, 4000, 4090, 4096, 4096], [0, 1, 2048, 4095, 4096], [0, 4096, 4096, 4096, 4096]]),
    size=np.array([3, 4, 1]),
    offset=np.array([0, -1, 7]),
)
INT32 = st.integers(-(1 << 31), (1 << 31) - 1)


def gaussian_message(rng, count, tables=64):
    indices = rng.integers(0, tables, count).astype(np.uint8)
    return np.rint(rng.normal(size=count) * SCALES[indices]).astype(np.int32), indices


def encode(tables, pushes, lanes=None):
    encoder = Encoder(tables)
    for symbols, indices in pushes:
        encoder.push(np.array(symbols), np.array(indices))
    return encoder.finish(lanes)


def decode(tables, data, push_indices):
    decoder = Decoder(data, tables)
    symbols = [decoder.pull(np.array(indices)).tolist() for indices in push_indices]
    decoder.finish()
    return symbols


@st.composite
def any_tables(draw):
    frequencies = []
    for _ in range(draw(st.integers(1, 4))):
        cuts = draw(st.lists(st.integers(1, 4095), unique=True, max_size=20))
        frequencies.append([0, *sorted(cuts), 4096])
    width = max(map(len, frequencies))
    return Tables(
        cdf=np.array([row + [4096] * (width - len(row)) for row in frequencies]),
        size=np.array([len(row) - 1 for row in frequencies]),
        offset=np.array(
            draw(st.lists(st.integers(-(1 << 29), 1 << 29), min_size=len(frequencies), max_size=len(frequencies)))
        ),
    )


@st.composite
def messages(draw):
    tables = draw(any_tables())
    pushes = []
    for _ in range(draw(st.integers(0, 4))):
        indices = draw(st.lists(st.integers(0, len(tables) - 1), max_size=60))
        near = st.integers(-3, 25)
        symbols = [draw(INT32) if draw(st.integers(0, 9)) == 0 else int(tables.offset[t]) + draw(near) for t in indices]
        pushes.append((symbols, indices))
    return tables, pushes, 1 << draw(st.integers(0, 5))


GOLDEN = [
    ([], 1, "000000"),
    ([([0], [0])], 1, "000000"),
    ([([0, 1, 2, -5], [0, 1, 0, 1]), ([7], [2])], 2, "110003022d6002aaffd89a00"),
    ([([0, 1] * 60, [0, 1] * 60), ([0] * 13, [1] * 13)], 4, "020069a69a6e1eb21b87ac86e1eb21b87ac9"),
    (
        [([0, -1, 1, 9] * 15, [0, 1, 1, 1] * 15), ([1, 0] * 9, [0] * 18)],
        2,
        "110c0f0f41d05becc5481ddd6e57a000f9fefffa6df9ff6e007094f900e0a701ff0f0000ff0f000073feff74a3fbffa40010fe9e0000868cff0f0020c54ffa99111111111111111000000000000000",
    ),
    ([([-(1 << 31), (1 << 31) - 1, 0], [1, 2, 2])], 1, "1000031133ffc00000000200000004ffffffff7ffffff3c0"),
]


@pytest.mark.parametrize(("pushes", "lanes", "golden"), GOLDEN)
def test_streams_have_the_golden_bytes(reference, pushes, lanes, golden):
    assert reference.encode(SMALL, pushes, lanes).hex() == golden
    assert encode(SMALL, pushes, lanes).hex() == golden


@settings(deadline=None, max_examples=150)
@given(messages())
def test_any_message_equals_the_scalar_coder_in_both_directions(reference, message):
    tables, pushes, lanes = message
    data = encode(tables, pushes, lanes)
    symbols, indices = [s for s, _ in pushes], [i for _, i in pushes]
    assert data == reference.encode(tables, pushes, lanes)
    assert reference.decode(tables, data, indices) == symbols
    assert decode(tables, data, indices) == symbols


@pytest.mark.parametrize(("count", "lanes"), [(3000, 4), (5000, 16), (4097, 64), (9000, 1)])
def test_a_gaussian_message_equals_the_scalar_coder(reference, count, lanes):
    rng = np.random.default_rng(count)
    pushes = [[x.tolist() for x in gaussian_message(rng, n)] for n in (count // 2, 1, 0, count // 2)]
    data = encode(NORMAL, pushes, lanes)
    assert data == reference.encode(NORMAL, pushes, lanes)
    assert reference.decode(NORMAL, data, [i for _, i in pushes]) == [s for s, _ in pushes]


@pytest.mark.parametrize("lanes", [1, 2, 8, 256, 1024, MAX_LANES, None])
def test_many_pushes_of_all_sizes_come_back(lanes):
    rng = np.random.default_rng(1)
    pushes = [gaussian_message(rng, n) for n in (1, 0, 2, 17, 5000, 63, 64, 65, 12345, 3)]
    data = encode(NORMAL, pushes, lanes)
    assert decode(NORMAL, data, [i for _, i in pushes]) == [s.tolist() for s, _ in pushes]


def test_blocks_larger_than_the_buffers_come_back():
    symbols, indices = gaussian_message(np.random.default_rng(2), 300_001)
    for lanes in (32, 1024):
        assert decode(NORMAL, encode(NORMAL, [(symbols, indices)], lanes), [indices]) == [symbols.tolist()]


def test_symbols_of_no_information_cost_nothing_but_the_states():
    tables = Tables(np.array([[0, 4095, 4096]]), np.array([2]), np.array([5]))
    pushes = [([5] * 40_000, [0] * 40_000)]
    data = encode(tables, pushes)
    assert len(data) <= 40_000 * np.log2(4096 / 4095) / 8 + 16
    assert decode(tables, data, [[0] * 40_000]) == [[5] * 40_000]


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_lanes_that_stay_cheap_do_not_overflow_while_they_are_boosted(reference, lanes):
    # The first symbol leaves a low state as it is, the second needs 12 bits: no start gives a state in [2^32, 2^64).
    tables = Tables(np.array([[0, 2, 3, 4096]]), np.array([3]), np.array([0]))
    symbols, indices = [1, 0] * 8, [0] * 16
    data = encode(tables, [(symbols, indices)], lanes)
    assert data == reference.encode(tables, [(symbols, indices)], lanes)
    assert decode(tables, data, [indices]) == [symbols]


def test_no_symbols_make_a_tiny_stream():
    data = encode(NORMAL, [])
    assert len(data) == 3
    assert decode(NORMAL, data, [[], []]) == [[], []]


def test_every_symbol_can_be_an_escape():
    rng = np.random.default_rng(3)
    symbols = rng.integers(-(1 << 31), 1 << 31, 10_000).astype(np.int32)
    indices = rng.integers(0, 64, 10_000)
    assert decode(NORMAL, encode(NORMAL, [(symbols, indices)]), [indices]) == [symbols.tolist()]


def test_index_and_symbol_types_do_not_change_the_bytes():
    symbols, indices = gaussian_message(np.random.default_rng(4), 1000)
    data = encode(NORMAL, [(symbols, indices)])
    for kind in (np.int8, np.uint16, np.int32, np.int64, np.uint64):
        assert encode(NORMAL, [(symbols.astype(np.int64), indices.astype(kind))]) == data
        assert Decoder(memoryview(data), NORMAL).pull(indices.astype(kind)).tolist() == symbols.tolist()


@pytest.mark.parametrize("count", [20_000, 100_000, 400_000])
def test_the_stream_is_as_long_as_the_ideal_code_and_lanes_cost_a_third_of_a_percent(count):
    rng = np.random.default_rng(count)
    indices = np.minimum(rng.geometric(1 / 16, count) - 1, 63).astype(np.uint8)
    symbols = np.rint(rng.normal(size=count) * SCALES[indices]).astype(np.int32)
    frequency = np.diff(NORMAL.cdf.astype(int), axis=1)
    entry = symbols - NORMAL.offset[indices]
    inside = (entry >= 0) & (entry < NORMAL.size[indices] - 1)
    ideal_bits = -np.log2(frequency[indices[inside], entry[inside]] / 4096).sum()
    ideal_bits += 12 * np.count_nonzero(~inside)  # what an escape with a single slot costs, without its bits
    pushes = zip(np.array_split(symbols, 28), np.array_split(indices, 28), strict=True)
    data = encode(NORMAL, list(pushes))
    assert ideal_bits / 8 <= len(data) <= 1.003 * ideal_bits / 8 + 8 + 2 * np.count_nonzero(~inside)


def test_lanes_follow_the_payload():
    assert [choose_lanes(size) for size in (0, 1000, 5000, 30_000, 60_000, 1e9)] == [4, 4, 8, 64, 128, 1024]
    assert choose_lanes(10, symbols=1 << 20) == 32


@pytest.mark.parametrize("lanes", [0, 3, -4, 2 * MAX_LANES])
def test_a_bad_number_of_lanes_is_refused(lanes):
    with pytest.raises(ValueError, match="power of two"):
        Encoder(NORMAL).finish(lanes)


def test_bad_symbols_and_indices_are_refused():
    for symbols, indices in (([0], [64]), ([0], [-1]), ([1 << 31], [0]), ([0.5], [0]), ([0, 1], [0]), ([[0]], [[0]])):
        with pytest.raises(ValueError, match="must"):
            Encoder(NORMAL).push(np.array(symbols), np.array(indices))
    with pytest.raises(ValueError, match="indices must be in"):
        Decoder(encode(NORMAL, []), NORMAL).pull(np.array([64]))


@pytest.fixture(scope="module")
def stream():
    rng = np.random.default_rng(5)
    pushes = [gaussian_message(rng, n) for n in (200, 33, 500)]
    pushes[1][0][5] = 100_000
    return encode(NORMAL, pushes, 8), [i for _, i in pushes], [s.tolist() for s, _ in pushes]


def test_a_truncated_stream_is_an_error(stream):
    data, indices, _ = stream
    for size in range(len(data)):
        with pytest.raises((TruncatedFile, CorruptFile)):
            decode(NORMAL, data[:size], indices)
    with pytest.raises(TruncatedFile):
        Decoder(data[:-1], NORMAL)


def test_bytes_after_the_stream_are_an_error(stream):
    data, indices, _ = stream
    with pytest.raises(CorruptFile, match="expected"):
        decode(NORMAL, data + b"\0", indices)


def test_symbols_left_over_are_an_error(stream):
    data, indices, _ = stream
    decoder = Decoder(data, NORMAL)
    decoder.pull(indices[0])
    with pytest.raises(CorruptFile, match="do not end"):
        decoder.finish()


def test_every_flipped_bit_gives_an_error_or_valid_symbols(stream):
    data, indices, symbols = stream
    damaged_symbols = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded = decode(NORMAL, bytes(damaged), indices)
        except (CorruptFile, TruncatedFile):
            continue
        assert [len(part) for part in decoded] == [len(part) for part in symbols]
        damaged_symbols += 1
    assert damaged_symbols < 0.1 * 8 * len(data)  # the words and the final states guard each other


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_arbitrary_bytes_give_an_error_or_symbols(data, count):
    try:
        (symbols,) = decode(NORMAL, data, [np.arange(count) % 64])
    except (CorruptFile, TruncatedFile):
        return
    assert len(symbols) == count


def test_a_stream_that_promises_much_fails_at_once():
    start = time.process_time()
    for head in (
        "0dffffffff7f",
        "1d00ffffffff7fffffffff7f",
        "0fffffffff7f",
        "10808080808001",
        "1000ffffffff7f03ffffff",
    ):
        with pytest.raises((CorruptFile, TruncatedFile)):
            Decoder(bytes.fromhex(head) + bytes(100), NORMAL)
    assert time.process_time() - start < 0.5
