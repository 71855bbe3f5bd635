"""Integer tables of the logistic distribution, made by exact arithmetic: the same numbers on every machine.

Libraries differ in the last bit of exp and pow, so nothing here calls them: powers of 2^(1/8) are integer roots, and
the exponential comes from `decimal`, whose results are correctly rounded by specification.

The cumulative distribution function F(t) = 1 / (1 + exp(-t)) is linear between multiples of 1/32. An argument is an
integer p = (t + 15) * 2^27, and F is an integer in [0, 2^42]: intercept[i] + slope[i] * p with i = p >> 22. Both ends
of the table have slope 0, so an index beyond them only has to be clipped.
"""

from decimal import Decimal, localcontext
from functools import cache
from math import isqrt

import numpy as np

SCALE_COUNT = 168
"""Number of scales: scale(i) = 2^(i/8 - 5) samples, 2^-5 to 2^15.9."""
WEIGHT_COUNT = 97
"""Number of weights: 2^(i/8), 1 to 4096."""
STEP_BITS = 22
"""Bits of an argument below the step of the table, 1/32."""
CDF_BITS = 42
"""F is in [0, 2^42]."""
TABLE_ENDS = 15
"""The table holds the arguments [-15, 15]; beyond +-14.6 F rounds to 0 or 1."""
ARGUMENT_OFFSET = TABLE_ENDS << (STEP_BITS + 5)
_STEPS = 32 * TABLE_ENDS  # of each half
_VALUE_BITS = CDF_BITS - STEP_BITS


def round_power_of_two(eighths: int) -> int:
    """Return 2^(eighths / 8), rounded half up, for eighths >= 0."""
    # The eighth root of 2^(eighths + 8) is twice the power, rounded down: floor roots nest.
    return (isqrt(isqrt(isqrt(1 << (eighths + 8)))) + 1) >> 1


@cache
def weight_table() -> np.ndarray:
    """Return the weights round(2^(i/8)), int64 [97]."""
    return np.array([round_power_of_two(i) for i in range(WEIGHT_COUNT)], np.int64)


@cache
def inverse_scale_table() -> np.ndarray:
    """Return round(2^23 / scale(i)), int64 [168]: what a sixteenth of a sample adds to an argument, 2^28 to 140."""
    return np.array([round_power_of_two(8 * 28 - i) for i in range(SCALE_COUNT)], np.int64)


@cache
def cdf_tables() -> tuple[np.ndarray, np.ndarray]:
    """Return intercept and slope of F in each interval, int64 [961]; the first and the last are the constant ends."""
    with localcontext() as context:
        context.prec = 40
        ratio, power, value = (Decimal(1) / 32).exp(), Decimal(1), [0] * (2 * _STEPS + 1)
        for i in range(_STEPS + 1):
            below = int((1 << _VALUE_BITS) / (1 + power) + Decimal("0.5"))
            value[_STEPS - i], value[_STEPS + i] = below, (1 << _VALUE_BITS) - below
            power *= ratio
    slope = np.append(np.diff(value), 0).astype(np.int64)
    first = np.arange(len(value), dtype=np.int64) << STEP_BITS
    intercept = (np.array(value, np.int64) << STEP_BITS) - slope * first
    return intercept, slope
