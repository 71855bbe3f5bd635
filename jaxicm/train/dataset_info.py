"""What a prepared TFDS data set holds: its splits, their sizes and those of their pictures."""

from dataclasses import dataclass
from pathlib import Path

from jaxicm.train.sources import read_all
from jaxicm.train.tfds_source import TRAIN, TfdsSource, find_tfds, open_builder

_LOOKED_AT = 64
"""Pictures of a split whose sizes are taken, evenly spread."""


@dataclass(frozen=True)
class SplitInfo:
    """One split of a data set.

    Attributes:
        name: of the split.
        pictures: how many.
        size_bytes: of the records.
        shards: files.
        sides: smallest and largest (width, height) of some pictures, each side for itself; None without pictures.
    """

    name: str
    pictures: int
    size_bytes: int
    shards: int
    sides: tuple[tuple[int, int], tuple[int, int]] | None


@dataclass(frozen=True)
class DatasetInfo:
    """What a data set holds.

    Attributes:
        name, version, file_format: as TFDS has them.
        directory: where it lies.
        features: their names.
        splits: `train` first.
    """

    name: str
    version: str
    file_format: str
    directory: Path
    features: tuple[str, ...]
    splits: tuple[SplitInfo, ...]


def dataset_info(entry: str) -> DatasetInfo:
    """Read what a data set holds.

    Args:
        entry: its folder, or `tfds:NAME[/CONFIG][@DATA_DIR]`.

    Returns:
        Names and counts; the sizes of pictures are those of some, evenly spread over each split.

    Raises:
        ConfigError: there is no such data set, or it holds no pictures.
        MissingDependency: tensorflow_datasets is not installed.
    """
    directory = find_tfds(entry).directory
    info = open_builder(directory).info
    splits = []
    for name, split in sorted(info.splits.items(), key=lambda item: (item[0] != TRAIN, item[0])):
        lengths = [int(length) for length in split.shard_lengths]
        splits.append(SplitInfo(name, sum(lengths), int(split.num_bytes), len(lengths), _sides(directory, name)))
    file_format = info.file_format.value if info.file_format else "unknown"
    features = tuple(info.features)
    return DatasetInfo(info.name, str(info.version), file_format, directory, features, tuple(splits))


def _sides(directory: Path, split: str) -> tuple[tuple[int, int], tuple[int, int]] | None:
    source = TfdsSource(directory, split)
    looked_at = min(len(source), _LOOKED_AT)
    indices = [place * len(source) // looked_at for place in range(looked_at)]
    sizes = [picture.shape[1::-1] for picture in read_all(source, indices, lambda line: None)]
    if not sizes:
        return None
    smallest, largest = (tuple(map(pick, zip(*sizes, strict=True))) for pick in (min, max))
    return (smallest[0], smallest[1]), (largest[0], largest[1])
