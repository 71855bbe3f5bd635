"""The run file: one JSON for a codec on a set of pictures, made from the journal alone.

Its `name`, `description` and `results` are what CompressAI's plotting tools read; the rest is for reports. A value is
null where it is infinite (the PSNR of equal pictures) or was not measured; a key of `results` is left out where no
operating point has a value. Bits per sub-pixel (bpsp) have a value only where every sample of every picture came back.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import InputError
from jaxicm.evaluate.journal import Journal, Key
from jaxicm.media.files import atomic_write

FORMAT = "jaxicm run 1"
MEANS = {
    "bpp": "bpp",
    "bpsp": "bpsp",
    "psnr-rgb": "psnr_rgb",
    "psnr-yuv": "psnr_yuv",
    "ms-ssim-rgb": "ms_ssim",
    "ms-ssim-db-rgb": "ms_ssim_db",
    "lpips": "lpips",
}
"""Keys of `results` that are means over the pictures, and the fields of a picture that they average."""
MEDIANS = {"encoding_time": "encode_s", "decoding_time": "decode_s"}
"""Keys of `results` that are medians: a first call or a busy moment should not count."""


def build(journal: Journal) -> dict[str, Any]:
    """Make the contents of a run file.

    An operating point counts when every picture of the last session was measured at it.

    Args:
        journal: of the run, with at least one session.

    Returns:
        JSON-able contents.

    Raises:
        InputError: no session was begun.
    """
    session = journal.session
    if not session:
        raise InputError("the journal names no pictures; give the command of the run again")
    pictures = [journal.pictures[name] for name in session["pictures"]]
    points = complete_points(journal)
    codec = dict(journal.header["codec"])
    rows = [
        {"picture": picture["picture"], "quality": quality, "scale": scale}
        | journal.entries[Key(picture["picture"], quality, scale)].measured
        for picture in pictures
        for quality, scale in points
    ]
    data = session["data"] | {
        "count": len(pictures),
        "pixels": sum(picture["height"] * picture["width"] for picture in pictures),
    }
    return {
        "format": FORMAT,
        "name": codec["name"],
        "description": journal.header["description"],
        "results": _results(journal, points),
        "codec": codec,
        "data": data,
        "labels": session["labels"],
        "command": session["command"],
        "created": journal.header["created"],
        "fresh": journal.header["fresh"],
        "jobs": session["jobs"],
        "versions": session["versions"],
        "machine": session["machine"],
        "pictures": rows,
        "tasks": {
            name: _task(journal, name, points)
            for name in sorted(journal.tasks)
            if journal.tasks[name]["pictures"] == session["pictures"]  # of others the figures would be of another set
        },
        "crops": _crops(journal, points),
    }


def complete_points(journal: Journal) -> list[tuple[float, int]]:
    """List the operating points at which every picture of the last session was measured, mean rate rising.

    Args:
        journal: of the run.

    Returns:
        (quality, scale) pairs.
    """
    names = journal.session["pictures"]
    known = {(key.quality, key.scale) for key, entry in journal.entries.items() if entry.measured}

    def rates(point: tuple[float, int]) -> list[float] | None:
        entries = [journal.entries.get(Key(name, *point)) for name in names]
        measured = [entry.measured["bpp"] for entry in entries if entry is not None and entry.measured]
        return measured if len(measured) == len(names) else None

    means = {point: float(np.mean(found)) for point in sorted(known) if (found := rates(point)) is not None}
    return sorted(means, key=lambda point: (means[point], point))


def write(path: Path, run: dict[str, Any]) -> None:
    """Write a run file, replacing what is there at once.

    Args:
        path: the file.
        run: its contents, as `build` makes them.

    Raises:
        OutputError: it cannot be written.
    """
    atomic_write(path, (json.dumps(run, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def _results(journal: Journal, points: Sequence[tuple[float, int]]) -> dict[str, list[Any]]:
    names = journal.session["pictures"]

    def column(field: str, combine: Callable[[list[float | None]], float | None]) -> list[float | None]:
        return [combine([journal.entries[Key(name, *point)].measured.get(field) for name in names]) for point in points]

    results: dict[str, list[Any]] = {
        "quality": [quality for quality, _ in points],
        "scale": [scale for _, scale in points],
    }
    columns = {key: column(field, _mean) for key, field in MEANS.items()}
    columns |= {key: column(field, _median) for key, field in MEDIANS.items()}
    return results | {
        key: values for key, values in columns.items() if key == "bpp" or any(value is not None for value in values)
    }


def _mean(values: list[float | None]) -> float | None:
    """Return the mean, or None where one value is missing or infinite: the others alone are another set."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _task(journal: Journal, name: str, points: Sequence[tuple[float, int]]) -> dict[str, Any]:
    task = journal.tasks[name]
    figures = {(row["quality"], row["scale"]): row for row in task["points"]}
    names = journal.session["pictures"]
    rows = [
        {
            "quality": quality,
            "scale": scale,
            "bpp": _mean([journal.entries[Key(picture, quality, scale)].measured["bpp"] for picture in names]),
            **figures[quality, scale]["figures"],
        }
        for quality, scale in points
        if (quality, scale) in figures
    ]
    facts = {key: value for key, value in task.items() if key not in ("kind", "task", "points", "pictures")}
    return facts | {"points": rows}


def _crops(journal: Journal, points: Sequence[tuple[float, int]]) -> list[dict[str, Any]]:
    found = []
    for name in journal.session["pictures"]:
        for quality, scale in points:
            entry = journal.entries[Key(name, quality, scale)]
            if entry.crop:
                measured = {key: entry.measured.get(key) for key in ("bpp", "psnr_rgb")}
                found.append({"picture": name, "quality": quality, "scale": scale, **measured, **entry.crop})
    return found
