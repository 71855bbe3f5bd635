"""Mixed precision: convolutions in bfloat16, everything else, the exact networks above all, in float32.

The exact networks hold no `nn.Conv` (see `nn.exact`), and neither do the block transforms, whose linear path needs more
than the eight bits of bfloat16. So the rule "every nn.Conv, and nothing but" draws the line where it should be.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax.numpy as jnp


@contextlib.contextmanager
def bfloat16_convolutions(enabled: bool = True) -> Iterator[None]:
    """Run every `nn.Conv` that is applied inside this context on bfloat16 operands, its result bfloat16 as well.

    Parameters stay float32 in the training state, and their gradients are float32.

    Args:
        enabled: False changes nothing.
    """

    def convolve(call: Callable[..., Any], args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        convolution = isinstance(module, nn.Conv) and context.method_name == "__call__"
        if not convolution or module.dtype == jnp.bfloat16 or module.is_initializing():
            return call(*args, **kwargs)
        # A copy with another type, applied to the same parameters: flax modules cannot be changed once they run.
        return module.clone(dtype=jnp.bfloat16, parent=None).apply(module.variables, *args, **kwargs)

    if not enabled:
        yield
        return
    with nn.intercept_methods(convolve):
        yield
