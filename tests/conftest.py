"""What all tests share: nothing of the user's is read or written, and a tiny codec is at hand."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# OpenBLAS's threads wait for each other by spinning: on a busy machine an eigendecomposition takes 40 times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

if TYPE_CHECKING:
    from jaxicm.codecs.image import ImageCodec
    from jaxicm.models.image import ImageConfig

SEED = 1
SPREAD = {"taps_mu": 0.15, "taps_log": 0.004, "o": 0.06, "b1": 0.2, "b2": 0.2, "bu": 0.2, "bo": 0.1}
"""Noise in parameters of the probability model; those that a training run starts at zero would hide mistakes."""


@pytest.fixture(scope="session", autouse=True)
def private_folders() -> Iterator[Path]:
    """Point caches and models to temporary folders for the whole session."""
    with tempfile.TemporaryDirectory(prefix="jaxicm-tests-") as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        (folder / "models").mkdir()
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("JAXICM_MODELS", str(folder / "models"))
        patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        yield folder


@pytest.fixture(scope="session")
def photograph() -> Callable[..., np.ndarray]:
    """Return a function (height, width, seed=0) that draws a smooth picture with edges and noise, uint8 `[H, W, 3]`."""

    def draw(height: int, width: int, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:height, 0:width] / 32.0
        out = np.full((height, width, 3), 128.0)
        for _ in range(6):
            wave = np.sin(x * rng.normal(0, 1) + y * rng.normal(0, 1) + rng.uniform(0, 6))
            out += (np.sign(wave) if rng.random() < 0.3 else wave)[..., None] * rng.normal(0, 18, 3)
        return np.clip(out + rng.normal(0, 3, out.shape), 0, 255).astype(np.uint8)

    return draw


@pytest.fixture(scope="session")
def tiny_config() -> "ImageConfig":
    """Return a configuration as deep as the profile `fast`, but 16 channels wide."""
    from jaxicm.entropy.progressive import ProgressiveConfig
    from jaxicm.models.image import ImageConfig
    from jaxicm.models.stage16 import TransformConfig

    transform = TransformConfig(channels=16, fine_width=16, coarse_width=16, anchors=2)
    return ImageConfig(transform, ProgressiveConfig(channels=16, groups=2, hidden=16, anchors=2))


@pytest.fixture(scope="session")
def tiny_parameters(tiny_config: "ImageConfig", photograph: Callable[..., np.ndarray]) -> dict:
    """Draw the tiny codec's parameters, none of them zero, the linear parts from the statistics of pictures.

    Drawn with numpy: the same in every version of JAX, and without the 20 seconds that compiling `init` takes.
    """
    import jax
    import jax.numpy as jnp

    from jaxicm.models.image import ImageModel, start_from_statistics

    x, key = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32), jax.random.key(0)
    shapes = jax.eval_shape(ImageModel(tiny_config).init, key, x, jax.ShapeDtypeStruct((1,), jnp.float32))["params"]
    rng = np.random.default_rng(SEED)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        layer, name = ("", "", *(part.key for part in path))[-2:]
        fan_in = np.prod(leaf.shape[:-1]) if layer != "entropy" else leaf.shape[-2]
        spread = 0.1 if layer == "mix" else 0.2 if layer == "pixels" else 1.0
        if name in ("bias", "log_gain"):
            return np.full(leaf.shape, 0.05, np.float32)
        return rng.normal(0, SPREAD.get(name, spread / np.sqrt(fan_in)), leaf.shape).astype(np.float32)

    params = jax.tree_util.tree_map_with_path(draw, shapes)
    noise = params["entropy"]["bo"]
    pictures = np.stack([photograph(128, 128, seed) for seed in range(8)])
    params = jax.tree.map(np.asarray, start_from_statistics(params, tiny_config, pictures))
    params["entropy"]["bo"] = params["entropy"]["bo"] + noise
    return params


@pytest.fixture(scope="session")
def tiny_weights(tiny_parameters: dict, tiny_config: "ImageConfig", private_folders: Path) -> Path:
    """Freeze the tiny codec; it is installed under the name "tiny"."""
    from jaxicm.train.freeze import freeze_parameters

    path = private_folders / "models" / "tiny.safetensors"
    freeze_parameters(
        tiny_parameters, tiny_config, path, profile="tiny", trained_on="nothing", provenance={"seed": SEED}
    )
    return path


@pytest.fixture(scope="session")
def tiny_codec(tiny_weights: Path) -> "ImageCodec":
    """Load the tiny codec."""
    import jaxicm

    return jaxicm.load(str(tiny_weights))
