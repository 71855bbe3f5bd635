"""How a latent is adapted to one picture: what stands for rounding, the optimiser, and how long.

Sources of the ways to stand for rounding: uniform noise, as in training (Balle et al. 2018; the latent fine-tuning of
systems S4 and S8); straight-through (Theis et al. 2017); soft rounding with Kumaraswamy noise, annealed (C3, Kim et al.
2024); stochastic Gumbel annealing, SGA (Yang, Bamler, Mandt 2020), and with the sigmoid-scaled logits of SGA+
(Perugachi-Diaz et al. 2024). "coordinate" is ours, see `adapt.latents`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jaxicm.errors import ConfigError

Method = Literal["coordinate", "noise", "straight_through", "soft", "sga", "sga+"]
"""Ways to stand for rounding while a latent is adapted."""
Progress = Callable[[int, int, float], None]
"""Told iterations done, iterations in all, and the true cost of the best as a share of the start's."""
Optimizer = Literal["adam", "adamax", "rmsprop", "momentum", "sgd"]
"""Names of optax's rules."""

CURVATURE = 12.0 / math.log(2.0)
"""Bits per squared step, twice: the second derivative of the cost at the best uniform quantiser of a smooth density.

There the slope of the distortion in bits, lambda' * step**2 / 12 per sample, equals that of the rate, 1 / ln 2 per
logarithm of the step, so lambda' * step**2 = 6 / ln 2; the models learn their steps, and so come close to it.
"""


@dataclass(frozen=True)
class Stage:
    """A number of iterations of one kind.

    Attributes:
      method: what stands for rounding.
      iterations: a multiple of `check_every`.
      learning_rate: at the start; of quantisation steps, and for "coordinate" of the way to the best value.
      schedule: "cosine" lets it fall to zero, "constant" does not.
      optimizer: rule of optax that makes a change of a gradient.
      context_gradient: let the gradient flow through the values that later steps of the probability model read.
      gains: adapt a gain of each channel of the latent as well (not with "coordinate").
      check_every: iterations between two measurements of the true cost.
      patience: checks without gain after which the stage ends; 0 never.
      rounding_weight: bits that a squared error of one step is worth where the true symbols are chosen.
      first_temperature, last_temperature: of "soft" and "sga"; from one to the other it falls geometrically for "sga",
        linearly for "soft".
      hold: share of the iterations at the first temperature.
    """

    method: Method = "sga"
    iterations: int = 100
    learning_rate: float = 0.02
    schedule: Literal["cosine", "constant"] = "cosine"
    optimizer: Optimizer = "adam"
    context_gradient: bool = True
    gains: bool = False
    check_every: int = 10
    patience: int = 0
    rounding_weight: float = 12.0
    first_temperature: float = 0.5
    last_temperature: float = 0.03
    hold: float = 0.3

    def __post_init__(self):
        for name, holds, rule in (
            ("iterations", self.iterations >= 0, "must not be negative"),
            ("check_every", self.check_every >= 1, "must be at least 1"),
            (
                "iterations",
                self.iterations % max(self.check_every, 1) == 0,
                f"must be a multiple of {self.check_every}",
            ),
            ("learning_rate", self.learning_rate > 0, "must be above 0"),
            ("patience", self.patience >= 0, "must not be negative (0 never stops)"),
            ("rounding_weight", self.rounding_weight > 0, "must be above 0"),
            ("first_temperature", self.first_temperature >= self.last_temperature > 0, "must not be below the last"),
            ("hold", 0 <= self.hold < 1, "must be in [0, 1)"),
            ("gains", not (self.gains and self.method == "coordinate"), "do not go with method coordinate"),
        ):
            if not holds:
                raise ConfigError(f"stage: {name} = {getattr(self, name)!r}, {rule}")

    def knobs(self, first: int, count: int, total: int) -> np.ndarray:
        """Return what changes from iteration to iteration.

        Args:
          first: number of the first iteration.
          count: of iterations.
          total: at which the schedules end.

        Returns:
          float32 `[count, 3]`: learning rate, temperature, and the part of the stage that is done.
        """
        done = np.clip((first + np.arange(count)) / max(total, 1), 0.0, 1.0)
        rate = self.learning_rate * (0.5 * (1 + np.cos(np.pi * done)) if self.schedule == "cosine" else 1.0)
        high, low = self.first_temperature, self.last_temperature
        if self.method == "soft":
            temperature = high + (low - high) * done
        else:
            temperature = high * (low / high) ** np.clip((done - self.hold) / (1.0 - self.hold), 0.0, 1.0)
        return np.stack(np.broadcast_arrays(rate, temperature, done), axis=1).astype(np.float32)
