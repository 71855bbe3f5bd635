"""Integer parameters back to trainable ones."""

import numpy as np

from jaxicm.entropy.progressive_frozen import FrozenProgressive, interpolate_integers


def test_thawed_parameters_freeze_to_the_same_integers(tiny_parameters, tiny_config):
    first = FrozenProgressive.freeze(tiny_parameters["entropy"], tiny_config.entropy)
    thawed = first.thaw()
    assert {k: v.shape for k, v in thawed.items()} == {k: v.shape for k, v in tiny_parameters["entropy"].items()}
    again = FrozenProgressive.freeze(thawed, tiny_config.entropy)
    for name, array in first.to_arrays().items():
        if name.endswith((".weight", ".exponent")) or name.startswith("b"):
            continue  # a kernel may gain a power of two; what counts is the value
        np.testing.assert_array_equal(array, again.to_arrays()[name])
    for name, kernel in first.kernels.items():
        np.testing.assert_array_equal(kernel.real(), again.kernels[name].real())
    for slot in range(7):
        for name in first.kernels:
            np.testing.assert_array_equal(first.bias_real(name, slot, 800), again.bias_real(name, slot, 800))


def test_biases_meet_their_anchors_and_stay_between_them():
    anchors = np.array([[-7, 100], [50, -3], [1 << 23, 0]], np.int32)
    for quality_q4, expected in ((16, anchors[0]), (808, anchors[1]), (1600, anchors[2])):
        np.testing.assert_array_equal(interpolate_integers(anchors, quality_q4), expected)
    middle = interpolate_integers(anchors, 412)
    np.testing.assert_array_equal(middle, [(-7 + 50) // 2, (100 - 3) // 2])
