"""The benchmark runs and its arithmetic is right; how fast anything is, is not tested."""

import json
import time
from typing import Any

import numpy as np
import pytest

from jaxicm.cli.main import main
from jaxicm.cli.values import MOST_CALLS, parse_counts, parse_shape
from jaxicm.errors import JaxicmError, OptionError
from jaxicm.evaluate import bench, bench_device, bench_picture, bench_process, roofline
from jaxicm.evaluate.bench_coder import coder_speeds, message
from jaxicm.evaluate.bench_compressai import compressai_speeds
from jaxicm.media.pictures import write_picture

NUMBER, OPTIONAL = (int, float), (int, float, type(None))
TIMES = {"wall_s": float, "wall_min_s": float, "cpu_s": float, "repeats": int}
TRANSFER = {way: {"bytes": int, "wall_s": float, "gb_per_s": float} for way in ("to_device", "to_host")}
COMPILED = {"count": int, "seconds": NUMBER, "functions": dict}
SHARES = {"matmul_share": float, "copy_share": float, "roof_share": float, "limit": str}
PRODUCTS = {"gflop_per_s": float, "gflop_per_cpu_s": float, "runs": [{"side": int} | TIMES]}
TOTALS = {"stage": str, "calls": int, "steps": int, "mp_per_s": float, "mp_per_cpu_s": float}
PART = TIMES | {
    "name": str,
    "stage": str,
    "calls": {"encode": int, "decode": int},
    "macs": int,
    "flop": int,
    "moved_bytes": NUMBER,
    "moved_bytes_source": str,
    "gflop_per_s": float,
    "gb_per_s": float,
    "roofline": SHARES,
    "roofline_cpu": SHARES,
    "transfer": TRANSFER,
    "compile": {
        **dict.fromkeys(("trace_s", "lower_s", "compile_s", "compile_cpu_s"), float),
        "memory_bytes": dict.fromkeys(("arguments", "outputs", "temporary", "code"), int),
        "donates": bool,
        "xla_flop": OPTIONAL,
        "xla_bytes": OPTIONAL,
    },
    "sweep": [{"batch": int, "one_call": TIMES, "in_flight": TIMES}],
}
SCHEMA = {
    "format": str,
    "command": str,
    "created": str,
    "versions": dict.fromkeys(("jaxicm", "jax", "jaxlib", "numpy", "python"), str),
    "machine": {
        **dict.fromkeys(("processor", "machine", "platform", "device"), str),
        "cpus": int,
        "load": OPTIONAL,
        "devices": int,
    },
    "model": {"name": str, "digest": str, "parameters": int, "kmac_per_pixel": dict, "steps": int},
    "quality": float,
    "notes": [str],
    "other_work": {"cpus_busy": OPTIONAL, "cpus": int, "disturbed": bool},
    "parts": {
        "size": [int],
        "roof": {
            "matmul": {"float32": PRODUCTS, "bfloat16": PRODUCTS},
            "copy": {"array_bytes": int, "gb_per_s": float, "gb_per_cpu_s": float},
            "call_s": float,
        },
        "parts": [PART],
        "picture": {"encode": [TOTALS], "decode": [TOTALS]},
        "compilations": {"encode": COMPILED, "decode": COMPILED, "again": COMPILED, "unknown": [str]},
        "transfer": TRANSFER,
        "device_memory": (dict, type(None)),
    },
}


def check(value: Any, schema: Any, where: str = "") -> None:
    """Assert that JSON has the keys and types of a schema; lists hold one schema for all their entries."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        assert schema.keys() <= value.keys(), where
        for key, part in schema.items():
            check(value[key], part, f"{where}/{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        for index, entry in enumerate(value):
            check(entry, schema[0], f"{where}/{index}")
    else:
        assert isinstance(value, schema), where


@pytest.fixture
def picture(tmp_path):
    y, x, c = np.mgrid[0:40, 0:56, 0:3]
    path = tmp_path / "picture.png"
    write_picture(path, (128 + 90 * np.sin(x / 9 + c) * np.cos(y / 7)).astype(np.uint8))
    return path


@pytest.fixture
def small(monkeypatch):
    """Make everything that takes time small."""
    monkeypatch.setattr(bench, "SMALL", (48, 80))
    monkeypatch.setattr(bench, "QUICK_SIDE", 96)
    monkeypatch.setattr(bench_device, "QUICK_ROOF_BUDGET_S", 0.02)
    monkeypatch.setattr(roofline, "COPY_BYTES", {"cpu": 1 << 20})


def test_the_whole_benchmark_runs_on_a_tiny_model(tiny_weights, picture, tmp_path, small, capsys):
    out = tmp_path / "bench.json"
    options = ["--quick", "--size", "160x80", "--batch", "1,2", "--json", str(out)]
    code = main(["bench", "--model", str(tiny_weights), "--picture", str(picture), *options])
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    found = json.loads(out.read_text())
    check(found, SCHEMA)
    assert [timed["size"] for timed in found["pictures"]] == [[48, 80], [96, 96]]
    for timed in found["pictures"]:
        assert set(timed["encode"]["parts_s"]) == {"analysis", "entropy", "coder", "file"}
        assert set(timed["decode"]["parts_s"]) == {"coder", "entropy", "synthesis", "file"}
        assert timed["encode"]["mp_per_s"] > 0
    # Python with jax and its libraries takes more than this; a wrong unit would be 1024 times off.
    assert 50e6 < found["peak_bytes"] < 8e9
    assert len(found["start_s"]) == 1
    assert found["notes"] == []
    assert (
        found["command"] == f"jaxicm bench --model {tiny_weights} --quality 50 --size 160x80 --batch 1,2 "
        f"--picture {picture} --quick"
    )
    parts = found["parts"]
    assert parts["size"] == [80, 160]
    assert [row["stage"] for row in parts["parts"]] == ["analysis", "entropy", "entropy", "synthesis"]
    for row in parts["parts"]:
        assert row["flop"] == 2 * row["macs"] > 0
        assert row["gflop_per_s"] == pytest.approx(row["flop"] / row["wall_s"] / 1e9)
        assert [swept["batch"] for swept in row["sweep"]] == [1, 2]
    for way, stages in (("encode", ["analysis", "entropy", "sum"]), ("decode", ["entropy", "synthesis", "sum"])):
        rows = parts["picture"][way]
        assert [row["stage"] for row in rows] == stages
        assert rows[-1]["wall_s"] == pytest.approx(rows[0]["wall_s"] + rows[1]["wall_s"])
        assert rows[-1]["mp_per_s"] == pytest.approx(160 * 80 / 1e6 / rows[-1]["wall_s"])
        assert next(row for row in rows if row["stage"] == "entropy")["steps"] == found["model"]["steps"] == 14
        assert parts["compilations"][way]["count"] == 3
    words = ("encode 80x48", "decode 96x96", "peak memory", "whole process", "lanes", "kMAC/pixel", "MP/CPU-s")
    for word in (*words, "% of matmul", "trunk 128 rows", "in flight", "compiles 3 functions", "GFLOP/s", "bfloat16"):
        assert word in printed.out


def test_the_parts_alone(tiny_weights, picture, tmp_path, small, monkeypatch, capsys):
    monkeypatch.setattr(bench_device, "part_speeds", lambda *_, **__: {"roof": "measured"})
    found = bench.bench(str(tiny_weights), np.zeros((8, 8, 3), np.uint8), parts_only=True)
    assert found["parts"] == {"roof": "measured"}
    assert not {"pictures", "coder", "compressai", "start_s"} & found.keys()


def test_a_device_that_serves_one_process_costs_a_note_only(tiny_weights, small, monkeypatch):
    def fail(*_):
        raise JaxicmError("the device is in use")

    monkeypatch.setattr(bench_process, "peak_memory", fail)
    monkeypatch.setattr(bench_device, "part_speeds", lambda *_, **__: {})
    found = bench.bench(str(tiny_weights), np.zeros((8, 8, 3), np.uint8), quick=True)
    assert found["peak_bytes"] is None
    assert found["notes"] == ["memory and start of a new process were not measured: the device is in use"]
    assert found["coder"]["lanes"]


def test_sizes_and_batches_are_read():
    assert parse_shape("768x512") == (512, 768)
    assert parse_shape(" 16384X1") == (1, 16384)
    assert parse_counts("8,1, 2,", "--batch", MOST_CALLS) == [1, 2, 8]
    for text in ("768", "0x5", "5x20000", "axb", ""):
        with pytest.raises(OptionError, match="write width x height"):
            parse_shape(text)
    for text in ("", "0,1", "1;2", "5000", "1.5"):
        with pytest.raises(OptionError, match="list of numbers from 1 to 4096"):
            parse_counts(text, "--batch", MOST_CALLS)


def test_a_timing_is_the_median_and_what_no_part_counts_is_the_file():
    waits = iter([0.0, 0.01, 0.05, 0.01])

    def action():
        wait = next(waits)
        time.sleep(wait)
        return {"work": wait / 2}

    timing = bench_picture.repeat(action, 3, 1000)
    assert timing.parts_s["work"] == 0.005
    assert 0.01 <= timing.wall_s < 0.05
    assert timing.cpu_s < timing.wall_s
    assert timing.summary()["mp_per_s"] == pytest.approx(1e-3 / timing.wall_s)


@pytest.mark.parametrize("shape", [(5, 7, 3), (30, 4, 3), (5, 7)])
def test_a_picture_is_cut_or_mirrored_to_size(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    filled = bench_picture.fill(pixels, 12, 10)
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
