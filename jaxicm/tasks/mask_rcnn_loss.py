"""The training losses of Mask R-CNN as functions of the pictures: of fixed shape, differentiable, the network frozen.

He et al., "Mask R-CNN", 2017, https://arxiv.org/abs/1703.06870, with the matching, sampling and weights that Detectron2
has by default. What deviates: every term is of one picture, where the original divides by the samples of the batch;
sampling is replaced by its expectation (`sample_weights`); the regions are the 100 that the network proposes when it
detects, not up to 2000; RoIAlign takes 2x2 samples a bin; of the matched regions, the `MASKS` with the best overlap go
through the mask head; and their masks are the share that the object covers of a bin, not a rasterised polygon.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxicm.tasks import mask_rcnn
from jaxicm.tasks.boxes import intersection_over_union
from jaxicm.tasks.convolution import PRECISION
from jaxicm.tasks.resizing import resize
from jaxicm.tasks.roi_align import roi_align
from jaxicm.tasks.targets import Targets

ANCHORS, ANCHORS_POSITIVE = 256, 0.5
"""Samples of anchors a picture, and the share of them that may be positive."""
ANCHOR_OVERLAP, ANCHOR_NO_OVERLAP = 0.7, 0.3
REGIONS, REGIONS_POSITIVE = 512, 0.25
REGION_OVERLAP = 0.5
MASKS = 16
"""Regions a picture that go through the mask head."""
SAMPLES = 2
"""Of RoIAlign, a bin and axis."""
ANCHOR_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
SMALLEST_SIDE = 1e-2
"""Pixels that sides of boxes count at least, so that those of empty places give no infinite offsets."""


class Match(NamedTuple):
    """The object of each of A boxes in one picture.

    Attributes:
        objects: int32 [A], the place of the object that the box overlaps most.
        overlaps: float32 [A].
        positive: bool [A], whether the box stands for the object.
        negative: bool [A], whether it stands for background; neither: it does not count.
    """

    objects: Array
    overlaps: Array
    positive: Array
    negative: Array


def outputs(
    params: Mapping[str, Any],
    images: Array,
    targets: Targets,
    *,
    scale: float | None = None,
    key: Array | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the features and the losses of pictures, the network computed once.

    Args:
        params: of all parts.
        images: float32 [B, H, W, 3], RGB in [0, 1].
        targets: their objects.
        scale: as of `prepare`.
        key: of random sampling; None: its expectation.

    Returns:
        {"c4": `[B, h, w, 112]`}, and the terms "proposal_object", "proposal_box", "class", "box" and "mask", float32
        [B]. Without objects the boxes and masks have 0; "class" is then that of background, as in the original.
    """
    canvas = prepare(images, scale)
    height, width = canvas.shape[1:3]
    c4, _ = mask_rcnn.backbone(params, canvas)
    factor = np.array([width / images.shape[2], height / images.shape[1]] * 2, np.float32)
    boxes = jnp.asarray(targets.boxes) * factor
    classes, real, masks = (jnp.asarray(a) for a in (targets.classes, targets.real, targets.masks))
    anchor_keys, region_keys = (None, None) if key is None else jax.random.split(key, (2, len(images)))

    logits, deltas = mask_rcnn.proposal_outputs(params, c4)
    anchors = jnp.asarray(mask_rcnn.anchors(*c4.shape[1:3]).reshape(-1, 4))
    flat = (logits.reshape(len(images), -1), deltas.reshape(len(images), -1, 4))
    proposal_terms = jax.vmap(proposal_losses, (0, 0, None, 0, 0, 0))(*flat, anchors, boxes, real, anchor_keys)

    proposed, filled = jax.vmap(lambda a, b: mask_rcnn.propose(a, b, (height, width)))(
        *lax.stop_gradient((logits, deltas))
    )
    regions, usable = jnp.concatenate([proposed, boxes], 1), jnp.concatenate([filled, real], 1)
    match = jax.vmap(match_regions)(regions, usable, boxes, real)
    region_terms = jax.vmap(region_losses)(
        *box_outputs(params, c4, regions), regions, match, boxes, classes, region_keys
    )

    best, places = lax.top_k(jnp.where(match.positive, match.overlaps, -1.0), min(MASKS, regions.shape[1]))
    objects = jnp.take_along_axis(match.objects, places, 1)
    regions = jnp.take_along_axis(regions, places[..., None], 1)
    mask_logits = mask_outputs(params, c4, regions, jnp.take_along_axis(classes, objects, 1))
    mask_term = jax.vmap(mask_loss)(mask_logits, regions, best > 0.0, objects, boxes, masks)
    return {"c4": c4}, {**proposal_terms, **region_terms, "mask": mask_term}


def losses(
    params: Mapping[str, Any],
    images: Array,
    targets: Targets,
    *,
    scale: float | None = None,
    key: Array | None = None,
) -> dict[str, Array]:
    """Return the losses alone; see `outputs`."""
    return outputs(params, images, targets, scale=scale, key=key)[1]


def features(params: Mapping[str, Any], images: Array, scale: float | None = None) -> dict[str, Array]:
    """Return {"c4": `[B, h, w, 112]`} alone; see `outputs`."""
    return {"c4": mask_rcnn.backbone(params, prepare(images, scale))[0]}


def prepare(images: Array, scale: float | None = None) -> Array:
    """Resize and normalise pictures, or crops of larger ones, differentiably.

    Args:
        images: float32 [B, H, W, 3], RGB in [0, 1].
        scale: pixels that the network sees a pixel of the picture, for crops: that of the picture they are cut from,
            see `mask_rcnn.resized_size`. None: the images are whole pictures.

    Returns:
        float32 [B, h, w, 3], BGR, mean removed.
    """
    if scale is None:
        return mask_rcnn.prepare(images)
    height, width = (max(1, round(side * scale)) for side in images.shape[1:3])
    return mask_rcnn.prepare(resize(images, height, width, antialias=True), keep_size=True)


def proposal_losses(
    logits: Array, deltas: Array, anchors: Array, boxes: Array, real: Array, key: Array | None = None
) -> dict[str, Array]:
    """Compare what is predicted for the anchors with the objects of one picture.

    Args:
        logits: float32 [A].
        deltas: float32 [A, 4].
        anchors: float32 [A, 4] in pixels of the resized picture.
        boxes: float32 [N, 4], as the anchors.
        real: bool [N], whether the place holds an object.
        key: as of `outputs`.

    Returns:
        The terms "proposal_object" and "proposal_box", each a scalar.
    """
    match = match_anchors(anchors, boxes, real)
    weights = sample_weights(match, ANCHORS, ANCHORS_POSITIVE, key)
    by_box = _offset_error(deltas, anchors, boxes[match.objects], ANCHOR_WEIGHTS)
    return {
        "proposal_object": jnp.sum(weights * _cross_entropy(logits, match.positive.astype(jnp.float32))) / ANCHORS,
        "proposal_box": jnp.sum(jnp.where(match.positive, weights * by_box, 0.0)) / ANCHORS,
    }


def match_anchors(anchors: Array, boxes: Array, real: Array) -> Match:
    """Match anchors that overlap an object by 0.7, and the best of each object; negative are those below 0.3."""
    pairs = jnp.where(real, intersection_over_union(anchors, boxes), 0.0)
    overlaps = jnp.max(pairs, 1)
    best = jnp.max(pairs, 0)
    # compiled, an overlap may be rounded differently where it is compared and where the maximum is taken
    positive = (overlaps >= ANCHOR_OVERLAP) | jnp.any((pairs >= (1.0 - 1e-5) * best) & (best > 0.0), 1)
    return Match(jnp.argmax(pairs, 1).astype(jnp.int32), overlaps, positive, (overlaps < ANCHOR_NO_OVERLAP) & ~positive)


def match_regions(regions: Array, usable: Array, boxes: Array, real: Array) -> Match:
    """Match regions that overlap an object by half; all others that are usable, bool [R], are negative."""
    pairs = jnp.where(real, intersection_over_union(regions, boxes), 0.0)
    overlaps = jnp.max(pairs, 1)
    positive = usable & (overlaps >= REGION_OVERLAP)
    return Match(jnp.argmax(pairs, 1).astype(jnp.int32), overlaps, positive, usable & ~positive)


def sample_weights(match: Match, count: int, most_positive: float, key: Array | None = None) -> Array:
    """Return how often each box is in a random sample: positive ones first, then negative ones up to the count.

    Args:
        match: of A boxes.
        count: size of the sample, less where there are fewer.
        most_positive: share of it that may be positive.
        key: draw a sample. None: the probability of each box, so a sum with these weights is the expectation of a
            sample's sum, without its noise.

    Returns:
        float32 [A], 0 or 1 with a key.
    """
    found = [jnp.sum(group.astype(jnp.float32)) for group in (match.positive, match.negative)]
    positive = jnp.minimum(found[0], float(int(count * most_positive)))
    taken = (positive, jnp.minimum(found[1], count - positive))
    weights = jnp.zeros(match.positive.shape, jnp.float32)
    draws = None if key is None else jax.random.uniform(key, weights.shape)
    for group, all_of_it, some in zip((match.positive, match.negative), found, taken, strict=True):
        if draws is None:
            weights += jnp.where(group, some / jnp.maximum(all_of_it, 1.0), 0.0)
        else:
            order = jnp.argsort(jnp.where(group, draws, 2.0))
            chosen = (jnp.arange(len(order)) < some).astype(jnp.float32)
            weights = weights.at[order].add(chosen)
    return weights


def region_losses(
    logits: Array,
    deltas: Array,
    regions: Array,
    match: Match,
    boxes: Array,
    classes: Array,
    key: Array | None = None,
) -> dict[str, Array]:
    """Compare what is predicted for the regions of one picture with its objects.

    Args:
        logits: float32 [R, 81], background last.
        deltas: float32 [R, 80, 4].
        regions: float32 [R, 4] in pixels of the resized picture.
        match: of the regions.
        boxes: float32 [N, 4], as the regions.
        classes: int32 [N].
        key: as of `outputs`.

    Returns:
        The terms "class" and "box", each a scalar.
    """
    weights = sample_weights(match, REGIONS, REGIONS_POSITIVE, key)
    kinds = classes[match.objects]
    labels = jnp.where(match.positive, kinds, mask_rcnn.CLASSES)
    by_class = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)[:, 0]
    own = jnp.take_along_axis(deltas, kinds[:, None, None], 1)[:, 0]
    by_box = _offset_error(own, regions, boxes[match.objects], mask_rcnn.BOX_WEIGHTS)
    count = jnp.maximum(jnp.sum(weights), 1.0)
    return {
        "class": jnp.sum(weights * by_class) / count,
        "box": jnp.sum(jnp.where(match.positive, weights * by_box, 0.0)) / count,
    }


def mask_loss(logits: Array, regions: Array, counted: Array, objects: Array, boxes: Array, masks: Array) -> Array:
    """Compare predicted masks of one picture with those of the objects.

    Args:
        logits: float32 [K, m, m], of the objects' classes.
        regions: float32 [K, 4] in pixels of the resized picture.
        counted: bool [K], whether the place is a match.
        objects: int32 [K], the objects' places.
        boxes: float32 [N, 4], as the regions.
        masks: float32 [N, M, M], see `Targets`.

    Returns:
        The mean over counted regions; 0 where there are none.
    """
    side = logits.shape[-1]
    wanted = (cut_masks(masks[objects], boxes[objects], regions, side) >= 0.5).astype(jnp.float32)
    by_region = jnp.mean(_cross_entropy(logits, wanted), (1, 2))
    return jnp.sum(jnp.where(counted, by_region, 0.0)) / jnp.maximum(jnp.sum(counted.astype(jnp.float32)), 1.0)


def cut_masks(masks: Array, boxes: Array, regions: Array, side: int) -> Array:
    """Return the share of each bin of a region that an object covers, as two small matrices for each region.

    Args:
        masks: float32 [K, M, M], on the boxes.
        boxes: float32 [K, 4], of the objects.
        regions: float32 [K, 4].
        side: bins a side.

    Returns:
        float32 [K, side, side]; nothing is covered beyond the box.
    """
    cells = masks.shape[-1]

    def axis(start: Array, end: Array, box_start: Array, box_end: Array) -> Array:
        step = cells / jnp.maximum(box_end - box_start, SMALLEST_SIDE)
        length = jnp.maximum(end - start, SMALLEST_SIDE) * step / side
        low = ((start - box_start) * step)[:, None] + length[:, None] * jnp.arange(side)
        low, high = low[..., None], (low + length[:, None])[..., None]
        cell = jnp.arange(cells)
        shared = jnp.minimum(high, cell + 1.0) - jnp.maximum(low, cell)
        return jnp.maximum(shared, 0.0) / length[:, None, None]

    rows = axis(regions[:, 1], regions[:, 3], boxes[:, 1], boxes[:, 3])
    columns = axis(regions[:, 0], regions[:, 2], boxes[:, 0], boxes[:, 2])
    return jnp.einsum("kpi,kij,kqj->kpq", rows, masks, columns, precision=PRECISION)


def box_deltas(anchors: Array, boxes: Array, weights: tuple[float, float, float, float]) -> Array:
    """Return the offsets `[..., 4]` by which `boxes.apply_deltas` makes anchors `[..., 4]` the boxes `[..., 4]`."""
    sides, wanted = (jnp.maximum(b[..., 2:] - b[..., :2], SMALLEST_SIDE) for b in (anchors, boxes))
    shift = (boxes[..., :2] + boxes[..., 2:] - anchors[..., :2] - anchors[..., 2:]) * 0.5
    return jnp.concatenate([shift / sides, jnp.log(wanted / sides)], -1) * jnp.asarray(weights, jnp.float32)


def _offset_error(deltas: Array, anchors: Array, boxes: Array, weights: tuple[float, float, float, float]) -> Array:
    return jnp.sum(jnp.abs(deltas - lax.stop_gradient(box_deltas(anchors, boxes, weights))), -1)


def _cross_entropy(logits: Array, wanted: Array) -> Array:
    return jax.nn.softplus(logits) - logits * wanted


def box_outputs(params: Mapping[str, Any], c4: Array, regions: Array) -> tuple[Array, Array]:
    """Return class logits `[B, R, 81]` and deltas `[B, R, 80, 4]` of regions `[B, R, 4]`."""
    cut = _cut(c4, regions, 6)
    logits, deltas = mask_rcnn.BoxHead().apply({"params": params["boxes"]}, cut)
    shape = regions.shape[:2]
    return jnp.reshape(logits, (*shape, -1)), jnp.reshape(deltas, (*shape, -1, 4))  # pyright: ignore


def mask_outputs(params: Mapping[str, Any], c4: Array, regions: Array, classes: Array) -> Array:
    """Return the masks' logits `[B, K, 28, 28]` of regions `[B, K, 4]` for their classes `[B, K]`."""
    logits = mask_rcnn.MaskHead().apply({"params": params["masks"]}, _cut(c4, regions, 14))
    own = jnp.take_along_axis(logits, classes.reshape(-1, 1, 1, 1), -1)[..., 0]  # pyright: ignore
    return own.reshape(*regions.shape[:2], *own.shape[1:])


def _cut(c4: Array, regions: Array, size: int) -> Array:
    """Return regions `[B, R, 4]` of C4, `[B * R, size, size, 112]`."""
    cut = jax.vmap(lambda c, r: roi_align(c, r, size=size, scale=1 / mask_rcnn.STRIDE, samples=SAMPLES))(c4, regions)
    return cut.reshape(-1, *cut.shape[2:])
