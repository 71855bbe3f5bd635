"""The parameters at which a run begins: random, from the statistics of pictures, or from earlier training."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.codecs import weights
from jaxicm.entropy.pixel_widening import widen
from jaxicm.errors import ConfigError
from jaxicm.models import filter_set, image, lossless
from jaxicm.models.deepening import deepen
from jaxicm.models.lossless import LosslessConfig
from jaxicm.train.checkpoints import load_parameters
from jaxicm.train.config import TrainConfig, load_run_config
from jaxicm.train.corpus import Corpus
from jaxicm.train.filter import FilterTraining

_STATISTICS_CROPS = 1024


def start_parameters(config: TrainConfig, corpus: Corpus) -> dict[str, Any]:
    """Make or read the parameters at which a run begins.

    Args:
      config: of the run; `init` comes before `start`. A run may begin at a smaller model: a lossless one at one with
        fewer units, one of pictures at one with fewer residual blocks.
      corpus: of training pictures, for the statistics.

    Returns:
      A nested dictionary of arrays.

    Raises:
      ConfigError: `init` names no run and no weight file, or one of another model; `trained` names no part of it.
    """
    params = random_parameters(config)
    if unknown := set(config.trained) - params.keys():
        raise ConfigError(f"trained: found {unknown.pop()!r}, expected of {' '.join(sorted(params))}")
    if config.init:
        found = read_parameters(Path(config.init))
        if config.lossless is not None and "pixels" in found:
            found = _widened(found, config, params)
        elif config.filter is not None:
            found = _spread(found, config.filter)
        elif config.lossless is None and config.model.res8 is None:
            found = deepen(found, params)
        return _checked(config.init, found, params)
    if config.start == "statistics" and config.lossless is None and config.filter is None:
        crops = corpus.statistics_crops(_STATISTICS_CROPS)
        params = image.start_from_statistics(params, config.model, crops, config.seed)
    return jax.tree.map(jnp.asarray, params)


def random_parameters(config: TrainConfig) -> dict[str, Any]:
    """Draw the parameters of the model at random, from the seed of the run."""
    if config.lossless is not None:
        return lossless.initial_parameters(config.lossless.model, config.seed)
    if config.filter is not None:
        return filter_set.initial_parameters(config.filter.model, config.seed)
    return image.initial_parameters(config.model, config.seed)


def read_parameters(path: Path) -> dict[str, Any]:
    """Read parameters from a run folder (their average) or a released weight file.

    Raises:
      ConfigError: it is neither.
    """
    if path.is_dir():
        return load_parameters(path)[0]
    if path.suffix == ".safetensors" and path.is_file():
        from jaxicm.codecs import filter_weights
        from jaxicm.codecs.weights import load_trainable, read_info

        return filter_weights.read(path).params if read_info(path).is_filter else load_trainable(path)
    raise ConfigError(f"init: {path} is neither a run folder nor a .safetensors file; check the path")


def _spread(found: dict[str, Any], training: FilterTraining) -> dict[str, Any]:
    """Make a set of filters of one, moved apart a little so that they can compete; a set stays what it is."""
    single = np.ndim(found["first"]["bias"]) == 1
    if not single or training.model.count == 1:
        return found
    apart = 0.0 if training.assignment == "ranges" else training.annealing.noise
    return filter_set.spread(found, training.model, apart)


def _widened(found: dict[str, Any], config: TrainConfig, start: dict[str, Any]) -> dict[str, Any]:
    """Put parameters of a smaller lossless model into that of the run."""
    assert config.lossless is not None
    path = Path(config.init)
    if path.is_dir():
        trained = load_run_config(path).lossless
        model = None if trained is None else trained.model
    else:
        model = weights.config_from_info(LosslessConfig, weights.read(path)[1])
    wanted = config.lossless.model
    if model is None or model.masked is not None or wanted.masked is not None or model.pixels == wanted.pixels:
        return found
    random = {name: np.asarray(value) for name, value in start["pixels"].items()}
    return {"pixels": widen(found["pixels"], model.pixels, wanted.pixels, random)}


def _checked(name: str, found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    shapes = {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(found)}
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        key = jax.tree_util.keystr(path)
        if shapes.pop(key, None) != leaf.shape:
            raise ConfigError(f"init: {name} holds another model, it lacks {key} of shape {leaf.shape}; set model.*")
    if shapes:
        raise ConfigError(f"init: {name} holds another model, it has {next(iter(shapes))} besides; set model.*")
    return jax.tree.map(jnp.asarray, found)
