"""How fast a codec is, how much memory it takes, and how soon a new process has decoded its first picture.

Figures are medians over repeats after a warm-up (CPU seconds of the parts are means), each of work that has ended.
"""

import os
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np

from jaxicm.errors import JaxicmError
from jaxicm.evaluate.bench_clock import OtherWork
from jaxicm.evaluate.circumstances import processor, versions
from jaxicm.processors import usable_cpus

FORMAT = "jaxicm bench 2"
SMALL = (512, 768)
LARGE_SIDE, QUICK_SIDE = 4096, 1024


def machine() -> dict[str, Any]:
    """Describe where the figures come from: processors, load, device."""
    import jax

    device = jax.devices()[0]
    return {
        "cpus": usable_cpus(),
        "processor": processor(),
        "machine": platform.machine(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "platform": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
    }


def bench(
    model: str,
    pixels: np.ndarray,
    *,
    quick: bool = False,
    quality: float = 50.0,
    parts_only: bool = False,
    size: tuple[int, int] | None = None,
    batches: Sequence[int] | None = None,
    command: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure everything, or the compiled parts only.

    Args:
        model: name of the weights, or their file.
        pixels: uint8 picture that the test pictures are cut or mirrored from.
        quick: few repeats, 1024x1024 in place of 4096x4096, a shorter message for the entropy coder.
        quality: 1 to 100.
        parts_only: leave out pictures, second processes, the entropy coder and CompressAI.
        size: height and width of the picture whose compiled parts are measured; by default 512 and 768.
        batches: of the compiled parts (see `bench_device.part_speeds`).
        command: to be noted.
        say: told what is measured next.

    Returns:
        JSON-able: "format", "command", "created", "versions", "machine", "model", "quality", "notes" (what could not be
        measured), "parts" (see `bench_device`), "other_work" (see `bench_clock.OtherWork`); unless `parts_only`
        "pictures" (two sizes as `bench_picture.time_codec`), "time_per_pixel" (large over small), "peak_bytes",
        "peak_device_bytes", "start_s", "coder" and "compressai" (see their modules).
    """
    import jaxicm
    from jaxicm.evaluate.bench_device import part_speeds
    from jaxicm.evaluate.bench_picture import fill

    other = OtherWork()
    codec = jaxicm.load(model)
    info = codec.info
    found: dict[str, Any] = {
        "format": FORMAT,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(("jax", "jaxlib", "numpy")),
        "machine": machine(),
        "model": {
            "name": info.name,
            "digest": info.digest,
            "parameters": info.parameters,
            "kmac_per_pixel": info.kmac_per_pixel,
            "steps": info.steps,
        },
        "quality": quality,
        "notes": [],
    }
    if not parts_only:
        found |= _whole_codec(model, pixels, quick, quality, found["notes"], say)
    picture = fill(pixels, *(size or SMALL))
    found["parts"] = part_speeds(model, picture, quality=quality, batches=batches, quick=quick, say=say)
    found["other_work"] = other.report()
    return found


def _whole_codec(
    model: str, pixels: np.ndarray, quick: bool, quality: float, notes: list[str], say: Callable[[str], None]
) -> dict[str, Any]:
    import jaxicm
    from jaxicm.codecs.image import ImageCodec
    from jaxicm.evaluate.bench_coder import coder_speeds
    from jaxicm.evaluate.bench_compressai import compressai_speeds
    from jaxicm.evaluate.bench_picture import fill, time_codec
    from jaxicm.evaluate.bench_process import peak_memory, start_seconds

    codec = cast(ImageCodec, jaxicm.load(model))
    side = QUICK_SIDE if quick else LARGE_SIDE
    small_picture, large_picture = fill(pixels, *SMALL), fill(pixels, side, side)
    say(f"pictures of {SMALL[1]}x{SMALL[0]} and {side}x{side}")
    small = time_codec(codec, small_picture, quality, 3 if quick else 15)
    large = time_codec(codec, large_picture, quality, 1 if quick else 3)
    found: dict[str, Any] = {"pictures": [small, large]}
    scale = SMALL[0] * SMALL[1] / side**2
    found["time_per_pixel"] = {
        way: {clock: large[way][clock] / small[way][clock] * scale for clock in ("wall_s", "cpu_s")}
        for way in ("encode", "decode")
    }
    say("new processes")
    found |= {"peak_bytes": None, "peak_device_bytes": None, "start_s": []}
    try:
        peak = peak_memory(model, codec.encode(large_picture, quality=quality, plain=False))
        found["peak_bytes"], found["peak_device_bytes"] = peak
        found["start_s"] = start_seconds(
            model, codec.encode(small_picture, quality=quality, plain=False), 1 if quick else 3
        )
    except JaxicmError as error:  # some devices serve one process at a time
        notes.append(f"memory and start of a new process were not measured: {error}")
    say("the entropy coder")
    found["coder"] = coder_speeds(100_000 if quick else 1_000_000, 1 if quick else 5)
    found["compressai"] = compressai_speeds(small_picture, 1 if quick else 5)
    return found
