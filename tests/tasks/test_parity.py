"""The networks against outputs of the original programs on one picture of COCO, to 1e-3."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxicm.tasks import mask_rcnn, yolox
from jaxicm.tasks import mask_rcnn_network as network
from jaxicm.tasks.mask_rcnn_network import MaskRCNN
from jaxicm.tasks.squeezenet import SqueezeNet
from jaxicm.tasks.yolox_network import letterbox

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def picture(weights) -> np.ndarray:
    path = weights.parent / "coco-val" / "000000000139.jpg"
    if not path.is_file():
        pytest.skip("the data folder holds no coco-val")
    return np.asarray(Image.open(path).convert("RGB"))


def test_yolox(weights, reference):
    params = yolox.load_parameters(weights / "yolox_nano.npz")
    canvas = jnp.asarray(reference["yolox_input_bgr"][None], jnp.float32)
    raw = np.asarray(jax.jit(lambda p, x: yolox.outputs(p, yolox.pyramid(p, x)))(params, canvas))
    found = np.concatenate([raw[..., :4], 1 / (1 + np.exp(-raw[..., 4:]))], -1)
    np.testing.assert_allclose(found, reference["yolox_output"], atol=TOLERANCE, rtol=0)


def test_mask_rcnn(weights, reference):
    """Every stage on what the stages before it found."""
    judge = MaskRCNN.load(weights / "d2go_mask_rcnn.npz")
    height, width = reference["mask_rcnn_input_bgr"].shape[:2]
    canvas = np.zeros((*network.CANVAS, 3), np.uint8)
    canvas[:height, :width] = reference["mask_rcnn_input_bgr"]
    size = (np.int32(height), np.int32(width))
    c4, extent = network._features(judge.params, canvas, size)
    rows, columns = (int(n) for n in extent)
    assert (rows, columns) == reference["mask_rcnn_c4"].shape[:2]
    logits, deltas = jax.jit(mask_rcnn.proposal_outputs)(judge.params, c4[None], extent)
    found = {"c4": c4, "rpn_logits": logits[0], "rpn_deltas": deltas[0]}
    for name, array in found.items():
        inside = np.asarray(array)[:rows, :columns]
        np.testing.assert_allclose(inside, reference[f"mask_rcnn_{name}"], atol=TOLERANCE, rtol=0, err_msg=name)
    boxes, scores, classes, filled = (np.asarray(a) for a in network._detect(judge.params, c4, size, extent))
    np.testing.assert_array_equal(classes[filled], reference["mask_rcnn_classes"])
    np.testing.assert_allclose(scores[filled], reference["mask_rcnn_scores"], atol=TOLERANCE, rtol=0)
    np.testing.assert_allclose(boxes[filled], reference["mask_rcnn_boxes"], atol=TOLERANCE, rtol=0)
    masks = judge._masks(c4, extent, boxes[filled], classes[filled])
    np.testing.assert_allclose(masks, reference["mask_rcnn_masks"], atol=TOLERANCE, rtol=0)


def test_squeezenet(weights, reference):
    judge = SqueezeNet.load(weights / "squeezenet1_1.npz")
    found = judge.features(reference["squeezenet_input_bgr"][..., ::-1])
    for name in ("conv1", "fire3", "fire5", "fire9"):
        expected = reference[f"squeezenet_{name}"].astype(np.float32)
        # conv1 is stored with 11 bits of mantissa, and its values go up to 524
        relative = 2.0**-11 if name == "conv1" else 0.0
        np.testing.assert_allclose(found[name], expected, atol=TOLERANCE, rtol=relative, err_msg=name)


def test_the_pictures_are_prepared_as_the_originals_were(picture, reference):
    np.testing.assert_array_equal(letterbox(picture)[0], reference["yolox_input_bgr"])
    height, width = reference["mask_rcnn_input_bgr"].shape[:2]
    canvas, size = network.on_canvas(picture)
    assert size == (height, width)
    error = np.abs(canvas[:height, :width].astype(int) - reference["mask_rcnn_input_bgr"])
    assert error.max() <= 1  # values half-way between two levels
    assert (error > 0).mean() < 1e-3


def test_the_anchors_are_the_stored_ones(weights):
    with np.load(weights / "d2go_mask_rcnn.npz") as file:
        np.testing.assert_allclose(mask_rcnn.anchors(1, 1)[0, 0], file["anchors"], atol=1e-5)
        np.testing.assert_allclose(mask_rcnn.MEAN_BGR, file["pixel_mean"].ravel())
        assert np.all(file["pixel_std"] == 1)
