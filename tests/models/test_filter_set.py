"""Sets of filters: one is a plain filter, several have what is their own stacked, and each does what it does alone."""

import jax
import numpy as np
import pytest

from jaxicm.errors import ConfigError
from jaxicm.models.filter import PlaneFilter, PlaneFilterConfig
from jaxicm.models.filter_set import FilterSetConfig, apply_all, initial_parameters, member, spread

SMALL = PlaneFilterConfig(width=8, blocks=1)


def pictures():
    keys = jax.random.split(jax.random.key(0))
    luma, chroma = jax.random.uniform(keys[0], (2, 16, 24, 1)), jax.random.uniform(keys[1], (2, 8, 12, 2))
    return luma, chroma, np.array([22.0, 42.0])


@pytest.mark.parametrize("shared", [False, True])
def test_each_filter_of_a_set_does_what_it_does_alone(shared):
    config = FilterSetConfig(SMALL, 3, shared)
    start = jax.tree.map(lambda a: np.asarray(a) + 0.1, initial_parameters(FilterSetConfig(SMALL), 0))
    params = spread(start, config, 0.5, seed=1)
    found = jax.jit(apply_all, static_argnums=1)(params, config, *pictures())
    assert found[0].shape == (3, 2, 16, 24, 1) and found[1].shape == (3, 2, 8, 12, 2)
    assert np.abs(found[0][0] - found[0][1]).max() > 1e-4
    apply = jax.jit(PlaneFilter(SMALL).apply)
    for number in range(3):
        alone = apply({"params": member(params, config, number)}, *pictures())
        for a, b in zip(alone, found, strict=True):
            np.testing.assert_allclose(a, b[number], atol=1e-6)


def test_shared_kernels_stand_once():
    own, shared = (initial_parameters(FilterSetConfig(SMALL, 4, shared), 0) for shared in (False, True))
    assert own["first"]["kernel"].shape == (4, 3, 3, 10, 8) and shared["first"]["kernel"].shape == (3, 3, 10, 8)
    assert own["first"]["bias"].shape == shared["first"]["bias"].shape == (4, 8)


def test_one_filter_is_a_plain_filter_and_sets_have_limits():
    config = FilterSetConfig(SMALL)
    params = initial_parameters(config, 0)
    assert params["first"]["kernel"].shape == (3, 3, 10, 8)
    jax.tree.map(np.testing.assert_array_equal, member(params, config, 0), params)
    for count in (0, 65):
        with pytest.raises(ConfigError, match="count"):
            FilterSetConfig(SMALL, count)
