"""The run file: a pure function of the journal, readable by CompressAI's plots, and kept in a golden example."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxicm.errors import InputError
from jaxicm.evaluate import run_file
from jaxicm.evaluate.journal import Journal

GOLDEN = Path(__file__).parent / "example_run.json"


def test_the_golden_example_is_what_its_journal_gives(example_journal):
    found = run_file.build(example_journal)
    assert found == json.loads(GOLDEN.read_text())


def test_a_run_file_is_written_byte_by_byte_as_the_golden_example(example_journal, tmp_path):
    run_file.write(tmp_path / "x.json", run_file.build(example_journal))
    assert (tmp_path / "x.json").read_bytes() == GOLDEN.read_bytes()


def test_plotting_tools_find_curves_of_rising_rate(example_journal):
    run = run_file.build(example_journal)
    assert {"name", "description", "results"} <= run.keys()
    results = run["results"]
    lengths = {key: len(results[key]) for key in ("bpp", "psnr-rgb", "ms-ssim-rgb", "encoding_time", "decoding_time")}
    assert set(lengths.values()) == {4}
    assert (np.diff(results["bpp"]) > 0).all()


def test_results_are_means_and_times_are_medians(example_journal):
    results = run_file.build(example_journal)["results"]
    sizes = [[round(3000 * (1 + 0.2 * i) * 2 ** (q / 20)) for i in range(3)] for q in (10, 30, 50, 70)]
    np.testing.assert_allclose(results["bpp"], np.mean(sizes, axis=1) * 8 / 240000)
    np.testing.assert_allclose(results["psnr-rgb"], [27.5, 30.5, 33.5, 36.5])
    np.testing.assert_allclose(results["encoding_time"], [0.1] * 4)
    assert results["quality"] == [10.0, 30.0, 50.0, 70.0]
    assert results["scale"] == [100] * 4


def test_an_operating_point_counts_only_with_all_pictures(example_lines):
    run = run_file.build(Journal.of(example_lines[:-2]))  # without the last point, and without the task
    assert run["results"]["quality"] == [10.0, 30.0, 50.0]
    assert {row["quality"] for row in run["pictures"]} == {10.0, 30.0, 50.0}
    assert run["tasks"] == {}


def test_the_pictures_are_those_of_the_last_session(example_lines):
    session = next(line for line in example_lines if line.get("kind") == "session")
    run = run_file.build(Journal.of([*example_lines, session | {"pictures": ["b.png"]}]))
    assert {row["picture"] for row in run["pictures"]} == {"b.png"}
    assert run["results"]["psnr-rgb"] == pytest.approx([27.5, 30.5, 33.5, 36.5])
    assert run["data"]["count"] == 1
    assert run["crops"] == []
    assert run["tasks"] == {}, "figures of three pictures say nothing about one"


def test_what_was_not_measured_everywhere_is_null_and_what_nowhere_is_left_out(example_lines):
    for line in example_lines:
        if line.get("kind") == "point":
            line["measured"]["lpips"] = None
            if line["picture"] == "a.png" and line["quality"] == 70.0:
                line["measured"] |= {"psnr_rgb": None, "encode_s": None}
    results = run_file.build(Journal.of(example_lines))["results"]
    assert "lpips" not in results
    assert results["psnr-rgb"][3] is None, "an infinite value has no mean"
    assert results["encoding_time"][3] == pytest.approx(0.105), "of the pictures that have one"


def test_a_journal_without_a_session_has_no_run_file(example_lines):
    with pytest.raises(InputError, match="names no pictures"):
        run_file.build(Journal.of(example_lines[:1]))
