"""Sizes, colours and targets as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.cli.values import (
    choose_target,
    parse_choices,
    parse_colour,
    parse_labels,
    parse_numbers,
    parse_size,
    parse_tune,
)
from jaxicm.errors import OptionError


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("40000", 40_000),
        ("40kB", 40_000),
        ("40 KB", 40_000),
        ("40k", 40_000),
        ("1.5MB", 1_500_000),
        (".5mb", 500_000),
        ("64KiB", 65_536),
        ("2MiB", 2_097_152),
        ("1GiB", 1 << 30),
        ("12B", 12),
    ],
)
def test_sizes_with_units(text, size_bytes):
    assert parse_size(text) == size_bytes


@given(st.text(max_size=8))
def test_a_text_is_a_positive_size_or_an_option_error(text):
    try:
        assert parse_size(text) >= 1
    except OptionError as error:
        assert "--size" in str(error)


@pytest.mark.parametrize(
    ("text", "colour"),
    [("white", (255, 255, 255)), ("#102030", (16, 32, 48)), ("#fff", (255, 255, 255)), ("1, 2,3", (1, 2, 3))],
)
def test_colours(text, colour):
    assert parse_colour(text) == colour


def test_one_target_becomes_one_keyword():
    assert choose_target(None, None, None, None) == {"quality": 50.0}
    assert choose_target(60, None, None, None) == {"quality": 60}
    assert choose_target(None, 0.5, None, None) == {"bpp": 0.5}
    assert choose_target(None, None, "40kB", None) == {"size_bytes": 40_000}
    assert choose_target(None, None, None, 34) == {"psnr": 34}
    with pytest.raises(OptionError, match="--quality and --bpp and --size and --psnr exclude each other"):
        choose_target(60, 0.5, "1", 34)


def test_lists_of_numbers_are_sorted():
    assert parse_numbers("50, 5,20.5,5", "--qualities") == (5.0, 20.5, 50.0)
    for text in ("", ",", "a", "nan", "1,inf"):
        with pytest.raises(OptionError, match="--qualities"):
            parse_numbers(text, "--qualities")


def test_choices_are_some_of_the_allowed_numbers():
    assert parse_choices("25,100,25", "--scales", (100, 75, 50, 25)) == (100, 25)
    for text in ("", "30", "100,50.5", "x"):
        with pytest.raises(OptionError, match="--scales"):
            parse_choices(text, "--scales", (100, 75, 50, 25))


def test_labels_are_keys_and_values():
    assert parse_labels(["order=2x2", " a = b=c "]) == {"order": "2x2", "a": "b=c"}
    assert parse_labels([]) == {}
    for texts in (["order"], ["=2"], ["a=1", "a=2"]):
        with pytest.raises(OptionError, match="--label"):
            parse_labels(texts)


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        (None, None),
        ("psnr", "mse"),
        ("ms-ssim", "ms-ssim"),
        ("mixed", "mixed"),
        ("machine", "machine"),
        ("yolox_nano/labels,squeezenet", "yolox_nano/labels,squeezenet"),
        ("mine.py:make", "mine.py:make"),
    ],
)
def test_objectives_of_an_adaptation(text, objective):
    assert parse_tune(text) == objective


@pytest.mark.parametrize("text", ["", "mse", "PSNR", "machine,", "deimv2_femto"])
def test_other_objectives_are_refused(text):
    with pytest.raises(OptionError, match="choose from psnr, ms-ssim, mixed, machine, yolox_nano"):
        parse_tune(text)
