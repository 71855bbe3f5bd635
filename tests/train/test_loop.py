"""Whole runs: exact resuming, stopping by a signal, the log, and what a user can do wrong."""

import dataclasses
import itertools
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from PIL import Image

from jaxicm.configuration import to_dict
from jaxicm.errors import ConfigError, TrainingError
from jaxicm.train.checkpoints import load_averaged, load_parameters
from jaxicm.train.command import train
from jaxicm.train.config import DataConfig, TrainConfig, ValidationConfig, load_run_config
from jaxicm.train.corpus import prepare_data
from jaxicm.train.log import RunLog, read_log
from jaxicm.train.loop import train_run


@pytest.fixture(scope="module")
def whole(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps."""
    return train_run(config, tmp_path_factory.mktemp("runs") / "whole", quiet=True)


def test_a_resumed_run_makes_the_same_bits_as_one_that_never_stopped(
    config: TrainConfig, whole: Path, tmp_path: Path, assert_equal_parameters: Callable
):
    run = train_run(dataclasses.replace(config, steps=3), tmp_path / "parts", quiet=True)
    assert load_parameters(run)[1] == 3
    train_run(config, run, resume=True, quiet=True)
    assert_equal_parameters(run, whole)
    assert [event["step"] for event in read_log(run, "train")] == [1, 2, 3, 4, 5, 6]


def test_the_log_has_a_line_for_each_interval(config: TrainConfig, whole: Path):
    events = read_log(whole, "train")
    assert [event["step"] for event in events] == list(range(1, 7))
    for event in events:
        for key in ("loss", "bpp", "mse", "psnr", "learning_rate", "gradient_norm", "crops_per_s", "time_s"):
            assert np.isfinite(event[key]), key
        assert event["psnr"] == pytest.approx(-10 * np.log10(event["mse"]))
    assert events[0]["learning_rate"] == pytest.approx(config.optimizer.learning_rate / 2)
    assert read_log(whole, "stop")[0]["reason"] == "done"
    assert load_run_config(whole) == config


def test_a_release_gets_the_average_and_its_origin_without_paths(config: TrainConfig, whole: Path):
    params, kept, origin = load_averaged(whole)
    jax.tree.map(np.testing.assert_array_equal, params, load_parameters(whole, average=True)[0])
    assert kept == config
    assert origin["steps"] == 6 and origin["pictures"] == 8 and origin["run"] == "test"
    assert config.data.folders[0] not in json.dumps(origin)


def test_a_signal_saves_and_leaves(config: TrainConfig, tmp_path: Path):
    run = tmp_path / "run"

    def interrupt() -> None:
        while len(read_log(run, "train")) < 2:
            if failed.wait(0.01):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    before, failed = signal.getsignal(signal.SIGTERM), threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        train_run(dataclasses.replace(config, steps=100_000), run, quiet=True)
    finally:
        failed.set()
        thread.join()
    (stop,) = read_log(run, "stop")
    assert stop["reason"] == "SIGTERM"
    assert 2 <= stop["step"] < 100_000
    assert load_parameters(run)[1] == stop["step"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_time_limit_saves_and_stops(config: TrainConfig, tmp_path: Path):
    run = train_run(dataclasses.replace(config, stop_after_s=0.001), tmp_path / "run", quiet=True)
    assert read_log(run, "stop")[0]["reason"].startswith("stop_after_s")
    assert load_parameters(run)[1] == 1


@pytest.mark.parametrize("profiled", [1, 9])
def test_some_steps_are_profiled_to_their_end_or_the_runs(config: TrainConfig, tmp_path: Path, profiled: int):
    settings = dataclasses.replace(config, steps=4, log_every=1, profile_steps=profiled)
    run = train_run(settings, tmp_path / "run", quiet=True)
    assert len(list((run / "profile").rglob("*.xplane.pb"))) == 1
    assert [event["step"] for event in read_log(run, "profile")] == ([3] if profiled == 1 else [])


def test_a_run_fits_its_schedule_into_a_duration(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from jaxicm.train import loop

    ticks = itertools.count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: 0.1 * next(ticks)))  # a tenth a look
    optimizer = dataclasses.replace(config.optimizer, schedule="cosine", warmup=1)
    settings = dataclasses.replace(config, duration_s=5.0, steps=100_000, log_every=2, optimizer=optimizer)
    run = train_run(settings, tmp_path / "run", quiet=True)
    (stop,), rows = read_log(run, "stop"), read_log(run, "train")
    assert stop["reason"] == "done" and 10 <= stop["step"] <= 50 and load_parameters(run)[1] == stop["step"]
    rates = [row["learning_rate"] for row in rows]
    assert rates[-1] < 0.2 * rates[0]


def test_a_run_that_is_not_finite_stops_with_a_message(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from jaxicm.train import loop

    good = loop.start_parameters
    broken = lambda *given: jax.tree.map(lambda leaf: leaf * np.nan, good(*given))  # noqa: E731
    monkeypatch.setattr(loop, "start_parameters", broken)
    run = tmp_path / "run"
    with pytest.raises(TrainingError) as caught:
        train_run(dataclasses.replace(config, steps=100, max_skipped=4), run, quiet=True)
    message = str(caught.value)
    assert "4 times in a row up to step 4" in message and "no checkpoint" in message and "\n" not in message
    assert read_log(run, "stop")[0]["reason"] == "not finite"
    assert not list((run / "checkpoints").iterdir())


def test_checkpoints_come_at_their_interval_and_old_ones_go(config: TrainConfig, tmp_path: Path):
    run = train_run(dataclasses.replace(config, checkpoint_steps=2), tmp_path / "run", quiet=True)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["4", "6"]


def test_a_run_begins_at_the_average_of_another(config: TrainConfig, whole: Path, tmp_path: Path):
    # No learning: the parameters after a step are those at which the run began.
    from jaxicm.train.start import start_parameters

    corpus = prepare_data(config, print)
    params = start_parameters(dataclasses.replace(config, init=str(whole)), corpus)
    jax.tree.map(np.testing.assert_array_equal, params, load_parameters(whole)[0])
    other = to_dict(config)
    other["model"]["entropy"]["hidden"] = 8
    from jaxicm.configuration import from_dict

    with pytest.raises(ConfigError, match="holds another model"):
        start_parameters(dataclasses.replace(from_dict(TrainConfig, other), init=str(whole)), corpus)
    with pytest.raises(ConfigError, match="neither a run folder"):
        start_parameters(dataclasses.replace(config, init=str(tmp_path / "none")), corpus)


def test_resident_pictures_train_and_validation_is_written(config: TrainConfig, tmp_path: Path):
    validation = dataclasses.replace(config.validation, include=("*%4",), every=4)
    settings = dataclasses.replace(config, resident=True, validation=validation)
    run = train_run(settings, tmp_path / "run", quiet=True)
    (start,) = read_log(run, "start")
    assert start["pictures"] == 6 and start["validation"] == 2 and start["resident"] is True
    assert all(np.isfinite(event["loss"]) for event in read_log(run, "train"))
    measured = read_log(run, "validation")
    assert [event["step"] for event in measured] == [0, 4, 6]
    for event in measured:
        assert event["quality"] == [20.0, 80.0]
        assert event["bpp"][0] < event["bpp"][1] and event["psnr"][0] < event["psnr"][1]
    with Image.open(run / "validation" / "0000004_0.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (64, 128, 3)
    with Image.open(Path(config.data.folders[0]) / "p0000.png") as original:
        np.testing.assert_array_equal(pixels[:, :64], np.asarray(original)[16:80, 32:96])


def test_mistakes_are_found_before_time_is_spent(config: TrainConfig, whole: Path, tmp_path: Path):
    run = tmp_path / "run"
    (tmp_path / "empty").mkdir()
    empty = DataConfig(folders=(str(tmp_path / "empty"),))
    with pytest.raises(ConfigError, match="no training pictures in"):
        train_run(dataclasses.replace(config, data=empty), run)
    with pytest.raises(ConfigError, match="name a folder of pictures with --data"):
        train_run(dataclasses.replace(config, data=DataConfig()), run)
    everything = ValidationConfig(include=("*",))
    with pytest.raises(ConfigError, match="8 are held out"):
        train_run(dataclasses.replace(config, validation=everything), run)
    assert not run.exists()
    with pytest.raises(ConfigError, match="go on with --resume"):
        train_run(config, whole)


def test_the_command_line_resumes_with_the_settings_of_the_run(
    config: TrainConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assert_equal_parameters: Callable
):
    path = tmp_path / "tiny.py"
    path.write_text(
        "import json\nfrom jaxicm.configuration import from_dict\nfrom jaxicm.train.config import TrainConfig\n"
        f"def config(): return from_dict(TrainConfig, json.loads({json.dumps(to_dict(config))!r}))\n"
    )
    monkeypatch.chdir(tmp_path)
    folder = Path(config.data.folders[0])
    run = train(path, ["steps=2", "name=mine", "data.folders="], None, [str(folder)], False, False)
    assert run == Path("runs/mine")
    train(path, ["steps=6"], run, [], True, False)
    kept = load_run_config(run)
    assert kept.name == "mine" and kept.data.folders == (str(folder),) and kept.steps == 6
    assert_equal_parameters(run, whole)
    with pytest.raises(ConfigError, match="cannot change its model"):
        train(path, ["model.lambda_max=0.4"], run, [], True, False)
    with pytest.raises(ConfigError, match="unknown setting 'stesp'"):
        train(path, ["stesp=4"], run, [], True, False)


def test_a_checkpoint_of_another_configuration_is_an_error(config: TrainConfig, whole: Path):
    muon = dataclasses.replace(config.optimizer, name="muon")
    with pytest.raises(ConfigError, match="the checkpoint of step 6 does not fit the configuration"):
        train_run(dataclasses.replace(config, optimizer=muon, steps=7), whole, resume=True, quiet=True)
    with pytest.raises(ConfigError, match=r"a resumed run would take other crops: .*seed=3 .was 0."):
        train_run(dataclasses.replace(config, seed=3, steps=7), whole, resume=True, quiet=True)


def test_a_line_that_a_killed_process_cut_off_does_not_swallow_the_next(tmp_path: Path):
    (tmp_path / "log.jsonl").write_text('{"event": "train", "step": 1}\n{"event": "tra')
    log = RunLog(tmp_path, quiet=True)
    log.event("start", 1, {})
    log.close()
    assert [event["event"] for event in read_log(tmp_path)] == ["train", "start"]


def test_a_process_that_does_not_write_prints_remarks_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = RunLog(tmp_path, write=False)
    log.event("train", 1, {"loss": 2.0})
    log.note("skipped: a.png: broken")
    log.close()
    assert not list(tmp_path.iterdir())
    printed = capsys.readouterr().out
    assert "skipped: a.png: broken" in printed and "loss" not in printed


def test_tensorboard_without_a_writer_is_only_a_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("jaxicm.train.log._TENSORBOARD", (("no_such_package", "no_such_package"),))
    log = RunLog(tmp_path, tensorboard=True, quiet=True)
    log.event("train", 1, {"loss": 1.5})
    log.close()
    assert "pip install" in read_log(tmp_path, "note")[0]["text"]
    assert read_log(tmp_path, "train") == [{"event": "train", "step": 1, "loss": 1.5}]
