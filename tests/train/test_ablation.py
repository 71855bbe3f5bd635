"""Variants at equal cost: how many steps each gets, what is kept, and mistakes."""

import dataclasses
import json
from pathlib import Path

import pytest

from jaxicm.configuration import to_dict
from jaxicm.errors import ConfigError, TrainingError
from jaxicm.train import ablation
from jaxicm.train.ablation import BASE, Variant, load_variants, relative_cost, run_ablation
from jaxicm.train.config import TrainConfig, save_run_config
from jaxicm.train.log import RunLog

BASE_ROW = Variant(BASE, BASE, ())
DEAR = Variant("batch", "16", ("batch=16",))
CURVE = {"quality": [20.0, 80.0], "bpp": [0.2, 0.9], "psnr": [28.0, 34.0]}


@pytest.fixture
def base(config: TrainConfig) -> TrainConfig:
    validation = dataclasses.replace(config.validation, include=("*%4",))
    optimizer = dataclasses.replace(config.optimizer, warmup=99)
    return dataclasses.replace(config, validation=validation, optimizer=optimizer)


class Training:
    """Stands for training: it notes what was asked for and writes the log of a run that did it."""

    def __init__(self) -> None:
        self.done: list[TrainConfig] = []
        self.stop_at: int | None = None

    def __call__(self, config: TrainConfig, run: Path, *, resume: bool, quiet: bool) -> Path:
        assert resume and quiet
        self.done.append(config)
        run.mkdir(parents=True, exist_ok=True)
        save_run_config(run, config)
        log = RunLog(run, quiet=True)
        log.event("validation", 0, {"loss": 9.0, **CURVE})
        log.event("validation", self.stop_at or config.steps, {"loss": 1.0 + 0.1 * len(self.done), **CURVE})
        log.close()
        return run


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Training:
    stand_in = Training()
    monkeypatch.setattr(ablation, "train_run", stand_in)
    monkeypatch.setattr(ablation, "step_seconds", lambda config: 0.5)
    monkeypatch.setattr(ablation, "relative_cost", lambda base, config: 2.0)
    return stand_in


def test_each_variant_gets_the_steps_that_the_budget_holds(base: TrainConfig, training: Training, tmp_path: Path):
    rows = run_ablation(base, [BASE_ROW, DEAR], tmp_path, 100.0, lambda line: None)
    assert [row.steps for row in rows] == [200, 100]
    assert [row.step_s for row in rows] == [0.5, 1.0]
    assert [row.loss for row in rows] == pytest.approx([1.1, 1.2]) and rows[0].curve == CURVE
    assert [config.name for config in training.done] == ["base", "batch-16"]
    assert training.done[1].batch == 16 and training.done[1].steps == 100
    assert [config.optimizer.warmup for config in training.done] == [40, 20]  # at most a fifth of the steps


def test_a_variant_is_measured_at_the_qualities_that_it_trains(base: TrainConfig, training: Training, tmp_path: Path):
    base = dataclasses.replace(
        base, validation=dataclasses.replace(base.validation, qualities=(10.0, 30.0, 50.0)), quality_max=50.0
    )
    alone = Variant("rates", "40", ("quality_min=40", "quality_max=40"))
    high = Variant("rates", "high", ("quality_min=20",))
    run_ablation(base, [BASE_ROW, alone, high], tmp_path, 100.0, lambda line: None)
    assert [c.validation.qualities for c in training.done] == [(10.0, 30.0, 50.0), (40.0,), (30.0, 50.0)]


def test_finished_variants_are_not_trained_again(base: TrainConfig, training: Training, tmp_path: Path):
    first = run_ablation(base, [BASE_ROW], tmp_path, 100.0, lambda line: None)
    rows = run_ablation(base, [BASE_ROW, DEAR], tmp_path, 100.0, lambda line: None)
    assert len(training.done) == 2 and rows[0] == first[0]
    with pytest.raises(ConfigError, match="another budget or configuration; name another folder with --out"):
        run_ablation(base, [BASE_ROW], tmp_path, 50.0, lambda line: None)
    with pytest.raises(ConfigError, match="another budget or configuration"):
        run_ablation(dataclasses.replace(base, seed=5), [BASE_ROW], tmp_path, 100.0, lambda line: None)


def test_a_variant_that_was_stopped_ends_the_ablation_and_goes_on_with_its_steps(
    base: TrainConfig, training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    training.stop_at = 3
    with pytest.raises(TrainingError, match="stopped before step 200; the same command goes on"):
        run_ablation(base, [BASE_ROW], tmp_path, 100.0, lambda line: None)
    training.stop_at = None
    monkeypatch.setattr(ablation, "step_seconds", lambda config: 99.0)  # is not asked again
    (row,) = run_ablation(base, [BASE_ROW], tmp_path, 100.0, lambda line: None)
    assert row.steps == 200


def test_without_validation_there_is_nothing_to_compare(config: TrainConfig, training: Training, tmp_path: Path):
    with pytest.raises(ConfigError, match="no validation pictures to compare on"):
        run_ablation(config, [BASE_ROW], tmp_path, 100.0, lambda line: None)


def write(path: Path, config: TrainConfig, variants: str) -> Path:
    path.write_text(
        "import json\nfrom jaxicm.configuration import from_dict\nfrom jaxicm.train.config import TrainConfig\n"
        f"def config(): return from_dict(TrainConfig, json.loads({json.dumps(to_dict(config))!r}))\n{variants}\n"
    )
    return path


def test_variants_are_read_with_the_base_first(config: TrainConfig, tmp_path: Path):
    variants = "def variants(): return {'batch': {'16': ('batch=16',), '24': ('batch=24',)}}"
    path = write(tmp_path / "a.py", config, variants)
    assert load_variants(path) == [BASE_ROW, DEAR, Variant("batch", "24", ("batch=24",))]
    assert [variant.folder for variant in load_variants(path)] == ["base", "batch-16", "batch-24"]


@pytest.mark.parametrize(
    ("variants", "part"),
    [
        ("", "defines no function variants()"),
        ("def variants(): return ['batch']", "variants() returned list"),
        ("def variants(): return {'a': {'1/2': ('batch=2',)}}", "a/1/2: name: found 'a-1/2', must be a file name"),
        ("def variants(): return {'a': {'b': ('btach=2',)}}", "a/b: unknown setting 'btach'; did you mean 'batch'?"),
    ],
)
def test_a_wrong_file_is_one_clear_error(config: TrainConfig, tmp_path: Path, variants: str, part: str):
    with pytest.raises(ConfigError) as caught:
        load_variants(write(tmp_path / "a.py", config, variants))
    assert part in str(caught.value)


@pytest.mark.parametrize("name", ["ablation_architectures", "ablation_recipe", "ablation_orders", "ablation_lossless"])
def test_the_shipped_ablations_are_readable(name: str):
    variants = load_variants(Path(__file__).parents[2] / "configs" / f"{name}.py")
    assert len({variant.folder for variant in variants}) == len(variants) >= 5


@pytest.mark.slow
def test_a_batch_of_four_times_the_crops_costs_more(base: TrainConfig):
    assert 1.2 < relative_cost(base, dataclasses.replace(base, batch=32)) < 6
