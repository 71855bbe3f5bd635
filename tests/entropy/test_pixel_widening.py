"""A larger model begins with the predictions of a smaller one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.entropy.least_squares import FitConfig
from jaxicm.entropy.pixel_widening import widen
from jaxicm.entropy.pixels import PixelConfig, Pixels
from jaxicm.errors import ConfigError
from jaxicm.ops.colour import forward

SMALL = PixelConfig(taps=12, hidden=12, head=8, mixtures=2, scales=2, biases=2, experts=2, fit=FitConfig(block=8))
LARGE = dataclasses.replace(
    SMALL, taps=16, hidden=20, layers=3, head=12, mixtures=3, experts=4, fit=FitConfig(block=8, windows=(1, 2))
)


def parameters(config: PixelConfig, seed: int) -> dict[str, np.ndarray]:
    x = jnp.zeros((1, 32, 32, 3), jnp.int32)
    found = Pixels(config).init(jax.random.key(seed), x, 1)["params"]
    rng = np.random.default_rng(seed)
    return {
        name: np.asarray(value) + rng.normal(0, 0.2, value.shape).astype(np.float32) for name, value in found.items()
    }


@pytest.mark.slow
def test_the_larger_model_predicts_the_same(photograph):
    small = parameters(SMALL, 0)
    large = widen(small, SMALL, LARGE, parameters(LARGE, 1))
    x = jnp.asarray(forward(photograph(64, 64).astype(np.int32), "ycocg", np))[None]
    before = Pixels(SMALL).apply({"params": small}, x).sum()
    after = Pixels(LARGE).apply({"params": large}, x).sum()
    random = Pixels(LARGE).apply({"params": parameters(LARGE, 1)}, x).sum()
    assert abs(after / before - 1) < 0.03
    assert abs(random / before - 1) > 0.06


@pytest.mark.slow
def test_every_new_parameter_has_a_gradient(photograph):
    """Zeros where they are needed alone: nothing stays zero for ever."""
    large = widen(parameters(SMALL, 0), SMALL, LARGE, parameters(LARGE, 1))
    x = jnp.asarray(forward(photograph(64, 64).astype(np.int32), "ycocg", np))[None]
    gradient = jax.grad(lambda p: Pixels(LARGE).apply({"params": p}, x).sum())(large)
    for name, value in gradient.items():
        assert jnp.any(value != 0), name


@pytest.mark.parametrize("change", [{"taps": 16}, {"cell": "4x4"}, {"fit": FitConfig(windows=(0, 1))}])
def test_a_smaller_model_is_refused(change):
    with pytest.raises(ConfigError, match="init"):
        widen({}, dataclasses.replace(SMALL, **change), SMALL, {})
