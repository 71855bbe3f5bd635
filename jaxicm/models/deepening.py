"""A deeper image model that begins where a shallower one ended: new residual blocks that add nothing yet.

Source of the idea: T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR
2016.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

_BLOCK = re.compile(r"(half|quarter|fine|coarse)\d+")


def deepen(found: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """Put the parameters of a model into one with more residual blocks.

    Args:
      found: parameters of `ImageModel`, of the shallower model.
      start: random parameters of the deeper one.

    Returns:
      The parameters found, and for each block of a transform that is not among them that of `start` with an output of
      zero: the model computes the same. Whatever else differs is left as found.
    """
    grown = dict(found)
    for transform in ("analysis", "synthesis"):
        old, new = found.get(transform, {}), start.get(transform, {})
        more = {name: _silent(block) for name, block in new.items() if _BLOCK.fullmatch(name) and name not in old}
        grown[transform] = {**old, **more}
    return grown


def _silent(block: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block with a last layer of zeros."""
    return {**block, "mix": {name: jnp.zeros_like(value) for name, value in block["mix"].items()}}
