"""The lossy image codec: networks, integer probability model, entropy coder and file format joined."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxicm.adapt.effort import EffortLike, choose_stages
from jaxicm.adapt.stage import Progress, Stage
from jaxicm.bits.container import Header, Section, unpack
from jaxicm.bits.tables import Tables
from jaxicm.codecs import image_file, lossless, weights, zoo
from jaxicm.codecs.adaptation import OBJECTIVES, Adapted, Objective, choose_objective
from jaxicm.codecs.image_file import (
    CODEC_NAME,
    FULL_SCALE,
    Source,
    check_header,
    check_picture,
    latent_of,
    scale_of,
    shown,
    to_grey,
    viewer_of,
)
from jaxicm.codecs.image_result import NO_VALUES, DecodeResult, EncodeResult
from jaxicm.codecs.latent_coder import LatentCoder, Quantized
from jaxicm.codecs.plain import choose, plain_result
from jaxicm.codecs.rate_target import search, search_adapted
from jaxicm.codecs.transforms import Transforms
from jaxicm.codecs.weights import ModelInfo
from jaxicm.compilation import use_compilation_cache
from jaxicm.entropy.progressive_frozen import QUALITY_STEPS, FrozenProgressive
from jaxicm.entropy.recurrent_coder import FrozenRecurrent
from jaxicm.errors import CorruptFile, FileFormatError, InputError, OptionError, UnknownWeights
from jaxicm.media.scaling import resize, scaled_size
from jaxicm.models.image import QUALITY_MAX, QUALITY_MIN, ImageConfig, lambda_of_quality
from jaxicm.stopwatch import Stopwatch

if TYPE_CHECKING:
    from jaxicm.codecs.image_batches import ImageBatches
    from jaxicm.codecs.latent_adapter import LatentAdapter


class ImageCodec:
    """Encode and decode pictures with one set of released weights.

    Attributes:
      info: description of the weights.
      viewer: for whom pictures are decoded, a key of `image_file.VIEWERS`; "" is the weights' own decoder.
    """

    def __init__(self, arrays: dict[str, np.ndarray], info: ModelInfo):
        use_compilation_cache()
        if info.decoder_of:
            raise InputError(f"weights {info.name} are a decoder for {info.viewer} alone; load the codec it belongs to")
        self.info, self.viewer = info, ""
        self._arrays = arrays
        self._weights = bytes.fromhex(info.digest)[: weights.DIGEST_BYTES]
        self._by_viewer: dict[str, ImageCodec] = {"": self, info.own_viewer: self}
        self.config: ImageConfig = weights.config_from_info(ImageConfig, info)
        entropy = weights.part(arrays, "entropy")
        self._entropy: FrozenProgressive | FrozenRecurrent
        if self.config.recurrent is not None:
            self._entropy = FrozenRecurrent.from_arrays(entropy, self.config.recurrent)
        else:
            self._entropy = FrozenProgressive.from_arrays(entropy, self.config.entropy)
        self._tables = Tables.from_arrays(weights.part(arrays, "tables"))
        self._latents = LatentCoder(self._entropy, self._tables, self.config.stride)
        self._transforms = Transforms(self.config, weights.part(arrays, "transform"))

    @classmethod
    def load(cls, path: Path) -> "ImageCodec":
        """Read a weight file (`.safetensors`)."""
        return cls(*weights.read(path))

    def for_viewer(self, viewer: str) -> "ImageCodec":
        """Return a codec of the same symbols whose pictures are decoded for somebody.

        Args:
          viewer: "people", "machine", or "" for the weights' own decoder.

        Returns:
          One whose files say so. It is this one where the weights' own decoder is for that viewer.

        Raises:
          OptionError: there is no such viewer.
          UnknownWeights: the decoder is not installed.
        """
        if viewer not in image_file.VIEWERS:
            raise OptionError(f"the decoder must be for one of {', '.join(filter(None, image_file.VIEWERS))}")
        if viewer not in self._by_viewer:
            decoder, _ = weights.read(zoo.find_decoder(self.info.digest, viewer))
            codec = ImageCodec({**self._arrays, **decoder}, self.info)
            codec.viewer, codec._by_viewer = viewer, self._by_viewer
            self._by_viewer[viewer] = codec
        return self._by_viewer[viewer]

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
        scale: int = FULL_SCALE,
        time_limit_s: float | None = None,
        progress: Progress | None = None,
        verify: bool = False,
        icc: bytes | None = None,
        plain: bool = True,
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
          scale: per cent of the sides, 1 to 100, at which the picture is coded; the decoder enlarges it again. Pays at
            low rates, and for machines. What `tune` measures is measured there.
          time_limit_s: seconds of adaptation, over all attempts at a target.
          progress: told iterations done, iterations in all, and the cost as a share of the start's.
          verify: decode the file and compare its symbols with the encoder's.
          icc: colour profile to carry along.
          plain: keep a picture without loss where that costs less (see `codecs.plain`).

        Returns:
          The file and its circumstances.

        Raises:
          InputError: if the array is no picture.
          OptionError: if a target, effort, scale or limit is out of range, two targets are given, or tune is unknown.
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
        if scale not in range(1, FULL_SCALE + 1):
            raise OptionError(f"scale must be a whole number of per cent from 1 to {FULL_SCALE}, got {scale:g}")
        source = Source.of(image, scale, icc)
        stages = choose_stages(effort)
        objective = None
        if stages or tune is not None:
            objective = choose_objective(tune, self.info.trained_for, self.info.machine, source.pixels.shape)
        if time_limit_s is not None and not time_limit_s > 0:
            raise OptionError(f"the time limit must be above 0 seconds, got {time_limit_s:g}")
        attempt = partial(self._encode_at, source)
        plainly = plain_result(image, icc) if plain and scale == FULL_SCALE else None

        def learned() -> EncodeResult:
            if quality is not None or not given:
                quality_q4 = round((50.0 if quality is None else quality) * QUALITY_STEPS)
                first = attempt(quality_q4, reconstruct=plainly is not None)
                if not stages or objective is None:
                    return first
                return self._adapt(source, first, stages, objective, time_limit_s, progress)
            name, value = next(iter(given.items()))
            if stages and objective is not None:
                adapting = partial(self._adapt, source, stages=stages, objective=objective)
                return search_adapted(attempt, adapting, name, value, image, time_limit_s, progress)
            return search(attempt, name, value, image)

        followed = self.info.trained_for if objective is None else objective.name
        result = choose(plainly, learned, given, lambda made: self._bit_worth(made.quality, followed))
        if verify:
            self._verify(result, image.shape)
        return result

    def made(self, header: Header) -> bool:
        """Say whether a file is of these weights and for the viewer of this codec."""
        is_ours = header.codec == CODEC_NAME and header.weights == self._weights
        return is_ours and viewer_of(header) in ("", self.viewer)

    def decode(self, data: bytes, decoder: str | None = None) -> np.ndarray:
        """Decompress a file that these weights made, to uint8 `[H, W, 3]` or `[H, W]`.

        Args:
          data: the bytes of a file.
          decoder: for whom, "people" or "machine"; by default for whom the file says.

        Raises:
          FileFormatError: a subclass says why the file cannot be decoded.
        """
        return self.decode_detail(data, decoder).image

    def decode_detail(self, data: bytes, decoder: str | None = None) -> DecodeResult:
        """Decompress a file and report seconds by part; as `decode`."""
        header, sections = unpack(data)
        return self.decode_sections(header, sections, decoder)

    def decode_sections(self, header: Header, sections: list[Section], decoder: str | None = None) -> DecodeResult:
        """Decompress a parsed file; as `decode`."""
        if header.codec == lossless.CODEC_NAME and (simple := lossless.decode_simple(header, sections)) is not None:
            return DecodeResult(simple.samples, simple.timings_s, NO_VALUES)
        check_header(header)
        if header.weights != self._weights:
            raise UnknownWeights(
                f"the file was made with weights {header.weights.hex()}, these are {self.info.digest[:16]}; "
                "jaxicm.decode chooses the right ones among those installed"
            )
        wanted = image_file.viewer_of(header) if decoder is None else decoder
        codec = self.for_viewer(wanted) if wanted else self
        if codec is not self:
            return codec.decode_sections(header, sections, wanted)
        payload = latent_of(sections)
        watch = Stopwatch()
        size = scaled_size(header.height, header.width, scale_of(header))
        values = self._latents.decode(payload, header.quality_q4, size, watch)
        with watch.part("synthesis"):
            pixels = self._transforms.synthesize(values, header.quality_q4 / QUALITY_STEPS, size)
            image = shown(pixels, header)
        return DecodeResult(image, watch.seconds, values)

    def batches(self, at_once: int = 8, processes: int | None = None) -> "ImageBatches":
        """Return a codec of several pictures at a time, for accelerators; close it, or use it in a `with` block.

        Args:
          at_once: pictures that the networks see together.
          processes: entropy coders; by default as many as the batches under way can use and the machine has.

        Raises:
          InputError: the weights have another probability model than the progressive one.
        """
        from jaxicm.codecs.image_batches import BatchParts, ImageBatches

        if not isinstance(self._entropy, FrozenProgressive):
            raise InputError(f"weights {self.info.name}: only the progressive model codes several pictures at a time")
        parts = BatchParts(self._weights, self.viewer, self._entropy, self._tables, self._transforms)
        return ImageBatches(parts, at_once, processes)

    def quantize(self, image: np.ndarray, quality: float) -> Quantized:
        """Return the symbols with which a picture uint8 `[H, W, 3]` or `[H, W]` is coded at a quality."""
        quality_q4 = round(quality * QUALITY_STEPS)
        y = self._transforms.analyze(image, quality_q4 / QUALITY_STEPS)
        return self._latents.quantize(y, quality_q4, (image.shape[0], image.shape[1]))

    def _bit_worth(self, quality: float, followed: str) -> float | None:
        """Return the squared error of a sample that a bit a pixel is worth; None for other distortions than MSE."""
        return 1 / float(lambda_of_quality(self.config, np.float32(quality))) if followed == "mse" else None  # type: ignore[arg-type]

    def _encode_at(self, source: Source, quality_q4: int, *, reconstruct: bool) -> EncodeResult:
        watch = Stopwatch()
        with watch.part("analysis"):
            y = self._transforms.analyze(source.pixels, quality_q4 / QUALITY_STEPS)
        result = self._encode_latent(source, y, quality_q4, watch)
        if not reconstruct:
            return result
        with watch.part("synthesis"):
            pixels = self._show(result.values_q4, quality_q4, source)
        return replace(result, timings_s=watch.seconds, reconstruction=resize(pixels, *source.size))

    def _encode_latent(self, source: Source, y: np.ndarray, quality_q4: int, watch: Stopwatch) -> EncodeResult:
        with watch.part("entropy"):
            quantized = self._latents.quantize(y, quality_q4, (source.pixels.shape[0], source.pixels.shape[1]))
        with watch.part("coder"):
            payload, bits = self._latents.encode(quantized)
            data = source.pack(payload, self._weights, quality_q4, self.viewer)
        return EncodeResult(data, quality_q4 / QUALITY_STEPS, None, watch.seconds, bits, quantized.values_q4)

    def _show(self, values_q4: np.ndarray, quality_q4: int, source: Source) -> np.ndarray:
        """Compute what the decoder shows of a picture, at the coded size."""
        size = source.pixels.shape[0], source.pixels.shape[1]
        pixels = self._transforms.synthesize(values_q4, quality_q4 / QUALITY_STEPS, size)
        return to_grey(pixels) if source.pixels.ndim == 2 else pixels

    @cached_property
    def _adapter(self) -> "LatentAdapter":
        from jaxicm.codecs.latent_adapter import LatentAdapter  # imports optimisers, which decoding does not need

        return LatentAdapter(self.config, self._transforms, self._entropy, self._tables)

    def _adapt(
        self,
        source: Source,
        first: EncodeResult,
        stages: Sequence[Stage],
        objective: Objective,
        limit_s: float | None = None,
        progress: Progress | None = None,
    ) -> EncodeResult:
        """Adapt the latent at the quality of a first result and return the cheaper of both, with its pixels."""
        watch, quality_q4, pixels = Stopwatch(), round(first.quality * QUALITY_STEPS), source.pixels
        with watch.part("analysis"):
            y = self._transforms.analyze(pixels, first.quality)
        adapter, weights, followed, began = self._adapter, None, objective, time.monotonic()
        with watch.part("adaptation"):
            if objective.seen is not None and all(stage.method == "coordinate" for stage in stages):
                weights = adapter.importance(pixels, quality_q4, objective.seen, objective.arrays)
                followed = OBJECTIVES["mse"]
            left = None if limit_s is None else max(limit_s - (time.monotonic() - began), 0.0)
            y, iterations = adapter.adapt(
                pixels, y, quality_q4, stages, followed, weights=weights, limit_s=left, progress=progress
            )
        second = self._encode_latent(source, y, quality_q4, watch)
        with watch.part("synthesis"):
            seen_of = [self._show(result.values_q4, quality_q4, source) for result in (first, second)]
        with watch.part("adaptation"):
            before, after = (adapter.distortion(pixels, seen, quality_q4, objective) for seen in seen_of)
            if weights is not None:  # in the units in which the search weighed distortion against rate
                unit = adapter.distortion(pixels, seen_of[0], quality_q4, followed, weights) / max(before, 1e-12)
                before, after = unit * before, unit * after
            rates = (8 * len(result.data) / (pixels.shape[0] * pixels.shape[1]) for result in (first, second))
            start, cost = (rate + worth for rate, worth in zip(rates, (before, after), strict=True))
        seconds = {part: first.timings_s.get(part, 0.0) + watch.seconds[part] for part in watch.seconds}
        best, seen = (second, seen_of[1]) if cost < start else (first, seen_of[0])
        adapted = Adapted(start, min(start, cost), iterations, objective.name)
        return replace(best, reconstruction=resize(seen, *source.size), timings_s=seconds, adapted=adapted)

    def _verify(self, result: EncodeResult, shape: tuple[int, ...]) -> None:
        try:
            decoded = self.decode_detail(result.data)
        except FileFormatError as error:
            raise CorruptFile(f"verification failed: the file does not decode ({error}); please report this") from error
        exact = not result.plain or np.array_equal(decoded.image, np.asarray(result.reconstruction))
        if decoded.image.shape != shape or not exact or not np.array_equal(decoded.values_q4, result.values_q4):
            raise CorruptFile("verification failed: the decoded symbols differ from the encoder's; please report this")
