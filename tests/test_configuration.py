"""Configuration dataclasses as plain data and changed by words."""

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxicm.configuration import apply_overrides, from_dict, to_dict
from jaxicm.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    width: int = 3
    rates: tuple[float, ...] = (0.5, 1.0)

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width must be positive, got {self.width}")


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    kind: Literal["adam", "muon"] = "adam"
    limit: float | None = None
    fast: bool = False
    table: dict[str, int] = field(default_factory=dict)
    extra: Inner | None = None


@given(
    st.builds(
        Outer,
        name=st.text(),
        inner=st.builds(Inner, st.integers(1, 99), st.lists(st.floats(allow_nan=False), max_size=3).map(tuple)),
        kind=st.sampled_from(["adam", "muon"]),
        limit=st.none() | st.floats(allow_nan=False),
        fast=st.booleans(),
        table=st.dictionaries(st.text(), st.integers()),
        extra=st.none() | st.builds(Inner, st.integers(1, 99), st.just(())),
    )
)
def test_a_configuration_survives_json(config: Outer):
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config


def test_missing_keys_take_their_defaults():
    assert from_dict(Outer, {"name": "a", "inner": {"width": 5}}) == Outer("a", Inner(5))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "a", "nmae": 1}, ["nmae", "did you mean 'name'"]),
        ({"name": "a", "inner": {"sigma": 1}}, ["inner.sigma", "known are width rates"]),
        ({}, ["name is missing"]),
        ({"name": 3}, ["name", "3", "str"]),
        ({"name": "a", "fast": 1}, ["fast", "bool"]),
        ({"name": "a", "inner": {"width": True}}, ["inner.width", "True", "int"]),
        ({"name": "a", "inner": {"width": 2.0}}, ["inner.width", "2.0", "int"]),
        ({"name": "a", "inner": {"rates": 2.0}}, ["inner.rates", "2.0"]),
        ({"name": "a", "inner": 4}, ["inner", "4", "Inner"]),
        ({"name": "a", "kind": "sgd"}, ["kind", "sgd", "adam, muon"]),
        ({"name": "a", "inner": {"width": 0}}, ["inner", "width must be positive", "0"]),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_key(data: dict, words: list[str]):
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, data)
    assert all(word in str(caught.value) for word in words), caught.value


def test_words_change_settings_with_the_type_of_the_field():
    words = ["name=b", "inner.width=1e2", "inner.rates=0.25,2", "kind=muon", "limit=3", "fast=true"]
    assert apply_overrides(Outer("a"), words) == Outer("b", Inner(100, (0.25, 2.0)), "muon", 3.0, True)
    assert apply_overrides(Outer("a", limit=2.0), ["limit=none"]).limit is None
    assert apply_overrides(Outer("a"), ["inner.rates="]).inner.rates == ()
    assert apply_overrides(Outer("a"), ["name=a=b"]).name == "a=b"


def test_a_part_that_is_off_is_switched_on_by_its_settings_and_off_by_none():
    on = apply_overrides(Outer("a"), ["extra.width=7"])
    assert on.extra == Inner(7)
    assert apply_overrides(on, ["extra.rates=1"]).extra == Inner(7, (1.0,))
    assert apply_overrides(on, ["extra=none"]).extra is None


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("name", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        ("inner.widht=3", "did you mean 'width'"),
        ("inner=3", "name one of its settings: width rates"),
        ("name.first=3", "holds no settings"),
        ("inner.width=wide", "inner.width: found 'wide', expected a value of type int"),
        ("inner.width=1.5", "inner.width: found 1.5"),
        ("fast=maybe", "fast: found 'maybe', expected a value of type bool"),
        ("kind=sgd", "expected one of adam, muon"),
        ("inner.width=-1", "width must be positive, got -1"),
    ],
)
def test_a_wrong_word_is_an_error_that_says_what_is_right(word: str, part: str):
    with pytest.raises(ConfigError) as caught:
        apply_overrides(Outer("a"), [word])
    assert part in str(caught.value)
