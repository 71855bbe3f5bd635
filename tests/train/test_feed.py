"""Batches: the same bits from every loader, any number of processes and after resuming; errors come through."""

import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import ConfigError, InputError, MissingDependency, TrainingError
from jaxicm.train.data import select_files
from jaxicm.train.data_config import DataConfig
from jaxicm.train.feed import check_state, feed_state, make_feed
from jaxicm.train.sampling import CropSampler
from jaxicm.train.sources import FolderSource, MemorySource

LOADERS = [("threads", 0), ("threads", 1), ("threads", 3), ("memory", 2)]


@pytest.fixture(scope="module")
def folder(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures and a broken one."""
    folder = tmp_path_factory.mktemp("with_broken")
    for path in picture_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "cut.png").write_bytes((picture_folder / "p0000.png").read_bytes()[:200])
    return folder


@pytest.fixture(scope="module")
def sampler(folder: Path) -> CropSampler:
    source = FolderSource(folder, select_files([str(folder)], ["*"]))
    return CropSampler((source,), (1.0,), DataConfig(smallest_scale=0.6), crop=32, seed=5)


@pytest.fixture(scope="module")
def expected(sampler: CropSampler) -> np.ndarray:
    """The batches of steps 0 to 9, six crops each, taken one by one."""
    return np.stack([sampler.sample(number).crop for number in range(60)]).reshape(10, 6, 32, 32, 3)


def ignore(line: str) -> None:
    del line


def take(sampler: CropSampler, steps: int, **settings) -> np.ndarray:
    with make_feed(sampler, batch=6, **{"warn": ignore, **settings}) as feed:
        return np.stack([next(feed) for _ in range(steps)])


@pytest.mark.parametrize(("loader", "workers"), LOADERS)
def test_threads_make_the_batches_of_the_sampler(sampler: CropSampler, expected: np.ndarray, loader, workers: int):
    np.testing.assert_array_equal(take(sampler, 10, loader=loader, workers=workers), expected)
    np.testing.assert_array_equal(take(sampler, 3, loader=loader, workers=workers, first_step=7), expected[7:])


@pytest.mark.parametrize("workers", [0, 2])
def test_grain_makes_the_batches_of_the_sampler(sampler: CropSampler, expected: np.ndarray, workers: int):
    pytest.importorskip("grain")
    remarks: list[str] = []
    settings = {"loader": "grain", "workers": workers, "first_step": 2, "warn": remarks.append}
    np.testing.assert_array_equal(take(sampler, 8, **settings), expected[2:])
    # from worker processes too, once a picture
    assert len(remarks) == 1 and "cut.png: damaged" in remarks[0] and remarks[0].startswith("skipped: ")


def test_pictures_in_memory_give_the_same_crops(sampler: CropSampler, expected: np.ndarray):
    kept = CropSampler((MemorySource(sampler.sources[0]),), (1.0,), sampler.data, sampler.crop, sampler.seed)
    np.testing.assert_array_equal(take(kept, 10, loader="memory"), expected)
    assert feed_state(kept, 6, 3) == feed_state(sampler, 6, 3)


@pytest.mark.parametrize("loader", ["threads", "grain"])
def test_the_shares_of_processes_make_the_batch_of_one(sampler: CropSampler, expected: np.ndarray, loader):
    if loader == "grain":
        pytest.importorskip("grain")
    settings = {"loader": loader, "workers": 0, "process_count": 3, "first_step": 4}
    shares = [take(sampler, 3, process_index=index, **settings) for index in range(3)]
    np.testing.assert_array_equal(np.concatenate(shares, axis=1), expected[4:7])


def test_a_batch_that_does_not_divide_is_refused(sampler: CropSampler):
    with pytest.raises(ConfigError, match="6 does not divide by 4 processes; set batch=8"):
        make_feed(sampler, batch=6, process_count=4)


def test_a_resumed_feed_goes_on_where_it_was(sampler: CropSampler, expected: np.ndarray):
    with make_feed(sampler, batch=6, workers=2, prefetch=3, warn=ignore) as feed:
        for _ in range(4):
            next(feed)
        saved = json.loads(json.dumps(feed.state()))
    assert saved["step"] == 4
    check_state(saved, feed_state(sampler, 6, 4))
    np.testing.assert_array_equal(take(sampler, 2, first_step=saved["step"], workers=1), expected[4:6])


def test_a_checkpoint_of_other_data_is_refused(sampler: CropSampler, folder: Path):
    now = feed_state(sampler, 6, 4)
    check_state(None, now)
    fewer = FolderSource(folder, select_files([str(folder)], ["*"], ["cut.png"]))
    for other, batch, step, says in (
        (CropSampler((fewer,), (1.0,), sampler.data, 32, 5), 6, 4, "found 9 pictures, .* trained on 8"),
        (CropSampler(sampler.sources, (1.0,), sampler.data, 32, 6), 6, 4, r"seed=5 \(was 6\)"),
        (CropSampler(sampler.sources, (1.0,), DataConfig(), 32, 5), 6, 4, r"data.smallest_scale=0.6 \(was 1.0\)"),
        (sampler, 12, 4, r"batch=6 \(was 12\)"),
        (sampler, 6, 3, "data are at step 3, its parameters at step 4"),
    ):
        with pytest.raises(ConfigError, match=says):
            check_state(json.loads(json.dumps(feed_state(other, batch, step))), now)


def test_a_skipped_picture_is_told_once(sampler: CropSampler, folder: Path):
    remarks: list[str] = []
    take(sampler, 20, workers=3, warn=remarks.append)
    assert len(remarks) == 1 and remarks[0].startswith(f"skipped: {folder / 'cut.png'}: damaged")
    take(sampler, 20, warn=remarks.append, reported=[str(folder / "cut.png")])
    assert len(remarks) == 1


class Failing:
    """A source that fails at its fifth picture in a way nobody expects."""

    fingerprint = "0"

    def __init__(self, fail):
        self.fail = fail

    def __len__(self) -> int:
        return 8

    def picture(self, index: int) -> np.ndarray:
        if index == 5:
            self.fail()
        return np.zeros((32, 32, 3), np.uint8)

    def encoded(self, index: int) -> bytes | None:
        return None

    def describe(self, index: int) -> str:
        return f"picture{index}"


def burn() -> None:
    raise OSError("the disk is on fire")


@pytest.mark.parametrize(("loader", "workers"), [("threads", 0), ("threads", 2), ("grain", 0), ("grain", 1)])
def test_an_exception_of_a_worker_reaches_the_run(loader, workers: int):
    if loader == "grain":
        pytest.importorskip("grain")
        import cloudpickle

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
    failing = CropSampler((Failing(burn),), (1.0,), DataConfig(), 32)
    with make_feed(failing, batch=4, loader=loader, workers=workers) as feed:
        with pytest.raises(OSError, match="on fire"):
            for _ in range(3):
                next(feed)
        with pytest.raises(ConfigError, match="closed"):
            next(feed)


def test_a_worker_process_that_dies_is_an_error_and_no_hang():
    pytest.importorskip("grain")
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    dying = CropSampler((Failing(functools.partial(os._exit, 9)),), (1.0,), DataConfig(), 32)
    with (
        make_feed(dying, batch=4, loader="grain", workers=1) as feed,
        pytest.raises(TrainingError, match=r"data\.workers"),
    ):
        for _ in range(3):
            next(feed)


def test_a_signal_to_all_processes_stops_no_worker(sampler: CropSampler, expected: np.ndarray):
    pytest.importorskip("grain")
    with make_feed(sampler, batch=6, loader="grain", workers=1, prefetch=1, warn=ignore) as feed:
        found = [next(feed)]
        for child in multiprocessing.active_children():
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(child.pid or 0, number)
        time.sleep(0.1)
        found += [next(feed) for _ in range(9)]
    np.testing.assert_array_equal(found, expected)


def test_a_corpus_without_usable_pictures_ends_with_its_reason(folder: Path):
    broken = CropSampler((FolderSource(folder, [folder / "cut.png"]),), (1.0,), DataConfig(), 32)
    with make_feed(broken, batch=4, workers=2) as feed, pytest.raises(ConfigError, match=r"cut\.png: damaged"):
        next(feed)


def test_no_more_batches_are_made_than_asked_for():
    made: list[int] = []

    class Counting(Failing):
        def picture(self, index: int) -> np.ndarray:
            made.append(index)
            return np.zeros((32, 32, 3), np.uint8)

    counting = CropSampler((Counting(burn),), (1.0,), DataConfig(), 32)
    with make_feed(counting, batch=4, workers=2, prefetch=3) as feed:
        next(feed)
        time.sleep(0.2)
        assert len(made) <= 4 * (1 + 3)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("crops")]


def test_a_slow_disk_is_remarked_upon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jaxicm.train.feed._PATIENCE_S", 0.05)
    remarks: list[str] = []
    slow = CropSampler((Failing(functools.partial(time.sleep, 0.2)),), (1.0,), DataConfig(), 32)
    with make_feed(slow, batch=8, workers=1, prefetch=1, warn=remarks.append) as feed:
        next(feed)
    assert remarks and "waited" in remarks[0]


def test_without_grain_the_message_says_what_to_install(sampler: CropSampler, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(MissingDependency, match=r"pip install 'jaxicm\[data\]'"):
        make_feed(sampler, batch=4, loader="grain")


def test_an_input_error_is_no_reason_to_stop(sampler: CropSampler):
    def refuse() -> None:
        raise InputError("picture5: damaged")

    remarks: list[str] = []
    source = CropSampler((Failing(refuse),), (1.0,), DataConfig(), 32)
    with make_feed(source, batch=8, workers=2, warn=remarks.append) as feed:
        next(feed)
    assert remarks == ["skipped: picture5: damaged"]


def test_what_worker_processes_import_knows_no_jax_and_no_optional_package():
    program = (
        "import sys, jaxicm.train.feed, jaxicm.train.sources, jaxicm.train.tfds_source, jaxicm.train.dataset_build;"
        "found = {'jax', 'grain', 'tensorflow_datasets', 'tensorflow'} & set(sys.modules); assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
