"""`jaxicm dataset`: what the user reads, and what `jaxicm train` makes of the names of data sets."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    """Twelve pictures and a broken one."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:200])
    return folder


def test_build_says_what_it_made_and_how_to_train_on_it(run, folder: Path, tmp_path: Path):
    pytest.importorskip("tensorflow_datasets")
    out = tmp_path / "my set"
    done = run("dataset", "build", folder, "--out", out, "--validation-pattern", "*%4")
    assert done.code == 0, done.err
    assert "my_set 1.0.0, array_record" in done.out
    rows = [line.split() for line in done.out.splitlines() if line.strip().startswith(("train ", "validation "))]
    assert [row[:2] for row in rows] == [["train", "9"], ["validation", "3"]]
    assert "12 files stored as they are, 0 as PNG, skipped 1 broken" in done.out
    assert done.out.splitlines()[-1].strip() == f"jaxicm train configs/image_fast.py --data '{out}'"
    assert done.err.count("\n") == 1 and f"note: skipped: {folder / 'cut.png'}" in done.err
    assert "56x40" in run("dataset", "info", out).out
    found = json.loads(run("dataset", "info", out, "--json").out)
    assert [split["pictures"] for split in found["splits"]] == [9, 3]


def test_mistakes_are_one_line(run, folder: Path, tmp_path: Path):
    pytest.importorskip("tensorflow_datasets")
    (tmp_path / "empty").mkdir()
    for words, says in (
        ((tmp_path / "empty", "--out", tmp_path / "a"), "holds no picture"),
        ((tmp_path / "none", "--out", tmp_path / "a"), "no such file or folder"),
        ((folder, "--out", tmp_path / "empty" / "x", "--shard-size", 0), "--shard-size"),
        ((folder, "--out", folder), "is no TFDS data set"),
    ):
        done = run("dataset", "build", *words)
        assert done.code == 2 and says in done.err.splitlines()[-1], done.err
    done = run("dataset", "info", folder)
    assert done.code == 2 and "holds no dataset_info.json" in done.err


def test_a_percentage_of_which_nothing_came_is_told(run, folder: Path, tmp_path: Path):
    pytest.importorskip("tensorflow_datasets")
    done = run("dataset", "build", folder, "--out", tmp_path / "a", "--validation-pattern", "none/*")
    assert done.code == 0 and "nothing is held out" in done.out


@pytest.mark.parametrize("words", [("dataset", "--help"), ("dataset", "build", "--help"), ("dataset", "info", "-h")])
def test_the_commands_have_help(run, words):
    done = run(*words)
    assert done.code == 0 and done.out.startswith("Usage: jaxicm dataset")


def test_train_refuses_data_that_is_not_there(run, tmp_path: Path):
    config = tmp_path / "config.py"
    config.write_text("")
    (tmp_path / "picture.png").write_text("")
    for source, says in (
        (tmp_path / "none", "no such folder"),
        (tmp_path / "picture.png", "is a file, but no .npy"),
        (f"{tmp_path}:train", "no such folder"),
    ):
        done = run("train", config, "--data", source)
        assert done.code == 2 and says in done.err
