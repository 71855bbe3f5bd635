"""Channels that use few of the values in their range: the used values are numbered, and their set goes into the file.

Sixteen-bit pictures made of 8, 10 or 12 bits, stretched contrast and gamma curves leave gaps in the histogram. Numbered
from 0, neighbouring values are neighbours again, and a model does not pay for values that cannot occur.

A set is written as a byte that says how (bit 7: of 16 bits), followed by
    0  progression   varints: first, step, count - 1
    1  differences   varint count - 1, then zlib of the varints of the first value and the differences - 1
    2  bitmap        varints first and last - first, then zlib of a bit for each value between them, the lowest first
"""

import zlib
from dataclasses import dataclass

import numpy as np

from jaxicm.bits.varint import read_uvarint, write_uvarint
from jaxicm.errors import CorruptFile

_PROGRESSION, _DIFFERENCES, _BITMAP = range(3)
_SIXTEEN_BITS = 128
_SAMPLED = 1 << 18
"""Samples from which the gain is estimated."""
_NARROW_GAIN_BITS = 0.05
"""Bits a sample that 8-bit numbers of 16-bit samples gain at least."""


@dataclass(frozen=True, eq=False)
class ValueMap:
    """Number the used values of a channel.

    Attributes:
      values: uint8 or uint16 `[n]`, rising; their type is that of the channel.
    """

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def forward(self, channel: np.ndarray) -> np.ndarray:
        """Replace each sample, all of which are among the values, by its number: uint8 up to 256 values, or uint16."""
        table = np.zeros(1 << 8 * self.values.itemsize, np.uint8 if len(self.values) <= 256 else np.uint16)
        table[self.values] = np.arange(len(self.values))
        return table[channel]

    def inverse(self, numbers: np.ndarray) -> np.ndarray:
        """Undo `forward`.

        Raises:
          CorruptFile: if a number is too large.
        """
        if numbers.size and int(numbers.max()) >= len(self.values):
            raise CorruptFile(
                f"found value number {int(numbers.max())} of {len(self.values)}; get an intact copy of the file"
            )
        return self.values[numbers]

    def to_bytes(self) -> bytes:
        """Write the set in the smallest of the three ways."""
        values = self.values.astype(np.int64)
        first, steps = int(values[0]), np.diff(values)
        wide = _SIXTEEN_BITS if self.values.itemsize == 2 else 0
        count = write_uvarint(len(values) - 1)
        if not len(steps) or (steps == steps[0]).all():
            step = int(steps[0]) if len(steps) else 1
            return bytes([_PROGRESSION | wide]) + write_uvarint(first) + write_uvarint(step) + count
        differences = b"".join(write_uvarint(int(value)) for value in [first, *(steps - 1)])
        span = int(values[-1]) - first
        used = np.zeros(span + 1, bool)
        used[values - first] = True
        bitmap = np.packbits(used, bitorder="little").tobytes()
        return min(
            bytes([_DIFFERENCES | wide]) + count + zlib.compress(differences, 9),
            bytes([_BITMAP | wide]) + write_uvarint(first) + write_uvarint(span) + zlib.compress(bitmap, 9),
            key=len,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "ValueMap":
        """Read a set; inverse of `to_bytes`.

        Raises:
          FileFormatError: if the bytes are not those of a set.
        """
        if not data or data[0] & ~_SIXTEEN_BITS not in (_PROGRESSION, _DIFFERENCES, _BITMAP):
            raise CorruptFile(f"a set of values begins with {data[:1].hex() or 'nothing'}; get an intact copy")
        dtype = np.uint16 if data[0] & _SIXTEEN_BITS else np.uint8
        limit = int(np.iinfo(dtype).max)
        a, position = read_uvarint(data, 1, "values")
        match data[0] & ~_SIXTEEN_BITS:
            case 0:
                step, position = read_uvarint(data, position, "step")
                count, position = read_uvarint(data, position, "count")
                _require(position == len(data) and step >= 1 and a + step * count <= limit, "a progression of values")
                values = a + step * np.arange(count + 1)
            case 1:
                _require(a <= limit, "the count of values")
                # A difference takes up to three bytes.
                values = _accumulate(_expand(data[position:], 3 * (a + 1)), a + 1)
            case _:
                span, position = read_uvarint(data, position, "values")
                _require(a + span <= limit, "the range of values")
                bits = np.frombuffer(_expand(data[position:], span // 8 + 1), np.uint8)
                _require(len(bits) == span // 8 + 1, "the bitmap of values")
                used = np.unpackbits(bits, bitorder="little")
                _require(bool(used[0] and used[span]) and not used[span + 1 :].any(), "the bitmap of values")
                values = a + np.flatnonzero(used)
        _require(int(values[-1]) <= limit, "a value")
        return cls(values.astype(dtype))


def find_map(channel: np.ndarray) -> ValueMap | None:
    """Number the values of a channel where that saves more than the set of values costs.

    The gain is estimated from what the residuals of the MED predictor (JPEG-LS) lose in magnitude.

    Args:
      channel: uint8 or uint16 `[H, W]`, not empty.

    Returns:
      The numbering, or None where it would not pay or change nothing.
    """
    bins = 1 << 8 * channel.itemsize
    values = np.flatnonzero(np.bincount(channel.ravel(), minlength=bins))
    if len(values) == int(values[-1]) + 1:  # 0 to n - 1 already
        return None
    found = ValueMap(values.astype(channel.dtype))
    rows = max(2, _SAMPLED // channel.shape[1])
    start = max(0, (len(channel) - rows) // 2)
    sampled = channel[start : start + rows]
    gain_bits = (_cost_bits(sampled) - _cost_bits(found.forward(sampled))) / sampled.size
    if len(values) <= 256 < int(values[-1]) + 1:
        gain_bits = max(gain_bits, _NARROW_GAIN_BITS)
    return found if gain_bits * channel.size > 8 * len(found.to_bytes()) else None


def _cost_bits(channel: np.ndarray) -> float:
    """Estimate the code length of residuals d of the MED predictor as log2(1 + 2 |d|) each."""
    x = channel.astype(np.int32)
    if min(x.shape) > 1:
        left, above, corner = x[1:, :-1], x[:-1, 1:], x[:-1, :-1]
        low, high = np.minimum(left, above), np.maximum(left, above)
        predicted = np.where(corner >= high, low, np.where(corner <= low, high, left + above - corner))
        residuals = x[1:, 1:] - predicted
    else:
        residuals = np.diff(x.ravel())
    return float(np.log2(1 + 2 * np.abs(residuals)).sum())


def _accumulate(data: bytes, count: int) -> np.ndarray:
    """Read `count` varints: the first value and the differences - 1; return the values."""
    numbers, position = [], 0
    for _ in range(count):
        number, position = read_uvarint(data, position, "difference of values")
        numbers.append(number)
    _require(position == len(data), "the differences of values")
    return np.cumsum(np.array(numbers) + (np.arange(count) > 0))


def _expand(data: bytes, limit: int) -> bytes:
    """Expand zlib to at most `limit` bytes."""
    decoder = zlib.decompressobj()
    try:
        found = decoder.decompress(data, limit + 1)
    except zlib.error as error:
        raise CorruptFile(f"a set of values does not expand ({error}); get an intact copy of the file") from None
    _require(decoder.eof and not decoder.unused_data and len(found) <= limit, "a set of values")
    return found


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise CorruptFile(f"{what} is impossible; get an intact copy of the file")
