"""A run: what is measured of real files, what is reused, what failures cost, and who sees the decoded pictures."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.anchors import ANCHORS
from jaxicm.evaluate.crops import Crops
from jaxicm.evaluate.journal import Journal, Key
from jaxicm.evaluate.metrics import ms_ssim, psnr_yuv
from jaxicm.evaluate.picture_set import PictureSet, survey
from jaxicm.evaluate.run import Finished, Plan, measure, outstanding, summarise
from jaxicm.evaluate.run_file import build
from jaxicm.evaluate.session import header, session
from jaxicm.evaluate.subjects import Conventional, DecodedPicture, Encoded
from jaxicm.media.pictures import read_picture, write_picture
from jaxicm.media.scaling import resize


class Shift:
    """A codec whose error is a constant, the quality: its PSNR has a closed form."""

    name, title, kind, clock = "shift", "Shift", "learned", "wall"
    default = (5.0,)

    def __init__(self, together: bool = False):
        self.identity, self.figures = {"digest": "0123456789abcdef"}, {"parameters": 0}
        self.decodes_together = together
        self.calls: list[tuple[tuple[int, ...], float]] = []
        self.batches: list[int] = []

    def check(self, setting: float) -> None: ...

    def encode(self, pixels: np.ndarray, setting: float) -> Encoded:
        if setting == 13:
            raise InputError("the encoder fell down the stairs")
        self.calls.append((pixels.shape, setting))
        shape = np.array(pixels.shape, "<u2").tobytes()
        data = bytes([int(setting), pixels.ndim]) + shape + zlib.compress(np.ascontiguousarray(pixels).tobytes())
        return Encoded(data, 0.5, {"analysis": 0.25})

    def decode(self, data: bytes, height: int, width: int, grey: bool = False) -> DecodedPicture:
        end = 2 + 2 * data[1]
        pixels = np.frombuffer(zlib.decompress(data[end:]), np.uint8).reshape(np.frombuffer(data[2:end], "<u2"))
        assert pixels.shape[:2] == (height, width)
        return DecodedPicture(pixels + np.uint8(data[0]), 0.125, {"synthesis": 0.0625})

    def decode_together(self, files: list[bytes]) -> list[DecodedPicture]:
        self.batches.append(len(files))
        sizes = [np.frombuffer(data[2:6], "<u2") for data in files]
        one_by_one = (self.decode(data, *map(int, size)) for data, size in zip(files, sizes, strict=True))
        return [DecodedPicture(decoded.pixels, None) for decoded in one_by_one]


class Brightness:
    """An observer of means."""

    name, digest, ground_truth = "brightness", "1234", None

    def __init__(self) -> None:
        self.seen: list[str] = []

    def observe(self, picture: str, original: np.ndarray, decoded: np.ndarray) -> dict[str, Any]:
        assert original.shape == decoded.shape
        self.seen.append(picture)
        return {"mean": float(decoded.mean())}

    def summarise(self, observations: Mapping[str, dict[str, Any]]) -> dict[str, float]:
        return {"mean": float(np.mean([one["mean"] for one in observations.values()])), "nothing": float("nan")}

    def reference(self) -> dict[str, float] | None:
        return {"mean": 90.0}


@pytest.fixture
def pictures(tmp_path: Path) -> PictureSet:
    rng = np.random.default_rng(0)
    folder = tmp_path / "set"
    folder.mkdir()
    for name, shape in {"a.png": (20, 30, 3), "b.png": (24, 18, 3), "c.png": (16, 16)}.items():
        write_picture(folder / name, rng.integers(0, 200, shape, np.uint8))
    return survey([folder])


def go(plan: Plan, item: Any, pictures: PictureSet, path: Path | None = None) -> tuple[list[Finished], Journal]:
    with Journal.open(path, header(item, fresh=False)) as journal:
        journal.begin(session(item, pictures, plan, labels={}, command="test"), pictures.pictures)
        finished = list(measure(plan, item, pictures, journal, outstanding(plan, pictures, journal)))
        summarise(plan.observers, journal)
        return finished, journal


def test_a_picture_is_measured_from_the_whole_file(pictures):
    _, journal = go(Plan((5.0, 10.0)), Shift(), pictures)
    original = read_picture(pictures.pictures[0].path).pixels
    found = journal.entries[Key("a.png", 10.0, 100)].measured
    size_bytes = len(Shift().encode(original, 10).data)
    assert (found["width"], found["height"], found["size_bytes"]) == (30, 20, size_bytes)
    assert found["bpp"] == pytest.approx(size_bytes * 8 / 600)
    assert found["psnr_rgb"] == pytest.approx(20 * np.log10(255 / 10))
    assert found["psnr_yuv"] == pytest.approx(psnr_yuv(original, original + np.uint8(10)))
    assert found["ms_ssim"] == pytest.approx(ms_ssim(original, original + np.uint8(10)))
    assert found["ms_ssim_db"] == pytest.approx(-10 * np.log10(1 - found["ms_ssim"]))
    assert (found["encode_s"], found["decode_s"]) == (0.5, 0.125)
    assert (found["encode_parts_s"], found["decode_parts_s"]) == ({"analysis": 0.25}, {"synthesis": 0.0625})
    assert found["lpips"] is None


def test_a_lossless_point_has_no_number_for_infinity(pictures):
    _, journal = go(Plan((0.0,)), Shift(), pictures)
    found = journal.entries[Key("c.png", 0.0, 100)].measured
    assert (found["psnr_rgb"], found["psnr_yuv"], found["ms_ssim_db"]) == (None, None, None)


def test_bits_per_sub_pixel_are_of_points_where_every_sample_of_every_picture_came_back(pictures):
    _, journal = go(Plan((0.0, 5.0)), Shift(), pictures)
    for name, samples in {"a.png": 20 * 30 * 3, "b.png": 24 * 18 * 3, "c.png": 16 * 16}.items():
        found = journal.entries[Key(name, 0.0, 100)].measured
        assert found["bpsp"] == pytest.approx(8 * found["size_bytes"] / samples)
        assert journal.entries[Key(name, 5.0, 100)].measured["bpsp"] is None
    results = build(journal)["results"]
    expected = np.mean([journal.entries[Key(name, 0.0, 100)].measured["bpsp"] for name in ("a.png", "b.png", "c.png")])
    assert results["bpsp"] == [pytest.approx(expected) if quality == 0 else None for quality in results["quality"]]
    assert [value is None for value in results["psnr-rgb"]] == [quality == 0 for quality in results["quality"]]
    del journal.entries[Key("a.png", 0.0, 100)].measured["bpsp"]  # as a journal from before has none
    assert "bpsp" not in build(journal)["results"]


def test_scaled_pictures_are_measured_at_full_size_and_rates_are_of_the_original(pictures):
    item = Shift()
    _, journal = go(Plan((5.0,), (50,)), item, pictures)
    assert [shape for shape, _ in item.calls] == [(10, 16, 3), (12, 10, 3), (8, 8)]
    original = read_picture(pictures.pictures[0].path).pixels
    found = journal.entries[Key("a.png", 5.0, 50)].measured
    decoded = resize(resize(original, 10, 16) + np.uint8(5), 20, 30)
    error = np.mean((decoded.astype(float) - original) ** 2)
    assert found["psnr_rgb"] == pytest.approx(10 * np.log10(255**2 / error))
    assert found["bpp"] == pytest.approx(found["size_bytes"] * 8 / 600)


def test_only_what_is_new_is_coded(pictures, tmp_path):
    path, item = tmp_path / "x.jsonl", Shift()
    go(Plan((5.0,)), item, pictures, path)
    assert len(item.calls) == 3
    go(Plan((5.0, 10.0)), item, pictures, path)
    assert [setting for _, setting in item.calls[3:]] == [10.0] * 3
    observer = Brightness()
    _, journal = go(Plan((5.0, 10.0), observers=[observer]), item, pictures, path)
    assert observer.seen == ["a.png", "a.png", "b.png", "b.png", "c.png", "c.png"]
    assert len(item.calls) == 12, "a new observer needs the decoded pictures again"
    assert go(Plan((5.0, 10.0), observers=[observer]), item, pictures, path)[0] == []
    fewer = PictureSet("set", pictures.pictures[:1], None)
    assert go(Plan((5.0,)), item, fewer, path)[0] == []
    assert build(journal)["results"]["quality"] == [5.0, 10.0]


def test_observers_see_every_picture_and_their_figures_are_kept(pictures):
    _, journal = go(Plan((5.0, 10.0), observers=[Brightness()]), Shift(), pictures)
    task = build(journal)["tasks"]["brightness"]
    means = [read_picture(picture.path).pixels.mean() for picture in pictures.pictures]
    assert [point["mean"] for point in task["points"]] == pytest.approx([np.mean(means) + 5, np.mean(means) + 10])
    assert task["points"][0]["nothing"] is None
    assert (task["original"], task["digest"], task["ground_truth"]) == ({"mean": 90.0}, "1234", None)
    assert [point["bpp"] for point in task["points"]] == build(journal)["results"]["bpp"]


class Distance:
    """A distance in place of LPIPS."""

    digest = "1234"

    def __call__(self, a: np.ndarray, b: np.ndarray) -> float:
        assert a.shape == b.shape
        assert a.shape[2] == 3
        return float(b.mean() - a.mean())


def test_a_perceptual_distance_is_added_when_its_weights_turn_up(pictures, tmp_path):
    path = tmp_path / "x.jsonl"
    go(Plan((5.0,)), Shift(), pictures, path)
    _, journal = go(Plan((5.0,), lpips=Distance()), Shift(), pictures, path)
    found = journal.entries[Key("b.png", 5.0, 100)].measured
    assert found["lpips"] == pytest.approx(5.0)
    assert found["encode_s"] == 0.5, "what was measured before stays"
    assert journal.session["observers"] == {"lpips": "1234"}


def test_tiny_pictures_have_no_perceptual_distance_and_grey_ones_do(tmp_path):
    (tmp_path / "set").mkdir()
    write_picture(tmp_path / "set/grey.png", np.full((20, 20), 9, np.uint8))
    write_picture(tmp_path / "set/tiny.png", np.full((16, 20, 3), 9, np.uint8))
    pictures = survey([tmp_path / "set"])
    _, journal = go(Plan((5.0,), lpips=Distance()), Shift(), pictures, tmp_path / "x.jsonl")
    assert journal.entries[Key("grey.png", 5.0, 100)].measured["lpips"] == 5.0
    assert journal.entries[Key("tiny.png", 5.0, 100)].measured["lpips"] is None
    assert go(Plan((5.0,), lpips=Distance()), Shift(), pictures, tmp_path / "x.jsonl")[0] == []


def test_a_failure_costs_its_operating_point_only(pictures, tmp_path):
    finished, journal = go(Plan((5.0, 13.0)), Shift(), pictures, tmp_path / "x.jsonl")
    failures = [one for one in finished if one.failure]
    assert {(one.key.picture, one.key.quality) for one in failures} == {
        (name, 13.0) for name in ("a.png", "b.png", "c.png")
    }
    assert {one.failure for one in failures} == {"the encoder fell down the stairs"}
    assert build(journal)["results"]["quality"] == [5.0]
    assert len(go(Plan((5.0, 13.0)), Shift(), pictures, tmp_path / "x.jsonl")[0]) == 3, "failures are tried again"


def test_an_observer_that_fails_leaves_the_measurement(pictures, monkeypatch):
    def fail(*arguments: object) -> dict[str, Any]:
        raise InputError("no eyes")

    monkeypatch.setattr(Brightness, "observe", fail)
    finished, journal = go(Plan((5.0,), observers=[Brightness()]), Shift(), pictures)
    assert [one.failure for one in finished] == ["no eyes"] * 3
    assert build(journal)["results"]["quality"] == [5.0]
    assert build(journal)["tasks"]["brightness"]["points"] == []


def test_a_decoder_that_gives_another_size_is_a_failure(pictures, monkeypatch):
    monkeypatch.setattr(Shift, "decode", lambda *arguments, **options: DecodedPicture(np.zeros((3, 3), np.uint8), 0.0))
    finished, _ = go(Plan((5.0,)), Shift(), pictures)
    assert finished[0].failure == "the decoder gave uint8 (3, 3), expected uint8 (20, 30, 3)"


def test_files_of_one_picture_are_decoded_together_where_that_is_cheaper(pictures):
    item = Shift(together=True)
    _, journal = go(Plan((5.0, 10.0)), item, PictureSet("set", pictures.pictures[:2], None))
    assert item.batches == [2, 2]
    results = build(journal)["results"]
    assert "decoding_time" not in results
    assert results["encoding_time"] == [0.5, 0.5]


def test_crops_are_written_once_and_again_when_they_are_gone(pictures, tmp_path):
    names = [picture.name for picture in pictures.pictures]
    plan = Plan((5.0,), (100, 50), crops=Crops(tmp_path / "x.crops", names, 2))
    _, journal = go(plan, Shift(), pictures, tmp_path / "x.jsonl")
    found = build(journal)["crops"]
    assert {(one["picture"], one["scale"]) for one in found} == {(n, s) for n in ("a.png", "c.png") for s in (100, 50)}
    full = next(one for one in found if (one["picture"], one["scale"]) == ("a.png", 100))
    assert (full["original"], full["decoded"]) == ("x.crops/a.png", "x.crops/a_q5.png")
    assert full["box"] == [0, 0, 30, 20]
    original, decoded = (read_picture(tmp_path / full[kind]).pixels for kind in ("original", "decoded"))
    np.testing.assert_array_equal(decoded, original + np.uint8(5))
    assert (tmp_path / "x.crops/c_q5_s50.png").is_file()
    assert go(plan, Shift(), pictures, tmp_path / "x.jsonl")[0] == []
    (tmp_path / "x.crops/a_q5.png").unlink()
    finished, _ = go(plan, Shift(), pictures, tmp_path / "x.jsonl")
    assert [one.key for one in finished] == [Key("a.png", 5.0, 100)]


def test_pictures_of_one_stem_do_not_share_a_crop(tmp_path):
    crops = Crops(tmp_path / "x.crops", ["a.png", "a.jpg", "d/b.png"], 3)
    pixels = np.zeros((4, 4, 3), np.uint8)
    names = {crops.write(Key(name, 5.0, 100), pixels, pixels)["decoded"] for name in ("a.png", "a.jpg", "d/b.png")}
    assert names == {"x.crops/a.png_q5.png", "x.crops/a.jpg_q5.png", "x.crops/d_b_q5.png"}


@pytest.mark.parametrize("kind", ["conventional", "learned"])
def test_several_processes_find_what_one_finds(pictures, kind):
    item: Any = Conventional(ANCHORS["jpeg"]) if kind == "conventional" else Shift()
    plans = [Plan((10.0, 60.0), (100, 50), jobs, observers=[Brightness()]) for jobs in (1, 2)]
    one, two = (build(go(plan, item, pictures)[1]) for plan in plans)
    times = ("encode_s", "decode_s", "encode_parts_s", "decode_parts_s")
    assert [{k: v for k, v in row.items() if k not in times} for row in one["pictures"]] == [
        {k: v for k, v in row.items() if k not in times} for row in two["pictures"]
    ]
    assert one["tasks"] == two["tasks"]
    timed = {row["encode_s"] is not None for row in two["pictures"]}
    assert timed == {kind == "conventional"}, "CPU seconds stay true beside other processes, wall seconds do not"
