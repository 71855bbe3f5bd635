"""Measurements on held-out pictures during a run."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxicm.media.pictures import write_picture
from jaxicm.train.config import TrainConfig
from jaxicm.train.filter import original_samples
from jaxicm.train.mesh import place_batch
from jaxicm.train.processes import is_writer
from jaxicm.train.step import compile_validation

FOLDER = "validation"


class Validation:
    """Rate and PSNR at several qualities on fixed pictures.

    PSNR is that of rounded latents and 8-bit pictures, as a file gives them. The rate is the model's estimate; where
    the model is trained with noise in place of rounding, the noise is always the same.

    Args:
      config: of the run.
      mesh: of the devices.
      pictures: uint8 `[N, side, side, 3]`, N >= 1.
    """

    def __init__(self, config: TrainConfig, mesh: Mesh, pictures: np.ndarray):
        self._config, self._mesh, self._pictures = config, mesh, pictures
        self._measure: Callable[..., Any] = compile_validation(config, mesh)

    def _batches(self, params: Any, pictures: np.ndarray, quality: float) -> Iterator[tuple[Any, Any, np.ndarray]]:
        size = self._config.batch // self._config.accumulate
        # The batch is divided over the processes as in training: each takes its own rows.
        share = size // jax.process_count()
        own = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
        for first in range(0, len(pictures), size):
            part = pictures[first : first + size]
            # One shape for all batches, so one compilation: the last is filled up with its first picture.
            crops = np.concatenate([part, np.repeat(part[:1], size - len(part), axis=0)])
            qualities = np.full(size, quality, np.float32)
            found = self._measure(params, place_batch(self._mesh, crops[own]), place_batch(self._mesh, qualities[own]))
            yield jax.tree.map(lambda a: np.asarray(a)[: len(part)], found)  # noqa: B023

    def measure(self, params: Any) -> dict[str, Any]:
        """Measure parameters.

        Args:
          params: of the model.

        Returns:
          "loss", the mean over pictures and qualities, and lists over the qualities: "quality", "bpp", "psnr" (dB, mean
          over the pictures), "ms_ssim" (mean) if the configuration asks for it, and "machine" of a codec for machines.
        """
        qualities = self._config.validation.qualities
        losses, rates, decibels, similarities, seen = [], [], [], [], []
        for quality in qualities:
            found = [(terms, similarity) for terms, similarity, _ in self._batches(params, self._pictures, quality)]
            losses.append(np.concatenate([terms.loss for terms, _ in found]).mean(dtype=np.float64))
            rates.append(np.concatenate([terms.bpp for terms, _ in found]).mean(dtype=np.float64))
            mse = np.concatenate([terms.mse for terms, _ in found]).astype(np.float64)
            decibels.append(float(np.mean(-10 * np.log10(np.maximum(mse, 1e-10)))))
            if self._config.machine is not None:
                seen.append(np.concatenate([terms.machine for terms, _ in found]).mean(dtype=np.float64))
            if self._config.validation.ms_ssim:
                similarities.append(np.concatenate([similarity for _, similarity in found]).mean(dtype=np.float64))
        rounded = {"bpp": [round(float(rate), 5) for rate in rates], "psnr": [round(db, 4) for db in decibels]}
        if similarities:
            rounded["ms_ssim"] = [round(float(value), 6) for value in similarities]
        if seen:
            rounded["machine"] = [round(float(value), 6) for value in seen]
        return {"loss": float(np.mean(losses)), "quality": list(qualities), **rounded}

    def write_pictures(self, params: Any, run: Path, step: int) -> list[Path]:
        """Write some pictures beside their originals: `validation/STEP_NUMBER.png`.

        Args:
          params: of the model.
          run: folder of the run.
          step: steps done.

        Returns:
          The files; none in a process that is not the writer.
        """
        settings = self._config.validation
        shown = self._pictures[: settings.pictures]
        originals = shown if self._config.filter is None else original_samples(shown)
        files = []
        if is_writer():
            (run / FOLDER).mkdir(exist_ok=True)
        for *_, decoded in self._batches(params, shown, settings.picture_quality):
            for picture in decoded if is_writer() else ():
                path = run / FOLDER / f"{step:07d}_{len(files)}.png"
                write_picture(path, np.concatenate([originals[len(files)], picture], axis=1))
                files.append(path)
        return files
