"""Turning a training run into released weights: integers, tables, overflow proof and where they come from."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxicm.codecs import filter_weights, transform_arrays, weights
from jaxicm.configuration import to_dict
from jaxicm.entropy.progressive_frozen import FrozenProgressive
from jaxicm.entropy.recurrent_coder import FrozenRecurrent
from jaxicm.errors import InputError
from jaxicm.models.complexity import count_macs, count_parameters
from jaxicm.models.image import ImageConfig, ImageModel
from jaxicm.models.lossless import LosslessConfig
from jaxicm.models.lossless_frozen import freeze_model
from jaxicm.objectives.machine import MACHINE, MachineDistortion
from jaxicm.train.config import DECODER, TrainConfig

POINTS = "points"
"""Folder, in that of a run, of its operating points."""
_SIDE = 256


def freeze_parameters(
    params: dict[str, Any],
    config: ImageConfig | LosslessConfig,
    out: Path,
    *,
    profile: str,
    trained_on: str,
    provenance: dict[str, Any],
    curve: list[dict[str, float]] | None = None,
    trained_for: str = "mse",
    machine: MachineDistortion | None = None,
) -> str:
    """Write trained parameters as a weight file.

    Args:
      params: of `ImageModel` or `LosslessModel` (the averaged ones).
      config: of the model.
      out: file to write, `.safetensors`.
      profile: "fast", ...
      trained_on: one line for `jaxicm models`.
      provenance: run, steps, hours, command and so on; plain data.
      curve: measured points.
      trained_for: distortion of the training objective; "machine" with `machine`.
      machine: the distortion of a codec for machines.

    Returns:
      The digest.

    Raises:
      ExactnessError: if a layer's overflow proof fails.
    """
    description = {"profile": profile, "parameters": count_parameters(params), "steps": config.steps}
    description |= {"trained_on": trained_on, "curve": curve or [], "config": to_dict(config)}
    description |= {"trained_for": trained_for, "machine": None if machine is None else to_dict(machine)}
    if isinstance(config, LosslessConfig):
        pixels = freeze_model(params, config)
        kmac = round(pixels.macs_per_pixel() / 1000, 2)
        description |= {"kmac_per_pixel": {"entropy": kmac, "decode": kmac}}
        arrays = {f"pixels/{k}": v for k, v in pixels.to_arrays().items()}
        return weights.write(out, arrays, description | _proven(provenance, pixels.proof()))
    entropy: FrozenProgressive | FrozenRecurrent
    if config.recurrent is not None:
        entropy = FrozenRecurrent.freeze(params["entropy"], config.recurrent)
    else:
        entropy = FrozenProgressive.freeze(params["entropy"], config.entropy)
    transform = {k: v for k, v in params.items() if k != "entropy"}
    arrays = {f"entropy/{k}": v for k, v in entropy.to_arrays().items()} | weights.tables_to_arrays(entropy.tables())
    arrays |= _transform_arrays(transform, config)
    description |= {"kmac_per_pixel": kmac_per_pixel(params, config, entropy)}
    return weights.write(out, arrays, description | _proven(provenance, entropy.proof()))


def _transform_arrays(transform: dict[str, Any], config: ImageConfig) -> dict[str, np.ndarray]:
    return {f"transform/{k}": v for k, v in transform_arrays.to_arrays(transform, config.kernel_bits).items()}


def freeze_decoder(params: dict[str, Any], config: TrainConfig, out: Path, provenance: dict[str, Any]) -> str:
    """Write a further decoder of the codec at which a run began: the same files, decoded for another viewer.

    Args:
      params: of the run (the averaged ones).
      config: of the run; it trains parts of `DECODER` alone.
      out: file to write, `.safetensors`.
      provenance: plain data.

    Returns:
      The digest of the file; that of the codec is in it.

    Raises:
      InputError: the run began at no released weights, or the viewer is the one that their own decoder is for.
    """
    base = weights.read_info(Path(config.init))
    viewer = "people" if config.machine is None else MACHINE
    if viewer == base.own_viewer:
        raise InputError(
            f"{config.init}: its own decoder is for {viewer}; train one for another viewer, or all parts of the model"
        )
    arrays = _transform_arrays({part: params[part] for part in config.trained}, config.model)
    description = {
        "profile": f"{base.profile}-{viewer}",
        "parameters": count_parameters([params[part] for part in config.trained]),
        "kmac_per_pixel": {"decode": base.kmac_per_pixel["decode"]},
        "steps": base.steps,
        "trained_on": config.trained_on,
        "curve": [],
        "config": base.config,
        "provenance": provenance,
        "trained_for": config.objective.distortion if config.machine is None else MACHINE,
        "decoder_of": base.digest,
        "viewer": viewer,
    }
    return weights.write(out, arrays, description)


def _proven(provenance: dict[str, Any], proof: dict[str, float]) -> dict[str, Any]:
    return {"provenance": provenance | {"overflow_proof": {k: round(v, 4) for k, v in proof.items()}}}


def kmac_per_pixel(
    params: dict[str, Any], config: ImageConfig, entropy: FrozenProgressive | FrozenRecurrent
) -> dict[str, float]:
    """Count thousands of multiply-adds a pixel: analysis, synthesis, entropy, and decode in all."""
    model, quality = ImageModel(config), jnp.full(1, 50.0)
    x = jax.ShapeDtypeStruct((1, _SIDE, _SIDE, 3), jnp.float32)
    y = jax.ShapeDtypeStruct((1, _SIDE // config.stride, _SIDE // config.stride, config.channels), jnp.float32)
    variables = {"params": params}
    counts = {
        "analysis": count_macs(lambda a: model.apply(variables, a, quality, method="encode"), x) / _SIDE**2,
        "synthesis": count_macs(lambda a: model.apply(variables, a, quality, method="decode"), y) / _SIDE**2,
        "entropy": entropy.macs_per_position() / config.stride**2,
    }
    counts["decode"] = counts["synthesis"] + counts["entropy"]
    return {name: round(count / 1000, 2) for name, count in counts.items()}


def write_point(config: TrainConfig, params: dict[str, Any], run: Path, name: str, step: int) -> Path:
    """Write the parameters of an operating point of a run for machines as a weight file of their own.

    Args:
      config: of the run.
      params: averaged, as numpy arrays.
      run: its folder.
      name: of the point.
      step: of the run.

    Returns:
      `run/points/NAME.safetensors`.
    """
    assert config.machine is not None, "only runs for machines have operating points"
    path = run / POINTS / f"{name}.safetensors"
    freeze_parameters(
        params,
        config.model,
        path,
        profile=f"{config.name}-{name}",
        trained_on=config.trained_on,
        provenance={"run": config.name, "steps": step, "point": name},
        trained_for=MACHINE,
        machine=config.machine.distortion,
    )
    return path


def freeze(run: Path, out: Path, curve: Path | None = None) -> str:
    """Freeze the averaged parameters of a run's last checkpoint.

    Args:
      run: folder of a training run.
      out: weight file to write.
      curve: JSON of measured points to store beside, as `jaxicm eval --out` writes it.

    Returns:
      The digest.
    """
    from jaxicm.train.checkpoints import load_averaged

    params, config, state = load_averaged(run)
    if config.filter is not None:
        return filter_weights.write(
            out,
            params,
            config.filter.model,
            profile=config.name,
            trained_on=config.trained_on,
            provenance=state,
            machine=None if config.machine is None else config.machine.distortion,
        )
    if config.trained and set(config.trained) <= set(DECODER):
        return freeze_decoder(params, config, out, state)
    return freeze_parameters(
        params,
        config.model if config.lossless is None else config.lossless.model,
        out,
        profile=config.name,
        trained_on=config.trained_on,
        provenance=state,
        curve=read_curve(curve) if curve else None,
        trained_for=config.objective.distortion if config.machine is None else MACHINE,
        machine=None if config.machine is None else config.machine.distortion,
    )


def read_curve(path: Path) -> list[dict[str, float]]:
    """Read the mean points of a run file that `jaxicm eval --out` wrote, those at full size.

    Raises:
      InputError: if the file is missing or no such file.
    """
    try:
        results = json.loads(path.read_text())["results"]
        if "bpsp" in results and "psnr-rgb" not in results:  # a lossless run has one point and no distortion
            return [{"bpsp": round(results["bpsp"][0], 5), "bpp": round(results["bpp"][0], 5)}]
        columns = [results[key] for key in ("quality", "bpp", "psnr-rgb", "ms-ssim-rgb", "scale")]
        rows = sorted(row for row in zip(*columns, strict=True) if row[-1] == 100)
        names = ("quality", "bpp", "psnr", "ms_ssim")
        return [dict(zip(names, (round(value, 5) for value in row[:-1]), strict=True)) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no run file of `jaxicm eval --out` ({error}); make one first") from error
