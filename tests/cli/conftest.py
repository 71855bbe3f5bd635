"""A codec without networks behind the public interface, so that the command line is tested in milliseconds."""

import sys
import types
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

import jaxicm
import jaxicm.codecs.weights
from jaxicm.adapt.stage import Stage
from jaxicm.bits.container import Header, Section, SectionKind, pack, unpack
from jaxicm.cli.main import main
from jaxicm.codecs.lossless_fallback import is_synthetic, pack_simple, unpack_simple
from jaxicm.errors import InputError, OptionError, TargetError, UnknownWeights
from jaxicm.evaluate.metrics import psnr as measure_psnr

WEIGHTS = b"fake-wts"
LOSSLESS_WEIGHTS = b"fake-all"


@dataclass(frozen=True)
class Adapted:
    start: float
    cost: float
    iterations: int
    distortion: str


@dataclass(frozen=True)
class EncodeResult:
    data: bytes
    quality: float
    reconstruction: np.ndarray | None
    timings_s: dict[str, float] = field(default_factory=lambda: {"analysis": 0.001, "coder": 0.002})
    adapted: Adapted | None = None
    plain: bool = False


@dataclass(frozen=True)
class DecodeResult:
    image: np.ndarray
    timings_s: dict[str, float] = field(default_factory=lambda: {"coder": 0.002, "synthesis": 0.003})


@dataclass(frozen=True)
class ModelInfo:
    name: str = "fast"
    digest: str = "0123456789abcdef0123"
    profile: str = "fast"
    parameters: int = 1_234_567
    kmac_per_pixel: dict[str, float] = field(default_factory=lambda: {"decode": 12.5})
    steps: int = 7
    trained_on: str = "random numbers"
    curve: list[dict[str, float]] = field(
        default_factory=lambda: [{"quality": 50, "bpp": 0.5, "psnr": 32.0, "ms_ssim": 0.98}]
    )
    config: dict[str, object] = field(default_factory=dict)
    trained_for: str = "mse"
    own_viewer: str = "people"
    decoder_of: str = ""
    viewer: str = ""

    @property
    def is_filter(self) -> bool:
        """Tell whether these are weights of a filter."""
        return "filter" in self.config

    @property
    def is_lossless(self) -> bool:
        return "pixels" in self.config


class FakeCodec:
    """Quantise pixels with a step that falls with the quality, and deflate them.

    Attributes:
        adaptations: effort, objective and time limit of every encoding.
    """

    info = ModelInfo()

    def __init__(self) -> None:
        self.adaptations: list[tuple[object, str | None, float | None]] = []

    def file_of_other_weights(self) -> bytes:
        """Make a file that needs weights nobody has."""
        return pack(Header("image", b"XXXXXXXX", 1, 1), [Section(SectionKind.LATENT, b"")])

    def encode_detail(
        self,
        image: np.ndarray,
        *,
        quality: float | None = None,
        bpp: float | None = None,
        size_bytes: int | None = None,
        psnr: float | None = None,
        verify: bool = False,
        icc: bytes | None = None,
        effort: int | tuple[Stage, ...] = 0,
        tune: str | None = None,
        time_limit_s: float | None = None,
        scale: int = 100,
        progress: Callable[[int, int, float], None] | None = None,
        plain: bool = True,
    ) -> EncodeResult:
        assert image.dtype == np.uint8
        self.adaptations.append((effort, tune, time_limit_s))
        if sum(value is not None for value in (quality, bpp, size_bytes, psnr)) > 1:
            raise OptionError("several targets")
        if bpp is not None:
            size_bytes = int(bpp * image.shape[0] * image.shape[1] / 8)
        if size_bytes is not None:
            fitting = [q for q in range(1, 101) if len(self._pack(image, q, icc)) <= size_bytes]
            if not fitting:
                smallest = len(self._pack(image, 1, icc))
                raise TargetError(f"{size_bytes} bytes cannot be reached; the smallest file has {smallest}")
            quality = fitting[-1]
        elif psnr is not None:
            good = [q for q in range(1, 101) if measure_psnr(image, self.decode(self._pack(image, q, icc))) >= psnr]
            if not good or psnr > 90:
                raise TargetError(f"{psnr} dB cannot be reached; give a lower PSNR")
            quality = good[0]
        data = self._pack(image, int(quality or 50), icc)
        result = EncodeResult(data, float(quality or 50), self.decode(data) if verify else None)
        if not effort:
            return result
        if progress is not None:
            progress(8, 16, 0.98)  # as if it stopped before its end
        if time_limit_s is not None and time_limit_s < 1:
            return replace(result, adapted=Adapted(2.0, 2.0, 0, tune or "mse"))
        seconds = result.timings_s | {"adaptation": 0.5}
        return replace(result, timings_s=seconds, adapted=Adapted(2.0, 1.938, 8, tune or "mse"))

    def encode(self, image: np.ndarray, **options: object) -> bytes:
        return self.encode_detail(image, **options).data  # type: ignore[arg-type]

    def decode(self, data: bytes) -> np.ndarray:
        header, sections = unpack(data)
        if header.weights != WEIGHTS:
            raise UnknownWeights(f"made with weights {header.weights.hex()}; install them or give --model FILE")
        shape = (header.height, header.width) + ((3,) if header.channels == 3 else ())
        levels = np.frombuffer(zlib.decompress(sections[0].payload), np.uint8).reshape(shape)
        return np.minimum(levels.astype(int) * self._step(header.quality_q4 // 16), 255).astype(np.uint8)

    def decode_detail(self, data: bytes) -> DecodeResult:
        return DecodeResult(self.decode(data))

    @staticmethod
    def _step(quality: int) -> int:
        return 1 + (100 - quality) // 2

    def _pack(self, image: np.ndarray, quality: int, icc: bytes | None) -> bytes:
        step = self._step(quality)
        levels = ((image.astype(int) + step // 2) // step).astype(np.uint8)
        header = Header(
            "image", WEIGHTS, *image.shape[:2], channels=3 if image.ndim == 3 else 1, quality_q4=quality * 16
        )
        sections = [Section(SectionKind.LATENT, zlib.compress(levels.tobytes(), 9))]
        return pack(header, sections + ([Section(SectionKind.ICC, icc)] if icc is not None else []))


@dataclass(frozen=True)
class LosslessResult:
    data: bytes
    mode: str
    origin: str | None = None
    timings_s: dict[str, float] = field(default_factory=lambda: {"entropy": 0.001, "coder": 0.002})
    estimated_bits: float = 0.0


class FakeLosslessCodec:
    """Write simple payloads; those of pictures that look like photographs are said to be learned."""

    info = ModelInfo("lossless_fast", "fedcba9876543210fedc", "lossless_fast", config={"pixels": {}}, curve=[])

    def encode_detail(
        self,
        samples: np.ndarray,
        *,
        effort: int,
        keep_rgb: bool,
        progress: object,
        icc: bytes | None = None,
        verify: bool = False,
    ) -> LosslessResult:
        del effort, progress
        channels = samples.shape[2] if samples.ndim == 3 else 1
        header = Header(
            "lossless", LOSSLESS_WEIGHTS, *samples.shape[:2], channels=3 if channels > 2 else 1,
            bit_depth=8 * samples.itemsize, flags=1 - channels % 2,
        )  # fmt: skip
        sections = [Section(SectionKind.LATENT, pack_simple(samples))]
        data = pack(header, sections + ([Section(SectionKind.ICC, icc)] if icc is not None else []))
        if verify:
            np.testing.assert_array_equal(self.decode(data), samples)
        learned, colour = not is_synthetic(samples), samples.shape[2:] == (3,) and samples.dtype == np.uint8
        origin = "JPEG" if learned and colour and not keep_rgb else None
        return LosslessResult(data, "learned" if learned else "simple", origin)

    def decode(self, data: bytes) -> np.ndarray:
        header, sections = unpack(data)
        channels = header.channels + header.flags
        shape = (header.height, header.width) + ((channels,) if channels > 1 else ())
        return unpack_simple(sections[0].payload, shape, np.uint8 if header.bit_depth == 8 else np.uint16)


@pytest.fixture(autouse=True)
def fake_codec(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    """Put the fake codecs and zoo where the commands find the real ones."""
    codec, lossless = FakeCodec(), FakeLosslessCodec()
    codecs = {each.info.name: each for each in (codec, lossless)}

    def load(name: str = "fast") -> FakeCodec | FakeLosslessCodec:
        if name not in codecs:
            raise InputError(f"there is no model {name!r}; installed: {', '.join(codecs)}")
        return codecs[name]

    def decode(data: bytes, decoder: str | None = None) -> np.ndarray:
        del decoder
        return (lossless if unpack(data)[0].codec == "lossless" else codec).decode(data)

    zoo = types.ModuleType("jaxicm.codecs.zoo")
    infos = [each.info for each in codecs.values()]
    zoo.__dict__.update(list_models=lambda: infos, find=lambda name: Path(load(name).info.name))
    monkeypatch.setitem(sys.modules, zoo.__name__, zoo)
    monkeypatch.setattr(jaxicm.codecs, "zoo", zoo, raising=False)
    monkeypatch.setattr(jaxicm.codecs.weights, "read_info", lambda path: load(path.name).info)
    monkeypatch.setattr(jaxicm, "load", load, raising=False)
    monkeypatch.setattr(jaxicm, "decode", decode, raising=False)
    return codec


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def call(*words: object) -> Outcome:
        capfd.readouterr()
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def pixels() -> np.ndarray:
    """Make a small RGB picture, smooth with some noise."""
    y, x, c = np.mgrid[0:40, 0:56, 0:3]
    noise = np.random.default_rng(0).integers(-6, 7, (40, 56, 3))
    return np.clip(128 + 70 * np.sin(x / 9.0 + c) * np.cos(y / 7.0) + noise, 0, 255).astype(np.uint8)
