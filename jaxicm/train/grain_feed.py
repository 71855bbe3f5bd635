"""Batches of crops made by grain, in processes of their own."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

from jaxicm.errors import MissingDependency, TrainingError
from jaxicm.tasks.targets import Targets
from jaxicm.train.annotations import Batch, Labelled
from jaxicm.train.feed import Feed, stack_samples
from jaxicm.train.sampling import CropSampler, Rejection, Sample

_STEPS = 1 << 40
"""Length of the data set: more than any run has."""
_THREADS = 4
"""Reading threads, all processes together: Pillow decodes outside of the interpreter's lock."""


def import_grain() -> Any:
    """Import grain, ready for worker processes.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import grain
    except ImportError as error:
        raise MissingDependency("data.loader=grain needs grain: pip install 'jaxicm[data]'") from error
    from absl import flags

    if not flags.FLAGS.is_parsed():
        # grain 0.2.17 and 0.2.18 read an absl flag before they start a process, which is an error outside of absl.app
        flags.FLAGS.mark_as_parsed()
    return grain


@dataclass(frozen=True)
class _LocalCrops:
    """Make a crop of this process by its number in the process: what worker processes run."""

    sampler: CropSampler
    batch: int
    share: int
    offset: int

    def __call__(self, number: int) -> Sample:
        step, slot = divmod(number, self.share)
        return self.sampler.sample(step * self.batch + self.offset + slot)


def _leave_signals_to_the_run(index: int, count: int) -> None:
    """Ignore Ctrl-C and SIGTERM in a worker process, which a terminal and SLURM send to all processes of a run.

    The run saves its state first and then stops its workers; a worker whose run is gone obeys.
    """
    del index, count
    run = os.getppid()

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if os.getppid() != run:
            os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)


def _stack(samples: Sequence[Sample], places: int | None) -> tuple[tuple[Any, ...], tuple[tuple[str, str], ...]]:
    # plain types: grain looks into them for arrays to put into shared memory
    batch, rejected = stack_samples(samples, places)
    arrays = (batch.crops, *batch.targets) if isinstance(batch, Labelled) else (batch,)
    return arrays, tuple((item.picture, item.reason) for item in rejected)


class GrainFeed(Feed):
    """A feed whose crops are made by grain.

    The batch comes before the division among processes, so that each makes whole batches and their order is the same
    for any number of processes.

    Args:
        workers: processes; without any, grain's threads in this process do the work.
        prefetch: batches made ahead.
        others: as in `Feed`.

    Raises:
        MissingDependency: grain is not installed.
    """

    def __init__(self, *others: Any, workers: int, prefetch: int):
        super().__init__(*others)
        grain = import_grain()
        share, first = self._slots.share, self._step
        make: Callable[[int], Sample] = _LocalCrops(self._sampler, self._slots.batch, share, self._slots.index * share)
        crops = grain.MapDataset.range(first * share, _STEPS * share).map(make)
        threads, buffer = -(-_THREADS // max(workers, 1)), -(-prefetch // max(workers, 1))
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffer)
        batches = crops.batch(share, batch_fn=partial(_stack, places=self._sampler.places)).to_iter_dataset(options)
        if workers:
            processes = grain.MultiprocessingOptions(workers, per_worker_buffer_size=buffer)
            batches = batches.mp_prefetch(processes, worker_init_fn=_leave_signals_to_the_run)
        self._batches = iter(batches)

    def _next_batch(self) -> tuple[Batch, Sequence[Rejection]]:
        try:
            arrays, rejected = next(self._batches)
        except RuntimeError as error:
            if "Worker process was terminated" not in str(error):
                raise
            raise TrainingError(
                "a process that reads training pictures ended without a message, perhaps for want of memory; lower"
                " data.workers or data.prefetch and go on with --resume"
            ) from error
        crops, *targets = map(np.asarray, arrays)
        batch = Labelled(crops, Targets(*targets)) if targets else crops
        return batch, [Rejection(*item) for item in rejected]

    def close(self) -> None:
        if not self._closed:
            self._batches.close()
        super().close()
