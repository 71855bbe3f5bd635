"""Settings of the training data: mistakes are named, and so is what would be right."""

from pathlib import Path

import pytest

from jaxicm.configuration import apply_overrides, from_dict, to_dict
from jaxicm.errors import ConfigError
from jaxicm.train.config import TrainConfig
from jaxicm.train.data_config import DataConfig


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"smallest_scale": 0.0}, "data.smallest_scale: found 0.0"),
        ({"smallest_scale": 1.5}, "data.smallest_scale: found 1.5"),
        ({"unscaled": -0.1}, "data.unscaled"),
        ({"min_jpeg_quality": 101}, r"data.min_jpeg_quality: found 101, must be in \[0, 100\]"),
        ({"min_side": -1}, "data.min_side"),
        ({"min_contrast": -1.0}, "data.min_contrast"),
        ({"objects": 0}, "data.objects: found 0, must be at least 1"),
        ({"object_share": 1.1}, r"data.object_share: found 1.1, must be in \[0, 1\]"),
        ({"workers": -1}, "data.workers"),
        ({"prefetch": 0}, "data.prefetch"),
        ({"weights": (1.0, 0.0)}, "data.weights.*above 0"),
        ({"folders": ("a",), "weights": (1.0, 2.0)}, "one for each of the 1 data.folders"),
    ],
)
def test_a_setting_out_of_its_range_is_named(settings: dict, says: str):
    with pytest.raises(ConfigError, match=says):
        DataConfig(**settings)


def test_settings_are_changed_by_words_and_survive_json(config: TrainConfig):
    words = ["data.loader=grain", "data.workers=2", "data.smallest_scale=0.5", "data.weights=3"]
    changed = apply_overrides(config, words)
    assert changed.data.loader == "grain" and changed.data.weights == (3.0,) and changed.data.workers == 2
    assert from_dict(TrainConfig, to_dict(changed)) == changed
    changed = apply_overrides(config, ["data.annotations=a.json", "data.objects=9", "data.object_share=0.5"])
    assert (changed.data.annotations, changed.data.objects, changed.data.object_share) == (("a.json",), 9, 0.5)
    with pytest.raises(ConfigError, match="memory, threads, grain"):
        apply_overrides(config, ["data.loader=torch"])


@pytest.mark.parametrize("name", ["image_fast", "image_tiny", "licmsp_base", "licmsp_extra", "mspsm_paper"])
def test_the_configurations_that_come_with_jaxicm_are_read(name: str):
    from jaxicm.train.config import load_config

    path = Path(__file__).parents[2] / "configs" / f"{name}.py"
    assert 0 < load_config(path).data.smallest_scale <= 1
