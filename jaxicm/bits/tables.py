"""Integer probability tables for the entropy coder, made once and then stored with the weights.

A table gives each symbol a whole number of 4096 slots. Both sides must hold the very same integers, so tables are
never rebuilt from floating-point parameters when a file is decoded: two machines may differ in the last bit of an
`exp`, and one slot of difference destroys the rest of the stream. The last entry of each table is the escape, which
stands for every value outside it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import CorruptFile
from .escape import escape_bits

PRECISION = 12
"""Bits of a probability. Measured: 12 bits cost 26 bytes more than the true model for 10^6 symbols, 14 bits cost 9."""
TOTAL = 1 << PRECISION
MAX_TABLES = 1024
MAX_OFFSET = 1 << 29
"""Bound of |offset|; keeps symbol - offset from wrapping round to an entry of the table in 32 bits."""

ESCAPED = np.int32(-(1 << 31))
"""What `DecodingTable.value` holds for the escape; no entry of a table can have this value."""
FREQUENCY_BITS = 13
FREQUENCY_MASK = np.uint32((1 << FREQUENCY_BITS) - 1)
ESCAPE_FLAG = np.uint32(1 << 31)
_CHUNK = 1 << 14  # symbols looked up at once, so that temporary arrays stay in the cache


@dataclass(frozen=True, eq=False)
class Tables:
    """Hold T tables of at most L symbols and one escape each.

    Attributes:
      cdf: uint16 [T, L + 2]; entry i of table t has the slots cdf[t, i] to cdf[t, i + 1] - 1; 4096 after the last.
      size: int32 [T], number of entries including the escape, 1 to L + 1.
      offset: int32 [T], symbol value of entry 0.
    """

    cdf: np.ndarray
    size: np.ndarray
    offset: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in (("cdf", np.uint16), ("size", np.int32), ("offset", np.int32)):
            array = np.asarray(getattr(self, name))
            if array.dtype.kind not in "iu" or not np.array_equal(array, array.astype(dtype)):
                raise CorruptFile(f"probability tables: '{name}' must hold integers that fit {np.dtype(dtype)}")
            object.__setattr__(self, name, np.ascontiguousarray(array, dtype))
        self.validate()

    def __len__(self) -> int:
        return len(self.size)

    @property
    def _used(self) -> np.ndarray:
        """Which entries of "cdf" belong to a table, bool [T, L + 1]."""
        return np.arange(self.cdf.shape[1] - 1) < self.size[:, None]

    def validate(self) -> None:
        """Check that these are tables that the coder can use.

        Raises:
          CorruptFile: if a shape or range is wrong, a table does not fill its 4096 slots exactly, or an entry has none.
        """

        def require(condition: bool, what: str) -> None:
            if not condition:
                raise CorruptFile(f"probability tables: {what}; the weight file is damaged, get an intact copy of it")

        count = len(self.size) if self.size.ndim == 1 else 0
        require(1 <= count <= MAX_TABLES, f"found {count} tables, expected 1 to {MAX_TABLES}")
        require(self.cdf.ndim == 2 and len(self.cdf) == count, f"'cdf' has shape {self.cdf.shape} for {count} tables")
        require(self.offset.shape == (count,), f"'offset' has shape {self.offset.shape} for {count} tables")
        width = self.cdf.shape[1]
        require(bool(np.all((self.size >= 1) & (self.size < min(width, TOTAL + 1)))), "a size is out of range")
        require(bool(np.all(np.abs(self.offset.astype(np.int64)) <= MAX_OFFSET)), "an offset is out of range")
        step = np.diff(self.cdf.astype(np.int64), axis=1)
        used = self._used
        require(bool(np.all(self.cdf[:, 0] == 0)), "a table does not begin at 0")
        require(bool(np.all(self.cdf[:, -1] == TOTAL)), f"a table does not sum to {TOTAL}")
        require(bool(np.all(np.where(used, step > 0, step == 0))), "an entry is empty or negative")

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays to store in a weight file, the used entries of "cdf" one table after the other."""
        return {"cdf": self.cdf[:, :-1][self._used], "size": self.size, "offset": self.offset}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Tables":
        """Make tables from stored arrays, those of older weight files too ("cdf" in two dimensions).

        Raises:
          CorruptFile: if an array is missing or the tables are not valid.
        """
        missing = sorted({"cdf", "size", "offset"} - set(arrays))
        if missing:
            raise CorruptFile(f"probability tables: {', '.join(missing)} missing; the weight file is damaged")
        cdf, size = arrays["cdf"], arrays["size"]
        if cdf.ndim == 1:
            if size.ndim != 1 or size.min(initial=1) < 1 or size.astype(np.int64).sum() != len(cdf):
                raise CorruptFile("probability tables: 'cdf' and 'size' do not agree; the weight file is damaged")
            rows = np.full((len(size), int(size.max(initial=0)) + 1), TOTAL, cdf.dtype)
            rows[np.arange(rows.shape[1]) < size[:, None]] = cdf
            cdf = rows
        return cls(cdf, size, arrays["offset"])

    def cost_bits(self, symbols: np.ndarray, indices: np.ndarray) -> float:
        """Return the ideal code length of symbols, with their escape codes.

        Args:
          symbols: integers [n], any int32.
          indices: integers [n], table of each symbol, 0 to T - 1.

        Returns:
          Sum of log2(4096 / frequency), plus the escape bits.
        """
        return float(self.costs(symbols, indices).sum())

    def costs(self, symbols: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Return the ideal code length of each symbol, float64 [n]; arguments as `cost_bits`."""
        packed = self.pack(symbols, indices)
        bits = frequency_cost_bits.take(packed & FREQUENCY_MASK)
        if packed.size and packed.max() >= ESCAPE_FLAG:
            bits[packed >= ESCAPE_FLAG] += escape_bits(self.escapes(packed, symbols, indices)[1])
        return bits

    def pack(self, symbols: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Look up the slots of symbols.

        Args:
          symbols: integers [n], any int32.
          indices: integers [n], 0 to T - 1.

        Returns:
          uint32 [n]: frequency in bits 0 to 12, first slot in bits 13 to 24, bit 31 set for an escape.

        Raises:
          ValueError: if a symbol or an index is out of range, or the shapes differ.
        """
        symbols, indices = as_symbols(symbols), self.check_indices(indices)
        if symbols.shape != indices.shape:
            raise ValueError(f"symbols and indices must have one shape, got {symbols.shape} and {indices.shape}")
        table, packed = self._encoding, np.empty(symbols.shape, np.uint32)
        width, flat, first = table.shape[1], table.reshape(-1), self._first
        for start in range(0, len(symbols), _CHUNK):
            part, index = symbols[start : start + _CHUNK], indices[start : start + _CHUNK]
            # Values below the table wrap round to large unsigned ones, so one minimum catches both sides.
            entry = (part - (first.take(index) if first.ndim else first)).view(np.uint32)
            np.minimum(entry, np.uint32(width - 1), out=entry)
            entry += np.multiply(index, width, dtype=np.uint32, casting="unsafe")
            flat.take(entry, out=packed[start : start + _CHUNK], mode="clip")
        return packed

    def escapes(self, packed: np.ndarray, symbols: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the escaped symbols in the result of `pack`.

        Returns:
          `below`, bool [m], and `distance`, int64 [m], as `escape.pack_escapes` takes them.
        """
        at = np.flatnonzero(packed >= ESCAPE_FLAG)
        table = np.asarray(indices)[at]
        over = np.asarray(symbols)[at].astype(np.int64) - self.offset[table]
        below = over < 0
        return below, np.where(below, -1 - over, over - self.size[table] + 1)

    def restore(self, below: np.ndarray, distance: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Turn escape codes back into symbol values; inverse of `escapes`.

        Args:
          below: bool [m].
          distance: int64 [m].
          indices: integers [m], table of each escaped symbol.

        Returns:
          int64 [m]; a damaged file can make values outside int32.
        """
        offset = self.offset[indices].astype(np.int64)
        return np.where(below, offset - 1 - distance, offset + self.size[indices] - 1 + distance)

    def check_indices(self, indices: np.ndarray) -> np.ndarray:
        """Return table indices as a 1-D integer array, or raise ValueError if one names no table."""
        indices = np.asarray(indices)
        if indices.ndim != 1 or (indices.dtype.kind not in "iu" and indices.size):
            raise ValueError(f"indices must be integers [n], got {indices.dtype} {indices.shape}")
        if not indices.size:
            return indices.astype(np.uint8)
        low, high = (0 if indices.dtype.kind == "u" else int(indices.min())), int(indices.max())
        if low < 0 or high >= len(self):
            raise ValueError(f"indices must be in [0, {len(self) - 1}], got {low} to {high}")
        return indices if indices.dtype.itemsize < 8 else indices.astype(np.int64)

    @cached_property
    def rank(self) -> np.ndarray:
        """Order of the tables from cheap to dear symbols, uint8 or uint16 [T]; made from integers, so exact."""
        peak = np.diff(self.cdf.astype(np.int64), axis=1).max(axis=1)
        rank = np.empty(len(self), np.uint8 if len(self) <= 256 else np.uint16)
        rank[np.argsort(-peak, kind="stable")] = np.arange(len(self))
        return rank

    @cached_property
    def _first(self) -> np.ndarray:
        """Symbol of column 0 of the encoding table, int32: one for all tables if they overlap much, else one each."""
        low, high = int(self.offset.min()), int((self.offset.astype(np.int64) + self.size).max())
        return self.offset.min() if high - low <= 4 * int(self.size.max()) else self.offset

    @cached_property
    def _encoding(self) -> np.ndarray:
        start = self.offset.astype(np.int64) - self._first
        width = 1 << int((start + self.size - 1).max()).bit_length()
        entry = np.arange(width) - start[:, None]
        outside = (entry < 0) | (entry >= self.size[:, None] - 1)
        entry = np.where(outside, self.size[:, None] - 1, entry)
        first, after = (np.take_along_axis(self.cdf, entry + i, axis=1).astype(np.uint32) for i in (0, 1))
        escape = np.where(outside, ESCAPE_FLAG, np.uint32(0))
        return (after - first) | (first << np.uint32(FREQUENCY_BITS)) | escape

    @cached_property
    def decoding(self) -> tuple[np.ndarray, np.ndarray]:
        """What the decoder looks up at [table * 4096 + slot], with one more table whose only symbol fills all slots.

        Returns:
          uint64 [(T + 1) * 4096, 2] of (frequency, slot - first slot), and int32 [(T + 1) * 4096], the symbol values.
        """
        used = self._used
        table, entry = np.nonzero(used)
        first = self.cdf[:, :-1][used].astype(np.int64)
        frequency = np.append(np.diff(self.cdf.astype(np.int64), axis=1)[used], TOTAL)
        is_escape = entry == self.size[table] - 1
        value = np.append(np.where(is_escape, ESCAPED, self.offset[table] + entry), 0).astype(np.int32)
        slot = np.tile(np.arange(TOTAL), len(self) + 1)
        start = np.repeat(np.append(first, 0), frequency)
        step = np.stack([np.repeat(frequency, frequency), slot - start], axis=1).astype(np.uint64)
        return step, np.repeat(value, frequency)


frequency_cost_bits = np.zeros(2 * TOTAL)
"""Ideal bits of a symbol by its frequency, float64 [8192]; index 0 is not used."""
frequency_cost_bits[1 : TOTAL + 1] = PRECISION - np.log2(np.arange(1, TOTAL + 1))


def as_symbols(symbols: np.ndarray) -> np.ndarray:
    """Return symbols as int32 [n], or raise ValueError if they are not integers that fit."""
    symbols = np.asarray(symbols)
    if symbols.dtype == np.int32 and symbols.ndim == 1:
        return symbols
    if symbols.ndim != 1 or (symbols.dtype.kind not in "iu" and symbols.size):
        raise ValueError(f"symbols must be integers [n], got {symbols.dtype} {symbols.shape}")
    if symbols.size and not -(1 << 31) <= int(symbols.min()) <= int(symbols.max()) < 1 << 31:
        raise ValueError(f"symbols must fit int32, got {symbols.min()} to {symbols.max()}")
    return symbols.astype(np.int32)


def quantize_pmf(pmf: np.ndarray, precision: int = PRECISION) -> np.ndarray:
    """Turn probabilities into whole frequencies with the least loss of rate.

    Minimises the cross entropy -sum p log2(f / 2^precision) over whole f >= 1 with the exact sum. The objective is
    separable and concave in each f, so a choice that no move of a single slot improves is optimal.

    Args:
      pmf: float64 [L], >= 0, finite, with a positive sum; it is normalised.
      precision: bits of the sum.

    Returns:
      int64 [L], all >= 1, sum 2^precision. Ties go to the lower index.

    Raises:
      ValueError: if the probabilities are not valid or there are more than 2^precision of them.
    """
    pmf, total = np.asarray(pmf, np.float64), 1 << precision
    if pmf.ndim != 1 or not 1 <= pmf.size <= total:
        raise ValueError(f"a table needs 1 to {total} probabilities, got shape {pmf.shape}")
    if not np.all(np.isfinite(pmf)) or pmf.min() < 0 or pmf.sum() <= 0:
        raise ValueError("probabilities must be finite and >= 0 with a positive sum")
    pmf = pmf / pmf.sum()
    frequency = np.maximum(1, np.floor(pmf * total)).astype(np.int64)
    while True:
        # One formula for both, so that undoing a step costs exactly what it gained and the search cannot go in circles.
        gain = pmf * np.log1p(1 / frequency)
        loss = np.where(frequency > 1, pmf * np.log1p(1 / np.maximum(frequency - 1, 1)), np.inf)
        excess, best, worst = int(frequency.sum()) - total, int(gain.argmax()), int(loss.argmin())
        if excess == 0 and gain[best] <= loss[worst]:
            return frequency
        if excess <= 0:
            frequency[best] += 1
        if excess >= 0:
            frequency[worst] -= 1


def tables_from_pmfs(pmfs: Sequence[tuple[np.ndarray, int, float]]) -> Tables:
    """Make one table for each probability mass function.

    Args:
      pmfs: T triples of probabilities float64 [L_t] (normalised here to 1 - tail mass), the symbol value of the first
        of them, and the probability in [0, 1) that a symbol is outside and needs an escape.

    Returns:
      The tables, in the same order.
    """
    rows = []
    for pmf, _, tail_mass in pmfs:
        if not 0 <= tail_mass < 1:
            raise ValueError(f"the tail mass must be in [0, 1), got {tail_mass}")
        pmf = np.asarray(pmf, np.float64)
        rows.append(quantize_pmf(np.append(pmf / pmf.sum() * (1 - tail_mass), tail_mass)))
    cdf = np.full((len(rows), max(map(len, rows)) + 1), TOTAL, np.uint16)
    for row, frequency in zip(cdf, rows, strict=True):
        row[: len(frequency) + 1] = np.concatenate([[0], np.cumsum(frequency)])
    size = np.array([len(frequency) for frequency in rows], np.int32)
    return Tables(cdf, size, np.array([offset for _, offset, _ in pmfs], np.int32))


GAUSSIAN_TAIL_MASS = 2.0**-11
"""Default mass outside a Gaussian table. Measured on true Gaussians, bits a symbol above the entropy with escapes and
12-bit rounding: 0.0004 at a scale of 1, 0.0004 at 8, 0.006 at 32; with 2^-7 0.0024 at 8, with 2^-15 0.018 at 32."""


def gaussian_tables(scales: np.ndarray, tail_mass: float = GAUSSIAN_TAIL_MASS) -> Tables:
    """Make tables of zero-mean Gaussians, integrated over [k - 1/2, k + 1/2].

    Args:
      scales: float64 [T], standard deviations in symbols, > 0.
      tail_mass: largest probability that a symbol is outside the table, in (0, 1).

    Returns:
      Tables of 2k + 1 symbols around zero and an escape, k as small as the tail mass allows.
    """
    pmfs = []
    for scale in np.asarray(scales, np.float64):
        if not (0 < scale < math.inf and 0 < tail_mass < 1):
            raise ValueError(f"scales must be positive and the tail mass in (0, 1), got {scale} and {tail_mass}")
        above = [1.0, _upper_tail(0.5 / scale)]  # P(|value| > edge) for the edges 0, 1/2, 3/2, ...
        while above[-1] > tail_mass:
            above.append(_upper_tail((len(above) - 0.5) / scale))
        half = -np.diff(above) / 2
        pmf = np.concatenate([half[:0:-1], [2 * half[0]], half[1:]])
        pmfs.append((pmf, 1 - len(half), above[-1]))
    return tables_from_pmfs(pmfs)


def _upper_tail(deviations: float) -> float:
    """Return P(|x| > deviations) of a standard Gaussian."""
    return math.erfc(deviations / math.sqrt(2))
