"""The training step as a pure function, and its compiled form over a mesh."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, NamedSharding

from jaxicm.compilation import training_options
from jaxicm.models.image import ImageModel, lambda_of_quality
from jaxicm.objectives.rate_distortion import RateDistortion, rate_distortion
from jaxicm.train.config import TrainConfig
from jaxicm.train.mesh import batch_sharding, replicated, state_sharding
from jaxicm.train.optimizer import learning_rate, make_optimizer
from jaxicm.train.precision import bfloat16_convolutions
from jaxicm.train.resident import resident_crops

EMA_WARMUP = 10
"""The average follows the parameters closely at first: its decay is (step + 1) / (step + EMA_WARMUP) until `ema`."""

Data = Array | tuple[Array, Array]
"""Crops uint8 `[B, crop, crop, 3]`; or resident pictures uint8 `[N, H, W, 3]` and their sizes int32 `[N, 2]`."""


class TrainState(NamedTuple):
    """Everything that a step changes.

    Attributes:
      params: of the model.
      ema: their running average.
      optimizer: its state.
      step: int32, steps done.
      skipped: int32, steps in a row up to now whose loss or gradient was not finite.
    """

    params: Any
    ema: Any
    optimizer: Any
    step: Array
    skipped: Array


def start_state(config: TrainConfig, params: Any) -> TrainState:
    """Begin a run at given parameters."""
    # Buffers that are donated must not be shared, so the average is a copy.
    average = jax.tree.map(jnp.copy, params)
    zero = jnp.zeros((), jnp.int32)
    return TrainState(params, average, make_optimizer(config.optimizer).init(params), zero, jnp.copy(zero))


def draw_qualities(config: TrainConfig, key: Array) -> Array:
    """Draw the quality of each crop, one from each of `batch` equal parts of the range: `[B]`."""
    part = (jnp.arange(config.batch) + jax.random.uniform(key, (config.batch,))) / config.batch
    return config.quality_min + (config.quality_max - config.quality_min) * part


def compute_loss(
    config: TrainConfig, params: Any, crops: Array, quality: Array, key: Array
) -> tuple[RateDistortion, Array]:
    """Run the model on crops.

    Args:
      config: of the run.
      params: of the model.
      crops: uint8 `[B, H, W, 3]`.
      quality: `[B]` in [1, 100].
      key: of the noise that some probability models are trained with.

    Returns:
      The terms of the loss and the decoded pictures float32 `[B, H, W, 3]`.
    """
    x = crops.astype(jnp.float32) / 255
    with bfloat16_convolutions(config.precision == "bfloat16"):
        x_hat, bits = cast(tuple[Array, Array], ImageModel(config.model).apply({"params": params}, x, quality, key))
    x_hat = x_hat.astype(jnp.float32)
    trade_off = lambda_of_quality(config.model, quality)
    return rate_distortion(x, x_hat, bits, trade_off, weight_exponent=config.weight_exponent), x_hat


def global_norm(tree: Any) -> Array:
    """Return the root of the sum of all squares of a tree of arrays."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def train_step(
    config: TrainConfig, state: TrainState, data: Data, layout: NamedSharding | None = None
) -> tuple[TrainState, dict[str, Array]]:
    """Do one step.

    A step whose loss or gradient is not finite changes nothing but the counters.

    Args:
      config: of the run.
      state: before the step.
      data: crops, or resident pictures.
      layout: of the crops that are taken of resident pictures, over the devices.

    Returns:
      The state after it, and scalars: loss, bpp, mse, learning_rate, gradient_norm, skipped.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    crop_key, quality_key, noise_key = jax.random.split(key, 3)
    if isinstance(data, tuple):
        vary = config.data
        crops = resident_crops(
            *data, crop_key, count=config.batch, crop=config.crop, flip=vary.flip, transpose=vary.transpose
        )
        crops = crops if layout is None else jax.lax.with_sharding_constraint(crops, layout)
    else:
        crops = data
    quality = draw_qualities(config, quality_key)

    def mean_loss(params: Any) -> tuple[Array, RateDistortion]:
        terms, _ = compute_loss(config, params, crops, quality, noise_key)
        return terms.loss.mean(), terms

    (loss, terms), gradient = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    norm = global_norm(gradient)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    rate = learning_rate(config.optimizer, config.steps, state.step)
    updates, optimizer = make_optimizer(config.optimizer).update(gradient, state.optimizer, state.params)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)

    def keep(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)

    decay = jnp.minimum(config.ema, (state.step + 1) / (state.step + EMA_WARMUP))
    ema = jax.tree.map(lambda e, p: decay * e + (1 - decay) * p, state.ema, params)
    params, ema, optimizer = keep((params, ema, optimizer), (state.params, state.ema, state.optimizer))
    skipped = jnp.where(finite, 0, state.skipped + 1)
    new = TrainState(params, ema, optimizer, state.step + 1, skipped)
    metrics = {"loss": loss, "bpp": terms.bpp.mean(), "mse": terms.mse.mean(), "learning_rate": rate}
    return new, metrics | {"gradient_norm": norm, "skipped": skipped}


def compile_step(
    config: TrainConfig, mesh: Mesh, state: TrainState
) -> Callable[[TrainState, Data], tuple[TrainState, dict[str, Array]]]:
    """Compile the step over a mesh; the buffers of the old state are reused for the new one.

    Args:
      config: of the run.
      mesh: of the devices.
      state: arrays or shapes, for their layout.

    Returns:
      `train_step` of state and data.
    """
    layout = state_sharding(mesh, state, config.shard_parameters)
    crops = batch_sharding(mesh)
    data = (replicated(mesh), replicated(mesh)) if config.resident else crops

    def step(state: TrainState, data: Data) -> tuple[TrainState, dict[str, Array]]:
        return train_step(config, state, data, crops if config.resident else None)

    return jax.jit(
        step,
        in_shardings=(layout, data),
        out_shardings=(layout, replicated(mesh)),
        donate_argnums=0,
        compiler_options=training_options() or None,
    )


def compile_validation(config: TrainConfig) -> Callable[..., tuple[RateDistortion, Array]]:
    """Compile the measurement of decoded pictures, clipped and rounded to 8 bit as in a file.

    Args:
      config: of the run.

    Returns:
      A function of parameters, crops uint8 `[B, H, W, 3]` and quality `[B]`; it returns the terms of the loss (`[B]`
      each, the rate as the model estimates it) and the decoded pictures uint8.
    """

    @functools.partial(jax.jit, compiler_options=training_options() or None)
    def validate(params: Any, crops: Array, quality: Array) -> tuple[RateDistortion, Array]:
        terms, x_hat = compute_loss(config, params, crops, quality, jax.random.key(1))
        decoded = jnp.round(jnp.clip(x_hat, 0, 1) * 255)
        trade_off = lambda_of_quality(config.model, quality)
        bits = terms.bpp * crops.shape[1] * crops.shape[2]
        x = crops.astype(jnp.float32) / 255
        exponent = config.weight_exponent
        return rate_distortion(x, decoded / 255, bits, trade_off, weight_exponent=exponent), decoded.astype(jnp.uint8)

    return validate
