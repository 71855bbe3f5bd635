"""Coding several pictures at a time, for accelerators: networks on stacks of pictures, entropy coders in processes.

The latents of a batch stay on the device (`entropy.progressive_batch`); a step of the probability model brings the
indices of tables to the host, where a process for each picture decodes symbols, which go back. Two batches are under
way at a time, so that the device works on one while the processes work on the other. The file format is that of one
picture at a time, and so are the symbols that a file decodes to.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxicm.bits.container import Header, unpack
from jaxicm.bits.processes import CoderProcesses
from jaxicm.bits.steps import SYMBOL_LIMIT
from jaxicm.bits.tables import Tables
from jaxicm.codecs.image_file import (
    FULL_SCALE,
    Source,
    check_header,
    check_picture,
    latent_of,
    scale_of,
    shown,
    viewer_of,
)
from jaxicm.codecs.image_result import NO_VALUES, DecodeResult, EncodeResult
from jaxicm.codecs.transforms import Transforms
from jaxicm.codecs.window_batches import WindowBatches
from jaxicm.entropy.progressive_batch import BatchLatents
from jaxicm.entropy.progressive_frozen import QUALITY_STEPS, FrozenProgressive
from jaxicm.errors import FileFormatError, JaxicmError, OptionError, UnknownWeights
from jaxicm.media.scaling import scaled_size
from jaxicm.models.image import QUALITY_MAX, QUALITY_MIN
from jaxicm.processors import usable_cpus
from jaxicm.stopwatch import Stopwatch

BUCKET = 16
"""Latent positions to which the sides of a grid are rounded up, so that functions are compiled for few shapes; only the
probability model works on such grids."""
MOST_POSITIONS = 1 << 17
"""Latent positions of all grids of a batch; of larger pictures fewer are coded together, for the sake of memory."""
UNDER_WAY = 2
_AHEAD = 8

T = TypeVar("T")


class BatchParts(NamedTuple):
    """What a codec of several pictures takes from one of single pictures."""

    weights: bytes
    viewer: str
    entropy: FrozenProgressive
    tables: Tables
    transforms: Transforms


class _File(NamedTuple):
    header: Header
    payload: bytes
    size: tuple[int, int]


class _Item(NamedTuple):
    """A picture or file, its quality, and rows and columns of its latent."""

    what: Any
    quality_q4: int
    rows: int
    columns: int

    @property
    def bucket(self) -> tuple[int, int]:
        return -(-self.rows // BUCKET) * BUCKET, -(-self.columns // BUCKET) * BUCKET


class ImageBatches:
    """Encodes and decodes pictures in batches; `ImageCodec.batches` makes one.

    Pictures of one shape of grid (sides rounded up to 256 pixels, with a stride of 16) form a batch; the last ones may
    leave it partly empty, and pictures of more than 4 megapixels are fewer. Results come in the order of the inputs.
    """

    def __init__(self, parts: BatchParts, at_once: int, processes: int | None):
        if processes is None:
            processes = max(1, min(UNDER_WAY * at_once, usable_cpus() - 1))
        if at_once < 1 or processes < 1:
            raise OptionError(f"pictures at once and processes must be at least 1, got {at_once} and {processes}")
        self._parts, self._at_once = parts, at_once
        self._windows = WindowBatches(parts.transforms, at_once)
        self._coders = CoderProcesses(parts.tables, processes)
        self._stride = parts.transforms.config.stride

    def __enter__(self) -> "ImageBatches":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        self._coders.close()

    def decode(self, files: Iterable[bytes], *, values: bool = False) -> Iterator[DecodeResult | JaxicmError]:
        """Decompress files that these weights made.

        Args:
          files: taken as far ahead as batches need.
          values: whether the results hold the latents.

        Yields:
          For each file what `ImageCodec.decode_detail` returns, or the error that it would raise. Seconds are those of
          a batch over its pictures: "network" (the probability model), "transfer" (between host and device), "coder"
          (waiting for it) and "synthesis".
        """
        return self._ordered(map(self._file, files), partial(self._decode, values=values))

    def encode(
        self, pictures: Iterable[np.ndarray], quality: float | Iterable[float] = 50.0, *, values: bool = False
    ) -> Iterator[EncodeResult | JaxicmError]:
        """Compress pictures as `ImageCodec.encode_detail` does with `plain=False`.

        Args:
          pictures: uint8 `[H, W, 3]` or `[H, W]`.
          quality: 1 to 100, of all pictures or of each.
          values: whether the results hold the latents.

        Yields:
          For each picture what `ImageCodec.encode_detail` returns, or the error that it would raise. Seconds are those
          of a batch over its pictures: "analysis", "network", "transfer" and "coder".
        """
        qualities = itertools.repeat(quality) if isinstance(quality, int | float) else quality
        return self._ordered(map(self._picture, pictures, qualities), partial(self._encode, values=values))

    def _picture(self, picture: np.ndarray, quality: float) -> "_Item | JaxicmError":
        try:
            check_picture(picture)
            if not QUALITY_MIN <= quality <= QUALITY_MAX:
                raise OptionError(f"quality must be in [{QUALITY_MIN:g}, {QUALITY_MAX:g}], got {quality:g}")
        except JaxicmError as error:
            return error
        return self._item(Source.of(picture, FULL_SCALE, None), round(quality * QUALITY_STEPS), picture.shape[:2])

    def _item(self, what: Any, quality_q4: int, size: Sequence[int]) -> _Item:
        return _Item(what, quality_q4, *(-(-side // self._stride) for side in size))

    def _file(self, data: bytes) -> _Item | JaxicmError:
        try:
            header, sections = unpack(data)
            check_header(header)
            if header.weights != self._parts.weights or viewer_of(header) not in ("", self._parts.viewer):
                raise UnknownWeights(
                    f"the file was made with weights {header.weights.hex()} for viewer '{viewer_of(header)}', these "
                    f"are {self._parts.weights.hex()} for '{self._parts.viewer}'; jaxicm.decode chooses the right ones"
                )
            size = scaled_size(header.height, header.width, scale_of(header))
            return self._item(_File(header, latent_of(sections), size), header.quality_q4, size)
        except FileFormatError as error:
            return error

    def _ordered(
        self, items: Iterable[_Item | JaxicmError], run: Callable[[list[_Item]], list[T | JaxicmError]]
    ) -> Iterator[T | JaxicmError]:
        """Run batches of items of one bucket, and yield what comes of the items in their order."""
        waiting: dict[tuple[int, int], list[tuple[int, _Item]]] = {}
        done: dict[int, T | JaxicmError] = {}
        running: list[tuple[list[int], Future[list[T | JaxicmError]]]] = []
        following, taken, ended = 0, 0, False
        source = iter(items)
        with ThreadPoolExecutor(UNDER_WAY) as pool:

            def begin(bucket: tuple[int, int]) -> None:
                batch = waiting.pop(bucket)
                running.append(([number for number, _ in batch], pool.submit(run, [item for _, item in batch])))

            while True:
                while not ended and len(running) <= UNDER_WAY and taken - following < _AHEAD * self._at_once:
                    item = next(source, None)
                    if item is None:
                        ended = True
                        break
                    if isinstance(item, JaxicmError):
                        done[taken] = item
                    else:
                        waiting.setdefault(item.bucket, []).append((taken, item))
                        if len(waiting[item.bucket]) == self._room(item.bucket):
                            begin(item.bucket)
                    taken += 1
                if waiting and (ended or not running):  # nothing comes, or the next ones wait for others of their shape
                    begin(next(iter(waiting)))
                if running:
                    numbers, future = running.pop(0)
                    done.update(zip(numbers, future.result(), strict=True))
                while following in done:
                    yield done.pop(following)
                    following += 1
                if ended and following == taken:
                    return

    def _room(self, bucket: tuple[int, int]) -> int:
        """Return how many latents of a shape are coded together."""
        return max(1, min(self._at_once, MOST_POSITIONS // (bucket[0] * bucket[1])))

    def _begin(self, items: list[_Item]) -> BatchLatents:
        """Begin the steps of a batch, filled up with latents of no size."""
        missing = self._room(items[0].bucket) - len(items)
        qualities = [item.quality_q4 for item in items] + missing * [items[0].quality_q4]
        sizes = [(item.rows, item.columns) for item in items] + missing * [(0, 0)]
        return BatchLatents(self._parts.entropy, qualities, sizes, items[0].bucket)

    def _decode(self, items: list[_Item], values: bool) -> list[DecodeResult | JaxicmError]:
        watch = Stopwatch()
        streams = [self._coders.stream() for _ in items]
        errors: dict[int, JaxicmError] = {}
        try:
            _all([s.start(item.what.payload) for s, item in zip(streams, items, strict=True)], errors)
            steps = iter(latents := self._begin(items))
            while True:
                with watch.part("network"):
                    if (step := next(steps, None)) is None:
                        break
                    step.index.block_until_ready()
                with watch.part("transfer"):
                    index = np.asarray(step.index)
                with watch.part("coder"):
                    pulled = [
                        None if b in errors else s.pull(np.ascontiguousarray(index[b, :rows, :columns]).reshape(-1))
                        for b, (s, (rows, columns)) in enumerate(zip(streams, step.counts, strict=False))
                    ]
                    received = _all(pulled, errors)
                    kinds = [found.dtype for found in received if found is not None]
                    symbols = np.zeros(index.shape, np.result_type(np.int8, *kinds))
                    for b, found in enumerate(received):
                        rows, columns = step.counts[b]
                        if found is not None:
                            symbols[b, :rows, :columns] = found.reshape(rows, columns, index.shape[-1])
                with watch.part("transfer"):
                    step.fill(jax.device_put(symbols))
            with watch.part("coder"):
                _all([None if b in errors else s.finish() for b, s in enumerate(streams)], errors)
        finally:
            for stream in streams:
                stream.forget()
        with watch.part("synthesis"):
            qualities = [item.quality_q4 / QUALITY_STEPS for item in items]
            pixels = self._windows.synthesize(latents.values, qualities, [item.what.size for item in items])
        with watch.part("transfer"):
            values_q4 = _values_q4(latents, items, values)
        seconds = {part: whole / len(items) for part, whole in watch.seconds.items()}
        results: list[DecodeResult | JaxicmError] = []
        for b, item in enumerate(items):
            image = shown(pixels[b], item.what.header)
            results.append(errors[b] if b in errors else DecodeResult(image, seconds, values_q4[b]))
        return results

    def _encode(self, items: list[_Item], values: bool) -> list[EncodeResult | JaxicmError]:
        watch = Stopwatch()
        latents = self._begin(items)
        with watch.part("analysis"):
            qualities = [item.quality_q4 / QUALITY_STEPS for item in items]
            pictures = [item.what.pixels for item in items]
            y = self._windows.analyze(pictures, qualities, (self._room(items[0].bucket), *items[0].bucket))
            y.block_until_ready()
        with watch.part("network"):
            parts, steps = latents.parts(y), []
            for step in latents:
                steps.append((step.index, step.quantize(parts, SYMBOL_LIMIT), step.counts))
            jax.block_until_ready(steps[-1][1])
        with watch.part("transfer"):
            fetched = [(np.asarray(index), np.asarray(symbols), counts) for index, symbols, counts in steps]
            values_q4 = _values_q4(latents, items, values)
        with watch.part("coder"):
            coded = []
            for b in range(len(items)):
                of_picture = []
                for index, symbols, counts in fetched:
                    cut = (b, slice(counts[b][0]), slice(counts[b][1]))
                    of_picture.append((symbols[cut].reshape(-1), index[cut].reshape(-1)))
                coded.append(self._coders.stream().encode(of_picture))
            found = [future.result() for future in coded]
        seconds = {part: whole / len(items) for part, whole in watch.seconds.items()}
        results: list[EncodeResult | JaxicmError] = []
        for item, (payload, bits), seen in zip(items, found, values_q4, strict=True):
            data = item.what.pack(payload, self._parts.weights, item.quality_q4, self._parts.viewer)
            results.append(EncodeResult(data, item.quality_q4 / QUALITY_STEPS, None, seconds, bits, seen))
        return results


def _values_q4(latents: BatchLatents, items: list[_Item], wanted: bool) -> list[np.ndarray]:
    """Fetch the decoded values of each picture, or of none."""
    if not wanted:
        return [NO_VALUES] * len(items)
    values = np.asarray(latents.values_q4)
    return [values[b, : item.rows, : item.columns] for b, item in enumerate(items)]


def _all(futures: "Sequence[Future[T] | None]", errors: dict[int, JaxicmError]) -> list[T | None]:
    """Wait for all; return their results, None for those that are None or fail, whose errors are noted."""
    results: list[T | None] = []
    for number, future in enumerate(futures):
        try:
            results.append(None if future is None else future.result())
        except JaxicmError as error:
            errors[number] = error
            results.append(None)
    return results
