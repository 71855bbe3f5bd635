"""`jaxicm calibrate`: the coder's tables of a weight file as pictures need them."""

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    model: Annotated[str, typer.Argument(help="Lossy weights: a name or a file.")],
    out: Annotated[Path, typer.Argument(help="Weight file to write (.safetensors).")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures or folders, such as were trained on.")],
    qualities: Annotated[
        str | None, typer.Option("--qualities", help="At which they are coded. [default: 5,20,40,60,80,95]")
    ] = None,
    curve: Annotated[
        Path | None, typer.Option("--curve", help="Measured points to note in it, from `jaxicm eval`.")
    ] = None,
) -> None:
    """Write weights anew with probability tables counted on pictures.

    Rates fall by one to two per cent; pictures, speed and format stay. Twenty pictures are enough. The new file has a
    digest of its own, so that files made with the old weights still need the old weights.
    """
    from jaxicm.cli.model_kind import refuse_lossless
    from jaxicm.cli.values import choose_target, parse_numbers
    from jaxicm.codecs import zoo
    from jaxicm.codecs.calibration import QUALITIES
    from jaxicm.codecs.calibration import calibrate as write
    from jaxicm.media.files import find_pictures
    from jaxicm.media.pictures import read_picture
    from jaxicm.train.freeze import read_curve

    refuse_lossless(model, "jaxicm calibrate")
    chosen = QUALITIES if qualities is None else parse_numbers(qualities, "--qualities")
    for quality in chosen:
        choose_target(quality, None, None, None)
    paths = find_pictures(pictures)
    seen = f"{len(paths)} pictures, qualities {', '.join(f'{q:g}' for q in chosen)}"
    read = (read_picture(path).pixels for path in paths)
    write(zoo.find(model), out, read, chosen, seen=seen, curve=None if curve is None else read_curve(curve))
    print(f"{out}: {out.stat().st_size:,} bytes, tables of {seen}")
