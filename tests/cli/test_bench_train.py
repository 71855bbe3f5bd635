"""`jaxicm bench train` reads its words, joins the measurements and prints them; measuring is tested elsewhere."""

import json
import types
from pathlib import Path

import pytest

from jaxicm.cli import bench_train
from jaxicm.cli.bench_train import MOST_DEVICES, figures, read_config
from jaxicm.cli.values import parse_counts
from jaxicm.errors import OptionError
from jaxicm.evaluate import roofline
from jaxicm.evaluate.bench_clock import Reading
from jaxicm.train import bench_devices, benchmark
from jaxicm.train.bench_devices import Scaling, ScalingRow
from jaxicm.train.bench_figures import Program, Split, StepBenchmark
from jaxicm.train.corpus import Corpus

PROGRAM = Program(12.5, True, 1, 3 << 20, 2 << 20, 7 << 20, 6e9)
SPLIT = Split(0.1, 0.25, 0.15, 0.02, 0.01, 0.8)
STEP = StepBenchmark(
    batch=8,
    crop=64,
    precision="float32",
    devices=1,
    platform="gpu",
    device_kind="NVIDIA H100 80GB HBM3",
    parameters=1_234_567,
    forward_macs=100_000_000,
    step_s=0.5,
    group_s=(0.45, 0.5, 0.6),
    steps=4,
    program=PROGRAM,
    split=SPLIT,
    peak_bytes=2 << 30,
    limit_bytes=64 << 30,
)
ROOF = roofline.Roof(
    {"float32": [(1000, Reading(0.1, 0.1, 0.1, 3))], "bfloat16": [(1000, Reading(0.05, 0.05, 0.05, 3))]},
    [(1 << 20, Reading(0.1, 0.1, 0.1, 3))],
    [Reading(1e-5, 1e-5, 1e-5, 3)],
)
"""Products of 1000x1000 matrices in 0.1 s: 20 GFLOP/s in float32, 40 in bfloat16."""
ROWS = (
    ScalingRow("strong", 1, 8, STEP),
    ScalingRow("strong", 3, 8, None, "batch: 8 does not divide by 3 devices"),
    ScalingRow("weak", 1, 2, STEP),
    ScalingRow("weak", 3, 6, STEP),
)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Replace everything that takes time; returns what was asked for."""
    asked = types.SimpleNamespace(corpora=[], rounds=[], counts=[])

    def measure_step(corpus: Corpus, rounds: benchmark.Rounds, *, say: object) -> StepBenchmark:
        asked.corpora.append(corpus)
        asked.rounds.append(rounds)
        return STEP

    def measure_scaling(config: object, counts: list[int], rounds: object, say: object) -> Scaling:
        asked.counts.append(list(counts))
        return Scaling(True, ROWS)

    monkeypatch.setattr(benchmark, "measure_step", measure_step)
    monkeypatch.setattr(bench_devices, "measure_scaling", measure_scaling)
    monkeypatch.setattr(roofline, "measure_roof", lambda budget_s: ROOF)
    return asked


def test_the_report_has_the_figures(run, measured, tmp_path: Path):
    out = tmp_path / "bench.json"
    done = run("bench", "train", "crop=64", "--quick", "--steps", 4, "--json", out)
    assert (done.code, done.err) == (0, "")
    (corpus,), (rounds,) = measured.corpora, measured.rounds
    assert (corpus.config.name, corpus.config.crop, corpus.config.batch) == ("bench", 64, 8)
    assert (rounds.steps, rounds.groups) == (4, benchmark.QUICK.groups)
    assert measured.counts == [[1, 2]]
    # 6 * 100 M multiply-adds a crop, 16 crops a second, on a device of 20 GFLOP/s.
    for words in (
        "1,234,567 parameters",
        "crops: random numbers",
        "16.00 pictures/s, 10.00 with the host's work; 3 groups of 4 steps, 450.00 to 600.00 ms a step",
        "the step was compiled once, in 12.5 s, from the cache on the disk",
        "model FLOP: 0.600 G a crop, 9.6 G/s",
        "XLA counts 125 % of that",
        "model FLOP utilisation: 48.0 % of 20.0 GFLOP/s",
        "% of 989 TFLOP/s",
        "state and crops 3.0 MiB, temporary 7.0 MiB",
        "peak 2.00 of 64.0 GiB",
        "batch: 8 does not divide by 3 devices",
        "share the same",
    ):
        assert words in done.out
    rows = {line.strip().partition("  ")[0]: line.split() for line in done.out.splitlines()}
    assert rows["forward pass"][-2:] == ["100.00", "20.0"]
    assert rows["backward pass"][-2:] == ["250.00", "50.0"]
    assert rows["optimiser and average"][-2:] == ["150.00", "30.0"]
    found = json.loads(out.read_text())
    assert found["format"] == "jaxicm bench train 1"
    assert found["command"] == "jaxicm bench train crop=64 --steps 4 --quick"
    assert found["config"]["crop"] == 64
    assert found["random"] is True
    assert found["step"]["step_s"] == 0.5
    assert found["figures"]["utilisation"] == pytest.approx(0.48)
    assert [row["efficiency"] for row in found["scaling"]["rows"]] == [1.0, None, 1.0, 1.0]


def test_one_number_of_devices_compares_nothing(run, measured):
    done = run("bench", "train", "--devices", "1")
    assert done.code == 0
    assert measured.counts == []
    assert "nothing to compare" in done.out


def test_all_counts_are_the_default_without_quick(run, measured):
    assert run("bench", "train").code == 0
    assert measured.counts == [[1, 2, 4, 8]]
    assert measured.rounds == [benchmark.THOROUGH]


def test_pictures_of_a_folder_are_cropped(run, measured, tmp_path: Path, pixels):
    from jaxicm.media.pictures import write_picture

    write_picture(tmp_path / "a.png", pixels.repeat(4, 0).repeat(4, 1))
    done = run("bench", "train", "crop=64", "--data", tmp_path, "--devices", "1")
    assert (done.code, done.err) == (0, "")
    assert "random" not in done.out
    (corpus,) = measured.corpora
    assert corpus.config.data.folders == (str(tmp_path),)
    assert corpus.pictures == 1


def test_help_names_the_options(run):
    done = run("bench", "train", "--help")
    assert done.code == 0
    assert "Usage: jaxicm bench train [OPTIONS] [CONFIG] [KEY=VALUE]..." in done.out
    for option in ("--data", "--devices", "--steps", "--quick", "--distributed", "--json"):
        assert option in done.out
    outer = run("bench", "--help")
    assert "--parts" in outer.out and "Measure the training step." in outer.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("none.py",), "none.py: no such configuration file"),
        (("batc=3",), "unknown setting 'batc'; did you mean 'batch'?"),
        (("batch=3", "word"), "override 'word' is not KEY=VALUE"),
        (("--devices", "0,1"), "--devices '0,1' is not a list of numbers"),
        (("--steps", "-1"), "--steps"),
        (("--data", "no-such-folder"), "no-such-folder: no such folder of pictures"),
    ],
)
def test_bad_words_are_one_line_and_nothing_is_measured(run, measured, words, says):
    done = run("bench", "train", *words)
    assert done.code == 2
    assert done.out == ""
    assert says in done.err
    assert done.err.count("\n") == 1
    assert measured.corpora == []


def test_a_batch_that_does_not_divide_by_the_devices_is_an_error(run):
    done = run("bench", "train", "devices=64", "batch=65")
    assert done.code == 2
    assert "devices: found" in done.err


def test_a_configuration_file_is_read_and_changed(tmp_path: Path):
    path = tmp_path / "c.py"
    path.write_text(
        "from jaxicm.train.config import TrainConfig\n\n\n"
        "def config():\n    return TrainConfig(name='mine', batch=16)\n"
    )
    config = read_config([str(path), "crop=128"], ["photos"])
    assert (config.name, config.batch, config.crop) == ("mine", 16, 128)
    assert config.data.folders == ("photos",)


def test_numbers_of_devices_are_read():
    assert parse_counts("8,1, 2,", "--devices", MOST_DEVICES) == [1, 2, 8]
    for text in ("", "0", "a", "1;2", "5000", "1.5"):
        with pytest.raises(OptionError, match="write 1,2,4,8"):
            parse_counts(text, "--devices", MOST_DEVICES)


def test_utilisation_counts_every_accelerator_but_a_cpu_once():
    """Six operations a multiply-add: 8 crops of 100 M in half a second are 9.6 GFLOP/s."""
    one = figures(STEP, 19.2e9, 1)
    assert one["pictures_per_s"] == 16
    assert one["fed_pictures_per_s"] == 10
    assert one["model_flop"] == 4_800_000_000
    assert one["utilisation"] == pytest.approx(0.5)
    assert one["datasheet_utilisation"] == pytest.approx(9.6e9 / 989e12)
    import dataclasses

    four = dataclasses.replace(STEP, devices=4)
    assert figures(four, 19.2e9, 1)["utilisation"] == pytest.approx(0.125)
    fake = dataclasses.replace(four, platform="cpu", device_kind="cpu")
    found = figures(fake, 19.2e9, 1)
    assert found["utilisation"] == pytest.approx(0.5)
    assert found["datasheet_flop_per_s"] is found["datasheet_utilisation"] is None


def test_no_process_but_the_first_prints(run, measured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from jaxicm.train import processes

    joined = []
    monkeypatch.setattr(processes, "start_processes", lambda: joined.append(True))
    monkeypatch.setattr(processes, "is_writer", lambda: False)
    done = run("bench", "train", "--distributed", "--devices", "1", "--json", tmp_path / "a.json")
    assert (done.code, done.out) == (0, "")
    assert joined == [True]
    assert not (tmp_path / "a.json").exists()


def test_the_default_is_every_power_of_two_of_real_devices(monkeypatch: pytest.MonkeyPatch):
    import jax

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for present, expected in ((1, [1]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])):
        monkeypatch.setattr(jax, "device_count", lambda present=present: present)
        assert bench_train.default_counts(quick=False) == expected
