"""Filtering frames window by window: the same as in one piece, at all sizes and depths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.codecs import plane_filter
from jaxicm.codecs.plane_filter import PlaneFilterRunner
from jaxicm.media.yuv import PlanarFormat
from jaxicm.models.filter import PAPER_PLANES, PlaneFilter, PlaneFilterConfig, initial_parameters

SMALL = PlaneFilterConfig(width=8, blocks=2)


def frame(form: PlanarFormat, seed: int = 0):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 1 << form.bits, shape).astype(form.dtype) for shape in form.shapes)


def moved(config):
    params = initial_parameters(config, 0)
    params["last"]["kernel"] = 0.02 * jax.random.normal(jax.random.key(1), params["last"]["kernel"].shape)
    return params


@pytest.mark.parametrize("config", [SMALL, PAPER_PLANES], ids=["ours", "paper"])
def test_windows_leave_no_seams(monkeypatch: pytest.MonkeyPatch, config):
    monkeypatch.setattr(plane_filter, "WINDOWS", ((80, 80), (80, 112)))
    form, params = PlanarFormat(100, 150), moved(config)
    planes = frame(form)
    (found,) = PlaneFilterRunner(config).apply(params, [planes], form, [32])
    # In one piece, the frame repeated beyond its edges.
    luma = np.pad(planes[0], 32, mode="edge")[None, ..., None] / np.float32(255)
    chroma = np.stack([np.pad(plane, 16, mode="edge") for plane in planes[1:]], axis=-1)[None] / np.float32(255)
    whole = PlaneFilter(config).apply({"params": params}, jnp.asarray(luma), jnp.asarray(chroma), jnp.array([32.0]))
    expected = [np.clip(np.asarray(w) * 255, 0, 255) for w in whole]
    assert np.abs(found[0] - expected[0][0, 32:-32, 32:-32, 0]).max() < 0.51
    for k in range(2):
        assert np.abs(found[1 + k] - expected[1][0, 16:-16, 16:-16, k]).max() < 0.51
    assert (found[0] != planes[0]).any()


@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 48)])
@pytest.mark.parametrize("bits", [8, 10])
def test_all_sizes_and_depths_keep_their_format(size, bits):
    form = PlanarFormat(*size, "420", bits)
    planes = [frame(form, seed) for seed in range(2)]
    found = PlaneFilterRunner(SMALL).apply(initial_parameters(SMALL, 0), planes, form, [27] * len(planes))
    for before, after in zip(planes, found, strict=True):
        form.check(after)
        for a, b in zip(before, after, strict=True):
            np.testing.assert_array_equal(a, b, err_msg="a filter that has learned nothing changes nothing")
