"""What a lossless codec that was trained for an ablation costs: bits a sample, evaluations, seconds of coding."""

import time
from pathlib import Path

import jax
import numpy as np

from jaxicm.codecs.lossless_planes import PlaneCodec
from jaxicm.entropy.pixels import CHANNELS
from jaxicm.errors import TrainingError
from jaxicm.models.lossless_frozen import freeze_model
from jaxicm.stopwatch import Stopwatch
from jaxicm.train.checkpoints import load_parameters
from jaxicm.train.lossless import LosslessTraining

SIDE = 256
"""Of the square that is coded to take the time."""
_RGB = ((0, 1, 2),)


def measure_coding(run: Path, settings: LosslessTraining, pictures: np.ndarray, loss: float) -> dict[str, float]:
    """Freeze the averaged parameters of a run, code a crop with them, and decode it.

    Args:
      run: folder of the run, finished.
      settings: of its training.
      pictures: uint8 `[N, side, side, 3]`, held out.
      loss: mean bits a sample of these under the model, without the coarsest grid.

    Returns:
      "bpsp" (bits a sample over all scales of the training, the coarsest grid at 8 bits), "calls" (evaluations of the
      network), "kmac_per_pixel", "side" (of the crop), "crop_bpsp" (of its payload), "encode_s" and "decode_s" (CPU
      seconds on a CPU, compiling not counted).

    Raises:
      TrainingError: the crop does not come back; that is a bug.
    """
    model = freeze_model(load_parameters(run)[0], settings.model)
    codec = PlaneCodec(model, settings.model.colour)
    crop = pictures[0, :SIDE, :SIDE]
    height, width = len(crop), len(crop[0])
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    seconds = {}
    codec.encode(codec.prepare(crop, _RGB), Stopwatch())  # compiles
    begun = clock()
    payload = codec.encode(codec.prepare(crop, _RGB), Stopwatch()).payload
    seconds["encode_s"] = clock() - begun
    begun = clock()
    decoded = codec.decode(payload, height, width, _RGB, np.uint8, Stopwatch())
    seconds["decode_s"] = clock() - begun
    if not np.array_equal(decoded, crop):
        raise TrainingError(f"{run}: a crop was decoded to other samples; please report this")
    return {
        "bpsp": loss + 8 / 4**settings.scales,
        "calls": settings.model.steps // CHANNELS,
        "kmac_per_pixel": model.macs_per_pixel() / 1000,
        "side": len(crop),
        "crop_bpsp": 8 * len(payload) / crop.size,
        **seconds,
    }
