"""Transforms in weight files: half precision, or kernels of 8 bits with a scale for each output channel."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxicm
from jaxicm.codecs import weights
from jaxicm.codecs.transform_arrays import SCALE, from_arrays, to_arrays
from jaxicm.errors import ConfigError
from jaxicm.models.image import ImageConfig
from jaxicm.train.freeze import freeze_parameters


def test_kernels_of_8_bits_are_within_half_a_level():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 4, 5)).astype(np.float32) * np.array([1, 10, 0.01, 0, 3], np.float32)
    tree = {"synthesis": {"up": {"kernel": kernel, "bias": kernel[0, 0, 0]}, "klt": kernel[0, 0]}, "log_gain": kernel}
    arrays = to_arrays(tree, 8)
    assert {name: array.dtype.name for name, array in arrays.items() if not name.endswith(SCALE)} == {
        "synthesis/up/kernel": "int8",
        "synthesis/up/bias": "float16",
        "synthesis/klt": "int8",
        "log_gain": "float32",
    }
    again = from_arrays(arrays)
    level = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    assert (np.abs(again["synthesis"]["up"]["kernel"] - kernel) <= level / 2 + 1e-6).all()
    np.testing.assert_array_equal(again["log_gain"], kernel)
    np.testing.assert_array_equal(from_arrays(to_arrays(again, 8))["synthesis"]["klt"], again["synthesis"]["klt"])


def test_half_precision_needs_no_scales():
    tree = {"analysis": {"kernel": np.array([[0.1, 1e-9]], np.float32)}}
    arrays = to_arrays(tree, 16)
    assert list(arrays) == ["analysis/kernel"]
    np.testing.assert_array_equal(from_arrays(arrays)["analysis"]["kernel"], np.float16([[0.1, 0]]).astype(np.float32))


def test_a_codec_with_kernels_of_8_bits_is_smaller_and_decodes_what_it_wrote(
    tiny_config, tiny_parameters, tiny_weights, tmp_path, photograph
):
    config = dataclasses.replace(tiny_config, kernel_bits=8)
    path = tmp_path / "small.safetensors"
    freeze_parameters(tiny_parameters, config, path, profile="tiny", trained_on="nothing", provenance={})
    small, large = (weights.part(weights.read(file)[0], "transform") for file in (path, tiny_weights))
    assert sum(a.nbytes for a in small.values()) < 0.65 * sum(a.nbytes for a in large.values())
    image = photograph(90, 70, 3)
    shown = []
    for file in (path, tiny_weights):
        codec = jaxicm.load(str(file))
        data = codec.encode(image, quality=60.0, plain=False)
        shown.append(jaxicm.load(str(file)).decode(data).astype(int))
    assert np.abs(shown[0] - shown[1]).mean() < 1.5, "8 bits change little"
    trainable = weights.load_trainable(path)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, np.shape(b)), trainable, tiny_parameters)


def test_other_bits_are_refused(tiny_config):
    with pytest.raises(ConfigError, match="kernel_bits must be 8 or 16"):
        ImageConfig(tiny_config.transform, tiny_config.entropy, kernel_bits=4)
