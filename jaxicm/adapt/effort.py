"""How much work the encoder spends on a picture, from 0 (one pass) to 9."""

from collections.abc import Sequence

from jaxicm.adapt.stage import Stage
from jaxicm.errors import OptionError

EffortLike = int | Sequence[Stage]


def _search(iterations: int) -> Stage:
    """Choose single symbols anew: a few iterations without the gradient through the context."""
    return Stage(
        method="coordinate",
        iterations=iterations,
        learning_rate=0.3,
        optimizer="sgd",
        context_gradient=False,
        check_every=4,
    )


def _descend(iterations: int, rate: float) -> Stage:
    """The same with that gradient, in smaller steps."""
    return Stage(
        method="coordinate",
        iterations=iterations,
        learning_rate=rate,
        optimizer="sgd",
        check_every=8,
        rounding_weight=11.0,
    )


def _anneal(iterations: int) -> Stage:
    return Stage(
        method="sga", iterations=iterations, learning_rate=0.02, first_temperature=0.4, hold=0.2, check_every=20
    )


EFFORTS: tuple[tuple[Stage, ...], ...] = (
    (),
    (_search(4),),
    (_search(8),),
    (_search(16),),
    (_search(28),),
    (_search(8), _descend(32, 0.15)),
    (_search(8), _descend(64, 0.15)),
    (_anneal(80), _descend(16, 0.2)),
    (_anneal(120), _descend(16, 0.2)),
    (_anneal(160), _descend(16, 0.2)),
)
"""Stages by effort."""
EFFORT_MAX = len(EFFORTS) - 1


def choose_stages(effort: EffortLike) -> tuple[Stage, ...]:
    """Return the stages of an effort.

    Raises:
      OptionError: for a number that is no effort.
    """
    if isinstance(effort, int | float):
        if effort not in range(EFFORT_MAX + 1):
            raise OptionError(f"effort must be a whole number from 0 to {EFFORT_MAX}, got {effort:g}")
        return EFFORTS[int(effort)]
    return tuple(effort)
