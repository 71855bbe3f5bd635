"""How the training step scales with the number of devices.

Two series. Strong: the batch of the configuration whatever the number of devices. Weak: so many crops on each device as
the configuration gives to each of the largest number, so that both series end in the same program. Real devices are
used in this process, the first N of them. A CPU is one device; XLA can divide it into N fake ones, but only when a
process starts, so each N has a process of its own.
"""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax

from jaxicm.compilation import use_compilation_cache
from jaxicm.configuration import from_dict, to_dict
from jaxicm.errors import ConfigError, TrainingError
from jaxicm.memory import keep_allocated_memory
from jaxicm.train.bench_figures import StepBenchmark
from jaxicm.train.bench_supply import random_corpus
from jaxicm.train.benchmark import Rounds, measure_step
from jaxicm.train.config import TrainConfig

_FAKE_DEVICES = "--xla_force_host_platform_device_count"


@dataclass(frozen=True)
class ScalingRow:
    """One number of devices in one series.

    Attributes:
        series: "strong" or "weak".
        devices: how many.
        batch: crops in a step, over all devices.
        step: what was measured; None where it could not be.
        note: why not, or empty.
    """

    series: Literal["strong", "weak"]
    devices: int
    batch: int
    step: StepBenchmark | None
    note: str = ""


@dataclass(frozen=True)
class Scaling:
    """Both series.

    Attributes:
        fake: whether the devices are parts of one CPU.
        rows: by series, then by number of devices.
    """

    fake: bool
    rows: tuple[ScalingRow, ...]

    def efficiency(self, row: ScalingRow) -> float | None:
        """Compare a row with the first of its series.

        Args:
            row: of this object.

        Returns:
            Its throughput over that of N times the devices of the first row; over that of the first row itself where
            the devices are fake, as they share what computes. None without both.
        """
        first = next(other for other in self.rows if other.series == row.series)
        if row.step is None or first.step is None:
            return None
        ideal = 1.0 if self.fake else row.devices / first.devices
        return row.step.pictures_per_s / (first.step.pictures_per_s * ideal)


def measure_scaling(
    config: TrainConfig, counts: Sequence[int], rounds: Rounds, say: Callable[[str], None] = lambda _: None
) -> Scaling:
    """Measure the step on several numbers of devices, with crops of noise that lie on the devices already.

    Args:
        config: of the run; `devices` is replaced.
        counts: numbers of devices, rising.
        rounds: how long to measure each.
        say: told what is measured next.

    Returns:
        A row for each number and series.

    Raises:
        TrainingError: a second process failed.
    """
    fake = jax.default_backend() == "cpu"
    each = max(1, config.batch // max(counts))
    found: dict[tuple[int, int], tuple[StepBenchmark | None, str]] = {}
    for count in counts:
        batches = sorted({config.batch, each * count})
        say(f"{count} {'fake ' * fake}devices, batches of {' and '.join(map(str, batches))}")
        configs = [dataclasses.replace(config, devices=count, batch=batch) for batch in batches]
        results = _in_new_process(configs, rounds) if fake else [_attempt(one, rounds) for one in configs]
        found |= {(count, batch): result for batch, result in zip(batches, results, strict=True)}
    series: list[tuple[Literal["strong", "weak"], Callable[[int], int]]] = [
        ("strong", lambda count: config.batch),
        ("weak", lambda count: each * count),
    ]
    rows = [
        ScalingRow(name, count, batch_of(count), *found[count, batch_of(count)])
        for name, batch_of in series
        for count in counts
    ]
    return Scaling(fake, tuple(rows))


def fake_environment(count: int) -> dict[str, str]:
    """Return the environment of a process whose CPU is divided into `count` devices."""
    flags = re.sub(rf"{_FAKE_DEVICES}=\S*", "", os.environ.get("XLA_FLAGS", ""))
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{flags} {_FAKE_DEVICES}={count}".strip()}


def _attempt(config: TrainConfig, rounds: Rounds) -> tuple[StepBenchmark | None, str]:
    """Measure one configuration; returns the figures, or why there are none."""
    try:
        return measure_step(random_corpus(config), rounds, split=False), ""
    except ConfigError as error:
        return None, str(error).partition(";")[0]
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None, "the devices have not enough memory"


def _in_new_process(configs: Sequence[TrainConfig], rounds: Rounds) -> list[tuple[StepBenchmark | None, str]]:
    request = json.dumps({"configs": [to_dict(config) for config in configs], "rounds": to_dict(rounds)})
    words = [sys.executable, "-m", "jaxicm.train.bench_devices"]
    environment = fake_environment(configs[0].devices)
    done = subprocess.run(words, input=request, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TrainingError(
            f"a process with {configs[0].devices} fake devices failed (exit code {done.returncode}):"
            f" {done.stderr.strip()[-400:]}; leave that number out with --devices"
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    return [(row["step"] and from_dict(StepBenchmark, row["step"]), row["note"]) for row in answer]


def _answer(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Do what `_in_new_process` asks for, in that process."""
    keep_allocated_memory()
    use_compilation_cache()
    rounds = from_dict(Rounds, request["rounds"])
    results = [_attempt(from_dict(TrainConfig, config), rounds) for config in request["configs"]]
    return [{"step": step and to_dict(step), "note": note} for step, note in results]


if __name__ == "__main__":
    print(json.dumps(_answer(json.load(sys.stdin))))
