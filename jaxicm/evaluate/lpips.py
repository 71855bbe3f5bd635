"""Perceptual distances of decoded pictures: LPIPS where the user has its weights, and a plain feature distance.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018,
https://arxiv.org/abs/1801.03924, version 0.1 with SqueezeNet 1.1: seven feature maps of both pictures, every position's
vector divided by its length, squared differences weighted by channel, averaged over positions, summed over the maps.

LPIPS means torchvision's ImageNet weights and the published linear ones. Caffe's SqueezeNet has the same shapes and
would give other values: its distance has its own name.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import InputError

VARIABLE = "JAXICM_LPIPS"
"""Environment variable: the folder with torchvision's squeezenet1_1 and the linear weights `squeeze` of LPIPS 0.1."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""What LPIPS subtracts from and divides RGB in [-1, 1] by."""
EPSILON = 1e-10
CHANNELS = (64, 128, 256, 384, 384, 512, 512)
"""Of the seven feature maps."""


@dataclass(frozen=True, eq=False)
class Lpips:
    """LPIPS 0.1 with SqueezeNet.

    Attributes:
        params: of SqueezeNet's trunk.
        linear: the weight of each channel, seven float32 vectors, not negative.
        digest: sha256 of all weights, hexadecimal.
    """

    params: Mapping[str, Any]
    linear: tuple[np.ndarray, ...]
    digest: str
    name: str = "lpips"

    @classmethod
    def load(cls, folder: Path | None = None) -> "Lpips":
        """Read both weight files, told apart by the names in them.

        Args:
            folder: with .npz, .safetensors or .pth files; by default what JAXICM_LPIPS names.

        Raises:
            InputError: if a part is not there.
            MissingDependency: for .pth without torch.
        """
        from jaxicm.tasks.importing import SUFFIXES, read_arrays
        from jaxicm.tasks.squeezenet import parameters

        named = folder or os.environ.get(VARIABLE)
        if not named:
            raise InputError(
                "LPIPS needs torchvision's squeezenet1_1 and the linear weights of lpips 0.1 (squeeze); put both into "
                f"a folder and name it in {VARIABLE}"
            )
        arrays: dict[str, np.ndarray] = {}
        for path in sorted(p for p in Path(named).glob("*") if p.suffix in SUFFIXES):
            arrays |= read_arrays(path)
        linear = tuple(_linear(arrays, i, str(named)) for i in range(len(CHANNELS)))
        trunk = {name: array for name, array in arrays.items() if name.startswith("features.")}
        if not trunk:
            raise InputError(
                f"{named}: no torchvision squeezenet1_1 ('features.0.weight'); Caffe's will not do for LPIPS"
            )
        state = hashlib.sha256()
        for array in (*(trunk[name] for name in sorted(trunk)), *linear):
            state.update(np.ascontiguousarray(array, np.float32).tobytes())
        return cls(parameters(trunk, str(named)), linear, state.hexdigest())

    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return the distance of two pictures, uint8 [H, W, 3] RGB of the same size, at least 17x17; 0 if equal."""
        return _distance(self.params, self.linear, a, b, caffe=False)


@dataclass(frozen=True, eq=False)
class FeatureDistance:
    """SqueezeNet(Caffe) unit-normalised feature distance: LPIPS's formula, all weights 1, and other features.

    Its values are not LPIPS values, nor comparable with them.

    Attributes:
        params: of SqueezeNet's trunk with Caffe's weights.
        digest: sha256 of the weight file.
    """

    params: Mapping[str, Any]
    digest: str
    name: str = "squeezenet-caffe-distance"

    @classmethod
    def load(cls, path: Path | None = None) -> "FeatureDistance":
        """Take the weights of the task network `squeezenet`; see `jaxicm.tasks.zoo.load` for `path` and errors."""
        from jaxicm.tasks import zoo
        from jaxicm.tasks.squeezenet import SqueezeNet

        network = SqueezeNet.load(path or zoo.find("squeezenet"))
        return cls(network.params, network.digest)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        """Return the distance of two pictures, uint8 [H, W, 3] RGB of the same size, at least 17x17; 0 if equal."""
        ones = tuple(np.ones(count, np.float32) for count in CHANNELS)
        return _distance(self.params, ones, a, b, caffe=True)


def _linear(arrays: Mapping[str, np.ndarray], level: int, folder: str) -> np.ndarray:
    name = f"lin{level}.model.1.weight"
    if name not in arrays:
        raise InputError(f"{folder}: no '{name}', one of the linear weights of lpips 0.1; add its file squeeze.pth")
    if arrays[name].size != CHANNELS[level]:
        raise InputError(
            f"{folder}: '{name}' has {arrays[name].size} values, SqueezeNet's has {CHANNELS[level]}; take the file "
            "squeeze.pth, not alex.pth or vgg.pth"
        )
    return arrays[name].reshape(-1).astype(np.float32)


def _distance(params: Mapping[str, Any], linear: tuple, a: np.ndarray, b: np.ndarray, *, caffe: bool) -> float:
    from jaxicm.tasks.squeezenet import on_canvas

    for picture in (a, b):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"pictures must be uint8 [H, W, 3], got {picture.dtype} {picture.shape}")
    if a.shape != b.shape:
        raise ValueError(f"pictures must have the same shape, got {a.shape} and {b.shape}")
    canvas, size = on_canvas([a, b])
    return float(_compiled(caffe)(params, linear, canvas, size))


@cache
def _compiled(caffe: bool):
    """Return the jitted distance (one trace a canvas size) of a pair on a canvas uint8 [2, h, w, 3]."""
    import jax
    import jax.numpy as jnp

    from jaxicm.tasks import squeezenet

    def distance(params: Mapping[str, Any], linear: tuple, canvas: jax.Array, size: tuple) -> jax.Array:
        images = canvas.astype(jnp.float32) / 255.0
        if caffe:
            normalised = squeezenet.prepare(images)
        else:
            normalised = (images * 2.0 - 1.0 - jnp.asarray(SHIFT)) / jnp.asarray(SCALE)
        total = jnp.float32(0)
        for weights, (level, extent) in zip(linear, squeezenet.levels(params, normalised, size).values(), strict=True):
            assert extent is not None
            length = jnp.sqrt(jnp.sum(level**2, -1, keepdims=True))
            unit = level / (length + EPSILON)
            # beyond the extent both are zero
            total += jnp.sum((unit[0] - unit[1]) ** 2 * weights) / (extent[0] * extent[1])
        return total

    return jax.jit(distance)
