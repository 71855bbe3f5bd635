"""How fast a codec writes pictures to files and reads them back, part by part.

CPU seconds stand beside wall seconds: on a busy machine only they can be compared, though threads that wait for work
count too.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.codecs.image import ImageCodec
from jaxicm.media.files import atomic_write


@dataclass(frozen=True)
class Timing:
    """Hold the medians of a repeated action.

    Attributes:
        wall_s: seconds.
        cpu_s: CPU seconds of all threads.
        parts_s: wall seconds by part; "file" is the container, the disk and whatever no part counts.
        pixels: that it worked on.
    """

    wall_s: float
    cpu_s: float
    parts_s: dict[str, float]
    pixels: int

    def summary(self) -> dict[str, Any]:
        """Return speeds and parts for printing and JSON."""
        return {
            "mp_per_s": self.pixels / self.wall_s / 1e6,
            "mp_per_cpu_s": self.pixels / self.cpu_s / 1e6,
            "wall_s": self.wall_s,
            "cpu_s": self.cpu_s,
            "parts_s": self.parts_s,
        }


def fill(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Make a picture of a given size from another by cutting it, or mirroring it at its edges.

    Args:
        pixels: uint8 [H, W, 3] or [H, W].
        height: wanted.
        width: wanted.

    Returns:
        uint8 [height, width, ...].
    """
    part = pixels[:height, :width]
    missing = [(0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0)]
    return np.pad(part, missing[: part.ndim], mode="symmetric")


def repeat(action: Callable[[], dict[str, float]], repeats: int, pixels: int) -> Timing:
    """Run an action once to warm up and then several times.

    Args:
        action: returns wall seconds by part.
        repeats: at least 1.
        pixels: that one run works on.

    Returns:
        Medians.
    """
    action()
    walls, cpus, parts = [], [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        found = action()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        parts.append(found | {"file": walls[-1] - sum(found.values())})
    medians = {name: float(np.median([part[name] for part in parts])) for name in parts[0]}
    return Timing(float(np.median(walls)), float(np.median(cpus)), medians, pixels)


def time_codec(codec: ImageCodec, pixels: np.ndarray, quality: float, repeats: int) -> dict[str, Any]:
    """Time encoding to a file on the disk and decoding it from there.

    Args:
        codec: to measure.
        pixels: uint8 [H, W, 3] or [H, W].
        quality: 1 to 100.
        repeats: of each direction.

    Returns:
        "size" [H, W], "bpp", and "encode" and "decode" as `Timing.summary`.
    """
    height, width = pixels.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jicm"

        def encode() -> dict[str, float]:
            result = codec.encode_detail(pixels, quality=quality, plain=False)
            atomic_write(path, result.data)
            return result.timings_s

        def decode() -> dict[str, float]:
            return codec.decode_detail(path.read_bytes()).timings_s

        count = height * width
        timings = {"encode": repeat(encode, repeats, count), "decode": repeat(decode, repeats, count)}
        bpp = 8 * path.stat().st_size / count
    return {"size": [height, width], "bpp": bpp} | {name: timing.summary() for name, timing in timings.items()}
