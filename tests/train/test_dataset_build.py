"""TFDS data sets: what is stored, that TensorFlow is not needed, and that a run trains on them."""

import dataclasses
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import ConfigError, InputError, MissingDependency, OptionError, OutputError
from jaxicm.media.pictures import read_picture
from jaxicm.train.config import DataConfig, TrainConfig
from jaxicm.train.corpus import prepare_data
from jaxicm.train.dataset_build import BuildOptions, build_dataset
from jaxicm.train.dataset_info import dataset_info
from jaxicm.train.tfds_source import TfdsSource

pytest.importorskip("tensorflow_datasets")


def ignore(line: str) -> None:
    del line


def picture(seed: int = 0, size: tuple[int, ...] = (70, 90, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all kinds, one of them broken."""
    folder = tmp_path_factory.mktemp("varied")
    (folder / "inside").mkdir()
    Image.fromarray(picture(0)).save(folder / "plain.png")
    Image.fromarray(picture(1)).save(folder / "plain.jpg", quality=80)
    Image.fromarray(picture(2)).save(folder / "inside" / "plain.webp", lossless=True)
    Image.fromarray(picture(3)).save(folder / "low.jpg", quality=20)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(4)).save(folder / "turned.jpg", exif=exif, quality=90)
    Image.fromarray(picture(5, (70, 90))).save(folder / "grey.png")
    Image.fromarray(picture(6, (70, 90, 4))).save(folder / "alpha.png")
    Image.fromarray(picture(7)).save(folder / "plain.bmp")
    Image.fromarray(picture(8, (20, 90, 3))).save(folder / "small.png")
    (folder / "cut.png").write_bytes((folder / "plain.png").read_bytes()[:500])
    return folder


@pytest.fixture(scope="module")
def built(varied: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "Varied Pictures"
    options = BuildOptions(validation_pattern="plain.bmp", shard_size=3, min_side=30, min_jpeg_quality=50)
    remarks: list[str] = []
    summary = build_dataset([varied], out, options, warn=remarks.append)
    assert summary.pictures == {"train": 6, "validation": 1}
    assert summary.skipped == {"broken": 1, "below JPEG quality 50": 1, "smaller than 30 pixels": 1}
    assert (summary.kept, summary.recoded) == (3, 4)
    assert sorted(line.split(": ")[1] for line in remarks) == [
        str(varied / name) for name in ("cut.png", "low.jpg", "small.png")
    ]
    return out


def test_a_picture_reads_the_same_from_the_data_set_and_from_its_file(built: Path, varied: Path):
    source = TfdsSource(built)
    assert len(source) == 6
    for index in range(6):
        name = source.describe(index).split(" ")[1]
        pixels = read_picture(varied / name).pixels
        expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
        np.testing.assert_array_equal(source.picture(index), expected)
        if Path(name).stem == "plain":
            assert source.encoded(index) == (varied / name).read_bytes()
        else:
            assert (source.encoded(index) or b"").startswith(b"\x89PNG")


READ = """
import sys, numpy as np, tensorflow_datasets as tfds
builder = tfds.builder_from_directory(sys.argv[1])
for record in builder.as_data_source("train"):
    assert record["image"].shape == (record["height"], record["width"], 3), record["image"].shape
    if record["file_name"] == b"turned.jpg" or record["file_name"] == "turned.jpg":
        assert record["image"].shape == (90, 70, 3)
        print("upright")
print(builder.info.name, len(builder.as_data_source("validation")))
assert "tensorflow" not in sys.modules and "jax" not in sys.modules
"""


def test_plain_tfds_reads_it_upright_and_without_tensorflow(built: Path):
    done = subprocess.run([sys.executable, "-c", READ, built], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["upright", "varied_pictures", "1"]


def test_the_records_go_to_other_processes(built: Path):
    source = TfdsSource(built, "train[:50%]")
    data = pickle.dumps(source)
    assert len(data) < 2000 and len(source) == 3
    np.testing.assert_array_equal(pickle.loads(data).picture(2), source.picture(2))
    assert pickle.loads(data).fingerprint == source.fingerprint != TfdsSource(built).fingerprint


def test_splits_and_features_that_are_not_there_are_named(built: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"no split 'test' .*found train validation"):
        TfdsSource(built, "test")
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(ConfigError, match="not a readable TFDS data set"):
        TfdsSource(tmp_path)
    for path in built.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    features = json.loads((tmp_path / "features.json").read_text())
    inner = features["featuresDict"]["features"]
    inner["a"] = inner["b"] = inner.pop("image")
    (tmp_path / "features.json").write_text(json.dumps(features))
    with pytest.raises(ConfigError, match=r"several pictures \(a b\)"):
        TfdsSource(tmp_path)


def test_a_damaged_file_of_records_is_an_input_error(built: Path, tmp_path: Path):
    for path in built.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (shard,) = tmp_path.glob("*validation*")
    data = bytearray(shard.read_bytes())
    data[len(data) // 8 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 8)
    shard.write_bytes(data)
    with pytest.raises(InputError, match="validation"):
        TfdsSource(tmp_path, "validation").picture(0)


def test_info_counts_and_measures(built: Path):
    found = dataset_info(str(built))
    assert (found.name, found.version, found.file_format) == ("varied_pictures", "1.0.0", "array_record")
    train, validation = found.splits
    assert (train.name, train.pictures, train.shards) == ("train", 6, 2)
    assert train.sides == ((70, 70), (90, 90))
    assert (validation.pictures, validation.sides) == (1, ((90, 70), (90, 70)))


@pytest.mark.parametrize("loader", ["memory", "threads", "grain"])
def test_a_run_trains_on_it_and_measures_its_validation_split(config: TrainConfig, built: Path, loader):
    if loader == "grain":
        pytest.importorskip("grain")
    data = DataConfig(folders=(str(built),), loader=loader, workers=0)
    validation = dataclasses.replace(config.validation, include=("*",))
    corpus = prepare_data(dataclasses.replace(config, data=data, validation=validation), print)
    assert corpus.pictures == 6 and corpus.held_out.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(corpus.held_out[0], picture(7)[3:67, 13:77])
    with corpus.feed() as feed:
        np.testing.assert_array_equal(next(feed)[0], corpus.sampler.sample(0).crop)


def test_a_split_that_is_trained_on_is_not_measured(config: TrainConfig, built: Path):
    data = DataConfig(folders=(f"{built}:train+validation",))
    validation = dataclasses.replace(config.validation, include=("*",))
    remarks: list[str] = []
    corpus = prepare_data(dataclasses.replace(config, data=data, validation=validation), remarks.append)
    assert corpus.pictures == 7 and not len(corpus.held_out) and "no validation" in remarks[0]
    chosen = dataclasses.replace(validation, folders=(f"{built}:train[:2]",))
    corpus = prepare_data(dataclasses.replace(config, validation=chosen), remarks.append)
    assert len(corpus.held_out) == 2


def test_a_percentage_is_held_out_by_name(tmp_path: Path):
    (tmp_path / "in").mkdir()
    data = io.BytesIO()
    Image.fromarray(picture(0, (8, 8, 3))).save(data, "PNG")
    for number in range(120):
        (tmp_path / "in" / f"{number}.png").write_bytes(data.getvalue())
    options = BuildOptions(validation_percent=30)
    summary = build_dataset([tmp_path / "in"], tmp_path / "one", options, warn=ignore)
    assert 20 < summary.pictures["validation"] < 55

    def held(folder: Path) -> set[str]:
        source = TfdsSource(folder, "validation")
        return {source.describe(index).split(" ")[1] for index in range(len(source))}

    for number in range(0, 120, 2):
        (tmp_path / "in" / f"{number}.png").unlink()
    build_dataset([tmp_path / "in"], tmp_path / "two", options, warn=ignore)
    assert held(tmp_path / "two") == {name for name in held(tmp_path / "one") if int(name[:-4]) % 2}


def test_large_pictures_are_reduced(varied: Path, tmp_path: Path):
    build_dataset([varied], tmp_path / "out", BuildOptions(longest_side=45), warn=ignore)
    source = TfdsSource(tmp_path / "out")
    by_name = {source.describe(index).split(" ")[1]: source.picture(index) for index in range(len(source))}
    expected = Image.fromarray(picture(0)).resize((45, 35), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(by_name["plain.png"], np.asarray(expected))
    assert by_name["small.png"].shape == (10, 45, 3)


def test_several_folders_are_told_apart_by_name(varied: Path, tmp_path: Path):
    (tmp_path / "more").mkdir()
    Image.fromarray(picture(9)).save(tmp_path / "more" / "plain.png")
    build_dataset([varied / "inside", tmp_path / "more"], tmp_path / "out", BuildOptions(), warn=ignore)
    source = TfdsSource(tmp_path / "out")
    assert [source.describe(index).split(" ")[1] for index in range(2)] == ["inside/plain.webp", "more/plain.png"]


def test_nothing_is_overwritten_unless_asked_and_only_data_sets(varied: Path, tmp_path: Path):
    out = tmp_path / "out"
    build_dataset([varied / "inside"], out, BuildOptions(name="one"), warn=ignore)
    with pytest.raises(OutputError, match="--overwrite"):
        build_dataset([varied / "inside"], out, BuildOptions(name="two"), warn=ignore)
    assert dataset_info(str(out)).name == "one"
    build_dataset([varied / "inside"], out, BuildOptions(name="two"), overwrite=True, warn=ignore)
    assert dataset_info(str(out)).name == "two"
    with pytest.raises(OutputError, match="is no TFDS data set"):
        build_dataset([varied / "inside"], varied, BuildOptions(), overwrite=True, warn=ignore)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_an_interrupted_build_leaves_the_old_data_set_and_nothing_else(varied: Path, tmp_path: Path):
    out = tmp_path / "out"
    build_dataset([varied / "inside"], out, BuildOptions(name="one"), warn=ignore)

    def interrupt(items, total):
        for count, item in enumerate(items):
            if count == 3:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        build_dataset([varied], out, BuildOptions(name="two"), overwrite=True, warn=ignore, track=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert dataset_info(str(out)).name == "one"


def test_folders_without_usable_pictures_are_errors(varied: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        build_dataset([tmp_path / "empty"], tmp_path / "out", BuildOptions(), warn=ignore)
    with pytest.raises(InputError, match="no such file or folder"):
        build_dataset([tmp_path / "none"], tmp_path / "out", BuildOptions(), warn=ignore)
    with pytest.raises(InputError, match="10 pictures, none of them to train on: 9 smaller than 900 pixels, 1 broken"):
        build_dataset([varied], tmp_path / "out", BuildOptions(min_side=900), warn=ignore)
    with pytest.raises(InputError, match="2 pictures, none of them to train on: 1 below JPEG quality 70, 1 held out"):
        options = BuildOptions(validation_pattern="plain*", min_jpeg_quality=70)
        build_dataset([varied / "low.jpg", varied / "plain.jpg"], tmp_path / "out", options, warn=ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "Photos"}, "--name: found 'Photos', expected small letters"),
        ({"validation_percent": 100.0}, "--validation-percent"),
        ({"validation_percent": 5.0, "validation_pattern": "*%2"}, "either a pattern or"),
        ({"shard_size": 0}, "--shard-size"),
        ({"min_jpeg_quality": 101}, "--min-jpeg-quality: found 101, expected 0 to 100"),
    ],
)
def test_options_out_of_their_range_are_named(settings: dict, says: str):
    with pytest.raises(OptionError, match=says):
        BuildOptions(**settings)


def test_without_tfds_the_message_says_what_to_install(varied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(MissingDependency, match=r"pip install 'jaxicm\[data\]'"):
        build_dataset([varied], tmp_path / "out", BuildOptions(), warn=ignore)
