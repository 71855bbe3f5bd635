"""Released weights: found by name, path and digest; damaged and foreign ones refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxicm
from jaxicm.bits.container import Header, Section, SectionKind, pack
from jaxicm.codecs import weights, zoo
from jaxicm.errors import CorruptFile, InputError, JaxicmError, UnknownWeights


@pytest.fixture(scope="module")
def original(tiny_weights) -> tuple[bytes, dict, weights.ModelInfo]:
    return tiny_weights.read_bytes(), *weights.read(tiny_weights)


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


def test_weights_come_back(tiny_weights, original):
    data, arrays, info = original
    assert info == weights.read_info(tiny_weights)
    assert (info.name, info.profile, info.size_bytes) == ("tiny", "tiny", len(data))
    assert info.digest == weights.digest_of(arrays, info.config)
    assert info.steps == 14
    assert 0 < info.provenance["overflow_proof"]["w1"] < 1
    assert {a.dtype for k, a in arrays.items() if k.startswith("entropy/")} <= {np.dtype(t) for t in ("i1", "i4")}


def test_a_codec_is_loaded_by_name_and_by_path(tiny_weights):
    assert jaxicm.load("tiny") is jaxicm.load("tiny")
    assert jaxicm.load("tiny").info.digest == jaxicm.load(str(tiny_weights)).info.digest


def test_missing_models_name_those_that_are_there(tiny_weights, tmp_path):
    with pytest.raises(InputError, match=r"no model 'nothing'.*tiny"):
        jaxicm.load("nothing")
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(InputError):
            jaxicm.load(str(path) if path.suffix else str(path) + "/x.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InputError):
        jaxicm.load(str(tmp_path / "folder.safetensors"))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"short", bytes(100), b"\x89PNG\r\n\x1a\n" + bytes(1000), b"\xff" * 100,
        (2).to_bytes(8, "little") + b"{}", (4).to_bytes(8, "little") + b"null",
        (7).to_bytes(8, "little") + b'{"a":1}',
        (22).to_bytes(8, "little") + b'{"__metadata__":[1,2]}', (22).to_bytes(8, "little") + b'{"__metadata__": null}',
    ],
    ids=range(10),
)  # fmt: skip
def test_foreign_files_are_refused(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a weight file"):
        jaxicm.load(str(path))


def test_safetensors_of_others_are_refused(tmp_path):
    from safetensors.numpy import save

    path = tmp_path / "x.safetensors"
    model = {"format": weights.FORMAT, "model": json.dumps({"digest": "00", "surprise": 1})}
    for metadata in (None, {"format": "pt"}, {"format": weights.FORMAT}, model):
        path.write_bytes(save({"a": np.zeros(3, np.float32)}, metadata))
        with pytest.raises(InputError, match="not a weight file"):
            weights.read(path)


def test_a_wrong_digest_is_refused(tmp_path, original):
    data, _, info = original
    path = tmp_path / "x.safetensors"
    path.write_bytes(data.replace(info.digest.encode(), info.digest[::-1].encode()))
    with pytest.raises(CorruptFile, match=f"{info.digest[:16]}.*{info.digest[::-1][:16]}.*copy"):
        jaxicm.load(str(path))


def test_any_flipped_bit_is_an_error_or_changes_nothing_that_matters(tmp_path, original):
    data, arrays, info = original
    rng = np.random.default_rng(0)
    header = int.from_bytes(data[:8], "little") + 8
    positions = np.concatenate([np.arange(8), rng.integers(8, header, 300), rng.integers(header, len(data), 50)])
    path = tmp_path / "x.safetensors"
    for at in positions:
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            found, described = weights.read(path)
        except JaxicmError as error:
            assert "\n" not in str(error)
            continue
        assert at < header
        assert same(found, arrays)
        assert (described.digest, described.config) == (info.digest, info.config)


def test_cut_weights_are_an_error(tmp_path, original):
    data = original[0]
    path = tmp_path / "x.safetensors"
    for size in (0, 7, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises((InputError, CorruptFile)):
            jaxicm.load(str(path))


def test_a_configuration_of_a_newer_version_is_an_error(tmp_path, original):
    _, arrays, info = original
    fields = {k: v for k, v in vars(info).items() if k not in ("name", "digest", "size_bytes")}
    path = tmp_path / "x.safetensors"
    weights.write(path, arrays, fields | {"config": info.config | {"hyper": 1}})
    with pytest.raises(InputError, match=r"hyper.*newer"):
        jaxicm.load(str(path))


def test_weights_that_are_not_installed_are_named(tiny_weights):
    data = pack(Header("image", bytes.fromhex("0123456789abcdef"), 4, 4), [Section(SectionKind.LATENT, b"x")])
    with pytest.raises(UnknownWeights, match=r"0123456789abcdef.*JAXICM_MODELS"):
        jaxicm.decode(data)
    assert zoo.find_digest(bytes.fromhex(weights.read_info(tiny_weights).digest)[:8]) == tiny_weights


def test_listing_models_needs_no_jax(tiny_weights):
    program = (
        "import sys, jaxicm.codecs.zoo as z; assert 'tiny' in [m.name for m in z.list_models()]; "
        "assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_names_are_flattened_and_back():
    tree = {"a": {"b": np.arange(3), "c": {"d": np.ones(2)}}, "e": np.zeros(1)}
    flat = weights.flatten(tree)
    assert sorted(flat) == ["a/b", "a/c/d", "e"]
    again = weights.unflatten(flat)
    np.testing.assert_array_equal(again["a"]["c"]["d"], np.ones(2))
    assert sorted(weights.part(flat, "a")) == ["b", "c/d"]
    assert Path(zoo.__file__).parent / "weights_released" in zoo.folders()
