"""Task networks as observers of a run: with a network whose findings can be read off the pixels."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import InputError, MissingDependency, OptionError
from jaxicm.evaluate import accuracy
from jaxicm.evaluate.accuracy import TaskObserver, load_task, observers
from jaxicm.evaluate.ground_truth import read_ground_truth
from jaxicm.media.pictures import read_picture, write_picture
from jaxicm.tasks.interface import COCO_CLASSES, COCO_IDS, Detections

pytest.importorskip("faster_coco_eval")


class Colours:
    """Find one object in each colour channel that has bright pixels; its class is the channel, its score brightness."""

    name, digest = "colours", "00"

    def __init__(self, outputs: tuple[str, ...] = ("box", "mask")):
        self.outputs = outputs
        self.seen = 0

    def predict(self, pixels: np.ndarray) -> Detections:
        assert pixels.dtype == np.uint8
        assert pixels.shape[2:] == (3,)
        self.seen += 1
        masks = [pixels[..., c] > 60 for c in range(3)]
        found = [c for c in range(3) if masks[c].any()]
        found.sort(key=lambda c: -float(pixels[..., c].max()))
        boxes = []
        for c in found:
            rows, columns = np.nonzero(masks[c])
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        scores = np.array([pixels[..., c].max() / 256 for c in found], np.float32)
        kept = np.array([masks[c] for c in found]).reshape(-1, *pixels.shape[:2]) if "mask" in self.outputs else None
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, np.array(found, np.int32), kept)

    def features(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        return {"full": pixels / np.float32(255), "half": pixels[::2, ::2] / np.float32(51)}


def draw(objects: dict[int, tuple[int, int, int, int, int]]) -> np.ndarray:
    """Draw rectangles x, y, width, height, brightness into the channels of a dark picture."""
    pixels = np.full((60, 80, 3), 20, np.uint8)
    for channel, (x, y, width, height, value) in objects.items():
        pixels[y : y + height, x : x + width, channel] = value
    return pixels


SCENES = {
    "a.png": draw({0: (5, 5, 40, 40, 250), 1: (50, 20, 10, 12, 200)}),
    "b.png": draw({0: (10, 0, 33, 50, 240)}),
    "c.png": draw({1: (0, 0, 20, 20, 190), 2: (30, 30, 20, 20, 100)}),
}


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    """Write the scenes; return the files by name."""
    for name, pixels in SCENES.items():
        write_picture(tmp_path / name, pixels)
    return {name: tmp_path / name for name in SCENES}


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Annotate the scenes as they were drawn, class 2 of `c.png` as well."""
    entries = []
    for image, pixels in enumerate(SCENES.values(), 1):
        for channel in range(3):
            rows, columns = np.nonzero(pixels[..., channel] > 60)
            if len(rows):
                x, y, w, h = columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
                outline = [x, y, x + w, y, x + w, y + h, x, y + h]
                entries.append({"id": len(entries) + 1, "image_id": image, "category_id": channel + 1, "iscrowd": 0,
                                "area": int(w * h), "bbox": [int(v) for v in (x, y, w, h)],
                                "segmentation": [[int(v) for v in outline]]})  # fmt: skip
    images = [{"id": n, "file_name": name, "height": 60, "width": 80} for n, name in enumerate(SCENES, 1)]
    categories = [{"id": n + 1, "name": COCO_CLASSES[n]} for n in range(3)]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))
    return path


def look(observer, decoded: dict[str, np.ndarray]) -> dict[str, dict]:
    """Let an observer look at decoded scenes, through a file as the journal is."""
    seen = {name: observer.observe(name, SCENES[name], pixels) for name, pixels in decoded.items()}
    return json.loads(json.dumps(seen, allow_nan=False))


def test_real_ground_truth_gives_the_ap_of_boxes_and_masks(pictures, annotations):
    (observer,) = observers([Colours()], annotations, False, pictures)
    assert (observer.name, observer.digest, observer.ground_truth) == ("colours", "00", "real")
    found = observer.summarise(look(observer, SCENES))
    assert (found["box_ap"], found["box_ap50"], found["mask_ap"]) == pytest.approx((1, 1, 1))
    # without `b.png`'s object, class 0 has one of two: 51 of 101 recall levels; classes 1 (two objects) and 2 have all
    found = observer.summarise(look(observer, SCENES | {"b.png": draw({})}))
    assert found["box_ap"] == found["mask_ap"] == pytest.approx((51 / 101 + 1 + 1) / 3)
    assert found["weighted_ap"] == found["mask_weighted_ap"] == pytest.approx((2 * 51 / 101 + 2 + 1) / 5)


def test_only_the_pictures_observed_count(pictures, annotations):
    (observer,) = observers([Colours()], annotations, False, pictures)
    assert observer.summarise(look(observer, {"c.png": SCENES["c.png"]}))["box_ap"] == pytest.approx(1)
    assert observer.summarise({}) == {}


def test_pseudo_ground_truth_is_what_the_network_finds_in_the_originals(pictures):
    network = Colours()
    (observer,) = observers([network], None, True, pictures)
    assert observer.ground_truth == "pseudo"
    reference = observer.reference()
    assert reference is not None
    assert (reference["box_ap"], reference["mask_ap"]) == (1, 1)
    # class 2 has brightness 100 of 256: no object, so losing it costs nothing; losing `b.png` costs class 0
    decoded = SCENES | {"c.png": draw({1: (0, 0, 20, 20, 190)}), "b.png": draw({})}
    found = observer.summarise(look(observer, decoded))
    assert found["box_ap"] == pytest.approx((51 / 101 + 1) / 2)
    assert found["weighted_ap"] == pytest.approx((2 * 51 / 101 + 2) / 4)


def test_a_lower_threshold_takes_more_objects(pictures):
    (observer,) = observers([Colours()], None, True, pictures, threshold=0.3)
    lost = look(observer, SCENES | {"c.png": draw({1: (0, 0, 20, 20, 190)})})
    assert observer.summarise(lost)["box_ap"] == pytest.approx(2 / 3)


def test_the_originals_are_looked_at_once(pictures, annotations):
    network = Colours()
    (observer,) = observers([network], annotations, False, pictures)
    assert network.seen == 0
    reference = observer.reference()
    assert reference is not None
    assert (reference["box_ap"], reference["mask_ap"]) == pytest.approx((1, 1))
    assert "feature_psnr" not in reference
    assert observer.reference() == reference
    assert network.seen == len(SCENES)
    look(observer, SCENES)
    assert network.seen == 2 * len(SCENES)


def test_originals_that_were_observed_need_not_be_read_again(pictures, annotations, monkeypatch):
    (observer,) = observers([Colours()], annotations, False, pictures)
    look(observer, {name: SCENES[name] for name in ("a.png", "b.png")})
    read = []
    monkeypatch.setattr(accuracy, "read_picture", lambda path: read.append(path.name) or read_picture(path))
    reference = observer.reference()
    assert reference is not None
    assert reference["box_ap"] == pytest.approx(1)
    assert read == ["c.png"]


def test_feature_psnr_is_the_mean_over_levels_and_pictures(pictures, annotations):
    (observer,) = observers([Colours()], annotations, False, pictures)
    decoded = {name: pixels + np.uint8(d) for d, (name, pixels) in enumerate(SCENES.items(), 1)}
    seen = look(observer, decoded)
    # both levels are the pixels times a factor, so peak over error does not depend on it
    expected = [20 * np.log10(int(pixels.max()) / d) for d, pixels in enumerate(SCENES.values(), 1)]
    for one, value in zip(seen.values(), expected, strict=True):
        assert one["feature_psnr"] == pytest.approx({"full": value, "half": value}, abs=1e-3)
    assert observer.summarise(seen)["feature_psnr"] == pytest.approx(np.mean(expected), abs=1e-3)
    # a picture decoded without any error has no finite figure, and neither has the mean
    seen = look(observer, decoded | {"a.png": SCENES["a.png"]})
    assert seen["a.png"]["feature_psnr"] == {"full": None, "half": None}
    assert "feature_psnr" not in observer.summarise(seen)


def test_a_network_without_detections_needs_no_ground_truth(pictures):
    (observer,) = observers([Colours(())], None, False, pictures)
    assert (observer.ground_truth, observer.reference()) == (None, None)
    seen = look(observer, {name: pixels // 2 for name, pixels in SCENES.items()})
    assert all("detections" not in one for one in seen.values())
    figures = observer.summarise(seen)
    assert figures.keys() == {"feature_psnr", "feature_distance"}
    assert 0 <= figures["feature_distance"] < 1e-3, "half the brightness has the direction of the whole"


def test_a_black_box_has_no_feature_figures(pictures, annotations):
    network = Colours(("box",))
    network.features = lambda pixels: {}
    (observer,) = observers([network], annotations, False, pictures)
    figures = observer.summarise(look(observer, SCENES))
    assert "feature_psnr" not in figures
    assert not [name for name in figures if name.startswith("mask")]


def test_features_of_originals_are_kept_within_a_limit(pictures, monkeypatch):
    network = Colours(())
    calls = []
    features = network.features
    network.features = lambda pixels: calls.append(1) or features(pixels)
    for limit, expected in ((1 << 28, 3 + 6), (1, 6 + 6)):
        monkeypatch.setattr(accuracy, "_KEPT_BYTES", limit)
        observer = TaskObserver(network, pictures)
        calls.clear()
        for _ in range(2):
            look(observer, SCENES)
        assert len(calls) == expected


def test_grey_pictures_are_shown_in_three_channels(tmp_path):
    write_picture(tmp_path / "grey.png", SCENES["a.png"][..., 0])
    (observer,) = observers([Colours()], None, True, {"grey.png": tmp_path / "grey.png"})
    grey = SCENES["a.png"][..., 0]
    seen = {"grey.png": observer.observe("grey.png", grey, grey)}
    assert len(seen["grey.png"]["detections"]) == 3
    assert observer.summarise(seen)["box_ap"] == pytest.approx(1)


def test_a_picture_of_another_size_than_annotated_is_refused(pictures, annotations):
    (observer,) = observers([Colours()], annotations, False, pictures)
    with pytest.raises(InputError, match=r"a\.png: 40x60 pixels, but its annotations are of 80x60"):
        observer.observe("a.png", SCENES["a.png"][:, :40], SCENES["a.png"][:, :40])


def test_a_network_may_have_classes_of_its_own(pictures, annotations):
    network = Colours(("box",))
    network.class_names = ("car", "person", "dog")
    document = json.loads(annotations.read_text())
    document["categories"] = [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}, {"id": 3, "name": "dog"}]
    annotations.write_text(json.dumps(document))
    (observer,) = observers([network], annotations, False, pictures)
    assert {one["category_id"] for one in look(observer, SCENES)["a.png"]["detections"]} == {1, 2}
    assert observer.summarise(look(observer, SCENES))["box_ap"] == pytest.approx(1)


def test_detections_carry_the_category_numbers_of_coco(pictures):
    assert (COCO_IDS[0], COCO_IDS[12], COCO_IDS[79]) == (1, 14, 90)
    network = Colours(("box",))
    predict = network.predict
    network.predict = lambda pixels: Detections(*(getattr(predict(pixels), n) for n in ("boxes", "scores")),
                                                predict(pixels).classes + 12)  # fmt: skip
    observer = TaskObserver(network, pictures)
    assert [one["category_id"] for one in look(observer, SCENES)["a.png"]["detections"]] == [14, 15]


@pytest.mark.parametrize(
    ("tasks", "with_annotations", "pseudo", "message"),
    [
        (["checkerboard"], True, True, "exclude each other"),
        ([Colours()], False, False, "task colours needs a ground truth: --annotations FILE.json .* or --pseudo"),
        ([Colours(), Colours()], False, True, "two tasks are called colours"),
    ],
)
def test_options_that_do_not_fit_are_refused(pictures, annotations, tasks, with_annotations, pseudo, message):
    with pytest.raises(OptionError, match=message):
        observers(tasks, annotations if with_annotations else None, pseudo, pictures)


def test_the_checkerboard_index_is_a_task(pictures):
    (observer,) = observers(["checkerboard"], None, False, pictures)
    figures = observer.summarise(look(observer, SCENES))
    assert figures.keys() == {"checkerboard"}
    assert observer.reference() == pytest.approx(figures, abs=1e-4)


MODULE = """
class Network:
    name, outputs, digest = "mine", (), "1"
    def predict(self, pixels): return None
    def features(self, pixels): return {"a": pixels[..., :1].astype("float32")}
class Incomplete:
    name, outputs, digest = "mine", (), "1"
def fails():
    raise RuntimeError("no weights here")
"""


def test_a_network_of_ones_own_is_loaded_from_a_file_or_a_module(tmp_path, monkeypatch, pictures):
    path = tmp_path / "my_network.py"
    path.write_text(MODULE)
    assert load_task(f"{path}:Network").name == "mine"
    monkeypatch.syspath_prepend(tmp_path)
    assert load_task("my_network:Network").name == "mine"
    monkeypatch.delitem(sys.modules, "my_network")
    (observer,) = observers([f"{path}:Network"], None, False, pictures)
    assert "feature_psnr" in observer.summarise({"a.png": observer.observe("a.png", SCENES["a.png"], SCENES["b.png"])})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{path}:Incomplete", "returned Incomplete, no task network; .* name, outputs, digest, predict and features"),
        ("{path}:fails", "RuntimeError: no weights here; it must be MODULE:FUNCTION"),
        ("{path}:none", "AttributeError"),
        ("no_such_module:function", "ModuleNotFoundError"),
        ("{path}.py:function", "FileNotFoundError"),
        ("unheard_of", "unheard_of"),
    ],
)
def test_what_is_no_network_is_refused(tmp_path, name, message):
    path = tmp_path / "my_network.py"
    path.write_text(MODULE)
    with pytest.raises(InputError, match=message):
        load_task(name.format(path=path))


def test_a_task_that_lacks_something_can_be_left_out(tmp_path, monkeypatch, pictures):
    path = tmp_path / "my_network.py"
    path.write_text(MODULE)
    messages: list[str] = []
    made = observers([f"{path}:fails", "checkerboard"], None, False, pictures, on_missing=messages.append)
    assert [observer.name for observer in made] == ["checkerboard"]
    assert "no weights here" in messages[0]

    def missing() -> None:
        raise MissingDependency("pip install it")

    monkeypatch.setattr(accuracy, "require_library", missing)
    assert observers([Colours()], None, True, pictures, on_missing=messages.append) == []
    assert messages[1:] == ["pip install it"]
    with pytest.raises(MissingDependency):
        observers([Colours()], None, True, pictures)


def test_annotations_are_those_of_the_pictures_given(pictures, annotations):
    truth = read_ground_truth(annotations, ["c.png"], dict(zip(COCO_IDS, COCO_CLASSES, strict=True)))
    observer = TaskObserver(Colours(), pictures, truth)
    assert observer.summarise({"c.png": observer.observe("c.png", SCENES["c.png"], SCENES["c.png"])})["box_ap"] == 1
