"""A folder of pictures as a TFDS data set: array_record files that are read without TensorFlow, in any order.

PNG, JPEG and WebP files are kept byte for byte. What every reader would not see alike (EXIF orientation, alpha,
palettes, grey, 16 bit, animations, other formats) is decoded by the rules of `jaxicm.media.pictures` and stored as PNG.
"""

import hashlib
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxicm.errors import InputError, OptionError, OutputError
from jaxicm.media.files import explain_write_failure, find_pictures, read_bytes
from jaxicm.media.pictures import as_rgb, encode_picture, read_picture
from jaxicm.train.data import matches
from jaxicm.train.jpeg_quality import jpeg_quality
from jaxicm.train.sources import DECODERS
from jaxicm.train.tfds_source import INFO_FILE, import_tfds

VERSION = "1.0.0"
TRAIN, VALIDATION = "train", "validation"
_KEPT_FORMATS = ("PNG", "JPEG", "WEBP")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CHUNK = 4 * DECODERS
"""Pictures that are decoded at a time."""
_PENDING = 64
"""Files that are written at a time: TFDS writes its two JSON files anew after each time, which takes 3 ms."""


@dataclass(frozen=True)
class BuildOptions:
    """How a data set is made.

    Attributes:
        name: of the data set: small letters, digits and underscores; empty takes that of the output folder.
        validation_percent: share of the pictures in the split "validation"; which they are depends on their names.
        validation_pattern: puts the files it fits there instead, as in `jaxicm.train.data.matches`.
        shard_size: pictures in a file.
        longest_side: pictures are reduced to it, in pixels; 0 leaves them.
        min_side: pictures with a side below it are left out, in pixels.
        min_jpeg_quality: JPEG files below it are left out, in [0, 100].
    """

    name: str = ""
    validation_percent: float = 0.0
    validation_pattern: str = ""
    shard_size: int = 1000
    longest_side: int = 0
    min_side: int = 0
    min_jpeg_quality: int = 0

    def __post_init__(self):
        for option, holds, found, rule in (
            ("--name", not self.name or _NAME.fullmatch(self.name), self.name,
             "small letters, digits and underscores, a letter first"),
            ("--validation-percent", 0 <= self.validation_percent < 100, self.validation_percent, "0 to below 100"),
            ("--validation-pattern", not (self.validation_pattern and self.validation_percent),
             self.validation_pattern, "either a pattern or --validation-percent"),
            ("--shard-size", self.shard_size >= 1, self.shard_size, "1 or more pictures"),
            ("--longest-side", self.longest_side >= 0, self.longest_side, "a number of pixels, or 0"),
            ("--min-side", self.min_side >= 0, self.min_side, "a number of pixels, or 0"),
            ("--min-jpeg-quality", 0 <= self.min_jpeg_quality <= 100, self.min_jpeg_quality, "0 to 100"),
        ):  # fmt: skip
            if not holds:
                raise OptionError(f"{option}: found {found!r}, expected {rule}")


@dataclass
class BuildSummary:
    """What was made.

    Attributes:
        pictures: number of pictures of each split.
        skipped: number of pictures for each reason.
        kept: files stored byte for byte.
        recoded: pictures stored as PNG.
        size_bytes: of the data set on the disk.
    """

    pictures: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    recoded: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class _Prepared:
    data: bytes
    height: int
    width: int
    original: bool


@dataclass(frozen=True)
class _Skipped:
    kind: str
    line: str


def build_dataset(
    folders: Sequence[Path],
    out: Path,
    options: BuildOptions,
    *,
    overwrite: bool = False,
    warn: Callable[[str], None] = print,
    track: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, total: items,
) -> BuildSummary:
    """Write a TFDS data set of the pictures of some folders.

    The data set appears under its name when it is complete; an interrupted build leaves nothing.

    Args:
        folders: searched recursively.
        out: the folder that will hold `dataset_info.json`.
        options: see there.
        overwrite: replace a data set that is there.
        warn: takes a line for each picture that is skipped.
        track: wraps the pictures, to show progress; it is given their number.

    Returns:
        What was made.

    Raises:
        InputError: a folder is missing or holds no pictures, or none of them can be used.
        OutputError: the output is there already or cannot be written.
        MissingDependency: tensorflow_datasets is not installed.
    """
    import_tfds()
    named = [(path, _relative_name(path, folder, folders)) for folder in folders for path in find_pictures([folder])]
    _check_output(out, overwrite)
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.absolute().parent))
    except OSError as error:
        raise OutputError(f"{out}: {explain_write_failure(error)}") from error
    try:
        summary = _write(named, part, options, _dataset_name(options, out), warn, track)
        part.chmod(0o755)  # a temporary folder is for its owner only
        _put_in_place(part, out)
    except OSError as error:
        raise OutputError(f"{out}: {explain_write_failure(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    summary.size_bytes = sum(path.stat().st_size for path in out.iterdir())
    return summary


def _put_in_place(part: Path, out: Path) -> None:
    before = part.with_suffix(".before")
    if out.exists():
        out.rename(before)
    try:
        part.rename(out)
    except OSError:
        if before.exists():
            before.rename(out)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _check_output(out: Path, overwrite: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / INFO_FILE).is_file()):
        raise OutputError(f"{out}: is there already and is no TFDS data set; name a new folder with --out")
    if any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out}: holds a data set already; replace it with --overwrite, or name another with --out")
    if foreign := [entry.name for entry in out.iterdir() if entry.is_dir()]:
        raise OutputError(f"{out}: holds the folder {foreign[0]} beside a data set, which is not deleted; name another")


def _dataset_name(options: BuildOptions, out: Path) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", out.absolute().name.lower()).strip("_")
    return options.name or (plain if _NAME.fullmatch(plain) else f"pictures_{plain}".rstrip("_"))


def _relative_name(path: Path, folder: Path, folders: Sequence[Path]) -> str:
    inside = path.relative_to(folder) if path != folder else Path(path.name)
    return (Path(folder.absolute().name) / inside if len(folders) > 1 else inside).as_posix()


def _write(
    named: Sequence[tuple[Path, str]],
    folder: Path,
    options: BuildOptions,
    name: str,
    warn: Callable[[str], None],
    track: Callable[[Iterable[Any], int], Iterable[Any]],
) -> BuildSummary:
    tfds = import_tfds()
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=name, version=tfds.core.Version(VERSION), data_dir=str(folder), module_name=__name__
    )
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "file_name": tfds.features.Text(),
            "height": np.int32,
            "width": np.int32,
        }
    )
    info = tfds.core.DatasetInfo(builder=identity, description="Made by `jaxicm dataset build`.", features=features)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=options.shard_size, file_format="array_record")
    summary = BuildSummary()
    pending: dict[str, list[dict[str, Any]]] = {}
    for (path, file_name), result in track(_prepare_all(named, options), len(named)):
        if isinstance(result, _Skipped):
            summary.skipped[result.kind] = summary.skipped.get(result.kind, 0) + 1
            warn(f"skipped: {result.line}")
            continue
        split = _split(path, file_name, options)
        if split not in summary.pictures:
            summary.pictures[split] = 0
            writer.initialize_splits([split])
        summary.pictures[split] += 1
        summary.kept += result.original
        summary.recoded += not result.original
        example = {"image": io.BytesIO(result.data), "file_name": file_name}
        pending.setdefault(split, []).append(example | {"height": result.height, "width": result.width})
        if sum(map(len, pending.values())) >= _PENDING:
            writer.add_examples(pending)
            pending = {}
    if not summary.pictures.get(TRAIN):
        parts = summary.skipped | ({"held out": summary.pictures[VALIDATION]} if summary.pictures else {})
        found = ", ".join(f"{count} {kind}" for kind, count in parts.items())
        raise InputError(f"{len(named)} pictures, none of them to train on: {found}; nothing was written")
    writer.add_examples(pending)
    writer.close_all()
    return summary


def _prepare_all(
    named: Sequence[tuple[Path, str]], options: BuildOptions
) -> Iterator[tuple[tuple[Path, str], _Prepared | _Skipped]]:
    with ThreadPoolExecutor(DECODERS) as pool:
        for first in range(0, len(named), _CHUNK):
            part = named[first : first + _CHUNK]
            yield from zip(part, pool.map(lambda item: _prepare(item[0], options), part), strict=True)


def _prepare(path: Path, options: BuildOptions) -> _Prepared | _Skipped:
    try:
        data = read_bytes(path)
        picture = read_picture(data, name=str(path))
    except InputError as error:
        return _Skipped("broken", str(error))
    height, width = picture.pixels.shape[:2]
    if min(height, width) < options.min_side:
        kind = f"smaller than {options.min_side} pixels"
        return _Skipped(kind, f"{path}: {width}x{height}, {kind}")
    quality = jpeg_quality(data) if options.min_jpeg_quality else None
    if quality is not None and quality < options.min_jpeg_quality:
        kind = f"below JPEG quality {options.min_jpeg_quality}"
        return _Skipped(kind, f"{path}: JPEG quality {quality}, {kind}")
    pixels = as_rgb(picture.pixels)
    if options.longest_side and max(height, width) > options.longest_side:
        factor = options.longest_side / max(height, width)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    elif picture.pixels.ndim == 3 and not picture.notes and _format(data) in _KEPT_FORMATS:
        return _Prepared(data, height, width, original=True)
    return _Prepared(encode_picture(pixels), *pixels.shape[:2], original=False)


def _format(data: bytes) -> str | None:
    with Image.open(io.BytesIO(data)) as image:
        return image.format


def _split(path: Path, file_name: str, options: BuildOptions) -> str:
    if options.validation_pattern:
        return VALIDATION if matches(path.absolute(), options.validation_pattern) else TRAIN
    # By the name alone: a picture stays where it is when others are added.
    drawn = int.from_bytes(hashlib.sha256(file_name.encode()).digest()[:8], "big") / 2**64
    return VALIDATION if 100 * drawn < options.validation_percent else TRAIN
