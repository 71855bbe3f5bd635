"""Conventional codecs to compare with: published curves as data, and JPEG, WebP and AVIF through Pillow."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from PIL import Image

from jaxicm.errors import OptionError


@dataclass(frozen=True)
class Curve:
    """Hold a published rate-distortion curve.

    Attributes:
        name: codec and settings.
        source: where the numbers were published.
        bpp: bits per pixel of each point, mean over the set.
        psnr: PSNR in dB over RGB samples, mean over the set.
    """

    name: str
    source: str
    bpp: tuple[float, ...]
    psnr: tuple[float, ...]


VTM_KODAK = Curve(
    name="VTM (VVC intra), Kodak",
    source="results of the CompressAI repository, mean of the 24 Kodak pictures",
    bpp=(0.0482, 0.1125, 0.2458, 0.4905, 0.8748, 1.4308, 2.3246, 3.6326),
    psnr=(26.145, 28.493, 31.200, 34.262, 37.420, 40.424, 43.506, 46.592),
)
HPCM_BASE_KODAK = Curve(
    name="HPCM-Base, Kodak",
    source="Li et al., Learned Image Compression with Hierarchical Progressive Context Modeling, ICCV 2025",
    bpp=(0.1211, 0.1757, 0.2729, 0.4125, 0.5898, 0.8209),
    psnr=(29.4022, 30.7547, 32.4012, 34.2063, 36.0145, 37.7525),
)
HPCM_LARGE_KODAK = Curve(
    name="HPCM-Large, Kodak",
    source=HPCM_BASE_KODAK.source,
    bpp=(0.0951, 0.1537, 0.2438, 0.3778, 0.5516, 0.7843),
    psnr=(28.9135, 30.4490, 32.1219, 33.9923, 35.8511, 37.7480),
)


@dataclass(frozen=True)
class Anchor:
    """Name a codec of Pillow with the settings that make it strongest in PSNR.

    Attributes:
        name: as printed in tables.
        format: Pillow's format name.
        options: other arguments of `Image.save`.
        settings: the qualities, lowest and highest.
    """

    name: str
    format: str
    options: Mapping[str, object]
    settings: tuple[int, int]


# AVIF: without tune=psnr the encoder optimises for the eye, which costs 10 % in BD-rate by PSNR. JPEG: 4:2:0 is the
# better choice below 1 bpp (BD-rate over VTM +180 % on Kodak, measured).
ANCHORS: Mapping[str, Anchor] = MappingProxyType(
    {
        "jpeg": Anchor("JPEG", "JPEG", {"optimize": True, "progressive": True, "subsampling": "4:2:0"}, (1, 100)),
        "webp": Anchor("WebP", "WEBP", {"method": 6}, (0, 100)),
        "avif": Anchor(
            "AVIF",
            "AVIF",
            {"subsampling": "4:4:4", "speed": 4, "codec": "aom", "advanced": {"tune": "psnr"}},
            (0, 100),
        ),
    }
)


def encode_anchor(name: str, pixels: np.ndarray, setting: int) -> bytes:
    """Compress a picture with a conventional codec.

    Args:
        name: a key of `ANCHORS`.
        pixels: uint8 [H, W, 3] or [H, W].
        setting: the codec's quality, within `ANCHORS[name].settings`.

    Returns:
        The whole file.

    Raises:
        OptionError: unknown name, or setting out of range.
    """
    if name not in ANCHORS:
        raise OptionError(f"unknown anchor {name!r}; choose from {', '.join(ANCHORS)}")
    anchor = ANCHORS[name]
    low, high = anchor.settings
    if not low <= setting <= high:
        raise OptionError(f"{anchor.name}: quality must lie from {low} to {high}, got {setting}")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, anchor.format, quality=setting, **anchor.options)
    return buffer.getvalue()


def decode_anchor(data: bytes, *, grey: bool = False) -> np.ndarray:
    """Decode a file of `encode_anchor`.

    Args:
        data: the file.
        grey: return [H, W]; the formats that know no grey store it as RGB.

    Returns:
        uint8 [H, W, 3] or [H, W].
    """
    return np.asarray(Image.open(io.BytesIO(data)).convert("L" if grey else "RGB"))


def at_size(name: str, pixels: np.ndarray, size_bytes: int) -> tuple[int, bytes]:
    """Compress a picture to the smallest file that is not smaller than a given one.

    The anchor so never has fewer bytes than what it is compared with, as far as its settings reach.

    Args:
        name: a key of `ANCHORS`.
        pixels: uint8 [H, W, 3] or [H, W].
        size_bytes: the size to reach.

    Returns:
        The setting and the file. The highest setting if all files are smaller, the lowest if all are larger.

    Raises:
        OptionError: unknown name.
    """
    if name not in ANCHORS:
        raise OptionError(f"unknown anchor {name!r}; choose from {', '.join(ANCHORS)}")
    return smallest_not_below(lambda setting: encode_anchor(name, pixels, setting), ANCHORS[name].settings, size_bytes)


def smallest_not_below(encode: Callable[[int], bytes], settings: tuple[int, int], size_bytes: int) -> tuple[int, bytes]:
    """Bisect the settings of an encoder whose file size rises with its setting.

    Args:
        encode: setting to file.
        settings: lowest and highest setting.
        size_bytes: the size to reach.

    Returns:
        The lowest setting whose file has at least `size_bytes` and that file; the highest setting if none has.
    """
    low, high = settings
    best: bytes | None = None
    while low < high:
        middle = (low + high) // 2
        data = encode(middle)
        if len(data) >= size_bytes:
            high, best = middle, data
        else:
            low = middle + 1
    # `best`, when there is one, belongs to `high`, which is where the bisection ends
    return high, best if best is not None else encode(high)
