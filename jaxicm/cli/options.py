"""Options that several commands share."""

from typing import Annotated

import typer

TuneOption = Annotated[
    str | None,
    typer.Option(
        "--tune",
        metavar="psnr|ms-ssim|mixed|machine|NETWORK,...",
        help="With --effort: what to adapt for; by default what the weights were trained for. Task networks count with"
        " their features, or as yolox_nano/labels with what they find in the original.",
    ),
]
