"""`jaxicm bench train`: how fast a training step is here, where its time goes, and how it scales with devices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from jaxicm.train.bench_figures import StepBenchmark
    from jaxicm.train.config import TrainConfig
    from jaxicm.train.corpus import Corpus

FORMAT = "jaxicm bench train 1"
DEFAULT_BATCH = 8
FAKE_COUNTS, QUICK_FAKE_COUNTS = (1, 2, 4, 8), (1, 2)
MOST_DEVICES = 1024
_ROOF_BUDGET_S, _QUICK_ROOF_BUDGET_S = 2.0, 0.5


def bench_train(
    config: Annotated[str | None, typer.Argument(metavar="CONFIG", help="A file of configs/.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Change settings.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Pictures as for `jaxicm train`; by default crops are random. Repeatable."),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option("--devices", help="Numbers of devices to compare; 1 compares nothing. [default: 1,2,4,8]"),
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=0, help="Steps in a group that is timed; 0 chooses by their time.")
    ] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Few and short groups; by default devices 1,2.")] = False,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="One of several processes, on a TPU pod or under SLURM.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all numbers.")] = None,
) -> None:
    """Measure the training step.

    Pictures a second, step time, model FLOP utilisation, memory, and the time of forward pass, backward pass,
    optimiser and host; then the same step on several numbers of devices, with the batch of the configuration (strong
    scaling) and with a batch that grows with the devices (weak scaling). Without CONFIG: the profile fast, 8 crops of
    192x192. A CPU stands for several devices by fakes that share it: that tests the program, not its speed.
    """
    import json
    import os
    import shlex

    from jaxicm.cli.bench_train_report import print_report
    from jaxicm.cli.values import parse_counts
    from jaxicm.media.files import atomic_write

    counts = None if devices is None else parse_counts(devices, "--devices", MOST_DEVICES)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # so that the peak of the memory says something
    words = [*([config] if config else []), *(overrides or [])]
    command = ["jaxicm", "bench", "train", *words]
    command += [word for folder in data or [] for word in ("--data", folder)]
    command += ["--devices", devices] if devices else []
    command += ["--steps", str(steps)] if steps else []
    command += ["--quick"] * quick + ["--distributed"] * distributed

    settings = read_config(words, data or [])

    from rich.console import Console

    from jaxicm.train.processes import is_writer, start_processes

    if distributed:
        start_processes()
    with Console(stderr=True).status("starting") as status:  # shown on a terminal only
        found = measure(settings, counts, steps, quick=quick, command=shlex.join(command), say=status.update)
    if not is_writer():
        return
    print_report(found)
    if json_file is not None:
        atomic_write(json_file, json.dumps(found, indent=1).encode())


def read_config(words: Sequence[str], data: Sequence[str]) -> "TrainConfig":
    """Read the configuration that the command line means.

    Args:
        words: perhaps a file, then `key=value`.
        data: folders of pictures, in place of the configuration's.

    Returns:
        The configuration.

    Raises:
        InputError: there is no such file.
        OptionError: a word is neither.
        ConfigError: as `train.config.load_config`.
    """
    from jaxicm.configuration import apply_overrides
    from jaxicm.errors import InputError, OptionError

    path = Path(words[0]) if words and "=" not in words[0] else None
    if path is not None and not path.is_file():
        raise InputError(f"{path}: no such configuration file; those that come with jaxicm are in configs/")
    overrides = list(words if path is None else words[1:])
    for word in overrides:
        if "=" not in word:
            raise OptionError(f"override {word!r} is not KEY=VALUE; write for instance batch=32")
    import dataclasses

    from jaxicm.train.config import TrainConfig, load_config

    if path is None:
        config = apply_overrides(TrainConfig(name="bench", batch=DEFAULT_BATCH), overrides)
    else:
        config = load_config(path, overrides)
    if data:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, folders=tuple(data)))
    return config


def measure(
    config: "TrainConfig", counts: Sequence[int] | None, steps: int, *, quick: bool, command: str, say: Any
) -> dict[str, Any]:
    """Measure the step, the machine and the scaling.

    Args:
        config: of the run.
        counts: numbers of devices to compare; None chooses them.
        steps: of a group; 0 chooses.
        quick: fewer, shorter groups.
        command: to be noted.
        say: told what is done next.

    Returns:
        JSON-able: "format", "command", "created", "versions", "machine", "config", "random" (whether the crops are
        noise), "notes", "step" (`StepBenchmark`), "figures" (see `figures`), "roof" (see `evaluate.roofline`),
        "scaling" ("fake" and rows of `ScalingRow`, each with "efficiency") or None, and "other_work".
    """
    import dataclasses
    from datetime import UTC, datetime

    import jax

    from jaxicm.compilation import use_compilation_cache
    from jaxicm.configuration import to_dict
    from jaxicm.evaluate.bench import machine
    from jaxicm.evaluate.bench_clock import OtherWork
    from jaxicm.evaluate.circumstances import versions
    from jaxicm.evaluate.roofline import measure_roof
    from jaxicm.train.bench_devices import measure_scaling
    from jaxicm.train.benchmark import QUICK, THOROUGH, measure_step

    other = OtherWork()
    use_compilation_cache()
    rounds = dataclasses.replace(QUICK if quick else THOROUGH, steps=steps)
    notes: list[str] = []
    step = measure_step(make_corpus(config, notes), rounds, say=say)
    say("the rate of matrix products")
    roof = measure_roof(_QUICK_ROOF_BUDGET_S if quick else _ROOF_BUDGET_S)
    scaling = None
    counts = default_counts(quick) if counts is None else counts
    if jax.process_count() > 1:
        notes.append("scaling: a process of several cannot leave the others out; compare runs of other sizes")
    elif len(counts) > 1:
        measured = measure_scaling(config, counts, rounds, say)
        rows = [to_dict(row) | {"efficiency": measured.efficiency(row)} for row in measured.rows]
        scaling = {"fake": measured.fake, "rows": rows}
    return {
        "format": FORMAT,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(("jax", "jaxlib", "numpy")),
        "machine": machine() | {"processes": jax.process_count()},
        "config": to_dict(config),
        "random": not config.data.folders,
        "notes": notes,
        "step": to_dict(step),
        "figures": figures(step, roof.bounds(dtype=config.precision).flop_per_s, jax.process_count()),
        "roof": roof.as_dict(),
        "scaling": scaling,
        "other_work": other.report(),
    }


def make_corpus(config: "TrainConfig", notes: list[str]) -> "Corpus":
    """Open the pictures of the configuration, or make noise where it names none; remarks go to `notes`."""
    from jaxicm.train.bench_supply import random_corpus
    from jaxicm.train.corpus import prepare_data

    return prepare_data(config, notes.append) if config.data.folders else random_corpus(config)


def default_counts(quick: bool) -> list[int]:
    """Choose the numbers of devices: of fakes on a CPU, of those that there are elsewhere."""
    import jax

    if jax.default_backend() == "cpu":
        return list(QUICK_FAKE_COUNTS if quick else FAKE_COUNTS)
    present = jax.device_count()
    return sorted({1 << power for power in range(present.bit_length())} | {present})


def figures(step: "StepBenchmark", measured_flop_per_s: float, processes: int) -> dict[str, Any]:
    """Compute what follows from the measurements.

    Args:
        step: measured.
        measured_flop_per_s: of matrix products on one device, in the step's precision.
        processes: that train together.

    Returns:
        "pictures_per_s", "fed_pictures_per_s", "model_flop" (of a step), "model_flop_per_s", "measured_flop_per_s"
        and "datasheet_flop_per_s" of one device, "utilisation" and "datasheet_utilisation" in [0, 1]; those of the data
        sheet are None for unknown devices.
    """
    from jaxicm.train.datasheet import datasheet_flop_per_s

    # All the devices of a CPU are the same processors, which one matrix product uses already.
    devices = processes if step.platform == "cpu" else step.devices
    rate = step.model_flop_per_s / devices
    promised = datasheet_flop_per_s(step.device_kind)
    return {
        "pictures_per_s": step.pictures_per_s,
        "fed_pictures_per_s": step.split and step.batch / step.split.fed_s,
        "model_flop": step.model_flop,
        "model_flop_per_s": step.model_flop_per_s,
        "measured_flop_per_s": measured_flop_per_s,
        "utilisation": rate / measured_flop_per_s,
        "datasheet_flop_per_s": promised,
        "datasheet_utilisation": promised and rate / promised,
    }
