"""Ablations of latent overfitting: ways to adapt a latent, each measured on pictures at qualities, from real files.

A file of `configs/` defines `adaptations()`, which returns a tuple of `Variant`; the first adapts nothing and is the
base. What is finished is kept in a journal (`jaxicm.evaluate.latent_journal`).
"""

import runpy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxicm.adapt.stage import Progress, Stage
from jaxicm.configuration import to_dict
from jaxicm.errors import ConfigError, CorruptFile, InputError
from jaxicm.evaluate.adaptation import Adaptation
from jaxicm.evaluate.bdrate import bd_rate
from jaxicm.evaluate.latent_journal import EQUAL_DB, Journal, Key, Point
from jaxicm.evaluate.metrics import ms_ssim, ms_ssim_db, psnr
from jaxicm.evaluate.picture_set import SetPicture
from jaxicm.media.pictures import read_picture

if TYPE_CHECKING:
    from jaxicm.codecs.image import ImageCodec

FUNCTION = "adaptations"
"""Defined by files of this kind of ablation."""


@dataclass(frozen=True)
class Variant:
    """One row of an ablation.

    Attributes:
      group: what is compared ("sga").
      name: of the choice ("100"), unique in its group.
      stages: of the adaptation; none adapts nothing.
      tune: objective as of `ImageCodec.encode_detail`, None for what the weights were trained for.
    """

    group: str
    name: str
    stages: tuple[Stage, ...] = ()
    tune: str | None = None

    @property
    def label(self) -> str:
        """Return group and name."""
        return f"{self.group}/{self.name}"

    @cached_property
    def adaptation(self) -> Adaptation:
        """Return what the encoder is told."""
        return Adaptation(self.stages, self.tune, self.label)


@dataclass(frozen=True)
class Row:
    """What a variant gained, in the mean over pictures and qualities.

    Attributes:
      variant: which.
      iterations: done for a picture.
      encode_s: seconds a picture.
      cost: change of bits + lambda * distortion in the variant's objective, per cent.
      bpp: change of the rate at the same quality setting, per cent.
      psnr: change in dB.
      bd_psnr: BD-rate over PSNR of the mean curve against the base's, per cent; None where the curves have too few
        points or too little in common.
      bd_ms_ssim: the same over MS-SSIM.
      curve: "quality", and "bpp", "psnr" and "ms_ssim" in the mean over pictures.
    """

    variant: Variant
    iterations: float
    encode_s: float
    cost: float
    bpp: float
    psnr: float
    bd_psnr: float | None
    bd_ms_ssim: float | None
    curve: dict[str, list[float]]

    def figures(self) -> dict[str, Any]:
        """Return all of it, JSON-able."""
        found = {name: value for name, value in vars(self).items() if name != "variant"}
        return to_dict(self.variant) | found


def load_adaptations(path: Path) -> tuple[Variant, ...] | None:
    """Read the variants of an ablation file; the base comes first.

    Args:
      path: a Python file with `adaptations() -> (Variant, ...)`.

    Returns:
      The variants, or None where there is no such file or it defines no such function.

    Raises:
      ConfigError: the file fails, or the function returns something else.
    """
    if not path.is_file():
        return None
    try:
        function = runpy.run_path(str(path)).get(FUNCTION)
        variants = None if function is None else function()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:  # whatever the user's file does
        raise ConfigError(f"{path}: fails with {type(error).__name__}: {error}; correct the file") from error
    if function is None:
        return None
    if not isinstance(variants, tuple | list) or not variants or not all(isinstance(v, Variant) for v in variants):
        kind = type(variants).__name__
        raise ConfigError(f"{path}: {FUNCTION}() returned a {kind}, expected a tuple of Variant, at least one")
    if variants[0].stages:
        first = variants[0].label
        raise ConfigError(f"{path}: {first} is the first row, which the others are compared with; give it no stages")
    labels = [variant.label for variant in variants]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ConfigError(f"{path}: {', '.join(twice)} is there twice; give each row of a group its own name")
    return tuple(variants)


class LatentAblation:
    """Measures variants with one codec on pictures at qualities.

    Attributes:
      base: the variant that the others are compared with.
    """

    def __init__(
        self,
        codec: "ImageCodec",
        base: Variant,
        pictures: Sequence[SetPicture],
        qualities: Sequence[float],
        journal: Journal,
        decode: Callable[[bytes], np.ndarray],
    ):
        """Take what is measured.

        Args:
          codec: a lossy one.
          base: adapts nothing.
          pictures: at least one.
          qualities: rising, in [1, 100].
          journal: of finished measurements.
          decode: turns files into pictures.
        """
        self.base = base
        self._codec, self._pictures, self._qualities = codec, pictures, qualities
        self._journal, self._decode = journal, decode
        self._warm: set[tuple[Any, ...]] = set()

    def missing(self, variants: Sequence[Variant]) -> int:
        """Count the measurements that the journal lacks."""
        return len({key for variant in variants for key in self._keys(variant)} - self._journal.points.keys())

    def measure(self, variant: Variant, progress: Progress | None = None) -> Iterator[Point]:
        """Measure what the journal lacks of a variant.

        Args:
          variant: which.
          progress: told iterations done, in all, and the cost as a share of the start's.

        Yields:
          Each measurement, as soon as the journal holds it.

        Raises:
          CorruptFile: a file does not show what the encoder said.
        """
        for picture in self._pictures:
            missing = [q for q in self._qualities if self._key(variant, picture, q) not in self._journal.points]
            if not missing:
                continue
            original = read_picture(picture.path).pixels
            self._warm_up(variant, original, missing[0])
            for quality in missing:
                point = self._code(variant, original, quality, progress)
                key = self._key(variant, picture, quality)
                self._journal.add(key, point, row=variant.label, name=picture.name)
                yield point

    def row(self, variant: Variant) -> Row:
        """Compare a variant with the base; both must have been measured."""
        points, base = ([self._journal.points[key] for key in self._keys(v)] for v in (variant, self.base))
        curve, base_curve = self._curve(points), self._curve(base)
        pairs = list(zip(points, base, strict=True))
        return Row(
            variant=variant,
            iterations=_mean([point.iterations for point in points]),
            encode_s=_mean([point.encode_s for point in points]),
            cost=100 * (_mean([point.cost for point in points]) - 1),
            bpp=100 * (_mean([point.bpp / before.bpp for point, before in pairs]) - 1),
            psnr=_mean([point.psnr - before.psnr for point, before in pairs]),
            bd_psnr=_difference(base_curve, curve, "psnr"),
            bd_ms_ssim=_difference(base_curve, curve, "ms_ssim"),
            curve=curve,
        )

    def _key(self, variant: Variant, picture: SetPicture, quality: float) -> Key:
        stages = variant.adaptation.identity()["stages"]
        return Key(self._codec.info.digest, stages, variant.tune, picture.digest, float(quality))

    def _keys(self, variant: Variant) -> list[Key]:
        """Return the keys of all measurements, the qualities of a picture side by side."""
        return [self._key(variant, picture, quality) for picture in self._pictures for quality in self._qualities]

    def _warm_up(self, variant: Variant, original: np.ndarray, quality: float) -> None:
        """Compile what a variant needs for pictures of this shape."""
        options = variant.adaptation.warming()
        kind = (*options.values(), original.shape)
        if kind not in self._warm:
            self._warm.add(kind)
            self._codec.encode_detail(original, quality=quality, plain=False, **options)

    def _code(self, variant: Variant, original: np.ndarray, quality: float, progress: Progress | None) -> Point:
        options = variant.adaptation.options()
        start = time.perf_counter()
        result = self._codec.encode_detail(original, quality=quality, plain=False, progress=progress, **options)
        seconds = time.perf_counter() - start
        shown = self._decode(result.data)
        if result.reconstruction is not None and not np.array_equal(shown, result.reconstruction):
            raise CorruptFile(
                f"{variant.label}, quality {quality:g}: the file shows another picture than the encoder said; please "
                "report this"
            )
        adapted = result.adapted
        return Point(
            bpp=8 * len(result.data) / (original.shape[0] * original.shape[1]),
            psnr=min(psnr(original, shown), EQUAL_DB),
            ms_ssim=ms_ssim(original, shown),
            cost=1.0 if adapted is None else adapted.cost / adapted.start,
            iterations=0 if adapted is None else adapted.iterations,
            encode_s=seconds,
        )

    def _curve(self, points: Sequence[Point]) -> dict[str, list[float]]:
        count = len(self._qualities)
        curve = {"quality": [float(quality) for quality in self._qualities]}
        for name in ("bpp", "psnr", "ms_ssim"):
            values = [getattr(point, name) for point in points]
            curve[name] = [_mean(values[number::count]) for number in range(count)]
        return curve


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _difference(base: dict[str, list[float]], curve: dict[str, list[float]], name: str) -> float | None:
    """Return the BD-rate, or None where there is none."""

    def quality(curve: dict[str, list[float]]) -> list[float]:
        return [min(ms_ssim_db(value), EQUAL_DB) for value in curve[name]] if name == "ms_ssim" else curve[name]

    try:
        return bd_rate(base["bpp"], quality(base), curve["bpp"], quality(curve)).value
    except InputError:
        return None
