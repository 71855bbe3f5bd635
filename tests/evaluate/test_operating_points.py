"""Weight files of single rates, evaluated as one codec."""

import shutil
from pathlib import Path

import pytest

from jaxicm.errors import InputError, OptionError
from jaxicm.evaluate.adaptation import Adaptation
from jaxicm.evaluate.operating_points import OperatingPoints, point_files
from jaxicm.evaluate.subjects import subject


@pytest.fixture
def points(tiny_weights: Path, tmp_path: Path) -> Path:
    """A run's folder of two points, which are alike."""
    folder = tmp_path / "run" / "points"
    folder.mkdir(parents=True)
    for name in ("qp22", "qp37"):
        shutil.copy(tiny_weights, folder / f"{name}.safetensors")
    (folder / "notes.txt").write_text("no weights")
    return folder


def test_the_setting_is_the_qp(points: Path, photograph):
    assert list(point_files(points)) == [22.0, 37.0]
    item = subject(str(points))
    assert isinstance(item, OperatingPoints)
    assert item.name == "run" and item.default == (22.0, 37.0) and "2 operating points" in item.title
    picture = photograph(40, 50)
    coded = item.encode(picture, 37.0)
    assert item.decode(coded.data, 40, 50).pixels.shape == picture.shape
    item.check(22.0)
    with pytest.raises(OptionError, match="the settings are 22, 37, got 30"):
        item.check(30.0)


def test_mistakes_are_named(points: Path, tmp_path: Path):
    assert point_files(tmp_path) == {} == point_files(tmp_path / "none")
    with pytest.raises(InputError, match="holds no operating points"):
        OperatingPoints.load(tmp_path)
    with pytest.raises(OptionError, match="takes no --fresh"):
        subject(str(points), adaptation=Adaptation(1))
