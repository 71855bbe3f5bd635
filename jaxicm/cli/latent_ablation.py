"""`jaxicm ablate` with a file of adaptations: ways to adapt latents, measured on pictures without training."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from jaxicm.cli.terminal import Terminal, print_table

if TYPE_CHECKING:
    from jaxicm.evaluate.latent_ablation import LatentAblation, Row, Variant
    from jaxicm.evaluate.latent_journal import Point

EXIT_INTERRUPTED = 130
MODEL = "fast"
QUALITIES = "15,45,75"
JOURNAL = "latents.jsonl"


def ablate_latents(
    variants: "Sequence[Variant]",
    data: Sequence[str],
    out: Path,
    *,
    model: str = MODEL,
    qualities: str = QUALITIES,
    json_file: Path | None = None,
) -> None:
    """Measure variants and print the table.

    Args:
        variants: rows, in their order; the first is the base.
        data: pictures and folders.
        out: folder of the journal.
        model: name of lossy weights, or a weight file.
        qualities: numbers separated by commas.
        json_file: takes all rows, or None.

    Raises:
        InputError: there are no such pictures or weights.
        OptionError: an option is out of its range, nothing is to be coded, or the weights are lossless.
    """
    import json

    import jaxicm
    from jaxicm.cli.jobs import make_folder
    from jaxicm.cli.model_kind import refuse_lossless
    from jaxicm.cli.values import parse_numbers
    from jaxicm.codecs.adaptation import choose_objective
    from jaxicm.errors import OptionError
    from jaxicm.evaluate.latent_ablation import LatentAblation
    from jaxicm.evaluate.latent_journal import Journal
    from jaxicm.evaluate.picture_set import survey
    from jaxicm.media.files import atomic_write

    settings = parse_numbers(qualities, "--qualities")
    if not (settings[0] >= 1 and settings[-1] <= 100):
        raise OptionError(f"--qualities must lie from 1 to 100, got {qualities}")
    if not data:
        raise OptionError("nothing to code; name pictures or folders with --data")
    for variant in variants:
        choose_objective(variant.tune, "mse", None, (64, 64))  # refuses unknown names before hours are spent
    refuse_lossless(model, "jaxicm ablate")
    pictures = survey([Path(each) for each in data]).pictures
    make_folder(out)
    journal = Journal(out / JOURNAL)
    codec = jaxicm.load(model)
    assert not codec.info.is_lossless
    decode = codec.decode if model.endswith(".safetensors") else jaxicm.decode  # such a file need not be installed
    ablation = LatentAblation(codec, variants[0], pictures, settings, journal, decode)  # type: ignore[arg-type]
    rows = _work(ablation, variants, journal.path)
    count = f"{len(pictures)} picture" + "s" * (len(pictures) > 1)
    print_rows(rows, f"{codec.info.name}, {count}, qualities {', '.join(f'{q:g}' for q in settings)}")
    if json_file is not None:
        atomic_write(json_file, json.dumps([row.figures() for row in rows], indent=1).encode())


def _work(ablation: "LatentAblation", variants: "Sequence[Variant]", path: Path) -> "list[Row]":
    """Measure what is missing, and print a line for each variant."""
    from jaxicm.interruption import Interruption

    terminal, rows = Terminal(), []

    def points() -> "Iterator[Point]":
        for variant in variants:
            yield from ablation.measure(variant, terminal.show_adapting)
            rows.append(ablation.row(variant))
            terminal.result(_line(rows[-1]))

    try:
        # an exception at any moment would be swallowed by callbacks of JAX or crash it: a measurement is finished first
        with Interruption() as interruption, terminal:
            for _ in terminal.track(points(), "measuring", ablation.missing(variants)):
                if interruption.received:
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        print(
            f"jaxicm: interrupted: all finished measurements are in {path}; give the same command again to go on",
            file=sys.stderr,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    return rows


def _line(row: "Row") -> str:
    return (
        f"{row.variant.label}: {row.iterations:.4g} iterations, {row.encode_s:.2f} s a picture, J {row.cost:+.2f} %, "
        f"bpp {row.bpp:+.2f} %, PSNR {row.psnr:+.3f} dB"
    )


def print_rows(rows: "Sequence[Row]", what: str) -> None:
    """Print the table.

    Args:
        rows: the base and what is compared with it.
        what: was measured.
    """

    def percent(value: float | None) -> str:
        return "" if value is None else f"{value:+.2f}"

    cells = [
        [
            row.variant.group,
            "" if row.variant.name == row.variant.group else row.variant.name,
            f"{row.iterations:.4g}",
            f"{row.encode_s:.2f}",
            percent(row.cost),
            percent(row.bpp),
            f"{row.psnr:+.3f}",
            percent(row.bd_psnr),
            percent(row.bd_ms_ssim),
        ]
        for row in rows
    ]
    columns = ["group", "variant", "iterations", "s a picture", "J %", "bpp %", "PSNR dB", "BD-rate %", "BD MS-SSIM %"]
    print_table(f"{what}; changes against no adaptation", columns, cells)
