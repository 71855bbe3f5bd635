"""Mixtures of discretised logistics as integer cumulative counts, for :mod:`jaxicm.bits.intervals`.

A symbol x in [low, high] has K components with a mean, a scale and a weight each. With N = high - low + 1 and
y = x - low, its interval of the 2^20 slots is [C(y), C(y + 1)), where C(0) = 0, C(N) = 2^20 and in between

    C(y) = (sum_k w_k * F((16 x - 8 - mean_k) / (16 scale_k)) >> 42) + y

F is the table of :mod:`jaxicm.bits.logistic`; the integers w_k sum to 2^20 - N. The sum does not decrease with x, so
every symbol has at least one slot. What lies outside the bounds belongs to the first and the last symbol.

Wide ranges lose by that floor (65536 of 2^20 slots are 6 %), so they are coded in two stages: `coarse`, the bucket
x >> 8, with the same formula at the edges of the buckets, and `fine`, the symbol given its bucket: with S(y) the sum
above for weights of sum 2^20, and M = 2^20 - N for the N symbols of the bucket within the bounds,

    C(y) = ((S(y) - S(0) >> 20) * M // (S(N) - S(0) >> 20)) + y

and a uniform distribution, y * M // N + y, where the divisor is 0.

No overflow: all is int64. With |x| < 2^25, |mean| < 2^31 and inverse scales of at most 2^28, the argument is below
2^61. Where the slope is not 0 it is in [0, 2^32), and slope * argument + intercept is in [0, 2^42]; elsewhere it is 0
or 2^42. The weights sum to at most 2^20, so sums are in [0, 2^62], and 2^42 * M is at most 2^62.

Source of the distribution: T. Salimans, A. Karpathy, X. Chen, D. P. Kingma, "PixelCNN++: Improving the PixelCNN with
discretized logistic mixture likelihood and other modifications", arXiv:1701.05517.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .cumulative import PRECISION, TOTAL, FinePart, Part
from .intervals import IntervalDecoder, IntervalEncoder
from .logistic import ARGUMENT_OFFSET, SCALE_COUNT, WEIGHT_COUNT, inverse_scale_table, weight_table

MEAN_BITS = 4
"""Bits of a mean below the sample: means are in sixteenths."""
BUCKET_BITS = 8
MAX_RANGE = 1 << 17
"""Most symbols between the bounds."""
MAX_BOUND = 1 << 24
WIDE = 1 << 12
"""Above so many symbols `is_wide` asks for two stages: the floor of one costs 0.4 % there."""
_RECIPROCAL_BITS = 24
_CHUNK = 1 << 12  # components handled at once, so that the temporary arrays stay in the cache


class Distributions:
    """What the stages of coding a mixture have in common; `interval` serves the encoder, `part` the decoder.

    Attributes:
      mixture: the components.
      first: integers [n], the lowest symbol of each distribution.
      count: int32 [n], number of symbols N of each distribution.
    """

    mixture: "Mixture"
    first: np.ndarray
    count: np.ndarray
    _shift = 0  # bits of a symbol that are not coded here

    def __len__(self) -> int:
        return len(self.count)

    def interval(self, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the slots of symbols.

        Args:
          symbols: integers [n], within the bounds.

        Returns:
          The first slot and the number of slots (1 to 2^20) of each symbol, uint32 [n].

        Raises:
          ValueError: if a symbol is outside its bounds or the shape differs.
        """
        symbols = np.asarray(symbols)
        if symbols.shape != (len(self),) or symbols.dtype.kind not in "iu":
            raise ValueError(f"expected {len(self)} integer symbols, got {symbols.dtype} {symbols.shape}")
        entry = np.subtract(symbols, self.first, dtype=np.int64)
        if np.any((entry < 0) | (entry >= self.count)):
            raise ValueError("a symbol lies outside the bounds of its distribution")
        start, frequency = np.empty(len(self), np.uint32), np.empty(len(self), np.uint32)
        for piece, part in self._pieces():
            y = entry[None, piece]
            below = part.cumulative(y)[0]
            start[piece], frequency[piece] = below, part.cumulative(y + 1)[0] - below
        return start, frequency

    def cost_bits(self, symbols: np.ndarray) -> float:
        """Return the ideal code length of symbols [n]: the sum of log2(2^20 / frequency)."""
        return float((PRECISION - np.log2(self.interval(symbols)[1])).sum())

    def part(self, start: int, stop: int, rows: int = 1) -> Part:
        """Prepare the distributions of the symbols from start to stop, as rows of equal length."""
        count = self._laid_out(self.count, start, stop, rows)
        return Part(*self._arguments(start, stop, rows, TOTAL - count), count)

    def _pieces(self) -> Iterator[tuple[slice, Part]]:
        """Yield the distributions in pieces that fit the cache."""
        size = max(1, _CHUNK // len(self.mixture.mean))
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield slice(start, stop), self.part(start, stop)

    def _arguments(
        self, start: int, stop: int, rows: int, total: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return step, base and weights of sum `total` as `Part` takes them."""
        mean, scale, weight = (
            array[:, start:stop].reshape(len(array), rows, -1).transpose(1, 0, 2)
            for array in (self.mixture.mean, self.mixture.scale, self.mixture.weight)
        )
        first = self._laid_out(self.first, start, stop, rows)[:, None] << (MEAN_BITS + self._shift)
        inverse, w = inverse_scale_table().take(scale), weight_table().take(weight)
        base = np.subtract(mean, first - (1 << (MEAN_BITS - 1)), dtype=np.int64, order="C")
        base *= inverse
        base -= ARGUMENT_OFFSET
        inverse <<= MEAN_BITS + self._shift
        # One division a symbol instead of one a component.
        w *= ((total << _RECIPROCAL_BITS) // w.sum(1))[:, None]
        w >>= _RECIPROCAL_BITS
        w[:, 0] += total - w.sum(1)
        return inverse, base, w

    @staticmethod
    def _laid_out(array: np.ndarray, start: int, stop: int, rows: int) -> np.ndarray:
        return array[start:stop].reshape(rows, -1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Mixture(Distributions):
    """Hold the distributions of n symbols, K components each.

    Attributes:
      mean: int32 [K, n], in sixteenths of a sample.
      scale: integers [K, n], 0 to 167; scale(i) = 2^(i/8 - 5) samples.
      weight: integers [K, n], 0 to 96; weight(i) = round(2^(i/8)), relative to the sum over K.
      low, high: int32 [n], inclusive bounds of each symbol, at most 2^17 symbols apart and within +-2^24.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __post_init__(self) -> None:
        for name in ("mean", "scale", "weight", "low", "high"):
            array = np.asarray(getattr(self, name))
            if array.dtype.kind not in "iu":
                raise ValueError(f"mixture: '{name}' must hold integers, got {array.dtype}")
            object.__setattr__(self, name, array)
        shape = self.mean.shape
        if len(shape) != 2 or not 1 <= shape[0] <= 16:
            raise ValueError(f"mixture: 'mean' must be [K, n] with 1 to 16 components, got {shape}")
        for name, expected in (("scale", shape), ("weight", shape), ("low", shape[1:]), ("high", shape[1:])):
            if getattr(self, name).shape != expected:
                raise ValueError(f"mixture: '{name}' must have shape {expected}, got {getattr(self, name).shape}")
        if not shape[1]:
            return
        limits = (
            ("mean", -(1 << 31), (1 << 31) - 1), ("scale", 0, SCALE_COUNT - 1), ("weight", 0, WEIGHT_COUNT - 1),
            ("low", -MAX_BOUND, MAX_BOUND), ("high", -MAX_BOUND, MAX_BOUND),
        )  # fmt: skip
        for name, least, most in limits:
            found = int(getattr(self, name).min()), int(getattr(self, name).max())
            if found[0] < least or found[1] > most:
                raise ValueError(f"mixture: '{name}' must be in [{least}, {most}], got {found[0]} to {found[1]}")
        if self.count.min() < 1 or self.count.max() > MAX_RANGE:
            raise ValueError(f"mixture: the bounds must hold 1 to {MAX_RANGE} symbols, got {self.count.min()} to "
                             f"{self.count.max()}")  # fmt: skip

    @property
    def mixture(self) -> "Mixture":  # pyright: ignore[reportIncompatibleVariableOverride]
        """Itself."""
        return self

    @property
    def first(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The lower bounds."""
        return self.low

    @cached_property
    def count(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of symbols N of each distribution, int32 [n]."""
        return np.subtract(self.high, self.low, dtype=np.int32) + np.int32(1)

    @property
    def is_wide(self) -> bool:
        """Whether a range is so wide that `coarse` and `fine` should code the symbols."""
        return len(self) > 0 and int(self.count.max()) > WIDE

    def coarse(self) -> "Coarse":
        """Return the distributions of the buckets x >> 8."""
        return Coarse(self)

    def fine(self, bucket: np.ndarray) -> "Fine":
        """Return the distributions of the symbols x given their buckets x >> 8, int32 [n]."""
        return Fine(self, bucket)


class Coarse(Distributions):
    """Distributions of the buckets x >> 8 of the symbols x of a mixture."""

    _shift = BUCKET_BITS

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.first = mixture.low >> BUCKET_BITS
        self.count = (mixture.high >> BUCKET_BITS) - self.first + 1


class Fine(Distributions):
    """Distributions of the symbols of a mixture given their buckets; the symbols are whole, not the low bits alone."""

    def __init__(self, mixture: Mixture, bucket: np.ndarray) -> None:
        """Cut the buckets at the bounds.

        Raises:
          ValueError: if a bucket is outside the bounds.
        """
        low = np.asarray(bucket) << BUCKET_BITS
        self.mixture = mixture
        self.first = np.maximum(low, mixture.low)
        self.count = np.minimum(low + ((1 << BUCKET_BITS) - 1), mixture.high) - self.first + 1
        if self.first.shape != mixture.low.shape or np.any(self.count < 1):
            raise ValueError("a bucket lies outside the bounds of its symbol")

    def part(self, start: int, stop: int, rows: int = 1) -> Part:
        count = self._laid_out(self.count, start, stop, rows)
        low, high, first = (
            self._laid_out(array, start, stop, rows) for array in (self.mixture.low, self.mixture.high, self.first)
        )
        arguments = self._arguments(start, stop, rows, np.full(count.shape, TOTAL, np.int64))
        return FinePart(*arguments, count, first == low, first + count > high)


def push_symbols(encoder: IntervalEncoder, mixture: Mixture, symbols: np.ndarray) -> None:
    """Add symbols to a message, in two stages if a range is wide.

    Args:
      encoder: of the message.
      mixture: the distributions.
      symbols: integers [n], within the bounds.

    Raises:
      ValueError: if a symbol is outside its bounds or the shape differs.
    """
    if not mixture.is_wide:
        encoder.push(*mixture.interval(symbols))
        return
    bucket = np.asarray(symbols) >> BUCKET_BITS
    encoder.push(*mixture.coarse().interval(bucket))
    encoder.push(*mixture.fine(bucket).interval(symbols))


def pull_symbols(decoder: IntervalDecoder, mixture: Mixture) -> np.ndarray:
    """Decode what `push_symbols` added.

    Args:
      decoder: of the message.
      mixture: the distributions.

    Returns:
      int32 [n].

    Raises:
      CorruptFile: if the stream ends too early.
    """
    if not mixture.is_wide:
        return decoder.pull(mixture)
    return decoder.pull(mixture.fine(decoder.pull(mixture.coarse())))
