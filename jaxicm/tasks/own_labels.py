"""Task losses without ground truth: what a frozen network finds in the original picture labels the decoded one.

Fischer et al., "Evaluation of Video Coding for Machines without Ground Truth", 2022, https://arxiv.org/abs/2205.06519,
judge decoded pictures by detections in the uncompressed ones ("pseudo ground truth"); "On Annotation-free Optimization
of Video Coding for Machines", 2024, https://arxiv.org/abs/2406.07938, trains with them. What deviates: the labels are
soft, as in knowledge distillation (Hinton et al., 2015, https://arxiv.org/abs/1503.02531). There is no threshold that
makes a detection; every cell and region counts with the probability that it holds an object. All terms are of one
picture, at least 0, 0 where both pictures are the same, and in nats where they compare probabilities.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxicm.tasks.boxes import area, intersection_over_union
from jaxicm.tasks.mask_rcnn import STRIDE, proposal_outputs, propose
from jaxicm.tasks.mask_rcnn_loss import MASKS, box_outputs, mask_outputs
from jaxicm.tasks.yolox import STRIDES
from jaxicm.tasks.yolox_loss import BOX_WEIGHT, decode

BACKGROUND_WEIGHT = 1 / 16
"""How much a region counts in the term "class" that is surely background; one that surely holds an object has 1."""
SMOOTH_BELOW = 0.005
"""Where the errors of boxes, 1 - IoU^2 and the L1 of offsets in units of `mask_rcnn.BOX_WEIGHTS`, become parabolas.

Else equal boxes, which differ by rounding, would have the slope of unequal ones."""
SMALLEST_AREA = 1e-4
"""Square pixels that the original's boxes have at least; smaller ones are not compared."""


def yolox(original: Mapping[str, Array], decoded: Mapping[str, Array]) -> dict[str, Array]:
    """Compare what YOLOX finds in decoded pictures with what it finds in the originals.

    Args:
        original: "p3", float32 [B, h, w, C], of a canvas of (8 h)x(8 w) pixels, and "raw", float32 [B, cells, 85],
            the raw outputs for it, see `yolox.Head`; a constant to gradients.
        decoded: the same of the decoded pictures.

    Returns:
        The terms "object", "class" and "box" (weighted with 5 as in training), float32 [B]: sums over cells, divided by
        the number of cells with an object that the scores in the original let expect, at least 1.
    """
    labels, raw = lax.stop_gradient(original["raw"]), decoded["raw"]
    size = (decoded["p3"].shape[1] * STRIDES[0], decoded["p3"].shape[2] * STRIDES[0])
    objects = jax.nn.sigmoid(labels[..., 4])
    scores = objects * jnp.max(jax.nn.sigmoid(labels[..., 5:]), -1)
    count = jnp.maximum(jnp.sum(scores, -1), 1.0)
    wanted, boxes = decode(labels, size), decode(raw, size)
    overlaps = intersection_over_union(boxes[..., None, :], wanted[..., None, :])[..., 0, 0]
    by_box = jnp.where(area(wanted) >= SMALLEST_AREA, _smooth(1.0 - overlaps**2), 0.0)
    by_class = jnp.sum(bernoulli_divergence(labels[..., 5:], raw[..., 5:]), -1)
    return {
        "object": jnp.sum(bernoulli_divergence(labels[..., 4], raw[..., 4]), -1) / count,
        "class": jnp.sum(objects * by_class, -1) / count,
        "box": BOX_WEIGHT * jnp.sum(scores * by_box, -1) / count,
    }


def mask_rcnn(
    params: Mapping[str, Any], original: Mapping[str, Array], decoded: Mapping[str, Array]
) -> dict[str, Array]:
    """Compare what Mask R-CNN finds in decoded pictures with what it finds in the originals.

    Both pictures' heads look at the regions that the network proposes for the original, with 2x2 samples a bin.

    Args:
        params: of all parts.
        original: {"c4": float32 [B, h, w, 112]} of (16 h)x(16 w) pixels; a constant to gradients.
        decoded: the same of the decoded pictures.

    Returns:
        The terms "proposal_object" (a sum over anchors, divided by the objects expected among them, at least 1),
        "class" and "box" (sums over regions, divided likewise) and "mask" (of the 16 regions that most probably hold an
        object, likewise), float32 [B]. Offsets and masks are those of the class that is likeliest in the original.
    """
    labels, c4 = lax.stop_gradient(original["c4"]), decoded["c4"]
    size = (c4.shape[1] * STRIDE, c4.shape[2] * STRIDE)

    wanted_anchors, shifts = proposal_outputs(params, labels)
    regions, filled = jax.vmap(lambda a, b: propose(a, b, size))(wanted_anchors, shifts)
    by_anchor = bernoulli_divergence(wanted_anchors, proposal_outputs(params, c4)[0])
    expected = jnp.maximum(jnp.sum(jax.nn.sigmoid(wanted_anchors), (1, 2, 3)), 1.0)

    wanted_logits, wanted_deltas = box_outputs(params, labels, regions)
    logits, deltas = box_outputs(params, c4, regions)
    found = jnp.where(filled, jnp.sum(jax.nn.softmax(wanted_logits)[..., :-1], -1), 0.0)
    count = jnp.maximum(jnp.sum(found, -1), 1.0)
    weights = jnp.where(filled, found + BACKGROUND_WEIGHT * (1.0 - found), 0.0)
    best = jnp.argmax(wanted_logits[..., :-1], -1)
    off = jnp.take_along_axis(deltas - wanted_deltas, best[..., None, None], 2)[:, :, 0]

    most, places = lax.top_k(found, min(MASKS, found.shape[1]))
    regions, classes = jnp.take_along_axis(regions, places[..., None], 1), jnp.take_along_axis(best, places, 1)
    wanted_masks, masks = (mask_outputs(params, x, regions, classes) for x in (labels, c4))
    by_mask = jnp.mean(bernoulli_divergence(wanted_masks, masks), (2, 3))
    return {
        "proposal_object": jnp.sum(by_anchor, (1, 2, 3)) / expected,
        "class": jnp.sum(weights * _class_divergence(wanted_logits, logits), -1) / count,
        "box": jnp.sum(found * jnp.sum(_smooth(off), -1), -1) / count,
        "mask": jnp.sum(most * by_mask, -1) / jnp.maximum(jnp.sum(most, -1), 1.0),
    }


@jax.custom_jvp
def bernoulli_divergence(labels: Array, logits: Array) -> Array:
    """Return the Kullback-Leibler divergence of events with the given logits, of the same shape, in nats.

    It is the binary cross-entropy less the label's entropy, and differentiable in `logits` only.
    """
    # Turned so that the label is the less likely outcome: then no softplus of large numbers cancels another.
    sign = jnp.where(labels > 0.0, -1.0, 1.0)
    a, b = sign * labels, sign * logits
    return jnp.maximum(jax.nn.sigmoid(a) * (a - b) + jax.nn.softplus(b) - jax.nn.softplus(a), 0.0)


# By hand, so that it is exactly zero where both are the same.
bernoulli_divergence.defjvps(
    None, lambda tangent, _, labels, logits: tangent * (jax.nn.sigmoid(logits) - jax.nn.sigmoid(labels))
)


def _class_divergence(labels: Array, logits: Array) -> Array:
    """Return the Kullback-Leibler divergence of softmaxes over the last axis."""
    wanted, found = jax.nn.log_softmax(labels), jax.nn.log_softmax(logits)
    return jnp.maximum(jnp.sum(jnp.exp(wanted) * (wanted - found), -1), 0.0)


def _smooth(x: Array) -> Array:
    """Return the absolute value, less half of `SMOOTH_BELOW`, and a parabola below it (Girshick, "Fast R-CNN")."""
    size = jnp.abs(x)
    return jnp.where(size < SMOOTH_BELOW, 0.5 / SMOOTH_BELOW * x**2, size - 0.5 * SMOOTH_BELOW)
