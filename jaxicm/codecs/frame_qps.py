"""The QP that a filter is told of each frame of a clip: chosen, and coded.

A filter behind a decoder wants to know how coarse each frame is. Encoders choose QPs around the one that they are told
(libvvenc's frames of random access lie between one step below it and ten above), and a frame that is mostly copied from
finer ones has less to restore than its own QP says. A frame's QP is near that of the last frame which as many halvings
lead to, so about a bit a frame is left.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxicm.bits.binary import BinaryCoder, BinaryDecoder, BinaryEncoder, IntegerContexts
from jaxicm.codecs.filter_cost import squared_error
from jaxicm.codecs.plane_filter import PlaneFilterRunner
from jaxicm.errors import CorruptFile
from jaxicm.media.yuv import PlanarFormat, Planes

QP_MIN, QP_MAX = -64, 63
"""Codecs of more than 8 bits count below 0."""
LOWER_QPS = (0, 3, 6, 9, 12)
"""How far below its own a QP that a filter is told of a frame may lie."""
_LEVELS = 6
"""Of frames: how often their number can be halved, at most."""


def best_qps(
    runner: PlaneFilterRunner,
    params: Mapping[str, Any],
    wanted: Sequence[Planes],
    decoded: Sequence[Planes],
    form: PlanarFormat,
    qps: Sequence[int],
) -> tuple[list[int], list[Planes]]:
    """Find the QP that a filter is best told of each frame, its own or a lower one.

    Args:
      runner: of the filter.
      params: of the filter.
      wanted: the original frames.
      decoded: the decoded ones.
      form: of the frames.
      qps: that the encoder gave them.

    Returns:
      QPs, and the frames filtered with them.
    """
    told, shown = [], []
    for original, planes, qp in zip(wanted, decoded, qps, strict=True):
        tried: list[tuple[float, int, Planes]] = []
        for lower in LOWER_QPS:
            if qp - lower < QP_MIN:
                break
            (found,) = runner.apply(params, [planes], form, [qp - lower])
            tried.append((squared_error([original], [found], form), qp - lower, found))
            if len(tried) > 1 and tried[-1][0] >= tried[-2][0]:
                break
        _, best, found = min(tried, key=lambda one: one[0])
        told.append(best)
        shown.append(found)
    return told, shown


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
