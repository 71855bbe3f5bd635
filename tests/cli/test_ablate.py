"""`jaxicm ablate`: the comparison, its table, and mistakes that cost no time."""

import json

import pytest

from jaxicm.cli.ablate import compare, compare_lossless, print_lossless_rows, print_rows
from jaxicm.train.ablation import BASE, Row, Variant

BPP, PSNR, SSIM = [0.1, 0.3, 0.6, 1.0], [27.0, 30.0, 32.5, 35.0], [0.90, 0.95, 0.97, 0.985]


def row(name: str, factor: float, psnr: list[float] = PSNR) -> Row:
    curve = {"quality": [10.0, 30.0, 50.0, 70.0], "bpp": [factor * b for b in BPP], "psnr": psnr, "ms_ssim": SSIM}
    return Row(Variant("rounding", name, (f"objective.rounding={name}",)), 100, 0.25, 1.5, curve)


def test_rows_are_compared_with_the_base():
    base = Row(Variant(BASE, BASE, ()), 200, 0.125, 1.4, row("x", 1.0).curve)
    rows = compare([base, row("noise", 1.1), row("soft", 0.95), row("far", 1.0, [10.0, 11.0, 12.0, 13.0])])
    assert [r["bd_psnr"] for r in rows[:3]] == pytest.approx([0, 10, -5], abs=1e-6)
    assert [r["bd_ms_ssim"] for r in rows[:3]] == pytest.approx([0, 10, -5], abs=1e-6)
    assert rows[3]["bd_psnr"] is None  # no common quality
    json.dumps(rows)


def test_the_table_shows_steps_and_differences(capsys):
    base = Row(Variant(BASE, BASE, ()), 200, 0.125, 1.4, row("x", 1.0).curve)
    print_rows(compare([base, row("noise", 1.1)]), 25.0)
    lines = capsys.readouterr().out.splitlines()
    assert "25 seconds of training each" in lines[0]
    noise = next(line for line in lines if "noise" in line).split()
    assert noise == ["rounding", "noise", "100", "0.25", "1.5000", "+10.00", "+10.00"]


def test_lossless_rows_are_compared_by_bits(capsys):
    coding = {"bpsp": 4.0, "calls": 9, "kmac_per_pixel": 25.55, "side": 256, "encode_s": 1.5, "decode_s": 1.75}
    base = Row(Variant(BASE, BASE, ()), 200, 0.125, 3.9, {}, coding)
    other = Row(Variant("order", "4x4 fixed", ("x=1",)), 100, 0.25, 3.8, {}, coding | {"bpsp": 3.9, "calls": 36})
    rows = compare_lossless([base, other])
    assert [r["difference"] for r in rows] == pytest.approx([0, -2.5])
    json.dumps(rows)
    print_lossless_rows(rows, 25.0)
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "bits/sample" in out and "25 seconds of training each; coding a crop of 256x256" in lines[0]
    order = next(line for line in lines if "order" in line).split()
    assert order == ["order", "4x4", "fixed", "100", "0.25", "3.9000", "-2.50", "36", "25.6", "1.50", "1.75"]


def test_mistakes_are_found_before_time_is_spent(run, tmp_path):
    config = "configs/ablation_recipe.py"
    wrong = run("ablate", config, "--only", "nothing", "--data", tmp_path)
    assert wrong.code == 2 and "--only nothing: no such group or variant; groups are average" in wrong.err
    assert run("ablate", tmp_path / "none.py").code == 2
    unknown = run("ablate", config, "stesp=4", "--data", tmp_path)
    assert unknown.code == 2 and "did you mean 'steps'" in unknown.err
    empty = run("ablate", config, "--data", tmp_path, "--out", tmp_path / "out")
    assert empty.code == 2 and "no training pictures" in empty.err
