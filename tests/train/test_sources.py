"""Sources of pictures: what they read, what they call it, and that they go to other processes."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import ConfigError, InputError
from jaxicm.train.data import select_files
from jaxicm.train.sources import ArraySource, FolderSource, JoinedSource, MemorySource, read_all
from jaxicm.train.tfds_source import find_tfds, is_tfds


def folder_source(folder: Path) -> FolderSource:
    return FolderSource(folder, select_files([str(folder)], ["*"]))


@pytest.fixture
def mixed(tmp_path: Path, picture_folder: Path) -> Path:
    """A good picture, a grey one, one cut off and a text."""
    good = (picture_folder / "p0003.png").read_bytes()
    (tmp_path / "a.png").write_bytes(good)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "b_grey.png")
    (tmp_path / "c_cut.png").write_bytes(good[:200])
    (tmp_path / "d_text.jpg").write_text("no picture")
    return tmp_path


def test_a_folder_gives_rgb_and_errors_that_name_the_file(mixed: Path):
    source = folder_source(mixed)
    assert len(source) == 4 and source.describe(1) == str(mixed / "b_grey.png")
    np.testing.assert_array_equal(source.picture(0), np.asarray(Image.open(mixed / "a.png")))
    np.testing.assert_array_equal(source.picture(1)[..., 2], np.arange(64).reshape(8, 8))
    assert source.encoded(2) == (mixed / "c_cut.png").read_bytes()
    for index, name in ((2, "c_cut.png"), (3, "d_text.jpg")):
        with pytest.raises(InputError, match=name):
            source.picture(index)


def test_a_picture_that_vanished_is_an_input_error(mixed: Path):
    source = folder_source(mixed)
    (mixed / "a.png").unlink()
    with pytest.raises(InputError, match="no such file"):
        source.picture(0)


def test_broken_pictures_are_reported_and_left_out(mixed: Path):
    remarks: list[str] = []
    source = folder_source(mixed)
    pictures = list(read_all(source, range(4), remarks.append))
    assert [picture.shape for picture in pictures] == [(96, 128, 3), (8, 8, 3)]
    assert len(remarks) == 2 and all(line.startswith("skipped: ") for line in remarks)
    assert "c_cut.png" in remarks[0] and "d_text.jpg" in remarks[1]


def test_pictures_in_memory_keep_their_numbers(mixed: Path):
    source = folder_source(mixed)
    kept = MemorySource(source)
    np.testing.assert_array_equal(kept.picture(0), source.picture(0))
    assert kept.picture(0) is kept.picture(0)
    assert kept.fingerprint == source.fingerprint and kept.describe(1) == source.describe(1)
    assert kept.encoded(0) == source.encoded(0)
    with pytest.raises(InputError, match=r"c_cut\.png"):
        kept.picture(2)


def test_an_array_counts_as_pictures(tmp_path: Path):
    array = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), np.uint8)
    np.save(tmp_path / "good.npy", array)
    np.save(tmp_path / "bad.npy", array.astype(np.float32))
    source = ArraySource(tmp_path / "good.npy")
    assert len(source) == 3 and source.describe(2).endswith("good.npy[2]") and source.encoded(0) is None
    np.testing.assert_array_equal([source.picture(index) for index in range(3)], array)
    assert len(pickle.dumps(source)) < 1000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(source)).picture(1), array[1])
    with pytest.raises(InputError, match="float32"):
        ArraySource(tmp_path / "bad.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(InputError, match="cannot be read as an array"):
        ArraySource(tmp_path / "text.npy")


def test_joined_sources_are_numbered_through(mixed: Path, tmp_path: Path):
    array = np.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), np.uint8)
    np.save(tmp_path / "three.npy", array)
    three = ArraySource(tmp_path / "three.npy")
    empty = FolderSource(mixed, [])
    joined = JoinedSource([three, empty, folder_source(mixed), three])
    assert len(joined) == 10
    np.testing.assert_array_equal(joined.picture(2), array[2])
    assert joined.picture(3).shape == (96, 128, 3) and joined.describe(6).endswith("d_text.jpg")
    np.testing.assert_array_equal(joined.picture(9), array[2])
    with pytest.raises(IndexError):
        joined.picture(10)


def test_the_fingerprint_knows_names_and_sizes_and_not_the_place(mixed: Path, tmp_path_factory: pytest.TempPathFactory):
    before = folder_source(mixed).fingerprint
    copy = tmp_path_factory.mktemp("copy")
    for path in mixed.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert folder_source(copy).fingerprint == before
    (copy / "d_text.jpg").write_text("another text")
    assert folder_source(copy).fingerprint != before
    (mixed / "d_text.jpg").rename(mixed / "e.jpg")
    assert folder_source(mixed).fingerprint != before


def test_tfds_names_are_told_from_folders(tmp_path: Path):
    data = tmp_path / "photos" / "large" / "1.2.0"
    for version in (data, data.with_name("1.10.0")):
        version.mkdir(parents=True)
        (version / "dataset_info.json").write_text("{}")
    newest = tmp_path / "photos" / "large" / "1.10.0"
    assert is_tfds(str(data)) and is_tfds(f"{data}:train[:5%]") and is_tfds("tfds:photos")
    assert not is_tfds(str(tmp_path)) and not is_tfds(f"{tmp_path}:train")
    assert find_tfds(f"{data}:train[:5%]").split == "train[:5%]" and find_tfds(str(data)).split is None
    found = find_tfds(f"tfds:photos/large:test@{tmp_path}")
    assert (found.directory, found.split) == (newest, "test")
    assert find_tfds(f"tfds:photos/large/1.2.0@{tmp_path}").directory == data
    with pytest.raises(ConfigError, match="configurations large"):
        find_tfds(f"tfds:photos@{tmp_path}")
    with pytest.raises(ConfigError, match=r"no prepared data set in .*clic"):
        find_tfds(f"tfds:clic@{tmp_path}")
    with pytest.raises(ConfigError, match=r"holds no dataset_info\.json"):
        find_tfds(str(tmp_path))
