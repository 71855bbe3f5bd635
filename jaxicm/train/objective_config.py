"""What a training run minimises, apart from the model and its rates: the choices that the ablations compare."""

from dataclasses import dataclass
from typing import Literal

from jaxicm.errors import ConfigError


@dataclass(frozen=True)
class ObjectiveConfig:
    """Choices of the objective.

    Attributes:
      rounding: what stands for rounding, see `entropy.surrogate`; the papers' probability model has its own.
      first_sharpness, last_sharpness: of soft rounding at the first and the last step; in between it grows linearly.
      phases: "all" phases of the finest scale, or one "sampled" at each step (see `entropy.surrogate`).
      passes: 0 evaluates the probability model step by step, as coding does; from 1 on all steps at once, from guesses
        of the values that as many passes make better (see `entropy.progressive_parallel`). An accelerator launches a
        fraction of the kernels for two, and what training sees differs by 0.4 % of rate and distortion from coding.
      distortion: "mse" of RGB, "yuv" (luma and chroma 6:1:1), or "ms-ssim", see `objectives.distortion`.
      qualities: how the qualities of a batch are drawn: "stratified", one from each of `batch` equal parts of the
        range; "uniform", independently; "anchors", independently from the model's quality anchors.
      weight_exponent: see `objectives.rate_distortion`.
    """

    rounding: Literal["rounded", "straight_through", "mixed", "noise", "soft"] = "rounded"
    first_sharpness: float = 2.0
    last_sharpness: float = 12.0
    phases: Literal["all", "sampled"] = "all"
    passes: int = 0
    distortion: Literal["mse", "yuv", "ms-ssim"] = "mse"
    qualities: Literal["stratified", "uniform", "anchors"] = "stratified"
    weight_exponent: float = 0.45

    def __post_init__(self):
        for key in ("first_sharpness", "last_sharpness"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"objective.{key}: found {getattr(self, key)!r}, must be above 0")
        if self.passes < 0:
            raise ConfigError(f"objective.passes: found {self.passes}, must be 0 or above")
        if self.passes and self.phases == "sampled":
            raise ConfigError("objective.passes evaluates all phases at once; set objective.phases=all, or passes=0")
