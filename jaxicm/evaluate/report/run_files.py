"""Run files as `jaxicm eval` writes them, read and checked: nothing behind this file meets a missing key."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxicm.errors import InputError
from jaxicm.evaluate.run_file import FORMAT
from jaxicm.media.files import read_bytes

_LARGEST, _LARGEST_SIDE, _SMALLEST_BPP = 1e15, 10**7, 1e-9
"""What lies beyond was not measured: numbers that would overflow the drawings."""
_QUALITIES = ("psnr-rgb", "psnr-yuv", "ms-ssim-rgb", "ms-ssim-db-rgb", "lpips")
_RESULTS = ("bpsp", *_QUALITIES, "encoding_time", "decoding_time")
_MEASURES = ("bpsp", "psnr_rgb", "psnr_yuv", "ms_ssim", "ms_ssim_db", "lpips", "encode_s", "decode_s")


@dataclass(frozen=True)
class Point:
    """Hold an operating point.

    Attributes:
        quality: setting of the codec.
        scale: of the input in per cent.
        bpp: bits per pixel of the original, mean over the pictures; positive.
        values: what was measured, finite, by the keys of the run file ("psnr-rgb", "box_ap", ...).
    """

    quality: float
    scale: float
    bpp: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Task:
    """Hold what a task network found on the decoded pictures.

    Attributes:
        name: of the network.
        digest: of its weights.
        ground_truth: "real", "pseudo", or nothing where the measure needs none.
        original: scores on the uncoded pictures.
        points: scores of the operating points, rising rate.
    """

    name: str
    digest: str
    ground_truth: str
    original: Mapping[str, float]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Picture:
    """Hold one picture at one operating point; `values` has the finite ones of size_bytes, psnr_rgb, encode_s, ..."""

    name: str
    quality: float
    scale: float
    pixels: int
    bpp: float
    values: Mapping[str, float]
    encode_parts_s: Mapping[str, float]
    decode_parts_s: Mapping[str, float]


@dataclass(frozen=True)
class Crop:
    """Name the picture files of one crop, original and decoded."""

    picture: str
    quality: float
    scale: float
    bpp: float
    psnr: float | None
    box: tuple[int, ...]
    original: Path
    decoded: Path


@dataclass(frozen=True)
class Run:
    """Hold a run file.

    Attributes:
        path: of the file.
        name: of the codec, as given to `jaxicm eval`.
        title: of the codec, for people.
        kind: "learned" or "conventional".
        clock: what its seconds are: "wall" or "cpu".
        parameters: of the networks, or None.
        kmac_per_pixel: thousands of multiplications per pixel by part.
        steps: sequential steps of the entropy model, or None.
        data: "folder", "set", "count", "pixels" and "digest" of the pictures.
        labels: from `--label KEY=VALUE`.
        points: of the curve, rising rate.
        tasks: by network.
        pictures: each at each operating point.
        crops: for the comparison by eye.
        provenance: "command", "created", "versions", "machine", "identity", "fresh", "jobs".
    """

    path: Path
    name: str
    title: str
    kind: str
    clock: str
    parameters: int | None
    kmac_per_pixel: Mapping[str, float]
    steps: int | None
    data: Mapping[str, Any]
    labels: Mapping[str, str]
    points: tuple[Point, ...]
    tasks: tuple[Task, ...]
    pictures: tuple[Picture, ...]
    crops: tuple[Crop, ...]
    provenance: Mapping[str, Any]


def read_run(path: Path) -> Run:
    """Read a run file.

    Args:
        path: a JSON file that `jaxicm eval` wrote.

    Returns:
        Its contents, checked.

    Raises:
        InputError: missing, not JSON, not a run file, of an older or newer format, or damaged.
    """
    try:
        content = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file ({error}); give run files that `jaxicm eval` wrote") from error
    _check_format(path, content)
    try:
        return _run(path, content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: damaged run file ({found}); run the command of the file again") from error


def _check_format(path: Path, content: Any) -> None:
    found = content.get("format") if isinstance(content, dict) else None
    if found == FORMAT:
        return
    if isinstance(found, str) and found.startswith("jaxicm run "):
        raise InputError(f"{path}: format {found!r}, this program reads {FORMAT!r}; update jaxicm or run it again")
    if isinstance(content, dict) and "curve" in content and "pictures" in content:
        raise InputError(f"{path}: a table of an older `jaxicm eval`, without a format; run the evaluation again")
    raise InputError(f'{path}: not a run file: {FORMAT!r} expected under "format", found {found!r}; give run files')


def _run(path: Path, content: dict[str, Any]) -> Run:
    codec, data = content["codec"], content["data"]
    name = str(codec.get("name") or content["name"])
    steps, parameters = _finite(codec.get("steps")), _finite(codec.get("parameters"))
    return Run(
        path=path,
        name=name,
        title=str(codec.get("title") or name),
        kind="learned" if codec.get("kind") == "learned" else "conventional",
        clock="cpu" if codec.get("clock") == "cpu" else "wall",
        parameters=None if parameters is None else int(parameters),
        kmac_per_pixel=_finite_only(codec.get("kmac_per_pixel")),
        steps=None if steps is None else int(steps),
        data={
            "folder": str(data.get("folder") or "pictures"),
            "set": data.get("set") if isinstance(data.get("set"), str) else None,
            "count": int(data["count"]),
            "pixels": int(data.get("pixels") or 0),
            "digest": str(data["digest"]),
        },
        labels={str(key): str(value) for key, value in (content.get("labels") or {}).items()},
        points=_points(content["results"]),
        tasks=tuple(_task(name, task) for name, task in (content.get("tasks") or {}).items()),
        pictures=tuple(_picture(row) for row in content.get("pictures") or ()),
        crops=tuple(_crop(path.parent, row) for row in content.get("crops") or ()),
        provenance={
            "command": str(content.get("command") or ""),
            "created": str(content.get("created") or ""),
            "versions": dict(content.get("versions") or {}),
            "machine": dict(content.get("machine") or {}),
            "identity": dict(codec.get("identity") or {}),
            "fresh": bool(content.get("fresh")),
            "jobs": content.get("jobs"),
        },
    )


def _points(results: Mapping[str, Sequence[Any]]) -> tuple[Point, ...]:
    count = len(results["bpp"])
    wrong = [key for key in ("quality", "scale", *_RESULTS) if len(results.get(key) or [None] * count) != count]
    if wrong:
        raise ValueError(f"results: {wrong[0]} has {len(results[wrong[0]])} entries, bpp {count}")
    points = []
    for index, bpp in enumerate(results["bpp"]):
        values = _finite_only({key: results[key][index] for key in _RESULTS if results.get(key)})
        quality, scale = ((results.get(key) or [None] * count)[index] for key in ("quality", "scale"))
        points.append(_point(quality, scale, bpp, values))
    return tuple(sorted(filter(None, points), key=lambda point: point.bpp))


def _point(quality: Any, scale: Any, bpp: Any, values: Mapping[str, float]) -> Point | None:
    rate = _finite(bpp)
    if rate is None or rate < _SMALLEST_BPP:
        return None
    return Point(_finite(quality) or 0.0, 100.0 if scale is None else float(scale), rate, values)


def _task(name: str, task: Mapping[str, Any]) -> Task:
    points = []
    for entry in task["points"]:
        scores = {key: value for key, value in entry.items() if key not in ("quality", "scale", "bpp")}
        points.append(_point(entry.get("quality"), entry.get("scale"), entry["bpp"], _finite_only(scores)))
    return Task(
        name=str(name),
        digest=str(task.get("digest") or ""),
        ground_truth=str(task.get("ground_truth") or ""),
        original=_finite_only(task.get("original")),
        points=tuple(sorted(filter(None, points), key=lambda point: point.bpp)),
    )


def _picture(row: Mapping[str, Any]) -> Picture:
    return Picture(
        name=str(row["picture"]),
        quality=_finite(row.get("quality")) or 0.0,
        scale=_finite(row.get("scale")) or 100.0,
        pixels=_side(row, "width") * _side(row, "height"),
        bpp=_rate(row),
        values=_finite_only({key: row.get(key) for key in ("size_bytes", *_MEASURES)}),
        encode_parts_s=_finite_only(row.get("encode_parts_s")),
        decode_parts_s=_finite_only(row.get("decode_parts_s")),
    )


def _crop(folder: Path, row: Mapping[str, Any]) -> Crop:
    return Crop(
        picture=str(row["picture"]),
        quality=_finite(row.get("quality")) or 0.0,
        scale=_finite(row.get("scale")) or 100.0,
        bpp=_rate(row),
        psnr=_finite(row.get("psnr_rgb")),
        box=tuple(int(side) for side in row.get("box") or ()),
        original=folder / str(row["original"]),
        decoded=folder / str(row["decoded"]),
    )


def _side(row: Mapping[str, Any], key: str) -> int:
    side = int(row[key])
    if not 0 < side <= _LARGEST_SIDE:
        raise ValueError(f"{key} {side}")
    return side


def _rate(row: Mapping[str, Any]) -> float:
    rate = _finite(row["bpp"])
    if rate is None or rate < 0:
        raise ValueError(f"bpp {row['bpp']!r}")
    return rate


def _finite(value: Any) -> float | None:
    """Return a finite number as float, anything that was not measured as None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        return None
    return float(value)


def _finite_only(values: Mapping[str, Any] | None) -> dict[str, float]:
    found = {str(key): _finite(value) for key, value in (values or {}).items()}
    return {key: value for key, value in found.items() if value is not None}
