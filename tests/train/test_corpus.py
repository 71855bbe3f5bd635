"""The pictures of a run: opened, held out, and checked before time is spent."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import ConfigError, MissingDependency
from jaxicm.train.annotations import Labelled
from jaxicm.train.config import DataConfig, TrainConfig
from jaxicm.train.corpus import MOST_HELD_OUT, Corpus, prepare_data


def prepare(config: TrainConfig, warn=lambda line: None, include=(), folders=None, held=(), **data) -> Corpus:
    folders = config.data.folders if folders is None else tuple(map(str, folders))
    validation = dataclasses.replace(config.validation, include=tuple(include), folders=tuple(map(str, held)))
    settings = DataConfig(folders=folders, **data)
    return prepare_data(dataclasses.replace(config, data=settings, validation=validation), warn)


def test_held_out_pictures_are_measured_and_not_trained_on(config: TrainConfig, picture_folder: Path):
    corpus = prepare(config, include=["*%4"])
    assert corpus.pictures == 6
    names = {Path(corpus.sampler.sources[0].describe(index)).name for index in range(6)}
    assert names == {f"p{number:04d}.png" for number in (1, 2, 3, 5, 6, 7)}
    expected = [np.asarray(Image.open(picture_folder / f"p{number:04d}.png"))[16:80, 32:96] for number in (0, 4)]
    np.testing.assert_array_equal(corpus.held_out, expected)


def test_every_loader_feeds_the_same_crops(config: TrainConfig):
    def batches(**data) -> np.ndarray:
        corpus = prepare(config, smallest_scale=0.7, **data)
        with corpus.feed(3) as feed:
            found = np.stack([next(feed), next(feed)])
            assert feed.state() == corpus.state(5)
        return found

    expected = batches(loader="memory")
    assert expected.shape == (2, config.batch, config.crop, config.crop, 3)
    np.testing.assert_array_equal(batches(loader="threads", workers=2), expected)
    pytest.importorskip("grain")
    np.testing.assert_array_equal(batches(loader="grain", workers=0), expected)


def label(path: Path, *names: str) -> str:
    """Write annotations of pictures of 128x96: a cat in each."""
    images = [{"id": number, "file_name": name, "height": 96, "width": 128} for number, name in enumerate(names)]
    annotations = [{"image_id": number, "category_id": 5, "bbox": [8, 8, 80, 80]} for number in range(len(names))]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 5, "name": "cat"}]}
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.parametrize("loader", ["memory", "threads"])
def test_labels_come_with_the_crops(config: TrainConfig, tmp_path: Path, loader):
    every = label(tmp_path / "every.json", *(f"p{number:04d}.png" for number in range(8)))
    remarks: list[str] = []
    corpus = prepare(config, remarks.append, annotations=(every,), objects=4, loader=loader)
    with corpus.feed(warn=remarks.append) as feed:
        batch = next(feed)
        assert feed.state() == corpus.state(1)
    assert isinstance(batch, Labelled) and batch.crops.shape == (8, 64, 64, 3)
    assert batch.targets.boxes.shape == (8, 4, 4) and batch.targets.real.any(axis=1).sum() > 4
    assert set(batch.targets.classes[batch.targets.real]) == {15}
    assert not remarks
    np.testing.assert_array_equal(corpus.statistics_crops(5), prepare(config).statistics_crops(5))


def test_partly_labelled_pictures_are_told(config: TrainConfig, tmp_path: Path):
    files = label(tmp_path / "a.json", "p0001.png"), label(tmp_path / "b.json", "p0004.png", "p0007.png", "other.png")
    remarks: list[str] = []
    corpus = prepare(config, remarks.append, ["*%4"], annotations=files)  # p0004.png is held out
    assert remarks == ["2 of 6 pictures are labelled; losses with labels leave out the others"]
    with corpus.feed() as feed:
        assert isinstance(next(feed), Labelled)


def test_annotations_that_do_not_serve_are_found_before_time_is_spent(config: TrainConfig, tmp_path: Path):
    other = label(tmp_path / "other.json", "q.jpg")
    with pytest.raises(
        ConfigError, match=r"other\.json: no entry for any of the 8 pictures, for instance .*p0000\.png"
    ):
        prepare(config, annotations=(other,))
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        prepare(config, annotations=(str(tmp_path / "none.json"),))
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(ConfigError, match=r"cut\.json: no json"):
        prepare(config, annotations=(str(tmp_path / "cut.json"),))
    mine = label(tmp_path / "mine.json", "p0001.png")
    with pytest.raises(ConfigError, match=r"data\.annotations needs the loader: .* train without --resident"):
        prepare(dataclasses.replace(config, resident=True), annotations=(mine,))


def test_broken_pictures_are_told_once(config: TrainConfig, picture_folder: Path, tmp_path: Path):
    (tmp_path / "cut.png").write_bytes((picture_folder / "p0000.png").read_bytes()[:300])
    remarks: list[str] = []
    corpus = prepare(config, remarks.append, folders=[picture_folder, tmp_path])
    with corpus.feed(warn=remarks.append) as feed:
        for _ in range(5):
            next(feed)
    assert len(remarks) == 1 and "cut.png" in remarks[0]
    assert corpus.pictures == 8


def test_weights_mix_folders(config: TrainConfig, picture_folder: Path, tmp_path: Path):
    Image.new("RGB", (64, 64), (255, 0, 0)).save(tmp_path / "red.png")
    corpus = prepare(config, folders=[picture_folder, tmp_path], weights=(1.0, 3.0))
    crops = np.stack([corpus.sampler.sample(number).crop for number in range(64)])
    assert (crops == (255, 0, 0)).all(axis=(1, 2, 3)).sum() == 48
    with pytest.raises(ConfigError, match=r"has a weight in data\.weights"):
        prepare(config, folders=[picture_folder, tmp_path], weights=(1.0, 3.0), exclude=("red.png",))


def test_statistics_come_from_pictures_at_their_own_scale(config: TrainConfig):
    scaled = prepare(config, smallest_scale=0.7, unscaled=0.0)
    np.testing.assert_array_equal(scaled.statistics_crops(9), prepare(config).statistics_crops(9))


def test_resident_pictures_are_those_that_pass_the_filters(config: TrainConfig, picture_folder: Path, tmp_path: Path):
    Image.new("RGB", (40, 70)).save(tmp_path / "small.png")
    corpus = prepare(config, folders=[tmp_path, picture_folder])
    stack, sizes = corpus.stack()
    assert stack.shape == (8, 96, 128, 3) and sizes.tolist() == [[96, 128]] * 8
    np.testing.assert_array_equal(stack[3], np.asarray(Image.open(picture_folder / "p0003.png")))
    for data in ({"weights": (1.0,)}, {"min_contrast": 3.0}):
        with pytest.raises(ConfigError, match="without --resident"):
            prepare(dataclasses.replace(config, resident=True), **data)


def test_arrays_are_trained_on_and_measured(config: TrainConfig, tmp_path: Path):
    pictures = np.random.default_rng(0).integers(0, 256, (MOST_HELD_OUT + 4, 64, 64, 3), np.uint8)
    np.save(tmp_path / "many.npy", pictures)
    remarks: list[str] = []
    corpus = prepare(config, remarks.append, ["*"], [tmp_path / "many.npy"], loader="threads")
    assert corpus.pictures == len(pictures) and len(corpus.held_out) == 0  # patterns do not divide an array
    assert "no validation" in remarks[0]
    corpus = prepare(config, remarks.append, ["*"], held=[tmp_path / "many.npy"])
    assert corpus.held_out.shape == (MOST_HELD_OUT, 64, 64, 3)
    assert f"{MOST_HELD_OUT} of the {len(pictures)}" in remarks[1]
    np.save(tmp_path / "bad.npy", pictures.astype(np.float32))
    with pytest.raises(ConfigError, match=r"bad\.npy: found float32"):
        prepare(config, folders=[tmp_path / "bad.npy"])


def test_mistakes_are_found_before_time_is_spent(config: TrainConfig, picture_folder: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    for number in range(3):
        (tmp_path / "broken" / f"{number}.png").write_text("no picture")
    with pytest.raises(ConfigError, match="name a folder of pictures with --data"):
        prepare(config, folders=[])
    with pytest.raises(ConfigError, match=r"no training pictures in .*empty"):
        prepare(config, folders=[tmp_path / "empty"])
    with pytest.raises(ConfigError, match="no such folder"):
        prepare(config, folders=[tmp_path / "none"])
    with pytest.raises(ConfigError, match="8 are held out"):
        prepare(config, include=["*"])
    for loader in ("memory", "threads"):
        with pytest.raises(ConfigError, match=r"all 3 pictures drawn of 3 are left out .*0\.png: not a picture"):
            prepare(config, folders=[tmp_path / "broken"], loader=loader)
        with pytest.raises(ConfigError, match="128x96 pixels, smaller than the crop of 128"):
            prepare(dataclasses.replace(config, crop=128), loader=loader)
    with pytest.raises(ConfigError, match="no prepared data set"):
        prepare(config, folders=[f"tfds:clic@{tmp_path}"])


def test_missing_packages_are_named_before_time_is_spent(config: TrainConfig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(MissingDependency, match=r"grain.*pip install 'jaxicm\[data\]'"):
        prepare(config, loader="grain")
    assert prepare(config, loader="threads").pictures == 8


def test_a_folder_needs_neither_grain_nor_tfds(config: TrainConfig, monkeypatch: pytest.MonkeyPatch):
    for name in ("grain", "tensorflow_datasets", "array_record"):
        monkeypatch.setitem(sys.modules, name, None)
    with prepare(config, include=["*%4"], loader="threads").feed() as feed:
        assert next(feed).shape == (8, 64, 64, 3)
