"""A run compared with the published curve of VTM, where its pictures are those of that curve."""

import math
from collections.abc import Sequence
from typing import Any

from jaxicm.errors import InputError
from jaxicm.evaluate.bdrate import Delta, bd_rate
from jaxicm.evaluate.metrics import ms_ssim_db
from jaxicm.evaluate.published import Curve, curves


def against_vtm(run: dict[str, Any]) -> tuple[Curve, dict[str, Delta | str]] | None:
    """Compute BD-rates over the published VTM curve of the run's pictures.

    Args:
        run: contents of a run file.

    Returns:
        The curve, and by title of the measure the difference, or why there is none; None where the pictures are of no
        set with a published curve: on others the comparison would mean nothing.
    """
    known_as = run["data"]["set"]
    if known_as is None:
        return None
    curve, results = curves(known_as)["vtm"], run["results"]
    found: dict[str, Delta | str] = {}
    # without any loss no point has a PSNR, and the run file leaves its column out
    psnr = results.get("psnr-rgb", [None] * len(results["bpp"]))
    found["PSNR of RGB"] = _compare(curve.bpp, curve.psnr, results["bpp"], psnr)
    if curve.ms_ssim is not None and "ms-ssim-rgb" in results:
        # of the mean on both sides: a mean of decibels was not published
        ours, theirs = ([ms_ssim_db(value) for value in values] for values in (results["ms-ssim-rgb"], curve.ms_ssim))
        found["MS-SSIM in dB"] = _compare(curve.bpp, theirs, results["bpp"], ours)
    return curve, found


def _compare(
    anchor_bpp: Sequence[float], anchor: Sequence[float], bpp: Sequence[float], quality: Sequence[float | None]
) -> Delta | str:
    points = [
        (rate, value) for rate, value in zip(bpp, quality, strict=True) if value is not None and math.isfinite(value)
    ]
    if bpp and not points:
        return "none: pictures came back exactly, so that no point has a finite quality"
    try:
        return bd_rate(anchor_bpp, anchor, [rate for rate, _ in points], [value for _, value in points])
    except InputError as error:
        return str(error)
