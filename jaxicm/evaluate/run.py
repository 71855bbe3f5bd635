"""The table of a codec on a set of pictures: real files through the public interface, decoded and measured."""

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxicm.errors import InputError, JaxicmError
from jaxicm.evaluate.bdrate import bd_rate, common_quality
from jaxicm.evaluate.metrics import ms_ssim, psnr
from jaxicm.evaluate.published import VTM_KODAK, Curve
from jaxicm.media.pictures import read_picture


class Codec(Protocol):
    """Say what of a codec is used here."""

    def encode(self, image: np.ndarray, *, quality: float) -> bytes:
        """Compress uint8 pixels."""
        ...

    def decode(self, data: bytes) -> np.ndarray:
        """Decode to uint8 pixels."""
        ...


@dataclass(frozen=True)
class Point:
    """Hold the measurements of one picture at one quality.

    Attributes:
        picture: file name without its folder.
        quality: as given to the encoder.
        size_bytes: of the whole file.
        bpp: bits per pixel of the original, all header bytes counted.
        psnr: dB over all samples.
        ms_ssim: in [0, 1].
        encode_s: seconds of encoding; the first of a process includes compilation.
        decode_s: seconds of decoding, or None where another process decoded.
    """

    picture: str
    quality: float
    size_bytes: int
    bpp: float
    psnr: float
    ms_ssim: float
    encode_s: float
    decode_s: float | None


@dataclass(frozen=True)
class FreshDecoder:
    """Decode files in a new process, as their receiver would.

    Attributes:
        model: name or weight file given to `jaxicm decode --model`; None lets the file's digest choose.
    """

    model: str | None = None

    @classmethod
    def for_model(cls, model: str) -> "FreshDecoder":
        """Make a decoder that names the weights only where the zoo does not have them.

        Args:
            model: a name of the zoo, or a weight file.

        Returns:
            A decoder.
        """
        return cls(model if Path(model).suffix == ".safetensors" else None)

    def decode(self, files: Sequence[bytes]) -> list[np.ndarray]:
        """Decode files with one call of `jaxicm decode`.

        Args:
            files: compressed files.

        Returns:
            Their pixels, uint8.

        Raises:
            JaxicmError: the process failed; the message holds what it printed.
        """
        with tempfile.TemporaryDirectory() as folder:
            sources = [Path(folder) / f"{index}.jicm" for index in range(len(files))]
            for source, data in zip(sources, files, strict=True):
                source.write_bytes(data)
            out = Path(folder) / "decoded"
            command = [sys.executable, "-m", "jaxicm.cli", "decode", *map(str, sources), "--out-dir", str(out)]
            command += ["--model", self.model] if self.model is not None else []
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise JaxicmError(f"decoding in a second process failed: {done.stderr.strip()[-400:]}")
            return [read_picture(out / f"{source.stem}.png").pixels for source in sources]


def measure(codec: Codec, picture: Path, qualities: Sequence[float], fresh: FreshDecoder | None = None) -> list[Point]:
    """Measure one picture at several qualities.

    Args:
        codec: encodes, and decodes where `fresh` is None.
        picture: a picture file.
        qualities: each from 1 to 100.
        fresh: decodes in a second process.

    Returns:
        One point a quality, in their order.
    """
    original = read_picture(picture).pixels
    files, encode_s = [], []
    for quality in qualities:
        start = time.perf_counter()
        files.append(codec.encode(original, quality=quality))
        encode_s.append(time.perf_counter() - start)
    decoded, decode_s = [], []
    if fresh is not None:
        decoded, decode_s = fresh.decode(files), [None] * len(files)
    else:
        for data in files:
            start = time.perf_counter()
            decoded.append(codec.decode(data))
            decode_s.append(time.perf_counter() - start)
    pixels = original.shape[0] * original.shape[1]
    return [
        Point(
            picture=picture.name,
            quality=quality,
            size_bytes=len(data),
            bpp=8 * len(data) / pixels,
            psnr=psnr(original, image),
            ms_ssim=ms_ssim(original, image),
            encode_s=seconds,
            decode_s=decode_seconds,
        )
        for quality, data, image, seconds, decode_seconds in zip(
            qualities, files, decoded, encode_s, decode_s, strict=True
        )
    ]


def mean_curve(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Average the points of all pictures at each quality.

    Args:
        points: of one or more pictures.

    Returns:
        One dictionary a quality, rising: means of bpp, psnr (of dB) and ms_ssim; medians of encode_s and decode_s.
    """
    rows = []
    for quality in sorted({point.quality for point in points}):
        chosen = [point for point in points if point.quality == quality]
        decode_s = [point.decode_s for point in chosen if point.decode_s is not None]
        rows.append(
            {
                "quality": quality,
                "bpp": float(np.mean([point.bpp for point in chosen])),
                "psnr": float(np.mean([point.psnr for point in chosen])),
                "ms_ssim": float(np.mean([point.ms_ssim for point in chosen])),
                "encode_s": float(np.median([point.encode_s for point in chosen])),
                "decode_s": float(np.median(decode_s)) if decode_s else None,
            }
        )
    return rows


def report(points: Sequence[Point], anchor: Curve = VTM_KODAK) -> dict[str, Any]:
    """Summarise measurements and compare their mean curve with a published one.

    Args:
        points: all measurements.
        anchor: the curve to compare with; it must be of the same pictures to mean anything.

    Returns:
        JSON-able: `pictures` (every point), `curve` (means), `anchor`, `anchor_source`, `bd_rate_percent` (None where
        it is refused), `bd_rate_refused` (why, or None), `common_psnr` (the interval compared).
    """
    curve = mean_curve(points)
    bpp, quality = [row["bpp"] for row in curve], [row["psnr"] for row in curve]
    percent, refused = None, None
    try:
        percent = bd_rate(anchor.bpp, anchor.psnr, bpp, quality)
    except InputError as error:
        refused = str(error)
    return {
        "curve": curve,
        "anchor": anchor.name,
        "anchor_source": anchor.source,
        "bd_rate_percent": percent,
        "bd_rate_refused": refused,
        "common_psnr": list(common_quality(anchor.psnr, quality)),
        "pictures": [dataclasses.asdict(point) for point in points],
    }
