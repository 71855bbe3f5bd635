"""Mask R-CNN with an FBNetV3-A trunk (D2Go, "FBNetV3-A dsmask C4") in Flax: pure functions for every stage.

He et al., "Mask R-CNN", 2017, https://arxiv.org/abs/1703.06870; https://github.com/facebookresearch/d2go (Apache-2.0).
Batch normalisation is folded. Module paths are the official names behind `PREFIXES`, so weights import by name. The
four parts of the parameters are "backbone", "proposals", "boxes" and "masks".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.tasks.boxes import apply_deltas, clip_boxes, non_maximum_suppression
from jaxicm.tasks.convolution import Conv, Dense, Extent
from jaxicm.tasks.fbnet import STAGES, UP, Block, Sequence, Trunk
from jaxicm.tasks.importing import fold, read_arrays, to_parameters
from jaxicm.tasks.resizing import resize
from jaxicm.tasks.roi_align import roi_align

SHORT_SIDE, LONG_SIDE = 280, 400
STRIDE = 16
CLASSES = 80
CHANNELS = 112
MEAN_BGR = (103.530, 116.280, 123.675)
EPSILON = 1e-5
"""Of the original's batch normalisation."""
ANCHOR_SIZES, ANCHOR_RATIOS = (32, 64, 96, 128, 160), (0.5, 1.0, 2.0)
CANDIDATES, PROPOSALS, PROPOSAL_OVERLAP = 1000, 100, 0.7
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
PREFIXES = {
    "backbone": "backbone.body.",
    "proposals": "proposal_generator.rpn_head.",
    "boxes": "roi_heads.",
    "masks": "roi_heads.mask_head.",
}
Params = Mapping[str, Any]


class ProposalHead(nn.Module):
    """Logit and four offsets of every anchor."""

    @nn.compact
    def __call__(self, x: Array, extent: Extent = None) -> tuple[Array, Array]:
        """Map C4 `[B, h, w, 112]` to logits `[B, h, w, 15]` and deltas `[B, h, w, 60]` (four of each anchor)."""
        x = Sequence((Block(5, 448, 1, CHANNELS),) * 3, name="rpn_feature")(x, extent)
        anchors = len(ANCHOR_SIZES) * len(ANCHOR_RATIOS)
        logits = Conv(anchors, name="rpn_regressor.cls_logits")(x)
        return logits, Conv(4 * anchors, name="rpn_regressor.bbox_pred")(x)


class BoxHead(nn.Module):
    """Class and refined box of every region."""

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Map regions `[N, 6, 6, 112]` to logits `[N, 81]`, background last, and deltas `[N, 80, 4]`."""
        wide = Block(3, 768, 1, 128)
        blocks = (Block(3, 448, 2, 128), wide, wide, Block(3, 768, 1, 160))
        x = jnp.mean(Sequence(blocks, name="box_head.roi_box_conv")(x), (1, 2))
        deltas = Dense(4 * CLASSES, name="box_predictor.bbox_pred")(x)
        return Dense(CLASSES + 1, name="box_predictor.cls_score")(x), deltas.reshape(-1, CLASSES, 4)


class MaskHead(nn.Module):
    """A mask of every region and class."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map regions `[N, 14, 14, 112]` to logits `[N, 28, 28, 80]`."""
        wide = Block(3, 768, 1, 128)
        blocks = (Block(3, 448, 2, 128), wide, wide, Block(3, 768, UP, 128), Block(3, 384, UP, 64))
        x = Sequence(blocks, name="feature_extractor")(x)
        return Conv(CLASSES, name="predictor.mask_fcn_logits")(x)


def resized_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width with a short side of 280 pixels, or less where the long side would pass 400."""
    scale = min(SHORT_SIDE / min(height, width), LONG_SIDE / max(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def prepare(images: Array, *, keep_size: bool = False) -> Array:
    """Resize and normalise pictures, differentiably.

    Args:
        images: float32 [B, H, W, 3], RGB in [0, 1].
        keep_size: leave the size as it is, for instance of training crops.

    Returns:
        float32 [B, h, w, 3], BGR, mean removed.
    """
    height, width = images.shape[1:3] if keep_size else resized_size(*images.shape[1:3])
    return normalise(resize(images[..., ::-1] * 255.0, height, width, antialias=True))


def normalise(bgr: Array) -> Array:
    """Remove the mean of BGR in [0, 255]."""
    return bgr - jnp.asarray(MEAN_BGR, jnp.float32)


def features(params: Params, images: Array, *, keep_size: bool = False) -> dict[str, Array]:
    """Return {"c4": `[B, h, w, 112]`} of pictures `[B, H, W, 3]`, RGB in [0, 1]."""
    return {"c4": backbone(params, prepare(images, keep_size=keep_size))[0]}


def backbone(params: Params, canvas: Array, extent: Extent = None) -> tuple[Array, Extent]:
    """Return C4 of normalised pictures and the part of it that is real.

    Args:
        params: of all parts.
        canvas: float32 [B, H, W, 3].
        extent: rows and columns that hold a picture; the result on them is that of the picture alone.
    """
    return Trunk(STAGES).apply({"params": params["backbone"]}, canvas, extent)  # pyright: ignore[reportReturnType]


def proposal_outputs(params: Params, c4: Array, extent: Extent = None) -> tuple[Array, Array]:
    """Return logits `[B, h, w, 15]` and deltas `[B, h, w, 60]` of all anchors; see `anchors`."""
    return ProposalHead().apply({"params": params["proposals"]}, c4, extent)  # pyright: ignore[reportReturnType]


def anchors(height: int, width: int) -> np.ndarray:
    """Return the anchors of a feature map, float32 [height, width, 15, 4], in pixels of the resized picture."""
    sizes = np.array([(s * np.sqrt(1 / r), s * np.sqrt(r)) for s in ANCHOR_SIZES for r in ANCHOR_RATIOS])
    centred = np.concatenate([-sizes, sizes], 1) / 2
    rows, columns = np.mgrid[:height, :width] * STRIDE
    shift = np.stack([columns, rows, columns, rows], -1)
    return (shift[:, :, None] + centred).astype(np.float32)


def propose(
    logits: Array, deltas: Array, size: tuple[Array | int, Array | int], extent: Extent = None
) -> tuple[Array, Array]:
    """Choose the regions of one picture that the heads look at.

    Args:
        logits: float32 [h, w, 15].
        deltas: float32 [h, w, 60].
        size: height and width of the resized picture.
        extent: part of the features that is real.

    Returns:
        Boxes [100, 4] in pixels of the resized picture, best first, and bool [100]: whether the place is filled.
    """
    height, width = logits.shape[:2]
    boxes = apply_deltas(
        jnp.asarray(anchors(height, width)), deltas.reshape(height, width, -1, 4), (1.0, 1.0, 1.0, 1.0)
    )
    boxes = clip_boxes(boxes, *size).reshape(-1, 4)
    if extent is not None:
        rows, columns = jnp.arange(height)[:, None] < extent[0], jnp.arange(width) < extent[1]
        logits = jnp.where((rows & columns)[..., None], logits, -jnp.inf)
    scores, order = jax.lax.top_k(logits.reshape(-1), min(CANDIDATES, logits.size))
    boxes = boxes[order]
    empty = jnp.any(boxes[:, 2:] <= boxes[:, :2], -1)
    candidates = jnp.where(empty, -jnp.inf, scores)[:, None]
    count = min(PROPOSALS, len(order))
    kept, _, filled = non_maximum_suppression(boxes, candidates, overlap=PROPOSAL_OVERLAP, count=count)
    return boxes[kept], filled


def box_outputs(params: Params, c4: Array, boxes: Array, extent: Extent = None) -> tuple[Array, Array]:
    """Return class logits `[N, 81]` and deltas `[N, 80, 4]` of regions.

    Args:
        params: of all parts.
        c4: float32 [h, w, 112] of one picture.
        boxes: float32 [N, 4] in pixels of the resized picture.
        extent: part of the features that is real.
    """
    regions = roi_align(c4, boxes, size=6, scale=1 / STRIDE, samples=None, extent=extent)
    return BoxHead().apply({"params": params["boxes"]}, regions)  # pyright: ignore[reportReturnType]


def refine(boxes: Array, deltas: Array, size: tuple[Array | int, Array | int]) -> Array:
    """Return the box of every region `[N, 4]` as each class sees it, `[N, 80, 4]`, cut at the border."""
    return clip_boxes(apply_deltas(boxes[:, None], deltas, BOX_WEIGHTS), *size)


def mask_outputs(params: Params, c4: Array, boxes: Array, classes: Array, extent: Extent = None) -> Array:
    """Return the logits `[N, 28, 28]` of each region's mask for its class, int32 [N]; else as `box_outputs`."""
    regions = roi_align(c4, boxes, size=14, scale=1 / STRIDE, samples=None, extent=extent)
    logits = MaskHead().apply({"params": params["masks"]}, regions)
    return jnp.take_along_axis(logits, classes[:, None, None, None], -1)[..., 0]  # pyright: ignore


def template() -> dict[str, Any]:
    """Return the shapes of the parameters by part."""
    modules = {
        "backbone": (Trunk(STAGES), (1, 64, 64, 3)),
        "proposals": (ProposalHead(), (1, 4, 4, CHANNELS)),
        "boxes": (BoxHead(), (1, 6, 6, CHANNELS)),
        "masks": (MaskHead(), (1, 14, 14, CHANNELS)),
    }
    key = jax.random.key(0)
    return {
        part: jax.eval_shape(module.init, key, jax.ShapeDtypeStruct(shape, jnp.float32))["params"]
        for part, (module, shape) in modules.items()
    }


def load_parameters(path: Path) -> dict[str, Any]:
    """Import the weights of D2Go's Mask R-CNN: float, or 8-bit with scales.

    Raises:
        InputError, MissingDependency: as `jaxicm.tasks.importing`.
    """
    arrays = fold(read_arrays(path), EPSILON)
    return {part: to_parameters(shapes, arrays, PREFIXES[part], str(path)) for part, shapes in template().items()}
