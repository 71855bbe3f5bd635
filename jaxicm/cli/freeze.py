"""`jaxicm freeze`: turn a training run into a weight file."""

from pathlib import Path
from typing import Annotated

import typer


def freeze(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    out: Annotated[Path, typer.Argument(help="Weight file to write (.safetensors).")],
    curve: Annotated[
        Path | None, typer.Option("--curve", help="Measured points to note in it, from `jaxicm eval`.")
    ] = None,
) -> None:
    """Turn a training run into a weight file.

    The file holds the weights, the integer tables, the overflow proof, the digest and the provenance. The curve is a
    note beside them: with it or without, the digest is the same.
    """
    from jaxicm.errors import InputError

    if not run.is_dir():
        raise InputError(f"{run}: no such run folder; name the folder given to `jaxicm train --out`")

    from jaxicm.train.freeze import freeze as write

    write(run, out, curve)
    print(f"{out}: {out.stat().st_size:,} bytes")
