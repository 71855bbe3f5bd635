"""What the host does for a step: crops of pictures, or of noise where there are none, and their way to the devices."""

import dataclasses
import time
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from jaxicm.train.config import TrainConfig
from jaxicm.train.corpus import Corpus
from jaxicm.train.data_config import DataConfig
from jaxicm.train.feed import Feed, make_feed
from jaxicm.train.mesh import place_batch
from jaxicm.train.sampling import CropSampler
from jaxicm.train.step import Data

_RANDOM_PICTURES = 8


class NoisePictures:
    """Pictures of uniform noise in memory: the speed of training does not depend on what they show.

    Args:
        side: of each, in pixels.
        seed: of the noise.
    """

    fingerprint = "noise"

    def __init__(self, side: int, seed: int = 0):
        self._pictures = np.random.default_rng(seed).integers(0, 256, (_RANDOM_PICTURES, side, side, 3), np.uint8)

    def __len__(self) -> int:
        return len(self._pictures)

    def picture(self, index: int) -> np.ndarray:
        return self._pictures[index]

    def encoded(self, index: int) -> bytes | None:
        del index
        return None

    def describe(self, index: int) -> str:
        return f"noise {index}"


def random_corpus(config: TrainConfig) -> Corpus:
    """Make a corpus of noise, cropped and varied as the configuration says, for want of pictures."""
    vary = config.data
    data = DataConfig(
        smallest_scale=vary.smallest_scale,
        unscaled=vary.unscaled,
        flip=vary.flip,
        transpose=vary.transpose,
        toned=vary.toned,
    )
    config = dataclasses.replace(config, data=data)
    sampler = CropSampler((NoisePictures(2 * config.crop, config.seed),), (1.0,), data, config.crop, config.seed)
    return Corpus(config, sampler, np.empty((0, config.crop, config.crop, 3), np.uint8))


class Supply:
    """What the host does for a step.

    Args:
        corpus: of the crops.
        mesh: of the devices.
    """

    def __init__(self, corpus: Corpus, mesh: Mesh):
        self._mesh, self._config = mesh, corpus.config
        self._feed = self._alone = None
        if not corpus.config.resident:
            process, count = jax.process_index(), jax.process_count()
            self._feed = corpus.feed(process_index=process, process_count=count, warn=_ignore)
            self._alone = single_feed(corpus)

    def __enter__(self) -> "Supply":
        return self

    def __exit__(self, *unused: object) -> None:
        for feed in (self._feed, self._alone):
            if feed is not None:
                feed.close()

    def begin(self, resident: Data) -> Callable[[], Data]:
        """Begin a group of steps: returns the maker of their data, which returns `resident` if nothing is made."""
        feed = self._feed
        if feed is None:
            return lambda: resident
        for _ in range(self._config.data.prefetch):
            next(feed)  # what was made ahead, while other things were timed, would come for nothing
        return lambda: place_batch(self._mesh, next(feed))

    def seconds(self) -> tuple[float, float]:
        """Time making one batch, by one thread, and bringing it to the devices."""
        if self._alone is None:
            return 0.0, 0.0
        begin = time.perf_counter()
        batch = next(self._alone)
        made = time.perf_counter()
        jax.block_until_ready(place_batch(self._mesh, batch))
        return made - begin, time.perf_counter() - made


def single_feed(corpus: Corpus) -> Feed:
    """Make the batches of this process in its own thread, each when it is asked for."""
    return make_feed(
        corpus.sampler,
        batch=corpus.config.batch,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        workers=0,
        warn=_ignore,
        reported=corpus.reported,
    )


def _ignore(remark: str) -> None:
    del remark
