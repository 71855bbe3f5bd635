"""Ablations of lossless codecs: what is measured, with both networks; the papers' configuration in small."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jaxicm.configuration import apply_overrides
from jaxicm.entropy.pixels import PixelConfig
from jaxicm.models.lossless import LosslessConfig
from jaxicm.train import ablation
from jaxicm.train.ablation import BASE, Variant, run_ablation
from jaxicm.train.ablation_lossless import measure_coding
from jaxicm.train.config import TrainConfig, ValidationConfig, load_config
from jaxicm.train.corpus import prepare_data
from jaxicm.train.log import read_log
from jaxicm.train.loop import train_run

CONFIGS = Path(__file__).parents[2] / "configs"
TINY_MASKED = (
    "lossless.model.colour=none", "lossless.model.masked.features=4", "lossless.model.masked.blocks=1",
    "lossless.model.masked.mixtures=1", "lossless.model.masked.scales=1", "lossless.scales=1",
)  # fmt: skip


@pytest.fixture
def base(config: TrainConfig) -> TrainConfig:
    ours = load_config(CONFIGS / "ablation_lossless.py").lossless
    assert ours is not None
    pixels = PixelConfig(scales=1, taps=12, hidden=8, layers=1, head=4, mixtures=1)
    small = dataclasses.replace(ours, model=LosslessConfig(pixels), scales=1)
    validation = ValidationConfig(include=("*%4",), every=100, crop=64, qualities=(50.0,), pictures=0)
    return dataclasses.replace(config, lossless=small, validation=validation, batch=2)


@pytest.mark.slow
def test_every_variant_is_trained_coded_and_timed(base: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ablation, "step_seconds", lambda config: 0.1)
    monkeypatch.setattr(ablation, "relative_cost", lambda base, config: 1.0)
    monkeypatch.setattr(ablation, "_FEWEST_STEPS", 1)
    variants = [
        Variant(BASE, BASE, ()),
        Variant("masked", "guided", (*TINY_MASKED, "lossless.model.masked.kind=entropy")),
    ]
    rows = run_ablation(base, variants, tmp_path, 0.3, lambda line: None)
    for row in rows:
        assert row.steps == 3 and row.coding is not None
        assert row.coding["bpsp"] == pytest.approx(row.loss + 2.0)  # a quarter of the samples at 8 bits
        assert row.coding["calls"] == 3 and row.coding["side"] == 64
        assert row.coding["encode_s"] > 0 and row.coding["decode_s"] > 0 and row.coding["kmac_per_pixel"] > 0
    assert run_ablation(base, variants, tmp_path, 0.3, lambda line: None) == rows  # read from the folder


def test_the_estimate_is_the_size_of_a_coded_crop(base: TrainConfig, tmp_path: Path):
    config = apply_overrides(base, (*TINY_MASKED, "steps=2", "lossless.model.masked.scales=2", "lossless.scales=2"))
    assert config.lossless is not None
    run = train_run(config, tmp_path / "run", quiet=True)
    corpus = prepare_data(config, lambda note: None)
    (last,) = [event for event in read_log(run, "validation") if event["step"] == 2]
    found = [
        measure_coding(run, config.lossless, corpus.held_out[k:], last["loss"]) for k in range(len(corpus.held_out))
    ]
    mean = np.mean([figures["crop_bpsp"] for figures in found])
    # Heads and lanes of tiny crops, and up to 18 bits for a sample of the coarsest grid, a sixteenth of all.
    assert found[0]["bpsp"] * 0.99 <= mean <= found[0]["bpsp"] * 1.05 + 0.1


def test_the_papers_configuration_has_its_sizes_and_trains_in_small(config: TrainConfig, tmp_path: Path):
    paper = load_config(CONFIGS / "mspsm_paper.py")
    assert paper.lossless is not None and paper.lossless.model.masked is not None
    masked = paper.lossless.model.masked
    assert (masked.features, masked.blocks, masked.mixtures, masked.scales, masked.cell) == (64, 5, 10, 3, "2x2")
    assert paper.optimizer.name == "adam" and 1e-4 <= paper.optimizer.learning_rate <= 5e-4
    small = apply_overrides(paper, (*TINY_MASKED, "crop=64", "batch=2", "steps=2", "validation.crop=64", "devices=1"))
    small = dataclasses.replace(small, data=config.data, log_every=1)
    run = train_run(small, tmp_path / "run", quiet=True)
    assert [np.isfinite(event["loss"]) for event in read_log(run, "train")] == [True, True]
