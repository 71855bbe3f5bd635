"""The lossy image codec: networks, integer probability model, entropy coder and file format joined."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from jaxicm.adapt.effort import EffortLike, choose_stages
from jaxicm.adapt.stage import Progress, Stage
from jaxicm.bits.container import Header, Section, SectionKind, pack, unpack
from jaxicm.bits.rans import Decoder, Encoder
from jaxicm.bits.tables import Tables
from jaxicm.codecs import weights
from jaxicm.codecs.adaptation import (
    Adapted,
    Objective,
    choose_objective,
)
from jaxicm.codecs.image_file import CODEC_NAME, check_header, check_picture, to_grey
from jaxicm.codecs.rate_target import search, search_adapted
from jaxicm.codecs.transforms import Transforms
from jaxicm.codecs.weights import ModelInfo
from jaxicm.compilation import use_compilation_cache
from jaxicm.entropy import gaussian
from jaxicm.entropy.progressive_coder import ProgressiveCoder
from jaxicm.entropy.progressive_frozen import QUALITY_STEPS, FrozenProgressive
from jaxicm.entropy.recurrent_coder import FrozenRecurrent, RecurrentCoder
from jaxicm.errors import CorruptFile, FileFormatError, OptionError, UnknownWeights
from jaxicm.models.image import QUALITY_MAX, QUALITY_MIN, ImageConfig
from jaxicm.stopwatch import Stopwatch

if TYPE_CHECKING:
    from jaxicm.codecs.latent_adapter import LatentAdapter


@dataclass(frozen=True)
class EncodeResult:
    """A compressed picture and how it came about.

    Attributes:
      data: the file.
      quality: used, in 1..100.
      reconstruction: what the decoder shows, uint8, if it was computed on the way.
      timings_s: seconds by part: "analysis", "entropy" (probability networks), "coder" (rANS), "synthesis".
      estimated_bits: ideal code length of the latent.
      adapted: what adaptation gained; None where there was none.
      values_q4: int16 `[h, w, C]`, 16 times the quantised latent, as every decoder finds it.
    """

    data: bytes
    quality: float
    reconstruction: np.ndarray | None
    timings_s: dict[str, float]
    estimated_bits: float
    values_q4: np.ndarray = field(repr=False)
    adapted: Adapted | None = None


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
        effort: EffortLike = 0,
        tune: str | Objective | None = None,
        time_limit_s: float | None = None,
        progress: Progress | None = None,
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
          effort: 0 to 9, how long the latent is adapted to the picture (`adapt.effort`), or stages of adaptation. The
            file has the same format and costs never more, in bits + lambda * distortion, than with effort 0.
          tune: what the latent is adapted to: "mse", "ms-ssim", "mixed", "yuv", "machine", task networks separated by
            commas, or an objective; by default what the weights were trained for.
          time_limit_s: seconds of adaptation, over all attempts at a target.
          progress: told iterations done, iterations in all, and the cost as a share of the start's.
          verify: decode the file and compare its symbols with the encoder's.
          icc: colour profile to carry along.

        Returns:
          The file and its circumstances.

        Raises:
          InputError: if the array is no picture.
          OptionError: if a target, the effort or the limit is out of range, two targets are given, or tune is unknown.
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
        stages = choose_stages(effort)
        objective = None
        if stages or tune is not None:
            objective = choose_objective(tune, self.info.trained_for, self.info.machine, image.shape)
        if time_limit_s is not None and not time_limit_s > 0:
            raise OptionError(f"the time limit must be above 0 seconds, got {time_limit_s:g}")
        attempt = partial(self._encode_at, image, icc=icc)
        if quality is not None or not given:
            result = attempt(round((50.0 if quality is None else quality) * QUALITY_STEPS), reconstruct=False)
            if stages and objective is not None:
                result = self._adapt(image, result, icc, stages, objective, time_limit_s, progress)
        else:
            name, value = next(iter(given.items()))
            if stages and objective is not None:
                adapting = partial(self._adapt, image, icc=icc, stages=stages, objective=objective)
                result = search_adapted(attempt, adapting, name, value, image, time_limit_s, progress)
            else:
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
        with watch.part("analysis"):
            y = self._transforms.analyze(image, quality_q4 / QUALITY_STEPS)
        return self._encode_latent(image, y, quality_q4, watch, reconstruct=reconstruct, icc=icc)

    def _encode_latent(
        self,
        image: np.ndarray,
        y: np.ndarray,
        quality_q4: int,
        watch: Stopwatch,
        *,
        reconstruct: bool,
        icc: bytes | None,
    ) -> EncodeResult:
        height, width = image.shape[:2]
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
        reconstruction = None
        if reconstruct:
            with watch.part("synthesis"):
                reconstruction = self._show(quantized.values_q4, quality_q4, image)
        return EncodeResult(data, quality_q4 / QUALITY_STEPS, reconstruction, watch.seconds, bits, quantized.values_q4)

    def _show(self, values_q4: np.ndarray, quality_q4: int, image: np.ndarray) -> np.ndarray:
        """Compute what the decoder shows of a picture."""
        pixels = self._transforms.synthesize(values_q4, quality_q4 / QUALITY_STEPS, image.shape[:2])
        return to_grey(pixels) if image.ndim == 2 else pixels

    @cached_property
    def _adapter(self) -> "LatentAdapter":
        from jaxicm.codecs.latent_adapter import LatentAdapter  # imports optimisers, which decoding does not need

        return LatentAdapter(self.config, self._transforms, self._entropy, self._tables)

    def _adapt(
        self,
        image: np.ndarray,
        first: EncodeResult,
        icc: bytes | None,
        stages: Sequence[Stage],
        objective: Objective,
        limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> EncodeResult:
        """Adapt the latent at the quality of a first result and return the cheaper of both, with its pixels."""
        watch, quality_q4 = Stopwatch(), round(first.quality * QUALITY_STEPS)
        with watch.part("analysis"):
            y = self._transforms.analyze(image, first.quality)
        with watch.part("adaptation"):
            y, iterations = self._adapter.adapt(
                image, y, quality_q4, stages, objective, limit_s=limit_s, progress=progress
            )
        second = self._encode_latent(image, y, quality_q4, watch, reconstruct=True, icc=icc)
        with watch.part("synthesis"):
            if first.reconstruction is None:
                first = replace(first, reconstruction=self._show(first.values_q4, quality_q4, image))
        with watch.part("adaptation"):
            start, cost = (
                self._adapter.cost(r.data, image, cast(np.ndarray, r.reconstruction), quality_q4, objective)
                for r in (first, second)
            )
        seconds = {part: first.timings_s.get(part, 0.0) + watch.seconds[part] for part in watch.seconds}
        best = second if cost < start else first
        return replace(best, timings_s=seconds, adapted=Adapted(start, min(start, cost), iterations, objective.name))

    def _verify(self, result: EncodeResult, shape: tuple[int, ...]) -> None:
        try:
            decoded = self.decode_detail(result.data)
        except FileFormatError as error:
            raise CorruptFile(f"verification failed: the file does not decode ({error}); please report this") from error
        if decoded.image.shape != shape or not np.array_equal(decoded.values_q4, result.values_q4):
            raise CorruptFile("verification failed: the decoded symbols differ from the encoder's; please report this")
