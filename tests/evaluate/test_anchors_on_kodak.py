"""Mean rate and quality of the 24 Kodak pictures against points that were measured without this package."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from jaxicm.evaluate.anchors import find
from jaxicm.evaluate.metrics import psnr
from jaxicm.media.pictures import read_picture

DATA = Path(os.environ.get("JAXICM_DATA", "/nowhere"))
POINTS = DATA / "anchors" / "kodak_measured.json"

# codec, setting, curve of the file, tolerated difference of the rate (a share) and of PSNR (dB). The same library
# makes the same files; newer ones need not. HEVC was measured with wavefronts, which cost rate, and with chroma codes
# that lie half a step lower; 4:2:0 moreover with means of four pixels, which cost PSNR at high rates.
SAME = [
    ("jpeg", 30, "jpeg420_pillow_opt_prog", 1e-4, 1e-3),
    ("jpeg444", 30, "jpeg444_pillow_opt_prog", 1e-4, 1e-3),
    ("webp", 50, "webp_m6", 1e-3, 0.01),
    ("avif", 20, "avif_aom_s4_444_tunepsnr", 1e-3, 0.01),
    ("jpegxl", 6, "jxl_e7", 1e-3, 0.01),
    ("jpeg2000", 34, "jpeg2000_dB", 1e-3, 0.01),
    ("hevc444", 47, "hevc_x265_slower_444_10b", 0.02, 0.03),
    ("hevc", 47, "hevc_x265_slower_420_10b", 0.02, 0.03),
    ("vvc-faster", 47, "vvc_vvenc_faster_420_10b", 0.01, 0.02),
]


@pytest.mark.slow
@pytest.mark.skipif(not POINTS.exists(), reason="needs kodak/ and anchors/ of the data folder: set JAXICM_DATA")
@pytest.mark.parametrize(("name", "setting", "curve", "rate_share", "quality_db"), SAME)
def test_a_point_measured_elsewhere_is_met(name, setting, curve, rate_share, quality_db):
    anchor = find(name)
    if reason := anchor.missing():
        pytest.skip(reason)
    bpp, quality = [], []
    for path in sorted((DATA / "kodak").glob("kodim*.png")):
        pixels = read_picture(path).pixels
        data = anchor.encode(pixels, setting).data
        bpp.append(8 * len(data) / (pixels.shape[0] * pixels.shape[1]))
        quality.append(psnr(pixels, anchor.decode(data, *pixels.shape[:2]).pixels))
    assert len(bpp) == 24
    expected = json.loads(POINTS.read_text())["curves"][curve]
    nearest = int(np.argmin(np.abs(np.array(expected["bpp"]) - np.mean(bpp))))
    assert np.mean(bpp) == pytest.approx(expected["bpp"][nearest], rel=rate_share)
    assert np.mean(quality) == pytest.approx(expected["psnr-rgb"][nearest], abs=quality_db)
