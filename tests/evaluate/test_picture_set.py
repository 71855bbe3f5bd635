"""The pictures of a run: unique names, digests of pixels, and Kodak known by its pixels."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate.picture_set import survey
from jaxicm.media.pictures import write_picture


def write(path: Path, value: int = 0, shape: tuple[int, ...] = (4, 6, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, np.full(shape, value, np.uint8))
    return path


def test_a_set_knows_names_sizes_and_pixels(tmp_path):
    write(tmp_path / "set/a.png", 1)
    write(tmp_path / "set/b.png", 2, (5, 3))
    found = survey([tmp_path / "set"])
    assert [(p.name, p.height, p.width) for p in found.pictures] == [("a.png", 4, 6), ("b.png", 5, 3)]
    assert (found.folder, found.pixels, found.known_as) == ("set", 24 + 15, None)
    assert found.pictures[1].digest == hashlib.sha256(b"(5, 3)" + bytes([2] * 15)).hexdigest()


def test_the_digest_depends_on_names_and_pixels_but_not_on_the_order(tmp_path):
    a, b = write(tmp_path / "a.png", 1), write(tmp_path / "b.png", 2)
    both = survey([a, b]).digest
    assert survey([b, a]).digest == both
    assert survey([a]).digest != both
    write(b, 3)
    assert survey([a, b]).digest != both


def test_equal_file_names_become_paths_below_the_common_folder(tmp_path):
    for name in ("x/1/a.png", "x/2/a.png", "x/2/b.png"):
        write(tmp_path / name)
    assert [p.name for p in survey([tmp_path]).pictures] == ["1/a.png", "2/a.png", "2/b.png"]


def test_a_file_named_twice_counts_once(tmp_path, monkeypatch):
    write(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    found = survey([Path("a.png"), tmp_path / "a.png", Path()])
    assert [p.name for p in found.pictures] == ["a.png"]
    assert found.folder == tmp_path.name


def test_damaged_pictures_are_errors_before_anything_is_measured(tmp_path):
    write(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"b\.png: damaged"):
        survey([tmp_path])


def test_the_user_may_say_what_the_pictures_are(tmp_path):
    write(tmp_path / "a.png")
    assert survey([tmp_path], "clic2020-mobile").known_as == "clic2020-mobile"


def test_kodak_is_recognised_by_its_pixels_alone(tmp_path):
    folder = Path(os.environ.get("JAXICM_DATA", "")) / "kodak"
    if "JAXICM_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("the Kodak pictures are looked for in $JAXICM_DATA/kodak")
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for index, file in enumerate(sorted(folder.glob("*.png"))):
        (renamed / f"{99 - index}.png").symlink_to(file)
    assert survey([renamed]).known_as == "kodak"
    (renamed / "99.png").unlink()
    assert survey([renamed]).known_as is None
