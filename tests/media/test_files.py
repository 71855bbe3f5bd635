"""Finding inputs and replacing outputs: a good file is never exchanged for half of one."""

import errno
import io
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jaxicm.errors import InputError, OutputError
from jaxicm.media.files import atomic_write, find_files, find_pictures, read_bytes


def test_a_write_replaces_the_whole_file(tmp_path):
    target = tmp_path / "a.bin"
    atomic_write(target, b"old contents")
    atomic_write(target, b"new")
    assert target.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failing_write_leaves_the_old_file_and_no_debris(tmp_path, monkeypatch, call, number):
    target = tmp_path / "a.bin"
    target.write_bytes(b"good")

    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutputError, match=r"a\.bin") as caught:
        atomic_write(target, b"x" * 100_000)
    assert ("disk is full" in str(caught.value)) == (number == errno.ENOSPC)
    assert target.read_bytes() == b"good"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_interrupted_write_leaves_the_old_file_and_no_debris(tmp_path, monkeypatch):
    target = tmp_path / "a.bin"
    target.write_bytes(b"good")

    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(target, b"half")
    assert target.read_bytes() == b"good"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_an_output_error():
    with pytest.raises(OutputError, match="disk is full"):
        atomic_write("/dev/full", b"x" * 10)


def test_a_missing_folder_and_a_folder_as_a_file_are_output_errors(tmp_path):
    with pytest.raises(OutputError, match="folder does not exist"):
        atomic_write(tmp_path / "none" / "a.bin", b"x")
    with pytest.raises(OutputError, match="this is a folder"):
        atomic_write(tmp_path, b"x")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="not a folder"):
        atomic_write(tmp_path / "file" / "a.bin", b"x")


def test_a_new_file_has_the_rights_of_the_umask_and_an_old_one_keeps_its_own(tmp_path):
    before = os.umask(0o027)
    try:
        atomic_write(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    (tmp_path / "a").chmod(0o600)
    atomic_write(tmp_path / "a", b"y")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_folders_are_searched_by_suffix_and_files_are_taken_as_named(tmp_path):
    for name in ("b.PNG", "a.jpg", "sub/c.webp", "text.txt", ".hidden.png", ".cache/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_pictures([tmp_path / "text.txt", tmp_path])
    assert [str(path.relative_to(tmp_path)) for path in found] == ["text.txt", "a.jpg", "b.PNG", "sub/c.webp"]
    with pytest.raises(InputError, match="no such file"):
        find_pictures([tmp_path / "none"])
    with pytest.raises(InputError, match=r"holds no compressed picture .*\.jicm"):
        find_files([tmp_path], {".jicm"}, "compressed picture")


def test_bytes_are_read_from_a_file_or_standard_input(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "empty").write_bytes(b"")
    assert read_bytes(tmp_path / "a") == b"abc"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"in")))
    assert read_bytes("-") == b"in"
    for path, says in ((tmp_path / "none", "no such file"), (tmp_path, "folder"), (tmp_path / "empty", "empty")):
        with pytest.raises(InputError, match=says):
            read_bytes(path)
    with pytest.raises(InputError, match="standard input: the file is empty"):
        read_bytes("-")
