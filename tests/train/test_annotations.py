"""Objects of pictures: read from COCO json, and followed into crops, where their colours say what is right."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from jaxicm.errors import ConfigError
from jaxicm.tasks.interface import COCO_CLASSES, COCO_IDS
from jaxicm.train.annotations import (
    LEAST_SIDE,
    LEAST_VISIBLE,
    NO_ENTRY,
    Annotations,
    PictureObjects,
    Polygons,
    RunLengths,
    decode_run_lengths,
)
from jaxicm.train.data_config import DataConfig
from jaxicm.train.sampling import CropSampler, CropView
from jaxicm.train.sources import FolderSource

DATA = Path(os.environ.get("JAXICM_DATA", "/nowhere"))
HEIGHT, WIDTH, CROP = 200, 260, 96
CATEGORIES = [{"id": 7, "name": "zebra"}, {"id": 900, "name": "person"}, {"id": 3, "name": "toothbrush"}]
ZEBRA, PERSON, TOOTHBRUSH = (COCO_CLASSES.index(name) for name in ("zebra", "person", "toothbrush"))


def run_lengths(mask: np.ndarray) -> list[int]:
    """Count the runs of a mask column by column, zeros first."""
    runs, value = [0], False
    for pixel in mask.ravel(order="F"):
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 around the pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def scene(number: int) -> tuple[np.ndarray, list[dict]]:
    """Draw a red triangle, the green upper part of an ellipse and a blue rectangle apart from each other.

    Returns:
        The picture, and its annotations: polygon, run lengths, and a box alone. None looks like its mirror image.
    """
    rng = np.random.default_rng(number)
    cells = [(int(column), int(row)) for column, row in rng.permutation([(c, r) for c in range(3) for r in range(2)])]
    picture, found = np.zeros((HEIGHT, WIDTH, 3), np.uint8), []
    for channel, (column, row) in enumerate(cells[:3]):
        x0, y0 = column * 86 + int(rng.integers(2, 10)), row * 100 + int(rng.integers(2, 10))
        x1, y1 = x0 + int(rng.integers(40, 74)), y0 + int(rng.integers(40, 84))
        canvas = Image.new("1", (WIDTH, HEIGHT))
        draw, segmentation = ImageDraw.Draw(canvas), []
        if channel == 0:
            draw.polygon([x0, y0, x1 - 1, y0, x0, y1 - 1], fill=1)
            segmentation = [[x0, y0, x1, y0, x0, y1]]
        elif channel == 1:
            draw.ellipse([x0, y0, x1, y1], fill=1)
            draw.rectangle([x0, (y0 + 2 * y1) // 3, x1, y1], fill=0)
        else:
            draw.rectangle([x0, y0, x1 - 1, y1 - 1], fill=1)
        mask = np.asarray(canvas)
        if channel == 1:
            segmentation = {"size": [HEIGHT, WIDTH], "counts": run_lengths(mask)}
        picture[mask, channel] = 255
        x0, y0, x1, y1 = bounds(mask)
        box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0, "segmentation": segmentation}
        found.append({"image_id": number, "category_id": CATEGORIES[channel]["id"], **box})
    return picture, found


def write(path: Path, images: list[dict], annotations: list[dict], categories: list[dict] = CATEGORIES) -> Path:
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def image(number: int, name: str = "a.png", height: int = HEIGHT, width: int = WIDTH) -> dict:
    return {"id": number, "file_name": name, "height": height, "width": width}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> CropSampler:
    folder = tmp_path_factory.mktemp("scenes")
    images, annotations = [], []
    for number in range(5):
        picture, found = scene(number)
        Image.fromarray(picture).save(folder / f"{number}.png")
        images.append(image(number, f"elsewhere/{number}.png"))
        annotations += found
    source = FolderSource(folder, [folder / f"{number}.png" for number in range(5)])
    data = DataConfig(smallest_scale=0.5)
    return CropSampler((source,), (1.0,), data, CROP, 3, Annotations([write(folder / "a.json", images, annotations)]))


def test_objects_are_where_their_colours_are_in_the_crop(scenes: CropSampler):
    seen, dropped = {ZEBRA: 0, PERSON: 0, TOOTHBRUSH: 0}, 0
    for number in range(100):
        sample = scenes.sample(number)
        assert sample.objects is not None
        known = dict(zip(sample.objects.classes.tolist(), range(3), strict=False))
        for channel, kind in enumerate(seen):
            colour = sample.crop[..., channel] > 127
            if kind not in known:
                dropped += colour.any()
                assert colour.sum() < (LEAST_VISIBLE + 0.02) * 73 * 83
                continue
            seen[kind] += 1
            box, mask = sample.objects.boxes[known[kind]], sample.objects.masks[known[kind]]
            x0, y0, x1, y1 = bounds(colour)
            if kind == TOOTHBRUSH or (min(x0, y0) > 0 and max(x1, y1) < CROP):
                np.testing.assert_allclose(box, (x0, y0, x1, y1), atol=1.5)
            else:  # the box was clipped, not what is left of the shape
                assert (box[:2] <= (x0 + 1.5, y0 + 1.5)).all() and (box[2:] >= (x1 - 1.5, y1 - 1.5)).all()
            middles = np.arange(CROP) + 0.5
            columns, rows = ((middles - box[axis]) / (box[axis + 2] - box[axis]) * 56 for axis in (0, 1))
            inside = [np.flatnonzero((cells >= 0) & (cells < 56)) for cells in (rows, columns)]
            covered = np.zeros((CROP, CROP), bool)
            covered[np.ix_(*inside)] = mask[np.ix_(rows[inside[0]].astype(int), columns[inside[1]].astype(int))] > 0.5
            # all edges may be wrong by half a pixel
            outline = 2 * (box[2] - box[0] + box[3] - box[1])
            assert (covered != colour).sum() <= 0.5 * outline + 2, (number, kind)
    assert min(seen.values()) > 25 and dropped > 10


def test_the_share_of_each_cell_is_exact_for_runs():
    rng = np.random.default_rng(0)
    mask = rng.random((30, 41)) < 0.4
    for box in ([0, 0, 41, 30], [3.2, 4.7, 9.1, 28.6], [20.4, 10.1, 20.9, 10.3], [40.5, 29.2, 41, 30]):
        x, y = np.linspace(box[0], box[2], 57), np.linspace(box[1], box[3], 57)

        def overlap(borders: np.ndarray, length: int) -> np.ndarray:
            pixels = np.arange(length)
            ends = np.minimum(borders[1:, None], pixels + 1) - np.maximum(borders[:-1, None], pixels)
            return np.maximum(ends, 0) / np.diff(borders)[:, None]

        expected = overlap(y, 30) @ mask @ overlap(x, 41).T
        runs = RunLengths(np.array(run_lengths(mask), np.uint32), 30)
        np.testing.assert_allclose(runs.coverage(np.array(box, float)), expected, atol=2e-6)


def test_polygons_are_united_and_cover_what_they_should():
    def polygon(*points: float) -> bytes:
        return np.array(points, np.float32).tobytes()

    box = np.array([10.0, 20.0, 66.0, 48.0])
    left, right = polygon(10, 20, 31, 20, 31, 48, 10, 48), polygon(24, 20, 52, 20, 52, 34, 24, 34)
    found = Polygons((left, right)).coverage(box)
    expected = np.zeros((56, 56))
    expected[:, :21] = 1
    expected[:28, 14:42] = 1
    np.testing.assert_allclose(found, expected, atol=0.25)  # edges are off by half a sample of eight
    assert found.mean() == pytest.approx(expected.mean(), abs=0.01)
    half = Polygons((polygon(-500, -490, 600, 610, -500, 610),)).coverage(np.array([0.0, 10.0, 50.0, 60.0]))
    assert half.mean() == pytest.approx(0.5, abs=0.005) and half[55, 0] == 1 and half[0, 55] == 0


def test_the_text_of_run_lengths_is_read():
    mask = np.zeros((90, 70), bool)
    mask[10:80, 5] = mask[12:75, 6:40] = mask[0:3, 50:52] = True
    text = "\\>V2f0I5" + "0" * 65 + "hk0TNTVO0db1"  # as pycocotools writes it
    np.testing.assert_array_equal(decode_run_lengths(text.encode()), run_lengths(mask))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 40), st.sampled_from([0.02, 0.5, 1.0]))
def test_the_text_of_run_lengths_is_that_of_the_coco_tools(seed: int, height: int, width: int, share: float):
    coco = pytest.importorskip("faster_coco_eval.core.mask")
    mask = np.random.default_rng(seed).random((height, width)) < share
    text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    np.testing.assert_array_equal(decode_run_lengths(text), run_lengths(mask))


@pytest.mark.parametrize("text", [b"", b"05P", b"0 5", "0é".encode(), b"P" * 40 + b"0"])
def test_other_text_is_no_run_lengths(text: bytes):
    with pytest.raises(ValueError, match="no run lengths"):
        decode_run_lengths(text)


def boxes_only(*boxes: tuple[float, float, float, float]) -> PictureObjects:
    count = len(boxes)
    return PictureObjects((100, 100), np.array(boxes, np.float32), np.arange(count, dtype=np.int32), (None,) * count)


def test_what_is_hardly_left_in_a_crop_is_no_object_of_it():
    view = CropView(top=20, left=10, side=50, crop=25)  # x 10 to 60, y 20 to 70, halved
    objects = boxes_only(
        (0, 20, 14, 70),  # 4 of 14 columns are left
        (0, 20, 16, 70),  # 6 of 16
        (30, 30, 33.9, 60),  # 1.95 pixels wide in the crop
        (30, 30, 34.1, 60),
        (70, 0, 90, 10),
    )
    found = objects.in_crop(view, 9)
    np.testing.assert_array_equal(found.classes, [1, 3])
    np.testing.assert_allclose(found.boxes, [[0, 0, 3, 25], [10, 5, 12.05, 20]], atol=1e-5)
    assert (found.masks == 1).all() and found.masks.shape == (2, 56, 56)
    assert min(3, 2.05) >= LEAST_SIDE and 6 / 16 >= LEAST_VISIBLE > 4 / 14


def test_the_largest_objects_come_first_and_the_smallest_are_dropped():
    objects = boxes_only((0, 0, 5, 5), (0, 0, 30, 30), (10, 10, 20, 20), (50, 50, 99, 99))
    assert objects.in_crop(CropView(0, 0, 100, 100), 3).classes.tolist() == [3, 1, 2]
    assert NO_ENTRY.in_crop(CropView(0, 0, 100, 100), 3).masks.shape == (0, 56, 56)


def test_an_object_of_which_no_pixel_is_in_the_crop_is_left_out():
    mask = np.zeros((100, 100), bool)
    mask[:20] = True
    mask[:, :20] = True  # the box is the whole picture, its lower right part is empty
    shape = RunLengths(np.array(run_lengths(mask), np.uint32), 100)
    objects = PictureObjects((100, 100), np.array([[0, 0, 100, 100]], np.float32), np.zeros(1, np.int32), (shape,))
    assert len(objects.in_crop(CropView(40, 40, 60, 60), 3).classes) == 0
    assert len(objects.in_crop(CropView(15, 40, 60, 60), 3).classes) == 1


def test_boxes_and_masks_are_mirrored_and_then_transposed():
    mask = np.zeros((100, 100), bool)
    mask[10:20, 30:60] = mask[20:60, 30:40] = True
    shape = RunLengths(np.array(run_lengths(mask), np.uint32), 100)
    objects = PictureObjects((100, 100), np.array([[30, 10, 60, 60]], np.float32), np.zeros(1, np.int32), (shape,))
    upright = objects.in_crop(CropView(0, 0, 100, 100), 1)
    varied = objects.in_crop(CropView(0, 0, 100, 100, mirrored=True, transposed=True), 1)
    np.testing.assert_allclose(varied.boxes, [[10, 40, 60, 70]], atol=1e-5)
    np.testing.assert_array_equal(varied.masks[0], upright.masks[0][:, ::-1].T)


def test_categories_are_matched_by_name_and_crowds_are_left_out(tmp_path: Path):
    annotations = [
        {"image_id": 1, "category_id": 900, "bbox": [10, 20, 30, 40]},
        {"image_id": 1, "category_id": 7, "bbox": [200, 150, 90, 90], "segmentation": [[1, 2, 3, 4]]},  # two points
        {"image_id": 1, "category_id": 3, "bbox": [10, 20, 30, 40], "iscrowd": 1},
        {"image_id": 1, "category_id": 3, "bbox": [10, 20, 0, 40]},
        {"image_id": 2, "category_id": 3, "bbox": [10, 20, 30, 40]},
    ]
    path = write(tmp_path / "a.json", [image(1), image(3, "empty.png")], annotations)
    found = Annotations([path])
    objects = found.objects("/data/a.png")
    np.testing.assert_array_equal(objects.boxes, [[10, 20, 40, 60], [200, 150, 260, 200]])  # within the picture
    assert objects.classes.tolist() == [PERSON, ZEBRA] and objects.shapes == (None, None)
    assert "empty.png" in found and not len(found.objects("empty.png").boxes)
    assert "b.png" not in found and found.objects("b.png") is NO_ENTRY
    assert "coco/train[17] a.png" in found and "coco/train[17]" not in found  # as a TFDS data set names pictures


def test_several_files_are_read_and_only_what_is_asked_for_is_kept(tmp_path: Path):
    names = [f"{number}.png" for number in range(4)]
    paths = [write(tmp_path / f"{name}.json", [image(1, f"x/{name}")], []) for name in names]
    assert len(Annotations(paths)) == 4
    kept = Annotations(paths, [f"/y/{name}" for name in names[1:3]])
    assert len(kept) == 2 and names[1] in kept and names[0] not in kept
    assert kept.fingerprint == Annotations(paths).fingerprint and kept.fingerprint[0].startswith("0.png.json ")
    with pytest.raises(ConfigError, match=r"several files have an entry for 0\.png"):
        Annotations([paths[0], paths[0]])


BOX = {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no json"),
        ("[]", "not the annotations of COCO"),
        ('{"images": []}', "KeyError: 'annotations'"),
        (([image(1)], [{"image_id": 1, "category_id": 7}]), "KeyError: 'bbox'"),
        (([image(1)], [{**BOX, "category_id": 8}]), "KeyError: 8"),
        (([image(1)], [{**BOX, "bbox": [1, 2, 3]}]), "not the annotations"),
        (([image(1)], [{**BOX, "bbox": [1, 2, 3, float("nan")]}]), "a bbox is not finite"),
        (([image(1)], [{**BOX, "segmentation": [[1, 2, 3, 4, 5]]}]), "not the annotations"),
        (([image(1)], [{**BOX, "segmentation": {"size": [200, 260], "counts": "05P"}}]), "no run lengths"),
        (([image(1)], [{**BOX, "segmentation": {"size": [2, 2], "counts": [1, 3]}}]), "4 pixels in a .* of 260x200"),
        (([image(1)], [{**BOX, "segmentation": {"size": [200, 260], "counts": [52001, -1]}}]), "run lengths of 52000"),
        (([image(1, "x/a.png"), image(2, "y/a.png")], []), r"several entries for a\.png"),
        (([image(1)], [BOX], [{"id": 7, "name": "unicorn"}, {"id": 8, "name": "elf"}]), r": unicorn: not among the 80"),
    ],
)
def test_a_file_that_does_not_serve_is_named(tmp_path: Path, text, says: str):
    path = tmp_path / "bad.json"
    if isinstance(text, str):
        path.write_text(text)
    else:
        write(path, *text)
    with pytest.raises(ConfigError, match=says) as caught:
        Annotations([path])
    assert "bad.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"data\.annotations: .*none\.json: cannot be read"):
        Annotations([tmp_path / "none.json"])


def test_annotations_travel_to_worker_processes_in_little_space(scenes: CropSampler):
    assert len(pickle.dumps(scenes.annotations)) < 6_000  # fifteen objects
    copy = pickle.loads(pickle.dumps(scenes))
    for number in (0, 7):
        mine, theirs = scenes.sample(number), copy.sample(number)
        np.testing.assert_array_equal(mine.crop, theirs.crop)
        for one, other in zip(mine.objects, theirs.objects, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(not (DATA / "coco-train.json").exists(), reason="needs the pictures of $JAXICM_DATA")
def test_masks_of_coco_cover_the_areas_that_coco_states():
    path = DATA / "coco-train.json"
    document = json.loads(path.read_text())
    annotations = Annotations([path])
    areas: dict[int, list[tuple[float, int]]] = {}
    for one in document["annotations"]:
        if not one["iscrowd"]:
            areas.setdefault(one["image_id"], []).append((one["area"], COCO_IDS.index(one["category_id"])))
    errors = []
    for entry in document["images"]:
        objects = annotations.objects(entry["file_name"])
        assert objects.classes.tolist() == [kind for _, kind in areas.get(entry["id"], [])]
        for (area, _), box, shape in zip(areas.get(entry["id"], []), objects.boxes, objects.shapes, strict=True):
            assert shape is not None
            sides = box[2:] - box[:2]
            covered = shape.coverage(box.astype(float)).mean() * np.prod(sides)
            errors.append(abs(covered - area) / sides.sum())  # in pixels by which the outline is displaced
    assert len(errors) == 1011
    assert np.median(errors) < 0.02 and np.quantile(errors, 0.99) < 0.2 and max(errors) < 1
    assert len(pickle.dumps(annotations)) < path.stat().st_size
