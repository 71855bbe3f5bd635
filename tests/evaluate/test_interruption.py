"""An interrupted run loses nothing that is finished, and gone on with gives the file of an uninterrupted one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxicm.evaluate.journal import Journal
from jaxicm.media.pictures import write_picture

PICTURES, QUALITIES = 8, "5,15,25,35,45,55,65,75,85,95"
POINTS = PICTURES * 10
CLOCKS = ("created", "encoding_time", "decoding_time", "encode_s", "decode_s", "command", "jobs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photograph) -> Path:
    folder = tmp_path_factory.mktemp("interrupted")
    (folder / "set").mkdir()
    for seed in range(PICTURES):
        write_picture(folder / f"set/{seed:02}.png", photograph(128, 192, seed))
    return folder


def command(out: Path, *options: str) -> list[str]:
    words = ["eval", "jpeg", str(out.parent / "set"), "--qualities", QUALITIES, "--out", str(out), *options]
    return [sys.executable, "-m", "jaxicm.cli", *words]


def without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_clocks(one) for key, one in value.items() if key not in CLOCKS}
    return [without_clocks(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def uninterrupted(folder) -> dict[str, Any]:
    subprocess.run(command(folder / "whole.json"), check=True, capture_output=True)
    return without_clocks(json.loads((folder / "whole.json").read_text()))


def finished_points(journal: Path) -> int:
    return journal.read_bytes().count(b'"kind": "point"') if journal.exists() else 0


def children(process: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are looked up in /proc")
@pytest.mark.parametrize(
    ("name", "signal_number", "jobs"),
    [("killed", signal.SIGKILL, 2), ("stopped", signal.SIGINT, 2), ("stopped_alone", signal.SIGINT, 1)],
)
def test_a_run_goes_on_after_an_interruption(folder, uninterrupted, name, signal_number, jobs):
    out, journal = folder / f"{name}.json", folder / f"{name}.jsonl"
    running = subprocess.Popen(
        command(out, "--jobs", str(jobs)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 60
    while finished_points(journal) < 5 and running.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    workers = children(running.pid)
    os.kill(running.pid, signal_number)
    _, errors = running.communicate(timeout=60)
    if signal_number == signal.SIGINT:
        assert running.returncode == 130
        last = errors.splitlines()[-1]
        assert last == (
            f"jaxicm: interrupted: all finished measurements are in {journal}; give the same command again to go on"
        )
        assert "Traceback" not in errors
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(alive, workers)), "worker processes end with the run"
    assert not out.exists()
    kept = finished_points(journal)
    assert 5 <= kept < POINTS, "the run was interrupted half way"

    with journal.open("ab") as file:
        file.write(b'{"kind": "point", "picture": "00.png", "qual')  # as a power failure would leave it
    again = subprocess.run(command(out, "--jobs", str(jobs)), capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert f"{kept} of {POINTS} measurements are in {journal} already" in again.stderr
    assert without_clocks(json.loads(out.read_text())) == uninterrupted
    assert finished_points(journal) == POINTS, "nothing was measured twice"


def test_the_pictures_of_the_test_differ(folder, uninterrupted):
    assert len({row["size_bytes"] for row in uninterrupted["pictures"]}) > POINTS / 2
    assert np.isfinite(uninterrupted["results"]["psnr-rgb"]).all()
    assert len(Journal.read(folder / "whole.jsonl").entries) == POINTS
