"""`jaxicm eval`: the table of rate and quality on a folder of pictures, from real files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jaxicm.evaluate.run import Point


def evaluate(
    folder: Annotated[list[Path], typer.Argument(help="Pictures or folders of pictures.")],
    qualities: Annotated[
        str, typer.Option("--qualities", help="Qualities, separated by commas.")
    ] = "5,20,35,50,65,80,95",
    out: Annotated[Path | None, typer.Option("--out", help="JSON file for all numbers.")] = None,
    model: Annotated[str, typer.Option("--model", help="Name from `jaxicm models`, or a weight file.")] = "fast",
    fresh: Annotated[bool, typer.Option("--fresh", help="Decode in a second process, as a receiver would.")] = False,
) -> None:
    """Measure rate and quality on pictures.

    Prints bpp, PSNR and MS-SSIM per picture and in the mean, from real files, and the BD-rate over the published VTM
    curve. That curve is that of the 24 Kodak pictures: on other pictures the BD-rate means nothing.
    """
    import json

    from jaxicm.cli.terminal import Terminal, print_table
    from jaxicm.cli.values import parse_qualities
    from jaxicm.evaluate.run import FreshDecoder, measure, report
    from jaxicm.media.files import atomic_write, find_pictures

    wanted = parse_qualities(qualities)
    pictures = find_pictures(folder)

    import jaxicm

    codec = jaxicm.load(model)
    points = []
    with Terminal() as terminal:
        for picture in terminal.track(pictures, "measuring"):
            points += measure(codec, picture, wanted, FreshDecoder.for_model(model) if fresh else None)
            terminal.result(picture_line(picture, points[-len(wanted) :]))
    summary = report(points)
    print_table(
        f"mean of {len(pictures)} pictures, model {codec.info.name}",
        ("quality", "bpp", "PSNR dB", "MS-SSIM", "encode s", "decode s"),
        [
            (
                f"{row['quality']:g}",
                f"{row['bpp']:.4f}",
                f"{row['psnr']:.3f}",
                f"{row['ms_ssim']:.5f}",
                f"{row['encode_s']:.3f}",
                "" if row["decode_s"] is None else f"{row['decode_s']:.3f}",
            )
            for row in summary["curve"]
        ],
    )
    rate = summary["bd_rate_percent"]
    anchor = summary["anchor"]
    print(f"BD-rate over {anchor}: " + (summary["bd_rate_refused"] if rate is None else f"{rate:+.2f} %"))
    if out is not None:
        summary["model"] = {"name": codec.info.name, "digest": codec.info.digest}
        atomic_write(out, json.dumps(summary, indent=1).encode())


def picture_line(picture: Path, points: "Sequence[Point]") -> str:
    """Write the points of one picture as a line: quality, bpp, PSNR and MS-SSIM of each."""
    cells = [f"{point.quality:g}: {point.bpp:.4f} {point.psnr:.2f} {point.ms_ssim:.4f}" for point in points]
    return f"{picture.name}  " + " | ".join(cells)
