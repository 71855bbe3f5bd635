"""What a training run is: one frozen dataclass, read from a Python file, changed by words, kept as JSON in the run."""

import json
import runpy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jaxicm.configuration import apply_overrides, from_dict, to_dict
from jaxicm.errors import ConfigError
from jaxicm.media.files import atomic_write
from jaxicm.models.image import QUALITY_MAX, QUALITY_MIN, ImageConfig
from jaxicm.train.data_config import DataConfig
from jaxicm.train.filter import FilterTraining
from jaxicm.train.lossless import LosslessTraining
from jaxicm.train.machine import MachineTraining
from jaxicm.train.objective_config import ObjectiveConfig

CONFIG_FILE = "config.json"
DECODER = ("synthesis", "log_step")
"""Parts of an image model that only decoding uses: other ones leave every file as it is."""
CROP_MULTIPLE = 64
"""The latents of a crop are subsampled twice from a grid of 1/16 of the picture."""


@dataclass(frozen=True)
class ValidationConfig:
    """Which pictures are measured during the run, and how often.

    Attributes:
      folders: as in `DataConfig`; none means those of the training pictures.
      include: patterns as in `DataConfig`; without any there is no validation.
      exclude: likewise.
      every: steps between two measurements.
      crop: side of the square in the middle of a picture that is measured.
      qualities: at which is measured, in [1, 100].
      ms_ssim: measure MS-SSIM as well.
      pictures: how many are written as PNG, original and decoded side by side.
      picture_quality: of those.
    """

    folders: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    every: int = 1000
    crop: int = 256
    qualities: tuple[float, ...] = (10.0, 30.0, 50.0, 70.0, 90.0)
    ms_ssim: bool = False
    pictures: int = 2
    picture_quality: float = 30.0


@dataclass(frozen=True)
class Multipliers:
    """Factors on the learning rate of groups of parameters.

    Attributes:
      linear: the block transforms and their units, which start at principal components.
      gains: gain units and modulations, everything that depends on the quality alone.
      taps: the linear terms of the probability model.
      network: all other parameters.
      muon: kernels under Muon, on top of its own scale.
    """

    linear: float = 0.02
    gains: float = 1.0
    taps: float = 1.0
    network: float = 1.0
    muon: float = 1.0


@dataclass(frozen=True)
class OptimizerConfig:
    """How parameters follow the gradient.

    Attributes:
      name: "adam", or "muon" (kernels by Muon, all else by Adam).
      learning_rate: at its highest.
      warmup: steps of linear growth at the start.
      schedule: "constant", "cosine" (half a period to zero), or "wsd" (constant, then linear to zero).
      cooldown: share of the steps over which "wsd" decays.
      b1, b2: decay of Adam's moments.
      muon_momentum: of Muon.
      muon_iterations: Newton-Schulz iterations.
      muon_kernels: "convolutions" alone, or "all", those of the probability model too.
      muon_scale: "adam" brings updates to the size of Adam's, "unit" leaves their singular values at one.
      clip: largest global norm of the gradient; 0 does not clip.
      multipliers: of groups of parameters.
    """

    name: Literal["adam", "muon"] = "adam"
    learning_rate: float = 5e-4
    warmup: int = 300
    schedule: Literal["constant", "cosine", "wsd"] = "constant"
    cooldown: float = 0.2
    b1: float = 0.9
    b2: float = 0.99
    muon_momentum: float = 0.95
    muon_iterations: int = 4
    muon_kernels: Literal["convolutions", "all"] = "all"
    muon_scale: Literal["adam", "unit"] = "adam"
    clip: float = 1.0
    multipliers: Multipliers = field(default_factory=Multipliers)


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
      name: of the run; its folder is `runs/NAME` unless another is given.
      trained_on: what the training pictures are, one line for the weight file.
      model: the networks.
      lossless: train this lossless codec instead; qualities, objective and model are without effect then.
      filter: train this filter behind a codec instead, on arrays of `jaxicm dataset coded`; likewise.
      machine: train for task networks instead of for eyes; `objective.distortion` is without effect then, and a filter
        learns from the distortion for machines relative to that without it.
      data, validation, optimizer, objective: see there.
      crop: side of the training crops, a multiple of 64.
      batch: crops in a step, over all devices.
      steps: of the whole run, earlier parts of a resumed run included.
      seed: of the start, the crops and the noise.
      trained: parts of the model that are trained, names at the top of its parameters; none trains all. `DECODER` gives
        a codec a further decoder for the same files.
      quality_min, quality_max: range from which each crop's quality is drawn.
      accumulate: parts into which the crops of a step are divided, one after the other: less memory, the same step.
      remat: keep little for the backward pass and compute it again: less memory, about a third more time (XLA's CPU
        back end merges the two again, so there it changes nothing).
      ema: decay of the averaged parameters, which are validated and released.
      precision: "bfloat16" computes convolutions outside the exact networks in that type.
      start: "statistics" begins at the principal components of the training pictures, "random" does not.
      init: parameters to begin from: a run folder or a `.safetensors` file; empty for none.
      resident: keep the pictures in device memory and crop them inside the step.
      devices: how many to use; 0 is all.
      parameter_shards: devices over which large parameters, averages and moments are divided: 1 repeats them on every
        device, 0 is all devices, anything between divides inside groups of so many devices (see `train.mesh`).
      log_every: steps between two lines of the log.
      checkpoint_steps: steps between two checkpoints; 0 goes by time alone.
      checkpoint_s: seconds between two checkpoints; 0 goes by steps alone.
      keep_checkpoints: how many of the newest are kept.
      stop_after_s: seconds after which the run saves and stops; 0 never.
      duration_s: seconds from the start of the process after which the run is to be done, for a rented device; 0 goes
        by the steps alone. Schedules end then: from the speed so far the loop foresees how many steps there will be,
        `steps` at most, so a run like this cannot be repeated exactly.
      profile_steps: steps of which a profile is written into the run's folder, from the third line of the log on (the
        first ones compile); 0 writes none. TensorBoard and Perfetto show it.
      max_skipped: non-finite steps in a row that end the run.
      tensorboard: write a TensorBoard log as well, if a writer is installed.
    """

    name: str
    trained_on: str = "unnamed pictures"
    model: ImageConfig = field(default_factory=ImageConfig)
    lossless: LosslessTraining | None = None
    machine: MachineTraining | None = None
    filter: FilterTraining | None = None
    data: DataConfig = field(default_factory=DataConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    crop: int = 192
    batch: int = 4
    steps: int = 100_000
    seed: int = 0
    trained: tuple[str, ...] = ()
    quality_min: float = QUALITY_MIN
    quality_max: float = QUALITY_MAX
    accumulate: int = 1
    remat: bool = False
    ema: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    start: Literal["statistics", "random"] = "statistics"
    init: str = ""
    resident: bool = False
    devices: int = 0
    parameter_shards: int = 1
    log_every: int = 100
    checkpoint_steps: int = 0
    checkpoint_s: float = 600.0
    keep_checkpoints: int = 2
    stop_after_s: float = 0.0
    duration_s: float = 0.0
    profile_steps: int = 0
    max_skipped: int = 10
    tensorboard: bool = False

    def __post_init__(self):
        validation, optimizer = self.validation, self.optimizer
        weighting = "point" if self.machine is None else self.machine.weighting
        labels = (0.0,) if self.machine is None else self.machine.distortion.task
        for key, value, holds, rule in (
            ("name", self.name, bool(self.name) and "/" not in self.name, "must be a file name"),
            ("crop", self.crop, _is_crop(self.crop), f"must be a multiple of {CROP_MULTIPLE}"),
            ("validation.crop", validation.crop, _is_crop(validation.crop), f"must be a multiple of {CROP_MULTIPLE}"),
            ("batch", self.batch, self.batch >= 1, "must be at least 1"),
            ("steps", self.steps, self.steps >= 1, "must be at least 1"),
            ("validation.every", validation.every, validation.every >= 1, "must be at least 1"),
            ("log_every", self.log_every, self.log_every >= 1, "must be at least 1"),
            ("keep_checkpoints", self.keep_checkpoints, self.keep_checkpoints >= 1, "must be at least 1"),
            ("max_skipped", self.max_skipped, self.max_skipped >= 1, "must be at least 1"),
            ("profile_steps", self.profile_steps, self.profile_steps >= 0, "must not be negative (0 profiles none)"),
            ("seed", self.seed, self.seed >= 0, "must not be negative"),
            ("accumulate", self.accumulate, self.accumulate >= 1, "must be at least 1"),
            ("parameter_shards", self.parameter_shards, self.parameter_shards >= 0,
             "must not be negative (0 is all devices)"),
            ("devices", self.devices, self.devices >= 0, "must not be negative (0 is all)"),
            ("ema", self.ema, 0 <= self.ema < 1, "must be in [0, 1)"),
            ("validation.qualities", validation.qualities, all(map(_is_quality, validation.qualities)), _QUALITY_RULE),
            ("validation.picture_quality", validation.picture_quality, _is_quality(validation.picture_quality),
             _QUALITY_RULE),
            ("quality_min", self.quality_min, _is_quality(self.quality_min), _QUALITY_RULE),
            ("quality_max", self.quality_max, _is_quality(self.quality_max) and self.quality_max >= self.quality_min,
             _QUALITY_RULE + " and not below quality_min"),
            ("data.smallest_scale", self.data.smallest_scale, self.filter is None or self.data.smallest_scale == 1,
             "must be 1 for filters: what coding left would be another thing at another size"),
            ("data.toned", self.data.toned, self.filter is None or not self.data.toned, "must be 0 for filters"),
            ("data.min_contrast", self.data.min_contrast, self.filter is None or not self.data.min_contrast,
             "must be 0 for filters"),
            ("resident", self.resident, self.filter is None or not self.resident, "is not for filters"),
            ("machine.weighting", weighting, self.filter is None or weighting == "point",
             "must be point for filters: they have no epochs"),
            ("machine.distortion.task", labels, self.filter is None or not any(labels),
             "must be 0 for filters: their crops have no labels"),
            ("trained", self.trained, not self.trained or bool(self.init),
             "needs a model whose other parts are good already: set init="),
            ("optimizer.learning_rate", optimizer.learning_rate, optimizer.learning_rate > 0, "must be above 0"),
            ("optimizer.warmup", optimizer.warmup, optimizer.warmup >= 0, "must not be negative"),
            ("optimizer.cooldown", optimizer.cooldown, 0 < optimizer.cooldown <= 1, "must be in (0, 1]"),
            ("optimizer.clip", optimizer.clip, optimizer.clip >= 0, "must not be negative (0 does not clip)"),
        ):  # fmt: skip
            if not holds:
                raise ConfigError(f"{key}: found {value!r}, {rule}")


_QUALITY_RULE = f"must be in [{QUALITY_MIN:g}, {QUALITY_MAX:g}]"


def _is_crop(side: int) -> bool:
    return side > 0 and side % CROP_MULTIPLE == 0


def _is_quality(quality: float) -> bool:
    return QUALITY_MIN <= quality <= QUALITY_MAX


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration file.

    Args:
        path: a Python file with a function `config() -> TrainConfig`.
        overrides: `key=value` or `key.key=value`.

    Returns:
        The checked configuration.

    Raises:
        ConfigError: the file is missing, fails or makes something else; or an override is wrong.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such configuration file; those that come with jaxicm are in configs/")
    try:
        config = runpy.run_path(str(path))["config"]()
    except ConfigError:
        raise
    except KeyError as error:
        raise ConfigError(f"{path}: defines no function config() that returns a TrainConfig ({error})") from error
    except Exception as error:  # whatever the user's file does
        raise ConfigError(f"{path}: fails with {type(error).__name__}: {error}; correct the file") from error
    if not isinstance(config, TrainConfig):
        raise ConfigError(f"{path}: config() returned a {type(config).__name__}, expected a TrainConfig")
    return apply_overrides(config, overrides)


def save_run_config(run: Path, config: TrainConfig) -> None:
    """Write the configuration into the run's folder."""
    atomic_write(run / CONFIG_FILE, (json.dumps(to_dict(config), indent=2) + "\n").encode())


def load_run_config(run: Path) -> TrainConfig:
    """Read the configuration of a run.

    Raises:
        ConfigError: the folder holds none, or one that this version does not understand.
    """
    path = run / CONFIG_FILE
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{run}: this is no run folder, it holds no {CONFIG_FILE}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: damaged ({error}); copy it from a backup") from error
    return from_dict(TrainConfig, data)
