"""`jaxicm train`: run a training configuration."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="A file of configs/.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Change settings.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run.")] = None,
    data: Annotated[list[Path] | None, typer.Option("--data", help="Folder of training pictures; repeatable.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of the run.")] = False,
    resident: Annotated[bool, typer.Option("--resident", help="Keep the decoded pictures in device memory.")] = False,
) -> None:
    """Train a model, or go on training it."""
    from jaxicm.errors import InputError, OptionError

    if not config.is_file():
        raise InputError(f"{config}: no such configuration file; those that come with jaxicm are in configs/")
    for word in overrides or []:
        if "=" not in word:
            raise OptionError(f"override {word!r} is not KEY=VALUE; write for instance steps=1000")
    for folder in data or []:
        if not folder.is_dir():
            raise InputError(f"--data {folder}: no such folder; name a folder of pictures")

    from jaxicm.train.loop import train as run

    run(config, list(overrides or []), out, list(data or []), resume, resident)
