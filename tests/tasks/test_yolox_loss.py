"""The loss of YOLOX: against loops over objects and cells, as the official code assigns them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFilter

from jaxicm.tasks import yolox, yolox_loss
from jaxicm.tasks.interface import COCO_IDS
from jaxicm.tasks.targets import MASK_SIDE, Objects, Targets, pad_objects

NARROW = 4
QUICKLY = {"xla_backend_optimization_level": 0}
SIZE = (96, 160)
"""Of the canvas: 240 + 60 + 15 cells."""
CELLS = 315

compiled = jax.jit(lambda *one: yolox_loss.raw_losses(*one, size=SIZE))


gradients_of = jax.jit(jax.jacrev(lambda *one: yolox_loss.raw_losses(*one, size=SIZE)))
"""By term."""
FEW, MANY = 5, 20
"""Places for objects: each number is compiled once."""


def all_cells() -> list[tuple[int, int, int]]:
    return [(x, y, s) for s in (8, 16, 32) for y in range(SIZE[0] // s) for x in range(SIZE[1] // s)]


def overlap_of(a, b) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cross_entropy(logit: float, wanted: float) -> float:
    return -wanted * np.log(sigmoid(logit)) - (1 - wanted) * np.log(sigmoid(-logit))


def slow_losses(raw: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> tuple[dict[str, float], list[int], int]:
    """Return the terms, the number of cells that every object asks for, and the number that several ask for."""
    raw, boxes = raw.astype(np.float64), boxes.astype(np.float64)
    predicted = []
    for (x, y, s), r in zip(all_cells(), raw, strict=True):
        middle = ((x + r[0]) * s, (y + r[1]) * s)
        half = (np.exp(r[2]) * s / 2, np.exp(r[3]) * s / 2)
        predicted.append((middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]))
    near = np.zeros((len(boxes), CELLS), bool)
    for n, (x0, y0, x1, y1) in enumerate(boxes):
        for c, (x, y, s) in enumerate(all_cells()):
            away = max(abs((x + 0.5) * s - (x0 + x1) / 2), abs((y + 0.5) * s - (y0 + y1) / 2))
            near[n, c] = away < 1.5 * s
    candidates = [c for c in range(CELLS) if near[:, c].any()]
    overlaps, costs = np.zeros_like(near, float), np.full(near.shape, np.inf)
    for n in range(len(boxes)):
        for c in candidates:
            overlaps[n, c] = overlap_of(boxes[n], predicted[c])
            chance = np.sqrt(sigmoid(raw[c, 5:]) * sigmoid(raw[c, 4]))
            wanted = np.arange(80) == classes[n]
            by_class = -np.sum(np.log(np.where(wanted, chance, 1 - chance)))
            costs[n, c] = by_class - 3 * np.log(overlaps[n, c] + 1e-8) + 1e6 * (not near[n, c])
    asked = [max(1, int(np.sum(np.sort(row)[::-1][:10]))) for row in overlaps]
    wanting: dict[int, list[int]] = {}
    for n, count in enumerate(asked):
        for c in sorted(candidates, key=lambda c: costs[n, c])[:count]:
            wanting.setdefault(c, []).append(n)
    owners = {c: who[0] if len(who) == 1 else int(np.argmin(costs[:, c])) for c, who in wanting.items()}
    terms = {"box": 0.0, "object": 0.0, "class": 0.0}
    for c in range(CELLS):
        terms["object"] += cross_entropy(raw[c, 4], float(c in owners))
        if c in owners:
            overlap = overlaps[owners[c], c]
            terms["box"] += 5 * (1 - overlap**2)
            for k in range(80):
                terms["class"] += cross_entropy(raw[c, 5 + k], overlap * (k == classes[owners[c]]))
    terms = {name: value / max(len(owners), 1) for name, value in terms.items()}
    return terms, asked, sum(len(who) > 1 for who in wanting.values())


def scene(seed: int, count: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw objects, in pairs that lie close to each other, and outputs that roughly tell the nearest of them."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform([25, 25], [SIZE[1] - 25, SIZE[0] - 25], (count, 2))
    centres[1::2] = centres[: count // 2 * 2 : 2] + rng.uniform(-8, 8, (count // 2, 2))
    sides = rng.uniform(15, 60, (count, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], 1).astype(np.float32)
    raw = rng.normal(0, 1.5, (CELLS, 85)).astype(np.float32)
    for c, (x, y, s) in enumerate(all_cells()):
        n = np.argmin(np.abs(centres - [(x + 0.5) * s, (y + 0.5) * s]).max(1) + rng.uniform(0, 8, count))
        raw[c, :2] = centres[n] / s - [x, y] + rng.normal(0, 3 / s, 2)
        raw[c, 2:4] = np.log(sides[n] / s) + rng.normal(0, 0.2, 2)
    return raw, boxes, rng.integers(0, 80, count).astype(np.int32)


def padded(boxes: np.ndarray, classes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    room = count - len(classes)
    return np.pad(boxes, ((0, room), (0, 0))), np.pad(classes, (0, room)), np.arange(count) < len(classes)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_loss_of_the_official_loops(seed):
    raw, boxes, classes = scene(seed)
    expected, asked, shared = slow_losses(raw, boxes, classes)
    assert max(asked) > 2  # else the scene would not test the number of cells,
    assert shared > 0  # nor whose a cell is that several ask for
    found = compiled(raw, *padded(boxes, classes, FEW))
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_empty_places_change_nothing():
    raw, boxes, classes = scene(3)
    few, many = (compiled(raw, *padded(boxes, classes, count)) for count in (FEW, MANY))
    for name in few:
        assert float(few[name]) == pytest.approx(float(many[name]), rel=1e-6), name
    few, many = (gradients_of(raw, *padded(boxes, classes, count)) for count in (FEW, MANY))
    for name in few:
        np.testing.assert_allclose(few[name], many[name], atol=1e-6, err_msg=name)


def test_without_objects_only_their_absence_counts():
    raw, boxes, classes = scene(0)
    nothing = padded(boxes[:0], classes[:0], FEW)
    found = compiled(raw, *nothing)
    assert float(found["box"]) == float(found["class"]) == 0.0
    assert float(found["object"]) == pytest.approx(sum(cross_entropy(x, 0) for x in raw[:, 4].astype(float)), rel=1e-5)
    gradients = gradients_of(raw, *nothing)
    assert not np.any(gradients["box"])
    assert not np.any(gradients["class"])
    np.testing.assert_allclose(gradients["object"][:, 4], sigmoid(raw[:, 4]), atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    """Small steps keep the assignment, which itself has no gradient; each term is moved along its own outputs.

    The class that a cell should give is weighted with its overlap, a constant: boxes are moved for their term alone.
    """
    raw, boxes, classes = scene(1)
    gradients = gradients_of(raw, *padded(boxes, classes, MANY))
    rng = np.random.default_rng(0)
    for name, part in {"box": slice(0, 4), "object": slice(4, 5), "class": slice(5, 85)}.items():
        direction = np.zeros_like(raw)
        direction[:, part] = rng.normal(size=raw[:, part].shape)
        up, down = (slow_losses(raw + step * direction, boxes, classes)[0][name] for step in (1e-3, -1e-3))
        expected = (up - down) / 2e-3
        assert abs(expected) > 1e-3
        assert np.sum(np.asarray(gradients[name]) * direction) == pytest.approx(expected, rel=2e-2), name


def test_extreme_outputs_and_empty_boxes_have_finite_gradients():
    raw, boxes, classes = scene(2)
    raw[:40, 2:4], raw[40:80, 2:4] = 200.0, -200.0
    raw[80:120, 4:], raw[120:160, 4:] = 90.0, -90.0
    boxes[0, 2:] = boxes[0, :2]
    targets = padded(boxes, classes, MANY)
    assert all(np.isfinite(v) for v in compiled(raw, *targets).values())
    gradients = gradients_of(raw, *targets)
    for name, gradient in gradients.items():
        assert np.all(np.isfinite(gradient)), name
        assert np.any(gradient), name


def test_perfect_predictions_have_no_loss_of_boxes_and_classes():
    boxes, classes = np.array([[20, 30, 90, 70]], np.float32), np.array([7], np.int32)
    raw = np.full((CELLS, 85), -12.0, np.float32)
    for c, (x, y, s) in enumerate(all_cells()):
        raw[c, :4] = 55 / s - x, 50 / s - y, np.log(70 / s), np.log(40 / s)
        near = max(abs((x + 0.5) * s - 55), abs((y + 0.5) * s - 50)) < 1.5 * s
        raw[c, [4, 5 + 7]] = (12.0 if near else -12.0), 12.0
    found = compiled(raw, *padded(boxes, classes, FEW))
    assert float(found["box"]) < 1e-3
    assert float(found["class"]) < 1e-2
    raw[:, 0] += 0.5
    assert float(compiled(raw, *padded(boxes, classes, FEW))["box"]) > 0.1


def test_boxes_are_decoded_as_the_network_does():
    raw = np.random.default_rng(0).normal(size=(2, 64 + 16 + 4, 85)).astype(np.float32)
    expected = yolox.decode(jnp.asarray(raw), (64, 64))[0]
    np.testing.assert_allclose(yolox_loss.decode(jnp.asarray(raw), (64, 64)), expected, atol=1e-4)


def test_crops_keep_the_scale_of_their_picture():
    images = np.random.default_rng(0).uniform(0, 1, (2, 40, 96, 3)).astype(np.float32)
    canvas = np.asarray(yolox_loss.prepare(jnp.asarray(images), 0.5))
    assert canvas.shape == (2, 32, 64, 3)
    expected = images.reshape(2, 20, 2, 48, 2, 3).mean((2, 4))[..., ::-1] * 255
    np.testing.assert_allclose(canvas[:, :20, :48], expected, atol=1e-3)
    assert np.all(canvas[:, 20:] == 114)
    assert np.all(canvas[:, :, 48:] == 114)
    np.testing.assert_array_equal(yolox_loss.prepare(jnp.asarray(images)), yolox.prepare(jnp.asarray(images)))


def two_pictures() -> tuple[np.ndarray, Targets]:
    boxes = np.array([[[10, 5, 60, 40], [70, 20, 120, 60]], [[0, 0, 50, 64], [0, 0, 0, 0]]], np.float32)
    classes, real = np.array([[3, 70], [15, 0]], np.int32), np.array([[True, True], [True, False]])
    images = np.random.default_rng(0).uniform(0, 1, (2, 64, 128, 3)).astype(np.float32)
    return images, Targets(boxes, classes, real, np.zeros((2, 2, 8, 8), np.float32))


def by_hand(raw: np.ndarray, targets: Targets, factor: float, size: tuple[int, int]) -> dict[str, np.ndarray]:
    raw_losses = jax.vmap(lambda *one: yolox_loss.raw_losses(*one, size=size))
    boxes = targets.boxes * np.float32(factor)
    return jax.jit(raw_losses, compiler_options=QUICKLY)(raw, boxes, targets.classes, targets.real)


def test_the_network_is_compared_on_the_canvas_of_a_crop(draw):
    params, (images, targets) = draw(yolox.template(NARROW)), two_pictures()
    network = jax.jit(lambda *a: yolox_loss.outputs(*a, scale=0.75), compiler_options=QUICKLY)
    levels, terms = network(params, images, targets)
    alone = jax.jit(yolox_loss.features, static_argnums=2, compiler_options=QUICKLY)(params, images, 0.75)
    assert set(levels) == set(alone) == set(yolox.LEVELS)
    for name, level in levels.items():
        np.testing.assert_allclose(alone[name], level, atol=1e-5, err_msg=name)
    raw = jax.jit(yolox.outputs, compiler_options=QUICKLY)(params, levels)
    for name, expected in by_hand(np.asarray(raw), targets, 0.75, (64, 96)).items():
        np.testing.assert_allclose(terms[name], expected, rtol=1e-4, err_msg=name)


def test_whole_pictures_are_compared_on_the_canvas_of_416_pixels(monkeypatch):
    """The network is replaced: what it is given comes back, and what it finds is drawn."""
    images, targets = two_pictures()
    raw = np.random.default_rng(1).normal(size=(2, 3549, 85)).astype(np.float32)
    monkeypatch.setattr(yolox, "pyramid", lambda params, canvas: {"canvas": canvas})
    monkeypatch.setattr(yolox, "outputs", lambda params, levels: jnp.asarray(raw))
    levels, terms = jax.jit(yolox_loss.outputs, compiler_options=QUICKLY)({}, images, targets)
    np.testing.assert_allclose(levels["canvas"], yolox.prepare(jnp.asarray(images)), atol=1e-3)
    for name, expected in by_hand(raw, targets, 416 / 128, (416, 416)).items():
        np.testing.assert_allclose(terms[name], expected, rtol=1e-4, err_msg=name)


def test_a_blurred_picture_has_more_loss_and_descent_lowers_it(weights):
    folder = weights.parent
    if not (folder / "coco-train.json").is_file():
        pytest.skip("the data folder holds no coco-train")
    truth = json.loads((folder / "coco-train.json").read_text())
    found = [one for one in truth["annotations"] if one["image_id"] == 34 and not one["iscrowd"]]
    boxes = np.array([one["bbox"] for one in found], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    classes = np.array([COCO_IDS.index(one["category_id"]) for one in found], np.int32)
    masks = np.zeros((len(found), MASK_SIDE, MASK_SIDE), np.float32)
    targets = pad_objects([Objects(boxes, classes, masks)], 4)
    picture = Image.open(folder / "coco-train" / "000000000034.jpg").convert("RGB")
    sharp, blurred = (
        jnp.asarray(np.asarray(one, np.float32) / 255)[None]
        for one in (picture, picture.filter(ImageFilter.GaussianBlur(8)))
    )
    params = jax.device_put(yolox.load_parameters(weights / "yolox_nano.npz"))

    def loss(images):
        return sum(jnp.sum(term) for term in yolox_loss.losses(params, images, targets, scale=0.3).values())

    step = jax.jit(jax.value_and_grad(loss), compiler_options=QUICKLY)
    before, images = float(step(blurred)[0]), blurred
    assert before > 1.3 * float(step(sharp)[0])
    for _ in range(30):
        gradient = step(images)[1]
        images = jnp.clip(images - gradient * 2.0 / jnp.linalg.norm(gradient), 0.0, 1.0)
    assert np.all(np.isfinite(images))
    assert float(step(images)[0]) < 0.7 * before
