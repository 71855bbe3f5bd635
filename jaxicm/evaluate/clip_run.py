"""Measuring filters behind a conventional codec on clips: bytes of whole files, PSNR of what they decode to.

PSNR is the mean over frames; that of YUV weighs the three planes' PSNR 6:1:1 (as JVET's common test conditions do).
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.adapt.filter_fits import FILTER_FITS, WAYS
from jaxicm.adapt.parameters import ParameterFit
from jaxicm.adapt.stage import Progress
from jaxicm.codecs.filter_weights import PlaneFilterWeights
from jaxicm.codecs.filtered_clip import decode_clip, encode_clip
from jaxicm.errors import InputError
from jaxicm.evaluate.bdrate import bd_rate
from jaxicm.media.clips import Clip, read_clip
from jaxicm.media.ffmpeg import CoderName
from jaxicm.media.files import atomic_write
from jaxicm.media.stream_cache import CachedCodec
from jaxicm.media.video_codec import Structure
from jaxicm.media.yuv import PlanarFormat, Planes

FORMAT = "jaxicm clips 1"


@dataclass(frozen=True)
class ClipPoint:
    """A clip at a QP in one way.

    Attributes:
      clip: name of its file.
      qp: of the codec.
      way: one of `adapt.filter_fits.WAYS`.
      file_bytes, update_bytes: the whole file, and what of it changes the filter.
      kbps: of the whole file, kilobits a second.
      psnr_y, psnr_yuv: dB.
      encode_s, decode_s: wall seconds; those of a kept stream's encoder are not among them.
    """

    clip: str
    qp: int
    way: str
    file_bytes: int
    update_bytes: int
    kbps: float
    psnr_y: float
    psnr_yuv: float
    encode_s: float
    decode_s: float


@dataclass(frozen=True)
class ClipSettings:
    """What a run measures.

    Attributes:
      coder: name of the conventional codec.
      qps: at least two for a BD-rate.
      ways: "none" is the anchor.
      frames: of a clip at most; 0 for all.
      period: frames from one intra picture to the next.
      iterations: of a fit.
    """

    coder: CoderName
    qps: tuple[int, ...]
    ways: tuple[str, ...] = ("none", "plain", "bias")
    frames: int = 0
    period: int = 32
    iterations: int = 400

    def __post_init__(self):
        if unknown := set(self.ways) - set(WAYS):
            raise InputError(f"a filter is used in one of the ways {', '.join(WAYS)}, found {unknown.pop()}")


def psnr(original: Sequence[Planes], shown: Sequence[Planes], form: PlanarFormat) -> tuple[float, float]:
    """Return the PSNR of luma and of YUV in dB, means over frames; 100 for equal planes."""
    peak = 255.0 * 2 ** (form.bits - 8)
    rows = []
    for wanted, found in zip(original, shown, strict=True):
        errors = [np.mean(np.square(a.astype(np.float64) - b)) for a, b in zip(wanted, found, strict=True)]
        rows.append([10 * np.log10(peak**2 / error) if error else 100.0 for error in errors])
    luma, blue, red = np.mean(rows, axis=0)
    return float(luma), float((6 * luma + blue + red) / 8)


def measure(
    name: str,
    clip: Clip,
    qp: int,
    way: str,
    settings: ClipSettings,
    coder: CachedCodec,
    network: PlaneFilterWeights | None,
    progress: Progress | None = None,
) -> ClipPoint:
    """Code a clip in one way, decode the file and compare.

    Raises:
      MissingDependency: the codec is not installed.
      InputError: as `encode_clip`.
    """
    fit = FILTER_FITS.get(way)
    begin = time.perf_counter()
    data, facts = encode_clip(
        clip,
        qp,
        coder=coder,
        name=settings.coder,
        structure=Structure(period=settings.period),
        network=None if way == "none" else network,
        fit=fit and ParameterFit(kind=fit.kind, pattern=fit.pattern, iterations=settings.iterations),
        progress=progress,
    )
    middle = time.perf_counter()
    decoded = decode_clip(data, coder=coder, network=network)
    end = time.perf_counter()
    luma, yuv = psnr(clip.frames, decoded.frames, clip.form)
    kbps = 8 * len(data) / 1000 / float(len(clip.frames) / clip.rate)
    return ClipPoint(name, qp, way, len(data), facts.update_bytes, kbps, luma, yuv, middle - begin, end - middle)


def run(
    clips: Iterable[Path],
    settings: ClipSettings,
    coder: CachedCodec,
    network: PlaneFilterWeights | None,
    out: Path | None,
    tell: Callable[[ClipPoint], None],
    progress: Progress | None = None,
) -> list[ClipPoint]:
    """Measure clips in all ways at all QPs.

    Args:
      clips: files.
      settings: what is measured.
      coder: codec that keeps its streams.
      network: filter; may be None where "none" is the only way.
      out: JSON of all points, written after each; what it holds of the same run is not measured again.
      tell: is given every point.
      progress: of fits.

    Returns:
      The points of these clips and settings.

    Raises:
      InputError: a clip cannot be read, or `out` is of another run.
    """
    identity = {
        "format": FORMAT,
        "codec": settings.coder,
        "versions": dict(coder.version()),
        "filter": None if network is None else network.info.digest,
        "frames": settings.frames,
        "period": settings.period,
        "iterations": settings.iterations,
    }
    known = _read(out, identity) if out is not None else []
    by_key = {(point.clip, point.qp, point.way): point for point in known}
    found = []
    for path in clips:
        clip = None
        for qp in settings.qps:
            for way in settings.ways:
                point = by_key.get((path.name, qp, way))
                if point is None:
                    clip = clip or read_clip(path, settings.frames)
                    point = measure(path.name, clip, qp, way, settings, coder, network, progress)
                    by_key[path.name, qp, way] = point
                    if out is not None:
                        rows = [asdict(one) for one in by_key.values()]
                        atomic_write(out, (json.dumps(identity | {"points": rows}, indent=1) + "\n").encode())
                tell(point)
                found.append(point)
    return found


def _read(path: Path, identity: dict[str, Any]) -> list[ClipPoint]:
    if not path.exists():
        return []
    try:
        data = json.loads(path.read_text())
        points = [ClipPoint(**row) for row in data.pop("points")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no run of clips ({error}); name another --out") from error
    if different := sorted(key for key in identity if data.get(key) != identity[key]):
        raise InputError(f"{path}: is of another run, {', '.join(different)} differ; name another --out")
    return points


def bd_rates(points: Sequence[ClipPoint], way: str, quality: str, anchor: str = "none") -> dict[str, float]:
    """Return the BD-rate of a way over another one, of each clip in per cent.

    Args:
      points: of a run.
      way: the tested one.
      quality: "psnr_y" or "psnr_yuv".
      anchor: the way to compare with.

    Returns:
      By clip, those with two points or more of both.
    """
    rates = {}
    for clip in dict.fromkeys(point.clip for point in points):
        curves = [[p for p in points if (p.clip, p.way) == (clip, one)] for one in (anchor, way)]
        if min(map(len, curves)) >= 2:
            values = [[getattr(p, key) for p in curve] for curve in curves for key in ("kbps", quality)]
            rates[clip] = bd_rate(*values).value
    return rates
