"""`jaxicm ablate`: the comparison, its table, and mistakes that cost no time."""

import json
from pathlib import Path

import pytest

from jaxicm.cli.ablate import choose_variants, compare, compare_lossless, print_lossless_rows, print_rows
from jaxicm.media.pictures import write_picture
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


def test_a_codec_of_one_rate_is_compared_at_its_point():
    base = Row(Variant(BASE, BASE, ()), 200, 0.125, 1.4, row("x", 1.0).curve)
    points = [{"quality": [30.0], "bpp": [0.27], "psnr": [db], "ms_ssim": [0.95]} for db in (30.0, 36.0)]
    alone = [Row(Variant("rates", "30 alone", ("quality_min=30",)), 200, 0.125, 1.2, point) for point in points]
    rows = compare([base, *alone])
    assert rows[1]["bd_psnr"] == pytest.approx(-10) and rows[1]["bd_ms_ssim"] == pytest.approx(-10)
    assert rows[2]["bd_psnr"] is None, "the base's curve ends at 35 dB"


def test_the_table_shows_steps_and_differences(capsys):
    base = Row(Variant(BASE, BASE, ()), 200, 0.125, 1.4, row("x", 1.0).curve)
    print_rows(compare([base, row("noise", 1.1)]), 25.0)
    lines = capsys.readouterr().out.splitlines()
    assert "25 seconds of training each" in lines[0]
    noise = next(line for line in lines if "noise" in line).split()
    assert noise == ["rounding", "noise", "100", "0.25", "1.5000", "+10.00", "+10.00"]


def test_codecs_for_machines_are_compared_by_features(capsys):
    """At equal distance; a tenth of the distance is 10 dB more."""
    far = [1.6, 1.0, 0.5, 0.2]
    plain = row("x", 1.0)
    base = Row(Variant(BASE, BASE, ()), 200, 0.125, 1.4, plain.curve | {"machine": far})
    other = row("y", 0.9)
    other = Row(other.variant, 100, 0.25, 1.5, other.curve | {"machine": far})
    rows = compare([base, other, plain])
    assert [r["bd_features"] for r in rows[:2]] == pytest.approx([0, -10], abs=1e-6) and rows[2]["bd_features"] is None
    print_rows(rows, 25.0)
    assert "BD-rate features %" in " ".join(capsys.readouterr().out.split())


def test_judges_need_pictures_and_their_truth(run, tmp_path):
    done = run("ablate", "configs/ablation_icm.py", "--data", tmp_path, "--task", "yolox_nano")
    assert done.code == 2 and "--task, --pictures and --annotations go together" in done.err
    words = ("--task", "yolox_nano", "--pictures", tmp_path, "--annotations", tmp_path / "a.json")
    done = run("ablate", "configs/ablation_recipe.py", "--data", tmp_path, *words)
    assert done.code == 2 and "judges codecs for machines" in done.err


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


def test_the_base_is_always_chosen():
    rows = [Variant(BASE, BASE, ()), *(Variant(group, name, ()) for group in "ab" for name in "xy")]
    assert choose_variants(rows, ()) == rows
    assert choose_variants(rows, ("b", "a/y")) == [rows[0], *rows[2:]]
    assert choose_variants(rows, (BASE,)) == rows[:1]


ROWS = """
from jaxicm.adapt.effort import EFFORTS
from jaxicm.adapt.stage import Stage
from jaxicm.evaluate.latent_ablation import Variant

def adaptations():
    efforts = (Variant("effort", str(n), EFFORTS[n]) for n in (1, 2))
    return (Variant("none", "none"), *efforts, Variant("tuned", "ms-ssim", EFFORTS[1], "ms-ssim"))
"""


@pytest.fixture
def rows_file(tmp_path, pixels, monkeypatch) -> Path:
    """Make a folder with a picture and a file of adaptations, and go there."""
    monkeypatch.chdir(tmp_path)
    write_picture("photo.png", pixels)
    Path("rows.py").write_text(ROWS)
    return Path("rows.py")


def test_adaptations_are_compared_without_training(run, rows_file, fake_codec):
    words = (
        "ablate",
        rows_file,
        "--data",
        "photo.png",
        "--qualities",
        "20,50,80",
        "--only",
        "effort",
        "--json",
        "a.json",
    )
    done = run(*words)
    assert (done.code, done.err) == (0, "")
    assert "effort/2: 8 iterations, " in done.out and "J -3.10 %, bpp +0.00 %, PSNR +0.000 dB" in done.out
    assert "fast, 1 picture, qualities 20, 50, 80; changes against no adaptation" in done.out
    table = [line.split() for line in done.out.splitlines()]
    second = next(cells for cells in table if cells[:2] == ["effort", "2"])
    assert second[2] == "8" and second[4:] == ["-3.10", "+0.00", "+0.000", "+0.00", "+0.00"]
    found = json.loads(Path("a.json").read_text())
    assert [(row["group"], row["name"], row["iterations"]) for row in found] == [
        ("none", "none", 0),
        ("effort", "1", 8),
        ("effort", "2", 8),
    ]
    coded = len(fake_codec.adaptations)
    assert run(*words).code == 0 and len(fake_codec.adaptations) == coded, "all of it is in runs/rows/latents.jsonl"
    assert run(*words, "--only", "tuned").code == 0
    assert {tune for _, tune, _ in fake_codec.adaptations[coded:]} == {"ms-ssim"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--data", "photo.png", "--budget", "5"),
            "rows.py compares adaptations and takes no --budget; leave that out",
        ),
        (("batch=2", "--budget", "5"), "takes no --budget or KEY=VALUE"),
        ((), "nothing to code; name pictures or folders with --data"),
        (("--data", "none.png"), "none.png: no such file or folder"),
        (("--data", "photo.png", "--qualities", "0,50"), "--qualities must lie from 1 to 100, got 0,50"),
        (("--data", "photo.png", "--qualities", "x"), "--qualities 'x' is not a list of numbers"),
        (("--data", "photo.png", "--only", "effort/3"), "--only effort/3: no such group or variant; groups are effort"),
        (("--data", "photo.png", "--model", "slow"), "there is no model 'slow'"),
        (("--data", "photo.png", "--model", "lossless_fast"), "--model lossless_fast is lossless"),
    ],
)
def test_options_of_the_other_kind_and_mistakes_are_told(run, rows_file, words, says):
    done = run("ablate", rows_file, *words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert says in done.err


def test_an_unknown_objective_is_found_before_time_is_spent(run, rows_file, fake_codec):
    rows_file.write_text(ROWS.replace('"ms-ssim")', '"beauty")'))
    done = run("ablate", rows_file, "--data", "photo.png")
    assert (done.code, fake_codec.adaptations) == (2, [])
    assert "tune: there is no objective 'beauty'; there are mse, ms-ssim, mixed" in done.err


def test_training_takes_no_options_of_adaptations(run):
    done = run(
        "ablate", Path(__file__).parents[2] / "configs/ablation_recipe.py", "--model", "fast", "--qualities", "5"
    )
    assert done.code == 2 and "ablation_recipe.py trains and takes no --model or --qualities" in done.err


def test_an_interruption_tells_how_to_go_on(run, rows_file, fake_codec, monkeypatch):
    original, left = fake_codec.encode_detail, iter(range(2))

    def encode(*arguments, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    monkeypatch.setattr(fake_codec, "encode_detail", encode)
    done = run("ablate", rows_file, "--data", "photo.png", "--out", "out")
    assert done.code == 130 and "all finished measurements are in out/latents.jsonl; give the same command" in done.err
    assert len(Path("out/latents.jsonl").read_text().splitlines()) == 1
