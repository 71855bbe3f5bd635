"""What a conventional codec is here: a name, the settings of its encoder, encode and decode with CPU seconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from jaxicm.errors import InputError, OptionError

T = TypeVar("T")


@dataclass(frozen=True)
class Coded:
    """Hold a compressed picture.

    Attributes:
        data: the whole file or stream, all headers included.
        cpu_s: CPU seconds of the encoder's thread or process.
    """

    data: bytes
    cpu_s: float


@dataclass(frozen=True)
class Decoded:
    """Hold a decoded picture.

    Attributes:
        pixels: uint8 [H, W, 3] or [H, W].
        cpu_s: CPU seconds of the decoder's thread or process.
    """

    pixels: np.ndarray
    cpu_s: float


@dataclass(frozen=True)
class Anchor:
    """Describe a conventional codec with the options that make it strongest in PSNR. It uses one thread.

    Attributes:
        name: key of the registry.
        title: as printed in tables.
        settings: lowest and highest setting: a quality, QP, distance, PSNR in dB or effort.
        default: settings of a curve from about 0.1 to 2.5 bits per pixel on photographs, quality rising; of a lossless
            codec efforts, rising.
        rising: whether a larger setting makes a larger file; False for a QP.
        step: the distance of neighbouring settings; 1 where only whole numbers are taken.
        unit: what the setting is, as printed before it: "quality", "QP", ...
        lossless: whether every sample comes back; the setting then only trades time for bytes.
    """

    name: str
    title: str
    settings: tuple[float, float]
    default: tuple[float, ...]
    rising: bool = True
    step: float = 1.0
    unit: str = "quality"
    lossless: bool = False

    def missing(self) -> str | None:
        """Return None where the codec can run, or one line with what it needs and the command that installs it."""
        return None

    def version(self) -> dict[str, str]:
        """Return what fixes the bytes: versions of the libraries and the encoder's options."""
        raise NotImplementedError

    def encode(self, pixels: np.ndarray, setting: float) -> Coded:
        """Compress a picture.

        Args:
            pixels: uint8 [H, W, 3] (RGB) or [H, W] (grey).
            setting: within `settings`, a whole number where `step` is 1.

        Returns:
            The file and the CPU seconds.

        Raises:
            InputError: pixels of another type or shape.
            OptionError: setting out of range or not a whole number.
            MissingDependency: the codec is not installed.
        """
        raise NotImplementedError

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> Decoded:
        """Decode a file of `encode`.

        Args:
            data: the file.
            height: of the original; a stream of a video codec may be padded.
            width: of the original.
            grey: whether the original was grey.

        Returns:
            uint8 [H, W, 3], or [H, W] for grey, and the CPU seconds.

        Raises:
            MissingDependency: the codec is not installed.
        """
        raise NotImplementedError

    def check(self, pixels: np.ndarray, setting: float) -> None:
        """Refuse pixels and settings that `encode` does not take."""
        if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
            raise InputError(f"{self.title}: uint8 [H, W, 3] or [H, W] expected, got {pixels.dtype} {pixels.shape}")
        low, high = self.settings
        if not low <= setting <= high:
            raise OptionError(f"{self.title}: the setting must lie from {low:g} to {high:g}, got {setting:g}")
        if self.step == 1 and setting != int(setting):
            raise OptionError(f"{self.title}: the setting must be a whole number, got {setting:g}")


def thread_timed(work: Callable[[], T]) -> tuple[T, float]:
    """Run a function and return its result and the CPU seconds of this thread."""
    start = time.thread_time()
    result = work()
    return result, time.thread_time() - start
