"""The launch recipes: with stand-ins for `gcloud`, `srun`, `scancel`, `scontrol` and `ssh`, what they run is right.

The stand-ins do what the real ones do with words and quotes, so that the command of each host is one that the real
`jaxicm train` understands.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main

from jaxicm.cli.main import app

ROOT = Path(__file__).parents[1]
RECIPES = ("train_tpu_pod.sh", "train_slurm.sh", "train_hosts.sh", "train_rented.sh")
WORDS = ["configs/image_fast.py", "--data", "/shared/my photos", "batch=256", "trained_on=it's $HOME"]
RECORD = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
"""
# `gcloud ... ssh --command=TEXT` gives the text to a shell in the home folder; `scp` copies there.
GCLOUD = (
    RECORD
    + """
import shutil, subprocess
home = os.environ["HOSTS_HOME"]
if "scp" in sys.argv:
    shutil.copy(sys.argv[5], os.path.join(home, sys.argv[6].partition(":")[2]))
for word in sys.argv:
    if word.startswith("--command="):
        sys.exit(subprocess.run(["bash", "-c", word.partition("=")[2]], cwd=home).returncode)
"""
)
# `python3 -m uv venv` makes the environment; its `jaxicm` is a stand-in too.
PYTHON = (
    RECORD
    + """
import shutil
if sys.argv[2:4] == ["uv", "venv"]:
    os.makedirs(".venv/bin")
    shutil.copy(os.environ["JAXICM_STAND_IN"], ".venv/bin/jaxicm")
if os.environ.get("HANGS") and "train" in sys.argv:
    import time
    time.sleep(60)
"""
)
# ssh joins its words with blanks and gives them to a shell.
SSH = (
    RECORD
    + """
import subprocess
words = sys.argv[1:]
while words[0].startswith("-"):
    words = words[2 if words[0] == "-o" else 1:]
sys.exit(subprocess.run(["bash", "-c", " ".join(words[1:])]).returncode)
"""
)
SRUN = (
    RECORD
    + """
import subprocess
sys.exit(subprocess.run([word for word in sys.argv[1:] if not word.startswith("--kill") and
                         not word.startswith("--cpus")]).returncode)
"""
)
# The signal goes to the processes of the job's steps, not to its script.
SCANCEL = (
    RECORD
    + """
import signal
with open(os.environ["RECORD"] + ".started0") as file:
    os.kill(int(file.read()), signal.SIGTERM)
"""
)
# Trains until it is told to stop, or ends at once with a code, and writes the end of its log.
JAXICM = (
    RECORD
    + """
import signal, time
def stop(number, frame):
    finish("SIGTERM")
def finish(reason):
    run = sys.argv[sys.argv.index("--out") + 1]
    os.makedirs(run, exist_ok=True)
    with open(os.path.join(run, "log.jsonl"), "a") as file:
        file.write(json.dumps({"event": "stop", "step": 5, "reason": reason, "steps": 5}) + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
index = sys.argv[sys.argv.index("--process") + 1] if "--process" in sys.argv else "0"
file = os.environ["RECORD"] + ".started" + index
with open(file + "-", "w") as number:
    number.write(str(os.getpid()))
os.rename(file + "-", file)
if os.environ.get("FAILS") == index:
    sys.exit(3)
if os.environ.get("LONG"):
    time.sleep(60)
finish("done")
"""
)


class Stage:
    """A folder with stand-ins, in which recipes run."""

    def __init__(self, folder: Path):
        self.folder, self.record = folder, folder / "record"
        self.run = folder / "a run"
        (folder / "bin").mkdir()
        (folder / "home").mkdir()
        programs = {"gcloud": GCLOUD, "python3": PYTHON, "ssh": SSH, "srun": SRUN, "jaxicm": JAXICM}
        programs |= {"scontrol": RECORD, "scancel": SCANCEL, "gcsfuse": RECORD, "mountpoint": "#!/bin/sh\nexit 1\n"}
        python = subprocess.run(["which", "python3"], capture_output=True, text=True, check=True).stdout.strip()
        for name, text in programs.items():
            file = folder / "bin" / name
            file.write_text(text.replace("/usr/bin/env python3", python))
            file.chmod(0o755)
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / ".venv/bin/jaxicm").symlink_to(folder / "bin/jaxicm")
        self.environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "RECORD": str(self.record),
            "HOSTS_HOME": str(folder / "home"),
            "JAXICM_STAND_IN": str(folder / "bin/jaxicm"),
            "RUN": str(self.run),
        }

    def start(self, recipe: str, *words: str, **variables: str) -> subprocess.Popen[str]:
        command = ["bash", str(ROOT / "scripts" / recipe), *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, env={**self.environment, **variables}, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def call(self, recipe: str, *words: str, **variables: str) -> tuple[int, str]:
        process = self.start(recipe, *words, **variables)
        out, err = process.communicate(timeout=60)
        return process.returncode, out + err

    def wait_until_training(self, count: int) -> None:
        deadline = time.monotonic() + 30
        while len(list(self.folder.glob("record.started[0-9]"))) < count:
            assert time.monotonic() < deadline, "the processes did not start"
            time.sleep(0.05)

    def calls(self, program: str) -> list[list[str]]:
        lines = map(json.loads, self.record.read_text().splitlines()) if self.record.exists() else []
        return [words[1:] for words in lines if words[0] == program]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def options_of(words: list[str]) -> dict[str, Any]:
    """Parse the words as the real `jaxicm` does; an unknown option is an error."""
    assert words[0] == "train"
    train = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    return train.make_context("train", words[1:]).params


def check_words(options: dict[str, Any], run: object) -> None:
    assert str(options["config"]) == WORDS[0]
    assert list(map(str, options["data"])) == [WORDS[2]]
    assert list(options["overrides"]) == WORDS[3:]
    assert str(options["out"]) == str(run)
    assert options["resume"] is True


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_bash_that_says_how_it_is_used(stage: Stage, recipe: str):
    assert subprocess.run(["bash", "-n", ROOT / "scripts" / recipe], check=False).returncode == 0
    assert os.access(ROOT / "scripts" / recipe, os.X_OK)
    code, said = stage.call(recipe)
    assert code == 2
    assert f"scripts/{recipe}" in said
    assert stage.calls("jaxicm") == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the recipe sends the files of a git checkout")
def test_all_hosts_of_a_tpu_slice_install_the_package_and_train(stage: Stage):
    code, said = stage.call("train_tpu_pod.sh", *WORDS, TPU="slice", ZONE="zone-b", RUN="bucket/a run", BUCKET="mine")
    assert code == 0, said
    for words in stage.calls("gcloud"):
        assert words[:3] == ["compute", "tpus", "tpu-vm"]
        assert {"--zone=zone-b", "--worker=all"} <= set(words)
    assert [words[3] for words in stage.calls("gcloud")] == ["scp", "ssh", "ssh", "ssh"]
    installed = stage.calls("python3")[-1]
    assert installed[:4] == ["-m", "uv", "pip", "install"] and installed[-2:] == ["jax[tpu]", "."]
    assert (stage.folder / "home/jaxicm/configs/image_fast.py").is_file()
    assert stage.calls("gcsfuse") == [["--implicit-dirs", "mine", "bucket"]]
    (words,) = stage.calls("jaxicm")
    options = options_of(words)
    check_words(options, "bucket/a run")
    assert options["distributed"] is True
    assert (stage.folder / "home/bucket/a run/log.jsonl").is_file(), "the run lies in the mounted bucket"


def test_a_tpu_slice_refuses_the_address_of_a_bucket_as_a_folder(stage: Stage):
    code, said = stage.call("train_tpu_pod.sh", *WORDS, TPU="slice", ZONE="zone-b", RUN="gs://mine/run")
    assert code == 2
    assert "BUCKET=name" in said
    assert stage.calls("gcloud") == []


def slurm(stage: Stage) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "77",
        "SLURM_SUBMIT_DIR": str(stage.folder),
        "SLURM_GPUS_ON_NODE": "8",
        "SLURM_NTASKS_PER_NODE": "8",
        "SLURM_CPUS_PER_TASK": "6",
    }


def test_a_slurm_job_trains_in_one_step(stage: Stage):
    code, said = stage.call("train_slurm.sh", *WORDS, **slurm(stage))
    assert code == 0, said
    (step,) = stage.calls("srun")
    assert step[:2] == ["--kill-on-bad-exit=1", "--cpus-per-task=6"]
    (words,) = stage.calls("jaxicm")
    options = options_of(words)
    check_words(options, stage.run)
    assert options["distributed"] is True
    assert stage.calls("scontrol") == []


def test_a_slurm_job_at_its_time_limit_saves_and_is_queued_again(stage: Stage):
    process = stage.start("train_slurm.sh", *WORDS, LONG="1", **slurm(stage))
    stage.wait_until_training(1)
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    assert stage.calls("scancel") == [["--signal=TERM", "77"]]
    assert json.loads((stage.run / "log.jsonl").read_text())["reason"] == "SIGTERM"
    assert stage.calls("scontrol") == [["requeue", "77"]]


def test_a_slurm_job_that_fails_is_not_queued_again(stage: Stage):
    code, said = stage.call("train_slurm.sh", *WORDS, FAILS="0", **slurm(stage))
    assert code == 3
    assert "exit code 3" in said
    assert stage.calls("scontrol") == []


def test_a_slurm_job_needs_a_task_for_each_gpu(stage: Stage):
    code, said = stage.call("train_slurm.sh", *WORDS, **slurm(stage) | {"SLURM_NTASKS_PER_NODE": "1"})
    assert code == 2
    assert "found 1 tasks for 8 GPUs" in said and "--ntasks-per-node=8" in said


def test_each_host_gets_its_number_and_the_address_of_the_first(stage: Stage):
    code, said = stage.call("train_hosts.sh", *WORDS, HOSTS="one two  three", FOLDER=str(stage.folder), PORT="29411")
    assert code == 0, said
    hosts = [next(word for word in words if not word.startswith(("-", "BatchMode", "ServerAlive")))
             for words in stage.calls("ssh")]  # fmt: skip
    assert sorted(hosts) == ["one", "three", "two"]
    found = [options_of(words) for words in stage.calls("jaxicm")]
    for options in found:
        check_words(options, stage.run)
        assert options["coordinator"] == "one:29411"
        assert options["processes"] == 3
    assert sorted(options["process"] for options in found) == [0, 1, 2]


@pytest.mark.slow  # a signal must arrive while the run lasts: not beside other tests on the same cores
def test_an_interrupt_stops_all_hosts_after_they_have_saved(stage: Stage):
    process = stage.start("train_hosts.sh", *WORDS, HOSTS="one two", FOLDER=str(stage.folder), PORT="29412", LONG="1")
    stage.wait_until_training(2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, out + err
    reasons = [json.loads(line)["reason"] for line in (stage.run / "log.jsonl").read_text().splitlines()]
    assert reasons == ["SIGTERM", "SIGTERM"]


def test_a_host_that_fails_stops_the_others(stage: Stage):
    code, said = stage.call(
        "train_hosts.sh", *WORDS, HOSTS="one two", FOLDER=str(stage.folder), PORT="29413", LONG="1", FAILS="1"
    )
    assert code == 3
    assert "exit code 3" in said
    assert json.loads((stage.run / "log.jsonl").read_text())["reason"] == "SIGTERM"


def test_rented_minutes_are_not_spent_on_a_run_that_hangs(stage: Stage):
    words = {"TRAIN_S": "60", "PATIENCE_S": "2", "HANGS": "1", "PYTHON": str(stage.folder / "bin/python3")}
    begun = time.monotonic()
    code, said = stage.call("train_rented.sh", *WORDS, **words)
    assert code != 0 and "no step was logged in 2 seconds" in said
    assert time.monotonic() - begun < 30
    assert [words[2] for words in stage.calls("python3")] == ["train"]


def test_rented_minutes_train_freeze_and_check(stage: Stage):
    python = str(stage.folder / "bin/python3")
    for again in (False, True):
        stage.record.unlink(missing_ok=True)
        code, said = stage.call("train_rented.sh", *WORDS, TRAIN_S="60", CHECK="/my pictures", PYTHON=python)
        assert code == 0, said
        calls = [words[2:] for words in stage.calls("python3")]
        assert [words[0] for words in calls] == ["train", "freeze", "progress", *["bench"] * 5]
        options = options_of(calls[0])
        assert options["overrides"] == [*WORDS[3:], "duration_s=60"]
        assert (options["resident"], options["resume"], str(options["out"])) == (True, again, str(stage.run))
        bench = typer.main.get_command(app).commands["bench"]  # type: ignore[attr-defined]
        for words in calls[3:]:
            found = bench.commands[words[1]].make_context(words[1], words[2:]).params
            weights = found.get("models", found.get("model"))
            assert weights == f"{stage.run}/weights.safetensors"
            assert list(map(str, found.get("pictures", ["/my pictures"]))) == ["/my pictures"]
        stage.run.mkdir(exist_ok=True)
        (stage.run / "config.json").write_text("{}")
