"""Conventional codecs to compare with, under one interface: Pillow, imagecodecs, ffmpeg, and VTM where it is at hand.

Each runs with the options that make it strongest in PSNR, or without loss the smallest, on one thread, so that several
pictures coded side by side do not disturb each other's CPU seconds.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from jaxicm.errors import OptionError
from jaxicm.evaluate.anchors.interface import Anchor, Coded, Decoded
from jaxicm.evaluate.anchors.jpegxl import JpegXlAnchor, LosslessJpegXlAnchor
from jaxicm.evaluate.anchors.pillow import Jpeg2000Anchor, LosslessPillowAnchor, PillowAnchor
from jaxicm.evaluate.anchors.video import VideoAnchor
from jaxicm.media.ffmpeg import FfmpegCodec
from jaxicm.media.video_codec import VideoCodec
from jaxicm.media.vtm import VtmCodec

__all__ = ["ANCHORS", "Anchor", "Coded", "Decoded", "find"]

_JPEG = {"optimize": True, "progressive": True}
# without tune=psnr the encoder optimises for the eye, which costs 10 % in BD-rate by PSNR
_AVIF = {"speed": 4, "codec": "aom", "advanced": {"tune": "psnr"}, "max_threads": 1}
_GREY_AVIF = {"subsampling": "4:0:0"}

_JPEG_QUALITIES = (5, 10, 20, 30, 50, 65, 75, 85, 92)
_AVIF_QUALITIES = (20, 30, 40, 50, 60, 70, 80, 90)
_QPS = (47, 42, 37, 32, 27, 22)  # those of the literature on machine tasks


def _video(
    name: str,
    title: str,
    codec: VideoCodec,
    default: tuple[float, ...],
    chroma: Literal["420", "444"] = "420",
    bits: Literal[8, 10] = 10,
) -> VideoAnchor:
    return VideoAnchor(name, title, codec.qps, default, rising=False, unit="QP", codec=codec, chroma=chroma, bits=bits)


ANCHORS: Mapping[str, Anchor] = MappingProxyType(
    {
        anchor.name: anchor
        for anchor in (
            PillowAnchor(
                "jpeg",
                "JPEG",
                (1, 100),
                _JPEG_QUALITIES,
                format="JPEG",
                feature="jpg",
                options={**_JPEG, "subsampling": "4:2:0"},
            ),
            PillowAnchor(
                "jpeg444",
                "JPEG 4:4:4",
                (1, 100),
                _JPEG_QUALITIES,
                format="JPEG",
                feature="jpg",
                options={**_JPEG, "subsampling": "4:4:4"},
            ),
            PillowAnchor(
                "webp",
                "WebP",
                (0, 100),
                (5, 20, 40, 60, 75, 85, 92, 97),
                format="WEBP",
                feature="webp",
                options={"method": 6},
            ),
            PillowAnchor(
                "avif",
                "AVIF",
                (0, 100),
                _AVIF_QUALITIES,
                format="AVIF",
                feature="avif",
                options={**_AVIF, "subsampling": "4:4:4"},
                grey_options=_GREY_AVIF,
            ),
            PillowAnchor(
                "avif420",
                "AVIF 4:2:0",
                (0, 100),
                _AVIF_QUALITIES,
                format="AVIF",
                feature="avif",
                options={**_AVIF, "subsampling": "4:2:0"},
                grey_options=_GREY_AVIF,
            ),
            JpegXlAnchor(
                "jpegxl", "JPEG XL", (0.05, 25), (15, 8, 5, 3, 2, 1.4, 1, 0.5), rising=False, step=0.05, unit="distance"
            ),
            Jpeg2000Anchor(
                "jpeg2000",
                "JPEG 2000",
                (20, 60),
                (25, 28, 31, 34, 37, 40, 43),
                step=0.25,
                unit="PSNR in dB",
                format="JPEG2000",
                feature="jpg_2000",
                # without mct=1 red, green and blue are coded independently
                options={"irreversible": True, "mct": 1, "no_jp2": True},
                grey_options={"mct": 0},
            ),
            _video("hevc", "HEVC 4:2:0", FfmpegCodec("hevc", "slower"), _QPS),
            _video("hevc444", "HEVC 4:4:4", FfmpegCodec("hevc", "slower"), _QPS, chroma="444"),
            _video("av1", "AV1 4:4:4", FfmpegCodec("av1", "3"), (58, 50, 42, 34, 26, 18, 10), chroma="444"),
            _video("vvc", "VVC 4:2:0", FfmpegCodec("vvc", "medium"), _QPS),
            _video("vvc-faster", "VVC 4:2:0 faster", FfmpegCodec("vvc", "faster"), _QPS),
            # 8 bit: what the published curves of VTM were made with
            _video("vtm", "VTM 4:4:4", VtmCodec(), _QPS, chroma="444", bits=8),
            LosslessPillowAnchor("png", "PNG", format="PNG", feature="zlib", options={"optimize": True}),
            LosslessPillowAnchor(
                "webp-lossless",
                "WebP lossless",
                format="WEBP",
                feature="webp",
                options={"lossless": True, "quality": 100, "method": 6, "exact": True},
            ),
            LosslessJpegXlAnchor("jpegxl-lossless", "JPEG XL lossless", (1, 9), (7, 9), rising=False, unit="effort"),
        )
    }
)
"""The codecs by name, those that are not installed here too: ask `missing`."""


def find(name: str) -> Anchor:
    """Return a codec by name.

    Args:
        name: a key of `ANCHORS`.

    Raises:
        OptionError: unknown name.
    """
    if name not in ANCHORS:
        raise OptionError(f"unknown anchor {name!r}; choose from {', '.join(ANCHORS)}")
    return ANCHORS[name]
