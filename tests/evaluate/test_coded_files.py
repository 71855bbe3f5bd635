"""Files of conventional codecs are coded once and found again by all that fixes their bytes."""

import numpy as np
import pytest
from PIL import Image

from jaxicm.errors import InputError
from jaxicm.evaluate.coded_files import SUFFIX, CodedFiles
from jaxicm.evaluate.coding import Need, code_file
from jaxicm.evaluate.journal import Key
from jaxicm.evaluate.subjects import Encoded


class CountingSubject:
    """Code a picture as its bytes, and count how often."""

    name, kind = "counting", "conventional"

    def __init__(self, version: str = "1"):
        self.identity = {"version": version}
        self.encodings = 0

    def encode(self, pixels: np.ndarray, setting: float) -> Encoded:
        self.encodings += 1
        return Encoded(bytes([int(setting)]) + b"\n" + pixels.tobytes(), 0.25 * self.encodings)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def test_the_second_time_the_kept_file_and_its_first_time_are_returned(tmp_path, pixels):
    subject = CountingSubject()
    first = CodedFiles(tmp_path).encode(subject, pixels, 10)
    second = CodedFiles(tmp_path).encode(subject, pixels, 10)
    assert subject.encodings == 1
    assert second == first == Encoded(b"\x0a\n" + pixels.tobytes(), 0.25)


def test_another_setting_picture_shape_or_version_is_coded_anew(tmp_path, pixels):
    subject, files = CountingSubject(), CodedFiles(tmp_path)
    files.encode(subject, pixels, 10)
    files.encode(subject, pixels, 11)
    files.encode(subject, pixels + 1, 10)
    files.encode(subject, pixels.reshape(3, 2, 3), 10)
    assert subject.encodings == 4
    newer = CountingSubject("2")
    files.encode(newer, pixels, 10)
    assert newer.encodings == 1


def test_a_learned_codec_is_timed_every_time(tmp_path, pixels):
    subject = CountingSubject()
    subject.kind = "learned"
    for _ in range(2):
        CodedFiles(tmp_path).encode(subject, pixels, 10)
    assert subject.encodings == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: b"[]\n" + data])
def test_a_damaged_file_is_refused(tmp_path, pixels, damage):
    files, subject = CodedFiles(tmp_path), CountingSubject()
    files.encode(subject, pixels, 10)
    (path,) = tmp_path.rglob(f"*{SUFFIX}")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="damaged"):
        files.encode(subject, pixels, 10)


def test_a_run_takes_its_files_from_the_folder(tmp_path, pixels):
    picture = tmp_path / "picture.png"
    Image.fromarray(np.tile(pixels, (8, 8, 1))).save(picture)
    need, folder = Need(Key("picture.png", 40.0, 100)), tmp_path / "kept"
    made = code_file("jpeg", picture, need, folder)
    (kept,) = (folder / "jpeg").iterdir()
    first_line, _, data = kept.read_bytes().partition(b"\n")
    assert made.measured["size_bytes"] == len(data)
    kept.write_bytes(first_line.replace(b'"seconds": ', b'"seconds": 7') + b"\n" + data)
    assert code_file("jpeg", picture, need, folder).measured["encode_s"] >= 7
