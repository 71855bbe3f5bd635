"""Objects of pictures as arrays of fixed shape."""

import numpy as np
import pytest

from jaxicm.tasks.targets import MASK_SIDE, Objects, pad_objects


def draw_objects(sides: list[float], seed: int = 0) -> Objects:
    """Draw objects with square boxes of these sides, classes counting from 10."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 50, (len(sides), 2))
    boxes = np.concatenate([corner, corner + np.array(sides, np.float64).reshape(-1, 1)], 1).astype(np.float32)
    masks = rng.uniform(0, 1, (len(sides), MASK_SIDE, MASK_SIDE)).astype(np.float32)
    return Objects(boxes, np.arange(10, 10 + len(sides), dtype=np.int32), masks)


def test_the_largest_objects_come_first_and_stay():
    some, many = draw_objects([3, 20]), draw_objects([5, 9, 1, 30, 7], 1)
    targets = pad_objects([some, many], 3)
    np.testing.assert_array_equal(targets.real, [[True, True, False], [True, True, True]])
    np.testing.assert_array_equal(targets.classes, [[11, 10, 0], [13, 11, 14]])
    np.testing.assert_array_equal(targets.boxes[1], many.boxes[[3, 1, 4]])
    np.testing.assert_array_equal(targets.masks[0, :2], some.masks[[1, 0]])
    assert not np.any(targets.boxes[0, 2])
    assert not np.any(targets.masks[0, 2])
    assert [np.asarray(a).dtype for a in targets] == [np.float32, np.int32, np.bool_, np.float32, np.bool_]


def test_empty_boxes_are_left_out_and_a_picture_may_be_empty():
    objects = draw_objects([4, 0, 6])
    objects.boxes[2] = [10, 10, 5, 5]  # both sides negative, the area positive
    targets = pad_objects([objects, draw_objects([])], 4)
    np.testing.assert_array_equal(targets.real.sum(1), [1, 0])
    assert targets.classes[0, 0] == 10
    assert targets.masks.shape == (2, 4, MASK_SIDE, MASK_SIDE)


def test_unknown_objects_are_not_the_same_as_none():
    targets = pad_objects([None, draw_objects([4]), draw_objects([])], 2)
    np.testing.assert_array_equal(targets.known, [False, True, True])
    np.testing.assert_array_equal(targets.real, [[False, False], [True, False], [False, False]])
    assert pad_objects([None], 2).masks.shape == (1, 2, MASK_SIDE, MASK_SIDE)


def test_what_does_not_belong_together_is_refused():
    boxes, classes, masks = draw_objects([4, 5])
    with pytest.raises(ValueError, match=r"picture 0 has 2 classes.*\(1, 4\)"):
        pad_objects([Objects(boxes[:1], classes, masks)], 4)
    with pytest.raises(ValueError, match=r"picture 1 .*\(2, 28, 28\)"):
        pad_objects([Objects(boxes, classes, masks), Objects(boxes, classes, masks[:, :28, :28])], 4)
    with pytest.raises(ValueError, match="0 places"):
        pad_objects([Objects(boxes, classes, masks)], 0)
    with pytest.raises(ValueError, match="0 pictures"):
        pad_objects([], 3)
