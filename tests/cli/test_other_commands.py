"""`jaxicm demo`, `train` and `freeze` parse and call; their work is tested elsewhere."""

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
