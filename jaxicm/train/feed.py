"""Batches of crops, made ahead of the step that takes them."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Literal

import numpy as np

from jaxicm.errors import ConfigError
from jaxicm.tasks.targets import pad_objects
from jaxicm.train.annotations import Batch, Labelled
from jaxicm.train.sampling import CropSampler, Rejection, Sample

_MOST_REMARKS = 100
"""Skipped pictures that are named."""
_PATIENCE_S = 60.0
"""Seconds without a batch, after which a remark is made."""


@dataclass(frozen=True)
class Slots:
    """Which crops of each step a process takes: slots `index * share ... (index + 1) * share` of the global batch.

    Attributes:
        batch: crops in a step, over all processes.
        index: of this process.
        count: of processes.
    """

    batch: int
    index: int = 0
    count: int = 1

    def __post_init__(self):
        if self.batch % self.count:
            larger = -(-self.batch // self.count) * self.count
            raise ConfigError(f"batch: {self.batch} does not divide by {self.count} processes; set batch={larger}")

    @property
    def share(self) -> int:
        """Crops of one process in a step."""
        return self.batch // self.count

    def first(self, step: int) -> int:
        """The number in the run of this process's first crop in a step."""
        return step * self.batch + self.index * self.share


class Feed(ABC):
    """An iterator of batches that begins at a step.

    A batch is an array uint8 `[share, crop, crop, 3]`; in a run with annotations it is `Labelled`.

    Args:
        sampler: of the crops.
        slots: of this process.
        first_step: at which it begins.
        warn: takes a line for each picture that is skipped.
        reported: names of skipped pictures that the user knows of.
    """

    def __init__(
        self,
        sampler: CropSampler,
        slots: Slots,
        first_step: int,
        warn: Callable[[str], None],
        reported: Collection[str] = (),
    ):
        self._sampler, self._slots, self._step, self._warn = sampler, slots, first_step, warn
        self._reported = set(reported)
        self._remarks = 0
        self._closed = False

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise ConfigError("the feed of training crops is closed; make a new one")
        try:
            batch, rejected = self._next_batch()
        except BaseException:
            self.close()
            raise
        self._step += 1
        for item in rejected:
            self._remark(item)
        return batch

    def _remark(self, item: Rejection) -> None:
        if item.picture in self._reported or self._remarks > _MOST_REMARKS:
            return
        self._reported.add(item.picture)
        self._remarks += 1
        more = self._remarks > _MOST_REMARKS
        self._warn("skipped: more pictures, which are not named" if more else f"skipped: {item.picture}: {item.reason}")

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold, as plain data: the next step, the pictures and the sampling."""
        return feed_state(self._sampler, self._slots.batch, self._step)

    def close(self) -> None:
        """Stop making batches; may be called twice."""
        self._closed = True

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _next_batch(self) -> tuple[Batch, Sequence[Rejection]]: ...


class ThreadFeed(Feed):
    """A feed whose crops are made by threads of this process.

    Args:
        workers: threads; without any, a batch is made when it is asked for.
        prefetch: batches made ahead.
        others: as in `Feed`.
    """

    def __init__(self, *others: Any, workers: int, prefetch: int):
        super().__init__(*others)
        self._prefetch = prefetch
        self._parts = min(workers, self._slots.share)
        self._pool = ThreadPoolExecutor(workers, "crops") if workers else None
        self._queue: deque[list[Future[list[Sample]]]] = deque()
        self._submitted = self._step

    def _make(self, numbers: range) -> list[Sample]:
        return [self._sampler.sample(number) for number in numbers]

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        first = self._slots.first(self._submitted)
        cuts = [first + self._slots.share * part // self._parts for part in range(self._parts + 1)]
        self._queue.append([pool.submit(self._make, range(start, end)) for start, end in pairwise(cuts)])
        self._submitted += 1

    def _wait(self, part: Future[list[Sample]]) -> list[Sample]:
        while True:
            try:
                return part.result(_PATIENCE_S)
            except NotYet:
                if part.done():  # the work itself raised this
                    raise
                self._warn(f"step {self._step} has waited {_PATIENCE_S:.0f} s for its pictures; is the disk slow?")

    def _next_batch(self) -> tuple[Batch, Sequence[Rejection]]:
        places = self._sampler.places
        if self._pool is None:
            first = self._slots.first(self._step)
            return stack_samples(self._make(range(first, first + self._slots.share)), places)
        while len(self._queue) < self._prefetch:
            self._submit(self._pool)
        parts = self._queue.popleft()
        self._submit(self._pool)
        return stack_samples([sample for part in parts for sample in self._wait(part)], places)

    def close(self) -> None:
        super().close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._queue.clear()


def stack_samples(samples: Sequence[Sample], places: int | None) -> tuple[Batch, tuple[Rejection, ...]]:
    """Put crops into a batch, and collect what was rejected.

    Args:
        samples: at least one.
        places: for the objects of a crop; None leaves objects out.

    Returns:
        uint8 `[N, crop, crop, 3]`, or that and the objects as `Labelled`; and the rejections.
    """
    crops = np.stack([sample.crop for sample in samples])
    objects = [sample.objects for sample in samples]
    batch = crops if places is None else Labelled(crops, pad_objects(objects, places))
    return batch, tuple(item for sample in samples for item in sample.rejected)


def make_feed(
    sampler: CropSampler,
    *,
    batch: int,
    first_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    loader: Literal["memory", "threads", "grain"] = "threads",
    workers: int = 4,
    prefetch: int = 4,
    warn: Callable[[str], None] = print,
    reported: Collection[str] = (),
) -> Feed:
    """Begin to make batches.

    Args:
        sampler: of the crops.
        batch: crops in a step, over all processes.
        first_step: the step whose batch comes first.
        process_index, process_count: which contiguous share of each batch is made.
        loader: "memory" and "threads" make crops in threads, "grain" in processes.
        workers: how many; one thread is enough for pictures in memory.
        prefetch: batches made ahead.
        warn: takes a line for each picture that is skipped, once a picture, also if a worker process skipped it.
        reported: names of skipped pictures that the user knows of.

    Returns:
        An iterator of uint8 `[batch / process_count, crop, crop, 3]`, with annotations of `Labelled`, the same bits for
        every loader. Close it, or use it as a context.

    Raises:
        ConfigError: the batch does not divide by the processes.
        MissingDependency: grain is asked for and not installed.
    """
    basis = (sampler, Slots(batch, process_index, process_count), first_step, warn, reported)
    if loader == "grain":
        from jaxicm.train.grain_feed import GrainFeed

        return GrainFeed(*basis, workers=workers, prefetch=prefetch)
    threads = min(workers, 1) if loader == "memory" else workers
    return ThreadFeed(*basis, workers=threads, prefetch=prefetch)


def feed_state(sampler: CropSampler, batch: int, step: int) -> dict[str, Any]:
    """Return what a checkpoint has to hold of the data before a step, as plain data."""
    corpus = {"fingerprint": sampler.fingerprint, "pictures": sampler.pictures}
    return {"step": step, "corpus": corpus, "sampling": sampler.settings() | {"batch": batch}}


def check_state(saved: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Check that a resumed run goes on with the crops it would have taken.

    Args:
        saved: `Feed.state()` from the checkpoint; None for one that holds none.
        now: `feed_state()` or `Feed.state()` of the resumed run.

    Raises:
        ConfigError: the pictures, the sampling or the step differ; the message names what.
    """
    if saved is None:
        return
    cure = "undo the change, or begin a new run with init=RUN"
    before, after = saved.get("corpus", {}), now["corpus"]
    if before != after:
        counts = f"found {after['pictures']} pictures, the checkpoint was trained on {before.get('pictures')}"
        same = before.get("pictures") == after["pictures"]
        raise ConfigError(f"other training pictures: {counts}{' with other names or sizes' if same else ''}; {cure}")
    before, after = saved.get("sampling", {}), now["sampling"]
    differing = [key for key in {**after, **before} if before.get(key) != after.get(key)]
    if differing:
        changes = ", ".join(f"{key}={after.get(key)} (was {before.get(key)})" for key in differing)
        raise ConfigError(f"a resumed run would take other crops: {changes}; {cure}")
    if saved.get("step") != now["step"]:
        raise ConfigError(
            f"the checkpoint's data are at step {saved.get('step')}, its parameters at step {now['step']}; it is"
            " damaged, go on from an earlier one"
        )
