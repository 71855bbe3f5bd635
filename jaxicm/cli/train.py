"""`jaxicm train`: run a training configuration."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="A file of configs/.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Change settings.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", help="Folder of pictures, .npy, folder of a data set, or tfds:NAME; repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of the run.")] = False,
    resident: Annotated[bool, typer.Option("--resident", help="Keep the decoded pictures in device memory.")] = False,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Join the other processes of a TPU pod slice or a SLURM job.")
    ] = False,
    coordinator: Annotated[
        str | None, typer.Option("--coordinator", metavar="HOST:PORT", help="Join processes elsewhere: process 0.")
    ] = None,
    processes: Annotated[int | None, typer.Option("--processes", help="How many there are.")] = None,
    process: Annotated[int | None, typer.Option("--process", help="Number of this one, from 0.")] = None,
) -> None:
    """Train a model, or go on training it."""
    from jaxicm.errors import InputError, OptionError
    from jaxicm.train.tfds_source import is_tfds

    if not config.is_file():
        raise InputError(f"{config}: no such configuration file; those that come with jaxicm are in configs/")
    for word in overrides or []:
        if "=" not in word:
            raise OptionError(f"override {word!r} is not KEY=VALUE; write for instance steps=1000")
    for source in data or []:
        if not Path(source).is_dir() and not Path(source).is_file() and not is_tfds(source):
            raise InputError(f"--data {source}: no such folder; name a folder of pictures, a .npy or tfds:NAME")
        if Path(source).is_file() and not source.endswith(".npy"):
            raise InputError(f"--data {source}: is a file, but no .npy; name the folder that it is in")
    if distributed or any(value is not None for value in (coordinator, processes, process)):
        from jaxicm.train.processes import start_processes

        start_processes(coordinator, processes, process)

    from jaxicm.train.command import train as run

    run(config, list(overrides or []), out, list(data or []), resume, resident)
