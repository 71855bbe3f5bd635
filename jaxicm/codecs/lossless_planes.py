"""Samples to bytes and back under the pixel model, for any number of channels.

Channels come in groups: three that are coded together as a colour picture, or single ones. The payload: a byte of the
colour transform of the groups of three, and as bit 7 whether the model is changed for the first group; a byte of the
depth that the networks are told; the maps of the values (see `codecs.value_map`; a byte 0 where a channel has none,
else 1, their length as a varint and their bytes); for each channel the lowest value after the transform (zigzag varint)
and the number of values less one (varint); the bytes of the changes (see `entropy.pixel_update`), if there are any;
then one stream of all groups, the changes first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxicm.bits.intervals import IntervalDecoder, IntervalEncoder
from jaxicm.bits.mixture import Mixture, pull_symbols, push_symbols
from jaxicm.bits.uniform import Uniform
from jaxicm.bits.varint import read_uvarint, write_uvarint
from jaxicm.codecs.value_map import ValueMap, find_map
from jaxicm.entropy.masked_coder import MaskedCoder, MaskedStep
from jaxicm.entropy.pixel_coder import PixelCoder, PixelStep
from jaxicm.entropy.pixel_frozen import FrozenPixels
from jaxicm.entropy.pixel_update import Update, head_size, pull_update, push_update
from jaxicm.errors import CorruptFile, ExactnessError, TruncatedFile
from jaxicm.models.lossless_frozen import FrozenModel
from jaxicm.ops.colour import COLOURS, forward, inverse
from jaxicm.stopwatch import Stopwatch

Groups = Sequence[tuple[int, ...]]
DEPTH_MIN, DEPTH_MAX = 8, 16
UPDATED = 128


@dataclass(frozen=True)
class CodedPlanes:
    """A payload and its ideal code length in bits."""

    payload: bytes
    ideal_bits: float


class PlaneCodec:
    """Code arrays of samples with one frozen model.

    Args:
      model: integers of the probability model.
      colour: reversible transform of groups of three, a name of `COLOURS`.
    """

    def __init__(self, model: FrozenModel, colour: str):
        self._model, self._colour = model, colour

    def encode(
        self, samples: np.ndarray, groups: Groups, watch: Stopwatch, update: Update | None = None
    ) -> CodedPlanes:
        """Code samples.

        Args:
          samples: uint8 or uint16 `[H, W, C]`.
          groups: of channels, each in one group; of one or three.
          watch: takes the seconds of "entropy" (networks) and "coder".
          update: of the model, for the first group.

        Returns:
          The payload.
        """
        height, width, channels = samples.shape
        with watch.part("coder"):
            maps = [find_map(samples[..., c]) for c in range(channels)]
            values = np.empty(samples.shape, np.int32)
            for c, found in enumerate(maps):
                values[..., c] = samples[..., c] if found is None else found.forward(samples[..., c])
            depth = max(DEPTH_MIN, int(values.max()).bit_length())
            head = bytearray([COLOURS.index(self._colour) | (UPDATED if update else 0), depth])
            for found in maps:
                head += b"\0" if found is None else b"\1" + _with_length(found.to_bytes())
            parts = []
            for group in groups:
                part = np.ascontiguousarray(values[..., list(group)])
                parts.append(forward(part, self._colour, np) if len(group) == len("rgb") else part)
            bounds = [[(int(p[..., c].min()), int(p[..., c].max())) for c in range(p.shape[2])] for p in parts]
            for low, high in (pair for part in bounds for pair in part):
                head += write_uvarint(_zigzag(low)) + write_uvarint(high - low)
        encoder, model = IntervalEncoder(), self._model
        if update:
            assert isinstance(model, FrozenPixels)
            head += push_update(encoder, update)
            model = model.updated(update)
        for part, limits in zip(parts, bounds, strict=True):
            low, high = zip(*limits, strict=True)
            coder, model = _coder(model, height, width, low, high, depth, self._colour), self._model
            coarsest = coder.select_coarsest(part)
            for c, limit in enumerate(limits):
                symbols = coarsest[..., c].reshape(-1)
                encoder.push(*Uniform(symbols.size, *limit).interval(symbols))
            coder.start(coarsest)
            for step, mixture in _steps(coder, watch):
                with watch.part("coder"):
                    symbols = step.select(part)
                    push_symbols(encoder, mixture, symbols)
                with watch.part("entropy"):
                    step.fill(symbols)
        with watch.part("coder"):
            return CodedPlanes(bytes(head) + encoder.finish(), float(encoder.size_bits))

    def decode(
        self, payload: bytes | memoryview, height: int, width: int, groups: Groups, dtype: type, watch: Stopwatch
    ) -> np.ndarray:
        """Decode samples; inverse of `encode`.

        Args:
          payload: of `encode`, no byte more or less.
          height, width: of the picture.
          groups: as it was encoded.
          dtype: np.uint8 or np.uint16.
          watch: takes the seconds.

        Returns:
          The samples `[height, width, C]`.

        Raises:
          CorruptFile, TruncatedFile: if the payload is damaged.
        """
        data, channels = memoryview(payload), sum(map(len, groups))
        colour, depth, updated, maps, bounds, position = _read_head(data, groups)
        model, decoder = self._model, None
        if updated:
            if not isinstance(model, FrozenPixels):
                raise CorruptFile("the file changes a model that cannot be changed; get an intact copy of the file")
            start, position = position, position + head_size(model.config, len(groups[0]))
            if len(data) < position:
                raise TruncatedFile("the file ends inside the changes of the model; get a complete copy of it")
            decoder = IntervalDecoder(data[position:])
            update = pull_update(decoder, bytes(data[start:position]), model.config, len(groups[0]))
            try:
                model = model.updated(update)
            except ExactnessError as error:
                raise CorruptFile(f"the changes of the model are damaged ({error}); get an intact copy") from error
        decoder = decoder or IntervalDecoder(data[position:])
        values = np.empty((height, width, channels), np.int32)
        for group, limits in zip(groups, bounds, strict=True):
            low, high = zip(*limits, strict=True)
            coder, model = _coder(model, height, width, low, high, depth, colour), self._model
            count = coder.coarsest[0] * coder.coarsest[1]
            coarsest = [decoder.pull(Uniform(count, *limit)).reshape(coder.coarsest) for limit in limits]
            coder.start(np.stack(coarsest, axis=-1))
            for step, mixture in _steps(coder, watch):
                with watch.part("coder"):
                    symbols = pull_symbols(decoder, mixture)
                with watch.part("entropy"):
                    step.fill(symbols)
            part = coder.samples
            values[..., list(group)] = inverse(part, colour, np) if len(group) == len("rgb") else part
        with watch.part("coder"):
            decoder.finish()
            most = np.iinfo(dtype).max
            out = np.empty(values.shape, dtype)
            for c, found in enumerate(maps):
                plane = values[..., c]
                limit = most if found is None else len(found) - 1
                if plane.min() < 0 or plane.max() > limit:
                    raise CorruptFile("a decoded sample is out of range; get an intact copy of the file")
                out[..., c] = plane if found is None else found.inverse(plane)
        return out


def _coder(
    model: FrozenModel, height: int, width: int, low: Sequence[int], high: Sequence[int], depth: int, colour: str
) -> PixelCoder | MaskedCoder:
    if isinstance(model, FrozenPixels):
        return model.coder(height, width, low, high, depth, colour)
    return model.coder(height, width, low, high, depth)


def _steps(coder: PixelCoder | MaskedCoder, watch: Stopwatch) -> Iterator[tuple[PixelStep | MaskedStep, Mixture]]:
    """Yield each step with the distributions of its samples."""
    steps = iter(coder)
    while True:
        with watch.part("entropy"):
            step = next(steps, None)
            if step is None:
                return
            mixture = step.predict()
        yield step, mixture


def _read_head(
    data: memoryview, groups: Groups
) -> tuple[str, int, bool, list[ValueMap | None], list[list[tuple[int, int]]], int]:
    """Return colour transform, depth, whether the model changes, maps, bounds by group, and the position after them."""
    damaged = CorruptFile("the head of the samples is damaged; get an intact copy of the file")
    if len(data) < 2 or data[0] & ~UPDATED >= len(COLOURS) or not DEPTH_MIN <= data[1] <= DEPTH_MAX:
        raise damaged
    maps: list[ValueMap | None] = []
    position = 2
    for _ in range(sum(map(len, groups))):
        if position >= len(data) or data[position] > 1:
            raise damaged
        mapped, position = data[position], position + 1
        if mapped:
            length, position = read_uvarint(data, position, "length of a map")
            if position + length > len(data):
                raise damaged
            maps.append(ValueMap.from_bytes(bytes(data[position : position + length])))
            position += length
        else:
            maps.append(None)
    bounds = []
    for group in groups:
        limits = []
        for _ in group:
            low, position = read_uvarint(data, position, "lowest value")
            count, position = read_uvarint(data, position, "number of values")
            if low >= 1 << DEPTH_MAX + 2 or count >= 1 << DEPTH_MAX + 1:
                raise damaged
            limits.append((_unzigzag(low), _unzigzag(low) + count))
        bounds.append(limits)
    return COLOURS[data[0] & ~UPDATED], data[1], bool(data[0] & UPDATED), maps, bounds, position


def _with_length(data: bytes) -> bytes:
    return write_uvarint(len(data)) + data


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _unzigzag(value: int) -> int:
    return value >> 1 if value % 2 == 0 else -(value + 1 >> 1)
