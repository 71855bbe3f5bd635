"""The losses of Mask R-CNN: against loops over anchors, regions and objects, as Detectron2 matches them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFilter

from jaxicm.tasks import mask_rcnn, mask_rcnn_loss
from jaxicm.tasks.boxes import apply_deltas
from jaxicm.tasks.interface import COCO_IDS
from jaxicm.tasks.mask_rcnn_loss import Match
from jaxicm.tasks.roi_align import roi_align
from jaxicm.tasks.targets import MASK_SIDE, Objects, Targets, pad_objects

QUICKLY = {"xla_backend_optimization_level": 0}
PROPOSAL_WEIGHTS, BOX_WEIGHTS = (1, 1, 1, 1), (10, 10, 5, 5)
TERMS = {"proposal_object", "proposal_box", "class", "box", "mask"}

proposal_losses = jax.jit(mask_rcnn_loss.proposal_losses)
mask_loss = jax.jit(mask_rcnn_loss.mask_loss)


@jax.jit
def region_losses(logits, deltas, regions, usable, boxes, classes, real):
    match = mask_rcnn_loss.match_regions(regions, usable, boxes, real)
    return mask_rcnn_loss.region_losses(logits, deltas, regions, match, boxes, classes)


def overlap_of(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def offsets(a, b, weights) -> np.ndarray:
    wide, high = a[2] - a[0], a[3] - a[1]
    dx, dy = ((b[0] + b[2]) - (a[0] + a[2])) / 2 / wide, ((b[1] + b[3]) - (a[1] + a[3])) / 2 / high
    return np.array(weights) * [dx, dy, np.log((b[2] - b[0]) / wide), np.log((b[3] - b[1]) / high)]


def cross_entropy(logit: float, wanted: float) -> float:
    return np.logaddexp(0.0, -float(logit) if wanted else float(logit))


def near_boxes(rng: np.random.Generator, boxes: np.ndarray, count: int, shift: float) -> np.ndarray:
    """Draw boxes around given ones."""
    chosen = boxes[rng.integers(0, len(boxes), count)]
    moved = chosen + rng.normal(0, shift, (count, 4)) * np.tile(chosen[:, 2:] - chosen[:, :2], 2)
    return np.concatenate([np.minimum(moved[:, :2], moved[:, 2:] - 2), moved[:, 2:]], 1).astype(np.float32)


def scene(seed: int, count: int, shift: float) -> dict[str, np.ndarray]:
    """Draw three objects that lie apart, a fourth that nothing fits, and boxes around the three."""
    rng = np.random.default_rng(seed)
    boxes = np.array([[10, 10, 60, 50], [70, 20, 150, 120], [20, 80, 60, 150], [300, 300, 310, 390]], np.float32)
    boxes += rng.uniform(-4, 4, boxes.shape).astype(np.float32)
    regions = near_boxes(rng, boxes[:3], count, shift)
    regions[0] = boxes[3] + [0, -30, 0, -60]
    return {"boxes": boxes, "regions": regions, "classes": np.array([5, 0, 79, 33], np.int32)}


def padded(of: dict[str, np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    room = count - len(of["classes"])
    real = np.arange(count) < len(of["classes"])
    return np.pad(of["boxes"], ((0, room), (0, 0))), np.pad(of["classes"], (0, room)), real


def slow_proposal_losses(logits, deltas, anchors, boxes) -> tuple[dict[str, float], int, int]:
    """Return the terms, and how many anchors are positive and negative."""
    pairs = np.array([[overlap_of(a, b) for b in boxes] for a in anchors.astype(np.float64)])
    labels = []
    for a in range(len(anchors)):
        label = 1 if pairs[a].max() >= 0.7 else 0 if pairs[a].max() < 0.3 else -1
        for b in range(len(boxes)):
            if pairs[a, b] == pairs[:, b].max() > 0:
                label = 1
        labels.append(label)
    positives, negatives = labels.count(1), labels.count(0)
    drawn = min(positives, 128)
    share = {1: drawn / positives, 0: min(negatives, 256 - drawn) / negatives, -1: 0.0}
    terms = {"proposal_object": 0.0, "proposal_box": 0.0}
    for a, label in enumerate(labels):
        terms["proposal_object"] += share[label] * cross_entropy(logits[a], label == 1) / 256
        if label == 1:
            wanted = offsets(anchors[a], boxes[pairs[a].argmax()], PROPOSAL_WEIGHTS)
            terms["proposal_box"] += share[1] * np.abs(deltas[a] - wanted).sum() / 256
    return terms, positives, negatives


def slow_region_losses(logits, deltas, regions, usable, boxes, classes) -> tuple[dict[str, float], int]:
    """Return the terms, and how many regions are positive."""
    labels, objects = [], []
    for region, use in zip(regions.astype(np.float64), usable, strict=True):
        pairs = [overlap_of(region, b) for b in boxes]
        objects.append(int(np.argmax(pairs)))
        labels.append((1 if max(pairs) >= 0.5 else 0) if use else -1)
    positives, negatives = labels.count(1), labels.count(0)
    drawn = [min(negatives, 512 - min(positives, 128)), min(positives, 128)]
    terms = {"class": 0.0, "box": 0.0}
    for r, (label, n) in enumerate(zip(labels, objects, strict=True)):
        if label < 0:
            continue
        share = drawn[label] / (positives if label else negatives)
        chances = np.exp(logits[r].astype(np.float64))
        terms["class"] -= share * np.log(chances[classes[n] if label else 80] / chances.sum())
        if label:
            wanted = offsets(regions[r], boxes[n], BOX_WEIGHTS)
            terms["box"] += share * np.abs(deltas[r, classes[n]] - wanted).sum()
    return {name: value / sum(drawn) for name, value in terms.items()}, positives


@pytest.mark.parametrize(("seed", "shift"), [(0, 0.03), (1, 0.15)])
def test_anchors_are_compared_as_in_the_official_loops(seed, shift):
    of, rng = scene(seed, 300, shift), np.random.default_rng(seed)
    far = near_boxes(rng, np.array([[200, 10, 260, 90]], np.float32), 250, 0.1)
    anchors = np.concatenate([of["regions"], far])
    logits, deltas = rng.normal(0, 2, 550).astype(np.float32), rng.normal(size=(550, 4)).astype(np.float32)
    expected, positives, negatives = slow_proposal_losses(logits, deltas, anchors, of["boxes"])
    assert (positives > 128) == (seed == 0)  # more than the sample holds, or fewer
    assert negatives > 256 - min(positives, 128)
    assert overlap_of(anchors[0], of["boxes"][3]) < 0.7  # positive because no anchor fits its object better
    boxes, _, real = padded(of, 4)
    found = proposal_losses(logits, deltas, anchors, boxes, real)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name
    boxes, _, real = padded(of, 20)
    more = proposal_losses(logits, deltas, anchors, boxes, real)
    for name, value in expected.items():
        assert float(more[name]) == pytest.approx(value, rel=1e-4), name


def test_all_anchors_that_fit_an_object_best_are_positive():
    """Two anchors overlap it equally, by 4 of 16 squares of 10 pixels; a third less."""
    anchors = np.array([[0, 0, 40, 20], [0, 20, 40, 40], [0, 0, 15, 15]], np.float32)
    match = mask_rcnn_loss.match_anchors(anchors, jnp.array([[10.0, 10.0, 30.0, 30.0]]), jnp.array([True]))
    np.testing.assert_array_equal(match.positive, [True, True, False])
    np.testing.assert_array_equal(match.negative, [False, False, True])


@pytest.mark.parametrize(("count", "shift"), [(60, 0.15), (250, 0.08), (700, 0.08)])
def test_regions_are_compared_as_in_the_official_loops(count, shift):
    of, rng = scene(2, count, shift), np.random.default_rng(count)
    regions = np.concatenate([of["regions"], near_boxes(rng, np.array([[200, 10, 260, 90]], np.float32), count, 0.1)])
    usable = rng.uniform(size=2 * count) < 0.8
    logits = rng.normal(0, 2, (2 * count, 81)).astype(np.float32)
    deltas = rng.normal(size=(2 * count, 80, 4)).astype(np.float32)
    expected, positives = slow_region_losses(logits, deltas, regions, usable, of["boxes"], of["classes"])
    assert (positives > 128) == (count > 60)  # more than the sample holds, or fewer
    for places in (4, 9):
        found = region_losses(logits, deltas, regions, usable, *padded(of, places))
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_a_random_sample_has_its_size_and_the_weights_are_its_mean():
    rng = np.random.default_rng(0)
    positive = rng.uniform(size=500) < 0.5
    negative = ~positive & (rng.uniform(size=500) < 0.9)
    match = Match(jnp.zeros(500, jnp.int32), jnp.zeros(500), jnp.asarray(positive), jnp.asarray(negative))
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: mask_rcnn_loss.sample_weights(match, 256, 0.25, key)))(keys))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert np.all(drawn[:, positive].sum(1) == 64)
    assert np.all(drawn[:, negative].sum(1) == 192)
    assert not np.any(drawn[:, ~positive & ~negative])
    expected = np.asarray(mask_rcnn_loss.sample_weights(match, 256, 0.25))
    np.testing.assert_allclose(expected, 64 / positive.sum() * positive + 192 / negative.sum() * negative, rtol=1e-6)
    np.testing.assert_allclose(drawn.mean(0), expected, atol=0.06)  # five standard deviations
    few = match._replace(positive=match.positive & (np.arange(500) < 100), negative=match.negative & False)
    np.testing.assert_array_equal(mask_rcnn_loss.sample_weights(few, 256, 0.25, keys[0]), few.positive)


def test_offsets_are_those_that_move_an_anchor_to_its_box():
    of = scene(3, 30, 0.2)
    boxes = near_boxes(np.random.default_rng(1), of["boxes"], 30, 0.2)
    weights = (10.0, 9.0, 5.0, 4.0)
    deltas = mask_rcnn_loss.box_deltas(jnp.asarray(of["regions"]), jnp.asarray(boxes), weights)
    moved = apply_deltas(jnp.asarray(of["regions"]), deltas, weights)
    np.testing.assert_allclose(moved, boxes, atol=2e-3)


def test_masks_are_cut_out_by_shared_area():
    """Cells of the mask are rectangles of the picture, and so are the region's bins."""
    rng = np.random.default_rng(0)
    masks = rng.uniform(0, 1, (2, 8, 8)).astype(np.float32)
    boxes = np.array([[10, 20, 50, 36], [0, 0, 24, 40]], np.float32)
    regions = np.array([[14, 16, 62, 34], [-3, 5, 20, 37]], np.float32)
    expected = np.zeros((2, 6, 6))
    for k in range(2):
        (x0, y0, x1, y1), (u0, v0, u1, v1) = boxes[k], regions[k]
        for p in range(6):
            for q in range(6):
                wide, high = (u1 - u0) / 6, (v1 - v0) / 6
                bin_x, bin_y = u0 + q * wide, v0 + p * high
                for i in range(8):
                    for j in range(8):
                        cell_x, cell_y = x0 + j * (x1 - x0) / 8, y0 + i * (y1 - y0) / 8
                        sx = min(bin_x + wide, cell_x + (x1 - x0) / 8) - max(bin_x, cell_x)
                        sy = min(bin_y + high, cell_y + (y1 - y0) / 8) - max(bin_y, cell_y)
                        expected[k, p, q] += masks[k, i, j] * max(sx, 0) * max(sy, 0) / wide / high
    found = mask_rcnn_loss.cut_masks(jnp.asarray(masks), jnp.asarray(boxes), jnp.asarray(regions), 6)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_masks_are_compared_where_regions_match():
    """Objects that cover the left half of their boxes, and regions as wide as the box or as its left half."""
    masks = np.zeros((2, 56, 56), np.float32)
    masks[:, :, :28] = 1
    boxes = np.array([[0, 0, 40, 20], [50, 50, 90, 130]], np.float32)
    regions = np.array([[50, 50, 90, 130], [0, 0, 20, 20], [3, 3, 9, 9]], np.float32)
    logits = np.random.default_rng(0).normal(size=(3, 28, 28)).astype(np.float32)
    objects, counted = np.array([1, 0, 0], np.int32), np.array([True, True, False])
    half = [[cross_entropy(logits[0, p, q], q < 14) for q in range(28)] for p in range(28)]
    full = [[cross_entropy(logits[1, p, q], 1) for q in range(28)] for p in range(28)]
    found = mask_loss(logits, regions, counted, objects, boxes, masks)
    assert float(found) == pytest.approx((np.mean(half) + np.mean(full)) / 2, rel=1e-4)
    assert float(mask_loss(logits, regions, counted & False, objects, boxes, masks)) == 0.0


def test_perfect_predictions_have_no_loss():
    of = scene(4, 40, 0.05)
    match = mask_rcnn_loss.match_regions(of["regions"], jnp.ones(40, bool), jnp.asarray(of["boxes"]), jnp.ones(4, bool))
    wanted = mask_rcnn_loss.box_deltas(of["regions"], of["boxes"][match.objects], mask_rcnn.BOX_WEIGHTS)
    deltas = np.broadcast_to(np.asarray(wanted)[:, None], (40, 80, 4))
    labels = np.where(match.positive, of["classes"][match.objects], 80)
    logits = np.where(np.arange(81) == labels[:, None], 20.0, -20.0).astype(np.float32)
    args = (of["regions"], np.ones(40, bool), *padded(of, 4))
    found = region_losses(logits, deltas, *args)
    assert float(found["class"]) < 1e-6
    assert float(found["box"]) < 1e-5
    assert float(region_losses(logits, deltas + np.float32(0.1), *args)["box"]) > 0.1


@pytest.fixture(scope="module")
def small_params(draw) -> dict:
    """Draw parameters; random offsets would be hundreds of pixels and leave one region."""
    params = draw(mask_rcnn.template())
    layer = params["proposals"]["rpn_regressor.bbox_pred"]
    small = {"kernel": layer["kernel"] * 1e-3, "bias": layer["bias"]}
    return params | {"proposals": params["proposals"] | {"rpn_regressor.bbox_pred": small}}


def two_pictures() -> tuple[np.ndarray, Targets]:
    """Return a picture with two objects, one with none, and their targets with room for five."""
    rng = np.random.default_rng(0)
    boxes = np.array([[8, 10, 110, 100], [60, 30, 140, 120]], np.float32)
    masks = np.zeros((2, MASK_SIDE, MASK_SIDE), np.float32)
    masks[:, 10:50, 5:40] = 1
    nothing = Objects(np.zeros((0, 4), np.float32), np.zeros(0, np.int32), masks[:0])
    targets = pad_objects([Objects(boxes, np.array([3, 70], np.int32), masks), nothing], 5)
    return rng.uniform(0, 1, (2, 128, 160, 3)).astype(np.float32), targets


def test_the_whole_is_that_of_its_parts_with_finite_gradients(small_params):
    """The picture is seen at half its size, and so are the objects' boxes; empty places change nothing."""
    images, targets = two_pictures()

    def total(images, targets):
        levels, terms = mask_rcnn_loss.outputs(small_params, images, targets, scale=0.5)
        return sum(jnp.sum(term) for term in terms.values()), (levels, terms)

    step = jax.jit(jax.value_and_grad(total, has_aux=True), compiler_options=QUICKLY)
    (_, (levels, terms)), gradient = step(images, targets)
    assert set(terms) == TERMS
    assert levels["c4"].shape == (2, 4, 5, 112)
    assert all(float(terms[name][1]) == 0.0 for name in ("proposal_box", "box", "mask"))
    assert np.all(np.isfinite(gradient))
    assert all(np.mean(np.asarray(gradient)[b] != 0) > 0.9 for b in range(2))

    c4 = levels["c4"][0]
    boxes, classes = targets.boxes[0, :2] * np.float32(0.5), np.asarray(targets.classes[0, :2])

    def parts(c4):
        logits, deltas = mask_rcnn.proposal_outputs(small_params, c4[None])
        proposed, filled = mask_rcnn.propose(logits[0], deltas[0], (64, 80))
        regions = jnp.concatenate([proposed, boxes])
        cut = roi_align(c4, regions, size=6, scale=1 / 16, samples=2)
        heads = mask_rcnn.BoxHead().apply({"params": small_params["boxes"]}, cut)
        return logits[0].reshape(-1), deltas[0].reshape(-1, 4), regions, filled, heads

    def masks(c4, regions, kinds):
        cut = roi_align(c4, regions, size=14, scale=1 / 16, samples=2)
        logits = mask_rcnn.MaskHead().apply({"params": small_params["masks"]}, cut)
        return logits[jnp.arange(len(kinds)), :, :, kinds]  # pyright: ignore

    found = jax.jit(parts, compiler_options=QUICKLY)(c4)
    logits, deltas, regions, filled, heads = jax.tree.map(np.array, found)
    usable = np.concatenate([filled, [True, True]])
    regions[~usable] = [0, 0, 1, 1]
    anchors = mask_rcnn.anchors(4, 5).reshape(-1, 4)
    expected = slow_proposal_losses(logits, deltas, anchors, boxes)[0]
    expected |= slow_region_losses(*heads, regions, usable, boxes, classes)[0]

    pairs = np.array([[overlap_of(a, b) for b in boxes] for a in regions])
    matched = np.flatnonzero(usable & (pairs.max(1) >= 0.5))
    matched = matched[np.argsort(-pairs.max(1)[matched], kind="stable")][: mask_rcnn_loss.MASKS]
    assert {100, 101} < set(matched)  # the objects' own boxes and others
    objects = pairs[matched].argmax(1)
    mask_logits = jax.jit(masks, compiler_options=QUICKLY)(c4, regions[matched], classes[objects])
    side = 28
    cut = mask_rcnn_loss.cut_masks(
        jnp.asarray(targets.masks[0])[objects], boxes[objects], jnp.asarray(regions[matched]), side
    )
    wanted = np.asarray(cut) >= 0.5
    expected["mask"] = np.mean(np.logaddexp(0.0, np.where(wanted, -1, 1) * np.asarray(mask_logits, np.float64)))
    for name in TERMS:
        assert float(terms[name][0]) == pytest.approx(expected[name], rel=1e-3), name


def test_a_key_gives_the_same_terms_of_a_sample(small_params):
    images, targets = two_pictures()
    found = jax.eval_shape(
        lambda key: mask_rcnn_loss.losses(small_params, jnp.asarray(images), targets, scale=0.5, key=key),
        jax.random.key(0),
    )
    assert {name: (term.shape, term.dtype) for name, term in found.items()} == dict.fromkeys(TERMS, ((2,), jnp.float32))


def test_crops_keep_the_scale_of_their_picture():
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (1, 96, 128, 3)).astype(np.float32))
    whole = mask_rcnn_loss.prepare(images)
    assert whole.shape == (1, 280, 373, 3)
    np.testing.assert_allclose(mask_rcnn_loss.prepare(images, 373 / 128), whole, atol=1e-3)
    assert mask_rcnn_loss.prepare(images[:, :48, :65], 0.5).shape == (1, 24, 32, 3)


def test_only_the_best_matches_go_through_the_mask_head(small_params, monkeypatch):
    """The head gets a fixed number of regions a picture."""
    images, targets = two_pictures()
    seen = []

    def head(params, c4, regions, classes):
        seen.append(regions.shape)
        return jnp.zeros((*classes.shape, 28, 28))

    monkeypatch.setattr(mask_rcnn_loss, "mask_outputs", head)
    jax.eval_shape(lambda x: mask_rcnn_loss.losses(small_params, x, targets, scale=0.5), jnp.asarray(images))
    assert seen == [(2, mask_rcnn_loss.MASKS, 4)]


def read_objects(found: list[dict], height: int, width: int) -> Objects:
    """Return objects of COCO's annotations, their masks by Pillow's mean over areas."""
    coded = pytest.importorskip("faster_coco_eval.core.mask")
    polygons = [one["segmentation"] for one in found]
    flat = [coded.merge(coded.frPyObjects(p, height, width)) if isinstance(p, list) else p for p in polygons]
    boxes = np.array([one["bbox"] for one in found], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    masks = [
        Image.fromarray(coded.decode(one).astype(np.float32)).resize(
            (MASK_SIDE, MASK_SIDE), Image.Resampling.BOX, box=tuple(box.tolist())
        )
        for one, box in zip(flat, boxes, strict=True)
    ]
    classes = np.array([COCO_IDS.index(one["category_id"]) for one in found], np.int32)
    return Objects(boxes, classes, np.stack([np.asarray(m) for m in masks]))


def test_a_blurred_picture_has_more_loss_and_descent_lowers_it(weights):
    folder = weights.parent
    if not (folder / "coco-train.json").is_file():
        pytest.skip("the data folder holds no coco-train")
    truth = json.loads((folder / "coco-train.json").read_text())
    found = [one for one in truth["annotations"] if one["image_id"] == 34 and not one["iscrowd"]]
    picture = Image.open(folder / "coco-train" / "000000000034.jpg").convert("RGB")
    targets = pad_objects([read_objects(found, picture.height, picture.width)], 4)
    sharp, blurred = (
        jnp.asarray(np.asarray(one, np.float32) / 255)[None]
        for one in (picture, picture.filter(ImageFilter.GaussianBlur(8)))
    )
    params = jax.device_put(mask_rcnn.load_parameters(weights / "d2go_mask_rcnn.npz"))

    def loss(images):
        terms = mask_rcnn_loss.losses(params, images, targets, scale=0.3)
        return sum(jnp.sum(term) for term in terms.values()), terms

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (before, terms_before), images = step(blurred)[0], blurred
    (clean, terms_clean), _ = step(sharp)
    assert float(before) > 1.5 * float(clean)
    assert float(terms_clean["mask"][0]) < 0.3
    assert float(terms_before["mask"][0]) > float(terms_clean["mask"][0])
    for _ in range(30):
        gradient = step(images)[1]
        images = jnp.clip(images - gradient * 2.0 / jnp.linalg.norm(gradient), 0.0, 1.0)
    assert np.all(np.isfinite(images))
    assert float(step(images)[0][0]) < 0.7 * float(before)
