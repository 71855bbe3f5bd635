"""Pictures a second of one codec that works on one or several pictures at a time.

While the host codes the symbols of one picture, the networks work on others, so that several at a time keep both busy.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jaxicm.codecs.image import ImageCodec


def throughput(
    codec: ImageCodec,
    pixels: np.ndarray,
    *,
    quality: float = 50.0,
    at_once: Sequence[int] = (1, 8),
    rounds: int = 3,
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Encode and decode a picture again and again, files in memory.

    Args:
        codec: to be measured.
        pixels: uint8 picture.
        quality: 1 to 100.
        at_once: numbers of pictures that are worked on at a time, each by a thread.
        rounds: of as many pictures a thread; the median over them counts.
        say: told what is measured next.

    Returns:
        A row for each number and way: "way", "at_once", "pictures_per_s", "mp_per_s", and "parts", the seconds that a
        picture spends in each part by the clock (with several at a time they wait for one another).
    """
    data = codec.encode(pixels, quality=quality, plain=False)
    ways: dict[str, Callable[[int], dict[str, float]]] = {
        "encode": lambda _: codec.encode_detail(pixels, quality=quality, plain=False).timings_s,
        "decode": lambda _: codec.decode_detail(data).timings_s,
    }
    rows = []
    for way, run in ways.items():
        run(0)
        for count in at_once:
            say(f"{way}, {count} at a time")
            seconds, parts = [], []
            with ThreadPoolExecutor(count) as pool:
                list(pool.map(run, range(count)))
                for _ in range(rounds):
                    begin = time.perf_counter()
                    parts += list(pool.map(run, range(2 * count)))
                    seconds.append((time.perf_counter() - begin) / (2 * count))
            each = statistics.median(seconds)
            means = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
            rows.append(
                {
                    "way": way,
                    "at_once": count,
                    "pictures_per_s": 1 / each,
                    "mp_per_s": pixels.shape[0] * pixels.shape[1] / each / 1e6,
                    "parts": means,
                }
            )
    return rows
