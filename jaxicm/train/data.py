"""Training pictures in memory, and the crops of each step as a pure function of (seed, step)."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from jaxicm.errors import ConfigError, InputError
from jaxicm.media.files import PICTURE_SUFFIXES
from jaxicm.media.pictures import as_rgb, read_picture

_DECODERS = 4
"""Threads: Pillow decodes outside of the interpreter's lock."""
_STACK_WASTE = 4
"""A stack of pictures of unequal sizes may take this many times the memory of the pictures."""


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


def select_files(folders: Sequence[str], include: Sequence[str], exclude: Sequence[str] = ()) -> list[Path]:
    """List the pictures of folders that patterns select.

    Args:
        folders: searched recursively; a `.npy` file stands for itself, whatever the patterns.
        include: at least one of these patterns must fit.
        exclude: none of these may fit.

    Returns:
        Files, sorted inside each folder.

    Raises:
        ConfigError: a folder does not exist.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        if folder.suffix == ".npy" and folder.is_file():
            found.append(folder)
            continue
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder of pictures; check --data or data.folders")
        inside = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        for path in inside:
            chosen = any(matches(path.absolute(), pattern) for pattern in include)
            if chosen and not any(matches(path.absolute(), pattern) for pattern in exclude):
                found.append(path)
    return found


def load_pictures(files: Iterable[Path], warn: Callable[[str], None] = print) -> list[np.ndarray]:
    """Decode pictures to RGB; a broken one is reported and skipped.

    Args:
        files: pictures, and `.npy` files of uint8 `[N, H, W, 3]`.
        warn: takes one line for each picture that is skipped.

    Returns:
        uint8 `[H, W, 3]` each, in the order of `files`.
    """

    def read(path: Path) -> list[np.ndarray] | str:
        try:
            return list(_read_array(path)) if path.suffix == ".npy" else [as_rgb(read_picture(path).pixels)]
        except InputError as error:
            return str(error)

    pictures: list[np.ndarray] = []
    with ThreadPoolExecutor(_DECODERS) as pool:
        for result in pool.map(read, files):
            if isinstance(result, str):
                warn(f"skipped: {result}")
            else:
                pictures += result
    return pictures


def _read_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as an array ({error})") from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3:
        raise InputError(f"{path}: found {array.dtype} {array.shape}, expected uint8 [N, H, W, 3]")
    return array


def reduced(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Reduce a picture uint8 `[H, W, 3]` by a factor in (0, 1]."""
    if scale == 1.0:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class CropSource:
    """Pictures and the crops that a step takes of them.

    Attributes:
      pictures: uint8 `[H, W, 3]`, no side below `crop`.
      crop: side of a crop.
      seed: of the choice.
      flip: mirror half of the crops.
      transpose: swap rows and columns of half of the crops.
      originals: the first so many pictures are those at the first scale, the others copies of them.
    """

    pictures: tuple[np.ndarray, ...]
    crop: int
    seed: int = 0
    flip: bool = True
    transpose: bool = True
    originals: int = 0

    def batch(self, step: int, count: int) -> np.ndarray:
        """Take the crops of a step: uint8 `[count, crop, crop, 3]`, the same for the same seed and step."""
        rng = np.random.default_rng([self.seed, step])
        out = np.empty((count, self.crop, self.crop, 3), np.uint8)
        for slot in out:
            picture = self.pictures[rng.integers(len(self.pictures))]
            top = rng.integers(picture.shape[0] - self.crop + 1)
            left = rng.integers(picture.shape[1] - self.crop + 1)
            mirrored, swapped = rng.random(2) < 0.5
            crop = picture[top : top + self.crop, left : left + self.crop]
            crop = crop[:, ::-1] if mirrored and self.flip else crop
            slot[:] = crop.swapaxes(0, 1) if swapped and self.transpose else crop
        return out

    def stack(self) -> tuple[np.ndarray, np.ndarray]:
        """Put all pictures into one array for device memory.

        Returns:
            uint8 `[N, H, W, 3]`, smaller pictures at the top left, and int32 `[N, 2]` true heights and widths.

        Raises:
            ConfigError: the sizes differ so much that most of the array would be empty.
        """
        sizes = np.array([picture.shape[:2] for picture in self.pictures], np.int32)
        height, width = sizes.max(0)
        used, needed = int(sizes.prod(1).sum()), len(sizes) * int(height) * int(width)
        if needed > _STACK_WASTE * used:
            raise ConfigError(
                f"resident pictures: their sizes differ up to {height}x{width}, a stack would take {3 * needed:,} bytes"
                f" for {3 * used:,} bytes of pictures; cut them to one size, or train without --resident"
            )
        stack = np.zeros((len(sizes), height, width, 3), np.uint8)
        for slot, picture in zip(stack, self.pictures, strict=True):
            slot[: picture.shape[0], : picture.shape[1]] = picture
        return stack, sizes


def make_source(
    pictures: Sequence[np.ndarray],
    *,
    crop: int,
    seed: int = 0,
    scales: Sequence[float] = (1.0,),
    flip: bool = True,
    transpose: bool = True,
    warn: Callable[[str], None] = print,
) -> CropSource:
    """Prepare pictures for cropping: make reduced copies, leave out what is smaller than a crop.

    Args:
        pictures: uint8 `[H, W, 3]` each.
        crop: side of a crop.
        seed: of the choice.
        scales: factors of the copies.
        flip, transpose: as in `CropSource`.
        warn: takes a line if pictures are left out.

    Returns:
        The source of the crops.

    Raises:
        ConfigError: no picture is left.
    """
    copies = [reduced(picture, scale) for scale in scales for picture in pictures]
    originals = sum(min(copy.shape[:2]) >= crop for copy in copies[: len(pictures)])
    kept = tuple(copy for copy in copies if min(copy.shape[:2]) >= crop)
    if not kept:
        found = "there are none" if not pictures else f"all {len(pictures)} are smaller than the crop of {crop} pixels"
        raise ConfigError(f"no training pictures: {found}; name a folder of pictures with --data FOLDER")
    if len(kept) < len(copies):
        warn(f"{len(copies) - len(kept)} of {len(copies)} pictures (reduced copies counted) are smaller than the crop")
    return CropSource(kept, crop, seed, flip, transpose, originals)


def central_crops(pictures: Sequence[np.ndarray], side: int) -> np.ndarray:
    """Cut the middle of each picture that is large enough: uint8 `[N, side, side, 3]`, N possibly 0."""
    crops = []
    for picture in pictures:
        top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
        if top >= 0 and left >= 0:
            crops.append(picture[top : top + side, left : left + side])
    return np.stack(crops) if crops else np.empty((0, side, side, 3), np.uint8)
