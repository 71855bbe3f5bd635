"""What `jaxicm train` does: a configuration file, words that change it, and the folder of a run become a run."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import jax

from jaxicm.compilation import use_compilation_cache
from jaxicm.configuration import apply_overrides, to_dict
from jaxicm.errors import ConfigError
from jaxicm.memory import keep_allocated_memory
from jaxicm.train.config import CONFIG_FILE, TrainConfig, load_config, load_run_config
from jaxicm.train.loop import train_run
from jaxicm.train.processes import same_everywhere


def train(
    config_path: Path, overrides: Sequence[str], out: Path | None, data: Sequence[str], resume: bool, resident: bool
) -> Path:
    """Run a configuration file, or go on with its run.

    Args:
      config_path: a file of `configs/`.
      overrides: `key=value` words. A resumed run keeps its own settings; only these change.
      out: folder of the run; by default `runs/NAME`.
      data: sources of training pictures, in place of the configuration's `data.folders`.
      resume: go on from the newest checkpoint.
      resident: keep the pictures in device memory.

    Returns:
      The folder of the run.

    Raises:
      ConfigError: the configuration, the pictures or the folder do not serve.
      TrainingError: loss or gradient is not finite several times in a row.
    """
    config, run = resolve(config_path, overrides, out, data, resume, resident)
    same_everywhere("the configuration", json.dumps(to_dict(config)) + str(run))
    if jax.default_backend() == "cpu":
        keep_allocated_memory()
    use_compilation_cache()
    return train_run(config, run, resume=resume)


def resolve(
    config_path: Path, overrides: Sequence[str], out: Path | None, data: Sequence[str], resume: bool, resident: bool
) -> tuple[TrainConfig, Path]:
    """Find the configuration and the folder of the run that `train` is asked for, with its arguments."""
    config = load_config(config_path, overrides)
    run = out or Path("runs") / config.name
    if resume and (run / CONFIG_FILE).is_file():
        kept = load_run_config(run)
        config = apply_overrides(kept, overrides)
        if (config.model, config.lossless, config.filter) != (kept.model, kept.lossless, kept.filter):
            raise ConfigError(f"{run}: a resumed run cannot change its model; train in another folder with init={run}")
    if data:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, folders=tuple(data)))
    if resident:
        config = dataclasses.replace(config, resident=True)
    return config, run
