"""A run compared with the published curve of VTM, where its pictures are those of that curve."""

from collections.abc import Sequence
from typing import Any

from jaxicm.errors import InputError
from jaxicm.evaluate.bdrate import Delta, bd_rate
from jaxicm.evaluate.metrics import ms_ssim_db
from jaxicm.evaluate.published import Curve, curves

METRICS = {"PSNR of RGB": "psnr-rgb", "MS-SSIM in dB": "ms-ssim-db-rgb"}
"""Titles of the measures, and their keys in `results`."""


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
    curve = curves(known_as)["vtm"]
    qualities = {"psnr-rgb": curve.psnr}
    if curve.ms_ssim is not None:
        qualities["ms-ssim-db-rgb"] = tuple(ms_ssim_db(value) for value in curve.ms_ssim)
    found: dict[str, Delta | str] = {}
    for title, key in METRICS.items():
        if key in qualities and key in run["results"]:
            found[title] = _compare(curve.bpp, qualities[key], run["results"]["bpp"], run["results"][key])
    return curve, found


def _compare(
    anchor_bpp: Sequence[float], anchor: Sequence[float], bpp: Sequence[float], quality: Sequence[float | None]
) -> Delta | str:
    points = [(rate, value) for rate, value in zip(bpp, quality, strict=True) if value is not None]
    try:
        return bd_rate(anchor_bpp, anchor, [rate for rate, _ in points], [value for _, value in points])
    except InputError as error:
        return str(error)
