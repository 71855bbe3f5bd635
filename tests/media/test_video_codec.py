"""What encoders print of their frames."""

import pytest

from jaxicm.media.video_codec import printed_qps

VVENC = """frame=    1 fps=0.5 POC     0 TId: 0 ( IDR_N_LP, I-SLICE, QP 31, TF 2)      98128 bits [Y 35.7506 dB]
POC     2 TId: 1 (      STSA, B-SLICE, QP 36, TF 1)      28576 bits [L0 0 ] [L1 0 ]
POC     1 TId: 5 (      RASL, B-SLICE, QP 42)             5880 bits [L0 0 2 ]
"""
VTM = """POC    0 LId:  0 TId: 0 ( IDR_W_RADL, I-SLICE, QP 31 )     147232 bits [Y 38.2 dB]
POC    1 LId:  0 TId: 0 ( TRAIL, P-SLICE, QP -3 )     1472 bits [Y 38.2 dB]
"""


def test_qps_are_read_in_the_order_of_display():
    assert printed_qps(VVENC, 3) == (31, 42, 36)
    assert printed_qps(VTM, 2) == (31, -3)


@pytest.mark.parametrize(("text", "count"), [("", 1), (VVENC, 2), (VVENC, 4), (VVENC + VTM, 5)])
def test_qps_are_unknown_unless_every_frame_is_told_once(text, count):
    assert printed_qps(text, count) is None
