"""Counting multiply-adds and parameters, from the traced computation itself."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr


def count_macs(function: Callable[..., Any], *arguments: Any) -> int:
    """Count the multiply-adds of all convolutions and matrix products of a function.

    Args:
      function: of arrays.
      *arguments: arrays or `jax.ShapeDtypeStruct`.

    Returns:
      Multiply-adds of one call; element-wise work is not counted.
    """
    return _macs(jax.make_jaxpr(function)(*arguments).jaxpr)


def _macs(jaxpr: Jaxpr) -> int:
    def shape_of(variable: Any) -> tuple[int, ...]:
        return variable.aval.shape

    total = 0
    for equation in jaxpr.eqns:
        out = shape_of(equation.outvars[0]) if equation.outvars else ()
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = shape_of(equation.invars[0])
            total += math.prod(out) * math.prod(shape[d] for d in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            kernel = shape_of(equation.invars[1])
            outputs = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
            total += math.prod(out) * math.prod(kernel) // outputs
        elif equation.primitive.name == "scan":
            total += equation.params["length"] * _macs(equation.params["jaxpr"].jaxpr)
        else:
            for value in equation.params.values():
                inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
                if isinstance(inner, Jaxpr):
                    total += _macs(inner)
    return total


def count_parameters(tree: Any) -> int:
    """Count the numbers in a tree of arrays."""
    return sum(int(np.prod(np.shape(leaf))) for leaf in jax.tree.leaves(tree))
