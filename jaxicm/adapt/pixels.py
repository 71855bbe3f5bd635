"""Fitting a lossless model to one picture before it is coded: biases and linear predictors follow the gradient.

The changes are coded with the picture (see `entropy.pixel_update`), so what they cost counts in the loss.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxicm.compilation import training_options
from jaxicm.entropy.pixel_frozen import FrozenPixels
from jaxicm.entropy.pixel_update import STEP_MAX, Update
from jaxicm.entropy.pixels import CHANNELS, PixelConfig, Pixels
from jaxicm.models.lossless import CHANNEL_RANGES

CROP = 128
"""Side of the crops; smaller pictures are not worth an update."""
BATCH = 4
SCALES = 3
ALIGNMENT = 1 << SCALES
"""Crops begin at multiples of it, so that they have the picture's own grids."""
LEARNING_RATE = 4e-3
TRAINED_DEPTH = 8
_STEP_BITS = 1.0
_ADAM = optax.scale_by_adam(b2=0.99)


def fit(
    model: FrozenPixels,
    samples: np.ndarray,
    steps: int,
    *,
    depth: int = 8,
    colour: str | None = "ycocg",
    finest: int = CHANNELS,
    seed: int = 0,
    progress: Callable[[int, int, float], None] | None = None,
) -> Update | None:
    """Find changes of the model that shorten the code of a picture.

    Args:
      model: integers of the pixel model.
      samples: int32 `[H, W, C]`, one or three channels as they are coded.
      steps: of the optimiser.
      depth: bits of a sample.
      colour: transform that the channels came out of, a name of `ops.colour.COLOURS`; None where it was none of them.
      finest: channels that are coded at the finest scale, the first ones.
      seed: of the crops.
      progress: told the steps done, the steps in all, and the bits a sample of the last crops.

    Returns:
      The update, or None where the picture is too small or too deep, or nothing would change.
    """
    height, width, channels = samples.shape
    if min(height, width) < CROP or steps < 1 or depth > TRAINED_DEPTH:
        return None
    sizes = model.step_sizes(channels)
    params = {name: jnp.asarray(value) for name, value in model.thaw().items()}
    moved = {name: jnp.zeros(params[name].shape) for name in sizes}
    state, schedule = _ADAM.init(moved), optax.cosine_decay_schedule(LEARNING_RATE, steps, 0.05)
    setting = _Setting(model.config, channels, min(channels, finest), colour)
    rng = np.random.default_rng(seed)
    rate = np.float32(_STEP_BITS / samples.size)
    x = np.zeros((height, width, CHANNELS), np.int32)
    x[..., :channels] = samples
    for step in range(steps):
        rows, columns = (rng.integers(0, (side - CROP) // ALIGNMENT + 1, BATCH) * ALIGNMENT for side in (height, width))
        crops = np.stack([x[r : r + CROP, c : c + CROP] for r, c in zip(rows, columns, strict=True)])
        moved, state, bits = _step(
            moved, state, params, sizes, crops, rate, np.asarray(schedule(step), np.float32), setting
        )
        if progress is not None:
            progress(step + 1, steps, float(bits))
    update = {name: np.asarray(jnp.round(moved[name] / sizes[name])) for name in sizes}
    update = {name: np.clip(value, -STEP_MAX, STEP_MAX).astype(np.int32) for name, value in update.items()}
    return update if any(value.any() for value in update.values()) else None


class _Setting(NamedTuple):
    """What a compiled step depends on; how many there are is not among it, so all efforts share one."""

    config: PixelConfig
    channels: int
    finest: int
    colour: str | None


@partial(jax.jit, static_argnames="setting", compiler_options=training_options() or None)
def _step(
    moved: dict[str, Array],
    state: Any,
    params: Mapping[str, Array],
    sizes: Mapping[str, Array],
    crops: Array,
    rate: Array,
    learning_rate: Array,
    setting: _Setting,
) -> tuple[dict[str, Array], Any, Array]:
    """Do one step; `rate` is the weight of the update's bits beside bits a sample."""
    low, high = zip(*CHANNEL_RANGES[setting.colour or "ycocg"], strict=True)
    model = Pixels(setting.config, low, high, setting.colour or "none")
    free = None if setting.colour else jnp.ones(len(crops), bool)

    def loss(moved: dict[str, Array]) -> tuple[Array, Array]:
        changed = {name: value + moved[name] if name in moved else value for name, value in params.items()}
        found = cast(Array, model.apply({"params": changed}, crops, SCALES, free))
        found = found[..., : setting.channels]
        total = found[:, 0, : setting.finest].sum() + found[:, 1:].sum()
        bits = total / (crops.size // CHANNELS * setting.channels)
        cost = sum(jnp.sum(jnp.log2(1 + jnp.abs(moved[name] / sizes[name]))) for name in moved)
        return bits + rate * cost, bits

    gradient, bits = jax.grad(loss, has_aux=True)(moved)
    found, state = _ADAM.update(gradient, state)
    change = cast(dict[str, Array], found)
    return {name: value - learning_rate * change[name] for name, value in moved.items()}, state, bits
