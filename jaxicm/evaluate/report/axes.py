"""Axes of plots: a range, ticks at round numbers, and where a value falls."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """Map values to a length.

    Attributes:
        label: with its unit.
        low: smallest value shown; positive where logarithmic.
        high: largest value shown, above `low`.
        ticks: values with a line and a number.
        logarithmic: equal lengths are equal ratios.
    """

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value falls, 0 at `low` and 1 at `high`."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear_axis(label: str, values: Iterable[float], *, wanted: int = 6, from_zero: bool = False) -> Axis:
    """Make an axis with some air around the values.

    Args:
        label: with its unit.
        values: finite.
        wanted: about as many ticks.
        from_zero: begin at 0.
    """
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    air = max(0.05 * (high - low) or abs(high) * 0.1, 1e-6 * max(1.0, abs(low), abs(high)))
    low, high = (0.0 if from_zero else low - air), high + air
    step = _round_step((high - low) / wanted)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return Axis(label, low, high, tuple(round(index * step, 10) for index in range(first, last + 1)))


def log_axis(label: str, values: Iterable[float]) -> Axis:
    """Make a logarithmic axis with ticks at 1, 2 and 5 times powers of ten, fewer where it spans many of them.

    Args:
        label: with its unit.
        values: positive.
    """
    found = list(values) or [0.1, 1.0]
    low, high = min(found), max(found)
    air = max((high / low) ** 0.04, 1.05)
    low, high = low / air, high * air
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        finer = [round(digit * 10.0**decade, 10) for decade in decades for digit in digits]
        finer = [tick for tick in finer if low <= tick <= high]
        if len(finer) > 7 and len(ticks) > 1:
            break
        ticks = finer
    return Axis(label, low, high, tuple(ticks), logarithmic=True)


def tick_text(value: float) -> str:
    """Write the number of a tick, with a true minus sign."""
    return f"{value:.6g}".replace("-", "−")  # noqa: RUF001


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.999)
