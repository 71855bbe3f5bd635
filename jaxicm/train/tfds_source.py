"""The pictures of a prepared TFDS data set, read without TensorFlow.

Names: `DIR[:SPLIT]` of a folder that holds `dataset_info.json`, or `tfds:NAME[/CONFIG][:SPLIT][@DATA_DIR]`. The code
of a data set's builder is never imported and nothing is downloaded: only what lies prepared on the disk is read.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import ConfigError, InputError, MissingDependency
from jaxicm.media.pictures import as_rgb, read_picture
from jaxicm.train.sources import digest

INFO_FILE = "dataset_info.json"
PREFIX = "tfds:"
TRAIN = "train"
HELD_OUT = ("validation", "test")
"""Splits that are measured, the first that is there."""
_WITH_SPLIT = re.compile(r"(?P<path>.+?):(?P<split>[A-Za-z_]\w*(\[[^\]]*\])?(\+.+)?)")
_NAME_FEATURES = ("file_name", "filename", "name", "image/filename", "image/name", "id")


def import_tfds() -> Any:
    """Import tensorflow_datasets.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise MissingDependency("TFDS data sets need tensorflow-datasets: pip install 'jaxicm[data]'") from error
    return tfds


@dataclass(frozen=True)
class TfdsName:
    """A prepared data set on the disk.

    Attributes:
        directory: that holds `dataset_info.json`.
        split: as TFDS writes it, for instance "train[:10%]"; None if the user named none.
    """

    directory: Path
    split: str | None = None


def is_tfds(entry: str) -> bool:
    """Say whether a name is that of a TFDS data set."""
    return entry.startswith(PREFIX) or _folder_name(entry) is not None


def find_tfds(entry: str) -> TfdsName:
    """Find a prepared data set.

    Args:
        entry: a name as at the top of this file.

    Returns:
        Where it lies.

    Raises:
        ConfigError: there is none; the message says where was looked.
    """
    if not entry.startswith(PREFIX):
        found = _folder_name(entry)
        if found is None:
            raise ConfigError(f"{entry}: holds no {INFO_FILE}, so it is no TFDS data set; check the path")
        return found
    name, _, data_dir = entry.removeprefix(PREFIX).partition("@")
    name, _, split = name.partition(":")
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets").expanduser()
    return TfdsName(_newest_version(entry, root / name), split or None)


def _folder_name(entry: str) -> TfdsName | None:
    if (Path(entry) / INFO_FILE).is_file():
        return TfdsName(Path(entry))
    parts = _WITH_SPLIT.fullmatch(entry)
    if parts and (Path(parts["path"]) / INFO_FILE).is_file():
        return TfdsName(Path(parts["path"]), parts["split"])
    return None


def _newest_version(entry: str, folder: Path) -> Path:
    if (folder / INFO_FILE).is_file():
        return folder
    prepared = sorted(path.parent.relative_to(folder) for path in folder.glob(f"*/{INFO_FILE}"))
    versions = [path for path in prepared if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]
    if versions:
        return folder / max(versions, key=lambda path: tuple(map(int, path.name.split("."))))
    below = sorted({path.parent.parent.name for path in folder.glob(f"*/*/{INFO_FILE}")})
    if below:
        raise ConfigError(f"{entry}: has the configurations {' '.join(below)}; name one as {PREFIX}NAME/CONFIG")
    raise ConfigError(
        f"{entry}: no prepared data set in {folder}; prepare it once with tfds.builder(NAME).download_and_prepare("
        "file_format='array_record'), or name another place with @DATA_DIR"
    )


def split_names(directory: Path) -> tuple[str, ...]:
    """Return the names of a prepared data set's splits."""
    return tuple(open_builder(directory).info.splits)


def open_builder(directory: Path) -> Any:
    """Return the `tfds.core.DatasetBuilder` of a prepared data set.

    Raises:
        ConfigError: TFDS cannot read what is there.
        MissingDependency: tensorflow_datasets is not installed.
    """
    tfds = import_tfds()
    try:
        return tfds.builder_from_directory(str(directory))
    except Exception as error:  # whatever a damaged or foreign file makes TFDS raise
        raise ConfigError(
            f"{directory}: not a readable TFDS data set ({_first_line(error)}); prepare it again"
        ) from error


class TfdsSource:
    """The pictures of one split.

    The feature `image` is taken, or the only feature that is a picture. Files are decoded by jaxicm: EXIF orientation,
    grey, alpha and 16 bit are treated as in a folder.

    Args:
        directory: that holds `dataset_info.json`.
        split: as TFDS writes it, for instance "train[:10%]".

    Raises:
        ConfigError: the folder holds no such data set, no such split, or no pictures.
        MissingDependency: tensorflow_datasets is not installed.
    """

    def __init__(self, directory: Path, split: str = TRAIN):
        self._directory, self._split = directory, split
        self._records: Sequence[bytes] | None = None
        self._features: Any = None
        info = open_builder(directory).info
        if not info.splits:
            raise ConfigError(f"{directory}: this TFDS data set has no splits; prepare it again")
        try:
            chosen = info.splits[split]
            self._length = int(chosen.num_examples)
        except Exception as error:  # KeyError, ValueError or an own class, by the kind of mistake
            known = " ".join(info.splits)
            raise ConfigError(f"{directory}: no split {split!r} ({_first_line(error)}); found {known}") from error
        self._image = _image_feature(directory, info.features)
        self._name = next((name for name in _NAME_FEATURES if name in info.features), None)
        self.name = f"{info.name}/{split}"
        lengths = [(name, part.shard_lengths, part.num_bytes) for name, part in sorted(info.splits.items())]
        self.fingerprint = digest([info.name, info.version, split, self._length, lengths])
        self._open()

    def _open(self) -> tuple[Sequence[bytes], Any]:
        if self._records is not None:
            return self._records, self._features
        tfds = import_tfds()
        builder = open_builder(self._directory)
        wanted = [name for name in (self._image, self._name) if name]
        # tfds.decode.PartialDecoding would do this, but needs TensorFlow
        self._features = tfds.features.FeaturesDict({name: builder.info.features[name] for name in wanted})
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        try:
            records = builder.as_data_source(split=self._split, deserialize_method=raw)
        except Exception as error:  # NotImplementedError for formats without random access, and others
            raise ConfigError(
                f"{self._directory}: cannot be read in any order ({_first_line(error)}); prepare it with"
                " file_format='array_record'"
            ) from error
        self._records = records
        return records, self._features

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_records": None, "_features": None}  # open files stay behind

    def __len__(self) -> int:
        return self._length

    def _record(self, index: int) -> dict[str, Any]:
        records, features = self._open()
        skip = import_tfds().decode.SkipDecoding()
        try:
            return features.deserialize_example_np(records[index], decoders={self._image: skip})
        except Exception as error:  # array_record raises several types on a damaged file
            raise InputError(f"{self.name}[{index}]: cannot be read ({_first_line(error)})") from error

    def picture(self, index: int) -> np.ndarray:
        record = self._record(index)
        return as_rgb(read_picture(bytes(record[self._image]), name=self._describe(index, record)).pixels)

    def encoded(self, index: int) -> bytes | None:
        return bytes(self._record(index)[self._image])

    def describe(self, index: int) -> str:
        try:
            return self._describe(index, self._record(index))
        except InputError:
            return f"{self.name}[{index}]"

    def _describe(self, index: int, record: dict[str, Any]) -> str:
        name = record.get(self._name) if self._name else None
        name = name.decode(errors="replace") if isinstance(name, bytes) else name
        return f"{self.name}[{index}]" + (f" {name}" if name is not None else "")


def _image_feature(directory: Path, features: Any) -> str:
    tfds = import_tfds()
    found = {name: part for name, part in features.items() if type(part) is tfds.features.Image}
    name = "image" if "image" in found else next(iter(found), None) if len(found) == 1 else None
    if name is None:
        among = f"several pictures ({' '.join(sorted(found))})" if found else f"no picture ({' '.join(features)})"
        raise ConfigError(f"{directory}: its features hold {among}, expected one named `image`, or one alone")
    if found[name].np_dtype not in (np.uint8, np.uint16):
        raise ConfigError(f"{directory}: feature {name!r} holds {found[name].np_dtype}, expected uint8 pictures")
    return name


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
