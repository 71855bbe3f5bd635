"""`jaxicm progress`: what training runs have reached, and how fast."""

from pathlib import Path
from typing import Annotated, Any

import typer


def progress(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs; any number.")],
    anchor: Annotated[
        Path | None,
        typer.Option("--anchor", help="Run whose last validation BD-rates refer to. [default: the first one]"),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all numbers.")] = None,
) -> None:
    """Print the validations of runs, with the hours that they took and BD-rates.

    Hours are those of the processes, compiling and validation included, over all resumptions; a run that began at other
    weights (`init=`) begins at 0. BD-rates compare rates on the validation pictures, as the model estimates them, at
    equal PSNR: by default with the last state of the first run, so that they tell how far a state was from it. Runs
    whose validation has no rates are shown with their loss alone.
    """
    import json

    from jaxicm.cli.terminal import print_table
    from jaxicm.errors import InputError
    from jaxicm.media.files import atomic_write
    from jaxicm.train.log import LOG_FILE, read_validations

    found = {run: read_validations(run) for run in (*runs, *([] if anchor is None else [anchor]))}
    for run, validations in found.items():
        if not validations:
            raise InputError(f"{run}: {LOG_FILE} holds no validation; give the folder of a run that had `validation`")
    last = found[anchor or runs[0]][-1]
    rows = [
        {"run": str(run), **validation, "bd_rate": _difference(last, validation)}
        for run in runs
        for validation in found[run]
    ]
    for run in runs:
        mine = [row for row in rows if row["run"] == str(run)]
        title = f"{run}: BD-rate over step {last['step']} of {anchor or runs[0]}"
        columns = ("step", "hours", "loss", "BD-rate %", "bpp", "PSNR dB")
        print_table(title, columns, [_cells(row) for row in mine])
    if json_file is not None:
        atomic_write(json_file, json.dumps(rows, indent=1).encode())


def _difference(anchor: dict[str, Any], test: dict[str, Any]) -> float | None:
    """Return the BD-rate of PSNR between two validations; None where there are no rates, or they do not meet."""
    from jaxicm.errors import InputError
    from jaxicm.evaluate.bdrate import bd_rate

    if not {"bpp", "psnr"} <= anchor.keys() & test.keys():
        return None
    try:
        return bd_rate(anchor["bpp"], anchor["psnr"], test["bpp"], test["psnr"]).value
    except InputError:
        return None


def _cells(row: dict[str, Any]) -> list[str]:
    difference = "" if row["bd_rate"] is None else f"{row['bd_rate']:+.1f}"
    curves = (
        " ".join(f"{value:.{digits}f}" for value in row.get(key, ())) for key, digits in (("bpp", 3), ("psnr", 2))
    )
    return [str(row["step"]), f"{row['hours']:.2f}", f"{row['loss']:.4f}", difference, *curves]
