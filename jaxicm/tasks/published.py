"""The published networks of `jaxicm.tasks.zoo` as `TaskFunctions`."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxicm.tasks import mask_rcnn, mask_rcnn_loss, own_labels, squeezenet, yolox, yolox_loss
from jaxicm.tasks.functions import Outputs, TaskFunctions
from jaxicm.tasks.importing import read_arrays
from jaxicm.tasks.resizing import resize
from jaxicm.tasks.targets import Targets

SCORES = "scores"
"""Level of YOLOX: the roots of what it takes the probability of each class in each cell to be."""
SQUEEZENET_SIDE = 416
"""Longest side of the pictures that SqueezeNet sees: it was trained with 227."""


def _yolox_scale(height: int, width: int) -> float:
    return yolox.letterbox_size(height, width)[2]


def _yolox_outputs(params: Mapping[str, Any], images: Array, scale: float, targets: Targets | None) -> Outputs:
    canvas = yolox_loss.prepare(images, scale)
    levels = yolox.pyramid(params, canvas)
    raw = yolox.outputs(params, levels)
    losses = {} if targets is None else yolox_loss.losses_of(raw, canvas, images, targets, scale)
    # Half of a logarithm of a probability is the logarithm of its root.
    roots = jnp.exp(0.5 * (jax.nn.log_sigmoid(raw[..., 4:5]) + jax.nn.log_sigmoid(raw[..., 5:])))
    return Outputs({**levels, SCORES: roots, "raw": raw}, losses)


def _yolox_own_losses(params: Any, original: Mapping[str, Array], decoded: Mapping[str, Array]) -> dict[str, Array]:
    del params
    return own_labels.yolox(original, decoded)


def _mask_rcnn_scale(height: int, width: int) -> float:
    return mask_rcnn.resized_size(height, width)[0] / height


def _mask_rcnn_outputs(params: Mapping[str, Any], images: Array, scale: float, targets: Targets | None) -> Outputs:
    if targets is None:
        return Outputs(mask_rcnn_loss.features(params, images, scale), {})
    return Outputs(*mask_rcnn_loss.outputs(params, images, targets, scale=scale))


def _squeezenet_scale(height: int, width: int) -> float:
    return min(1.0, SQUEEZENET_SIDE / max(height, width))


def _squeezenet_outputs(params: Mapping[str, Any], images: Array, scale: float, targets: Targets | None) -> Outputs:
    del targets
    height, width = (max(squeezenet.LEAST_SIDE, round(side * scale)) for side in images.shape[1:3])
    return Outputs(squeezenet.features(params, resize(images, height, width, antialias=True)), {})


def _no_losses(params: Any, original: Mapping[str, Array], decoded: Mapping[str, Array]) -> dict[str, Array]:
    del params, original, decoded
    return {}


YOLOX = TaskFunctions(
    "yolox_nano",
    (*yolox.LEVELS, SCORES),
    ("box",),
    _yolox_scale,
    _yolox_outputs,
    _yolox_own_losses,
    yolox.load_parameters,
)
MASK_RCNN = TaskFunctions(
    "mask_rcnn",
    ("c4",),
    ("box", "mask"),
    _mask_rcnn_scale,
    _mask_rcnn_outputs,
    own_labels.mask_rcnn,
    mask_rcnn.load_parameters,
)
SQUEEZENET = TaskFunctions(
    "squeezenet",
    ("fire3", "fire5", "fire7", "fire9"),
    (),
    _squeezenet_scale,
    _squeezenet_outputs,
    _no_losses,
    lambda path: squeezenet.parameters(read_arrays(path), str(path)),
)
FUNCTIONS = {functions.name: functions for functions in (YOLOX, MASK_RCNN, SQUEEZENET)}
