"""Run configurations: files, words, JSON, and the rules between fields."""

import dataclasses
from pathlib import Path

import pytest

from jaxicm.errors import ConfigError
from jaxicm.train.config import TrainConfig, load_config, load_run_config, save_run_config

CONFIGS = sorted(p for p in (Path(__file__).parents[2] / "configs").glob("*.py") if "latents" not in p.stem)
"""Those of training; `tests/cli/test_effort.py` and `tests/evaluate/test_latent_ablation.py` read the others."""
FAST = next(path for path in CONFIGS if path.stem == "image_fast")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_shipped_configuration_loads_and_names_itself(path: Path, tmp_path: Path):
    config = load_config(path)
    assert config.name == path.stem
    save_run_config(tmp_path, config)
    assert load_run_config(tmp_path) == config


def test_words_reach_nested_settings(tmp_path: Path):
    path = tmp_path / "c.py"
    path.write_text("from jaxicm.train.config import TrainConfig\ndef config(): return TrainConfig(name='a')\n")
    config = load_config(path, ["optimizer.multipliers.linear=0.5", "model.entropy.hidden=64", "steps=7"])
    assert config.optimizer.multipliers.linear == 0.5
    assert config.model.entropy.hidden == 64
    assert config.steps == 7


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "no such configuration file"),
        ("x = 1", "defines no function config()"),
        ("def config(): return 3", "returned a int"),
        ("def config(): return 1 / 0", "ZeroDivisionError"),
        ("def config(", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
    ],
)
def test_a_wrong_file_is_one_clear_error(text: str | None, part: str, tmp_path: Path):
    path = tmp_path / "c.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"name": ""}, "name"),
        ({"crop": 100}, "crop: found 100, must be a multiple of 64"),
        ({"batch": 0}, "batch"),
        ({"ema": 1.0}, "ema"),
        ({"quality_min": 0.0}, "must be in [1, 100]"),
        ({"quality_min": 60.0, "quality_max": 50.0}, "not below quality_min"),
    ],
)
def test_values_out_of_range_are_errors(changes: dict, part: str):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**({"name": "a"} | changes))
    assert part in str(caught.value)


def test_transforms_and_probability_model_must_agree():
    with pytest.raises(ConfigError, match="channels"):
        load_config(FAST, ["model.transform.channels=16"])
    with pytest.raises(ConfigError, match="anchors"):
        load_config(FAST, ["model.entropy.anchors=3"])


def test_a_folder_that_is_no_run_says_so(tmp_path: Path):
    with pytest.raises(ConfigError, match="no run folder"):
        load_run_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        load_run_config(tmp_path)


def test_a_configuration_cannot_be_changed_in_place(config: TrainConfig):
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 3  # type: ignore[misc]
