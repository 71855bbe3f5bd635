"""Codecs under test behind one interface: our learned codecs and the conventional ones."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from jaxicm.errors import InputError, MissingDependency, OptionError
from jaxicm.evaluate.adaptation import Adaptation
from jaxicm.evaluate.anchors import ANCHORS, Anchor
from jaxicm.evaluate.fresh import FreshDecoder

if TYPE_CHECKING:
    from jaxicm.codecs.image import ImageCodec
    from jaxicm.codecs.image_result import EncodeResult
    from jaxicm.codecs.lossless import LosslessCodec, LosslessResult

LEARNED_QUALITIES = (5.0, 20.0, 35.0, 50.0, 65.0, 80.0, 95.0)


@dataclass(frozen=True)
class Encoded:
    """Hold a compressed picture.

    Attributes:
        data: the whole file.
        seconds: that encoding took, by the subject's clock.
        parts_s: seconds by part: "analysis", "adaptation", "entropy" (probability networks), "coder", "synthesis", or
            "simple" (no networks); what is missing to `seconds` is the container. Empty for conventional codecs.
    """

    data: bytes
    seconds: float
    parts_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class DecodedPicture:
    """Hold a decoded picture.

    Attributes:
        pixels: uint8 [H, W, 3] or [H, W].
        seconds: that decoding took, by the subject's clock, or None where it cannot be told.
        parts_s: as of `Encoded`.
    """

    pixels: np.ndarray
    seconds: float | None
    parts_s: dict[str, float] = field(default_factory=dict)


class Subject(Protocol):
    """Say what of a codec is used here.

    Attributes:
        name: short, as given by the user.
        title: as printed.
        kind: "conventional" codecs may run in several processes at once.
        clock: what seconds are: "wall" of this machine with nothing else to do, or "cpu" of one thread.
        identity: what fixes the bytes of its files; a run of another identity is another run.
        figures: facts for reports: parameters, kmac_per_pixel, steps.
        default: settings of a curve.
        decodes_together: `decode_together` is cheaper for several files than one at a time.
    """

    name: str
    title: str
    kind: Literal["learned", "conventional"]
    clock: Literal["wall", "cpu"]
    identity: dict[str, Any]
    figures: dict[str, Any]
    default: tuple[float, ...]
    decodes_together: bool

    def check(self, setting: float) -> None:
        """Raise `OptionError` where a quality or QP is none of this codec."""
        ...

    def encode(self, pixels: np.ndarray, setting: float) -> Encoded:
        """Compress uint8 [H, W, 3] or [H, W]."""
        ...

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> DecodedPicture:
        """Decode a file of `encode` to uint8 [height, width, 3], or [height, width] where it was grey."""
        ...

    def decode_together(self, files: Sequence[bytes]) -> list[DecodedPicture]:
        """Decode several files of one picture; only where `decodes_together`."""
        ...


class Learned:
    """A learned codec of this package. Its seconds are wall seconds of whole calls, warm."""

    kind: Literal["learned", "conventional"] = "learned"
    clock: Literal["wall", "cpu"] = "wall"
    default: tuple[float, ...] = LEARNED_QUALITIES

    def __init__(
        self,
        codec: "ImageCodec | LosslessCodec",
        fresh: FreshDecoder | None = None,
        adaptation: Adaptation | None = None,
    ):
        info = codec.info
        self.name = info.name
        self.title = f"jaxicm {info.name}"
        self.identity: dict[str, Any] = {"digest": info.digest}
        self.figures = {
            "parameters": info.parameters,
            "kmac_per_pixel": info.kmac_per_pixel,
            "steps": info.steps,
        }
        self._options: dict[str, Any] = {}
        self._warming: dict[str, Any] = {}
        if adaptation is not None:
            self.name += adaptation.suffix
            self.title += adaptation.addition
            self.identity |= adaptation.identity()
            self.figures["adaptation"] = adaptation.figures()
            self._options, self._warming = adaptation.options(), adaptation.warming()
        self.decodes_together = fresh is not None
        self._codec: Any = codec
        self._fresh = fresh
        self._warm: set[tuple[int, ...]] = set()

    def check(self, setting: float) -> None:
        """Refuse a quality out of range."""
        if not 1 <= setting <= 100:
            raise OptionError(f"{self.title}: the quality must lie from 1 to 100, got {setting:g}")

    def encode(self, pixels: np.ndarray, setting: float) -> Encoded:
        """Compress a picture; the first of a size is compressed and decoded once before the clock starts."""
        if pixels.shape not in self._warm:
            self._warm.add(pixels.shape)
            data = self._encode(pixels, setting, **self._warming).data
            if self._fresh is None:
                self._decode(data)
        start = time.perf_counter()
        result = self._encode(pixels, setting, **self._options)
        return Encoded(result.data, time.perf_counter() - start, dict(result.timings_s))

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> DecodedPicture:
        """Decode a file, which knows its size itself."""
        del height, width, grey
        start = time.perf_counter()
        pixels, parts_s = self._decode(data)
        return DecodedPicture(pixels, time.perf_counter() - start, parts_s)

    def decode_together(self, files: Sequence[bytes]) -> list[DecodedPicture]:
        """Decode files in one new process; how long it worked on each cannot be told."""
        assert self._fresh is not None
        return [DecodedPicture(pixels, None) for pixels in self._fresh.decode(files)]

    def _encode(self, pixels: np.ndarray, setting: float, **options: Any) -> "EncodeResult | LosslessResult":
        return self._codec.encode_detail(pixels, quality=setting, **options)

    def _decode(self, data: bytes) -> tuple[np.ndarray, dict[str, float]]:
        result = self._codec.decode_detail(data)
        return result.image, dict(result.timings_s)


class LearnedLossless(Learned):
    """A learned lossless codec of this package. Its setting is the effort of the encoder, 0 to 9."""

    default = (0.0,)

    def check(self, setting: float) -> None:
        """Refuse what is no effort."""
        if setting not in range(10):
            raise OptionError(f"{self.title}: the setting is the effort, a whole number from 0 to 9; got {setting:g}")

    def _encode(self, pixels: np.ndarray, setting: float, **options: Any) -> "LosslessResult":
        return self._codec.encode_detail(pixels, effort=int(setting), **options)

    def _decode(self, data: bytes) -> tuple[np.ndarray, dict[str, float]]:
        result = self._codec.decode_detail(data)
        return result.samples, dict(result.timings_s)


class Conventional:
    """A conventional codec. Its seconds are CPU seconds of one thread."""

    kind: Literal["learned", "conventional"] = "conventional"
    clock: Literal["wall", "cpu"] = "cpu"
    decodes_together = False

    def __init__(self, anchor: Anchor):
        self.name, self.title = anchor.name, anchor.title
        self.default = anchor.default
        self.identity: dict[str, Any] = dict(anchor.version())
        self.figures: dict[str, Any] = {}
        self._anchor = anchor

    def check(self, setting: float) -> None:
        """Refuse a setting that the encoder does not take."""
        self._anchor.check(np.zeros((1, 1, 3), np.uint8), setting)

    def encode(self, pixels: np.ndarray, setting: float) -> Encoded:
        """Compress a picture."""
        coded = self._anchor.encode(pixels, setting)
        return Encoded(coded.data, coded.cpu_s)

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> DecodedPicture:
        """Decode a file or stream."""
        decoded = self._anchor.decode(data, height, width, grey)
        return DecodedPicture(decoded.pixels, decoded.cpu_s)

    def decode_together(self, files: Sequence[bytes]) -> list[DecodedPicture]:
        """Is not offered: a new process for each file is what many of these codecs are anyway."""
        raise NotImplementedError


def subject(
    name: str, *, fresh: bool = False, adaptation: Adaptation | None = None, kept: Path | None = None
) -> Subject:
    """Return the codec of a name.

    Args:
        name: a conventional codec (a key of `ANCHORS`), one with filters (`evaluate.filtered`), a model of the zoo, a
            weight file, or a folder of operating points (`RUN/points`).
        fresh: decode files of learned codecs in a new process.
        adaptation: to each picture, of learned lossy codecs only.
        kept: folder of streams of conventional codecs with filters, which are coded once for all filters.

    Returns:
        The codec, loaded.

    Raises:
        InputError: there is no such codec.
        MissingDependency: a conventional codec is not installed.
        OptionError: the codec adapts nothing.
    """
    options = "--effort, --tune and --stages are for learned lossy codecs"
    if name in ANCHORS:
        line = ANCHORS[name].missing()
        if line is not None:
            raise MissingDependency(line)
        if adaptation is not None:
            raise OptionError(f"{options}, {name} is a conventional one; leave them out")
        return Conventional(ANCHORS[name])
    from jaxicm.evaluate import filtered

    if filtered.is_filtered(name):
        if adaptation is not None or fresh:
            raise OptionError(
                f"{name} is a conventional codec with filters: it takes no --fresh, --effort, --tune or --stages"
            )
        return filtered.load(name, kept)
    from jaxicm.evaluate.operating_points import OperatingPoints, point_files

    if point_files(Path(name)):
        if adaptation is not None or fresh:
            raise OptionError(
                f"{name} is a folder of operating points: it takes no --fresh, --effort, --tune or --stages"
            )
        return OperatingPoints.load(Path(name))
    import jaxicm

    try:
        codec = jaxicm.load(name)
    except InputError as error:
        if name.endswith(".safetensors"):
            raise
        raise InputError(f"{error}; or a conventional codec: {', '.join(ANCHORS)}, vvc+FILTER") from error
    decoder = FreshDecoder.for_model(name) if fresh else None
    if not codec.info.is_lossless:
        return Learned(codec, decoder, adaptation)
    if adaptation is not None:
        raise OptionError(f"{options}, {name} is lossless; its --qualities are the efforts, for instance --qualities 5")
    return LearnedLossless(codec, decoder)
