"""An effort makes another codec under test: its name, its identity, and what is compiled before the clock starts."""

import json
from dataclasses import replace

import pytest

from jaxicm.adapt.effort import EFFORTS
from jaxicm.adapt.stage import Stage
from jaxicm.evaluate.adaptation import Adaptation

STAGES = (Stage("coordinate", iterations=8, check_every=4), Stage("sga", iterations=20), Stage("sga", iterations=40))


@pytest.mark.parametrize(
    ("adaptation", "suffix", "addition"),
    [
        (Adaptation(7), "-e7", ", effort 7"),
        (Adaptation(2, "mse"), "-e2-psnr", ", effort 2, tune psnr"),
        (Adaptation(STAGES, "ms-ssim", "sga"), "-sga-ms-ssim", ", stages sga, tune ms-ssim"),
    ],
)
def test_names_tell_what_was_asked_for(adaptation, suffix, addition):
    assert (adaptation.suffix, adaptation.addition) == (suffix, addition)


def test_whatever_changes_the_bytes_is_another_identity():
    longer = (*STAGES[:-1], replace(STAGES[-1], iterations=50))
    several = [Adaptation(n, tune) for n in range(1, 10) for tune in (None, "mse", "mixed")]
    several += [Adaptation(STAGES), Adaptation(longer)]
    identities = [json.dumps(each.identity(), sort_keys=True) for each in several]
    assert len(set(identities)) == len(several)
    assert json.loads(identities[0]) == several[0].identity(), "a journal gives back what was noted"


def test_an_effort_is_noted_with_its_stages():
    stages = Adaptation(5).figures()["stages"]
    assert [Stage(**stage) for stage in stages] == list(EFFORTS[5])


def test_warming_up_runs_every_kind_of_stage_once():
    assert Adaptation(STAGES, "mixed").options() == {"effort": STAGES, "tune": "mixed"}
    short = (replace(STAGES[0], iterations=4), replace(STAGES[1], iterations=10))
    assert Adaptation(STAGES, "mixed").warming() == {"effort": short, "tune": "mixed"}
    assert Adaptation((Stage(iterations=0),)).warming()["effort"] == (Stage(iterations=0),)
