"""The journal: everything noted is there again, a torn last line costs itself only, and other runs are kept apart."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.errors import InputError, OptionError, OutputError
from jaxicm.evaluate.journal import Journal, Key
from jaxicm.evaluate.picture_set import SetPicture

HEADER = {"codec": {"name": "jpeg", "identity": {"pillow": "12"}}, "fresh": False, "created": "today"}
SESSION = {"command": "jaxicm eval", "labels": {}, "observers": {}}
A = SetPicture("a.png", Path("a.png"), 4, 6, "aaaa")


def noted(path: Path, points: int = 3) -> None:
    with Journal.open(path, HEADER) as journal:
        journal.begin(SESSION, [A])
        for quality in range(points):
            journal.add(Key("a.png", float(quality), 100), {"bpp": quality / 8})


def test_what_was_noted_is_known_again(tmp_path):
    path = tmp_path / "x.jsonl"
    noted(path)
    with Journal.open(path, HEADER | {"created": "tomorrow"}) as journal:
        assert journal.header["created"] == "today"
        assert [entry.measured["bpp"] for entry in journal.entries.values()] == [0, 0.125, 0.25]
        assert journal.pictures["a.png"]["height"] == 4
        assert journal.session["pictures"] == ["a.png"]
    assert Journal.read(path).entries == journal.entries


def test_a_later_line_adds_to_an_earlier_one(tmp_path):
    with Journal.open(tmp_path / "x.jsonl", HEADER) as journal:
        journal.add(Key("a.png", 5.0, 50), {"bpp": 1.0, "lpips": None})
        journal.add(Key("a.png", 5.0, 50), {"lpips": 0.25}, {"net": {"seen": 3}}, {"box": [0, 0, 1, 1]})
    (entry,) = Journal.read(tmp_path / "x.jsonl").entries.values()
    assert entry.measured == {"bpp": 1.0, "lpips": 0.25}
    assert entry.observations == {"net": {"seen": 3}}
    assert entry.crop == {"box": [0, 0, 1, 1]}


@given(cut=st.integers(0, 400))
def test_wherever_an_interruption_cuts_the_file_the_whole_lines_stay(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "x.jsonl"
    noted(path)
    whole = path.read_bytes()
    data = whole[: max(0, len(whole) - cut)]
    path.write_bytes(data)
    points = data[: data.rfind(b"\n") + 1].count(b'"point"')
    with Journal.open(path, HEADER) as journal:
        assert len(journal.entries) == points
        journal.add(Key("b.png", 1.0, 100), {"bpp": 1.0})
    for line in path.read_text().splitlines():
        json.loads(line)
    assert len(Journal.read(path).entries) == points + 1


def test_every_finished_line_is_on_the_disk_at_once(tmp_path):
    with Journal.open(tmp_path / "x.jsonl", HEADER) as journal:
        journal.add(Key("a.png", 5.0, 100), {"bpp": 1.0})
        assert len(Journal.read(tmp_path / "x.jsonl").entries) == 1


def test_without_a_file_everything_is_in_memory():
    with Journal.open(None, HEADER) as journal:
        journal.begin(SESSION, [A])
        journal.add(Key("a.png", 5.0, 100), {"bpp": 1.0})
        assert list(journal.entries) == [Key("a.png", 5.0, 100)]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (HEADER | {"codec": {"name": "webp", "identity": {}}}, "its codec was jpeg, now it is webp; .*--overwrite"),
        (HEADER | {"codec": {"name": "jpeg", "identity": {"pillow": "13"}}}, "identity was .*12.*now it is .*13"),
        (HEADER | {"fresh": True}, "--fresh was False, now it is True"),
    ],
)
def test_another_run_is_refused_or_replaced(tmp_path, header, says):
    path = tmp_path / "x.jsonl"
    noted(path)
    with pytest.raises(OptionError, match=says), Journal.open(path, header):
        pass
    assert len(Journal.read(path).entries) == 3
    with Journal.open(path, header, overwrite=True) as journal:
        assert journal.entries == {}
    assert Journal.read(path).header["fresh"] == header["fresh"]


def test_another_picture_or_network_of_the_same_name_is_refused(tmp_path):
    noted(tmp_path / "x.jsonl")
    with Journal.open(tmp_path / "x.jsonl", HEADER) as journal:
        with pytest.raises(OptionError, match=r"a\.png was another picture \(6x4, digest aaaa, now 6x5, bbbb\)"):
            journal.begin(SESSION, [SetPicture("a.png", Path("a.png"), 5, 6, "bbbb")])
        journal.begin(SESSION | {"observers": {"net": "1234"}}, [A])
        with pytest.raises(OptionError, match="net had other weights"):
            journal.begin(SESSION | {"observers": {"net": "5678"}}, [A])


def test_labels_add_up_over_sessions():
    with Journal.open(None, HEADER) as journal:
        journal.begin(SESSION | {"labels": {"a": "1", "b": "1"}}, [A])
        journal.begin(SESSION | {"labels": {"b": "2"}}, [A])
        assert journal.session["labels"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize("text", ["[]\n", "{}\n", "no journal", '{"format": "else"}\n', "\n\n"])
def test_a_file_that_is_no_journal_is_refused_and_not_touched(tmp_path, text):
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"no journal|no JSON"), Journal.open(path, HEADER):
        pass
    assert path.read_text() == text


@pytest.mark.parametrize(("line", "says"), [("{", "line 2 is no JSON"), ('{"kind": "point"}', "line 2 lacks a field")])
def test_damage_before_the_last_line_is_an_error(tmp_path, line, says):
    path = tmp_path / "x.jsonl"
    noted(path)
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first, line, *rest]) + "\n")
    with pytest.raises(InputError, match=says):
        Journal.read(path)


def test_two_processes_do_not_write_one_journal(tmp_path):
    pytest.importorskip("fcntl")
    with (
        Journal.open(tmp_path / "x.jsonl", HEADER),
        pytest.raises(OptionError, match="another process is writing it"),
        Journal.open(tmp_path / "x.jsonl", HEADER),
    ):
        pass


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(OutputError, match="its folder does not exist"), Journal.open(tmp_path / "no/x.jsonl", HEADER):
        pass
