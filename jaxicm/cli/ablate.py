"""`jaxicm ablate`: variants of a training recipe at equal cost, or ways to adapt latents (`cli.latent_ablation`)."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol, TypeVar

import typer

if TYPE_CHECKING:
    from jaxicm.train.ablation import Row


class Named(Protocol):
    """A row of an ablation of either kind."""

    @property
    def group(self) -> str:
        """Return what is compared."""
        ...

    @property
    def name(self) -> str:
        """Return the choice."""
        ...


N = TypeVar("N", bound=Named)


class Judges(NamedTuple):
    """Task networks, the labelled pictures that they see, and the ground truth of these."""

    tasks: tuple[str, ...]
    pictures: tuple[Path, ...]
    annotations: Path


def ablate(
    config: Annotated[
        Path, typer.Argument(help="A file of configs/ with config() and variants(), or with adaptations().")
    ],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Change the base.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of all runs; by default runs/NAME.")] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="As of `jaxicm train`, or pictures to adapt to; repeatable.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option("--budget", min=1.0, help="Seconds of training for each, by default 200; CPU seconds on a CPU."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="For adaptations: lossy weights, a name or a file; by default fast.")
    ] = None,
    qualities: Annotated[
        str | None, typer.Option("--qualities", help="For adaptations: separated by commas; by default 15,45,75.")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="For machines: task network that judges each variant; repeatable."),
    ] = None,
    pictures: Annotated[
        list[Path] | None, typer.Option("--pictures", help="With --task: labelled pictures or folders; repeatable.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", help="With --task: COCO JSON with their ground truth.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="A group, or GROUP/NAME; repeatable.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for all rows.")] = None,
) -> None:
    """Train variants of a recipe for the same time each and print what they reach; or compare ways to adapt latents.

    Finished variants are kept in the folder: the same command goes on after an interruption, and a new variant costs
    its own time only. BD-rates compare the curves on the validation pictures with the base's; negative is better. Of
    lossless codecs the bits a sample are compared, and one crop is coded and decoded to take the time.

    A file with adaptations() trains nothing: pictures are coded with each, and J (bits + lambda * distortion), rate and
    PSNR are compared with those of the encoder that adapts nothing.

    Codecs for machines are compared by the distance of features, and with --task by the accuracy of task networks on
    labelled pictures, which are coded with each.
    """
    from jaxicm.errors import OptionError
    from jaxicm.evaluate.latent_ablation import load_adaptations

    adaptations = load_adaptations(config)
    if adaptations is not None:
        given = {"--budget": budget is not None, "KEY=VALUE": bool(overrides), "--task": bool(task)}
        _refuse(config, "compares adaptations", given)
        from jaxicm.cli.latent_ablation import MODEL, QUALITIES, ablate_latents

        ablate_latents(
            choose_variants(adaptations, only or ()),
            data or (),
            out or Path("runs") / config.stem,
            model=model or MODEL,
            qualities=qualities or QUALITIES,
            json_file=json_file,
        )
        return
    _refuse(config, "trains", {"--model": model is not None, "--qualities": qualities is not None})
    if bool(task) != bool(pictures) or bool(task) != (annotations is not None):
        raise OptionError("--task, --pictures and --annotations go together; give all three or none")
    judges = None if annotations is None else Judges(tuple(task or ()), tuple(pictures or ()), annotations)
    _ablate_training(
        config, overrides or (), out, data or (), 200.0 if budget is None else budget, only or (), judges, json_file
    )


def _refuse(config: Path, does: str, given: Mapping[str, bool]) -> None:
    """Refuse options that go with another kind of file."""
    from jaxicm.errors import OptionError

    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise OptionError(f"{config} {does} and takes no {' or '.join(names)}; leave that out")


def choose_variants(variants: Sequence[N], only: Sequence[str]) -> list[N]:
    """Choose variants by group, or group and name; the first one, the base, is always among them.

    Args:
        variants: all.
        only: words GROUP or GROUP/NAME; none chooses all.

    Raises:
        OptionError: a word fits no variant.
    """
    from jaxicm.errors import OptionError

    words = [{variant.group, f"{variant.group}/{variant.name}"} for variant in variants]
    for wanted in only:
        if not any(wanted in each for each in words):
            groups = " ".join(sorted({variant.group for variant in variants}))
            raise OptionError(f"--only {wanted}: no such group or variant; groups are {groups}")
    chosen = [variant for variant, each in zip(variants[1:], words[1:], strict=True) if not only or each & {*only}]
    return [variants[0], *chosen]


def _ablate_training(
    config: Path,
    overrides: Sequence[str],
    out: Path | None,
    data: Sequence[str],
    budget: float,
    only: Sequence[str],
    judges: "Judges | None",
    json_file: Path | None,
) -> None:
    import dataclasses
    import json

    from jaxicm.compilation import use_compilation_cache
    from jaxicm.configuration import apply_overrides
    from jaxicm.errors import OptionError
    from jaxicm.media.files import atomic_write
    from jaxicm.train.ablation import load_variants, run_ablation
    from jaxicm.train.config import load_config

    variants = load_variants(config)
    base = apply_overrides(load_config(config), list(overrides))
    if data:
        base = dataclasses.replace(base, data=dataclasses.replace(base.data, folders=tuple(data)))
    variants = choose_variants(variants, only)
    if judges is not None and base.machine is None:
        raise OptionError(f"{config}: --task judges codecs for machines; its configuration has no `machine`")
    use_compilation_cache()
    out = out or Path("runs") / base.name
    rows = run_ablation(base, variants, out, budget)
    compared = compare(rows) if base.lossless is None else compare_lossless(rows)
    (print_rows if base.lossless is None else print_lossless_rows)(compared, budget)
    if judges is not None:
        from jaxicm.cli.machine_ablation import measure_tasks, print_tasks

        measured = measure_tasks(rows, out, judges.pictures, judges.tasks, judges.annotations)
        print_tasks(rows, measured)
        compared = [row | {"tasks": found} for row, found in zip(compared, measured, strict=True)]
    if json_file is not None:
        atomic_write(json_file, json.dumps(compared, indent=1).encode())


def compare(rows: "list[Row]") -> list[dict[str, Any]]:
    """Compare each row with the first, the base.

    Returns:
        For each row its names and figures, "bd_psnr" (per cent of rate at equal PSNR, None where the curves have too
        little in common; of a variant of a single rate, at its one point); where MS-SSIM was measured, "bd_ms_ssim";
        and of codecs for machines "bd_features", at equal distance of the features.
    """
    from jaxicm.errors import InputError
    from jaxicm.evaluate.bdrate import bd_rate, rate_difference
    from jaxicm.evaluate.metrics import ms_ssim_db

    def quality(row: "Row", key: str) -> list[float]:
        values = row.curve[key]
        if key == "machine":  # in dB, so that it rises, and small distances count
            return [-10 * math.log10(max(value, 1e-9)) for value in values]
        return [ms_ssim_db(value) for value in values] if key == "ms_ssim" else values

    def delta(row: "Row", key: str) -> float | None:
        if key not in row.curve or key not in rows[0].curve:
            return None
        base, other = ((each.curve["bpp"], quality(each, key)) for each in (rows[0], row))
        try:
            return (
                rate_difference(*base, *(v[0] for v in other)) if len(other[0]) == 1 else bd_rate(*base, *other).value
            )
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
            "bd_features": delta(row, "machine"),
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

    of_features = any("machine" in row["curve"] for row in rows)

    def percent(value: float | None) -> str:
        return "" if value is None else f"{value:+.2f}"

    cells = [
        [
            *_lead(row),
            f"{row['loss']:.4f}",
            percent(row["bd_psnr"]),
            percent(row["bd_ms_ssim"]),
            *([percent(row["bd_features"])] if of_features else []),
        ]
        for row in rows
    ]
    columns = ["", "variant", "steps", "s a step", "loss", "BD-rate PSNR %", "BD-rate MS-SSIM %"]
    columns += ["BD-rate features %"] if of_features else []
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
