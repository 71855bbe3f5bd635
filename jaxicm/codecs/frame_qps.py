"""The QP of each frame of a clip, coded: encoders choose them a few steps around the QP that they are told.

A filter behind a decoder wants to know how coarse each frame is, and libvvenc's frames of random access lie between one
step below and ten above. A frame's QP is near that of the last frame which as many halvings lead to, so about a bit a
frame is left.
"""

from collections.abc import Sequence

from jaxicm.bits.binary import BinaryCoder, BinaryDecoder, BinaryEncoder, IntegerContexts
from jaxicm.errors import CorruptFile

QP_MIN, QP_MAX = -64, 63
"""Codecs of more than 8 bits count below 0."""
_LEVELS = 6
"""Of frames: how often their number can be halved, at most."""


def encode_qps(qps: Sequence[int], told: int) -> bytes:
    """Code QPs.

    Args:
      qps: of the frames in order of display, each in [QP_MIN, QP_MAX].
      told: QP that the encoder was told.

    Returns:
      Bytes; none where all frames have that QP.

    Raises:
      ValueError: a QP lies outside its range.
    """
    if not all(QP_MIN <= qp <= QP_MAX for qp in qps):
        raise ValueError(f"QPs must be from {QP_MIN} to {QP_MAX}, found {min(qps)} to {max(qps)}")
    if all(qp == told for qp in qps):
        return b""
    coder = BinaryEncoder()
    _code(coder, list(qps), told)
    return coder.finish()


def decode_qps(data: bytes, count: int, told: int) -> list[int]:
    """Decode what `encode_qps` made for a number of frames.

    Raises:
      CorruptFile: these bytes are cut or were not made by it.
    """
    qps = [told] * count
    if not data:
        return qps
    coder = BinaryDecoder(data)
    _code(coder, qps, told)
    coder.finish()
    return qps


def _code(coder: BinaryCoder, qps: list[int], told: int) -> None:
    """Encode the QPs, or replace them by what is decoded."""
    contexts, last = IntegerContexts(_LEVELS, _LEVELS), [told] * _LEVELS
    for frame, qp in enumerate(qps):
        level = min((frame & -frame).bit_length() - 1, _LEVELS - 1) if frame else _LEVELS - 1
        found = last[level] + contexts.code(coder, qp - last[level], level, level)
        if not QP_MIN <= found <= QP_MAX:
            raise CorruptFile(f"frame {frame} has the QP {found}, outside its range; get an intact copy of the file")
        qps[frame] = last[level] = found
