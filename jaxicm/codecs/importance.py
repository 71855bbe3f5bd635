"""Where in a picture errors matter: any distortion as a weighted squared error. System S8 with no network in the loop.

Around the original a distortion D is nearly quadratic: with its Hessian H, an error e costs D = e'He/2 and has the
slope g = He, so e'g is twice what e costs, split over the pixels. Errors of the codec itself at a few qualities are
shown to the distortion once; what they cost in a block over their squared error there is the block's weight. The search
for a latent then runs with squared errors of these weights, an iteration costs no more than one for people, and since
the weights are those of several errors it follows what the networks look at, not how one of them can be fooled.

The square root of the weights is taken and a floor is kept: weights are estimates, and what one network does not look
at another one may. Feature-preserving weights of the same kind steer a conventional encoder in Fernandez-Menduina et
al., "Feature-preserving rate-distortion optimization in image coding for machines", 2024.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.ndimage import gaussian_filter

QUALITIES = (0.5, 1.0, 2.0)
"""Whose errors are shown to a distortion, as multiples of the quality that is wanted."""
SPREAD = 1.5
"""Standard deviation in latent positions by which costs and errors are smoothed."""
FLOOR, CEILING = 0.4, 1.5
"""Of the weights."""


@partial(jax.jit, static_argnames=("function", "stride"))
def costs_and_errors(
    arrays: Any, x: Array, x_hat: Array, function: Callable[[Any, Array, Array], Array], stride: int
) -> tuple[Array, Array]:
    """Split what errors cost over the blocks of a picture.

    Args:
        arrays: of the distortion.
        x: originals `[B, H, W, 3]` in [0, 1].
        x_hat: with errors, the same shape.
        function: the distortion, `[B]`.
        stride: side of a block in pixels.

    Returns:
        Twice the costs, with signs, and squared errors, `[B, H/stride, W/stride]` each, over the sum of the latter.
    """
    error = x_hat - x
    slope = jax.grad(lambda x_hat: function(arrays, x, x_hat).sum())(x_hat)

    def blocks(values: Array) -> Array:
        batch, height, width, _ = values.shape
        return values.reshape(batch, height // stride, stride, width // stride, -1).sum(axis=(2, 4))

    cost, squared = blocks(error * slope), blocks(jnp.square(error))
    total = jnp.maximum(squared.sum(axis=(1, 2), keepdims=True), 1e-12)
    return cost / total, squared / total


def weights(costs: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Make weights of what `costs_and_errors` found in a whole picture.

    Args:
        costs: `[n, h, w]` of n errors.
        errors: the same.

    Returns:
        float32 `[h, w]` in [`FLOOR`, `CEILING`], about 1 where it matters.
    """
    cost, error = (gaussian_filter(planes.sum(axis=0), SPREAD, mode="nearest") for planes in (costs, errors))
    ratio = np.maximum(cost, 0.0) / np.maximum(error, 1e-12)
    total = float(ratio.sum())
    if total <= 0:  # nothing matters, as where the errors are nil
        return np.ones(ratio.shape, np.float32)
    usual = float(np.square(ratio).sum()) / total
    return np.clip(np.sqrt(ratio / usual), FLOOR, CEILING).astype(np.float32)
