"""The rate-distortion loss of a codec that serves all rates with one set of weights."""

from typing import NamedTuple

from jax import Array

from jaxicm.objectives.distortion import Kind, distortion

PEAK_SQUARED = 255.0**2
LAMBDA_REFERENCE = 0.02
"""The trade-off at which a sample has weight one."""


class RateDistortion(NamedTuple):
    """Terms of the loss, each `[B]` but for the last.

    Attributes:
      loss: weighted sum of rate and distortion.
      bpp: bits per pixel.
      mse: mean squared error over the samples of a picture, values in [0, 1], whatever the distortion of the loss.
      machine: what the decoded picture costs task networks, where a codec is trained for them.
      winners: 1 for the best of several filters and 0 for the others, `[B, M]`, where filters are trained.
    """

    loss: Array
    bpp: Array
    mse: Array
    machine: Array | None = None
    winners: Array | None = None


def rate_distortion(
    x: Array, x_hat: Array, bits: Array, trade_off: Array, *, weight_exponent: float = 0.45, kind: Kind = "mse"
) -> RateDistortion:
    """Compute `w * (bpp + lambda * 255**2 * D)` of each picture; see `weigh`.

    Args:
      x: pictures `[B, H, W, 3]` in [0, 1].
      x_hat: decoded pictures, the same shape.
      bits: `[B]` of each picture.
      trade_off: `[B]` lambda, above 0.
      weight_exponent: 0 weighs all qualities alike.
      kind: of the distortion D.

    Returns:
      The terms of each picture; training takes the mean of `loss`.
    """
    bpp = bits / (x.shape[1] * x.shape[2])
    mse = distortion(x, x_hat)
    measured = mse if kind == "mse" else distortion(x, x_hat, kind)
    return RateDistortion(weigh(bpp, measured, trade_off, weight_exponent), bpp, mse)


def weigh(bpp: Array, distortion: Array, trade_off: Array, weight_exponent: float = 0.45) -> Array:
    """Return `w * (bpp + lambda * 255**2 * D)`.

    The sum in brackets grows with lambda, and its gradient with it, so that high qualities would rule a batch of mixed
    qualities. The weight `w = (lambda / LAMBDA_REFERENCE)**-weight_exponent` evens that out: it does not move the best
    point of any single quality.

    Args:
      bpp: `[B]` bits per pixel.
      distortion: `[B]` D, in units of a squared error of values in [0, 1].
      trade_off: `[B]` lambda, above 0.
      weight_exponent: 0 weighs all qualities alike.
    """
    weight = (trade_off / LAMBDA_REFERENCE) ** -weight_exponent
    return weight * (bpp + trade_off * PEAK_SQUARED * distortion)
