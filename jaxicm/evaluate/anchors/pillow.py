"""JPEG, WebP, AVIF, JPEG 2000 and PNG through Pillow."""

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxicm.evaluate.anchors.interface import Anchor, Coded, Decoded, thread_timed


@dataclass(frozen=True, kw_only=True)
class PillowAnchor(Anchor):
    """Describe a codec of Pillow.

    Attributes:
        format: Pillow's name of the format.
        feature: of `PIL.features`, whose library makes the bytes.
        options: other arguments of `Image.save`.
        grey_options: those that differ for a grey picture.
    """

    format: str
    feature: str
    options: Mapping[str, Any] = field(default_factory=dict)
    grey_options: Mapping[str, Any] = field(default_factory=dict)

    def missing(self) -> str | None:
        from PIL import features

        if features.check(self.feature):
            return None
        return f"{self.title}: this Pillow was built without it: pip install --force-reinstall pillow"

    def version(self) -> dict[str, str]:
        import PIL
        from PIL import features

        turbo = features.version("libjpeg_turbo") if self.feature == "jpg" else None  # "jpg" is the interface's version
        return {
            "pillow": PIL.__version__,
            self.feature: f"libjpeg-turbo {turbo}" if turbo else str(features.version(self.feature)),
            "options": " ".join(f"{key}={value}" for key, value in self.options.items()),
        }

    def encode(self, pixels: np.ndarray, setting: float) -> Coded:
        from PIL import Image

        self.check(pixels, setting)
        options = {**self.options, **(self.grey_options if pixels.ndim == 2 else {}), **self.quality(setting)}
        image = Image.fromarray(pixels)
        file = io.BytesIO()
        _, cpu_s = thread_timed(lambda: image.save(file, self.format, **options))
        return Coded(file.getvalue(), cpu_s)

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> Decoded:
        from PIL import Image

        del height, width  # the file holds them
        mode = "L" if grey else "RGB"
        with _avif_on_one_thread():
            pixels, cpu_s = thread_timed(lambda: np.asarray(Image.open(io.BytesIO(data)).convert(mode)))
        return Decoded(pixels, cpu_s)

    def quality(self, setting: float) -> dict[str, Any]:
        """Return the setting as arguments of `Image.save`."""
        return {"quality": int(setting)}


@dataclass(frozen=True, kw_only=True)
class Jpeg2000Anchor(PillowAnchor):
    """Describe JPEG 2000; its setting is the PSNR in dB that the encoder aims at."""

    def quality(self, setting: float) -> dict[str, Any]:
        return {"quality_mode": "dB", "quality_layers": [float(setting)]}


@dataclass(frozen=True, kw_only=True)
class LosslessPillowAnchor(PillowAnchor):
    """Describe a lossless codec of Pillow; its one setting, 0, stands for the options that make the smallest file."""

    settings: tuple[float, float] = (0, 0)
    default: tuple[float, ...] = (0,)
    unit: str = "setting"
    lossless: bool = True

    def quality(self, setting: float) -> dict[str, Any]:
        del setting
        return {}


@contextlib.contextmanager
def _avif_on_one_thread() -> Iterator[None]:
    """Decode AVIF on the calling thread, whose seconds are counted; Pillow takes as many as there are CPUs."""
    from PIL import AvifImagePlugin

    before = AvifImagePlugin.DEFAULT_MAX_THREADS
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        yield
    finally:
        AvifImagePlugin.DEFAULT_MAX_THREADS = before
