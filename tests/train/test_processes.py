"""Two processes with two devices each, on the loopback address: losses of one process, stopping together, errors."""

import dataclasses
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxicm.errors import ConfigError
from jaxicm.train.checkpoints import load_parameters
from jaxicm.train.config import TrainConfig
from jaxicm.train.log import read_log
from jaxicm.train.processes import start_processes


@pytest.fixture(scope="module")
def four_devices(config: TrainConfig) -> TrainConfig:
    validation = dataclasses.replace(config.validation, include=("*%4",), every=100)
    return dataclasses.replace(
        config, devices=0, parameter_shards=2, validation=validation, steps=3, checkpoint_steps=2
    )


@pytest.fixture(scope="module")
def together(four_devices: TrainConfig, tmp_path_factory: pytest.TempPathFactory, elsewhere) -> Path:
    """A run of two processes, stopped after two steps and resumed."""
    run = tmp_path_factory.mktemp("together") / "run"
    for steps in (2, 3):
        part = dataclasses.replace(four_devices, steps=steps)
        for code, _, err in elsewhere.finish(elsewhere.start_group([part, part], run, devices=2)):
            assert code == 0, err[-3000:]
    return run


def test_two_processes_compute_the_losses_of_one(four_devices: TrainConfig, together: Path, tmp_path: Path, elsewhere):
    ((code, _, err),) = elsewhere.finish([elsewhere.start(four_devices, tmp_path / "alone", devices=4)])
    assert code == 0, err[-3000:]
    alone = tmp_path / "alone"
    for kind, keys in (("train", ("loss", "bpp", "gradient_norm")), ("validation", ("loss", "bpp", "psnr"))):
        for key in keys:
            expected, found = ([event[key] for event in read_log(run, kind)] for run in (alone, together))
            if kind == "validation":
                found = [found[0], found[-1]]  # the first part of the run was measured at its end as well
            np.testing.assert_allclose(found, expected, rtol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4),
        load_parameters(alone)[0],
        load_parameters(together)[0],
    )


def test_one_process_writes_the_log(together: Path, elsewhere):
    starts = read_log(together, "start")
    assert [(event["step"], event["devices"], event["processes"]) for event in starts] == [(0, 4, 2), (2, 4, 2)]
    assert [event["step"] for event in read_log(together, "train")] == [1, 2, 3]
    assert [event["step"] for event in read_log(together, "checkpoint")] == [2, 2, 3]
    assert sorted(path.name for path in (together / "validation").iterdir())[0] == "0000000_0.png"


def test_sigterm_to_one_process_stops_all_at_one_step(
    four_devices: TrainConfig, together: Path, tmp_path: Path, elsewhere
):
    run = tmp_path / "run"
    endless = dataclasses.replace(four_devices, steps=100_000, validation=type(four_devices.validation)())
    processes = elsewhere.start_group([endless, endless], run, devices=2)
    deadline = time.monotonic() + 300
    while len(read_log(run, "train")) < 3 and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), elsewhere.finish(processes)
        time.sleep(0.1)
    processes[1].send_signal(signal.SIGTERM)
    for code, _, err in elsewhere.finish(processes):
        assert code == 0, err[-3000:]
    (stop,) = read_log(run, "stop")
    assert stop["reason"] == "SIGTERM" and 3 <= stop["step"] < 100_000
    assert load_parameters(run)[1] == stop["step"]


def test_processes_with_different_settings_leave_with_an_error(four_devices: TrainConfig, tmp_path: Path, elsewhere):
    other = dataclasses.replace(four_devices, seed=1)
    for code, _, err in elsewhere.finish(elsewhere.start_group([four_devices, other], tmp_path / "run", devices=2)):
        assert code == 2 and "the configuration of process [1] differs" in err, err[-3000:]
    assert not (tmp_path / "run").exists()


def test_a_process_that_stays_alone_says_so(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere
):
    monkeypatch.setenv("JAXICM_JOIN_S", "2")
    alone, other = elsewhere.start_group([config, config], tmp_path / "run", devices=1)
    other.kill()
    (code, _, err), _ = elsewhere.finish([alone, other])
    assert code == 2 and "did not find each other" in err, (code, err[-3000:])


def test_half_an_address_is_an_error():
    with pytest.raises(ConfigError, match="belong together"):
        start_processes("127.0.0.1:1", 2, None)
    with pytest.raises(ConfigError, match="--process 2: expected 0 to 1"):
        start_processes("127.0.0.1:1", 2, 2)
