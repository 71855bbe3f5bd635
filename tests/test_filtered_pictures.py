"""Pictures and clips of a conventional codec on the command line, from encoding to a report; the codec is a fake."""

import functools
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import jax
import numpy as np
import pytest
from typer.testing import CliRunner

from jaxicm.cli.main import app
from jaxicm.codecs import filter_weights, filtered_clip, plane_filter
from jaxicm.codecs.weights import read_info
from jaxicm.errors import InputError, JaxicmError
from jaxicm.evaluate import filtered
from jaxicm.evaluate.lpips import Lpips
from jaxicm.evaluate.subjects import subject
from jaxicm.media import ffmpeg
from jaxicm.media.clips import read_clip
from jaxicm.media.pictures import read_picture, write_picture
from jaxicm.media.video_codec import INTRA, DecodedClip, Stream
from jaxicm.media.yuv import PlanarFormat, frames_from_bytes, frames_to_bytes, to_planes
from jaxicm.models.filter import PlaneFilter, PlaneFilterConfig, initial_parameters
from jaxicm.models.filter_set import FilterSetConfig
from jaxicm.objectives.machine import MachineDistortion
from jaxicm.tasks import zoo

CONFIG = PlaneFilterConfig(width=4, blocks=1)
HEIGHT, WIDTH = 72, 100


@dataclass(frozen=True)
class Coarse:
    """A codec that keeps planes and darkens luma by the QP over 4; it takes the place of ffmpeg's."""

    name: str = "vvc"
    preset: str = "medium"
    qps: ClassVar[tuple[int, int]] = (0, 63)
    chromas: ClassVar[tuple[str, ...]] = ("420",)
    encodings: ClassVar[list[int]] = []

    @property
    def title(self):
        return self.name.upper()

    def missing(self):
        return None

    def version(self):
        return {"options": self.preset}

    def encode(self, frames, form, qp, structure=INTRA):
        self.encodings.append(qp)
        dark = [(np.maximum(planes[0], qp // 4) - qp // 4, *planes[1:]) for planes in frames]
        return Stream(b"coarse" + frames_to_bytes(dark, form), 0.25)

    def decode(self, data, form):
        return DecodedClip(frames_from_bytes(data[6:], form), 0.5)


@functools.cache
def shifting(level: float) -> dict:
    """Make a filter that adds levels to luma at QP 32."""
    params = jax.tree.map(np.asarray, initial_parameters(CONFIG, 0))

    def moved(bias: float) -> dict:
        return params | {"last": params["last"] | {"bias": np.array([bias] * 4 + [0, 0], np.float32)}}

    planes = np.zeros((1, 16, 16, 1)), np.zeros((1, 8, 8, 2)), np.full(1, 32.0)
    luma, _ = jax.jit(lambda p: PlaneFilter(CONFIG).apply({"params": p}, *planes))(moved(1.0))
    return moved(level / (255 * float(luma[0, 8, 8, 0])))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with two pictures and two sets of filters, and go there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXICM_MODELS", str(tmp_path))
    monkeypatch.setattr(plane_filter, "WINDOWS", ((128, 160),))
    monkeypatch.setattr(ffmpeg, "FfmpegCodec", Coarse)
    monkeypatch.setattr(filtered, "BASES", {"vvc": Coarse()})
    monkeypatch.setattr(Lpips, "load", no_lpips)
    Coarse.encodings.clear()
    sets = {"filter_content": (-8, 8), "filter_vvc": (8,)}
    for name, levels in sets.items():
        members = [shifting(level) for level in levels]
        params = jax.tree.map(lambda *leaves: np.stack(leaves), *members) if len(members) > 1 else members[0]
        config = FilterSetConfig(CONFIG, len(levels))
        path = Path(f"{name}.safetensors")
        filter_weights.write(path, params, config, profile="tiny", trained_on="nothing", provenance={})
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    luma = 128 + 60 * np.sin(x / 9) * np.cos(y / 7)
    Path("set").mkdir()
    write_picture("set/a.png", np.stack([luma, luma, 0.8 * luma], axis=2).astype(np.uint8))
    write_picture("set/b.png", luma.astype(np.uint8))
    return tmp_path


def no_lpips():
    raise InputError("no weights of SqueezeNet")


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def error(name: str) -> float:
    return float(np.square(read_picture(name).pixels.astype(float) - read_picture("set/a.png").pixels).mean())


def test_a_picture_comes_back_better_with_a_filter(place: Path):
    done = run("encode", "set/a.png", "a.jicm", "--codec", "vvc", "--verify", "--block", "32")
    assert done.exit_code == 0, done.output
    assert "QP 32, filter 2 of 2 for the whole picture, PSNR" in done.output and "verified" in done.output
    assert run("encode", "set/a.png", "n.jicm", "--codec", "vvc", "--filter", "none").exit_code == 0
    assert run("encode", "set/a.png", "p.jicm", "--codec", "vvc", "--filter", "plain").exit_code == 0
    for name in "anp":
        assert run("decode", f"{name}.jicm", f"{name}.png").exit_code == 0
    assert error("a.png") < 3 < 40 < error("n.png")
    assert error("p.png") == error("a.png")
    assert Path("a.jicm").stat().st_size - Path("n.jicm").stat().st_size == 8


def test_grey_pictures_and_folders_go_through(place: Path):
    assert run("encode", "set", "coded/", "--codec", "vvc").exit_code == 0
    assert run("decode", "coded", "shown/").exit_code == 0
    assert read_picture("shown/b.png").pixels.shape == (HEIGHT, WIDTH)
    assert read_picture("shown/a.png").pixels.shape == (HEIGHT, WIDTH, 3)


def test_the_stream_and_what_the_file_says(place: Path):
    assert run("encode", "set/a.png", "a.jicm", "--codec", "vvc", "--qp", "33").exit_code == 0
    assert run("extract", "a.jicm", "a.vvc").exit_code == 0
    planes = to_planes(read_picture("set/a.png").pixels, "420", 8)
    assert Path("a.vvc").read_bytes() == Coarse().encode([planes], PlanarFormat(HEIGHT, WIDTH), 33).data
    told = json.loads(run("info", "a.jicm", "--json").output)
    assert told["contents"]["coder"] == "vvc" and told["contents"]["qp"] == 33
    assert [section["kind"] for section in told["sections"]] == ["STREAM", "MAP"]
    assert "the whole picture" in run("info", "a.jicm").output


def test_a_file_of_other_filters_needs_their_file(place: Path, monkeypatch: pytest.MonkeyPatch):
    assert run("encode", "set/a.png", "a.jicm", "--codec", "vvc").exit_code == 0
    monkeypatch.delenv("JAXICM_MODELS")
    done = run("decode", "a.jicm", "a.png")
    assert isinstance(done.exception, JaxicmError) and "not installed" in str(done.exception)
    done = run("decode", "a.jicm", "a.png", "--model", "filter_vvc.safetensors")
    assert isinstance(done.exception, JaxicmError) and "not with filter_vvc" in str(done.exception)
    assert run("decode", "a.jicm", "a.png", "--model", "filter_content.safetensors").exit_code == 0
    done = run("decode", "a.jicm", "a.png", "--decoder", "people")
    assert "--decoder is for files of learned codecs" in str(done.exception)
    done = run("encode", "set/a.png", "b.jicm", "--codec", "vvc", "--filter", "content")
    assert isinstance(done.exception, InputError) and "or --filter none" in str(done.exception)
    assert run("encode", "set/a.png", "b.jicm", "--codec", "vvc").exit_code == 0  # the single one that is shipped


def test_filters_for_machines_are_chosen_by_their_networks(place: Path, monkeypatch: pytest.MonkeyPatch):
    network = f"{Path(__file__).parent / 'train' / 'own_network.py'}:make"
    members = [shifting(level) for level in (-8, 8)]
    filter_weights.write(
        Path("filter_machine.safetensors"),
        jax.tree.map(lambda *leaves: np.stack(leaves), *members),
        FilterSetConfig(CONFIG, 2),
        profile="tiny",
        trained_on="nothing",
        provenance={},
        machine=MachineDistortion(networks=(network,), levels=("grey",)),
    )
    done = run("encode", "set/a.png", "m.jicm", "--codec", "vvc", "--for", "machine", "--verify")
    assert done.exit_code == 0 and "filter 2 of 2 for the whole picture" in done.output
    named = json.loads(run("info", "m.jicm", "--json").output)["contents"]["filter"]
    assert read_info(Path("filter_machine.safetensors")).digest.startswith(named)
    monkeypatch.setattr(zoo, "load_functions", None)  # a decoder has no networks
    assert run("decode", "m.jicm", "m.png").exit_code == 0
    assert error("m.png") < 3


def test_filters_for_machines_without_their_networks(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("JAXICM_TASKS", raising=False)
    filter_weights.write(
        Path("filter_machine.safetensors"),
        shifting(8),
        FilterSetConfig(CONFIG),
        profile="tiny",
        trained_on="nothing",
        provenance={},
        machine=MachineDistortion(networks=("yolox_nano",)),
    )
    done = run("encode", "set/a.png", "m.jicm", "--codec", "vvc", "--for", "machine")
    assert isinstance(done.exception, InputError) and "JAXICM_TASKS" in str(done.exception)
    assert not Path("m.jicm").exists()


def test_plain_takes_a_single_filter(place: Path):
    done = run("encode", "set/a.png", "a.jicm", "--codec", "vvc", "--filter", "plain", "--model", "filter_content")
    assert "is a set of 2" in str(done.exception)


def test_decode_writes_clips_too(place: Path):
    frames = [to_planes(read_picture("set/a.png").pixels, "420", 8)] * 2
    clip = filtered_clip.Clip(frames, PlanarFormat(HEIGHT, WIDTH), Fraction(25))
    Path("clip.jicm").write_bytes(filtered_clip.encode_clip(clip, 32, coder=Coarse())[0])
    done = run("decode", "clip.jicm", "clip.y4m")
    assert done.exit_code == 0 and "2 frames of 100x72" in done.output
    assert len(read_clip("clip.y4m").frames) == 2
    assert run("video", "decode", "clip.jicm", "again.y4m").exit_code == 0
    assert Path("again.y4m").read_bytes() == Path("clip.y4m").read_bytes()
    for target in ("clip.png", "-"):
        done = run("decode", "clip.jicm", target)
        assert isinstance(done.exception, JaxicmError) and "holds a clip" in str(done.exception)
    assert run("decode", "clip.jicm", "x.y4m", "--model", "filter_vvc").exit_code == 0
    done = run("decode", "clip.jicm", "x.y4m", "--decoder", "machine")
    assert "takes no --decoder" in str(done.exception)
    told = json.loads(run("info", "clip.jicm", "--json").output)
    assert told["contents"] == {"qp": 32, "filter": "none"}


def test_a_run_is_measured_resumed_and_reported(place: Path):
    words = ("set", "--keep", "kept", "--jobs", "1")
    for name in ("vvc+none", "vvc+filter_content", "vvc+filter_content.safetensors:0"):
        out = f"runs/{name.replace(':', '_').replace('.', '_')}.json"
        done = run("eval", name, *words, "--qualities", "32,20", "--out", out)
        assert done.exit_code == 0, done.output + str(done.exception)
    assert len(Coarse.encodings) == 4  # two pictures at two QPs, whatever stands behind them
    found = {path.stem: json.loads(path.read_text()) for path in Path("runs").glob("*.json")}
    plain, content, whole = (
        found[key] for key in ("vvc+none", "vvc+filter_content", "vvc+filter_content_safetensors_0")
    )
    assert plain["codec"]["name"] == "vvc+none" and whole["codec"]["name"] == "vvc+filter_content:0"
    qualities = [{row["quality"]: row["psnr_rgb"] for row in run_["pictures"] if row["picture"] == "a.png"}
                 for run_ in (plain, content)]  # fmt: skip
    assert qualities[1][32.0] > 5 + qualities[0][32.0]
    assert plain["pictures"][0]["encode_parts_s"]["coder"] == 0.75
    done = run("eval", "vvc+filter_content", *words, "--qualities", "32,20,40", "--out", "runs/vvc+filter_content.json")
    assert done.exit_code == 0 and "4 of 6 measurements are in" in done.output
    assert len(Coarse.encodings) == 6
    done = run("report", *sorted(map(str, Path("runs").glob("*.json"))), "--anchor", "vvc+none", "--out", "report.html")
    assert done.exit_code == 0, done.output + str(done.exception)
    assert "vvc+filter_content:0" in Path("report.html").read_text()


def test_names_of_codecs_with_filters(place: Path):
    item = subject("vvc+filter_content:64")
    assert (item.name, item.title) == ("vvc+filter_content:64", "VVC 4:2:0 8 bit + filter_content:64")
    assert item.identity["block"] == 64 and len(item.identity["digest"]) == 64
    assert subject("vvc+none").identity["digest"] == "none"
    assert subject("vvc+none").identity != item.identity
    for setting in (64, -1, 30.5):
        with pytest.raises(JaxicmError, match="QP must be a whole number"):
            item.check(setting)
    for name, says in (
        ("vvc+filter_content:48", "size of blocks"),
        ("vvc+other", "there is no model 'other'"),
        ("vvc+", "there is no model"),
        ("vp9+none", "there is no model"),
    ):
        with pytest.raises(JaxicmError, match=says):
            subject(name)
    with pytest.raises(JaxicmError, match="takes no --fresh"):
        subject("vvc+none", fresh=True)
