"""The coding face of the pixel model: one step at a time, on the host.

A step needs only pixels decoded before it, so encoder and decoder run the same code. The networks run on segments of
pixels, filled up to a few fixed sizes; exact arithmetic makes the result independent of that, so a picture of any size
needs the same few compiled functions.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxicm.bits.mixture import Mixture
from jaxicm.entropy import pixel_context
from jaxicm.entropy.pixel_grid import PixelGrid
from jaxicm.entropy.pixel_order import CELLS, reach
from jaxicm.entropy.pixel_phase import PhaseRun, Round, Setting
from jaxicm.entropy.pixels import CHANNELS
from jaxicm.entropy.schedule import effective_scales

if TYPE_CHECKING:
    from jaxicm.entropy.pixel_frozen import FrozenPixels


Enlarge = Callable[[np.ndarray], np.ndarray]
"""Maps int32 `[C, h, w]` to int32 `[C, 2 h, 2 w]`."""


class PixelStep:
    """One step: a channel of a segment of a round of a phase at one scale.

    While a segment is decoded, the networks of the following ones run.
    """

    def __init__(self, run: Round, channel: int, segment: int):
        self._run, self._channel, self._segment = run, channel, segment

    def predict(self) -> Mixture:
        """Return the distributions of the samples."""
        return self._run.predict(self._channel, self._segment)

    def select(self, x: np.ndarray) -> np.ndarray:
        """Return the samples of a picture int32 `[H, W, C]` that this step codes, `[n]`."""
        return self._run.select(x[..., self._channel], self._segment)

    def fill(self, values: np.ndarray) -> None:
        """Take the decoded samples, int32 `[n]`."""
        self._run.take(self._channel, self._segment, values)


class PixelCoder:
    """Iterates over the steps of one picture; the samples are complete after the last.

    Attributes:
      model: the frozen model.
      channels: 3 or 1.
      setting: what is the same for the whole picture.
      scales: subsamplings of this picture.
      coarsest: (rows, columns) of the coarsest grid, which `start` takes before the iteration.
      network_calls: evaluated so far (segments counted once).
      samples: int32 `[H, W, channels]` after the iteration.
    """

    def __init__(
        self,
        model: "FrozenPixels",
        height: int,
        width: int,
        low: Sequence[int],
        high: Sequence[int],
        depth: int,
        colour: str | None,
        enlarge: Enlarge | None = None,
    ):
        self.model, self.channels, self._enlarge = model, len(low), enlarge
        self.setting = Setting(model.config, len(low), tuple(low), tuple(high), depth, colour)
        self._size = height, width
        self.scales = effective_scales(model.config.scales, height, width)
        self.coarsest = height >> self.scales, width >> self.scales
        self.network_calls = 0
        self._known = np.zeros((CHANNELS, *self.coarsest), np.int32)

    def select_coarsest(self, x: np.ndarray) -> np.ndarray:
        """Return the pixels of the coarsest grid of a picture int32 `[H, W, C]`."""
        stride = 1 << self.scales
        return x[stride - 1 :: stride, stride - 1 :: stride]

    def start(self, values: np.ndarray) -> None:
        """Take the coarsest grid, int32 `[*coarsest, channels]`."""
        self._known[: self.channels] = np.moveaxis(values, -1, 0)

    @property
    def samples(self) -> np.ndarray:
        """The decoded picture."""
        return np.moveaxis(self._known[: self.channels], 0, -1)

    def __iter__(self) -> Iterator[PixelStep]:
        config = self.model.config
        cell = CELLS[config.cell][0]
        for scale in reversed(range(self.scales)):
            height, width = (side >> scale for side in self._size)
            setting, given = self.setting, None
            if scale == 0 and self._enlarge is not None:
                given = self._enlarge(self._known[1:])
                self._known[1:] = given[:, 1::2, 1::2]
                setting = setting._replace(channels=1)
            grid = PixelGrid(height, width, CHANNELS, cell, reach(config.order, config.taps))
            rough = self._roughness()
            for i in range(1, cell[0], 2):
                for j in range(1, cell[1], 2):
                    grid.put((i, j), self._known[:, i // 2 :: cell[0] // 2, j // 2 :: cell[1] // 2])
            for phase in range(len(config.phases)):
                run = PhaseRun(setting, self.model.networks(scale, phase), scale, phase, grid, rough)
                if given is not None:
                    run.lattice[1:] = given[:, *run.slices]
                for part in run.rounds:
                    part.start()
                    self.network_calls += 1
                    for channel in range(setting.channels):
                        self.network_calls += 1
                        for segment in range(len(part.segments)):
                            yield PixelStep(part, channel, segment)
                grid.put(config.phases[phase].position, run.lattice)
            self._known = grid.assemble()

    def _roughness(self) -> np.ndarray:
        found = pixel_context.roughness(np.moveaxis(self._known, 0, -1)[None], np)[0]
        return np.moveaxis(found, -1, 0)
