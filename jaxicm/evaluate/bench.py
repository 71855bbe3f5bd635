"""How fast a codec is, how much memory it takes, and how soon a new process has decoded its first picture.

Figures are medians over repeats after a warm-up. CPU seconds stand beside wall seconds: on a busy machine only they can
be compared, though threads that wait for work count too.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.codecs.image import ImageCodec
from jaxicm.errors import JaxicmError
from jaxicm.media.files import atomic_write

SMALL = (512, 768)
LARGE_SIDE, QUICK_SIDE = 4096, 1024
_PEAK_PROGRAM = """
import sys, resource, pathlib
from jaxicm.memory import keep_allocated_memory
keep_allocated_memory()
import jaxicm
codec = jaxicm.load(sys.argv[1])
codec.decode(pathlib.Path(sys.argv[2]).read_bytes())
try:
    # A child's ru_maxrss begins at its parent's size; this is its own.
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024)
except (OSError, StopIteration):
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""


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


def machine() -> dict[str, Any]:
    """Describe where the figures come from: processors, load, versions."""
    import jax

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpus": usable,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
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
            result = codec.encode_detail(pixels, quality=quality)
            atomic_write(path, result.data)
            return result.timings_s

        def decode() -> dict[str, float]:
            return codec.decode_detail(path.read_bytes()).timings_s

        count = height * width
        timings = {"encode": repeat(encode, repeats, count), "decode": repeat(decode, repeats, count)}
        bpp = 8 * path.stat().st_size / count
    return {"size": [height, width], "bpp": bpp} | {name: timing.summary() for name, timing in timings.items()}


def peak_bytes(model: str, data: bytes) -> int:
    """Measure the largest resident memory of a new process that decodes a file.

    Args:
        model: name of the weights, or their file.
        data: a compressed file.

    Returns:
        Bytes, with all libraries and the weights.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jicm"
        path.write_bytes(data)
        return int(_output([sys.executable, "-c", _PEAK_PROGRAM, model, str(path)]))


def start_seconds(model: str, data: bytes, repeats: int) -> list[float]:
    """Time whole processes of `jaxicm decode` from start to end, with a warm compilation cache.

    Args:
        model: name of the weights, or their file.
        data: a compressed file.
        repeats: after one process that fills the cache.

    Returns:
        Wall seconds of each.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "picture.jicm", Path(folder) / "picture.png"
        source.write_bytes(data)
        command = [sys.executable, "-m", "jaxicm.cli", "decode", str(source), str(out), "--model", model]
        run, seconds = partial(_output, command), []
        run()
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    return seconds


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise JaxicmError(f"a second process failed: {done.stderr.strip()[-400:]}; run `jaxicm decode` to see why")
    return done.stdout


def bench(model: str, pixels: np.ndarray, *, quick: bool = False, quality: float = 50.0) -> dict[str, Any]:
    """Measure everything.

    Args:
        model: name of the weights, or their file.
        pixels: uint8 picture that the test pictures are cut or mirrored from.
        quick: few repeats, 1024x1024 in place of 4096x4096, a shorter message for the entropy coder.
        quality: 1 to 100.

    Returns:
        JSON-able: "machine", "model", "pictures" (two sizes as `time_codec`), "time_per_pixel" (large over small),
        "peak_bytes", "start_s", "coder" and "compressai" (see their modules).
    """
    import jaxicm
    from jaxicm.evaluate.bench_coder import coder_speeds
    from jaxicm.evaluate.bench_compressai import compressai_speeds

    found: dict[str, Any] = {"machine": machine()}
    codec = jaxicm.load(model)
    info = codec.info
    found["model"] = {
        "name": info.name,
        "digest": info.digest,
        "parameters": info.parameters,
        "kmac_per_pixel": info.kmac_per_pixel,
        "steps": info.steps,
    }
    side = QUICK_SIDE if quick else LARGE_SIDE
    small_picture, large_picture = fill(pixels, *SMALL), fill(pixels, side, side)
    small = time_codec(codec, small_picture, quality, 3 if quick else 15)
    large = time_codec(codec, large_picture, quality, 1 if quick else 3)
    found["pictures"] = [small, large]
    scale = SMALL[0] * SMALL[1] / side**2
    found["time_per_pixel"] = {
        way: {clock: large[way][clock] / small[way][clock] * scale for clock in ("wall_s", "cpu_s")}
        for way in ("encode", "decode")
    }
    found["peak_bytes"] = peak_bytes(model, codec.encode(large_picture, quality=quality))
    found["start_s"] = start_seconds(model, codec.encode(small_picture, quality=quality), 1 if quick else 3)
    found["coder"] = coder_speeds(100_000 if quick else 1_000_000, 1 if quick else 5)
    found["compressai"] = compressai_speeds(small_picture, 1 if quick else 5)
    return found
