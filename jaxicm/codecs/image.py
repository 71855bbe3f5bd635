"""The lossy image codec: networks, integer probability model, entropy coder and file format joined."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.bits.container import Header, Section, SectionKind, pack, unpack
from jaxicm.bits.rans import Decoder, Encoder
from jaxicm.bits.tables import Tables
from jaxicm.codecs import weights
from jaxicm.codecs.rate_target import search
from jaxicm.codecs.transforms import Transforms
from jaxicm.codecs.weights import ModelInfo
from jaxicm.compilation import use_compilation_cache
from jaxicm.entropy import gaussian
from jaxicm.entropy.progressive_coder import ProgressiveCoder
from jaxicm.entropy.progressive_frozen import QUALITY_STEPS, FrozenProgressive
from jaxicm.entropy.recurrent_coder import FrozenRecurrent, RecurrentCoder
from jaxicm.errors import CorruptFile, FileFormatError, InputError, OptionError, UnknownWeights
from jaxicm.models.image import QUALITY_MAX, QUALITY_MIN, ImageConfig
from jaxicm.stopwatch import Stopwatch

CODEC_NAME = "image"
SIDE_MAX = 16384
"""Largest width or height in pixels."""


@dataclass(frozen=True)
class EncodeResult:
    """A compressed picture and how it came about.

    Attributes:
      data: the file.
      quality: used, in 1..100.
      reconstruction: what the decoder shows, uint8, if it was computed on the way.
      timings_s: seconds by part: "analysis", "entropy" (probability networks), "coder" (rANS), "synthesis".
      estimated_bits: ideal code length of the latent.
      values_q4: int16 `[h, w, C]`, 16 times the quantised latent, as every decoder finds it.
    """

    data: bytes
    quality: float
    reconstruction: np.ndarray | None
    timings_s: dict[str, float]
    estimated_bits: float
    values_q4: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class DecodeResult:
    """A decoded picture, uint8 `[H, W, 3]` or `[H, W]`, and seconds by part."""

    image: np.ndarray
    timings_s: dict[str, float]
    values_q4: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class _Quantized:
    """Symbols of a latent at a quality, step by step, before they are coded."""

    symbols: list[np.ndarray]
    indices: list[np.ndarray]
    values_q4: np.ndarray


class ImageCodec:
    """Encode and decode pictures with one set of released weights.

    Attributes:
      info: description of the weights.
    """

    def __init__(self, arrays: dict[str, np.ndarray], info: ModelInfo):
        use_compilation_cache()
        self.info = info
        self.config: ImageConfig = weights.config_from_info(ImageConfig, info)
        entropy = weights.part(arrays, "entropy")
        self._entropy: FrozenProgressive | FrozenRecurrent
        if self.config.recurrent is not None:
            self._entropy = FrozenRecurrent.from_arrays(entropy, self.config.recurrent)
        else:
            self._entropy = FrozenProgressive.from_arrays(entropy, self.config.entropy)
        self._tables = Tables.from_arrays(weights.part(arrays, "tables"))
        self._transforms = Transforms(self.config, weights.part(arrays, "transform"))

    @classmethod
    def load(cls, path: Path) -> "ImageCodec":
        """Read a weight file (`.safetensors`)."""
        return cls(*weights.read(path))

    def encode(self, image: np.ndarray, **options: Any) -> bytes:
        """Compress a picture; arguments as `encode_detail`.

        Returns:
          The bytes of a file.
        """
        return self.encode_detail(image, **options).data

    def encode_detail(
        self,
        image: np.ndarray,
        *,
        quality: float | None = None,
        bpp: float | None = None,
        size_bytes: float | None = None,
        psnr: float | None = None,
        verify: bool = False,
        icc: bytes | None = None,
    ) -> EncodeResult:
        """Compress a picture and report how.

        At most one of the four targets may be given; by default the quality is 50.

        Args:
          image: uint8 `[H, W, 3]` RGB or `[H, W]` grey, sides 1 to 16384.
          quality: 1 (smallest file) to 100 (best picture), any value; rounded to 1/16.
          bpp: bits per pixel that the file must not exceed; it comes as near as the quality steps allow.
          size_bytes: the same as a size of the file.
          psnr: of RGB in dB that the decoded picture must reach.
          verify: decode the file and compare its symbols with the encoder's.
          icc: colour profile to carry along.

        Returns:
          The file and its circumstances.

        Raises:
          InputError: if the array is no picture.
          OptionError: if a target is out of range or two are given.
          TargetError: if a target cannot be reached; the message says what can.
        """
        check_picture(image)
        targets = {"quality": quality, "bpp": bpp, "size_bytes": size_bytes, "psnr": psnr}
        given = {k: v for k, v in targets.items() if v is not None}
        if len(given) > 1:
            raise OptionError(f"give one of quality, bpp, size_bytes and psnr, got {', '.join(given)}")
        if any(not np.isfinite(v) or v <= 0 for v in given.values()):
            raise OptionError(f"a target must be a positive number, got {given}")
        if quality is not None and not QUALITY_MIN <= quality <= QUALITY_MAX:
            raise OptionError(f"quality must be in [{QUALITY_MIN:g}, {QUALITY_MAX:g}], got {quality:g}")
        attempt = partial(self._encode_at, image, icc=icc)
        if quality is not None or not given:
            result = attempt(round((50.0 if quality is None else quality) * QUALITY_STEPS), reconstruct=False)
        else:
            name, value = next(iter(given.items()))
            result = search(attempt, name, value, image)
        if verify:
            self._verify(result, image.shape)
        return result

    def decode(self, data: bytes) -> np.ndarray:
        """Decompress a file that these weights made, to uint8 `[H, W, 3]` or `[H, W]`.

        Raises:
          FileFormatError: a subclass says why the file cannot be decoded.
        """
        return self.decode_detail(data).image

    def decode_detail(self, data: bytes) -> DecodeResult:
        """Decompress a file and report seconds by part; as `decode`."""
        header, sections = unpack(data)
        return self.decode_sections(header, sections)

    def decode_sections(self, header: Header, sections: list[Section]) -> DecodeResult:
        """Decompress a parsed file; as `decode`."""
        check_header(header)
        if header.weights != bytes.fromhex(self.info.digest)[: len(header.weights)]:
            raise UnknownWeights(
                f"the file was made with weights {header.weights.hex()}, these are {self.info.digest[:16]}; "
                "jaxicm.decode chooses the right ones among those installed"
            )
        payloads = [s.payload for s in sections if s.kind == SectionKind.LATENT]
        if len(payloads) != 1:
            raise CorruptFile(f"found {len(payloads)} latent sections, expected 1; get an intact copy of the file")
        watch = Stopwatch()
        values = self._decode_latent(header, payloads[0], watch)
        with watch.part("synthesis"):
            size = header.height, header.width
            pixels = self._transforms.synthesize(values, header.quality_q4 / QUALITY_STEPS, size)
            image = to_grey(pixels) if header.channels == 1 else pixels
        return DecodeResult(image, watch.seconds, values)

    # --- the latent ---------------------------------------------------------------------------------------------

    def _coder(self, quality_q4: int, height: int, width: int) -> ProgressiveCoder | RecurrentCoder:
        stride = self.config.stride
        return self._entropy.coder(quality_q4, -(-height // stride), -(-width // stride))

    def _quantize(self, y: np.ndarray, quality_q4: int, size: tuple[int, int]) -> _Quantized:
        coder = self._coder(quality_q4, *size)
        symbols, indices = [], []
        for step in coder:
            mean, index = step.predict()
            residual = step.select(y) - mean * np.float32(1 / 16)
            # The smallest scale says "certainly zero": such symbols are not in the file.
            values = (gaussian.round_with_cost(residual, index, np) * (index > 0)).astype(np.int32)
            step.fill(values)
            symbols.append(values)
            indices.append(index)
        return _Quantized(symbols, indices, coder.values_q4)

    def _decode_latent(self, header: Header, payload: bytes, watch: Stopwatch) -> np.ndarray:
        with watch.part("coder"):
            decoder = Decoder(payload, self._tables)
        coder = self._coder(header.quality_q4, header.height, header.width)
        steps = iter(coder)
        while True:
            with watch.part("entropy"):
                step = next(steps, None)
                if step is None:
                    break
                _, index = step.predict()
                coded = np.flatnonzero(index)
            with watch.part("coder"):
                pulled = decoder.pull(index[coded])
            with watch.part("entropy"):
                symbols = np.zeros(index.shape, np.int32)
                symbols[coded] = pulled
                step.fill(symbols)
        with watch.part("coder"):
            decoder.finish()
        return coder.values_q4

    def _encode_at(self, image: np.ndarray, quality_q4: int, *, reconstruct: bool, icc: bytes | None) -> EncodeResult:
        watch = Stopwatch()
        height, width = image.shape[:2]
        with watch.part("analysis"):
            y = self._transforms.analyze(image, quality_q4 / QUALITY_STEPS)
        with watch.part("entropy"):
            quantized = self._quantize(y, quality_q4, (height, width))
        with watch.part("coder"):
            encoder, bits = Encoder(self._tables), 0.0
            for values, index in zip(quantized.symbols, quantized.indices, strict=True):
                coded = np.flatnonzero(index)
                encoder.push(values[coded], index[coded])
                bits += self._tables.cost_bits(values[coded], index[coded])
            header = Header(
                codec=CODEC_NAME,
                weights=bytes.fromhex(self.info.digest)[: weights.DIGEST_BYTES],
                height=height,
                width=width,
                channels=1 if image.ndim == 2 else 3,
                quality_q4=quality_q4,
            )
            sections = [Section(SectionKind.LATENT, encoder.finish())]
            if icc is not None:
                sections.append(Section(SectionKind.ICC, icc))
            data = pack(header, sections)
        quality, reconstruction = quality_q4 / QUALITY_STEPS, None
        if reconstruct:
            with watch.part("synthesis"):
                reconstruction = self._transforms.synthesize(quantized.values_q4, quality, (height, width))
                reconstruction = to_grey(reconstruction) if image.ndim == 2 else reconstruction
        return EncodeResult(data, quality, reconstruction, watch.seconds, bits, quantized.values_q4)

    def _verify(self, result: EncodeResult, shape: tuple[int, ...]) -> None:
        try:
            decoded = self.decode_detail(result.data)
        except FileFormatError as error:
            raise CorruptFile(f"verification failed: the file does not decode ({error}); please report this") from error
        if decoded.image.shape != shape or not np.array_equal(decoded.values_q4, result.values_q4):
            raise CorruptFile("verification failed: the decoded symbols differ from the encoder's; please report this")


def check_picture(image: np.ndarray) -> None:
    """Raise InputError unless `image` is uint8 `[H, W, 3]` or `[H, W]` with sides in 1..16384."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"a picture must be a uint8 array, got {kind}; convert it (16 bit: divide by 257 and round)")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise InputError(f"a picture must have shape [H, W, 3] or [H, W], got {list(image.shape)}")
    if not all(1 <= side <= SIDE_MAX for side in image.shape[:2]):
        raise InputError(f"sides must be 1 to {SIDE_MAX} pixels, got {image.shape[1]}x{image.shape[0]}")


def check_header(header: Header) -> None:
    """Raise CorruptFile unless the header describes a picture that this codec can have made."""
    if header.codec != CODEC_NAME:
        raise CorruptFile(f"this is a file of the codec '{header.codec}', which lossy weights do not decode")
    if max(header.height, header.width) > SIDE_MAX or header.bit_depth != 8 or header.flags:
        raise CorruptFile(
            f"the header says {header.width}x{header.height}, {header.bit_depth} bits and flags {header.flags}; "
            f"expected sides up to {SIDE_MAX}, 8 bits and no flags; get an intact copy of the file"
        )


def to_grey(rgb: np.ndarray) -> np.ndarray:
    """Average the three decoded channels of a grey picture, rounding to nearest."""
    total = rgb.astype(np.uint16).sum(axis=2)
    return ((2 * total + 3) // 6).astype(np.uint8)
