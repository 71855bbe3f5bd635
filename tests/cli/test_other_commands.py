"""`jaxicm demo`, `train` and `freeze` parse and call, their work is tested elsewhere; `progress` reads logs."""

import json
import sys
import types

import numpy as np
import pytest

import jaxicm.train
from jaxicm.cli.demo import sample_picture
from jaxicm.evaluate.fresh import FreshDecoder
from jaxicm.media.pictures import read_picture, write_picture


@pytest.fixture
def in_process(monkeypatch, fake_codec):
    """Let the "second process" be this one: the fake codec lives only here."""
    calls = []

    def decode(self, files):
        calls.append((self.model, len(files)))
        return [fake_codec.decode(data) for data in files]

    monkeypatch.setattr(FreshDecoder, "decode", decode)
    return calls


def test_the_demo_compares_and_writes_a_sheet(run, tmp_path, pixels, in_process):
    write_picture(tmp_path / "a.png", pixels)
    done = run("demo", tmp_path / "a.png", "--out", tmp_path / "deep/demo", "-q", 70)
    assert (done.code, done.err) == (0, "")
    assert in_process == [(None, 1)]
    for word in ("jaxicm fast (quality 70)", "AVIF (quality", "WebP (quality", "JPEG (quality", "MS-SSIM"):
        assert word in done.out
    assert read_picture(tmp_path / "deep/demo/decoded.png").pixels.shape == pixels.shape
    assert read_picture(tmp_path / "deep/demo/sheet.png").pixels.shape[1] > 4 * 384
    assert (tmp_path / "deep/demo/picture.jicm").exists()


def test_the_demo_goes_on_without_a_codec_that_is_not_installed(run, tmp_path, pixels, in_process, monkeypatch):
    monkeypatch.delenv("JAXICM_VTM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    write_picture(tmp_path / "a.png", pixels)
    done = run("demo", tmp_path / "a.png", "--out", tmp_path / "demo", "--against", "vtm, jpeg")
    assert done.code == 0
    assert "note: VTM needs EncoderAppStatic" in done.err
    assert "JPEG (quality" in done.out
    assert "AVIF" not in done.out


def test_the_sample_picture_is_a_photograph_of_an_installed_package():
    assert read_picture(sample_picture()).pixels.size > 500_000


def test_train_passes_its_arguments_on(run, tmp_path, monkeypatch):
    calls = []
    command = types.ModuleType("jaxicm.train.command")
    command.__dict__.update(train=lambda *arguments: calls.append(arguments))
    monkeypatch.setitem(sys.modules, "jaxicm.train.command", command)
    monkeypatch.setattr(jaxicm.train, "command", command, raising=False)
    config = tmp_path / "c.py"
    config.write_text("")
    assert run("train", config, "steps=5", "lr=1e-3", "--out", tmp_path, "--data", tmp_path, "--resident").code == 0
    assert run("train", config, "--resume").code == 0
    assert calls == [
        (config, ["steps=5", "lr=1e-3"], tmp_path, [str(tmp_path)], False, True),
        (config, [], None, [], True, False),
    ]


def test_freeze_passes_its_arguments_on(run, tmp_path, monkeypatch):
    freezing = types.ModuleType("jaxicm.train.freeze")
    freezing.__dict__.update(freeze=lambda folder, out, curve: out.write_bytes(b"12345" + str(curve).encode()))
    monkeypatch.setitem(sys.modules, "jaxicm.train.freeze", freezing)
    monkeypatch.setattr(jaxicm.train, "freeze", freezing, raising=False)
    out = tmp_path / "w.safetensors"
    assert run("freeze", tmp_path, out).out == f"{out}: 9 bytes\n"
    assert out.read_bytes() == b"12345None"
    run("freeze", tmp_path, out, "--curve", "table.json")
    assert out.read_bytes() == b"12345table.json"


def test_a_grey_picture_has_a_demo_too(run, tmp_path, pixels, in_process):
    write_picture(tmp_path / "a.png", np.ascontiguousarray(pixels[..., 0]))
    assert run("demo", tmp_path / "a.png", "--out", tmp_path / "demo").code == 0


def _write_log(folder, events):
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def _validation(step, share, **more):
    bpp = [share * rate for rate in (0.25, 0.5, 1.0, 2.0)]
    return {"event": "validation", "step": step, "loss": share, "bpp": bpp, "psnr": [28.0, 31.0, 34.0, 38.0], **more}


def test_progress_tells_hours_over_all_processes_and_bd_rates(run, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    start, hour = {"event": "start", "step": 0}, {"event": "train", "step": 1, "time_s": 3600.0}
    _write_log(first, [start, _validation(0, 2.0), hour, _validation(1, 1.25), start, hour, _validation(2, 1.0)])
    _write_log(second, [start, hour, {"event": "validation", "step": 7, "loss": 3.5}])
    done = run("progress", first, second, "--json", tmp_path / "all.json")
    assert done.code == 0 and "+25.0" in done.out and "3.5000" in done.out
    rows = json.loads((tmp_path / "all.json").read_text())
    assert [row["hours"] for row in rows] == [0.0, 1.0, 2.0, 1.0]
    np.testing.assert_allclose([row["bd_rate"] for row in rows[:3]], [100.0, 25.0, 0.0], atol=1e-3)
    assert rows[3]["bd_rate"] is None
    run("progress", first, "--anchor", first, "--json", tmp_path / "same.json")
    assert json.loads((tmp_path / "same.json").read_text()) == rows[:3]


def test_progress_of_a_run_without_validations_is_an_error(run, tmp_path):
    _write_log(tmp_path, [{"event": "start", "step": 0}])
    done = run("progress", tmp_path)
    assert done.code == 2 and "holds no validation" in done.err
