"""`jaxicm encode` and `jaxicm eval` with --effort, --tune, --time-limit and --stages, for codecs with loss."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxicm.adapt.effort import EFFORTS
from jaxicm.adapt.stage import Stage
from jaxicm.cli.stages import load_stages
from jaxicm.errors import ConfigError
from jaxicm.evaluate.fresh import FreshDecoder
from jaxicm.media.pictures import write_picture

PROFILES = sorted((Path(__file__).parents[2] / "configs").glob("latents_*.py"))
STAGES = (Stage("coordinate", iterations=8, check_every=4), Stage("sga", iterations=20))
FILE = """
from jaxicm.adapt.stage import Stage

def config():
    return (Stage("coordinate", iterations=8, check_every=4), Stage("sga", iterations=20))
"""


@pytest.fixture(autouse=True)
def place(tmp_path, pixels, monkeypatch) -> Path:
    """Make a folder with a picture and a file of stages and go there."""
    monkeypatch.chdir(tmp_path)
    write_picture("photo.png", pixels)
    Path("slow.py").write_text(FILE)
    return tmp_path


def test_by_default_nothing_is_adapted(run, fake_codec):
    done = run("encode", "photo.png", "a.jicm")
    assert "cost" not in done.out
    assert fake_codec.adaptations == [(0, None, None)]


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        (("--effort", "3"), (3, None, None)),
        (("--effort", "9", "--tune", "psnr"), (9, "mse", None)),
        (("--effort", "1", "--tune", "ms-ssim", "--time-limit", "2.5"), (1, "ms-ssim", 2.5)),
        (("--effort", "1", "--tune", "squeezenet"), (1, "squeezenet", None)),
        (("--stages", "slow.py", "--tune", "mixed", "--time-limit", "60"), (STAGES, "mixed", 60.0)),
    ],
)
def test_options_reach_the_codec_and_the_gain_is_told(run, fake_codec, words, passed):
    done = run("encode", "photo.png", "a.jicm", *words)
    assert (done.code, done.err) == (0, "")
    assert fake_codec.adaptations == [passed]
    assert ", quality 50, cost -3.1 %, 56x40, " in done.out


def test_a_limit_that_leaves_no_time_is_told(run):
    done = run("encode", "photo.png", "a.jicm", "--effort", "3", "--time-limit", "0.5")
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert "note: photo.png: --time-limit ended before the first iteration; compiling counts" in done.err
    assert ", cost -0.0 %, " in done.out


def test_every_picture_of_several_is_adapted(run, fake_codec, pixels):
    write_picture("second.png", pixels)
    done = run("encode", "photo.png", "second.png", "--out-dir", "out", "--effort", "2", "--bpp", "6")
    assert done.code == 0
    assert done.out.count("cost -3.1 %") == 2
    assert fake_codec.adaptations == [(2, None, None)] * 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", r"slow.py: defines no function config\(\) that returns a tuple of Stage"),
        ("def config(): return 1 / 0", r"slow.py: fails with ZeroDivisionError: .*; correct the file"),
        ("def config(:", r"slow.py: fails with SyntaxError"),
        ("def config(): return 3", r"slow.py: config\(\) returned a int, expected a tuple of Stage"),
        ("def config(): return ()", r"slow.py: config\(\) returned a tuple of 0, expected .* at least one"),
        ("def config(): return (1, 2)", r"slow.py: config\(\) returned a tuple of 2, expected a tuple of Stage"),
        (FILE.replace("=20", "=21"), r"slow.py: stage: iterations = 21, must be a multiple of 10"),
    ],
)
def test_a_wrong_file_of_stages_is_told(run, text, says):
    Path("slow.py").write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_stages(Path("slow.py"))
    done = run("encode", "photo.png", "a.jicm", "--stages", "slow.py")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "slow.py: " in done.err


def test_a_list_of_stages_will_do():
    Path("slow.py").write_text(FILE.replace("return (", "return [").replace("20))", "20)]"))
    assert load_stages(Path("slow.py")) == STAGES


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_each_shipped_file_of_stages_is_read_and_names_its_command(path: Path, run, fake_codec):
    assert sum(stage.iterations for stage in load_stages(path)) >= 30
    assert f"jaxicm encode photo.png photo.jicm --stages configs/{path.name}" in path.read_text()
    assert run("encode", "photo.png", "a.jicm", "--stages", path).code == 0
    assert fake_codec.adaptations == [(load_stages(path), None, None)]


def test_annealing_as_published_has_the_published_temperatures():
    (stage,) = load_stages(next(path for path in PROFILES if path.stem == "latents_sga"))
    rate, temperature, _ = stage.knobs(0, 2001, stage.iterations).T
    published = np.minimum(0.5, np.exp(-1e-3 * (np.arange(2001) - 700)))
    np.testing.assert_allclose(temperature, published, rtol=1e-5)
    np.testing.assert_allclose(rate, 5e-3, rtol=1e-6)


def read(name: str) -> dict:
    return json.loads(Path(name).read_text())


def test_eval_measures_with_an_effort_and_the_run_says_so(run, fake_codec):
    done = run("eval", "fast", "photo.png", "--qualities", "20,60", "--effort", "7", "--out", "x.json")
    assert done.code == 0
    assert "mean of 1 picture, jaxicm fast, effort 7" in done.out
    assert "encode, median ms a picture: analysis 1.0, adaptation 500.0, coder 2.0" in done.out
    found = read("x.json")
    assert (found["name"], found["codec"]["title"]) == ("fast-e7", "jaxicm fast, effort 7")
    assert found["description"] == "jaxicm fast, effort 7, weights 01234567"
    assert found["codec"]["adaptation"]["effort"] == 7
    assert [Stage(**stage) for stage in found["codec"]["adaptation"]["stages"]] == list(EFFORTS[7])
    assert found["pictures"][0]["encode_parts_s"] == {"analysis": 0.001, "coder": 0.002, "adaptation": 0.5}
    warming, *timed = [effort for effort, _, _ in fake_codec.adaptations]
    assert timed == [7, 7]
    assert {stage.iterations for stage in warming} == {stage.check_every for stage in EFFORTS[7]}


def test_eval_takes_stages_and_an_objective(run, fake_codec):
    words = ("--qualities", "20", "--stages", "slow.py", "--tune", "psnr", "--out", "x.json")
    assert run("eval", "fast", "photo.png", *words).code == 0
    assert fake_codec.adaptations[-1] == (STAGES, "mse", None)
    found = read("x.json")
    assert (found["name"], found["codec"]["title"]) == ("fast-slow-psnr", "jaxicm fast, stages slow, tune psnr")


def test_runs_of_different_efforts_do_not_mix(run):
    words = ("eval", "fast", "photo.png", "--qualities", "20", "--out", "x.json")
    assert run(*words, "--effort", "2").code == 0
    assert "1 of 1 measurements are in x.jsonl already" in run(*words, "--effort", "2").err
    for other in ((), ("--effort", "3"), ("--effort", "2", "--tune", "ms-ssim"), ("--stages", "slow.py")):
        refused = run(*words, *other)
        assert refused.code == 2
        assert "its codec was fast-e2, now it is fast" in refused.err
    assert run(*words, "--stages", "slow.py", "--overwrite").code == 0
    Path("slow.py").write_text(FILE.replace("=20", "=30"))
    assert "its codec's identity was " in run(*words, "--stages", "slow.py").err


def test_eval_without_effort_is_the_run_it_was(run):
    assert run("eval", "fast", "photo.png", "--qualities", "20", "--effort", "0", "--out", "x.json").code == 0
    codec = read("x.json")["codec"]
    assert (codec["name"], codec["identity"]) == ("fast", {"digest": "0123456789abcdef0123"})
    assert "adaptation" not in codec


def test_a_report_tells_efforts_apart(run):
    for effort in (0, 7):
        words = ("--qualities", "20,60,90", "--effort", effort, "--out", f"e{effort}.json")
        assert run("eval", "fast", "photo.png", *words).code == 0
    assert run("report", "e0.json", "e7.json", "--out", "report.html").code == 0
    assert "jaxicm fast, effort 7" in Path("report.html").read_text()


def test_a_second_process_decodes_and_several_measure(run, fake_codec, monkeypatch):
    monkeypatch.setattr(FreshDecoder, "decode", lambda self, files: [fake_codec.decode(data) for data in files])
    words = ("eval", "fast", "photo.png", "--qualities", "20", "--effort", "2", "--fresh")
    assert run(*words, "--jobs", "2", "--out", "x.json").code == 0
    assert [effort for effort, _, _ in fake_codec.adaptations][1:] == [2]
    assert read("x.json")["fresh"] is True
