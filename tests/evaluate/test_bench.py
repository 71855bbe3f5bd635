"""The benchmark runs and its arithmetic is right; how fast anything is, is not tested."""

import json
import time

import numpy as np
import pytest

from jaxicm.cli.main import main
from jaxicm.evaluate import bench
from jaxicm.evaluate.bench_coder import coder_speeds, message
from jaxicm.evaluate.bench_compressai import compressai_speeds
from jaxicm.media.pictures import write_picture


@pytest.fixture
def picture(tmp_path):
    y, x, c = np.mgrid[0:40, 0:56, 0:3]
    path = tmp_path / "picture.png"
    write_picture(path, (128 + 90 * np.sin(x / 9 + c) * np.cos(y / 7)).astype(np.uint8))
    return path


def test_the_whole_benchmark_runs_on_a_tiny_model(tiny_weights, picture, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SMALL", (48, 80))
    monkeypatch.setattr(bench, "QUICK_SIDE", 96)
    out = tmp_path / "bench.json"
    code = main(["bench", "--model", str(tiny_weights), "--picture", str(picture), "--quick", "--json", str(out)])
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    found = json.loads(out.read_text())
    assert [timed["size"] for timed in found["pictures"]] == [[48, 80], [96, 96]]
    for timed in found["pictures"]:
        assert set(timed["encode"]["parts_s"]) == {"analysis", "entropy", "coder", "file"}
        assert set(timed["decode"]["parts_s"]) == {"coder", "entropy", "synthesis", "file"}
        assert timed["encode"]["mp_per_s"] > 0
    # Python with jax and its libraries takes more than this; a wrong unit would be 1024 times off.
    assert 50e6 < found["peak_bytes"] < 8e9
    assert len(found["start_s"]) == 1
    for words in ("encode 80x48", "decode 96x96", "peak memory", "whole process", "lanes", "kMAC/pixel", "MP/CPU-s"):
        assert words in printed.out


def test_a_timing_is_the_median_and_what_no_part_counts_is_the_file():
    waits = iter([0.0, 0.01, 0.05, 0.01])

    def action():
        wait = next(waits)
        time.sleep(wait)
        return {"work": wait / 2}

    timing = bench.repeat(action, 3, 1000)
    assert timing.parts_s["work"] == 0.005
    assert 0.01 <= timing.wall_s < 0.05
    assert timing.cpu_s < timing.wall_s
    assert timing.summary()["mp_per_s"] == pytest.approx(1e-3 / timing.wall_s)


@pytest.mark.parametrize("shape", [(5, 7, 3), (30, 4, 3), (5, 7)])
def test_a_picture_is_cut_or_mirrored_to_size(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    filled = bench.fill(pixels, 12, 10)
    assert filled.shape == (12, 10, *shape[2:])
    for row in range(12):
        for column in range(10):
            cycle = [list(range(n)) + list(range(n))[::-1] for n in (min(shape[0], 12), min(shape[1], 10))]
            at = cycle[0][row % len(cycle[0])], cycle[1][column % len(cycle[1])]
            assert (filled[row, column] == pixels[at]).all()


def test_the_coder_is_measured_on_a_message_of_about_a_bit_a_symbol():
    found = coder_speeds(20_000, 1)
    assert 0.5 < found["bits_per_symbol"] < 1.5
    assert [row["lanes"] for row in found["lanes"]] == [64, 256, 1024]
    overheads = [row["overhead_percent"] for row in found["lanes"]]
    assert overheads == sorted(overheads)
    assert all(row["decode_msym_per_cpu_s"] > 0 for row in found["lanes"])
    assert found["default"][-1]["overhead_percent"] < 1
    assert message(100)[0].dtype == np.int32


def test_compressai_is_left_out_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert compressai_speeds(np.zeros((64, 64, 3), np.uint8), 1) is None
