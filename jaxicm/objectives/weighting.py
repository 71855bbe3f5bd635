"""How rate, squared error and task are weighed: the loss-weighting strategy of the papers, and simpler ones.

The strategy: Le et al., "Image coding for machines: an end-to-end learned approach", ICASSP 2021 (arXiv 2108.09993);
formulas and numbers as in Ahonen et al., "NN-VVC" (arXiv 2401.10761), eq. 5. One run passes through all operating
points: it begins with the squared error, then the task gains weight, and at last the rate does. What a paper leaves
open are units: the rate is in bits per pixel and the squared error that of values in [-1, 1].
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jax import Array

Strategy = Literal["lws", "constant", "pretrained", "task_only"]
"""See `strategy_weights`."""
BREAKS = (50.0, 62.0, 85.0, 107.0)
"""Epochs at which the weights of the papers' strategy change their course."""
OPERATING_POINTS = {68: 22, 80: 27, 170: 32, 220: 37, 270: 42, 320: 47}
"""Epochs whose parameters the papers keep, and the QP of VVC that each stands for."""
LAST_EPOCH = max(OPERATING_POINTS)


class LossWeights(NamedTuple):
    """Weights of the terms of a loss: bits per pixel, squared error of values in [-1, 1], and task."""

    rate: Array | float
    mse: Array | float
    task: Array | float


def growth(epochs: Array | float, base: float) -> Array:
    """Return psi(x, y) = 10^-3 (y^x - 1), by which weights grow."""
    return 1e-3 * (jnp.power(base, epochs) - 1.0)


def loss_weights(epoch: Array | float, breaks: tuple[float, ...] = BREAKS) -> LossWeights:
    """Return the weights of the papers' strategy.

    Args:
        epoch: since the beginning of the run; need not be whole.
        breaks: four epochs: the task begins, the rate begins to grow, it rests, it grows on.

    Returns:
        Scalars, or arrays of the shape of `epoch`.
    """
    begin, rise, rest, on = breaks
    n = jnp.asarray(epoch, jnp.float32)
    task = jnp.where(n < begin, 0.0, 4.0 * growth(n - begin, 1.01))
    resting = 2.0 * growth(rest - rise - 1.0, 1.01)
    rate = jnp.select(
        [n < begin, n < rise, n < rest, n < on],
        [jnp.full_like(n, 0.01), jnp.zeros_like(n), 2.0 * growth(n - rise, 1.01), jnp.full_like(n, resting)],
        resting + 2.0 * growth(n - on, 1.02),
    )
    return LossWeights(rate, jnp.ones_like(n), task)


def strategy_weights(
    strategy: Strategy, epoch: Array | float, *, point: Array | float = 220.0, breaks: tuple[float, ...] = BREAKS
) -> LossWeights:
    """Return the weights of a strategy at an epoch.

    Args:
        strategy: "lws", that of the papers; "constant", its weights at `point` from the first epoch on; "pretrained",
            the squared error and a light rate until the task would begin, then constant; "task_only", constant without
            the squared error.
        epoch: since the beginning of the run.
        point: epoch whose weights the constant strategies have.
        breaks: see `loss_weights`.

    Returns:
        Weights of the shape that `epoch` and `point` have together.
    """
    n, at = jnp.broadcast_arrays(jnp.asarray(epoch, jnp.float32), jnp.asarray(point, jnp.float32))
    weights = loss_weights(n, breaks)
    if strategy == "lws":
        return weights
    constant = loss_weights(at, breaks)
    if strategy == "task_only":
        return constant._replace(mse=jnp.zeros_like(constant.mse))
    if strategy == "pretrained":
        return LossWeights(*(jnp.where(n < breaks[0], a, b) for a, b in zip(weights, constant, strict=True)))
    return constant
