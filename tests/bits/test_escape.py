"""Escape codes and bit fields against strings of digits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.bits.escape import bits_to_fields, escape_bits, fields_to_bits, pack_escapes, unpack_escapes
from jaxicm.errors import CorruptFile

CODES = st.lists(st.tuples(st.booleans(), st.integers(0, (1 << 32) - 1) | st.integers(0, 9)), max_size=50)


def gamma_string(codes):
    unary = "".join("0" * (len(bin(d + 1)) - 3) + "1" for _, d in codes)
    return unary + "".join(str(int(below)) + bin(d + 1)[3:] for below, d in codes)


@given(CODES)
def test_escapes_are_gamma_codes_and_come_back(codes):
    below, distance = np.array([b for b, _ in codes], bool), np.array([d for _, d in codes], np.int64)
    data, text = pack_escapes(below, distance), gamma_string(codes)
    assert "".join(format(byte, "08b") for byte in data) == text + "0" * (-len(text) % 8)
    assert escape_bits(distance).sum() == len(text)
    back = unpack_escapes(data, len(codes))
    assert back[0].tolist() == below.tolist()
    assert back[1].tolist() == distance.tolist()


@given(st.binary(max_size=40), st.integers(0, 400))
def test_arbitrary_bytes_are_an_error_or_distances_in_range(data, count):
    try:
        below, distance = unpack_escapes(data, count)
    except CorruptFile:
        return
    assert len(below) == len(distance) == count
    assert np.all((distance >= 0) & (distance <= (1 << 33) - 2))


@pytest.mark.parametrize(("data", "count"), [("", 1), ("80", 0), ("c8", 2), ("8000", 1), ("00000000008000000000", 1)])
def test_damaged_escapes_are_an_error(data, count):
    with pytest.raises(CorruptFile, match="escape codes"):
        unpack_escapes(bytes.fromhex(data), count)


@given(st.lists(st.integers(0, 64).flatmap(lambda w: st.tuples(st.integers(0, (1 << w) - 1), st.just(w))), max_size=40))
def test_fields_are_the_binary_digits(fields):
    values, widths = np.array([v for v, _ in fields], np.uint64), np.array([w for _, w in fields], np.int64)
    bits = fields_to_bits(values, widths)
    assert "".join(map(str, bits)) == "".join(format(v, f"0{w}b") if w else "" for v, w in fields)
    assert bits_to_fields(bits, widths).tolist() == values.tolist()
