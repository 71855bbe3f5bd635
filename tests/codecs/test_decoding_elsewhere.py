"""A file decodes to the same symbols in another process, with other threads, instructions, kernels and devices."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

PROBE = Path(__file__).with_name("decode_probe.py")
SIZES = [(3, 5), (130, 200), (700, 1130)]
WAYS = {
    "as it is": "",
    "one thread": "--xla_cpu_multi_thread_eigen=false",
    "SSE4.2": "--xla_cpu_max_isa=SSE4_2",
    "Eigen instead of YNNPACK": "--xla_cpu_experimental_ynn_fusion_type=",
    "8 devices": "--xla_force_host_platform_device_count=8",
}


@pytest.fixture(scope="module")
def made(tiny_codec, photograph, tmp_path_factory) -> tuple[list[Path], list]:
    """Encode pictures in this process."""
    folder = tmp_path_factory.mktemp("files")
    paths, results = [], []
    for size in SIZES:
        results.append(tiny_codec.encode_detail(photograph(*size), quality=70))
        paths.append(folder / f"{size[0]}x{size[1]}.jicm")
        paths[-1].write_bytes(results[-1].data)
    return paths, results


def decode_elsewhere(weights: Path, files: list[Path], out: Path, flags: str, platform: str = "cpu") -> dict:
    # Without the cache, so that the process compiles its functions under its own settings.
    settings = {"XLA_FLAGS": flags, "JAX_PLATFORMS": platform, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    words = [sys.executable, PROBE, out, weights, *files]
    done = subprocess.run(words, env=os.environ | settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(outcome: dict, out: Path, codec, made: tuple[list[Path], list]) -> None:
    expected = [hashlib.sha256(np.ascontiguousarray(r.values_q4).tobytes()).hexdigest() for r in made[1]]
    assert outcome["symbols"] == expected
    with np.load(out) as images:
        for path, result in zip(*made, strict=True):
            here = codec.decode(result.data).astype(int)
            assert np.abs(images[path.stem] - here).max() <= 1


@pytest.mark.parametrize("way", WAYS)
def test_a_fresh_process_decodes_the_same_symbols(tiny_codec, tiny_weights, made, tmp_path, way):
    out = tmp_path / "images.npz"
    outcome = decode_elsewhere(tiny_weights, made[0], out, WAYS[way])
    check(outcome, out, tiny_codec, made)
    assert outcome["devices"] == (8 if way == "8 devices" else 1)


@pytest.mark.parametrize("way", ["one thread", "SSE4.2", "8 devices"])
def test_lossless_files_decode_elsewhere(tiny_lossless, private_folders, photograph, tmp_path, way):
    weights = private_folders / "models" / "tiny_lossless.safetensors"
    pictures = {"colour": photograph(130, 200), "grey": photograph(70, 90)[..., 0]}
    paths = [tmp_path / f"{name}.jicm" for name in pictures]
    for path, picture in zip(paths, pictures.values(), strict=True):
        path.write_bytes(tiny_lossless.encode(picture))
    out = tmp_path / "images.npz"
    decode_elsewhere(weights, paths, out, WAYS[way])
    with np.load(out) as found:
        for name, picture in pictures.items():
            np.testing.assert_array_equal(found[name], picture)


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU beside the CPU")
def test_a_cpu_decodes_what_a_gpu_encoded(tiny_codec, tiny_weights, made, tmp_path):
    out = tmp_path / "images.npz"
    check(decode_elsewhere(tiny_weights, made[0], out, ""), out, tiny_codec, made)
