"""The binary arithmetic coder against one without carries in exact integers, entropies, and damaged input."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.bits.binary import BinaryDecoder, BinaryEncoder, Context, IntegerContexts
from jaxicm.errors import CorruptFile

DECISIONS = st.lists(st.tuples(st.booleans(), st.integers(-1, 2)), max_size=200)
"""Bits and the number of their context; -1 has none."""
INTEGERS = st.integers(-20, 20) | st.integers(-(1 << 31) + 1, (1 << 31) - 1)


def encode(decisions):
    encoder, contexts = BinaryEncoder(), [Context() for _ in range(3)]
    for bit, which in decisions:
        if which < 0:
            encoder.bypass(bit)
        else:
            encoder.encode(bit, contexts[which])
    return encoder.finish()


def decode(data, places):
    decoder, contexts = BinaryDecoder(data), [Context() for _ in range(3)]
    bits = [decoder.bypass() if which < 0 else decoder.decode(contexts[which]) for which in places]
    decoder.finish()
    return bits


def exact(decisions):
    """The message as one large integer, and the ideal number of bits."""
    low, size, shifts, states = 0, 1 << 32, 0, [(1 << 23, 1 << 23, 0)] * 3
    ideal = 0.0
    for bit, which in decisions:
        share = 1 << 15
        if which >= 0:
            fast, slow, n = states[which]
            share = min(max((fast + slow) // 2**9, 16), 65520)
            target = 0 if bit else 1 << 24
            weight = 65536 // min(n + 2, 1024)
            fast += (target - fast) * max(weight, 512) // 65536
            slow += (target - slow) * weight // 65536
            states[which] = (fast, slow, n + 1)
        bound = size * share // 65536
        low, size = (low + bound, size - bound) if bit else (low, bound)
        ideal -= np.log2(1 - share / 65536 if bit else share / 65536)
        while size < 1 << 24:
            low, size, shifts = low << 8, size << 8, shifts + 1
    zeros = 4
    while -(-low >> 8 * zeros) << 8 * zeros >= low + size:
        zeros -= 1
    value = -(-low >> 8 * zeros) << 8 * zeros
    return value.to_bytes(shifts + 4, "big").rstrip(b"\0"), ideal


@given(DECISIONS)
def test_bits_come_back_and_bytes_are_those_of_exact_arithmetic(decisions):
    data = encode(decisions)
    assert data == exact(decisions)[0]
    assert decode(data, [which for _, which in decisions]) == [bit for bit, _ in decisions]


@pytest.mark.parametrize("one", [0.01, 0.05, 0.2, 0.5, 0.9, 0.99])
def test_skewed_bits_take_their_entropy(one):
    bits = np.random.default_rng(3).random(20000) < one
    share = bits.mean()
    entropy = len(bits) * -(share * np.log2(share) + (1 - share) * np.log2(1 - share))
    decisions = [(bool(bit), 0) for bit in bits]
    data, (reference, ideal) = encode(decisions), exact(decisions)
    assert data == reference
    assert 8 * len(data) <= 1.0001 * ideal + 8
    assert 8 * len(data) <= 1.01 * entropy + 32


def test_a_context_learns_a_few_bits_as_well_as_can_be():
    """Bits that are all the same cost half a logarithm of their number and a bit, Krichevsky and Trofimov's bound."""
    for count in (10, 50, 120):
        assert exact([(True, 0)] * count)[1] <= 0.5 * np.log2(count) + 1.05


def test_a_context_follows_a_change():
    decisions = [(False, 0)] * 3000 + [(True, 0)] * 3000
    assert 8 * len(encode(decisions)) < 1200


def test_carries_run_through_many_bytes():
    """A long run of ones under a context of zeros ends just below a power of two, then a bit tips it over."""
    for tail in range(40):
        decisions = [(False, -1), *[(True, -1)] * 200, *[(True, 0)] * tail]
        data = encode(decisions)
        assert data == exact(decisions)[0]
        assert decode(data, [which for _, which in decisions]) == [bit for bit, _ in decisions]


def test_likely_zeros_are_empty():
    assert encode([(False, which) for which in (-1, 0, 1, 2)] * 100) == b""
    assert decode(b"", [0] * 1000) == [False] * 1000


@given(st.binary(max_size=12), st.lists(st.integers(-1, 2), max_size=100))
def test_arbitrary_bytes_are_an_error_or_the_spelling_of_their_bits(data, places):
    try:
        bits = decode(data, places)
    except CorruptFile:
        return
    assert encode(list(zip(bits, places, strict=True))) == data


@given(DECISIONS, st.binary(max_size=6))
def test_bytes_too_many_are_found(decisions, more):
    """Four bytes at most are read ahead; what follows them belongs to no message."""
    data, places = encode(decisions), [which for _, which in decisions]
    for tail in (b"\0", bytes(400) + more + b"\1"):
        with pytest.raises(CorruptFile):
            decode(data + tail, places)


@given(st.lists(st.tuples(INTEGERS, st.integers(0, 1), st.integers(0, 2)), max_size=60))
def test_integers_come_back(values):
    encoder, contexts = BinaryEncoder(), IntegerContexts(2, 3)
    for value, significance, greater in values:
        assert contexts.code(encoder, value, significance, greater) == value
    decoder, contexts = BinaryDecoder(encoder.finish()), IntegerContexts(2, 3)
    assert [contexts.code(decoder, 0, *which) for _, *which in values] == [value for value, *_ in values]
    decoder.finish()


class Tape:
    """Writes the bits of a description down."""

    def __init__(self):
        self.text = ""

    def code(self, bit, context):
        self.text += "01"[bit]
        return bit

    def code_bypass(self, bit):
        self.text += "ox"[bit]
        return bit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1o0"),
        (-1, "1x0"),
        (2, "1o10"),
        (-14, "1x" + "1" * 13 + "0"),
        (15, "1o" + "1" * 14 + "o"),
        (16, "1o" + "1" * 14 + "xoo"),
        (-17, "1x" + "1" * 14 + "xox"),
        (15 + 6, "1o" + "1" * 14 + "xxoxx"),
    ],
)
def test_integers_are_binarised_as_in_deep_cabac(value, text):
    tape = Tape()
    IntegerContexts().code(tape, value)
    assert tape.text == text


@pytest.mark.parametrize("value", [1 << 31, -(1 << 31), 1 << 60])
def test_integers_too_large_are_refused(value):
    with pytest.raises(ValueError, match="2\\^31"):
        IntegerContexts().code(BinaryEncoder(), value)


def test_endless_codes_are_an_error_soon():
    contexts, decoder, start = IntegerContexts(), BinaryDecoder(b"\xff" * 1000), time.monotonic()
    with pytest.raises(CorruptFile, match="longer than 32 bits"):
        for _ in range(100):
            contexts.code(decoder)
    assert time.monotonic() - start < 1.0


def test_integers_too_large_are_found():
    # The prefix of 32 bits, and the bits of a number that no int32 holds.
    decoder = Scripted([True, False, *[True] * 14, *[True] * 32, False, *[True] * 32])
    with pytest.raises(CorruptFile, match="fit 32 bits"):
        IntegerContexts().code(decoder)


class Scripted:
    """Hands out bits."""

    def __init__(self, bits):
        self.bits = bits

    def code(self, bit, context):
        return self.bits.pop(0)

    def code_bypass(self, bit):
        return self.bits.pop(0)
