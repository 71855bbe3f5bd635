"""Pictures a second of one codec that works on one or several pictures at a time (`codecs.image_batches`)."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import numpy as np

from jaxicm.codecs.image import ImageCodec
from jaxicm.codecs.image_result import result_of

_BATCHES = 4


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
        at_once: numbers of pictures that the networks see together; 1 is one picture after the other.
        rounds: of four batches; the median over them counts.
        say: told what is measured next.

    Returns:
        A row for each number and way: "way", "at_once", "pictures_per_s", "mp_per_s", and "parts", the seconds of each
        part by the clock: of a picture, or of a batch over its pictures (two batches are under way at a time).

    Raises:
        JaxicmError: of the codec.
    """
    data = codec.encode(pixels, quality=quality, plain=False)
    rows = []
    for way in ("encode", "decode"):
        for count in at_once:
            say(f"{way}, {count} at a time")
            seconds, parts = [], []
            with _runner(codec, way, pixels, data, quality, count) as run:
                run(2 * count)
                for _ in range(rounds):
                    begin = time.perf_counter()
                    parts += run(_BATCHES * count)
                    seconds.append((time.perf_counter() - begin) / (_BATCHES * count))
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


@contextmanager
def _runner(
    codec: ImageCodec, way: str, pixels: np.ndarray, data: bytes, quality: float, at_once: int
) -> Iterator[Callable[[int], list[dict[str, float]]]]:
    """Make a function that codes so many pictures and returns the seconds by part of each."""
    if at_once == 1:
        if way == "encode":
            yield lambda n: [codec.encode_detail(pixels, quality=quality, plain=False).timings_s for _ in range(n)]
        else:
            yield lambda n: [codec.decode_detail(data).timings_s for _ in range(n)]
        return
    with codec.batches(at_once) as batches:

        def run(number: int) -> list[dict[str, float]]:
            if way == "encode":
                return [result_of(found).timings_s for found in batches.encode(repeat(pixels, number), quality)]
            return [result_of(found).timings_s for found in batches.decode(repeat(data, number))]

        yield run
