"""`jaxicm models`: the weights that are installed."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jaxicm.codecs.weights import ModelInfo


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the installed models.

    Name, digest, parameters, kMAC per pixel, what for and on what they were trained, and rate-distortion curve or
    lossless rate. A further decoder shows files of the codec whose digest it names to another viewer.
    """
    from jaxicm.cli.terminal import print_json, print_table
    from jaxicm.codecs.zoo import list_models

    found = list_models()
    if as_json:
        print_json([dataclasses.asdict(model) for model in found])
        return
    if not found:
        print("no models are installed; `jaxicm train` and `jaxicm freeze` make one")
        return
    print_table(
        "",
        ("model", "profile", "digest", "parameters", "kMAC/pixel", "steps", "for", "trained on"),
        [
            (
                model.name,
                model.profile,
                model.digest[:16],
                f"{model.parameters:,}",
                " ".join(f"{part} {cost:.1f}" for part, cost in model.kmac_per_pixel.items()),
                model.steps,
                _purpose(model),
                model.trained_on,
            )
            for model in found
        ],
    )
    for model in found:
        if model.curve and model.is_lossless:
            print(f"{model.name}: {model.curve[0]['bpsp']:.4f} bits per sub-pixel when it was released")
        elif model.curve:
            print_table(
                f"{model.name}: rate and quality when it was released",
                ("quality", "bpp", "PSNR dB", "MS-SSIM"),
                [_curve_row(point) for point in model.curve],
            )


def _purpose(model: "ModelInfo") -> str:
    if model.decoder_of:
        return f"{model.viewer}, decodes files of {model.decoder_of[:16]}"
    if model.is_filter:
        return f"a filter behind a conventional codec, for {model.own_viewer}"
    return "every sample" if model.is_lossless else f"{model.own_viewer} ({model.trained_for})"


def _curve_row(point: dict[str, float]) -> tuple[str, str, str, str]:
    bpp, psnr, ms_ssim = (point.get(key, float("nan")) for key in ("bpp", "psnr", "ms_ssim"))
    return f"{point['quality']:g}", f"{bpp:.4f}", f"{psnr:.2f}", f"{ms_ssim:.5f}"
