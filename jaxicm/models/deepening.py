"""A larger image model that begins where a smaller one ended: what is new adds nothing yet.

Source of the idea: T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR
2016.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

_BLOCK = re.compile(r"(half|quarter|fine|coarse)\d+")
_PIXELS, _FINE_PIXELS, _DOWN = "pixels", "fine_pixels", "quarter_down"


def deepen(found: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """Put the parameters of a model into one with more residual blocks, or with the 1/4 grid besides.

    Args:
      found: parameters of `ImageModel`, of the smaller model.
      start: random parameters of the larger one; one with a finer grid has `fine_pixels`.

    Returns:
      The parameters found, and for each layer of a transform that is not among them that of `start`, so that the model
      computes the same: new residual blocks and what comes from the 1/4 grid have an output of zero, and the features
      of the 1/8 grid make the pixels that they made. Whatever else differs is left as found.
    """
    grown = dict(found)
    for transform in ("analysis", "synthesis"):
        old, new = dict(found.get(transform, {})), start.get(transform, {})
        more = {name: _silent(new[name], "mix") for name in new if _BLOCK.fullmatch(name) and name not in old}
        if _FINE_PIXELS in new and _FINE_PIXELS not in old and _PIXELS in old:
            old[_FINE_PIXELS] = old.pop(_PIXELS)
            more |= {"quarter_up": new["quarter_up"], **_silent({_PIXELS: new[_PIXELS]}, _PIXELS)}
        if _DOWN in new and _DOWN not in old:
            more |= {_PIXELS: new[_PIXELS], **_silent({_DOWN: new[_DOWN]}, _DOWN)}
        grown[transform] = {**old, **more}
    return grown


def _silent(layers: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the layers with zeros for the one named."""
    return {**layers, name: {of: jnp.zeros_like(value) for of, value in layers[name].items()}}
