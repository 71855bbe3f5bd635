"""Average precision of the task networks on 160 pictures of COCO, against the figures of their original programs."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxicm.evaluate.accuracy import load_task, observers
from jaxicm.evaluate.checkerboard import checkerboard_index
from jaxicm.media.pictures import find_pictures, read_picture

pytest.importorskip("faster_coco_eval")
pytest.importorskip("onnxruntime")

DATA = Path(os.environ.get("JAXICM_DATA", "/nowhere"))
STATED = {
    "yolox_nano": {"box_ap": 32.9, "box_ap50": 50.1, "box_ap75": 35.2},
    "mask_rcnn": {
        "box_ap": 29.9, "box_ap50": 44.8, "box_ap75": 32.1, "mask_ap": 25.9, "mask_ap50": 42.6, "mask_ap75": 26.5,
    },
    "deimv2_femto": {"box_ap": 37.0, "box_ap50": 52.6, "box_ap75": 39.6},
}  # fmt: skip
"""Per cent, 100 detections a picture, of the networks run by their own programs on these pictures."""

pytestmark = pytest.mark.skipif(
    not (DATA / "coco-val.json").exists(), reason="needs the pictures and weights of the data folder: set JAXICM_DATA"
)


@pytest.fixture
def pictures(monkeypatch) -> dict[str, Path]:
    """Return the files by name; the weights lie beside them."""
    monkeypatch.setenv("JAXICM_TASKS", str(DATA / "weights"))
    return {path.name: path for path in find_pictures([DATA / "coco-val"])}


@pytest.mark.slow
@pytest.mark.parametrize("name", STATED)
def test_the_ap_on_uncoded_pictures_is_the_stated_one(name, pictures):
    (observer,) = observers([name], DATA / "coco-val.json", False, pictures)
    reference = observer.reference()
    assert reference is not None
    for key, stated in STATED[name].items():
        # at a single threshold a few detections more or less weigh more
        assert 100 * reference[key] == pytest.approx(stated, abs=0.3 if key.endswith("_ap") else 0.5), key


def test_on_a_few_pictures_the_confident_detections_are_found_again(pictures):
    few = dict(list(pictures.items())[:3])
    network = load_task("deimv2_femto")  # the one that has nothing to compile
    pseudo, real = (
        observers([network], None if taken else DATA / "coco-val.json", taken, few)[0] for taken in (True, False)
    )
    reference = pseudo.reference()
    assert reference is not None
    # every object has a detection with its own box, and what else is detected has a lower score
    assert reference["box_ap"] == pytest.approx(1, abs=1e-9)
    seen = {}
    for name, path in few.items():
        pixels = read_picture(path).pixels
        coarse = np.repeat(np.repeat(pixels[::4, ::4], 4, 0), 4, 1)[: pixels.shape[0], : pixels.shape[1]]
        seen[name] = real.observe(name, pixels, coarse)
    worse, best = real.summarise(seen), real.reference()
    assert best is not None
    assert 0 <= worse["box_ap"] < best["box_ap"] <= 1
    assert pseudo.summarise(seen)["box_ap"] < 1


def test_photographs_have_a_checkerboard_index_of_about_1(pictures):
    indices = [checkerboard_index(read_picture(path).pixels) for path in list(pictures.values())[:12]]
    assert np.mean(indices) == pytest.approx(1, abs=0.05)
    assert max(indices) < 1.3
