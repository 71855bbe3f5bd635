"""Windows: they cover a picture once, overlap by twice the transforms' reach, and leave no seams."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.codecs.tiling import cut, paste, plan, spans
from jaxicm.codecs.transforms import WINDOWS as PIXEL_WINDOWS
from jaxicm.models.stage16 import STRIDE, Analysis, Synthesis, TransformConfig

REACH = TransformConfig().reach
WINDOWS = tuple((rows // STRIDE, columns // STRIDE) for rows, columns in PIXEL_WINDOWS)
reaches = st.integers(0, 6)


@given(st.integers(1, 1100), st.integers(13, 80), reaches)
def test_windows_cover_an_axis_once_and_keep_nothing_near_their_inner_edges(length, size, reach):
    found = spans(length, size, reach)
    assert found[0].first == 0
    assert found[-1].last == length
    assert [s.last for s in found[:-1]] == [s.first for s in found[1:]]
    for s in found:
        assert s.size == size
        assert s.first < s.last
        assert s.start <= s.first
        assert s.last <= s.start + size
        assert s.start == 0 or s.first >= s.start + reach
        assert s.last == length or s.last + reach <= s.start + size
        assert s.start + size <= length or len(found) == 1
    for a, b in itertools.pairwise(found):
        assert a.start + size - b.start >= 2 * reach
    # One window fewer could not do.
    assert (len(found) - 1) * (size - 2 * reach) + 2 * reach < length or len(found) == 1


@given(st.integers(1, 150), st.integers(1, 150))
def test_a_plan_covers_each_position_once_with_the_fewest_computed(height, width):
    counts = np.zeros((height, width), int)
    windows = plan(height, width, WINDOWS, REACH)
    for row, column in windows:
        counts[row.first : row.last, column.first : column.last] += 1
    assert (counts == 1).all()
    shape = {(r.size, c.size) for r, c in windows}
    assert len(shape) == 1
    assert shape < set(WINDOWS) | {()}
    work = sum(r.size * c.size for r, c in windows)
    each = [len(spans(height, h, REACH)) * len(spans(width, w, REACH)) * h * w for h, w in WINDOWS]
    assert work == min(each)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 3), st.integers(0, 3))
def test_cutting_and_pasting_restore_the_array(height, width, unit, missing):
    # The picture may end inside its last latent position.
    rows, columns = height * unit - min(missing, unit - 1), width * unit
    array = np.arange(rows * columns * 2).reshape(rows, columns, 2)
    out = np.full_like(array, -1)
    for row, column in plan(height, width, ((13, 17), (20, 20)), 3):
        window = cut(array, row, column, unit)
        assert window.shape == (row.size * unit, column.size * unit, 2)
        paste(out, window, row, column, unit)
    np.testing.assert_array_equal(out, array)


def test_beyond_the_array_its_edge_is_repeated():
    (window,) = (cut(np.arange(6).reshape(2, 3, 1), r, c) for r, c in plan(2, 3, ((4, 5),), 1))
    expected = [[0, 1, 2, 2, 2], [3, 4, 5, 5, 5], [3, 4, 5, 5, 5], [3, 4, 5, 5, 5]]
    np.testing.assert_array_equal(window[..., 0], expected)


def narrow() -> TransformConfig:
    """The depth of the default profile, which alone decides the reach, with few channels."""
    return dataclasses.replace(TransformConfig(), channels=3, fine_width=4, coarse_width=4, anchors=2)


def reach_of(module, inputs: tuple[int, ...], unit_in: int, unit_out: int) -> int:
    """Measure how many latent positions around the middle one an output depends on, from gradients."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=inputs), jnp.float32)
    position = jnp.zeros(1)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x, position)["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(0, 0.3, s.shape), jnp.float32), shapes)
    middle = x.shape[1] // unit_in // 2
    block = slice(middle * unit_out, (middle + 1) * unit_out)

    @jax.jit
    def gradient(x):
        out = lambda v: module.apply({"params": params}, v, position)[0, block, block]  # noqa: E731
        value, back = jax.vjp(out, x)
        return back(jnp.asarray(rng.normal(size=value.shape), jnp.float32))[0]

    touched = np.abs(np.asarray(gradient(x)))[0].sum(-1) > 0
    rows, columns = np.nonzero(touched)
    return int(max(np.abs(np.concatenate([rows, columns]) // unit_in - middle)))


@pytest.mark.parametrize("direction", ["analysis", "synthesis"])
def test_the_transforms_look_no_further_than_the_overlap(direction):
    side = 2 * REACH + 7
    if direction == "analysis":
        found = reach_of(Analysis(narrow()), (1, side * STRIDE, side * STRIDE, 3), STRIDE, 1)
    else:
        found = reach_of(Synthesis(narrow()), (1, side, side, 3), 1, STRIDE)
    # The layers: 3x3 convolutions, one a block, and the last of the synthesis; two fine positions a latent position.
    fine = TransformConfig().analysis_fine if direction == "analysis" else TransformConfig().synthesis_fine + 1
    coarse = TransformConfig().analysis_coarse if direction == "analysis" else TransformConfig().synthesis_coarse
    assert found == coarse + -(-fine // 2)
    assert found <= REACH


@pytest.fixture(scope="module")
def latent(tiny_codec, photograph) -> np.ndarray:
    """Latent of a picture that needs several windows in both directions."""
    picture = photograph(76 * STRIDE, 82 * STRIDE)
    return tiny_codec.encode_detail(picture, quality=80).values_q4


def synthesize(codec, latent: np.ndarray, monkeypatch, windows, reach: int = REACH) -> np.ndarray:
    monkeypatch.setattr(codec._transforms, "windows", windows)
    monkeypatch.setattr(codec._transforms, "reach", reach)
    size = (latent.shape[0] * STRIDE, latent.shape[1] * STRIDE)
    return codec._transforms.synthesize(latent, 80.0, size).astype(int)


def test_windows_leave_no_seams(tiny_codec, latent, monkeypatch):
    whole = synthesize(tiny_codec, latent, monkeypatch, (latent.shape[:2],))
    assert len(plan(*latent.shape[:2], WINDOWS, REACH)) > 1
    # The last shape overlaps by no more than twice the reach.
    for windows in (WINDOWS, ((70, 70),), ((42, 45),)):
        assert np.abs(synthesize(tiny_codec, latent, monkeypatch, windows) - whole).max() <= 1
    # The test can see a seam: without overlap there is one.
    assert np.abs(synthesize(tiny_codec, latent, monkeypatch, ((38, 41),), 0) - whole).max() > 1


def test_windows_do_not_change_the_latent_beyond_rounding(tiny_codec, photograph, monkeypatch):
    picture = photograph(75 * STRIDE - 3, 82 * STRIDE)
    tiled = tiny_codec._transforms.analyze(picture, 50.0)
    monkeypatch.setattr(tiny_codec._transforms, "windows", ((75, 82),))
    np.testing.assert_allclose(tiled, tiny_codec._transforms.analyze(picture, 50.0), atol=2e-4)
