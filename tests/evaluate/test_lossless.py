"""The learned lossless codec under test: encoded, decoded here and in a new process, measured, reported."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from jaxicm.cli.main import main
from jaxicm.errors import OptionError
from jaxicm.evaluate.subjects import LearnedLossless, subject
from jaxicm.media.exact_pictures import read_exact, write_exact
from jaxicm.media.pictures import write_picture

NAME = "evaluated_lossless"


@pytest.fixture(scope="module")
def weights(private_folders):
    """Install a lossless codec whose parameters are random."""
    from jaxicm.entropy.pixels import PixelConfig
    from jaxicm.models.lossless import LosslessConfig, initial_parameters
    from jaxicm.train.freeze import freeze_parameters

    path = private_folders / "models" / f"{NAME}.safetensors"
    config = LosslessConfig(PixelConfig(scales=3, taps=12, hidden=16, layers=1, head=16, mixtures=1))
    parameters = initial_parameters(config, 0)
    freeze_parameters(parameters, config, path, profile="tiny", trained_on="nothing", provenance={})
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory, photograph):
    """Write a photograph in colours, one in grey, and a drawing."""
    folder = tmp_path_factory.mktemp("pictures")
    write_picture(folder / "colour.png", photograph(70, 90))
    write_picture(folder / "grey.png", np.ascontiguousarray(photograph(64, 80, 1)[..., 0]))
    write_picture(folder / "flat.png", np.full((64, 80, 3), 9, np.uint8))
    return folder


@dataclass
class Counting:
    """A codec that counts its calls."""

    info: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(name="x", digest="00", parameters=1, kmac_per_pixel={}, steps=1)
    )
    calls: list[str] = field(default_factory=list)

    def encode_detail(self, samples, effort):
        assert effort == 0
        self.calls.append("encode")
        return SimpleNamespace(data=samples.tobytes(), timings_s={"coder": 1.0})

    def decode_detail(self, data):
        self.calls.append("decode")
        return SimpleNamespace(samples=np.frombuffer(data, np.uint8).reshape(3, 5), timings_s={"entropy": 2.0})


def test_the_first_picture_of_a_size_warms_up_before_the_clock_starts():
    codec, pixels = Counting(), np.arange(15, dtype=np.uint8).reshape(3, 5)
    item = LearnedLossless(codec)
    encoded = item.encode(pixels, 0)
    decoded = item.decode(encoded.data, 3, 5, grey=True)
    np.testing.assert_array_equal(decoded.pixels, pixels)
    assert (encoded.parts_s, decoded.parts_s) == ({"coder": 1.0}, {"entropy": 2.0})
    item.encode(pixels, 0)
    assert codec.calls == ["encode", "decode", "encode", "decode", "encode"]


def test_there_is_one_setting():
    item = LearnedLossless(Counting())
    assert item.default == (0.0,)
    item.check(0)
    with pytest.raises(OptionError, match="a whole number from 0 to 9; got 50"):
        item.check(50)


def test_every_sample_comes_back_here_and_in_a_new_process(weights, photograph):
    pixels, item = photograph(40, 50), subject(NAME, fresh=True)
    assert isinstance(item, LearnedLossless)
    data = item.encode(pixels, 0).data
    for decoded in (item.decode(data, 40, 50), item.decode_together([data])[0]):
        np.testing.assert_array_equal(decoded.pixels, pixels)
    assert item.figures["steps"] > 0


def test_a_run_has_one_point_with_bits_per_sub_pixel(weights, folder, tmp_path, capfd):
    assert main(["eval", NAME, str(folder), "--out", str(tmp_path / "run.json")]) == 0
    printed = capfd.readouterr().out
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["results"]["quality"] == [0.0]
    samples = {"colour.png": 70 * 90 * 3, "grey.png": 64 * 80, "flat.png": 64 * 80 * 3}
    rates = {row["picture"]: row["bpsp"] for row in run["pictures"]}
    assert rates == {
        row["picture"]: pytest.approx(8 * row["size_bytes"] / samples[row["picture"]]) for row in run["pictures"]
    }
    assert run["results"]["bpsp"] == [pytest.approx(np.mean(list(rates.values())))]
    assert "psnr-rgb" not in run["results"]
    assert f"bpp, {rates['grey.png']:.4f} bpsp, every sample came back" in printed
    assert "bpsp" in printed
    assert "entropy" in printed
    report = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "run.json"), "--out", str(report)]) == 0
    assert "Lossless rates" in report.read_text()
    assert f"{run['results']['bpsp'][0]:.4f}" in report.read_text()


@pytest.mark.parametrize(
    "layout", [(3, np.uint8), (1, np.uint8), (2, np.uint8), (4, np.uint8), (1, np.uint16), (4, np.uint16)], ids=str
)
def test_the_command_line_keeps_every_sample(weights, photograph, tmp_path, layout, capfd):
    """The commands' own tests have a codec without networks; this one has the real one."""
    channels, dtype = layout
    cube = np.dstack([photograph(70, 90), photograph(70, 90, 1)])[..., :channels].astype(dtype)
    samples = cube * dtype(200 if dtype == np.uint16 else 1) + dtype(1)
    samples = samples[..., 0] if channels == 1 else samples
    write_exact(tmp_path / "a.png", samples)
    assert main(["encode", str(tmp_path / "a.png"), str(tmp_path / "a.jicm"), "--model", NAME, "--verify"]) == 0
    captured = capfd.readouterr()
    assert "bpsp, verified, 90x70, " in captured.out
    for words in ([], ["--model", NAME]):
        assert main(["decode", str(tmp_path / "a.jicm"), str(tmp_path / "b.png"), *words]) == 0
        found = read_exact(tmp_path / "b.png").samples
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, samples)
    assert main(["info", str(tmp_path / "a.jicm")]) == 0
    assert f"bit_depth {8 * samples.itemsize}" in capfd.readouterr().out
