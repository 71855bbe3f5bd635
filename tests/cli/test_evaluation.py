"""`jaxicm eval`: tables and the run file, going on after an interruption, and what it says when a tool is missing."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import InputError, MissingDependency
from jaxicm.evaluate import accuracy
from jaxicm.evaluate.anchors import ANCHORS
from jaxicm.evaluate.fresh import FreshDecoder
from jaxicm.evaluate.lpips import Lpips
from jaxicm.evaluate.published import curves
from jaxicm.media.pictures import write_picture


@pytest.fixture(autouse=True)
def without_lpips(monkeypatch) -> None:
    """Let no weights be found, wherever this machine has some."""

    def load(*arguments: object) -> None:
        raise InputError("no weights of SqueezeNet")

    monkeypatch.setattr(Lpips, "load", load)


@pytest.fixture
def place(tmp_path, pixels, monkeypatch) -> Path:
    """Make a folder of two pictures and go there."""
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()
    write_picture("set/a.png", pixels)
    write_picture("set/b.png", pixels[::-1].copy())
    return tmp_path


def read(name: str) -> dict:
    return json.loads(Path(name).read_text())


def test_a_learned_codec_is_measured_and_every_number_written(run, place):
    done = run("eval", "fast", "set", "--qualities", "20,60,90", "--out", "runs/x.json", "--label", "order=2x2")
    assert (done.code, done.err) == (0, "jaxicm: note: no LPIPS: no weights of SqueezeNet\n")
    for words in (
        "a.png  20: ",
        "b.png  20: ",
        "mean of 2 pictures, jaxicm fast",
        "encode, median ms a picture: analysis",
    ):
        assert words in done.out
    assert done.out.endswith("no BD-rate: there is no published curve of these pictures\n")
    found = read("runs/x.json")
    assert found["results"]["quality"] == [20, 60, 90]
    assert len(found["pictures"]) == 6
    assert found["codec"]["identity"] == {"digest": "0123456789abcdef0123"}
    assert (found["codec"]["parameters"], found["codec"]["steps"]) == (1_234_567, 7)
    assert found["description"] == "jaxicm fast, weights 01234567"
    assert found["labels"] == {"order": "2x2"}
    assert found["data"]["folder"] == "set"
    assert found["pictures"][0]["decode_parts_s"] == {"coder": 0.002, "synthesis": 0.003}


def test_files_are_decoded_in_a_second_process(run, place, fake_codec, monkeypatch):
    calls = []

    def decode(self, files):
        calls.append((self.model, len(files)))
        return [fake_codec.decode(data) for data in files]

    monkeypatch.setattr(FreshDecoder, "decode", decode)
    assert run("eval", "fast", "set", "--qualities", "20,60,90", "--out", "x.json", "--fresh").code == 0
    assert calls == [(None, 3), (None, 3)]
    assert read("x.json")["fresh"] is True
    assert "decoding_time" not in read("x.json")["results"]


def test_a_conventional_codec_is_measured_at_several_scales(run, place):
    words = ("eval", "jpeg", "set", "--qualities", "30,80", "--scales", "100,50", "--out", "x.json", "--jobs", "1")
    done = run(*words, "--crops", "1")
    assert done.code == 0
    assert "30 at 50 %" in done.out
    assert "encode CPU s" in done.out
    found = read("x.json")
    assert sorted(zip(found["results"]["quality"], found["results"]["scale"], strict=True)) == [
        (30.0, 50), (30.0, 100), (80.0, 50), (80.0, 100)
    ]  # fmt: skip
    assert found["codec"]["kind"] == "conventional"
    assert all(Path(crop["decoded"]).is_file() for crop in found["crops"])
    assert len(found["crops"]) == 4


def test_without_a_file_the_tables_are_printed_all_the_same(run, place):
    done = run("eval", "jpeg", "set", "--qualities", "30", "--jobs", "1")
    assert done.code == 0
    assert "mean of 2 pictures, JPEG" in done.out
    assert [path.name for path in Path().iterdir()] == ["set"]


def test_an_interrupted_run_tells_how_to_go_on_and_does(run, place, fake_codec, monkeypatch):
    words = ("eval", "fast", "set", "--qualities", "20,60,90")
    original, encoded = type(fake_codec).encode_detail, []

    def impatient(self, image, **options):
        encoded.append(options["quality"])
        if len(encoded) == 4:
            raise KeyboardInterrupt
        return original(self, image, **options)

    monkeypatch.setattr(type(fake_codec), "encode_detail", impatient)
    done = run(*words, "--out", "x.json")
    assert done.code == 130
    assert done.err.splitlines()[1:] == [
        "jaxicm: interrupted: all finished measurements are in x.jsonl; give the same command again to go on"
    ]
    assert not Path("x.json").exists()
    kept = Path("x.jsonl").read_text().count('"kind": "point"')
    assert kept == 2, "the first encoding of a size is for warming up"
    done = run(*words, "--out", "x.json")
    assert done.code == 0
    assert "2 of 6 measurements are in x.jsonl already" in done.err
    assert encoded[4:] == [90.0, 90.0, 20.0, 60.0, 90.0], "the finished ones are not coded again; one warms up"
    assert len(read("x.json")["pictures"]) == 6

    encoded[:] = [0.0] * 3
    done = run(*words)
    assert done.code == 130
    assert "jaxicm: interrupted: nothing is kept without --out" in done.err


def test_another_run_of_the_same_name_is_refused_and_replaced_when_asked(run, place):
    assert run("eval", "fast", "set", "--qualities", "20", "--out", "x.json").code == 0
    words = ("eval", "jpeg", "set", "--qualities", "20", "--out", "x.json", "--jobs", "1")
    refused = run(*words)
    assert refused.code == 2
    assert "its codec was fast, now it is jpeg; name another --out, or begin anew with --overwrite" in refused.err
    assert read("x.json")["name"] == "fast"
    assert run(*words, "--overwrite").code == 0
    assert read("x.json")["name"] == "jpeg"
    Path("x.jsonl").unlink()
    assert "x.json exists, but not the journal of its run" in run(*words).err
    assert run(*words, "--overwrite").code == 0


def test_a_failing_picture_is_told_and_the_others_go_on(run, place, fake_codec, monkeypatch):
    original = type(fake_codec).encode_detail

    def fragile(self, image, **options):
        if options["quality"] == 60:
            raise InputError("too many\npixels")
        return original(self, image, **options)

    monkeypatch.setattr(type(fake_codec), "encode_detail", fragile)
    done = run("eval", "fast", "set", "--qualities", "20,60", "--out", "x.json")
    assert done.code == 2
    assert done.err.splitlines()[1:] == [
        "jaxicm: error: a.png, quality 60, scale 100 %: too many pixels",
        "jaxicm: error: b.png, quality 60, scale 100 %: too many pixels",
        "jaxicm: error: 2 failed; the same command tries them again",
    ]
    assert read("x.json")["results"]["quality"] == [20]


def test_lpips_has_its_column_where_its_weights_are_at_hand(run, place, monkeypatch):
    class Distance:
        digest = "1234"

        def __call__(self, a, b):
            return float(np.abs(a.astype(int) - b).mean())

    monkeypatch.setattr(Lpips, "load", Distance)
    done = run("eval", "jpeg", "set", "--qualities", "20,60", "--jobs", "1", "--out", "x.json")
    assert (done.code, done.err) == (0, "")
    assert "LPIPS" in done.out
    found = read("x.json")
    assert found["results"]["lpips"] == pytest.approx(
        [np.mean([row["lpips"] for row in found["pictures"] if row["quality"] == quality]) for quality in (20, 60)]
    )
    Distance.digest = "5678"
    assert "lpips had other weights" in run("eval", "jpeg", "set", "--out", "x.json").err


def test_a_missing_codec_is_one_line_with_the_command_that_installs_it(run, place, monkeypatch):
    line = "JPEG needs patience: pip install 'jaxicm[anchors]'"
    monkeypatch.setattr(type(ANCHORS["jpeg"]), "missing", lambda self: line)
    done = run("eval", "jpeg", "set")
    assert (done.code, done.out, done.err) == (2, "", f"jaxicm: error: {line}\n")


def test_a_missing_task_is_one_line_and_the_rest_goes_on(run, place, monkeypatch):
    def load_task(name: str) -> None:
        raise MissingDependency(f"{name} needs eyes: pip install 'jaxicm[tasks]'")

    monkeypatch.setattr(accuracy, "load_task", load_task)
    words = ("--task", "some_net", "--task", "checkerboard", "--pseudo")
    done = run("eval", "jpeg", "set", "--qualities", "20,60", "--jobs", "1", "--out", "x.json", *words)
    assert done.code == 0
    assert "jaxicm: note: some_net needs eyes: pip install 'jaxicm[tasks]'\n" in done.err
    assert list(read("x.json")["tasks"]) == ["checkerboard"]
    assert "checkerboard" in done.out


def test_task_figures_are_printed_beside_those_of_the_uncoded_pictures(run, place, monkeypatch):
    class Network:
        name, digest, ground_truth = "net", "1234", "pseudo"

        def observe(self, picture, original, decoded):
            return {"n": 1}

        def summarise(self, observations):
            assert sorted(observations) == ["a.png", "b.png"]
            return {"box_ap": 0.25, "weighted_ap": 0.125, "feature_psnr": 31.5}

        def reference(self):
            return {"box_ap": 0.5, "weighted_ap": 0.375}

    monkeypatch.setattr(accuracy, "observers", lambda *arguments, **options: [Network()])
    done = run("eval", "jpeg", "set", "--qualities", "20", "--jobs", "1", "--task", "net", "--pseudo")
    assert done.code == 0
    assert "net, ground truth: detections on the uncoded pictures" in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert any(row[0] == "20" and row[2:] == ["25.00", "12.50", "31.50"] for row in rows if row)
    assert ["uncoded", "50.00", "37.50", "-"] in rows


def test_the_bd_rate_over_vtm_is_printed_for_its_pictures_only(run, place):
    vtm = curves("kodak")["vtm"]
    done = run("eval", "jpeg", "set", "--qualities", "20,60,90", "--jobs", "1", "--set", "kodak")
    assert f"BD-rate over {vtm.name}, PSNR of RGB: " in done.out
    assert "% of the measured curve" in done.out
    assert run("eval", "jpeg", "set", "--qualities", "20", "--jobs", "1").out.endswith("of these pictures\n")


def test_a_lossless_codec_has_bits_per_sub_pixel_in_place_of_decibels(run, place):
    words = ("--jobs", "1", "--set", "kodak", "--out", "x.json")
    done = run("eval", "png", "set", *words)
    assert done.code == 0
    sizes = [row["size_bytes"] for row in read("x.json")["pictures"]]
    bpsp = np.mean(sizes) * 8 / (40 * 56 * 3)
    (heading,) = [line.split() for line in done.out.splitlines() if line.split()[:1] == ["quality"]]
    assert done.out.splitlines()[0].endswith(" bpsp, every sample came back")
    (row,) = [line.split() for line in done.out.splitlines() if line.split()[:1] == ["0"]]
    assert heading[:4] == ["quality", "bpp", "bpsp", "MS-SSIM"]
    assert row[1:4] == [f"{3 * bpsp:.4f}", f"{bpsp:.4f}", "1.00000"]
    for measure in ("PSNR of RGB", "MS-SSIM in dB"):
        assert f"{measure}: none: pictures came back exactly" in done.out
    assert run("eval", "jpeg", "set", "--qualities", "30,60,90", *words[:-1], "y.json").code == 0
    assert "bpsp" not in read("y.json")["results"]
    reported = run("report", "x.json", "y.json", "--out", "report.html")
    assert reported.code == 0
    assert "PNG" in Path("report.html").read_text()


def test_a_grey_picture_is_measured_too(run, place, pixels):
    Path("grey").mkdir()
    write_picture("grey/c.png", np.ascontiguousarray(pixels[..., 0]))
    for codec in ("fast", "jpeg"):
        assert run("eval", codec, "grey", "--qualities", "20,60", "--jobs", "1").code == 0
