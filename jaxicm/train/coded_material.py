"""Training material of filters behind a codec: crops of pictures and clips before and after coding, at several QPs.

A crop is uint8 `[side, side, 7]`: luma and chroma as decoded, luma and chroma of the original, and the QP of its frame
(as the encoder chose it, where it says so). Chroma of 4:2:0 is repeated to the size of luma, so that a crop can be cut,
mirrored and turned like any other (at even places); every second row and column gives it back. Regions are coded, not
crops, so that a filter sees what coding leaves of pictures.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxicm.errors import ConfigError, InputError
from jaxicm.media.clips import SUFFIXES, read_clip
from jaxicm.media.pictures import as_rgb, read_picture
from jaxicm.media.video_codec import INTRA, Structure, VideoCodec
from jaxicm.media.yuv import PlanarFormat, Planes, to_planes

CHANNELS = 7
"""Of a crop: three decoded planes, three original ones, the QP."""


@dataclass(frozen=True)
class MaterialOptions:
    """What is made of a picture or clip.

    Attributes:
      qps: at which it is coded, all of them.
      side: of the crops, even.
      crops: of a picture or clip at each QP, at random places (and of random frames).
      region: longest side of what is coded of a picture, a random part of it; 0 codes pictures whole.
      frames: of a clip that are coded, from its beginning.
      structure: of a clip.
      seed: of places.
    """

    qps: tuple[int, ...] = (22, 27, 32, 37, 42, 47)
    side: int = 256
    crops: int = 1
    region: int = 640
    frames: int = 33
    structure: Structure = INTRA
    seed: int = 0

    def __post_init__(self):
        for key, holds, rule in (
            ("qps", bool(self.qps), "must not be empty"),
            ("side", self.side >= 32 and self.side % 2 == 0, "must be even and at least 32"),
            ("crops", self.crops >= 1, "must be at least 1"),
            ("region", self.region == 0 or self.region >= self.side, "must be 0 or at least the crops' side"),
            ("frames", self.frames >= 1, "must be at least 1"),
        ):
            if not holds:
                raise ConfigError(f"{key}: found {getattr(self, key)!r}, {rule}")


def picture_material(
    pixels: np.ndarray, codec: VideoCodec, options: MaterialOptions, number: int
) -> Iterator[np.ndarray]:
    """Code a picture and cut crops.

    Args:
      pixels: uint8 `[H, W, 3]`, no side below that of the crops.
      codec: takes 4:2:0.
      options: what is made.
      number: of the picture; it and the seed choose places.

    Yields:
      Crops.
    """
    rng = np.random.default_rng([options.seed, number])
    height, width = (min(side, options.region or side) // 2 * 2 for side in pixels.shape[:2])
    top, left = (
        int(rng.integers(whole - part + 1)) for whole, part in zip(pixels.shape, (height, width), strict=False)
    )
    original = to_planes(pixels[top : top + height, left : left + width], "420", 8)
    yield from _coded([original], PlanarFormat(height, width), codec, options, rng)


def clip_material(
    frames: Sequence[Planes], form: PlanarFormat, codec: VideoCodec, options: MaterialOptions, number: int
) -> Iterator[np.ndarray]:
    """Code a clip and cut crops out of its frames.

    Args:
      frames: 4:2:0 of 8 bits.
      form: of the frames, no side below that of the crops.
      codec: takes 4:2:0.
      options: what is made.
      number: of the clip.

    Yields:
      Crops.
    """
    rng = np.random.default_rng([options.seed, number])
    yield from _coded(frames[: options.frames], form, codec, options, rng)


def _coded(
    original: Sequence[Planes],
    form: PlanarFormat,
    codec: VideoCodec,
    options: MaterialOptions,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    for qp in options.qps:
        stream = codec.encode(original, form, qp, options.structure)
        decoded = codec.decode(stream.data, form).frames
        qps = stream.qps or (qp,) * len(original)
        for _ in range(options.crops):
            frame = int(rng.integers(len(original)))
            top, left = (2 * int(rng.integers((whole - options.side) // 2 + 1)) for whole in form.shapes[0])
            yield crop(decoded[frame], original[frame], max(qps[frame], 0), top, left, options.side)


def crop(decoded: Planes, original: Planes, qp: int, top: int, left: int, side: int) -> np.ndarray:
    """Cut a crop out of the planes of a frame.

    Args:
      decoded: 4:2:0 of 8 bits.
      original: likewise.
      qp: of the frame.
      top, left: of the crop, even.
      side: of the crop, even.

    Returns:
      uint8 `[side, side, 7]`.
    """
    parts = []
    for planes in (decoded, original):
        parts.append(planes[0][top : top + side, left : left + side])
        for plane in planes[1:]:
            half = plane[top // 2 : (top + side) // 2, left // 2 : (left + side) // 2]
            parts.append(half.repeat(2, axis=0).repeat(2, axis=1))
    return np.stack([*parts, np.full((side, side), qp, np.uint8)], axis=-1)


def build_material(
    files: Sequence[Path],
    codec: VideoCodec,
    options: MaterialOptions,
    warn: Callable[[str], None],
    track: Callable[[Sequence[Path]], Iterable[Path]] = iter,
) -> np.ndarray:
    """Code the pictures and clips of some files and put all crops into one array.

    Args:
      files: of pictures or (by their suffix) clips; broken ones, clips of more than 8 bits and those smaller than a
        crop are named and left out.
      codec: takes 4:2:0.
      options: what is made.
      warn: takes remarks.
      track: goes through the files and shows how far it is.

    Returns:
      uint8 `[N, side, side, 7]`, N possibly 0.
    """
    crops: list[np.ndarray] = []
    for number, file in enumerate(track(files)):
        try:
            crops += _material(file, codec, options, number)
        except InputError as error:
            warn(f"skipped: {error}")
    return np.stack(crops) if crops else np.empty((0, options.side, options.side, CHANNELS), np.uint8)


def _material(file: Path, codec: VideoCodec, options: MaterialOptions, number: int) -> Iterator[np.ndarray]:
    """Yield the crops of a file; raise InputError before the first one if it does not serve."""
    if file.suffix.lower() in SUFFIXES:
        clip = read_clip(file, options.frames)
        if clip.form.bits != 8:
            raise InputError(f"{file}: {clip.form.bits} bits, crops hold 8")
        _check_size(file, clip.form.height, clip.form.width, options.side)
        return clip_material(clip.frames, clip.form, codec, options, number)
    pixels = as_rgb(read_picture(file).pixels)
    _check_size(file, pixels.shape[0], pixels.shape[1], options.side)
    return picture_material(pixels, codec, options, number)


def _check_size(file: Path, height: int, width: int, side: int) -> None:
    if min(height, width) < side:
        raise InputError(f"{file}: {width}x{height} pixels, smaller than a crop of {side}")
