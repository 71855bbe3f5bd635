"""Annotations are read as they are meant, or refused with the cause."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.coco import as_results
from jaxicm.evaluate.ground_truth import pseudo_ground_truth, read_ground_truth

NAMES = {1: "person", 13: "stop sign", 90: "toothbrush"}


def document() -> dict[str, Any]:
    """Return a small file whose categories are numbered otherwise than the network's."""
    return {
        "images": [
            {"id": 7, "file_name": "val/one.jpg", "height": 40, "width": 60},
            {"id": 5, "file_name": "val/two.jpg", "height": 30, "width": 20},
            {"id": 6, "file_name": "test/two.jpg", "height": 31, "width": 20},
        ],
        "categories": [{"id": 0, "name": "stop sign"}, {"id": 1, "name": "toothbrush"}, {"id": 2, "name": "unicorn"}],
        "annotations": [
            {"id": 0, "image_id": 7, "category_id": 0, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 4, 2, 4, 6]]},
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 5.5, "iscrowd": 1,
             "segmentation": {"size": [40, 60], "counts": [0, 2400]}},
            {"id": 2, "image_id": 5, "category_id": 1, "bbox": [0, 0, 9, 9]},
            {"id": 3, "image_id": 6, "category_id": 2, "bbox": [0, 0, 9, 9]},
        ],
    }  # fmt: skip


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes a json file."""

    def to_file(content: Any) -> Path:
        path = tmp_path / "annotations.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return to_file


def test_only_the_pictures_evaluated_are_read(write):
    truth = read_ground_truth(write(document()), ["val/two.jpg", "val/one.jpg"], NAMES)
    assert list(truth.sizes.items()) == [("val/two.jpg", (30, 20)), ("val/one.jpg", (40, 60))]
    assert [len(truth.annotations[name]) for name in truth.sizes] == [1, 2]
    assert truth.categories == NAMES


def test_categories_are_matched_by_name_and_missing_fields_have_their_defaults(write):
    first, second = read_ground_truth(write(document()), ["val/one.jpg"], NAMES).annotations["val/one.jpg"]
    assert first == {
        "category_id": 13, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0, "segmentation": [[1, 2, 4, 2, 4, 6]],
    }  # fmt: skip
    assert (second["category_id"], second["area"], second["iscrowd"]) == (90, 5.5, 1)


@pytest.mark.parametrize("name", ["val/one.jpg", "one.jpg", "one.png", "decoded/one.png"])
def test_a_picture_is_found_by_its_name_without_folder_or_suffix(write, name):
    assert read_ground_truth(write(document()), [name], NAMES).sizes == {name: (40, 60)}


def test_masks_can_be_measured_only_where_every_object_has_one(write):
    path = write(document())
    assert read_ground_truth(path, ["one.jpg"], NAMES).kinds == ("box", "mask")
    assert read_ground_truth(path, ["one.jpg", "val/two.jpg"], NAMES).kinds == ("box",)


def test_a_selection_keeps_the_order(write):
    truth = read_ground_truth(write(document()), ["val/two.jpg", "val/one.jpg"], NAMES)
    chosen = truth.select({"val/one.jpg": 0, "val/two.jpg": 0})
    assert chosen == truth
    assert (
        list(truth.select(["val/one.jpg"]).annotations) == list(truth.select(["val/one.jpg"]).sizes) == ["val/one.jpg"]
    )


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (
            ["one.jpg", "three.jpg", "four.jpg"],
            r"no entry for 2 of 3 pictures, first three.jpg; evaluate the annotated",
        ),
        (["two.jpg"], "2 entries fit the picture two.jpg"),
        (["one.jpg", "one.png"], "one.jpg and one.png fit the same entry val/one.jpg"),
        (["test/two.jpg"], "does not know the annotated categories unicorn"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(write, pictures, message):
    with pytest.raises(InputError, match=message):
        read_ground_truth(write(document()), pictures, NAMES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no json"),
        ([], "not the annotations of COCO"),
        ({"images": []}, "KeyError: 'categories'"),
        (document() | {"categories": [{"id": 1, "name": "toothbrush"}]}, "not the annotations of COCO"),
        (document() | {"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}]}, "ValueError"),
    ],
)
def test_a_file_of_another_kind_is_refused(write, content, message):
    with pytest.raises(InputError, match=message):
        read_ground_truth(write(content), [] if message.startswith("Key") else ["one.jpg"], NAMES)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_ground_truth(tmp_path / "none.json", [], NAMES)


def test_pseudo_ground_truth_is_what_a_network_finds_with_confidence():
    pytest.importorskip("faster_coco_eval")
    masks = np.zeros((4, 20, 30), bool)
    masks[0, 2:5, 3:7], masks[1, :10, :10], masks[3, 0, 0] = True, True, True
    boxes = np.array([[3, 2, 7, 5], [0, 0, 10, 10], [5, 5, 9, 9], [0, 0, 1, 1]])
    results = {"a": as_results(boxes, np.array([0.9, 0.5, 0.8, 0.499]), np.array([1, 13, 1, 90]), masks), "b": []}
    truth = pseudo_ground_truth(results, {"a": (20, 30), "b": (20, 30)}, NAMES, 0.5)
    # the third has no pixel, the fourth is not confident
    assert [(one["category_id"], one["area"], one["iscrowd"]) for one in truth.annotations["a"]] == [
        (1, 12, 0),
        (13, 100, 0),
    ]
    assert truth.annotations["b"] == []
    assert truth.kinds == ("box", "mask")
    without = {"a": as_results(boxes, np.array([0.9, 0.5, 0.8, 0.499]), np.array([1, 13, 1, 90]))}
    truth = pseudo_ground_truth(without, {"a": (20, 30)}, NAMES, 0.6)
    assert [one["area"] for one in truth.annotations["a"]] == [12, 16]
    assert truth.kinds == ("box",)
