"""Ablations of latent overfitting: what is measured and compared, what the journal keeps, and the files of rows."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxicm.adapt.effort import EFFORTS
from jaxicm.adapt.stage import Stage
from jaxicm.errors import ConfigError, CorruptFile
from jaxicm.evaluate import latent_ablation
from jaxicm.evaluate.latent_ablation import LatentAblation, Variant, load_adaptations
from jaxicm.evaluate.latent_journal import Journal
from jaxicm.evaluate.picture_set import survey
from jaxicm.media.pictures import write_picture

CONFIG = Path(__file__).parents[2] / "configs" / "ablation_latents.py"
QUALITIES = (20.0, 50.0, 80.0)
BASE = Variant("none", "none")
SHORT = Variant("sga", "10", (Stage("sga", iterations=10),))
LONG = Variant("sga", "20", (Stage("sga", iterations=20),))
SIDE = 64


@dataclass
class Shift:
    """A codec whose error is a constant number of grey levels; each iteration saves a thousandth of the bytes.

    Attributes:
      calls: iterations and quality of every encoding.
      lies: reconstructions are not what files show.
      stop_after: encodings after which it fails.
    """

    info = SimpleNamespace(digest="0123", name="shift")
    calls: list[tuple[int, float]] = field(default_factory=list)
    lies: bool = False
    stop_after: int = 1000

    def encode_detail(self, image: np.ndarray, *, quality: float, effort: tuple[Stage, ...], **options: object):
        assert options.keys() <= {"tune", "progress", "plain"} and not options["plain"]
        if len(self.calls) >= self.stop_after:
            raise KeyboardInterrupt
        iterations = sum(stage.iterations for stage in effort)
        self.calls.append((iterations, quality))
        shown = self.decode(data := bytes([round((100 - quality) / 10)]) + bytes(999 + 10 * int(quality) - iterations))
        adapted = SimpleNamespace(start=4.0, cost=4.0 - iterations / 100, iterations=iterations) if effort else None
        return SimpleNamespace(data=data, reconstruction=shown + self.lies if effort else None, adapted=adapted)

    @staticmethod
    def decode(data: bytes) -> np.ndarray:
        return np.full((SIDE, SIDE, 3), 100 + data[0], np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of two flat pictures."""
    (tmp_path / "set").mkdir()
    for name, level in (("a", 100), ("b", 98)):
        write_picture(tmp_path / "set" / f"{name}.png", np.full((SIDE, SIDE, 3), level, np.uint8))
    return tmp_path


def ablation(folder: Path, codec: Shift) -> LatentAblation:
    pictures, journal = survey([folder / "set"]).pictures, Journal(folder / "latents.jsonl")
    return LatentAblation(codec, BASE, pictures, QUALITIES, journal, codec.decode)  # type: ignore[arg-type]


def test_a_row_holds_mean_changes_against_the_base(folder: Path):
    subject = ablation(folder, Shift())
    assert subject.missing([BASE, LONG]) == 12
    points = [point for variant in (BASE, LONG) for point in subject.measure(variant)]
    assert len(points) == 12 and subject.missing([BASE, LONG]) == 0
    base, row = subject.row(BASE), subject.row(LONG)
    assert (base.cost, base.bpp, base.psnr, base.iterations) == (0.0, 0.0, 0.0, 0.0)
    assert base.bd_psnr == pytest.approx(0.0, abs=1e-9)
    assert row.iterations == 20 and row.psnr == 0.0
    assert row.cost == pytest.approx(100 * (3.8 / 4.0 - 1))
    assert row.bpp == pytest.approx(-100 * np.mean([20 / 1200, 20 / 1500, 20 / 1800]))
    assert row.bd_psnr is not None and -100 * 20 / 1200 < row.bd_psnr < -100 * 20 / 1800
    errors = np.array([[8, 5, 2], [10, 7, 4]])  # of pictures and qualities
    np.testing.assert_allclose(row.curve["psnr"], (20 * np.log10(255 / errors)).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(row.curve["bpp"], 8 * np.array([1180, 1480, 1780]) / SIDE**2)
    figures = json.loads(json.dumps(row.figures()))
    assert (figures["group"], figures["name"], figures["tune"]) == ("sga", "20", None)
    assert Stage(**figures["stages"][0]) == LONG.stages[0]


def test_one_quality_makes_no_curve(folder: Path):
    codec = Shift()
    pictures, journal = survey([folder / "set"]).pictures, Journal(folder / "latents.jsonl")
    subject = LatentAblation(codec, BASE, pictures, (50.0,), journal, codec.decode)  # type: ignore[arg-type]
    for variant in (BASE, SHORT):
        list(subject.measure(variant))
    assert subject.row(SHORT).bd_psnr is None and subject.row(SHORT).bd_ms_ssim is None


def test_compiling_is_not_timed(folder: Path, monkeypatch: pytest.MonkeyPatch):
    codec = Shift()
    subject, ticks = ablation(folder, codec), iter(range(100))
    monkeypatch.setattr(latent_ablation.time, "perf_counter", lambda: float(next(ticks)))
    for variant in (SHORT, LONG):
        list(subject.measure(variant))
    # the first encoding of both stands for all: 10 iterations compile what 20 need, and shapes are equal
    assert codec.calls == [(10, 20.0), *((count, q) for count in (10, 20) for _ in "ab" for q in QUALITIES)]
    assert next(ticks) == 24  # two looks at the clock for each of 12 measurements


def test_an_interruption_loses_no_measurement(folder: Path):
    first, second = Shift(stop_after=5), Shift()
    with pytest.raises(KeyboardInterrupt):
        list(ablation(folder, first).measure(SHORT))
    with (folder / "latents.jsonl").open("ab") as file:
        file.write(b'{"row": "torn')  # the process died while it wrote
    subject = ablation(folder, second)
    assert subject.missing([SHORT]) == 2
    list(subject.measure(SHORT))
    assert second.calls == [(10, 50.0), (10, 50.0), (10, 80.0)]  # the first one compiles
    third = ablation(folder, Shift())
    assert third.missing([SHORT]) == 0
    assert len((folder / "latents.jsonl").read_text().splitlines()) == 7


def test_what_is_measured_anew_depends_on_contents_alone(folder: Path):
    list(ablation(folder, Shift()).measure(SHORT))
    subject = ablation(folder, Shift())
    assert subject.missing([Variant("other", "name", SHORT.stages)]) == 0
    assert subject.missing([Variant("sga", "10", SHORT.stages, "ms-ssim")]) == 6
    assert subject.missing([Variant("sga", "10", (Stage("sga", iterations=10, hold=0.5),))]) == 6
    assert subject.missing([LONG, Variant("again", "20", LONG.stages)]) == 6
    write_picture(folder / "set" / "b.png", np.full((SIDE, SIDE, 3), 97, np.uint8))
    assert ablation(folder, Shift()).missing([SHORT]) == 3


def test_a_file_that_shows_something_else_is_an_error(folder: Path):
    with pytest.raises(CorruptFile, match="sga/10, quality 20: the file shows another picture than the encoder said"):
        list(ablation(folder, Shift(lies=True)).measure(SHORT))


def test_the_real_codec_is_measured(tiny_codec, photograph, tmp_path: Path):
    write_picture(tmp_path / "a.png", photograph(64, 96))
    pictures, journal = survey([tmp_path / "a.png"]).pictures, Journal(tmp_path / "latents.jsonl")
    subject = LatentAblation(tiny_codec, BASE, pictures, (20.0, 60.0), journal, tiny_codec.decode)
    effort = Variant("effort", "1", EFFORTS[1])
    for variant in (BASE, effort):
        list(subject.measure(variant))
    row = subject.row(effort)
    assert row.cost <= 0 and row.iterations == sum(stage.iterations for stage in EFFORTS[1])
    assert 0 < subject.row(BASE).encode_s < row.encode_s


def test_the_shipped_file_holds_every_method_and_effort():
    rows = load_adaptations(CONFIG)
    assert rows is not None and rows[0] == BASE
    counts = {row.group: sum(each.group == row.group for each in rows) for row in rows}
    methods = dict.fromkeys(("noise", "straight_through", "soft", "sga", "sga+", "coordinate"), 4)
    others = {"context": 4, "gains": 1, "optimizer": 2, "rounding_weight": 3, "distortion": 4, "effort": 9}
    assert counts == {"none": 1} | methods | others
    stages = {row.label: row.stages for row in rows}
    assert stages["context/sga-kept"] == stages["sga/100"]
    assert stages["context/coordinate-stopped"] == stages["rounding_weight/12"] == stages["coordinate/30"]
    assert [stages[f"effort/{number}"] for number in range(1, 10)] == list(EFFORTS[1:])


ROW = "from jaxicm.adapt.stage import Stage\nfrom jaxicm.evaluate.latent_ablation import Variant\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def adaptations(): return 1 / 0", "fails with ZeroDivisionError: .*; correct the file"),
        ("def adaptations(:", "fails with SyntaxError"),
        ("def adaptations(): return 3", r"adaptations\(\) returned a int, expected a tuple of Variant"),
        ("def adaptations(): return ()", "at least one"),
        ("def adaptations(): return (1,)", "expected a tuple of Variant"),
        (f"{ROW}def adaptations(): return (Variant('a', 'b', (Stage(),)),)", "a/b is the first row, .* no stages"),
        (f"{ROW}def adaptations(): return 2 * (Variant('a', 'b'),)", "a/b is there twice"),
        (f"{ROW}def adaptations(): return (Variant('a', 'b', (Stage(iterations=7),)),)", "c.py: stage: iterations = 7"),
    ],
)
def test_a_wrong_file_is_one_clear_error(text: str, says: str, tmp_path: Path):
    path = tmp_path / "c.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_adaptations(path)


def test_other_files_are_left_to_others(tmp_path: Path):
    assert load_adaptations(tmp_path / "none.py") is None
    assert load_adaptations(CONFIG.with_name("ablation_recipe.py")) is None
