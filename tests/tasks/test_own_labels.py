"""The losses whose labels a network finds itself: against loops over cells and regions, and on real pictures."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFilter

from jaxicm.tasks import mask_rcnn, mask_rcnn_loss, own_labels, yolox, yolox_loss
from jaxicm.tasks.roi_align import roi_align

QUICKLY = {"xla_backend_optimization_level": 0}
SIZE = (96, 160)
"""Of YOLOX's canvas: 240 + 60 + 15 cells."""
CELLS = 315
C4 = (2, 3, 4, 112)
"""Two pictures of 48x64 pixels: so few anchors that not all places of regions are filled."""
TERMS = {"proposal_object", "class", "box", "mask"}


def yolox_terms(labels, raw):
    levels = {"p3": jnp.zeros((2, SIZE[0] // 8, SIZE[1] // 8, 1))}
    return own_labels.yolox({**levels, "raw": labels}, {**levels, "raw": raw})


def mask_rcnn_terms(labels, c4, params):
    return own_labels.mask_rcnn(params, {"c4": labels}, {"c4": c4})


def with_gradients(terms) -> Callable[..., Any]:
    """Compile a function of labels, decoded and parameters that returns the terms and the gradients of their sum."""

    def total(pair, *params):
        found = terms(*pair, *params)
        return sum(jnp.sum(term) for term in found.values()), found

    step = jax.jit(jax.value_and_grad(total, has_aux=True), compiler_options=QUICKLY)

    def run(labels, decoded, *params):
        (_, found), gradients = step((labels, decoded), *params)
        return {name: np.asarray(term) for name, term in found.items()}, *(np.asarray(g) for g in gradients)

    return run


yolox_step, mask_rcnn_step = with_gradients(yolox_terms), with_gradients(mask_rcnn_terms)


@pytest.fixture(scope="module")
def params(draw) -> dict:
    """Draw parameters with small offsets of proposals, and as much background as objects."""
    drawn = draw(mask_rcnn.template())
    small = drawn["proposals"]["rpn_regressor.bbox_pred"]
    drawn["proposals"]["rpn_regressor.bbox_pred"] = {"kernel": small["kernel"] * 1e-3, "bias": small["bias"]}
    drawn["boxes"]["box_predictor.cls_score"]["bias"][-1] += 4.0
    return drawn


def sigmoid(x) -> Any:
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def bernoulli(label, logit) -> Any:
    """Return the cross-entropy less the entropy."""
    p, q = sigmoid(label), sigmoid(logit)
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def smooth(x) -> float:
    return abs(x) - 0.0025 if abs(x) >= 0.005 else x**2 / 0.01


def overlap_of(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_yolox(labels, raw) -> dict[str, float]:
    """Compare the raw outputs `[cells, 85]` of one picture."""
    places = [(x, y, s) for s in (8, 16, 32) for y in range(SIZE[0] // s) for x in range(SIZE[1] // s)]
    terms, count = {"object": 0.0, "class": 0.0, "box": 0.0}, 0.0
    for (x, y, s), a, b in zip(places, labels.astype(np.float64), raw.astype(np.float64), strict=True):
        score = sigmoid(a[4]) * max(sigmoid(a[5:]))
        boxes = []
        for one in (a, b):
            middle, half = (one[:2] + np.array([x, y])) * s, np.exp(one[2:4]) * s / 2
            boxes.append([*(middle - half), *(middle + half)])
        count += score
        terms["object"] += bernoulli(a[4], b[4])
        terms["class"] += sigmoid(a[4]) * sum(bernoulli(a[k], b[k]) for k in range(5, 85))
        terms["box"] += 5 * score * smooth(1 - overlap_of(*boxes) ** 2)
    return {name: value / max(count, 1) for name, value in terms.items()}


def slow_mask_rcnn(anchors, regions, filled, masks_of) -> dict[str, float]:
    """Compare what the heads give for one picture.

    Args:
        anchors: logits in the original and in the decoded picture, [A] each.
        regions: class logits and deltas, [R, 81] and [R, 80, 4], of both.
        filled: bool [R].
        masks_of: of region and class: the mask's logits in both.
    """
    terms, found = dict.fromkeys(TERMS, 0.0), []
    terms["proposal_object"] = sum(bernoulli(a, b) for a, b in zip(*anchors, strict=True))
    terms["proposal_object"] /= max(sum(sigmoid(a) for a in anchors[0]), 1)
    for r, ((a, shifts), (b, moved)) in enumerate(zip(*(zip(*one, strict=True) for one in regions), strict=True)):
        if not filled[r]:
            continue
        p, q = (np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum() for logits in (a, b))
        chance, best = 1 - p[80], int(np.argmax(p[:80]))
        terms["class"] += (chance + p[80] / 16) * sum(p[k] * np.log(p[k] / q[k]) for k in range(81))
        terms["box"] += chance * sum(smooth(moved[best, i] - shifts[best, i]) for i in range(4))
        found.append((chance, r, best))
    for name in ("class", "box"):
        terms[name] /= max(sum(chance for chance, *_ in found), 1)
    most = sorted(found, reverse=True)[:16]
    for chance, r, best in most:
        terms["mask"] += chance * np.mean(bernoulli(*masks_of(r, best)))
    terms["mask"] /= max(sum(chance for chance, *_ in most), 1)
    return terms


def raw_pair(seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw raw outputs for two pictures, the first with more objects, and ones that lie near them."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(0, 1.5, (2, CELLS, 85))
    labels[..., :4] *= 0.3
    labels[1, :, 4] -= 8
    return labels.astype(np.float32), (labels + rng.normal(0, spread, labels.shape) * 0.5).astype(np.float32)


def c4_pair(seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.normal(0, 1, C4)
    return labels.astype(np.float32), (labels + rng.normal(0, spread, C4) * 0.5).astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1])
def test_yolox_is_compared_as_in_loops(seed):
    labels, raw = raw_pair(seed)
    found = yolox_step(labels, raw)[0]
    chances = sigmoid(labels[..., 4:])
    assert np.sum(chances[0, :, 0] * chances[0, :, 1:].max(-1)) > 1  # what the sums are divided by
    assert np.sum(chances[1, :, 0]) < 1  # there they are divided by 1
    for b in range(2):
        expected = slow_yolox(labels[b], raw[b])
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name][b] == pytest.approx(value, rel=1e-4), name


def test_mask_rcnn_is_compared_as_in_loops(params):
    labels, c4 = c4_pair(0)
    found = mask_rcnn_step(labels, c4, params)[0]
    assert set(found) == TERMS

    def heads(x, regions):
        cuts = (roi_align(x, regions, size=side, scale=1 / 16, samples=2) for side in (6, 14))
        modules = ((mask_rcnn.BoxHead(), "boxes"), (mask_rcnn.MaskHead(), "masks"))
        return [m.apply({"params": params[part]}, cut) for (m, part), cut in zip(modules, cuts, strict=True)]

    def all_heads(labels, c4):
        """Return anchors' logits of both pictures, regions of the original, and what the heads see there."""
        logits, deltas = mask_rcnn.proposal_outputs(params, labels[None])
        decoded = mask_rcnn.proposal_outputs(params, c4[None])[0]
        regions, filled = mask_rcnn.propose(logits[0], deltas[0], (48, 64))
        return (logits, decoded), filled, [heads(x, regions) for x in (labels, c4)]

    all_heads = jax.jit(all_heads, compiler_options=QUICKLY)
    for b in range(2):
        anchors, filled, of_both = jax.tree.map(np.asarray, all_heads(labels[b], c4[b]))
        assert 20 < np.sum(filled) < len(filled)
        masks = [one[1] for one in of_both]
        expected = slow_mask_rcnn(
            [x.reshape(-1) for x in anchors],
            [one[0] for one in of_both],
            filled,
            lambda r, k, masks=masks: [mask[r, :, :, k] for mask in masks],
        )
        for name, value in expected.items():
            assert found[name][b] == pytest.approx(value, rel=1e-3), name


def test_equal_pictures_have_no_loss_and_no_gradient(params):
    for step, pair in ((yolox_step, raw_pair), (lambda *a: mask_rcnn_step(*a, params), c4_pair)):
        labels, other = pair(2)
        found, _, gradient = step(labels, labels)
        assert all(np.all(np.abs(term) < 1e-5) for term in found.values())
        assert np.max(np.abs(gradient)) < 1e-5 * np.max(np.abs(step(labels, other)[2]))


@pytest.mark.parametrize("spread", [1e-5, 1e-2, 4.0])
def test_different_pictures_have_losses_above_zero_and_labels_are_constants(spread, params):
    for step, pair in ((yolox_step, raw_pair), (lambda *a: mask_rcnn_step(*a, params), c4_pair)):
        found, of_labels, gradient = step(*pair(3, spread))
        assert all(np.all(term >= 0) for term in found.values())
        if spread >= 1e-2:
            assert all(np.all(term > 0) for term in found.values())
        assert not np.any(of_labels)
        assert np.all(np.isfinite(gradient))
        assert all(np.any(one) for one in gradient)


def test_extreme_outputs_of_yolox_have_finite_losses():
    labels, raw = raw_pair(4)
    labels[0, :, 4], labels[1, :, 4:] = -200.0, -90.0
    labels[1, :60, 4:] = 90.0
    raw[1, 30:90, 4:] = -90.0
    labels[:, 40:90, 2:4], raw[:, 80:130, 2:4], raw[:, 130:160, 2:4] = -100.0, -100.0, 100.0
    found, _, gradient = yolox_step(labels, raw)
    assert all(np.all(np.isfinite(term)) for term in found.values())
    assert np.all(np.isfinite(gradient))
    assert found["class"][0] == found["box"][0] == 0.0
    assert found["object"][0] == pytest.approx(-np.log(sigmoid(-raw[0, :, 4].astype(float))).sum(), rel=1e-5)
    found = yolox_step(labels, labels)[0]
    assert all(np.all(term < 1e-5) for term in found.values())


def test_pictures_without_objects_have_finite_losses(params):
    """The background has a logit of 200 more, anchors one of 200 less."""
    empty = jax.tree.map(np.copy, params)
    empty["boxes"]["box_predictor.cls_score"]["bias"][-1] += 200.0
    empty["proposals"]["rpn_regressor.cls_logits"]["bias"] -= 200.0
    found, _, gradient = mask_rcnn_step(*c4_pair(5), empty)
    assert all(np.all(np.isfinite(term)) for term in found.values())
    assert np.all(found["box"] == 0)
    assert np.all(found["mask"] == 0)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("spread", [1e-3, 1.0, 20.0])
def test_divergences_are_precise_at_all_logits(spread):
    rng = np.random.default_rng(0)
    labels = rng.uniform(-25, 25, 1000).astype(np.float32)
    logits = np.clip(labels + rng.normal(0, spread, 1000), -25, 25).astype(np.float32)
    a, b = labels.astype(np.longdouble), logits.astype(np.longdouble)
    p, p_not, q, q_not = (1 / (1 + np.exp(x)) for x in (-a, a, -b, b))
    expected = (p * np.log(p / q) + p_not * np.log(p_not / q_not)).astype(np.float64)
    found = own_labels.bernoulli_divergence(labels, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-7)
    slope = jax.grad(lambda x: jnp.sum(own_labels.bernoulli_divergence(labels, x)))(logits)
    np.testing.assert_allclose(slope, (q - p).astype(np.float64), atol=2e-7)


def yolox_features(params, images):
    levels = yolox.pyramid(params, yolox_loss.prepare(images, 1.0))
    return {**levels, "raw": yolox.outputs(params, levels)}


def mask_rcnn_features(params, images):
    return mask_rcnn_loss.features(params, images, 1.0)


def sum_of(name, params, labels, decoded):
    both = (labels, decoded)
    terms = own_labels.yolox(*both) if name == "yolox" else own_labels.mask_rcnn(params, *both)
    return sum(jnp.sum(term) for term in terms.values())


@pytest.mark.parametrize("name", ["yolox", "mask_rcnn"])
def test_more_blur_has_more_loss_and_a_step_against_the_gradient_less(name, weights):
    file = weights.parent / "coco-train" / "000000000036.jpg"
    if not file.is_file():
        pytest.skip("the data folder holds no coco-train")
    if name == "yolox":
        params, features = yolox.load_parameters(weights / "yolox_nano.npz"), yolox_features
    else:
        params, features = mask_rcnn.load_parameters(weights / "d2go_mask_rcnn.npz"), mask_rcnn_features
    picture = Image.open(file).convert("RGB").resize((256, 192), Image.Resampling.BOX)

    def blurred(radius: float) -> jax.Array:
        return jnp.asarray(np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32)[None] / 255)

    labels = jax.jit(features, compiler_options=QUICKLY)(params, blurred(0))
    step = jax.jit(
        jax.value_and_grad(lambda images, labels, params: sum_of(name, params, labels, features(params, images))),
        compiler_options=QUICKLY,
    )
    found = {radius: step(blurred(radius), labels, params) for radius in (0, 0.5, 1, 2, 4)}
    values = [float(value) for value, _ in found.values()]
    assert values[0] < 1e-3
    assert all(b > 1.5 * a for a, b in pairwise(values)), values

    before, gradient = found[2]
    slope = float(jnp.linalg.norm(gradient))
    after = step(blurred(2) - 0.05 * gradient / slope, labels, params)[0]
    assert float(before - after) == pytest.approx(0.05 * slope, rel=0.5)
