"""Samples to bytes and back under the pixel model, for any number of channels.

Channels come in groups: three that are coded together as a colour picture, or single ones. The payload: a byte, of the
colour transform of the groups of three (bits 0 and 1), whether rows and columns are reversed (bits 2 and 3), what the
first group was converted from (bits 4 and 5, see `codecs.origin`) and whether the model is changed for it (bit 7); a
byte of the depth that the networks are told (bits 0 to 4) and the way in which the chroma of the first group was
enlarged (bits 5 and 6); the maps of the values (see `codecs.value_map`; a byte 0 where a channel
has none, else 1, their length as a varint and their bytes); for each channel the lowest value after the transform
(zigzag varint) and the number of values less one (varint); the exceptions of the conversion, if there is one (their
length as a varint and their bytes); the bytes of the changes (see `entropy.pixel_update`), if there are any; then one
stream of all groups, the changes first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxicm.bits.intervals import IntervalDecoder, IntervalEncoder
from jaxicm.bits.mixture import Mixture, pull_symbols, push_symbols
from jaxicm.bits.uniform import Uniform
from jaxicm.bits.varint import read_uvarint, unzigzag, write_uvarint, zigzag
from jaxicm.codecs.origin import CONVERSIONS, SHORTEST, convert, find_origin, mirror
from jaxicm.codecs.value_map import ValueMap, find_map
from jaxicm.entropy.masked_coder import MaskedCoder, MaskedStep
from jaxicm.entropy.pixel_coder import PixelCoder, PixelStep
from jaxicm.entropy.pixel_frozen import FrozenPixels
from jaxicm.entropy.pixel_update import Update, head_size, pull_update, push_update
from jaxicm.errors import CorruptFile, ExactnessError, TruncatedFile
from jaxicm.models.lossless_frozen import FrozenModel
from jaxicm.ops.chroma import ENLARGINGS
from jaxicm.ops.colour import COLOURS, forward, inverse
from jaxicm.stopwatch import Stopwatch

Groups = Sequence[tuple[int, ...]]
DEPTH_MIN, DEPTH_MAX = 8, 16
_COLOUR, _FLIPS, _ORIGIN, UPDATED = 3, (4, 8), 4, 128
"""Mask of the colour transform, flags of the reversed axes, shift of the origin, flag of the changes."""
CONVERTED = 3 << _ORIGIN
_UNUSED = 0xFF & ~(_COLOUR | sum(_FLIPS) | CONVERTED | UPDATED)
_ENLARGING, _DEPTH = 5, 31
"""In the second byte: shift of the enlarging, mask of the depth."""


@dataclass(frozen=True)
class Prepared:
    """Samples as the model codes them.

    Attributes:
      head: what the payload begins with.
      depth: bits of a sample of the first channel.
      colour: transform of the groups of three; None where the first one was converted.
      enlarging: the way in which the chroma of the first group was enlarged, from 1; 0 is none.
      parts: int32 `[H, W, C]` of each group.
      exceptions: list of the exceptions of the conversion, with its length; empty without one.
    """

    head: bytes
    depth: int
    colour: str | None
    enlarging: int
    parts: list[np.ndarray]
    exceptions: bytes

    @property
    def origin(self) -> str | None:
        """Name of the format that the first group was converted from."""
        number = (self.head[0] & CONVERTED) >> _ORIGIN
        return CONVERSIONS[number - 1].name if number else None

    @property
    def bounds(self) -> list[list[tuple[int, int]]]:
        """Lowest and highest value of each channel of each group."""
        return [[(int(p[..., c].min()), int(p[..., c].max())) for c in range(p.shape[2])] for p in self.parts]


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

    def prepare(self, samples: np.ndarray, groups: Groups, *, keep_rgb: bool = False) -> Prepared:
        """Transform samples.

        Args:
          samples: uint8 or uint16 `[H, W, C]`.
          groups: of channels, each in one group; of one or three.
          keep_rgb: do not look for a conversion that gave the first group its colours.
        """
        origin, wanted = None, isinstance(self._model, FrozenPixels) and not keep_rgb
        if wanted and samples.dtype == np.uint8 and len(groups[0]) == len("rgb"):
            origin = find_origin(samples[..., list(groups[0])])
        first, enlarging = COLOURS.index(self._colour), 0
        if origin:
            first |= origin.number << _ORIGIN | sum(f for f, on in zip(_FLIPS, origin.mirrored, strict=True) if on)
            enlarging = origin.enlarging
        maps: list[ValueMap | None] = []
        values = np.empty(samples.shape, np.int32)
        for c in range(samples.shape[2]):
            maps.append(None if origin and c in groups[0] else find_map(samples[..., c]))
            found = maps[-1]
            values[..., c] = samples[..., c] if found is None else found.forward(samples[..., c])
        depth = max(DEPTH_MIN, int(values.max()).bit_length())
        head = bytearray([first, depth | enlarging << _ENLARGING])
        for found in maps:
            head += b"\0" if found is None else b"\1" + _with_length(found.to_bytes())
        parts = []
        for group in groups:
            part = values[..., list(group)]
            if origin and not parts:
                # The model codes the half of chroma at the places of the coarser grid, where it looks for it.
                part = origin.ycc.copy()
                if origin.half is not None:
                    part[1::2, 1::2, 1:] = np.moveaxis(origin.half, 0, -1)
            elif len(group) == len("rgb"):
                part = mirror(forward(part, self._colour, np), _mirrored(first))
            else:
                part = mirror(part, _mirrored(first))
            parts.append(np.ascontiguousarray(part))
        exceptions = _with_length(origin.exceptions) if origin else b""
        return Prepared(bytes(head), depth, None if origin else self._colour, enlarging, parts, exceptions)

    def encode(self, prepared: Prepared, watch: Stopwatch, update: Update | None = None) -> CodedPlanes:
        """Code samples.

        Args:
          prepared: of `prepare`.
          watch: takes the seconds of "entropy" (networks) and "coder".
          update: of the model, for the first group.

        Returns:
          The payload.
        """
        head, bounds = bytearray(prepared.head), prepared.bounds
        for low, high in (pair for part in bounds for pair in part):
            head += write_uvarint(zigzag(low)) + write_uvarint(high - low)
        head += prepared.exceptions
        encoder, model, colour, enlarging = IntervalEncoder(), self._model, prepared.colour, prepared.enlarging
        if update:
            assert isinstance(model, FrozenPixels)
            head[0] |= UPDATED
            head += push_update(encoder, update)
            model = model.updated(update)
        for part, limits in zip(prepared.parts, bounds, strict=True):
            coder = _coder(model, part.shape[0], part.shape[1], limits, prepared.depth, colour, enlarging)
            model, colour, enlarging = self._model, self._colour, 0
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
        head = _read_head(data, groups, dtype)
        position, model, decoder = head.size, self._model, None
        if head.first & (UPDATED | CONVERTED) and not isinstance(model, FrozenPixels):
            raise CorruptFile("the file needs another kind of model; get an intact copy of the file")
        if head.first & UPDATED:
            assert isinstance(model, FrozenPixels)
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
        transform = COLOURS[head.first & _COLOUR]
        colour, enlarging = None if head.first & CONVERTED else transform, head.enlarging
        if enlarging and (height % 2 or width % 2 or min(height, width) < SHORTEST):
            raise CorruptFile("the head of the samples is damaged; get an intact copy of the file")
        for index, (group, limits) in enumerate(zip(groups, head.bounds, strict=True)):
            coder = _coder(model, height, width, limits, head.depth, colour, enlarging)
            model, colour, enlarging = self._model, transform, 0
            count = coder.coarsest[0] * coder.coarsest[1]
            coarsest = [decoder.pull(Uniform(count, *limit)).reshape(coder.coarsest) for limit in limits]
            coder.start(np.stack(coarsest, axis=-1))
            for step, mixture in _steps(coder, watch):
                with watch.part("coder"):
                    symbols = pull_symbols(decoder, mixture)
                with watch.part("entropy"):
                    step.fill(symbols)
            part = mirror(coder.samples, _mirrored(head.first))
            if len(group) == len("rgb"):
                if head.first & CONVERTED and not index:
                    part = convert((head.first & CONVERTED) >> _ORIGIN, part, head.exceptions)
                else:
                    part = inverse(part, transform, np)
            values[..., list(group)] = part
        with watch.part("coder"):
            decoder.finish()
            most = np.iinfo(dtype).max
            out = np.empty(values.shape, dtype)
            for c, found in enumerate(head.maps):
                plane = values[..., c]
                limit = most if found is None else len(found) - 1
                if plane.min() < 0 or plane.max() > limit:
                    raise CorruptFile("a decoded sample is out of range; get an intact copy of the file")
                out[..., c] = plane if found is None else found.inverse(plane)
        return out


def _coder(
    model: FrozenModel,
    height: int,
    width: int,
    limits: Sequence[tuple[int, int]],
    depth: int,
    colour: str | None,
    enlarging: int,
) -> PixelCoder | MaskedCoder:
    low, high = zip(*limits, strict=True)
    if isinstance(model, FrozenPixels):
        enlarge = ENLARGINGS[enlarging - 1].enlarge if enlarging else None
        return model.coder(height, width, low, high, depth, colour, enlarge)
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


@dataclass(frozen=True)
class _Head:
    """What stands before the changes and the stream; `size` is where it ends."""

    first: int
    depth: int
    enlarging: int
    maps: list[ValueMap | None]
    bounds: list[list[tuple[int, int]]]
    exceptions: memoryview
    size: int


def _read_head(data: memoryview, groups: Groups, dtype: type) -> _Head:
    damaged = CorruptFile("the head of the samples is damaged; get an intact copy of the file")
    if len(data) < 2 or data[0] & _UNUSED or data[0] & _COLOUR >= len(COLOURS):
        raise damaged
    converted = (data[0] & CONVERTED) >> _ORIGIN
    if converted > len(CONVERSIONS) or (converted and (len(groups[0]) != len("rgb") or dtype != np.uint8)):
        raise damaged
    depth, enlarging = data[1] & _DEPTH, data[1] >> _ENLARGING
    if not DEPTH_MIN <= depth <= DEPTH_MAX or enlarging > (len(ENLARGINGS) if converted else 0):
        raise damaged
    maps: list[ValueMap | None] = []
    position = 2
    for _ in range(sum(map(len, groups))):
        if position >= len(data) or data[position] > 1:
            raise damaged
        mapped, position = data[position], position + 1
        if mapped:
            found, position = _read_with_length(data, position, "length of a map")
            maps.append(ValueMap.from_bytes(bytes(found)))
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
            limits.append((unzigzag(low), unzigzag(low) + count))
        bounds.append(limits)
    exceptions = data[:0]
    if converted:
        exceptions, position = _read_with_length(data, position, "length of the exceptions")
    return _Head(data[0], depth, enlarging, maps, bounds, exceptions, position)


def _with_length(data: bytes) -> bytes:
    return write_uvarint(len(data)) + data


def _read_with_length(data: memoryview, position: int, name: str) -> tuple[memoryview, int]:
    length, position = read_uvarint(data, position, name)
    if position + length > len(data):
        raise TruncatedFile("the file ends inside the head of the samples; get a complete copy of it")
    return data[position : position + length], position + length


def _mirrored(first: int) -> tuple[bool, bool]:
    """Return which axes the first byte says are reversed."""
    return bool(first & _FLIPS[0]), bool(first & _FLIPS[1])
