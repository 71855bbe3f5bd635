"""The networks with random weights: sizes, invariance to the canvas, few compilations, gradients down to the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from jaxicm.errors import InputError
from jaxicm.tasks import mask_rcnn, squeezenet, yolox
from jaxicm.tasks import mask_rcnn_network as judge_of_masks
from jaxicm.tasks.convolution import Conv, clear_outside, depthwise, upsample
from jaxicm.tasks.fbnet import UP, Block, InvertedResidual
from jaxicm.tasks.importing import count_parameters
from jaxicm.tasks.mask_rcnn_network import MaskRCNN
from jaxicm.tasks.squeezenet import SqueezeNet
from jaxicm.tasks.yolox_network import Yolox

NARROW = 4
"""Width of a small YOLOX; the published one has 16."""
QUICKLY = {"xla_backend_optimization_level": 0}
"""Compiler options of functions that run once."""


@pytest.fixture(scope="module")
def mask_params(draw) -> dict:
    return draw(mask_rcnn.template())


@pytest.fixture(scope="module")
def squeeze_params(draw) -> dict:
    picture = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return draw(jax.eval_shape(squeezenet.Trunk().init, jax.random.key(0), picture)["params"])


def test_parameters_are_as_many_as_published(mask_params, squeeze_params):
    assert sum(count_parameters(part) for part in yolox.template().values()) == 904_463
    counts = {part: count_parameters(values) for part, values in mask_params.items()}
    assert counts == {"backbone": 578_688, "proposals": 346_155, "boxes": 817_297, "masks": 811_344}
    assert count_parameters(squeeze_params) == 722_496


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_convolutions_are_padded_alike_on_both_sides(size, stride):
    """As the original does, and not as SAME would at stride 2; against scipy, depthwise and full."""
    rng = np.random.default_rng(size)
    x = rng.normal(size=(1, 11, 14, 3)).astype(np.float32)
    kernel = rng.normal(size=(size, size, 3)).astype(np.float32)
    pad = (size - 1) // 2
    padded = np.pad(x[0], ((pad, pad), (pad, pad), (0, 0)))
    planes = [correlate2d(padded[..., c], kernel[..., c], "valid")[::stride, ::stride] for c in range(3)]
    found = depthwise(jnp.asarray(x), jnp.asarray(kernel), stride, pad)
    np.testing.assert_allclose(found[0], np.stack(planes, -1), atol=1e-5)
    params = {"kernel": kernel[..., None], "bias": np.array([0.5], np.float32)}
    full = Conv(1, size, stride).apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(np.asarray(full)[0, ..., 0], np.sum(planes, 0) + 0.5, atol=1e-5)


def test_upsampling_repeats_and_clearing_keeps_the_extent():
    x = jnp.arange(1.0, 7.0).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(upsample(x), np.repeat(np.repeat(np.asarray(x), 2, 1), 2, 2))
    np.testing.assert_array_equal(clear_outside(x, (1, 2))[0, ..., 0], [[1, 2, 0], [0, 0, 0]])


@pytest.mark.parametrize("block", [Block(3, 0, 1, 4), Block(5, 8, 2, 6), Block(3, 8, UP, 6)])
def test_an_inverted_residual_is_the_same_compiled(block, draw):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 10, 4)).astype(np.float32))
    module = InvertedResidual(block)
    params = draw(jax.eval_shape(module.init, jax.random.key(0), x)["params"])
    eager, _ = module.apply({"params": params}, x)  # pyright: ignore
    compiled = jax.jit(lambda p, x: module.apply({"params": p}, x)[0])(params, x)
    assert eager.shape == {1: (2, 6, 10, 4), 2: (2, 3, 5, 6), UP: (2, 12, 20, 6)}[block.stride]
    np.testing.assert_allclose(compiled, eager, atol=1e-5)


def test_a_canvas_changes_no_feature_of_mask_rcnn(mask_params):
    """Sides that no stride divides are the hard case: every layer has its own border."""
    size = (37, 51)
    rng = np.random.default_rng(0)
    picture = rng.uniform(-120, 130, (1, *size, 3)).astype(np.float32)
    backbone = jax.jit(mask_rcnn.backbone, compiler_options=QUICKLY)
    alone, _ = backbone(mask_params, picture)
    canvas = np.full((1, 64, 80, 3), 99.0, np.float32)
    canvas[:, : size[0], : size[1]] = picture
    found, extent = backbone(mask_params, canvas, tuple(np.int32(size)))
    rows, columns = (int(n) for n in extent)
    assert alone.shape[1:3] == (rows, columns)
    np.testing.assert_allclose(found[:, :rows, :columns], alone, atol=2e-5 * float(np.abs(alone).max()))


@pytest.mark.parametrize("size", [(61, 90), (17, 92)])
def test_a_canvas_changes_no_feature_of_squeezenet(size, squeeze_params, photograph):
    pixels = photograph(*size)
    found = SqueezeNet(squeeze_params, "").features(pixels)
    alone = jax.jit(squeezenet.features, compiler_options=QUICKLY)(
        squeeze_params, pixels[None].astype(np.float32) / 255
    )
    assert list(found) == list(squeezenet.LEVELS)
    for name, level in found.items():
        np.testing.assert_allclose(level, alone[name][0], atol=2e-5 * float(level.max()), err_msg=name)


def test_too_small_a_picture_for_squeezenet_is_refused(squeeze_params):
    with pytest.raises(InputError, match="17x17"):
        SqueezeNet(squeeze_params, "").features(np.zeros((16, 40, 3), np.uint8))


def test_canvas_sides_are_few_and_not_much_larger():
    sides = {squeezenet.canvas_side(n) for n in range(17, 4097)}
    assert len(sides) <= 4 * 9
    assert all(n <= squeezenet.canvas_side(n) <= max(1.25 * n, n + 7) for n in range(17, 4097))
    assert [squeezenet.canvas_side(n) for n in (512, 768, 640, 480)] == [512, 768, 640, 512]


def test_pictures_of_all_sizes_share_two_compilations(mask_params, photograph):
    judge = MaskRCNN(mask_params, "")
    before = judge_of_masks._features._cache_size()
    for size in ((48, 64), (64, 48), (100, 77), (33, 200), (57, 57)):
        found = judge.features(photograph(*size))["c4"]
        height, width = mask_rcnn.resized_size(*size)
        assert found.shape == (-(-height // 16), -(-width // 16), mask_rcnn.CHANNELS)
    assert judge_of_masks._features._cache_size() - before <= 2


def test_mask_rcnn_resizes_the_short_side_and_limits_the_long():
    """426x640 as the reference was; 480x640; a square; a panorama."""
    sizes = {(426, 640): (266, 400), (480, 640): (280, 373), (500, 500): (280, 280), (100, 1000): (40, 400)}
    assert {size: mask_rcnn.resized_size(*size) for size in sizes} == sizes


def test_mask_rcnn_gives_boxes_inside_and_masks_of_the_pictures_size(mask_params, photograph):
    """Random weights predict offsets in the hundreds, which leave one box: they are made small."""
    layer = mask_params["proposals"]["rpn_regressor.bbox_pred"]
    small = {"kernel": layer["kernel"] * 1e-3, "bias": layer["bias"]}
    params = mask_params | {"proposals": mask_params["proposals"] | {"rpn_regressor.bbox_pred": small}}
    found = MaskRCNN(params, "").predict(photograph(90, 120))
    assert 0 < len(found) <= 100
    assert found.masks is not None
    assert found.masks.shape == (len(found), 90, 120)
    assert np.all(np.diff(found.scores) <= 0)
    assert np.all((found.boxes >= 0) & (found.boxes <= [120, 90, 120, 90]))
    assert np.all((found.classes >= 0) & (found.classes < 80))
    assert (found.boxes.dtype, found.scores.dtype, found.classes.dtype) == (np.float32, np.float32, np.int32)


def test_yolox_decodes_cells_without_half_an_offset():
    """The cell in column 2, row 1 of stride 8 of a 64-pixel canvas: centre (2 + 0.25) * 8, (1 - 0.5) * 8."""
    raw = np.zeros((1, 8 * 8 + 4 * 4 + 2 * 2, 85), np.float32)
    raw[0, 1 * 8 + 2, :4] = 0.25, -0.5, np.log(2), np.log(3)
    boxes, objects, classes = yolox.decode(jnp.asarray(raw), (64, 64))
    np.testing.assert_allclose(boxes[0, 10], [18 - 8, 4 - 12, 18 + 8, 4 + 12], atol=1e-4)
    np.testing.assert_allclose(boxes[0, 64 + 5], [16 - 8, 16 - 8, 16 + 8, 16 + 8], atol=1e-4)
    assert objects.shape == (1, 84)
    assert classes.shape == (1, 84, 80)


def test_yolox_features_cover_the_picture_only(draw, photograph):
    judge = Yolox(draw(yolox.template(NARROW)), "")
    found = judge.features(photograph(60, 104))  # 240x416 on the canvas
    assert {name: level.shape[:2] for name, level in found.items()} == {"p3": (30, 52), "p4": (15, 26), "p5": (8, 13)}
    detections = judge.predict(photograph(60, 104))
    assert len(detections) <= 100
    assert np.all(np.diff(detections.scores) <= 0)


def test_preparing_in_jax_agrees_with_the_pixels_that_judges_see(photograph):
    from jaxicm.tasks.yolox_network import letterbox

    pixels = photograph(60, 104)
    images = jnp.asarray(pixels, jnp.float32)[None] / 255
    assert np.abs(np.asarray(yolox.prepare(images))[0] - letterbox(pixels)[0]).max() <= 1.01
    canvas, (height, width) = judge_of_masks.on_canvas(pixels)
    prepared = np.asarray(mask_rcnn.prepare(images))[0]
    assert prepared.shape == (height, width, 3)
    assert np.abs(prepared + mask_rcnn.MEAN_BGR - canvas[:height, :width]).max() <= 0.51


def test_gradients_flow_from_features_to_pixels(draw, mask_params, squeeze_params):
    images = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (2, 64, 64, 3)).astype(np.float32))
    narrow = draw(yolox.template(NARROW))
    networks = {
        "yolox": lambda x: yolox.features(narrow, x, size=64),
        "mask_rcnn": lambda x: mask_rcnn.features(mask_params, x, keep_size=True),
        "squeezenet": lambda x: squeezenet.features(squeeze_params, x),
    }
    for name, features in networks.items():
        total = jax.grad(lambda x, f=features: sum(jnp.mean(level**2) for level in f(x).values()))
        gradient = np.asarray(jax.jit(total, compiler_options=QUICKLY)(images))
        assert np.all(np.isfinite(gradient)), name
        assert np.mean(gradient != 0) > 0.9, name


def test_gradients_flow_through_the_heads(mask_params):
    """What a loss of regions needs: class, box and mask outputs depend on the features."""
    c4 = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6, mask_rcnn.CHANNELS)).astype(np.float32))
    boxes = jnp.asarray([[4.0, 8.0, 60.0, 70.0], [20.0, 5.0, 90.0, 50.0]])
    classes = jnp.array([3, 70], jnp.int32)

    def total(c4):
        logits, deltas = mask_rcnn.box_outputs(mask_params, c4, boxes)
        masks = mask_rcnn.mask_outputs(mask_params, c4, boxes, classes)
        assert (logits.shape, deltas.shape, masks.shape) == ((2, 81), (2, 80, 4), (2, 28, 28))
        refined = mask_rcnn.refine(boxes, deltas, (80, 96))
        return jnp.mean(logits**2) + jnp.mean(refined**2) + jnp.mean(masks**2)

    gradient = np.asarray(jax.jit(jax.grad(total), compiler_options=QUICKLY)(c4))
    assert np.all(np.isfinite(gradient))
    assert np.mean(gradient != 0) > 0.9
