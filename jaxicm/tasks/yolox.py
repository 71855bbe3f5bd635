"""YOLOX-nano in Flax: pure functions from pictures to features, raw outputs and boxes, all differentiable.

Ge et al., "YOLOX: Exceeding YOLO Series in 2021", https://arxiv.org/abs/2107.08430. Batch normalisation is folded. The
module paths are the names of the official code (Apache-2.0), so weights import by name.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.tasks.convolution import Conv, upsample
from jaxicm.tasks.importing import fold, read_arrays, to_parameters
from jaxicm.tasks.resizing import resize

SIZE = 416
STRIDES = (8, 16, 32)
CLASSES = 80
GREY = 114.0
"""Value of the canvas beside the picture."""
EPSILON = 1e-3
"""Of the original's batch normalisation."""
LEVELS = ("p3", "p4", "p5")


class BaseConv(nn.Module):
    """Convolution and SiLU."""

    features: int
    size: int = 1
    stride: int = 1
    depthwise: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return nn.silu(Conv(self.features, self.size, self.stride, self.depthwise, name="conv")(x))


class SeparableConv(nn.Module):
    """Depthwise 3x3, then 1x1, SiLU after both ("DWConv")."""

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = BaseConv(x.shape[-1], 3, self.stride, depthwise=True, name="dconv")(x)
        return BaseConv(self.features, name="pconv")(x)


class Bottleneck(nn.Module):
    """1x1 and separable 3x3, the input added if `shortcut`."""

    shortcut: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = SeparableConv(x.shape[-1], name="conv2")(BaseConv(x.shape[-1], name="conv1")(x))
        return x + y if self.shortcut else y


class CSP(nn.Module):
    """Cross-stage partial layer: half of the features through bottlenecks, half around them."""

    features: int
    depth: int = 1
    shortcut: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        a = BaseConv(self.features // 2, name="conv1")(x)
        b = BaseConv(self.features // 2, name="conv2")(x)
        for i in range(self.depth):
            a = Bottleneck(self.shortcut, name=f"m.{i}")(a)
        return BaseConv(self.features, name="conv3")(jnp.concatenate([a, b], -1))


class Focus(nn.Module):
    """2x2 pixels to channels (top left, bottom left, top right, bottom right), then 3x3."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        corners = [x[:, ::2, ::2], x[:, 1::2, ::2], x[:, ::2, 1::2], x[:, 1::2, 1::2]]
        return BaseConv(self.features, 3, name="conv")(jnp.concatenate(corners, -1))


class SpatialPyramidPooling(nn.Module):
    """Maxima over 5, 9 and 13 positions beside the features; a maximum over 5 of maxima over 5 is one over 9."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = BaseConv(x.shape[-1] // 2, name="conv1")(x)
        pooled = [x]
        for _ in range(3):
            pooled.append(nn.max_pool(pooled[-1], (5, 5), padding="SAME"))
        return BaseConv(self.features, name="conv2")(jnp.concatenate(pooled, -1))


class Darknet(nn.Module):
    """The trunk: C3, C4 and C5 at strides 8, 16 and 32."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        w = self.width
        x = Focus(w, name="stem")(x)
        x = CSP(2 * w, 1, True, name="dark2.1")(SeparableConv(2 * w, 2, name="dark2.0")(x))
        c3 = CSP(4 * w, 3, True, name="dark3.1")(SeparableConv(4 * w, 2, name="dark3.0")(x))
        c4 = CSP(8 * w, 3, True, name="dark4.1")(SeparableConv(8 * w, 2, name="dark4.0")(c3))
        x = SpatialPyramidPooling(16 * w, name="dark5.1")(SeparableConv(16 * w, 2, name="dark5.0")(c4))
        return c3, c4, CSP(16 * w, 1, name="dark5.2")(x)


class Pyramid(nn.Module):
    """Trunk and path-aggregation pyramid: features with context at strides 8, 16 and 32."""

    width: int = 16

    @nn.compact
    def __call__(self, x: Array) -> dict[str, Array]:
        """Map a canvas `[B, H, W, 3]`, BGR in [0, 255], H and W divisible by 32, to features by level."""
        w = self.width
        c3, c4, c5 = Darknet(w, name="backbone")(x)
        f0 = BaseConv(8 * w, name="lateral_conv0")(c5)
        p4 = CSP(8 * w, name="C3_p4")(jnp.concatenate([upsample(f0), c4], -1))
        f1 = BaseConv(4 * w, name="reduce_conv1")(p4)
        o2 = CSP(4 * w, name="C3_p3")(jnp.concatenate([upsample(f1), c3], -1))
        down = SeparableConv(4 * w, 2, name="bu_conv2")(o2)
        o1 = CSP(8 * w, name="C3_n3")(jnp.concatenate([down, f1], -1))
        down = SeparableConv(8 * w, 2, name="bu_conv1")(o1)
        o0 = CSP(16 * w, name="C3_n4")(jnp.concatenate([down, f0], -1))
        return dict(zip(LEVELS, (o2, o1, o0), strict=True))


class Head(nn.Module):
    """Decoupled head: for every cell four numbers of a box, one of an object, one of each class."""

    width: int = 16

    @nn.compact
    def __call__(self, levels: Mapping[str, Array]) -> Array:
        """Return `[B, cells, 85]`: box offsets, object logit, class logits; cells of strides 8, 16, 32 in turn."""
        out = []
        hidden = 4 * self.width
        for k, level in enumerate(LEVELS):
            x = BaseConv(hidden, name=f"stems.{k}")(levels[level])
            by_class = by_box = x
            for i in range(2):
                by_class = SeparableConv(hidden, name=f"cls_convs.{k}.{i}")(by_class)
                by_box = SeparableConv(hidden, name=f"reg_convs.{k}.{i}")(by_box)
            parts = [
                Conv(4, name=f"reg_preds.{k}")(by_box),
                Conv(1, name=f"obj_preds.{k}")(by_box),
                Conv(CLASSES, name=f"cls_preds.{k}")(by_class),
            ]
            out.append(jnp.concatenate(parts, -1).reshape(x.shape[0], -1, 5 + CLASSES))
        return jnp.concatenate(out, 1)


def letterbox_size(height: int, width: int, size: int = SIZE) -> tuple[int, int, float]:
    """Return the height and width of the picture on the canvas and the factor by which it was scaled."""
    ratio = min(size / height, size / width)
    return max(1, int(height * ratio)), max(1, int(width * ratio)), ratio


def prepare(images: Array, size: int = SIZE) -> Array:
    """Put pictures on the canvas that the network sees, differentiably.

    Args:
        images: float32 [B, H, W, 3], RGB in [0, 1].
        size: side of the canvas, divisible by 32.

    Returns:
        float32 [B, size, size, 3], BGR in [0, 255], the picture at the top left.
    """
    height, width, _ = letterbox_size(images.shape[1], images.shape[2], size)
    inside = resize(images[..., ::-1] * 255.0, height, width, antialias=False)
    return jnp.pad(inside, ((0, 0), (0, size - height), (0, size - width), (0, 0)), constant_values=GREY)


def features(params: Mapping[str, Any], images: Array, size: int = SIZE) -> dict[str, Array]:
    """Return the pyramid of pictures `[B, H, W, 3]`, RGB in [0, 1]: "p3", "p4", "p5" of the whole canvas."""
    return pyramid(params, prepare(images, size))


def pyramid(params: Mapping[str, Any], canvas: Array) -> dict[str, Array]:
    """Return the pyramid of a canvas as `prepare` makes it."""
    module = Pyramid(_width(params))
    return module.apply({"params": params["backbone"]}, canvas)  # pyright: ignore[reportReturnType]


def outputs(params: Mapping[str, Any], levels: Mapping[str, Array]) -> Array:
    """Return the raw outputs `[B, cells, 85]` of a pyramid; see `Head`."""
    return Head(_width(params)).apply({"params": params["head"]}, levels)  # pyright: ignore[reportReturnType]


def decode(raw: Array, size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Turn raw outputs into boxes and logits.

    Args:
        raw: float32 [B, cells, 85].
        size: height and width of the canvas.

    Returns:
        Boxes [B, cells, 4] in pixels of the canvas, object logits [B, cells], class logits [B, cells, 80].
    """
    return boxes_of(raw[..., :4], size), raw[..., 4], raw[..., 5:]


def boxes_of(offsets: Array, size: tuple[int, int], largest_log: float = jnp.inf) -> Array:
    """Return the boxes `[..., cells, 4]` in pixels of a canvas that offsets `[..., cells, 4]` mean.

    Args:
        offsets: of the centre from the cell's corner in strides, and logarithms of the sides in strides.
        size: height and width of the canvas.
        largest_log: above it logarithms are cut.
    """
    grid, stride = cells(*size)
    centre = (offsets[..., :2] + grid) * stride
    half = jnp.exp(jnp.minimum(offsets[..., 2:], largest_log)) * stride * 0.5
    return jnp.concatenate([centre - half, centre + half], -1)


@cache
def cells(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row, float32 [cells, 2], and the stride [cells, 1] of every cell of a canvas."""
    grids = [np.indices((height // s, width // s))[::-1].reshape(2, -1).T for s in STRIDES]
    strides = [np.full((len(g), 1), s) for g, s in zip(grids, STRIDES, strict=True)]
    return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)


def template(width: int = 16) -> dict[str, Any]:
    """Return the shapes of the parameters, by the parts "backbone" and "head"."""
    canvas = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    levels, backbone = jax.eval_shape(Pyramid(width).init_with_output, jax.random.key(0), canvas)
    head = jax.eval_shape(Head(width).init, jax.random.key(0), levels)
    return {"backbone": backbone["params"], "head": head["params"]}


def load_parameters(path: Path) -> dict[str, Any]:
    """Import YOLOX-nano's weights, the official checkpoint or a file with its names.

    Raises:
        InputError, MissingDependency: as `jaxicm.tasks.importing`.
    """
    arrays = fold(read_arrays(path), EPSILON)
    return {part: to_parameters(shapes, arrays, f"{part}.", str(path)) for part, shapes in template().items()}


def _width(params: Mapping[str, Any]) -> int:
    return params["backbone"]["backbone"]["stem"]["conv"]["conv"]["bias"].shape[0]
