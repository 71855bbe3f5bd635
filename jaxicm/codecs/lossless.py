"""The lossless codec: pixel model, entropy coder and file format joined.

The section LATENT begins with a byte of the mode: 1, what `codecs.lossless_planes` writes follows; 0, a simple payload
of `codecs.lossless_fallback` follows, which needs no weights. The header's flag 1 says that the last channel is alpha.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.adapt import pixels
from jaxicm.bits.container import Header, Section, SectionKind, pack, unpack
from jaxicm.codecs import weights
from jaxicm.codecs.lossless_fallback import is_synthetic, pack_simple, unpack_simple
from jaxicm.codecs.lossless_planes import PlaneCodec, Prepared
from jaxicm.codecs.weights import ModelInfo
from jaxicm.compilation import use_compilation_cache
from jaxicm.entropy.pixel_frozen import FrozenPixels
from jaxicm.entropy.pixel_update import Update
from jaxicm.errors import CorruptFile, FileFormatError, InputError, OptionError, UnknownWeights
from jaxicm.models.lossless import LosslessConfig
from jaxicm.models.lossless_frozen import model_from_arrays
from jaxicm.stopwatch import Stopwatch

CODEC_NAME = "lossless"
SIDE_MAX = 16384
"""Largest width or height in pixels."""
NO_WEIGHTS = bytes(weights.DIGEST_BYTES)
"""Stands for the weights in files that need none."""
TINY = 4096
"""Samples below which a simple payload is always tried."""
CLEARLY_SIMPLE = 0.3
"""Bits a sample below which the learned model is not tried any more."""
EFFORT_STEPS = (0, 8, 16, 25, 40, 60, 90, 150, 250, 500)
"""Steps of fitting the model to a picture, by effort."""
ALPHA_FLAG = 1
SIMPLE, LEARNED = 0, 1


@dataclass(frozen=True)
class LosslessResult:
    """A compressed picture and how it came about.

    Attributes:
      data: the file.
      mode: "learned" or "simple".
      origin: format whose decoder gave the picture its colours, if that was found and used.
      timings_s: seconds by part: "entropy" (networks), "coder", "simple", "fitting".
      estimated_bits: ideal code length of the samples; of a simple payload, its size.
    """

    data: bytes
    mode: str
    timings_s: dict[str, float]
    estimated_bits: float
    origin: str | None = None


@dataclass(frozen=True)
class LosslessDecoded:
    """A decoded picture, samples as they were given, and seconds by part."""

    samples: np.ndarray
    timings_s: dict[str, float] = field(repr=False)


class LosslessCodec:
    """Encode and decode pictures without loss, with one set of released weights.

    Attributes:
      info: description of the weights.
    """

    def __init__(self, arrays: dict[str, np.ndarray], info: ModelInfo):
        use_compilation_cache()
        self.info = info
        self.config: LosslessConfig = weights.config_from_info(LosslessConfig, info)
        self._model = model_from_arrays(weights.part(arrays, "pixels"), self.config)
        self._planes = PlaneCodec(self._model, self.config.colour)

    @classmethod
    def load(cls, path: Path) -> "LosslessCodec":
        """Read a weight file (`.safetensors`)."""
        return cls(*weights.read(path))

    def encode(self, samples: np.ndarray, **options: Any) -> bytes:
        """Compress a picture; arguments as `encode_detail`.

        Returns:
          The bytes of a file.
        """
        return self.encode_detail(samples, **options).data

    def encode_detail(
        self,
        samples: np.ndarray,
        *,
        effort: int = 0,
        keep_rgb: bool = False,
        icc: bytes | None = None,
        verify: bool = False,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> LosslessResult:
        """Compress a picture and report how.

        Args:
          samples: uint8 or uint16 `[H, W]` grey, `[H, W, 2]` grey and alpha, `[H, W, 3]` RGB, `[H, W, 4]` RGBA, sides 1
            to 16384.
          effort: 0 to 9, how long the model is fitted to the picture before it is coded (see `EFFORT_STEPS`); decoding
            takes the same time. Pictures of more than 8 bits a
            sample, or with a side below 128 pixels, are not fitted.
          keep_rgb: do not look whether the colours were converted from luma and chroma once (see `codecs.origin`).
          icc: colour profile to carry along.
          verify: decode the file and compare every sample.
          progress: told the steps of fitting done, those in all, and the bits a sample of what was looked at last.

        Returns:
          The file and its circumstances.

        Raises:
          InputError: if the array is no such picture.
          OptionError: if the effort is out of range.
        """
        check_samples(samples)
        if effort not in range(len(EFFORT_STEPS)):
            raise OptionError(f"effort must be a whole number from 0 to {len(EFFORT_STEPS) - 1}, got {effort}")
        watch = Stopwatch()
        planes = samples if samples.ndim == 3 else samples[..., None]
        channels = planes.shape[2]
        candidates: list[tuple[int, bytes, float]] = []
        origin = None
        if may_be_simple(samples):
            with watch.part("simple"):
                simple = pack_simple(samples)
            candidates.append((SIMPLE, simple, 8.0 * len(simple)))
        if not candidates or 8 * len(candidates[0][1]) > CLEARLY_SIMPLE * samples.size:
            with watch.part("coder"):
                prepared = self._planes.prepare(planes, _groups(channels), keep_rgb=keep_rgb)
            origin = prepared.origin
            for update in self._updates(prepared, effort, watch, progress):
                learned = self._planes.encode(prepared, watch, update)
                candidates.append((LEARNED, learned.payload, learned.ideal_bits))
            if min(len(payload) for _, payload, _ in candidates) > samples.nbytes:
                candidates.append((SIMPLE, pack_simple(samples), 8.0 * samples.nbytes))
        mode, payload, bits = min(candidates, key=lambda candidate: len(candidate[1]))
        digest = NO_WEIGHTS if mode == SIMPLE else bytes.fromhex(self.info.digest)[: weights.DIGEST_BYTES]
        data = _file(samples, mode, payload, digest, icc)
        if verify:
            self._verify(data, samples)
        return LosslessResult(
            data, ("simple", "learned")[mode], watch.seconds, bits, origin if mode == LEARNED else None
        )

    def _updates(
        self, prepared: Prepared, effort: int, watch: Stopwatch, progress: Callable[[int, int, float], None] | None
    ) -> list[Update | None]:
        """Return the changes of the model to try: none at all, and what fits the picture."""
        if not effort or not isinstance(self._model, FrozenPixels):
            return [None]
        with watch.part("fitting"):
            update = pixels.fit(
                self._model,
                prepared.parts[0],
                EFFORT_STEPS[effort],
                depth=prepared.depth,
                colour=prepared.colour,
                finest=1 if prepared.enlarging else 3,
                progress=progress,
            )
        return [None] if update is None else [None, update]

    def encode_tensor(self, tensor: np.ndarray) -> bytes:
        """Compress any number of channels, each on its own, to bytes without a header.

        Args:
          tensor: uint8 or uint16 `[H, W, C]`.

        Returns:
          The bytes; shape, type and weights must be known to the decoder.
        """
        prepared = self._planes.prepare(tensor, [(c,) for c in range(tensor.shape[2])])
        return self._planes.encode(prepared, Stopwatch()).payload

    def decode_tensor(self, data: bytes, shape: tuple[int, int, int], dtype: type = np.uint8) -> np.ndarray:
        """Undo `encode_tensor`.

        Raises:
          CorruptFile, TruncatedFile: if the data are damaged.
        """
        height, width, channels = shape
        return self._planes.decode(data, height, width, [(c,) for c in range(channels)], dtype, Stopwatch())

    def decode(self, data: bytes) -> np.ndarray:
        """Decompress a file to the samples that were encoded.

        Raises:
          FileFormatError: a subclass says why the file cannot be decoded.
        """
        return self.decode_detail(data).samples

    def decode_detail(self, data: bytes) -> LosslessDecoded:
        """Decompress a file and report seconds by part; as `decode`."""
        return self.decode_sections(*unpack(data))

    def decode_sections(self, header: Header, sections: list[Section]) -> LosslessDecoded:
        """Decompress a parsed file; as `decode`."""
        simple = decode_simple(header, sections)
        if simple is not None:
            return simple
        if header.weights != bytes.fromhex(self.info.digest)[: len(header.weights)]:
            raise UnknownWeights(
                f"the file was made with weights {header.weights.hex()}, these are {self.info.digest[:16]}; "
                "jaxicm.decode chooses the right ones among those installed"
            )
        watch = Stopwatch()
        (_, payload), shape, dtype = _payload(sections), _shape(header), _dtype(header)
        groups = _groups(shape[2] if len(shape) == 3 else 1)
        samples = self._planes.decode(payload, header.height, header.width, groups, dtype, watch)
        return LosslessDecoded(samples.reshape(shape), watch.seconds)

    def _verify(self, data: bytes, samples: np.ndarray) -> None:
        try:
            decoded = self.decode(data)
        except FileFormatError as error:
            raise CorruptFile(f"verification failed: the file does not decode ({error}); please report this") from error
        if decoded.dtype != samples.dtype or not np.array_equal(decoded, samples):
            raise CorruptFile("verification failed: the decoded samples differ; please report this")


def may_be_simple(samples: np.ndarray) -> bool:
    """Tell whether a simple payload is worth a try: of tiny pictures, and of those that look drawn."""
    return samples.size <= TINY or is_synthetic(samples)


def simple_file(samples: np.ndarray, icc: bytes | None = None) -> bytes:
    """Write samples in the smallest of the simple modes, as a file that needs no weights.

    Args:
      samples: as of `LosslessCodec.encode`.
      icc: colour profile to carry along.
    """
    check_samples(samples)
    return _file(samples, SIMPLE, pack_simple(samples), NO_WEIGHTS, icc)


def decode_simple(header: Header, sections: list[Section]) -> LosslessDecoded | None:
    """Decode a file that needs no weights; None if it needs some.

    Raises:
      FileFormatError: a subclass says why the file cannot be decoded.
    """
    if header.codec != CODEC_NAME:
        raise CorruptFile(f"this is a file of the codec '{header.codec}', not a lossless one; use its weights")
    check_header(header)
    mode, payload = _payload(sections)
    if mode != SIMPLE:
        return None
    watch = Stopwatch()
    with watch.part("simple"):
        samples = unpack_simple(payload, _shape(header), _dtype(header))
    return LosslessDecoded(samples, watch.seconds)


def _file(samples: np.ndarray, mode: int, payload: bytes, digest: bytes, icc: bytes | None) -> bytes:
    channels = samples.shape[2] if samples.ndim == 3 else 1
    header = Header(
        codec=CODEC_NAME,
        weights=digest,
        height=samples.shape[0],
        width=samples.shape[1],
        channels=3 if channels >= 3 else 1,
        bit_depth=8 * samples.itemsize,
        quality_q4=1600,
        flags=ALPHA_FLAG if channels in (2, 4) else 0,
    )
    sections = [Section(SectionKind.LATENT, bytes([mode]) + payload)]
    if icc is not None:
        sections.append(Section(SectionKind.ICC, icc))
    return pack(header, sections)


def check_samples(samples: np.ndarray) -> None:
    """Raise InputError unless the array is a picture that the codec takes."""
    if not isinstance(samples, np.ndarray) or samples.dtype not in (np.uint8, np.uint16):
        kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise InputError(f"a picture must be a uint8 or uint16 array, got {kind}")
    if samples.ndim not in (2, 3) or (samples.ndim == 3 and samples.shape[2] not in (2, 3, 4)):
        raise InputError(f"a picture must have shape [H, W] or [H, W, 2 to 4], got {list(samples.shape)}")
    if not all(1 <= side <= SIDE_MAX for side in samples.shape[:2]):
        raise InputError(f"sides must be 1 to {SIDE_MAX} pixels, got {samples.shape[1]}x{samples.shape[0]}")


def check_header(header: Header) -> None:
    """Raise CorruptFile unless the header describes a picture that this codec can have made."""
    if max(header.height, header.width) > SIDE_MAX or header.bit_depth not in (8, 16) or header.flags > ALPHA_FLAG:
        raise CorruptFile(
            f"the header says {header.width}x{header.height}, {header.bit_depth} bits and flags {header.flags}; "
            f"expected sides up to {SIDE_MAX}, 8 or 16 bits and flags 0 or 1; get an intact copy of the file"
        )


def _groups(channels: int) -> list[tuple[int, ...]]:
    """Colour together, grey and alpha alone."""
    colour: list[tuple[int, ...]] = [(0, 1, 2)] if channels >= 3 else [(0,)]
    return [*colour, (channels - 1,)] if channels in (2, 4) else colour


def _shape(header: Header) -> tuple[int, ...]:
    channels = header.channels + (header.flags & ALPHA_FLAG)
    return (header.height, header.width) if channels == 1 else (header.height, header.width, channels)


def _dtype(header: Header) -> type:
    return np.uint16 if header.bit_depth == 16 else np.uint8


def _payload(sections: list[Section]) -> tuple[int, memoryview]:
    """Return mode and payload."""
    payloads = [memoryview(s.payload) for s in sections if s.kind == SectionKind.LATENT]
    if len(payloads) != 1 or not len(payloads[0]) or payloads[0][0] > LEARNED:
        raise CorruptFile("the section of the samples is missing or unknown; get an intact copy of the file")
    return payloads[0][0], payloads[0][1:]
