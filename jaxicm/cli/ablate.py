"""`jaxicm ablate`: variants of a training recipe at equal cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from jaxicm.train.ablation import Row


def ablate(
    config: Annotated[Path, typer.Argument(help="A file of configs/ with config() and variants().")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Change the base.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of all runs; by default runs/NAME.")] = None,
    data: Annotated[list[str] | None, typer.Option("--data", help="As of `jaxicm train`; repeatable.")] = None,
    budget: Annotated[
        float, typer.Option("--budget", min=1.0, help="Seconds of training for each; CPU seconds on a CPU.")
    ] = 200.0,
    only: Annotated[list[str] | None, typer.Option("--only", help="A group, or GROUP/NAME; repeatable.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all rows.")] = None,
) -> None:
    """Train variants of a recipe for the same time each and print what they reach.

    Finished variants are kept in the folder: the same command goes on after an interruption, and a new variant costs
    its own time only. BD-rates compare the curves on the validation pictures with the base's; negative is better. Of
    lossless codecs the bits a sample are compared, and one crop is coded and decoded to take the time.
    """
    import dataclasses
    import json

    from jaxicm.compilation import use_compilation_cache
    from jaxicm.configuration import apply_overrides
    from jaxicm.errors import OptionError
    from jaxicm.media.files import atomic_write
    from jaxicm.train.ablation import BASE, load_variants, run_ablation
    from jaxicm.train.config import load_config

    variants = load_variants(config)
    base = apply_overrides(load_config(config), list(overrides or []))
    if data:
        base = dataclasses.replace(base, data=dataclasses.replace(base.data, folders=tuple(data)))
    if only:
        known = {variant.group for variant in variants} | {f"{v.group}/{v.name}" for v in variants}
        for wanted in only:
            if wanted not in known:
                groups = " ".join(sorted({variant.group for variant in variants}))
                raise OptionError(f"--only {wanted}: no such group or variant; groups are {groups}")
        variants = [v for v in variants if {v.group, f"{v.group}/{v.name}"} & {*only, BASE}]
    use_compilation_cache()
    rows = run_ablation(base, variants, out or Path("runs") / base.name, budget)
    compared = compare(rows) if base.lossless is None else compare_lossless(rows)
    (print_rows if base.lossless is None else print_lossless_rows)(compared, budget)
    if json_file is not None:
        atomic_write(json_file, json.dumps(compared, indent=1).encode())


def compare(rows: "list[Row]") -> list[dict[str, Any]]:
    """Compare each row with the first, the base.

    Returns:
        For each row its names and figures, "bd_psnr" (per cent of rate at equal PSNR, None where the curves have too
        little in common) and, where MS-SSIM was measured, "bd_ms_ssim".
    """
    from jaxicm.errors import InputError
    from jaxicm.evaluate.bdrate import bd_rate
    from jaxicm.evaluate.metrics import ms_ssim_db

    def quality(row: "Row", key: str) -> list[float]:
        return [ms_ssim_db(value) for value in row.curve[key]] if key == "ms_ssim" else row.curve[key]

    def delta(row: "Row", key: str) -> float | None:
        if key not in row.curve or key not in rows[0].curve:
            return None
        try:
            return bd_rate(rows[0].curve["bpp"], quality(rows[0], key), row.curve["bpp"], quality(row, key)).value
        except InputError:
            return None

    return [
        {
            "group": row.variant.group,
            "name": row.variant.name,
            "words": list(row.variant.words),
            "steps": row.steps,
            "step_s": row.step_s,
            "loss": row.loss,
            "curve": row.curve,
            "bd_psnr": delta(row, "psnr"),
            "bd_ms_ssim": delta(row, "ms_ssim"),
        }
        for row in rows
    ]


def _lead(row: dict[str, Any]) -> list[str]:
    """Return the cells that every table begins with: group, variant, steps, seconds a step."""
    name = "" if row["name"] == row["group"] else row["name"]
    return [row["group"], name, str(row["steps"]), f"{row['step_s']:.3g}"]


def print_rows(rows: list[dict[str, Any]], budget: float) -> None:
    """Print the table of `compare`."""
    from jaxicm.cli.terminal import print_table

    def percent(value: float | None) -> str:
        return "" if value is None else f"{value:+.2f}"

    cells = [
        [
            *_lead(row),
            f"{row['loss']:.4f}",
            percent(row["bd_psnr"]),
            percent(row["bd_ms_ssim"]),
        ]
        for row in rows
    ]
    columns = ["", "variant", "steps", "s a step", "loss", "BD-rate PSNR %", "BD-rate MS-SSIM %"]
    print_table(f"{budget:g} seconds of training each", columns, cells)


def compare_lossless(rows: "list[Row]") -> list[dict[str, Any]]:
    """Compare each row with the first, the base.

    Returns:
        For each row its names, what its coding costs (see `jaxicm.train.ablation_lossless`), and "difference" (per cent
        of bits; negative is better).
    """
    found = []
    for row in rows:
        assert row.coding is not None and rows[0].coding is not None, "every row of a lossless base was coded"
        names = {"group": row.variant.group, "name": row.variant.name, "words": list(row.variant.words)}
        difference = 100 * (row.coding["bpsp"] / rows[0].coding["bpsp"] - 1)
        found.append(names | {"steps": row.steps, "step_s": row.step_s} | row.coding | {"difference": difference})
    return found


def print_lossless_rows(rows: list[dict[str, Any]], budget: float) -> None:
    """Print the table of `compare_lossless`."""
    from jaxicm.cli.terminal import print_table

    cells = [
        [
            *_lead(row),
            f"{row['bpsp']:.4f}",
            f"{row['difference']:+.2f}",
            f"{row['calls']:g}",
            f"{row['kmac_per_pixel']:.1f}",
            f"{row['encode_s']:.2f}",
            f"{row['decode_s']:.2f}",
        ]
        for row in rows
    ]
    columns = ["", "variant", "steps", "s a step", "bits/sample", "%", "calls", "kMAC/px", "encode s", "decode s"]
    side = f"{rows[0]['side']:g}"
    print_table(f"{budget:g} seconds of training each; coding a crop of {side}x{side}", columns, cells)
