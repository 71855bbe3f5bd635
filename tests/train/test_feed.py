"""Batches: the same bits from every loader, any number of processes and after resuming; errors come through."""

import dataclasses
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
from jaxicm.train.annotations import Annotations, Labelled
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


@pytest.fixture(scope="module")
def labelled(sampler: CropSampler, tmp_path_factory: pytest.TempPathFactory) -> CropSampler:
    """The same pictures; the first has three objects, the second one, no other has an entry."""
    images = [{"id": number, "file_name": f"p{number:04d}.png", "height": 96, "width": 128} for number in range(2)]
    stripes = [int(run) for run in np.diff([0, *range(1000, 9000, 100), 96 * 128])]
    annotations = [
        {"image_id": 0, "category_id": 1, "bbox": [10, 12, 20, 24], "segmentation": [[10, 12, 30, 12, 10, 36]]},
        {"image_id": 0, "category_id": 1, "bbox": [24, 30, 14, 14]},
        {"image_id": 0, "category_id": 2, "bbox": [14, 10, 12, 13]},
        {
            "image_id": 1,
            "category_id": 2,
            "bbox": [19, 20, 38, 36],
            "segmentation": {"size": [96, 128], "counts": stripes},
        },
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    data = dataclasses.replace(sampler.data, objects=2)
    return dataclasses.replace(sampler, data=data, annotations=Annotations([path]))


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


@pytest.mark.parametrize(("loader", "workers"), [*LOADERS, ("grain", 0), ("grain", 1)])
def test_objects_come_with_their_crops_from_every_loader(labelled: CropSampler, loader, workers: int):
    if loader == "grain":
        pytest.importorskip("grain")
    samples = [labelled.sample(number) for number in range(12, 48)]
    counts = [len(sample.objects.classes) for sample in samples if sample.objects is not None]
    assert 0 < len(counts) < 36 and set(counts) == {1, 2}
    with make_feed(labelled, batch=6, loader=loader, workers=workers, first_step=2, warn=ignore) as feed:
        for step in range(6):
            batch = next(feed)
            assert isinstance(batch, Labelled)
            boxes, classes, real, masks, known = batch.targets
            assert boxes.shape == (6, 2, 4) and masks.shape == (6, 2, 56, 56)
            assert (boxes.dtype, classes.dtype, real.dtype, masks.dtype) == (np.float32, np.int32, bool, np.float32)
            for slot, sample in enumerate(samples[6 * step : 6 * step + 6]):
                np.testing.assert_array_equal(batch.crops[slot], sample.crop)
                assert known[slot] == (sample.objects is not None)
                if sample.objects is None:
                    assert not real[slot].any()
                    continue
                assert real[slot].sum() == len(sample.objects.classes)
                for found, one in zip((boxes, classes, masks), sample.objects, strict=True):
                    np.testing.assert_array_equal(found[slot][real[slot]], one)
                    assert not found[slot][~real[slot]].any()


def test_a_checkpoint_of_other_labels_is_refused(sampler: CropSampler, labelled: CropSampler):
    saved = json.loads(json.dumps(feed_state(labelled, 6, 4)))
    check_state(saved, feed_state(labelled, 6, 4))
    with pytest.raises(ConfigError, match=r"data\.annotations=None \(was \['labels\.json "):
        check_state(saved, feed_state(sampler, 6, 4))
    fewer = dataclasses.replace(labelled, data=dataclasses.replace(labelled.data, objects=1))
    with pytest.raises(ConfigError, match=r"other crops: data\.objects=1 \(was 2\)"):
        check_state(saved, feed_state(fewer, 6, 4))


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
