"""LPIPS, a perceptual distance of decoded pictures, where the user has its weights.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018,
https://arxiv.org/abs/1801.03924, version 0.1 with SqueezeNet 1.1: seven feature maps of both pictures, every position's
vector divided by its length, squared differences weighted by channel, averaged over positions, summed over the maps.

LPIPS means torchvision's ImageNet weights and the published linear ones. Caffe's SqueezeNet has the same shapes and
would give other values: its distance is the feature distance of the task `squeezenet`
(`jaxicm.evaluate.feature_fidelity.feature_distance`), never called LPIPS.
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

    @classmethod
    def load(cls, folder: Path | None = None) -> "Lpips":
        """Read both weight files, told apart by the names in them.

        Args:
            folder: with .npz, .safetensors or .pth files; by default what JAXICM_LPIPS names.

        Raises:
            InputError: if a part is not there.
            MissingDependency: for .pth without torch.
        """
        named = folder or os.environ.get(VARIABLE)
        if not named:
            raise InputError(
                "LPIPS needs torchvision's squeezenet1_1 and the linear weights of lpips 0.1 (squeeze); put both into "
                f"a folder and name it in {VARIABLE}"
            )
        # below the check: whoever has no weights imports no JAX
        from jaxicm.tasks.importing import SUFFIXES, read_arrays
        from jaxicm.tasks.squeezenet import parameters

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
        for picture in (a, b):
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise ValueError(f"pictures must be uint8 [H, W, 3], got {picture.dtype} {picture.shape}")
        if a.shape != b.shape:
            raise ValueError(f"pictures must have the same shape, got {a.shape} and {b.shape}")
        from jaxicm.tasks.squeezenet import on_canvas

        canvas, size = on_canvas([a, b])
        return float(_compiled()(self.params, self.linear, canvas, size))


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


@cache
def _compiled():
    """Return the jitted distance of a pair on a canvas uint8 [2, h, w, 3]; one compilation for each canvas size."""
    import jax
    import jax.numpy as jnp

    from jaxicm.tasks.squeezenet import levels

    def distance(params: Mapping[str, Any], linear: tuple, canvas: jax.Array, size: tuple) -> jax.Array:
        images = canvas.astype(jnp.float32) / 127.5 - 1.0
        normalised = (images - jnp.asarray(SHIFT, jnp.float32)) / jnp.asarray(SCALE, jnp.float32)
        total = jnp.float32(0)
        for weights, (level, extent) in zip(linear, levels(params, normalised, size).values(), strict=True):
            assert extent is not None
            length = jnp.sqrt(jnp.sum(level**2, -1, keepdims=True))
            unit = level / (length + EPSILON)
            # beyond the extent both are zero
            total += jnp.sum((unit[0] - unit[1]) ** 2 * weights) / (extent[0] * extent[1])
        return total

    return jax.jit(distance)
