"""A run that is killed at any moment goes on from its last complete checkpoint and ends where it would have ended."""

import dataclasses
import itertools
import random
import time
from pathlib import Path

import pytest

from jaxicm.train.checkpoints import FOLDER, load_averaged
from jaxicm.train.config import TrainConfig
from jaxicm.train.log import read_log


def wait_for(run: Path, process, step: int) -> None:
    """Wait until a step is in the log, or the process has ended."""
    while process.poll() is None and not any(event["step"] >= step for event in read_log(run, "train")):
        time.sleep(0.02)


@pytest.fixture(scope="module")
def settings(config: TrainConfig) -> TrainConfig:
    return dataclasses.replace(config, steps=24, checkpoint_steps=4)


@pytest.fixture(scope="module")
def undisturbed(settings: TrainConfig, tmp_path_factory: pytest.TempPathFactory, elsewhere) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    ((code, _, err),) = elsewhere.finish([elsewhere.start(settings, run)])
    assert code == 0, err[-3000:]
    return run


def test_a_killed_run_loses_at_most_an_interval_and_ends_alike(
    settings: TrainConfig, undisturbed: Path, tmp_path: Path, elsewhere, assert_equal_parameters
):
    run, dice = tmp_path / "run", random.Random(0)
    for step in (3, 9, 14, 20):
        process = elsewhere.start(settings, run)
        wait_for(run, process, step)
        time.sleep(dice.random() * 0.05)  # anywhere in a step, or in the writing of a checkpoint
        process.kill()
        process.communicate()
    ((code, _, err),) = elsewhere.finish([elsewhere.start(settings, run)])
    assert code == 0, err[-3000:]
    assert_equal_parameters(run, undisturbed)

    events = read_log(run)
    begun = [index for index, event in enumerate(events) if event["event"] == "start"]
    assert len(begun) == 5
    for before, after in itertools.pairwise(begun):
        reached = max((event["step"] for event in events[before:after]), default=0)
        # The checkpoint of the last interval may have been half-written: then the one before counts.
        assert events[after]["step"] >= reached - 2 * settings.checkpoint_steps
        assert events[after]["step"] % settings.checkpoint_steps == 0


def test_the_time_of_killed_parts_counts(undisturbed: Path):
    origin = load_averaged(undisturbed)[2]
    assert origin["steps"] == 24 and origin["seconds"] == round(read_log(undisturbed, "stop")[0]["time_s"])


def test_a_half_written_checkpoint_does_not_count(settings: TrainConfig, undisturbed: Path, tmp_path: Path, elsewhere):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    # As orbax leaves a checkpoint whose writer was killed: under its temporary name.
    shutil.copytree(run / FOLDER / "20", run / FOLDER / "28.orbax-checkpoint-tmp-0")
    longer = dataclasses.replace(settings, steps=25)
    ((code, _, err),) = elsewhere.finish([elsewhere.start(longer, run)])
    assert code == 0, err[-3000:]
    assert read_log(run, "start")[-1]["step"] == 24
