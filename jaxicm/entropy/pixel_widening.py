"""A larger pixel model that begins where a smaller one ended: the same predictions, and room for more.

Source of the idea: T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR
2016; here new units begin at random with outgoing weights of zero.
"""

from collections.abc import Mapping

import numpy as np

from jaxicm.entropy.least_squares import FEATURES
from jaxicm.entropy.pixel_context import feature_count
from jaxicm.entropy.pixel_network import PREVIOUS
from jaxicm.entropy.pixels import CHANNELS, PixelConfig, kernels
from jaxicm.errors import ConfigError

NEW_WEIGHT = -3.0
"""Weight at which a new component of a distribution begins, in octaves below the usual ones."""


def widen(
    params: Mapping[str, np.ndarray], small: PixelConfig, large: PixelConfig, start: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Put the parameters of a model into a larger one.

    Args:
      params: of the smaller model, as of `pixels.Pixels`.
      small: its sizes.
      large: sizes of the larger one: the same order and number of biases, nothing smaller.
      start: random parameters of the larger one; new units take theirs.

    Returns:
      Parameters of the larger model. Its predictions are those of the smaller one but for rounding, where the fitted
      predictions that both have are of the same blocks and windows.

    Raises:
      ConfigError: if the larger model cannot hold the smaller one.
    """
    _check(small, large)
    found: dict[str, np.ndarray] = {}
    for name in kernels(large):
        inputs, outputs = _segments(name, large)
        kernel = np.array(start[name])
        bias = np.array(start[f"b_{name}"]) if f"b_{name}" in start else None
        head = name[0] == "o"
        if name in params:
            old_inputs, old_outputs = _segments(name, small)
            rows, columns = _places(old_inputs, inputs), _places(old_outputs, outputs)
            if head:
                kernel[:] = 0.0
            kernel[:, :, columns] = 0.0
            kernel[:, rows[:, None], columns] = params[name]
            if bias is not None:
                if head:
                    bias[..., : large.mixtures] = NEW_WEIGHT
                    bias[..., 3 * large.mixtures :] = 0.0
                bias[..., columns] = params[f"b_{name}"]
        else:
            # A layer that adds nothing yet.
            kernel[:] = 0.0
            assert bias is not None
            bias[:] = 0.0
        found[name] = kernel
        if bias is not None:
            found[f"b_{name}"] = bias
    return found


def _check(small: PixelConfig, large: PixelConfig) -> None:
    for name in ("cell", "kind", "seed", "biases"):
        if getattr(small, name) != getattr(large, name):
            raise ConfigError(f"init: the smaller model has another {name}; set it to {getattr(small, name)!r}")
    for name in ("taps", "hidden", "layers", "head", "mixtures", "experts"):
        if getattr(small, name) > getattr(large, name):
            raise ConfigError(
                f"init: the model has more {name} than this one; set it to {getattr(small, name)} at least"
            )
    if small.fit.count > large.fit.count:
        raise ConfigError(f"init: the model has {small.fit.count} fitted predictions, this one {large.fit.count}")


def _segments(name: str, config: PixelConfig) -> tuple[list[int], list[int]]:
    """Return the lengths of what a layer reads and writes, one part after the other."""
    taps, fits = config.taps * CHANNELS, config.fit.count
    if name == "w0":
        return [taps, feature_count(config.taps, CHANNELS) - taps], [config.hidden]
    if name == "taps":
        return [taps], [config.experts] * CHANNELS
    if name[0] == "w":
        return [config.hidden], [config.hidden]
    channel = int(name[-1])
    if name[0] == "u":
        return [config.hidden, *[fits] * FEATURES, PREVIOUS * channel], [config.head]
    if name[0] == "o":
        return [config.head], [config.mixtures] * 3 + [config.experts, fits]
    return [PREVIOUS * channel], [config.experts]


def _places(old: list[int], new: list[int]) -> np.ndarray:
    """Return where the entries of shorter parts lie in longer ones."""
    starts = np.concatenate([[0], np.cumsum(new)[:-1]])
    return np.concatenate([start + np.arange(count) for start, count in zip(starts, old, strict=True)]).astype(int)
