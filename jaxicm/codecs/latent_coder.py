"""The latent of a picture as the bytes of a section, and back: probability model and entropy coder joined."""

from dataclasses import dataclass

import numpy as np

from jaxicm.bits.rans import Decoder
from jaxicm.bits.steps import encode_steps
from jaxicm.bits.tables import Tables
from jaxicm.entropy import gaussian
from jaxicm.entropy.progressive_coder import ProgressiveCoder
from jaxicm.entropy.progressive_frozen import FrozenProgressive
from jaxicm.entropy.recurrent_coder import FrozenRecurrent, RecurrentCoder
from jaxicm.stopwatch import Stopwatch


@dataclass(frozen=True)
class Quantized:
    """Symbols of a latent at a quality, step by step, before they are coded.

    Attributes:
      symbols: int32 of each step.
      indices: of the probability table of each symbol; 0 says that it is not coded.
      values_q4: int16 `[h, w, C]`, 16 times the quantised latent.
    """

    symbols: list[np.ndarray]
    indices: list[np.ndarray]
    values_q4: np.ndarray


class LatentCoder:
    """Codes latents of one model.

    Args:
      entropy: the frozen probability model.
      tables: of the coder.
      stride: pixels that a latent position spans.
    """

    def __init__(self, entropy: FrozenProgressive | FrozenRecurrent, tables: Tables, stride: int):
        self._entropy, self._tables, self._stride = entropy, tables, stride

    def _steps(self, quality_q4: int, size: tuple[int, int]) -> ProgressiveCoder | RecurrentCoder:
        rows, columns = (-(-side // self._stride) for side in size)
        return self._entropy.coder(quality_q4, rows, columns)

    def quantize(self, y: np.ndarray, quality_q4: int, size: tuple[int, int]) -> Quantized:
        """Quantise a latent under the probability model.

        Args:
          y: float32 `[h, w, C]`.
          quality_q4: 16 times the quality.
          size: height and width of the picture in pixels.
        """
        coder = self._steps(quality_q4, size)
        symbols, indices = [], []
        for step in coder:
            mean, index = step.predict()
            residual = step.select(y) - mean * np.float32(1 / 16)
            # The smallest scale says "certainly zero": such symbols are not in the file.
            values = (gaussian.round_with_cost(residual, index, np) * (index > 0)).astype(np.int32)
            step.fill(values)
            symbols.append(values)
            indices.append(index)
        return Quantized(symbols, indices, coder.values_q4)

    def encode(self, quantized: Quantized) -> tuple[bytes, float]:
        """Return the payload of a latent, and its ideal code length in bits."""
        return encode_steps(self._tables, zip(quantized.symbols, quantized.indices, strict=True))

    def decode(self, payload: bytes, quality_q4: int, size: tuple[int, int], watch: Stopwatch) -> np.ndarray:
        """Decode a payload.

        Args:
          payload: of `encode`.
          quality_q4: 16 times the quality.
          size: height and width of the picture in pixels.
          watch: takes the seconds of "coder" and "entropy".

        Returns:
          `Quantized.values_q4`.

        Raises:
          CorruptFile: the payload does not end where its symbols do.
        """
        with watch.part("coder"):
            decoder = Decoder(payload, self._tables)
        coder = self._steps(quality_q4, size)
        steps = iter(coder)
        while True:
            with watch.part("entropy"):
                step = next(steps, None)
                if step is None:
                    break
                _, index = step.predict()
                coded = np.flatnonzero(index)
            with watch.part("coder"):
                pulled = decoder.pull(index[coded])
            with watch.part("entropy"):
                symbols = np.zeros(index.shape, np.int32)
                symbols[coded] = pulled
                step.fill(symbols)
        with watch.part("coder"):
            decoder.finish()
        return coder.values_q4
