"""Which files of a folder are taken, and the squares that are measured of held-out pictures."""

import fnmatch
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxicm.errors import ConfigError
from jaxicm.media.files import PICTURE_SUFFIXES


def matches(path: Path, pattern: str) -> bool:
    """Say whether a path fits a pattern: a glob from the right, with `%N` only numbers divisible by N.

    >>> matches(Path("data/photos-b/p0024.jpg"), "photos-b/*%12")
    True
    """
    glob, _, divisor = pattern.partition("%")
    if not fnmatch.fnmatchcase(path.as_posix(), glob) and not fnmatch.fnmatchcase(path.as_posix(), f"*/{glob}"):
        return False
    if not divisor:
        return True
    if not divisor.isdigit() or int(divisor) == 0:
        raise ConfigError(f"pattern {pattern!r}: after % stands {divisor!r}, expected a whole number above 0")
    numbers = re.findall(r"\d+", path.stem)
    return bool(numbers) and int(numbers[-1]) % int(divisor) == 0


def select_files(
    folders: Sequence[str],
    include: Sequence[str],
    exclude: Sequence[str] = (),
    suffixes: Collection[str] = PICTURE_SUFFIXES,
) -> list[Path]:
    """List the pictures of folders that patterns select.

    Args:
        folders: searched recursively.
        include: at least one of these patterns must fit.
        exclude: none of these may fit.
        suffixes: of files that are looked at, in small letters.

    Returns:
        Files, sorted inside each folder.

    Raises:
        ConfigError: a folder does not exist.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder of pictures; check --data or data.folders")
        inside = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
        for path in inside:
            chosen = any(matches(path.absolute(), pattern) for pattern in include)
            if chosen and not any(matches(path.absolute(), pattern) for pattern in exclude):
                found.append(path)
    return found


def central_crops(pictures: Iterable[np.ndarray], side: int) -> np.ndarray:
    """Cut the middle of each picture that is large enough: uint8 `[N, side, side, 3]`, N possibly 0."""
    crops = []
    for picture in pictures:
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        if top >= 0 and left >= 0:
            crops.append(picture[top : top + side, left : left + side].copy())  # a view would keep the whole picture
    return np.stack(crops) if crops else np.empty((0, side, side, 3), np.uint8)
