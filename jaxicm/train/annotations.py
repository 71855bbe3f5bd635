"""The objects of training pictures from COCO json files, and where they are in a crop.

Lin et al., "Microsoft COCO: common objects in context", 2014 (arXiv 1405.0312). Neither JAX nor a COCO package is
needed. Masks stay as compact as they are in the file until a crop shows them.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from jaxicm.errors import ConfigError
from jaxicm.tasks.interface import COCO_CLASSES
from jaxicm.tasks.targets import MASK_SIDE, Objects, Targets
from jaxicm.train.sampling import CropView

LEAST_VISIBLE = 0.3
"""An object of which a smaller share of its own box's area is left in a crop is no object of the crop."""
LEAST_SIDE = 2.0
"""Nor is one whose box there has a shorter side, in pixels of the crop."""
_SUPERSAMPLING = 8
"""Samples of a polygon along each side of a cell of its mask."""
_CLASS_OF_NAME = {name: number for number, name in enumerate(COCO_CLASSES)}


class Labelled(NamedTuple):
    """A batch of a run with labels.

    Attributes:
        crops: uint8 `[B, crop, crop, 3]`, of numpy or JAX.
        targets: the objects in them, boxes in pixels of the crops.
    """

    crops: Any
    targets: Targets


Batch = np.ndarray | Labelled
"""What a feed gives: crops uint8 `[B, crop, crop, 3]` alone, or with their objects."""


class Polygons(NamedTuple):
    """An object as the union of polygons.

    Attributes:
        points: of each polygon float32 `[P, 2]`, x and y in pixels of the picture, as bytes.
    """

    points: tuple[bytes, ...]

    def coverage(self, box: np.ndarray) -> np.ndarray:
        """Return which share of each cell of a box is covered, to within the supersampling.

        Args:
            box: float `[4]`, x0, y0, x1, y1 in pixels of the picture, not empty.

        Returns:
            float32 `[56, 56]` in [0, 1].
        """
        side = MASK_SIDE * _SUPERSAMPLING
        scale = side / (box[2:] - box[:2])
        union = Image.new("L", (side, side))
        for points in self.points:
            canvas = Image.new("L", (side, side))
            corners = (np.frombuffer(points, np.float32).reshape(-1, 2) - box[:2]) * scale
            # Pillow takes whole numbers, the middles of pixels: those of the outline are half inside
            middles = np.rint(corners - 0.5).astype(int).ravel().tolist()
            ImageDraw.Draw(canvas).polygon(middles, fill=255, outline=128)
            union = ImageChops.lighter(union, canvas)
        return np.asarray(union.reduce(_SUPERSAMPLING), np.float32) / 255


class RunLengths(NamedTuple):
    """An object as runs of pixels, column by column from the left: without it, with it, without it ...

    Attributes:
        counts: lengths of the runs uint32 `[R]`, or COCO's text of them.
        height: of the picture.
    """

    counts: np.ndarray | bytes
    height: int

    def coverage(self, box: np.ndarray) -> np.ndarray:
        """Return which share of each cell of a box is covered, exactly.

        Args:
            box: float `[4]`, x0, y0, x1, y1 in pixels, not empty, inside of the picture.

        Returns:
            float32 `[56, 56]` in [0, 1].
        """
        counts = decode_run_lengths(self.counts) if isinstance(self.counts, bytes) else self.counts.astype(np.int64)
        # How much is covered before a place, in the order of the runs, is a broken line: no pixel need be painted.
        kept = np.append(True, counts > 0)
        places = np.append(0, counts.cumsum())[kept]
        covered = np.append(0, (counts * (np.arange(len(counts)) % 2)).cumsum())[kept]
        columns = np.arange(int(np.floor(box[0])), int(np.ceil(box[2])))
        rows = np.linspace(box[1], box[3], MASK_SIDE + 1)
        before = np.interp((columns[:, None] * self.height + rows).ravel(), places, covered)
        per_column = np.diff(before.reshape(len(columns), -1), axis=1)
        summed = np.concatenate([np.zeros((1, MASK_SIDE)), per_column.cumsum(axis=0)])
        borders = np.linspace(box[0], box[2], MASK_SIDE + 1) - columns[0]
        whole = np.minimum(borders.astype(int), len(columns) - 1)
        at_borders = summed[whole] + (borders - whole)[:, None] * per_column[whole]
        area = (box[2] - box[0]) * (box[3] - box[1]) / MASK_SIDE**2
        return np.clip(np.diff(at_borders, axis=0).T / area, 0, 1).astype(np.float32)


def decode_run_lengths(text: bytes) -> np.ndarray:
    """Read COCO's text of run lengths.

    Each number is written in groups of 5 bits, lowest first, 32 marks that another group follows, and 48 is added to
    make it a character. The highest bit is the sign; from the fourth number on the one before the last is subtracted.

    Args:
        text: `counts` of an annotation.

    Returns:
        int64 `[R]`, lengths of the runs.

    Raises:
        ValueError: it is something else.
    """
    groups = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    last = (groups & 32) == 0
    if not len(groups) or groups.min() < 0 or groups.max() > 63 or not last[-1]:
        raise ValueError("segmentation: the counts are no run lengths")
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    if (ends - starts).max() > 10:
        raise ValueError("segmentation: the counts are no run lengths")
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, ends - starts + 1))
    counts = np.add.reduceat((groups & 31) << shifts, starts)
    counts -= np.where(groups[ends] & 16, 1 << (5 * (ends - starts + 1)), 0)
    counts[1::2] = counts[1::2].cumsum()
    counts[2::2] = counts[2::2].cumsum()
    return counts


@dataclass(frozen=True, slots=True)
class PictureObjects:
    """The objects of one picture.

    Attributes:
        size: height and width of the picture; None if the picture has no entry.
        boxes: float32 `[N, 4]`, x0, y0, x1, y1 in pixels, not empty.
        classes: int32 `[N]`, positions in `COCO_CLASSES`.
        shapes: of each object; None where only its box is known.
    """

    size: tuple[int, int] | None
    boxes: np.ndarray
    classes: np.ndarray
    shapes: tuple[Polygons | RunLengths | None, ...]

    def in_crop(self, view: CropView, most: int) -> Objects:
        """Find the objects that a crop shows.

        A box is clipped to the crop. Left out are objects of which too little is left (`LEAST_VISIBLE`, `LEAST_SIDE`)
        and those no part of which is inside of the clipped box.

        Args:
            view: of the crop.
            most: objects that are wanted, the largest boxes first.

        Returns:
            Boxes in pixels of the crop, classes and masks; the mask of an object whose shape is not known is 1.
        """
        whole = self.boxes.astype(np.float64)
        corner = np.array([view.left, view.top] * 2, np.float64)
        clipped = np.clip(whole, corner, corner + view.side)
        extent = np.maximum(clipped[:, 2:] - clipped[:, :2], 0)
        areas, scale = extent.prod(axis=1), view.crop / view.side
        visible = areas >= LEAST_VISIBLE * (whole[:, 2:] - whole[:, :2]).prod(axis=1)
        visible &= extent.min(axis=1) * scale >= LEAST_SIDE
        boxes, classes, masks = [], [], []
        for number in np.argsort(-areas, kind="stable"):
            if len(boxes) == most:
                break
            shape, box = self.shapes[number], clipped[number]
            if not visible[number]:
                continue
            mask = np.ones((MASK_SIDE, MASK_SIDE), np.float32) if shape is None else shape.coverage(box)
            if not mask.any():
                continue
            x0, y0, x1, y1 = (box - corner) * scale
            if view.mirrored:
                x0, x1, mask = view.crop - x1, view.crop - x0, mask[:, ::-1]
            if view.transposed:
                x0, y0, x1, y1, mask = y0, x0, y1, x1, mask.T
            boxes.append((x0, y0, x1, y1))
            classes.append(self.classes[number])
            masks.append(mask)
        count = len(boxes)
        return Objects(
            np.array(boxes, np.float32).reshape(count, 4),
            np.array(classes, np.int32),
            np.array(masks, np.float32).reshape(count, MASK_SIDE, MASK_SIDE),
        )


NO_ENTRY = PictureObjects(None, np.zeros((0, 4), np.float32), np.zeros(0, np.int32), ())
"""What is known of a picture without an entry: no object."""


class Annotations:
    """The objects of many pictures, found by file name.

    Args:
        files: COCO json files. Categories are matched by name, whatever numbers the files give them; crowds are left
            out.
        pictures: names of those to keep, as `PictureSource.describe` gives them; None keeps all.

    Attributes:
        fingerprint: name without folders and a short digest of each file.

    Raises:
        ConfigError: a file is missing or something else, its categories are not COCO's, or two entries have one name.
    """

    def __init__(self, files: Sequence[str | Path], pictures: Iterable[str] | None = None):
        kept = None if pictures is None else {name for picture in pictures for name in _names(picture)}
        self._pictures: dict[str, PictureObjects] = {}
        self.fingerprint: list[str] = []
        for path in map(Path, files):
            data = _read(path)
            self.fingerprint.append(f"{path.name} {hashlib.sha256(data).hexdigest()[:16]}")
            found = _parse(path, data, kept)
            if twice := sorted(found.keys() & self._pictures.keys()):
                raise ConfigError(
                    f"data.annotations: several files have an entry for {twice[0]}; leave out all but one"
                )
            self._pictures |= found

    def __len__(self) -> int:
        """How many pictures have an entry."""
        return len(self._pictures)

    def __contains__(self, picture: str) -> bool:
        """Whether a picture has an entry, perhaps without an object."""
        return self.objects(picture) is not NO_ENTRY

    def objects(self, picture: str) -> PictureObjects:
        """Return the objects of a picture.

        Args:
            picture: as `PictureSource.describe` names it; folders are ignored.

        Returns:
            The objects, perhaps none; `NO_ENTRY` without an entry.
        """
        return next((self._pictures[name] for name in _names(picture) if name in self._pictures), NO_ENTRY)


def _names(picture: str) -> tuple[str, str]:
    """Return what an entry may call a picture: the name without folders, and without the number in a TFDS data set."""
    name = PurePath(picture).name
    return name, name.rpartition("] ")[2]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"data.annotations: {path}: cannot be read ({error.strerror}); name COCO json files"
        ) from error


def _parse(path: Path, data: bytes, kept: Collection[str] | None) -> dict[str, PictureObjects]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"data.annotations: {path}: no json ({error}); name COCO json files") from error
    try:
        images: dict[Any, tuple[str, tuple[int, int]]] = {}
        for image in document["images"]:
            name = PurePosixPath(image["file_name"]).name
            if kept is None or name in kept:
                images[image["id"]] = name, (int(image["height"]), int(image["width"]))
        lists: dict[Any, list[Mapping[str, Any]]] = {number: [] for number in images}
        for annotation in document["annotations"]:
            if annotation["image_id"] in lists and not annotation.get("iscrowd"):
                lists[annotation["image_id"]].append(annotation)
        names = {category["id"]: str(category["name"]) for category in document["categories"]}
        unknown = {names[one["category_id"]] for found in lists.values() for one in found} - _CLASS_OF_NAME.keys()
        classes = {number: _CLASS_OF_NAME[name] for number, name in names.items() if name in _CLASS_OF_NAME}
        if not unknown:
            parsed = [(name, _objects(size, lists[number], classes)) for number, (name, size) in images.items()]
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ConfigError(
            f"data.annotations: {path}: not the annotations of COCO ({type(error).__name__}: {error}); it must"
            " hold images (id, file_name, height, width), categories (id, name) and annotations (image_id, category_id,"
            " bbox)"
        ) from error
    if unknown:
        raise ConfigError(
            f"data.annotations: {path}: {', '.join(sorted(unknown))}: not among the 80 categories of COCO; rename or"
            " drop them in the file"
        )
    found = dict(parsed)
    if len(found) < len(parsed):
        twice = next(name for name in found if sum(name == other for other, _ in parsed) > 1)
        raise ConfigError(f"data.annotations: {path}: several entries for {twice}; file names must be unique")
    return found


def _objects(
    size: tuple[int, int], annotations: Sequence[Mapping[str, Any]], classes: Mapping[Any, int]
) -> PictureObjects:
    boxes = np.array([annotation["bbox"] for annotation in annotations], np.float64).reshape(len(annotations), 4)
    if not np.isfinite(boxes).all():
        raise ValueError("a bbox is not finite")
    boxes[:, 2:] += boxes[:, :2]
    boxes = np.clip(boxes, 0, [size[1], size[0]] * 2).astype(np.float32)
    kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    chosen = [annotations[number] for number in kept.tolist()]
    shapes = tuple(_shape(size, annotation.get("segmentation")) for annotation in chosen)
    numbers = np.array([classes[annotation["category_id"]] for annotation in chosen], np.int32)
    return PictureObjects(size, boxes[kept], numbers, shapes)


def _shape(size: tuple[int, int], segmentation: Any) -> Polygons | RunLengths | None:
    if not segmentation:
        return None
    if not isinstance(segmentation, dict):
        polygons = [np.array(polygon, np.float32).reshape(-1, 2) for polygon in segmentation]
        points = tuple(polygon.tobytes() for polygon in polygons if len(polygon) >= 3)  # COCO has a few without area
        return Polygons(points) if points else None
    counts = segmentation["counts"]
    counts = counts.encode() if isinstance(counts, str) else np.array(counts, np.int64)
    runs = decode_run_lengths(counts) if isinstance(counts, bytes) else counts
    if tuple(segmentation["size"]) != size or runs.min() < 0 or runs.sum() != size[0] * size[1]:
        raise ValueError(f"segmentation: run lengths of {runs.sum()} pixels in a picture of {size[1]}x{size[0]}")
    return RunLengths(counts if isinstance(counts, bytes) else counts.astype(np.uint32), size[0])
