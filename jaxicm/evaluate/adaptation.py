"""How the encoder under test adapts latents to each picture: a codec of its own for curves and journals."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from jaxicm.adapt.effort import choose_stages
from jaxicm.adapt.stage import Stage
from jaxicm.configuration import to_dict

_WORDS = {"mse": "psnr"}
"""Objectives that the command line calls otherwise."""


@dataclass(frozen=True)
class Adaptation:
    """Say how latents are adapted.

    Attributes:
        effort: 1 to 9, or explicit stages.
        tune: "mse", "ms-ssim", "mixed", or None for what the weights were trained for.
        label: what explicit stages are called.
    """

    effort: int | tuple[Stage, ...]
    tune: str | None = None
    label: str = "own"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the stages, one after the other."""
        return choose_stages(self.effort)

    @property
    def suffix(self) -> str:
        """Return what is added to the codec's name, for instance "-e7"."""
        words = [f"e{self.effort}" if isinstance(self.effort, int) else self.label]
        return "".join(f"-{word}" for word in words + self._tune_words())

    @property
    def addition(self) -> str:
        """Return what is added to the codec's title, for instance ", effort 7"."""
        words = [f"effort {self.effort}" if isinstance(self.effort, int) else f"stages {self.label}"]
        return "".join(f", {word}" for word in words + [f"tune {word}" for word in self._tune_words()])

    def identity(self) -> dict[str, Any]:
        """Return what fixes the bytes beside the weights; the stages of an effort may change with the version."""
        stages = json.dumps([to_dict(stage) for stage in self.stages], sort_keys=True)
        return {**self._facts(), "stages": hashlib.sha256(stages.encode()).hexdigest()[:16]}

    def figures(self) -> dict[str, Any]:
        """Return the whole story for the run file, JSON-able."""
        return {**self._facts(), "stages": [to_dict(stage) for stage in self.stages]}

    def options(self) -> dict[str, Any]:
        """Return arguments of `ImageCodec.encode_detail`."""
        return {"effort": self.effort, "tune": self.tune}

    def warming(self) -> dict[str, Any]:
        """Return arguments that compile all that `options` needs, with as few iterations as that takes."""
        cut = (replace(stage, iterations=min(stage.iterations, stage.check_every)) for stage in self.stages)
        return {"effort": tuple(dict.fromkeys(cut)), "tune": self.tune}

    def _facts(self) -> dict[str, Any]:
        return {"effort": self.effort if isinstance(self.effort, int) else self.label, "tune": self.tune}

    def _tune_words(self) -> list[str]:
        return [] if self.tune is None else [_WORDS.get(self.tune, self.tune)]
