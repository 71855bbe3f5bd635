"""An independent scalar coder of the stream format of `jaxicm.bits.rans`: Python integers, lists and loops only."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

CERTAIN = (4096, 0)


def peak(tables, t):
    cdf = tables.cdf[t].tolist()
    return max(b - a for a, b in pairwise(cdf))


def layout(tables, indices, lanes):
    """Positions of a push's symbols as rows [a-symbols, b-symbols], None for padding."""
    n = len(indices)
    cut = max(0, n - 64 * lanes)
    order = [*range(cut), *sorted(range(cut, n), key=lambda i: (-peak(tables, indices[i]), indices[i], i))]
    order = [None] * (-n % (2 * lanes)) + order
    rows = [order[i : i + 2 * lanes] for i in range(0, len(order), 2 * lanes)]
    return [(row[:lanes], row[lanes:]) for row in rows]


def interval(tables, t, entry):
    return int(tables.cdf[t, entry + 1]) - int(tables.cdf[t, entry]), int(tables.cdf[t, entry])


def varint(value):
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def to_bytes(bits):
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def encode(tables, pushes, lanes):
    rows, unary, low, escapes = [], "", "", 0
    for symbols, indices in pushes:
        coded = []
        for value, t in zip(symbols, indices, strict=True):
            entry, last = value - int(tables.offset[t]), int(tables.size[t]) - 1
            if not 0 <= entry < last:
                digits = bin((-1 - entry if entry < 0 else entry - last) + 1)[3:]
                unary, low = unary + "0" * len(digits) + "1", low + ("1" if entry < 0 else "0") + digits
                entry, escapes = last, escapes + 1
            coded.append(interval(tables, t, entry))
        for a, b in layout(tables, indices, lanes):
            pairs = zip(a, b, strict=True)
            rows.append([tuple(CERTAIN if i is None else coded[i] for i in pair) for pair in pairs])

    def single(x, pair):
        for f, c in reversed(pair):
            x = x // f * 4096 + x % f + c
        return x

    def overflow(x, pair):
        return x >= pair[0][0] * pair[1][0] << 40

    def run(exponents, tail):
        states, over = [1 << e for e in exponents], False
        for row in tail:
            over = over or any(map(overflow, states, row))
            states = [single(x, pair) for x, pair in zip(states, row, strict=True)]
        return states, over

    rows.reverse()
    tail, states = 0, [1] * lanes
    while tail < len(rows) and not any(map(overflow, states, rows[tail])):
        states, tail = [single(x, pair) for x, pair in zip(states, rows[tail], strict=True)], tail + 1
    exponents = [0] * lanes
    while tail < len(rows) and min(states) < 1 << 32:
        for j in [j for j in range(lanes) if states[j] < 1 << 32]:
            free = rows[0][j][1][0].bit_length() - 1
            exponents[j] = max(exponents[j] + max(1, 33 - states[j].bit_length()), free)
        states, over = run(exponents, rows[:tail])
        if over:
            tail //= 2
            exponents, states = [0] * lanes, [1] * lanes
    words = []
    for row in rows[tail:]:
        emitted = []
        for j, pair in enumerate(row):
            if overflow(states[j], pair):
                emitted.append(states[j] % 2**32)
                states[j] >>= 32
        words = emitted + words
        for j, ((f_a, c_a), (f_b, c_b)) in enumerate(row):
            if words:
                x, b = divmod(states[j], f_b)
                h, a = divmod(x, f_a)
                states[j] = (h << 24) + (c_a + a << 12) + c_b + b
            else:
                states[j] = single(states[j], row[j])
    width, base = (5, 32) if words else (6, 0)
    flush = "".join(format(x.bit_length() - 1 - base, f"0{width}b") for x in states)
    flush += "".join(bin(x)[3:] for x in states)
    head = bytes([lanes.bit_length() - 1 + (16 if escapes else 0)]) + varint(len(words))
    bypass = to_bytes(unary + low)
    if escapes:
        head += varint(escapes) + varint(len(bypass))
    return head + to_bytes(flush) + b"".join(w.to_bytes(4, "little") for w in words) + bypass


def decode(tables, data, push_indices):
    position = 1

    def read_varint():
        nonlocal position
        value = shift = 0
        while True:
            byte, position = data[position], position + 1
            value, shift = value + (byte % 128 << shift), shift + 7
            if byte < 128:
                return value

    lanes, word_count = 1 << data[0] % 16, read_varint()
    escapes, escape_size = (read_varint(), read_varint()) if data[0] & 16 else (0, 0)
    bits = "".join(format(byte, "08b") for byte in data[position:])
    width, base, at = (5, 32, 0) if word_count else (6, 0, 0)

    def take(count):
        nonlocal at
        at += count
        return bits[at - count : at]

    exponents = [int(take(width), 2) + base for _ in range(lanes)]
    states = [int("1" + take(e), 2) for e in exponents]
    position += -(-at // 8)
    words = [int.from_bytes(data[position + 4 * i : position + 4 * i + 4], "little") for i in range(word_count)]
    bits, at = "".join(format(byte, "08b") for byte in data[len(data) - escape_size :]), 0
    lengths = []
    for _ in range(escapes):
        lengths.append(0)
        while take(1) == "0":
            lengths[-1] += 1
    codes = [(take(1) == "1", int("1" + take(length), 2) - 1) for length in lengths]
    assert position + 4 * word_count + escape_size == len(data)

    def symbol(t, slot):
        """Entry, frequency and first slot of what owns a slot."""
        if t is None:
            return None, *CERTAIN
        entry = next(i for i in range(int(tables.size[t])) if slot < tables.cdf[t, i + 1])
        return entry, *interval(tables, t, entry)

    result = []
    for indices in push_indices:
        entries: list = [0] * len(indices)
        for row in layout(tables, indices, lanes):
            tail = not words
            for j in range(lanes):
                x = states[j]
                slots = [x >> 12 & 4095, x & 4095]
                h = x >> 24
                for k in (0, 1):
                    i = row[k][j]
                    slot = x & 4095 if tail else slots[k]
                    entry, f, c = symbol(None if i is None else indices[i], slot)
                    x, h = (x >> 12) * f + slot - c, h * f + slot - c
                    if i is not None:
                        entries[i] = entry
                states[j] = x if tail else h
                if not tail and h < 1 << 32:
                    states[j] = (h << 32) + words.pop(0)
        values = []
        for t, entry in zip(indices, entries, strict=True):
            low, last = int(tables.offset[t]), int(tables.size[t]) - 1
            if entry == last:
                below, distance = codes.pop(0)
                values.append(low - 1 - distance if below else low + last + distance)
            else:
                values.append(low + entry)
        result.append(values)
    assert not words and not codes and all(x & (x - 1) == 0 for x in states)
    return result


@pytest.fixture(scope="session")
def reference():
    """The scalar coder: `encode(tables, pushes, lanes)` and `decode(tables, data, push_indices)`."""
    return SimpleNamespace(encode=encode, decode=decode)
