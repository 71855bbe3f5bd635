"""What is to be found in pictures: annotations in COCO's json, or a network's detections on the uncoded pictures."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from jaxicm.errors import InputError

KINDS = ("box", "mask")
"""What average precision compares: boxes, or the pixels of masks."""


@dataclass(frozen=True)
class GroundTruth:
    """Hold what is to be found in a set of pictures.

    Attributes:
        sizes: height and width of every picture in pixels, by name; the order of pictures is that of this mapping.
        annotations: of every picture: `category_id`, `bbox` (x, y, width, height in pixels), `area` (pixels), `iscrowd`
            and, for masks, `segmentation` (polygons or run lengths).
        categories: name of each category by id.
        kinds: of "box" and "mask", those that can be measured.
    """

    sizes: Mapping[str, tuple[int, int]]
    annotations: Mapping[str, Sequence[Mapping[str, Any]]]
    categories: Mapping[int, str]
    kinds: tuple[str, ...]

    def select(self, pictures: Collection[str]) -> "GroundTruth":
        """Return the truth of some of the pictures, in the same order."""
        sizes = {name: size for name, size in self.sizes.items() if name in pictures}
        return replace(self, sizes=sizes, annotations={name: self.annotations[name] for name in sizes})


def read_ground_truth(path: Path, pictures: Iterable[str], categories: Mapping[int, str]) -> GroundTruth:
    """Read the annotations of some pictures from a COCO json.

    A picture finds its entry by the whole `file_name`, else by the name without folders, else without the suffix, so
    that a PNG made from a JPEG finds it too. Categories are matched by name, whatever numbers the file gives them.

    Args:
        path: the json file.
        pictures: file names of the pictures that will be evaluated; other entries are dropped.
        categories: names of the network's categories by the id that its detections have.

    Returns:
        The ground truth, in the order of `pictures`.

    Raises:
        InputError: not such a file, a picture without an entry or with several, or annotations of a category that the
            network does not know.
    """
    document = _read_json(path)
    names = list(pictures)
    try:
        images = _match(path, names, document["images"])
        ids = _category_ids(document["categories"], categories)
        found: dict[Any, list[dict[str, Any]]] = {image["id"]: [] for image in images}
        for annotation in document["annotations"]:
            if annotation["image_id"] in found:
                found[annotation["image_id"]].append(_annotation(annotation, ids))
        sizes = {name: (int(image["height"]), int(image["width"])) for name, image in zip(names, images, strict=True)}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{path}: not the annotations of COCO ({type(error).__name__}: {error}); it must hold images (id, "
            "file_name, height, width), categories (id, name) and annotations (image_id, category_id, bbox)"
        ) from error
    every = [annotation for annotations in found.values() for annotation in annotations]
    unknown = sorted({str(one["category_id"]) for one in every if one["category_id"] not in categories})
    if unknown:
        raise InputError(
            f"{path}: the network does not know the annotated categories {', '.join(unknown)}; drop them from the file"
        )
    kinds = KINDS if every and all(one.get("segmentation") for one in every) else ("box",)
    annotations = {name: found[image["id"]] for name, image in zip(names, images, strict=True)}
    return GroundTruth(sizes, annotations, dict(categories), kinds)


def pseudo_ground_truth(
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    sizes: Mapping[str, tuple[int, int]],
    categories: Mapping[int, str],
    threshold: float,
) -> GroundTruth:
    """Take a network's detections on the uncoded pictures as the truth.

    Fischer et al., "Evaluation of video coding for machines without ground truth", 2022 (arXiv 2205.06519), find the
    BD-rates so obtained within 0.7 percentage points of those with annotations.

    Args:
        results: detections of every picture as :func:`as_results` makes them.
        sizes: height and width of every picture.
        categories: names of the categories by id.
        threshold: smallest score of a detection that becomes an object.

    Returns:
        The ground truth; with masks where every object has one. A detection without a pixel is no object.
    """
    annotations = {
        name: [
            {**one, "iscrowd": 0, "area": area}
            for one in results[name]
            if one["score"] >= threshold and (area := _area(one)) > 0
        ]
        for name in sizes
    }
    masks = all("segmentation" in one for found in annotations.values() for one in found)
    return GroundTruth(dict(sizes), annotations, dict(categories), KINDS if masks else ("box",))


def _area(result: Mapping[str, Any]) -> float:
    if "segmentation" not in result:
        return result["bbox"][2] * result["bbox"][3]
    from faster_coco_eval.core.mask import area

    return float(area(result["segmentation"]))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the annotations' json file") from error
    except ValueError as error:
        raise InputError(f"{path}: no json ({error}); give annotations in COCO's format") from error


def _match(path: Path, names: Sequence[str], images: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Find the entry of every picture."""
    keys = (str, lambda name: PurePosixPath(name).name, lambda name: PurePosixPath(name).stem)
    tables = []
    for key in keys:
        table: dict[str, list[Mapping[str, Any]]] = {}
        for image in images:
            table.setdefault(key(image["file_name"]), []).append(image)
        tables.append(table)
    found, absent = [], []
    for name in names:
        entries = next((hits for key, table in zip(keys, tables, strict=True) if (hits := table.get(key(name)))), [])
        if len(entries) > 1:
            raise InputError(f"{path}: {len(entries)} entries fit the picture {name}; file names must be unique")
        found += entries
        absent += [] if entries else [name]
    if absent:
        raise InputError(
            f"{path}: no entry for {len(absent)} of {len(names)} pictures, first {absent[0]}; evaluate the annotated "
            "pictures only, or take --pseudo"
        )
    owners: dict[Any, str] = {}
    for name, image in zip(names, found, strict=True):
        if owners.setdefault(image["id"], name) != name:
            raise InputError(f"{path}: {owners[image['id']]} and {name} fit the same entry {image['file_name']}")
    return found


def _category_ids(stated: Sequence[Mapping[str, Any]], known: Mapping[int, str]) -> dict[Any, Any]:
    """Map the file's category numbers to the network's; an unknown category keeps its name, to be complained of."""
    numbers = {name: number for number, name in known.items()}
    return {category["id"]: numbers.get(category["name"], category["name"]) for category in stated}


def _annotation(annotation: Mapping[str, Any], ids: Mapping[Any, Any]) -> dict[str, Any]:
    x, y, width, height = (float(value) for value in annotation["bbox"])
    entry = {
        "category_id": ids[annotation["category_id"]],
        "bbox": [x, y, width, height],
        "area": float(annotation.get("area", width * height)),
        "iscrowd": int(annotation.get("iscrowd", 0)),
    }
    return entry | ({"segmentation": annotation["segmentation"]} if annotation.get("segmentation") else {})
