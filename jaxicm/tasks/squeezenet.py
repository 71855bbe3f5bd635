"""The features of SqueezeNet 1.1 in Flax: a small perceptual backbone, and the trunk of one LPIPS.

Iandola et al., "SqueezeNet", 2016, https://arxiv.org/abs/1602.07360. Weights of the original Caffe training and of
torchvision's have the same shapes but want different pictures (BGR with means; RGB scaled): they are told apart by the
names in the file, and never taken for each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.errors import InputError, OptionError
from jaxicm.tasks.convolution import Conv, Extent, clear_outside
from jaxicm.tasks.importing import Arrays, file_digest, read_arrays, to_parameters
from jaxicm.tasks.interface import Detections

FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
"""Squeezed and expanded channels of every fire module (each of the two expansions has the latter)."""
POOLED = (2, 4, 6)
"""Fire modules behind a maximum over 3x3 at stride 2."""
LEVELS = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
"""Whose features are returned, those of LPIPS."""
LEAST_SIDE = 17
"""Below this nothing is left behind the last pooling."""
MEAN_BGR = (104.0, 117.0, 123.0)
TORCHVISION = {"features.0": "conv1"} | {
    f"features.{k}.{theirs}": f"fire{n}.{ours}"
    for n, k in zip(FIRES, (3, 4, 6, 7, 9, 10, 11, 12), strict=True)
    for theirs, ours in (("squeeze", "squeeze1x1"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3"))
}
"""Names of torchvision's layers."""


class Fire(nn.Module):
    """1x1 to few channels, then 1x1 and 3x3 side by side, ReLU after each."""

    squeezed: int
    expanded: int

    @nn.compact
    def __call__(self, x: Array, extent: Extent) -> Array:
        x = clear_outside(nn.relu(Conv(self.squeezed, name="squeeze1x1")(x)), extent)
        both = [Conv(self.expanded, size, name=f"expand{size}x{size}")(x) for size in (1, 3)]
        return clear_outside(nn.relu(jnp.concatenate(both, -1)), extent)


class Trunk(nn.Module):
    """All layers up to fire9."""

    @nn.compact
    def __call__(self, x: Array, extent: Extent = None) -> dict[str, tuple[Array, Extent]]:
        """Return features and their extent by level; features are zero beyond the extent.

        Args:
            x: normalised pictures `[B, H, W, 3]`, sides at least 17.
            extent: rows and columns that hold a picture; the result on them is that of the picture alone.
        """
        x = nn.relu(Conv(64, 3, 2, padding=0, name="conv1")(x))
        if extent is not None:
            extent = ((extent[0] - 1) // 2, (extent[1] - 1) // 2)
        levels = {"conv1": (clear_outside(x, extent), extent)}
        x = levels["conv1"][0]
        for number, sizes in FIRES.items():
            if number in POOLED:
                x, extent = pool(x), None if extent is None else (extent[0] // 2, extent[1] // 2)
            x = Fire(*sizes, name=f"fire{number}")(x, extent)
            levels[f"fire{number}"] = (x, extent)
        return {name: levels[name] for name in LEVELS}


def pool(x: Array) -> Array:
    """Take the maximum over 3x3 at stride 2, windows reaching over the end if need be, of values that are >= 0."""
    room = [(0, 1 - n % 2) for n in x.shape[1:3]]
    return nn.max_pool(jnp.pad(x, ((0, 0), *room, (0, 0))), (3, 3), (2, 2))


def levels(params: Mapping[str, Any], normalised: Array, extent: Extent = None) -> dict[str, tuple[Array, Extent]]:
    """Return features and extents by level; see `Trunk`."""
    return Trunk().apply({"params": params}, normalised, extent)  # pyright: ignore[reportReturnType]


def prepare(images: Array) -> Array:
    """Turn pictures `[B, H, W, 3]`, RGB in [0, 1], into what the Caffe weights want."""
    return images[..., ::-1] * 255.0 - jnp.asarray(MEAN_BGR, jnp.float32)


def features(params: Mapping[str, Any], images: Array) -> dict[str, Array]:
    """Return the features by level of pictures `[B, H, W, 3]`, RGB in [0, 1], for the Caffe weights."""
    return {name: level for name, (level, _) in levels(params, prepare(images)).items()}


def canvas_side(length: int) -> int:
    """Round a side up to one of four lengths an octave: few compilations for pictures of all sizes."""
    step = max(8, 1 << max(0, (length - 1).bit_length() - 3))
    return -(-length // step) * step


def on_canvas(pictures: list[np.ndarray]) -> tuple[np.ndarray, tuple[np.int32, np.int32]]:
    """Put uint8 [H, W, 3] pictures of one size at the top left of a canvas `[B, h, w, 3]`; returns that and the size.

    Raises:
        InputError: if a side is below 17 pixels.
    """
    height, width = pictures[0].shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise InputError(
            f"SqueezeNet needs pictures of at least {LEAST_SIDE}x{LEAST_SIDE} pixels, not {width}x{height}"
        )
    canvas = np.zeros((len(pictures), canvas_side(height), canvas_side(width), 3), np.uint8)
    canvas[:, :height, :width] = pictures
    return canvas, (np.int32(height), np.int32(width))


@jax.jit
def _caffe_levels(params: Mapping[str, Any], canvas: Array, size: tuple[Array, Array]):
    return levels(params, prepare(canvas.astype(jnp.float32) / 255.0), size)


@dataclass(frozen=True, eq=False)
class SqueezeNet:
    """SqueezeNet 1.1 with the weights of its Caffe training: features, no objects.

    Attributes:
        params: by layer.
        digest: sha256 of the weight file.
    """

    params: Mapping[str, Any]
    digest: str
    name: str = "squeezenet"
    outputs: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> "SqueezeNet":
        """Read a weight file with Caffe's names.

        Raises:
            InputError, MissingDependency: as `jaxicm.tasks.importing`; also for torchvision's weights.
        """
        arrays = read_arrays(path)
        if "features.0.weight" in arrays:
            raise InputError(f"{path}: torchvision's weights; they serve LPIPS (JAXICM_LPIPS), here Caffe's are wanted")
        return cls(jax.device_put(parameters(arrays, str(path))), file_digest(path))

    def predict(self, pixels: np.ndarray) -> Detections:
        """Refuse: there are no objects to be had.

        Raises:
            OptionError: always.
        """
        raise OptionError("squeezenet finds no objects; it has features only, choose a detector for accuracy")

    def features(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the features by level of uint8 [H, W, 3] RGB."""
        canvas, size = on_canvas([pixels])
        out = {}
        for name, (level, extent) in _caffe_levels(self.params, canvas, size).items():
            out[name] = np.asarray(level)[0, : int(extent[0]), : int(extent[1])]
        return out


def parameters(arrays: Arrays, source: str) -> dict[str, Any]:
    """Return the trunk's parameters from arrays with Caffe's or torchvision's names; the classifier is left out.

    Raises:
        InputError: if the arrays belong to another network.
    """
    named = {}
    for name, array in arrays.items():
        layer, _, kind = name.replace("/", ".").rpartition(".")
        named[f"{TORCHVISION.get(layer, layer)}.{kind}"] = array
    picture = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    template = jax.eval_shape(Trunk().init, jax.random.key(0), picture)["params"]
    return to_parameters(template, named, "", source)
