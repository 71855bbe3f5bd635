"""Feature fidelity against values worked out by hand."""

import numpy as np
import pytest

from jaxicm.evaluate.feature_fidelity import feature_distance, feature_psnr


def test_feature_psnr_has_its_closed_form_on_every_level():
    coarse, fine = np.zeros((2, 3, 4), np.float32), np.full((4, 6, 2), -1.0, np.float32)
    coarse[0, 0, 0], fine[1, 1, 1] = 8, 2
    values = feature_psnr({"c": coarse, "f": fine}, {"c": coarse + np.float32(0.5), "f": fine - np.float32(0.25)})
    # peaks 8 and 2, mean squared errors 1/4 and 1/16
    assert values == pytest.approx({"c": 10 * np.log10(64 * 4), "f": 10 * np.log10(4 * 16)})


def test_equal_features_are_infinitely_faithful_and_a_level_without_a_peak_says_nothing():
    x = np.ones((2, 2, 2), np.float32)
    assert feature_psnr({"a": x, "b": -x}, {"a": x, "b": x}) == {"a": float("inf")}


def test_features_that_do_not_compare_are_refused():
    x = np.ones((2, 2, 2), np.float32)
    for measure in (feature_psnr, feature_distance):
        with pytest.raises(ValueError, match="levels must be the same"):
            measure({"a": x}, {"b": x})
        with pytest.raises(ValueError, match="level a: shapes must be the same"):
            measure({"a": x}, {"a": x[:1]})
    with pytest.raises(ValueError, match="at least one level"):
        feature_distance({}, {})


def test_feature_distance_depends_on_directions_only():
    x = np.array([[[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [2.0, 0.0]]], np.float32)
    y = np.array([[[6.0, 8.0], [0.0, 5.0], [0.0, 0.0], [-1.0, 0.0]]], np.float32)
    # parallel 0, perpendicular 2, nothing 0, opposite 4
    assert feature_distance({"a": x}, {"a": y}) == pytest.approx(6 / 4)
    assert feature_distance({"a": x, "b": x}, {"a": y, "b": x}) == pytest.approx(6 / 8)
