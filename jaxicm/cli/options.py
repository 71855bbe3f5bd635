"""Options that several commands share."""

from typing import Annotated

import typer

DEFAULT_FILTER = "filter_vvc"
"""Weights of the filter behind a conventional codec."""
DecoderOption = Annotated[
    str | None,
    typer.Option(
        "--decoder",
        metavar="people|machine",
        help="For whom the picture is decoded, where the weights have a decoder of their own for that viewer.",
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Files at a time, where there are several (default: one a processor, at most 3; 1 with --effort).",
    ),
]
TuneOption = Annotated[
    str | None,
    typer.Option(
        "--tune",
        metavar="psnr|ms-ssim|mixed|machine|NETWORK,...",
        help="With --effort: what to adapt for; by default what the weights were trained for. Task networks count with"
        " their features, or as yolox_nano/labels with what they find in the original.",
    ),
]
