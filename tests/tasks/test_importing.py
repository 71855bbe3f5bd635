"""Importing weights: folding against the layers it replaces, and one clear line for a wrong file."""

import builtins
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxicm.errors import InputError, MissingDependency
from jaxicm.tasks.importing import count_parameters, file_digest, fold, read_arrays, to_parameters


class Shape:
    def __init__(self, *shape: int) -> None:
        self.shape = shape


def test_folded_batch_normalisation_gives_the_same_outputs():
    rng = np.random.default_rng(0)
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = {f"a.b.bn.{name}": rng.uniform(0.5, 2, 4).astype(np.float32) for name in names}
    arrays |= {"a.b.conv.weight": rng.normal(size=(4, 3, 1, 1)).astype(np.float32)}
    arrays |= {"a.b.bn.num_batches_tracked": np.array(7), "head.weight": np.ones((2, 4, 1, 1), np.float32)}
    gamma, beta, mean, variance = (arrays[f"a.b.bn.{name}"] for name in names)
    x = rng.normal(size=(10, 3))
    expected = (x @ arrays["a.b.conv.weight"][:, :, 0, 0].T - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    folded = fold(arrays, 1e-3)
    assert set(folded) == {"a.b.conv.weight", "a.b.conv.bias", "head.weight"}
    found = x @ folded["a.b.conv.weight"][:, :, 0, 0].T + folded["a.b.conv.bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_8_bit_weights_are_multiplied_by_the_scale_of_their_output():
    arrays = {
        "x.weight_int8": np.array([[[[2]], [[-3]]], [[[127]], [[0]]]], np.int8),
        "x.weight_scale": np.array([0.5, 0.25], np.float32),
        "x.bias": np.array([1, 2], np.float32),
    }
    folded = fold(arrays, 1e-5)
    np.testing.assert_array_equal(folded["x.weight"][:, :, 0, 0], [[1, -1.5], [31.75, 0]])
    assert set(folded) == {"x.weight", "x.bias"}


def test_kernels_are_turned_and_paths_become_names():
    template = {"m.0": {"conv": {"kernel": Shape(3, 3, 2, 5), "bias": Shape(5)}}, "dense": {"kernel": Shape(4, 6)}}
    arrays = {
        "part.m.0.conv.weight": np.arange(90, dtype=np.float32).reshape(5, 2, 3, 3),
        "part.m.0.conv.bias": np.arange(5, dtype=np.float32),
        "part.dense.weight": np.arange(24, dtype=np.float32).reshape(6, 4),
    }
    params = to_parameters(template, arrays, "part.", "here")
    assert params["m.0"]["conv"]["kernel"][1, 2, 0, 4] == arrays["part.m.0.conv.weight"][4, 0, 1, 2]
    assert params["dense"]["kernel"][3, 5] == arrays["part.dense.weight"][5, 3]
    assert count_parameters(params) == 90 + 5 + 24


def test_another_networks_weights_are_refused():
    template = {"conv": {"kernel": Shape(1, 1, 2, 5)}}
    with pytest.raises(InputError, match=r"f\.npz: there is no array 'conv\.weight'"):
        to_parameters(template, {}, "", "f.npz")
    with pytest.raises(InputError, match=r"\(5, 3, 1, 1\).*\(1, 1, 2, 5\)"):
        to_parameters(template, {"conv.weight": np.zeros((5, 3, 1, 1))}, "", "f.npz")


def test_npz_and_safetensors_hold_the_same(tmp_path):
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.int8)}
    np.savez(tmp_path / "w.npz", **arrays)
    save_file(arrays, tmp_path / "w.safetensors")
    for path in (tmp_path / "w.npz", tmp_path / "w.safetensors"):
        found = read_arrays(path)
        assert set(found) == set(arrays)
        for name in arrays:
            np.testing.assert_array_equal(found[name], arrays[name])


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_damaged_missing_and_unknown_files_give_one_line(suffix, tmp_path):
    path = tmp_path / f"w{suffix}"
    with pytest.raises(InputError, match="no such file"):
        read_arrays(path)
    with pytest.raises(InputError, match="cannot be read"):
        file_digest(path)
    path.write_bytes(b"this is no weight file")
    with pytest.raises(InputError, match="not a readable weight file") as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)
    other = tmp_path / "w.bin"
    other.touch()
    with pytest.raises(InputError, match=r"not \.bin"):
        read_arrays(other)


def test_without_torch_its_files_ask_for_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_torch(name, *arguments, **options):
        if name == "torch":
            raise ImportError(name)
        return real(name, *arguments, **options)

    path = tmp_path / "w.pth"
    path.touch()
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(MissingDependency, match="pip install torch"):
        read_arrays(path)


def test_a_checkpoint_of_torch_is_read_through_its_model(tmp_path):
    torch = pytest.importorskip("torch")
    path: Path = tmp_path / "w.pth"
    torch.save({"model": {"a.weight": torch.ones(2, 3)}, "epoch": 3}, path)
    np.testing.assert_array_equal(read_arrays(path)["a.weight"], np.ones((2, 3)))
