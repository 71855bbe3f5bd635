"""Published rate-distortion curves: bits per pixel, PSNR and MS-SSIM over RGB, mean over a set of pictures.

The JSON files beside this one hold, per curve, where its numbers come from. Those of the CompressAI repository are its
`results` for the three sets, rates sorted and times left out; MS-SSIM that is published in decibels is kept as
1 - 10^(-dB/10). They are comparable with what is measured here only on the same pictures.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from jaxicm.errors import OptionError

SETS = ("kodak", "clic2020-professional", "clic2020-mobile")
"""Kodak: 24 pictures of 768x512. CLIC 2020: the professional and the mobile test pictures."""


@dataclass(frozen=True)
class Curve:
    """Hold a published rate-distortion curve, its rate rising.

    Attributes:
        name: codec and settings.
        source: where the numbers were published.
        bpp: bits per pixel of each point, mean over the set.
        psnr: PSNR in dB over RGB samples, mean over the set.
        ms_ssim: MS-SSIM in [0, 1], mean over the set, or None where not published.
    """

    name: str
    source: str
    bpp: tuple[float, ...]
    psnr: tuple[float, ...]
    ms_ssim: tuple[float, ...] | None = None


@functools.cache
def curves(set_name: str) -> Mapping[str, Curve]:
    """Return the published curves of a set of pictures.

    Args:
        set_name: one of `SETS`.

    Returns:
        The curves by a short name ("vtm", "elic2022", ...).

    Raises:
        OptionError: no curves are kept for this set.
    """
    if set_name not in SETS:
        raise OptionError(f"no published curves for {set_name!r}; there are some for {', '.join(SETS)}")
    text = resources.files("jaxicm.evaluate.published").joinpath(f"{set_name}.json").read_text(encoding="utf-8")
    return MappingProxyType({key: _curve(entry) for key, entry in json.loads(text).items()})


def _curve(entry: dict) -> Curve:
    ms_ssim = tuple(entry["ms_ssim"]) if "ms_ssim" in entry else None
    return Curve(entry["name"], entry["source"], tuple(entry["bpp"]), tuple(entry["psnr"]), ms_ssim)


VTM_KODAK = curves("kodak")["vtm"]
HPCM_BASE_KODAK = curves("kodak")["hpcm-base"]
HPCM_LARGE_KODAK = curves("kodak")["hpcm-large"]
