"""Ablations at equal cost: variants of one configuration, each trained for the same number of seconds.

A file of `configs/` defines `config()`, the base, and `variants()`, a mapping of groups to variants to words
`key=value`. "What trains best per hour" is a question about seconds, so the step of each variant is timed first, and
then it gets as many steps as the budget holds; its schedule spans just these. On a CPU the seconds are those of the
processors, and a variant's step is timed in turns with the base's, so that other work on the machine does not count
against a variant.
"""

import contextlib
import dataclasses
import json
import runpy
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from jaxicm.configuration import apply_overrides, to_dict
from jaxicm.errors import ConfigError, TrainingError
from jaxicm.media.files import atomic_write
from jaxicm.train.ablation_lossless import measure_coding
from jaxicm.train.config import CONFIG_FILE, TrainConfig, load_config, load_run_config
from jaxicm.train.corpus import prepare_data
from jaxicm.train.log import read_log
from jaxicm.train.loop import prepare_state, train_run
from jaxicm.train.mesh import make_mesh, place_batch, place_whole
from jaxicm.train.step import compile_step

BASE = "base"
_ROUNDS, _STEPS_A_ROUND = 5, 2
_FEWEST_STEPS = 20
RESULT_FILE = "ablation.json"


@dataclass(frozen=True)
class Variant:
    """One row of an ablation.

    Attributes:
      group: what is compared ("rounding").
      name: of the choice ("noise"), unique in its group.
      words: overrides of the base, `key=value`.
    """

    group: str
    name: str
    words: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Name of the folder of its run."""
        return self.group if self.group == BASE else f"{self.group}-{self.name}"


@dataclass(frozen=True)
class Row:
    """What a variant reached.

    Attributes:
      variant: which.
      steps: trained.
      step_s: seconds of a step (CPU seconds on a CPU).
      loss: validation loss after the last step, in the variant's own objective.
      curve: "quality", "bpp", "psnr" and, if measured, "ms_ssim" and "machine" lists of that validation, at those of
        its qualities for which the variant was trained.
      coding: of a lossless codec, what `ablation_lossless.measure_coding` found.
    """

    variant: Variant
    steps: int
    step_s: float
    loss: float
    curve: dict[str, list[float]]
    coding: dict[str, float] | None = None


def load_variants(path: Path) -> list[Variant]:
    """Read the variants of an ablation file; the base comes first.

    Args:
      path: a Python file with `config()` and `variants() -> {group: {name: (word, ...)}}`.

    Raises:
      ConfigError: the file is no such file, or a word of it does not fit the configuration.
    """
    base = load_config(path)
    variants = runpy.run_path(str(path)).get("variants")
    if variants is None:
        raise ConfigError(
            f"{path}: defines no function variants(); see configs/ablation_recipe.py, or use jaxicm train"
        )
    groups = variants()
    if not isinstance(groups, Mapping) or not all(isinstance(group, Mapping) for group in groups.values()):
        raise ConfigError(f"{path}: variants() returned {type(groups).__name__}, expected {{group: {{name: words}}}}")
    found = [Variant(BASE, BASE, ())]
    found += [Variant(group, name, tuple(words)) for group, named in groups.items() for name, words in named.items()]
    for variant in found:
        try:
            dataclasses.replace(apply_overrides(base, variant.words), name=variant.folder)
        except ConfigError as error:
            raise ConfigError(f"{path}: {variant.group}/{variant.name}: {error}") from error
    return found


def run_ablation(
    base: TrainConfig,
    variants: Sequence[Variant],
    out: Path,
    budget_s: float,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """Train every variant for the same time; finished ones are taken from their folders.

    Args:
      base: configuration.
      variants: rows, in their order; the first is the base.
      out: folder; each variant is a run below it.
      budget_s: seconds of training for each (CPU seconds on a CPU), compiling and validation not counted.
      say: takes a line for each variant.

    Returns:
      A row for each variant.

    Raises:
      TrainingError: a variant was stopped or failed.
      ConfigError: the folder holds runs of another budget or configuration, or there is nothing to train on or to
        validate on.
    """
    rows: list[Row] = []
    base_step_s = 0.0
    for variant in variants:
        config = dataclasses.replace(apply_overrides(base, variant.words), name=variant.folder)
        run = out / variant.folder
        before = _finished(run, config, budget_s)
        if before is None:
            before = _train(config, base, run, budget_s, base_step_s)
            jax.clear_caches()  # the compiled steps of all variants would fill the memory
        row = Row(variant, **before)
        rows.append(row)
        base_step_s = rows[0].step_s
        say(f"{variant.group}/{variant.name}: {row.steps} steps of {row.step_s:.3g} s, loss {row.loss:.4f}")
    return rows


def _train(config: TrainConfig, base: TrainConfig, run: Path, budget_s: float, base_step_s: float) -> dict[str, Any]:
    corpus = prepare_data(config, lambda note: None)
    if not len(corpus.held_out):
        raise ConfigError(f"{config.name}: no validation pictures to compare on; set validation.include")
    if (run / CONFIG_FILE).is_file():
        steps = load_run_config(run).steps
    else:
        cost = relative_cost(base, config) if base_step_s else 1.0
        steps = max(_FEWEST_STEPS, round(budget_s / (cost * (base_step_s or step_seconds(config)))))
    optimizer = dataclasses.replace(config.optimizer, warmup=min(config.optimizer.warmup, steps // 5))
    never = dataclasses.replace(config.validation, every=10 * steps, qualities=_trained_qualities(config))
    every = max(1, steps // 10)
    fixed = dataclasses.replace(config, steps=steps, optimizer=optimizer, validation=never, log_every=every)
    train_run(fixed, run, resume=True, quiet=True)
    measured = [event for event in read_log(run, "validation") if event["step"] == steps]
    if not measured:
        raise TrainingError(f"{run}: stopped before step {steps}; the same command goes on")
    last = measured[-1]
    curve = {key: last[key] for key in ("quality", "bpp", "psnr", "ms_ssim", "machine") if key in last}
    result = {"steps": steps, "step_s": budget_s / steps, "loss": last["loss"], "curve": curve}
    if config.lossless is not None:
        result["coding"] = measure_coding(run, config.lossless, corpus.held_out, last["loss"])
    kept = {"budget_s": budget_s, "config": to_dict(config), "result": result}
    atomic_write(run / RESULT_FILE, json.dumps(kept, indent=1).encode())
    return result


def _trained_qualities(config: TrainConfig) -> tuple[float, ...]:
    """Return the qualities of the validation that a codec is trained for; of a single rate, that one."""
    low, high = config.quality_min, config.quality_max
    return tuple(q for q in config.validation.qualities if low <= q <= high and low < high) or (low,)


def _finished(run: Path, config: TrainConfig, budget_s: float) -> dict[str, Any] | None:
    path = run / RESULT_FILE
    if not path.is_file():
        return None
    kept = json.loads(path.read_text())
    if kept["budget_s"] != budget_s or kept["config"] != json.loads(json.dumps(to_dict(config))):
        raise ConfigError(f"{run}: holds a result of another budget or configuration; name another folder with --out")
    return kept["result"]


def step_seconds(config: TrainConfig) -> float:
    """Measure the seconds of a training step, making its batch included: CPU seconds on a CPU, else wall seconds."""
    with _steps(config) as steps:
        return statistics.median(steps() for _ in range(_ROUNDS))


def relative_cost(base: TrainConfig, config: TrainConfig) -> float:
    """Measure the cost of a step in steps of the base, the two in turns, so that a busy machine slows both alike."""
    with _steps(base) as first, _steps(config) as second:
        pairs = [(first(), second()) for _ in range(_ROUNDS)]
    return statistics.median(b / a for a, b in pairs)


@contextlib.contextmanager
def _steps(config: TrainConfig) -> Iterator[Callable[[], float]]:
    """Give a function that runs a few steps and returns the seconds of one."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    corpus, mesh = prepare_data(config, lambda note: None), make_mesh(config)
    state, shapes, _ = prepare_state(config, mesh, corpus, None)
    step = compile_step(config, mesh, shapes)
    with corpus.feed() as feed:
        resident = place_whole(mesh, corpus.stack()) if config.resident else None

        def run() -> float:
            nonlocal state
            begun = clock()
            for _ in range(_STEPS_A_ROUND):
                state, _ = step(state, resident if resident is not None else place_batch(mesh, next(feed)))
            jax.block_until_ready(state)
            return (clock() - begun) / _STEPS_A_ROUND

        run()  # compiles, and fills the caches
        yield run
