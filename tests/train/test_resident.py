"""Crops of pictures in device memory: parts of the pictures, and reduced as Pillow reduces them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import ConfigError
from jaxicm.train.resident import lanczos_weights, resident_crops, stack_pictures


def coordinates(height: int, width: int, number: int) -> np.ndarray:
    """Draw a picture whose samples are its row, its column and its number."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=-1).astype(np.uint8)


PICTURES = (coordinates(20, 30, 0), coordinates(25, 16, 1), coordinates(40, 40, 2))
STATIC = ("count", "crop", "flip", "transpose", "smallest_scale", "unscaled")
draw = jax.jit(resident_crops, static_argnames=STATIC)


def check_crops(crops: np.ndarray, crop: int) -> set[tuple[bool, bool]]:
    """Check that each crop is a mirrored or transposed part of a picture; return which variations occurred."""
    found = set()
    for item in crops.astype(int):
        swapped = item[0, 0, 0] == item[1, 0, 0]  # the row number stays along the first axis: transposed
        upright = item.swapaxes(0, 1) if swapped else item
        mirrored = upright[0, 0, 1] > upright[0, 1, 1]
        upright = upright[:, ::-1] if mirrored else upright
        top, left, number = upright[0, 0]
        np.testing.assert_array_equal(upright, PICTURES[number][top : top + crop, left : left + crop])
        found.add((bool(mirrored), bool(swapped)))
    return found


def test_crops_are_parts_of_the_pictures_in_all_variations():
    stack, sizes = stack_pictures(PICTURES)
    crops = np.asarray(draw(stack, sizes, jax.random.key(0), count=120, crop=16))
    assert len(check_crops(crops, 16)) == 4
    assert set(crops[:, 0, 0, 2]) == {0, 1, 2}
    plain = np.asarray(draw(stack, sizes, jax.random.key(0), count=40, crop=16, flip=False, transpose=False))
    assert check_crops(plain, 16) == {(False, False)}


def test_crops_that_keep_their_scale_keep_their_samples():
    stack, sizes = stack_pictures(PICTURES)
    crops = draw(stack, sizes, jax.random.key(0), count=60, crop=16, smallest_scale=0.5, unscaled=1.0)
    assert len(check_crops(np.asarray(crops), 16)) == 4


def test_without_scaling_the_program_only_slices():
    stack, sizes = stack_pictures(PICTURES)
    make = functools.partial(resident_crops, count=4, crop=16)
    assert "dot_general" not in str(jax.make_jaxpr(make)(stack, sizes, jax.random.key(0)))
    scaled = functools.partial(make, smallest_scale=0.5)
    assert "dot_general" in str(jax.make_jaxpr(scaled)(stack, sizes, jax.random.key(0)))


def test_reduced_crops_are_what_pillow_makes_of_a_square():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (24, 22, 3), np.uint8), rng.integers(0, 256, (21, 30, 3), np.uint8)]
    squares = [
        np.asarray(Image.fromarray(square).resize((16, 16), Image.Resampling.LANCZOS)).astype(int)
        for picture in pictures
        for side in range(16, min(24, *picture.shape[:2]) + 1)
        for top in range(picture.shape[0] - side + 1)
        for left in range(picture.shape[1] - side + 1)
        for square in [np.ascontiguousarray(picture[top : top + side, left : left + side])]
    ]
    stack, sizes = stack_pictures(pictures)
    settings = {"smallest_scale": 0.7, "unscaled": 0.0, "flip": False, "transpose": False}
    crops = np.asarray(draw(stack, sizes, jax.random.key(1), count=60, crop=16, **settings)).astype(int)
    errors = [min(int(np.abs(item - square).max()) for square in squares) for item in crops]
    assert max(errors) <= 1
    assert len({item.tobytes() for item in crops}) > 30


def test_the_weights_of_a_kernel_sum_to_one_inside_the_span():
    weights = np.asarray(lanczos_weights(jnp.int32(3), jnp.int32(20), length=30, crop=16))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert not weights[:, :3].any() and not weights[:, 23:].any()
    same = np.asarray(lanczos_weights(jnp.int32(2), jnp.int32(16), length=30, crop=16))
    np.testing.assert_allclose(same, np.eye(30)[2:18], atol=1e-6)


def test_a_stack_that_would_be_mostly_empty_is_refused():
    pictures = (coordinates(8, 200, 0), coordinates(200, 8, 1), *(coordinates(8, 8, 2),) * 50)
    with pytest.raises(ConfigError, match="without --resident"):
        stack_pictures(pictures)
