"""QPs of frames: they come back, cost little where they are as encoders choose them, and damage is named."""

import numpy as np
import pytest

from jaxicm.codecs.frame_qps import QP_MAX, QP_MIN, decode_qps, encode_qps
from jaxicm.errors import CorruptFile

RANDOM_ACCESS = (31, 42, 41, 42, 40, 42, 41, 42, 36, 42, 41, 42, 39, 42, 41, 42, 36)
"""What libvvenc gives the frames of a clip that is to have QP 32."""


@pytest.mark.parametrize("count", [1, 2, 17, 100])
@pytest.mark.parametrize("spread", [0, 1, 12, 50])
def test_qps_come_back(count, spread):
    qps = np.random.default_rng(count).integers(32 - spread, min(32 + spread, QP_MAX) + 1, count).tolist()
    assert decode_qps(encode_qps(qps, 32), count, 32) == qps


def test_the_ends_of_the_range_come_back():
    qps = [QP_MIN, QP_MAX, QP_MIN]
    assert decode_qps(encode_qps(qps, 0), 3, 0) == qps
    for outside in (QP_MIN - 1, QP_MAX + 1):
        with pytest.raises(ValueError, match="QPs must be"):
            encode_qps([outside], 0)


def test_what_was_told_costs_nothing_and_what_is_usual_little():
    assert encode_qps([32] * 300, 32) == b""
    assert len(encode_qps(RANDOM_ACCESS, 32)) <= 12
    assert len(encode_qps(RANDOM_ACCESS[:16] * 8, 32)) <= 24  # a second clip of it in 1.5 bits a frame


def test_damaged_bytes_are_named_or_other_qps():
    data, rng = encode_qps(RANDOM_ACCESS, 32), np.random.default_rng(0)
    with pytest.raises(CorruptFile):
        decode_qps(data + b"\1", 17, 32)
    named = 0
    for _ in range(200):
        other = bytes(rng.integers(0, 256, 9, np.uint8))
        try:
            assert all(QP_MIN <= qp <= QP_MAX for qp in decode_qps(other, 17, 32))
        except CorruptFile:
            named += 1
    assert named > 150
