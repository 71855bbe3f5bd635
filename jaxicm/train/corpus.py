"""The pictures of a run: opened, held-out ones set apart, and checked before time is spent."""

import dataclasses
import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxicm.errors import ConfigError, InputError
from jaxicm.train.annotations import Annotations
from jaxicm.train.coded_material import CHANNELS
from jaxicm.train.config import TrainConfig
from jaxicm.train.data import central_crops, select_files
from jaxicm.train.data_config import DataConfig
from jaxicm.train.feed import Feed, feed_state, make_feed
from jaxicm.train.resident import stack_pictures
from jaxicm.train.sampling import CropSampler, Rejection
from jaxicm.train.sources import (
    DECODERS,
    ArraySource,
    FolderSource,
    JoinedSource,
    MemorySource,
    PictureSource,
    read_all,
)
from jaxicm.train.tfds_source import HELD_OUT, TRAIN, TfdsSource, find_tfds, is_tfds, split_names

MOST_HELD_OUT = 256
"""Pictures that are measured of one TFDS split or array."""
_PROBES = 8
"""Crops that are made before the run begins, to find mistakes."""
_NAME_ONE = "name a folder of pictures with --data FOLDER"


@dataclass(frozen=True)
class Corpus:
    """What a run trains on and what it measures.

    Attributes:
      config: of the run.
      sampler: of the training crops.
      held_out: uint8 `[N, side, side, 3]`, N possibly 0; never trained on.
      reported: names of skipped pictures that have been told.
    """

    config: TrainConfig
    sampler: CropSampler
    held_out: np.ndarray
    reported: Collection[str] = ()

    @property
    def pictures(self) -> int:
        """How many pictures there are to train on, those known to be skipped not counted."""
        return self.sampler.pictures - len(self.reported)

    @property
    def fingerprint(self) -> str:
        """A short digest of the names and sizes of the training pictures."""
        return self.sampler.fingerprint

    def feed(
        self,
        first_step: int = 0,
        *,
        process_index: int = 0,
        process_count: int = 1,
        warn: Callable[[str], None] = print,
    ) -> Feed:
        """Begin to make batches at a step, as the configuration says; see `make_feed`."""
        data = self.config.data
        return make_feed(
            self.sampler,
            batch=self.config.batch,
            first_step=first_step,
            process_index=process_index,
            process_count=process_count,
            loader=data.loader,
            workers=data.workers,
            prefetch=data.prefetch,
            warn=warn,
            reported=self.reported,
        )

    def state(self, step: int) -> dict[str, Any]:
        """Return what a checkpoint has to hold of the data before a step; see `feed_state`."""
        return feed_state(self.sampler, self.config.batch, step)

    def statistics_crops(self, count: int) -> np.ndarray:
        """Take crops at the pictures' own scale: uint8 `[count, crop, crop, 3]`."""
        # Reduced crops are sharper: with them the loss at the start is 2 % higher on pictures at their own size.
        data = dataclasses.replace(self.sampler.data, smallest_scale=1.0)
        sampler = dataclasses.replace(self.sampler, data=data, annotations=None)
        with ThreadPoolExecutor(DECODERS) as pool:
            return np.stack([sample.crop for sample in pool.map(sampler.sample, range(count))])

    def stack(self) -> tuple[np.ndarray, np.ndarray]:
        """Put all training pictures into one array for device memory; see `stack_pictures`.

        Raises:
          ConfigError: the sizes differ too much, or no picture passes the filters.
        """
        sampler = self.sampler
        places = [(s, p) for s, source in enumerate(sampler.sources) for p in range(len(source))]
        with ThreadPoolExecutor(DECODERS) as pool:
            found = pool.map(lambda place: sampler.read(*place), places)
            return stack_pictures([picture for picture in found if not isinstance(picture, Rejection)])


def prepare_data(config: TrainConfig, warn: Callable[[str], None]) -> Corpus:
    """Open the pictures of a run, and check that they serve.

    Args:
      config: of the run.
      warn: takes remarks, for instance on broken pictures.

    Returns:
      The corpus; files that are held out for validation are not among its training pictures.

    Raises:
      ConfigError: there is nothing to train on, or the annotations do not serve.
      MissingDependency: the configuration needs a package that is not installed.
    """
    data, held = config.data, config.validation
    if not data.folders:
        raise ConfigError(f"no training pictures: {_NAME_ONE}")
    if config.resident and (data.weights or data.min_contrast):
        raise ConfigError("data.weights and data.min_contrast do not reach resident pictures; train without --resident")
    if config.resident and data.annotations:
        raise ConfigError(
            "data.annotations needs the loader: resident pictures are cropped inside the step, where labels do not"
            " follow; train without --resident, or without data.annotations"
        )
    if data.loader == "grain" and not config.resident:
        from jaxicm.train.grain_feed import import_grain

        import_grain()
    held_files = [] if not held.include else _held_out_files(config)
    channels = 3 if config.filter is None else CHANNELS
    sources = open_sources(data, held_files, channels)
    if not sum(map(len, sources)):
        raise ConfigError(
            f"no training pictures in {', '.join(data.folders)}: {len(held_files)} are held out for validation, the"
            f" patterns {' '.join(data.include)} select no other; {_NAME_ONE}"
        )
    sampler = _sampler(config, sources)
    if data.annotations:
        sampler = dataclasses.replace(sampler, annotations=_read_annotations(data, sampler.sources, warn))
    reported: dict[str, str] = {}
    if data.loader == "memory" or config.resident:
        sampler = dataclasses.replace(sampler, sources=tuple(map(MemorySource, sampler.sources)))
        places = [(s, p) for s, source in enumerate(sampler.sources) for p in range(len(source))]
        refused = [item for place in places if isinstance(item := sampler.read(*place), Rejection)]
        reported |= {item.picture: item.reason for item in refused}
        if len(refused) == len(places):
            sampler.sample(0)  # raises the error that says why
    for number in range(min(_PROBES, config.batch)):
        reported |= {item.picture: item.reason for item in sampler.sample(number).rejected}
    for picture, reason in reported.items():
        warn(f"skipped: {picture}: {reason}")
    crops = held_out_crops(config, held_files, warn) if held.include else central_crops([], held.crop)
    if held.include and not len(crops):
        warn(f"no validation: no picture fits {' '.join(held.include)} with sides of {held.crop} or more")
    return Corpus(config, sampler, crops, tuple(reported))


def _sampler(config: TrainConfig, sources: Sequence[PictureSource]) -> CropSampler:
    data, even = config.data, config.filter is not None
    if not data.weights:
        # One source in place of a mixture: each picture is drawn once an epoch, whatever folder it is in.
        return CropSampler((JoinedSource(sources),), (1.0,), data, config.crop, config.seed, even=even)
    for entry, source in zip(data.folders, sources, strict=True):
        if not len(source):
            raise ConfigError(f"no training pictures in {entry}, which has a weight in data.weights; leave out both")
    return CropSampler(tuple(sources), data.weights, data, config.crop, config.seed, even=even)


def _read_annotations(data: DataConfig, sources: Sequence[PictureSource], warn: Callable[[str], None]) -> Annotations:
    names = [source.describe(index) for source in sources for index in range(len(source))]
    annotations = Annotations(data.annotations, names)
    labelled = sum(name in annotations for name in names)
    if not labelled:
        raise ConfigError(
            f"data.annotations: {', '.join(data.annotations)}: no entry for any of the {len(names)} pictures, for"
            f" instance {names[0]}; file names must be those of the pictures"
        )
    if labelled < len(names):
        warn(f"{labelled} of {len(names)} pictures are labelled; losses with labels leave out the others")
    return annotations


def open_sources(data: DataConfig, held_out: Sequence[Path] = (), channels: int = 3) -> list[PictureSource]:
    """Open each entry of `data.folders`.

    Args:
      data: settings.
      held_out: files to leave out.
      channels: of the pictures; only arrays have others than 3.

    Returns:
      A source for each, possibly without pictures.

    Raises:
      ConfigError: one is missing or of another kind.
      MissingDependency: a TFDS data set without the package.
    """
    without = {path.resolve() for path in held_out}
    sources: list[PictureSource] = []
    for entry in data.folders:
        if channels != 3 and Path(entry).suffix != ".npy":
            raise ConfigError(f"{entry}: filters are trained on arrays that `jaxicm dataset coded` makes; name one")
        if is_tfds(entry):
            name = find_tfds(entry)
            sources.append(TfdsSource(name.directory, name.split or TRAIN))
        elif (array := _array(entry, channels)) is not None:
            sources.append(array)
        else:
            files = select_files([entry], data.include, data.exclude)
            kept = [path for path in files if path.resolve() not in without] if without else files
            sources.append(FolderSource(Path(entry), kept))
    return sources


def _array(entry: str, channels: int) -> ArraySource | None:
    if Path(entry).suffix != ".npy" or not Path(entry).is_file():
        return None
    try:
        return ArraySource(Path(entry), channels)
    except InputError as error:
        raise ConfigError(f"{error}; check --data or data.folders") from error


def _held_out_files(config: TrainConfig) -> list[Path]:
    held = config.validation
    folders = [entry for entry in held.folders or config.data.folders if not is_tfds(entry)]
    return select_files([entry for entry in folders if Path(entry).suffix != ".npy"], held.include, held.exclude)


def held_out_crops(config: TrainConfig, files: Sequence[Path], warn: Callable[[str], None]) -> np.ndarray:
    """Cut the middle of the held-out pictures.

    Of files those are taken that the patterns select. A TFDS data set gives its split `validation` or `test` unless the
    validation folders name another. An array gives pictures only if it is named as a validation folder: patterns do not
    divide it.

    Args:
      config: of the run.
      files: held-out files.
      warn: takes remarks.

    Returns:
      uint8 `[N, side, side, 3]`, N possibly 0.

    Raises:
      ConfigError: a validation folder holds nothing of the kind.
    """
    held, parts, channels = config.validation, [], 3 if config.filter is None else CHANNELS
    if files:
        source: PictureSource = FolderSource(Path("/"), [path.absolute() for path in files])
        parts.append(central_crops(read_all(source, range(len(source)), warn), held.crop))
    for entry in held.folders or config.data.folders:
        if is_tfds(entry):
            found = _held_out_split(entry, explicit=bool(held.folders))
        else:
            found = _array(entry, channels) if held.folders else None
        if found is None:
            continue
        if len(found) > MOST_HELD_OUT:
            warn(f"validation: {MOST_HELD_OUT} of the {len(found)} pictures of {entry} are measured")
        chosen = [place * len(found) // MOST_HELD_OUT for place in range(MOST_HELD_OUT)]
        indices = chosen if len(found) > MOST_HELD_OUT else range(len(found))
        parts.append(central_crops(read_all(found, indices, warn), held.crop))
    return np.concatenate(parts) if parts else central_crops([], held.crop)


def _held_out_split(entry: str, *, explicit: bool) -> TfdsSource | None:
    name = find_tfds(entry)
    if explicit and name.split:
        return TfdsSource(name.directory, name.split)
    trained = () if explicit else re.findall(r"[A-Za-z_]\w*", name.split or TRAIN)
    present = split_names(name.directory)
    split = next((split for split in HELD_OUT if split in present and split not in trained), None)
    if split is None and explicit:
        raise ConfigError(
            f"validation.folders: {entry} has no split {' or '.join(HELD_OUT)}, found {' '.join(present)}; name one as"
            f" {entry}:SPLIT"
        )
    return None if split is None else TfdsSource(name.directory, split)
