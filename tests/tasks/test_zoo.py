"""Finding networks by name: what is at hand, and what to do where it is not."""

from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import InputError, OptionError
from jaxicm.tasks import zoo
from jaxicm.tasks.interface import COCO_CLASSES, COCO_IDS, Detections, TaskNetwork


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(InputError, match="yolox_nano, mask_rcnn, deimv2_femto, squeezenet"):
        zoo.load("alexnet")
    with pytest.raises(InputError, match="there is no task network 'alexnet'"):
        zoo.load("alexnet", Path("w.npz"))


@pytest.mark.parametrize("name", zoo.NAMES)
def test_without_weights_the_message_names_file_and_folder(name, tmp_path, monkeypatch):
    monkeypatch.delenv("JAXICM_TASKS", raising=False)
    with pytest.raises(InputError, match="JAXICM_TASKS"):
        zoo.load(name)
    monkeypatch.setenv("JAXICM_TASKS", str(tmp_path))
    with pytest.raises(InputError, match=rf"has no weights of {name}; expected {name}\."):
        zoo.load(name)
    with pytest.raises(InputError, match="no such file"):
        zoo.load(name, tmp_path / "nothing.npz")


def test_a_path_says_by_its_name_whose_weights_it_holds(tmp_path):
    path = tmp_path / "squeezenet1_1.npz"
    np.savez(path, nothing=np.zeros(1))
    with pytest.raises(InputError, match=r"no array 'conv1\."):
        zoo.load(str(path))


def test_torchvisions_squeezenet_is_not_taken_for_caffes(tmp_path):
    path = tmp_path / "squeezenet.npz"
    np.savez(path, **{"features.0.weight": np.zeros((64, 3, 3, 3))})
    with pytest.raises(InputError, match="JAXICM_LPIPS"):
        zoo.load("squeezenet", path)


def test_a_file_that_is_no_onnx_gives_one_line(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "deimv2_femto.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(InputError, match="onnxruntime cannot read it") as caught:
        zoo.load("deimv2_femto", path)
    assert "\n" not in str(caught.value)


def test_every_network_of_the_folder_is_a_task_network(weights, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("JAXICM_TASKS", str(weights))
    networks = [zoo.load(name) for name in zoo.NAMES]
    for name, network in zip(zoo.NAMES, networks, strict=True):
        assert isinstance(network, TaskNetwork)
        assert network.name == name
    assert len({network.digest for network in networks}) == len(networks)
    assert [network.outputs for network in networks] == [("box",), ("box", "mask"), ("box",), ()]
    with pytest.raises(OptionError, match="finds no objects"):
        networks[-1].predict(np.zeros((32, 32, 3), np.uint8))


def test_classes_are_cocos():
    """The published list: 80 names on 90 numbers."""
    assert len(COCO_CLASSES) == len(COCO_IDS) == 80
    known = {1: "person", 11: "fire hydrant", 13: "stop sign", 44: "bottle", 65: "bed", 67: "dining table"}
    known |= {70: "toilet", 72: "tv", 84: "book", 90: "toothbrush"}
    assert {number: COCO_CLASSES[COCO_IDS.index(number)] for number in known} == known


def test_detections_check_their_shapes_and_cut_by_score():
    boxes, classes = np.zeros((3, 4), np.float32), np.zeros(3, np.int32)
    found = Detections(boxes, np.array([0.9, 0.5, 0.1], np.float32), classes, np.zeros((3, 5, 6), bool))
    kept = found.above(0.5)
    assert len(kept) == 2
    assert kept.masks is not None
    assert kept.masks.shape == (2, 5, 6)
    with pytest.raises(ValueError, match=r"need boxes \[2, 4\]"):
        Detections(boxes, np.zeros(2, np.float32), classes)
    with pytest.raises(ValueError, match="need masks"):
        Detections(boxes, np.zeros(3, np.float32), classes, np.zeros((2, 5, 6), bool))
