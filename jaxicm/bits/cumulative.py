"""Cumulative counts of symbols laid out in rows, and the search for the symbol that owns a slot.

The formulas are in :mod:`jaxicm.bits.mixture`; here they are evaluated for whole rows at once in buffers made once.
An entry y is a symbol minus the lowest symbol of its distribution.
"""

import numpy as np

from .logistic import CDF_BITS, STEP_BITS, cdf_tables

PRECISION = 20
TOTAL = 1 << PRECISION
"""Every symbol has an interval of these slots."""


class Part:
    """Evaluate C(y) = (sum_k w_k * F(y * step_k - base_k) >> 42) + y, with C(0) = 0 and C(N) = 2^20."""

    def __init__(self, step: np.ndarray, base: np.ndarray, weight: np.ndarray, count: np.ndarray) -> None:
        """Take the distributions and make the buffers.

        Args:
          step, base, weight: int64 [rows, K, width]; the bounds in `mixture` keep all products below 2^63.
          count: int64 [rows, width], number of symbols N of each distribution, 1 to 2^17.
        """
        rows, components, width = step.shape
        self.count, self._step, self._base, self._weight = count, step, base, weight
        self._most = int(count.max())
        self._uniform = int(count.min()) == self._most
        self._rows = range(rows)
        self._intercept, self._slope = cdf_tables()
        self._p, self._index, self._found = (np.empty((components, width), np.int64) for _ in range(3))
        self._bits = np.full((components, width), STEP_BITS)
        self._sum_bits = np.full(width, CDF_BITS)
        self._lane = np.empty((7, width), np.int64)

    def sums(self, row: int, y: np.ndarray, out: np.ndarray) -> None:
        """Write sum_k w_k * F(y * step_k - base_k) for the entries y [width] of a row."""
        p, index, found = self._p, self._index, self._found
        np.multiply(self._step[row], y, p)
        np.subtract(p, self._base[row], p)
        np.right_shift(p, self._bits, index)
        self._slope.take(index, None, found, "clip")
        np.multiply(p, found, p)
        self._intercept.take(index, None, found, "clip")
        np.add(p, found, p)
        np.multiply(p, self._weight[row], p)
        if len(p) == 1:
            out[:] = p[0]
        else:
            np.add(p[0], p[1], out)
            for term in p[2:]:
                np.add(out, term, out)

    def counts(self, row: int, y: np.ndarray, out: np.ndarray) -> None:
        """Write C(y) for entries 0 < y < N [width] of a row."""
        self.sums(row, y, out)
        np.right_shift(out, self._sum_bits, out)
        np.add(out, y, out)

    def cumulative(self, y: np.ndarray) -> np.ndarray:
        """Return C(y), int64 [rows, width], for entries of the same shape, 0 to N."""
        out = np.empty(y.shape, np.int64)
        for row in self._rows:
            self.counts(row, y[row], out[row])
        out[y == 0] = 0
        out[y == self.count] = TOTAL
        return out

    def search(self, row: int, slots: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the entries that own slots.

        Args:
          row: which row.
          slots: int64 [width], 0 to 2^20 - 1.
          out: int64 [width], takes the entries: C(out) <= slot < C(out + 1).

        Returns:
          slot - C(out), and C(out + 1) - C(out), int64 [width], in buffers that the next search overwrites.
        """
        y, c, near, far, length, half, sign = self._lane
        # The distances to the edges found so far; as unsigned integers those on the wrong side are too large to win.
        near_u, far_u, c_u = near.view(np.uint64), far.view(np.uint64), c.view(np.uint64)
        sign.fill(63)
        out.fill(0)
        near[:] = slots
        np.subtract(TOTAL - 1, slots, far)
        most, uniform = self._most, self._uniform
        length[:] = self.count[row]
        while most > 1:
            # The entries left are out to out + length - 1; are those from out + half on the better ones?
            if uniform:
                half.fill(most >> 1)
            else:
                np.right_shift(length, 1, half)
                np.subtract(length, half, length)
            most -= most >> 1
            np.add(out, half, y)
            self.counts(row, y, c)
            if not uniform:
                np.multiply(c, y != 0, c)  # half may be 0, and C(0) is not what `counts` says
            np.subtract(slots, c, c)
            np.minimum(near_u, c_u, out=near_u)
            np.invert(c, c)
            np.minimum(far_u, c_u, out=far_u)
            np.right_shift(c, sign, c)
            np.bitwise_and(c, half, c)
            np.add(out, c, out)
        np.add(far, near, far)
        np.add(far, 1, far)
        return near, far


class FinePart(Part):
    """Evaluate C(y) = (S(y) - S(0) >> 20) * M // (S(N) - S(0) >> 20) + y, S being the sum of the whole distribution."""

    def __init__(
        self, step: np.ndarray, base: np.ndarray, weight: np.ndarray, count: np.ndarray, lowest: np.ndarray,
        highest: np.ndarray,
    ) -> None:  # fmt: skip
        """Take the distributions and find the divisors.

        Args:
          step, base, weight, count: as for `Part`, the weights of sum 2^20.
          lowest, highest: bool [rows, width], whether S(0) is 0 and S(N) is 2^62: the first and the last symbol of the
            whole distribution own what lies outside.
        """
        super().__init__(step, base, weight, count)
        self._start, self._divisor = np.empty(count.shape, np.int64), np.empty(count.shape, np.int64)
        for row in self._rows:
            self.sums(row, np.zeros_like(count[row]), self._start[row])
            self.sums(row, count[row], self._divisor[row])
        self._start[lowest] = 0
        self._divisor[highest] = 1 << (PRECISION + CDF_BITS)
        self._divisor -= self._start
        self._divisor >>= PRECISION
        self._flat = (self._divisor == 0).astype(np.int64)
        self._divisor += self._flat * count
        self._total = TOTAL - count
        self._sum_bits = np.full(count.shape[1], PRECISION)

    def counts(self, row: int, y: np.ndarray, out: np.ndarray) -> None:
        self.sums(row, y, out)
        np.subtract(out, self._start[row], out)
        np.right_shift(out, self._sum_bits, out)
        # A divisor of 0 means that S does not grow.
        np.add(out, y * self._flat[row], out)
        np.multiply(out, self._total[row], out)
        np.floor_divide(out, self._divisor[row], out)
        np.add(out, y, out)
