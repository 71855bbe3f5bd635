"""What filtered frames cost an encoder: squared errors of planes, and what a bit is worth beside them."""

from collections.abc import Sequence

import numpy as np

from jaxicm.media.clips import Clip
from jaxicm.media.video_codec import Structure, VideoCodec
from jaxicm.media.yuv import PlanarFormat, Planes

CHROMA_WEIGHT = 4 / 6
"""Of a squared error of chroma relative to luma's: together the planes' mean squared errors count 6:1:1."""
_QP_APART = 2


def lagrangian(qp: float) -> float:
    """Return squared error of luma, in 8-bit steps, that a bit is worth to an encoder at a QP (that of HM and VTM)."""
    return 0.57 * 2 ** ((qp - 12) / 3)


def squared_error(a: Sequence[Planes], b: Sequence[Planes], form: PlanarFormat) -> float:
    """Return the squared error of frames in 8-bit steps, chroma weighted with `CHROMA_WEIGHT`."""
    total = 0.0
    for x, y in zip(a, b, strict=True):
        for number, (p, q) in enumerate(zip(x, y, strict=True)):
            error = np.square(p.astype(np.float64) - q).sum()
            total += error * (CHROMA_WEIGHT if number else 1.0)
    return total / 4 ** (form.bits - 8)


def worth_of_a_bit(
    coder: VideoCodec, clip: Clip, qp: int, structure: Structure, stream_bits: int, error: float
) -> float:
    """Return the squared error that a bit saves on the codec's own curve between a QP and a neighbour.

    Args:
      coder: of the clip, which is coded once more.
      clip: 4:2:0.
      qp: of the codec.
      structure: of the stream.
      stream_bits: of the clip at this QP.
      error: `squared_error` there.

    Returns:
      Squared error in 8-bit steps; never below `lagrangian`, which it is where the neighbour tells nothing.
    """
    neighbour = qp + _QP_APART if qp + _QP_APART <= coder.qps[1] else qp - _QP_APART
    stream = coder.encode(clip.frames, clip.form, neighbour, structure).data
    bits = stream_bits - 8 * len(stream)
    saved = squared_error(clip.frames, coder.decode(stream, clip.form).frames, clip.form) - error
    return max(lagrangian(qp), saved / bits if bits else 0.0)
