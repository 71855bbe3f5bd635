"""The training step as a pure function, and its compiled form over a mesh."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxicm.compilation import training_options
from jaxicm.entropy.surrogate import ROUNDED, Surrogate
from jaxicm.models.image import QUALITY_MAX, QUALITY_MIN, ImageModel, lambda_of_quality
from jaxicm.objectives.ms_ssim import ms_ssim
from jaxicm.objectives.rate_distortion import RateDistortion, rate_distortion
from jaxicm.tasks.targets import Targets
from jaxicm.train.annotations import Labelled
from jaxicm.train.config import TrainConfig
from jaxicm.train.filter import USAGE_DECAY, filter_loss, revived
from jaxicm.train.frozen import CompiledStep, WithNetworks, machine_look, placed_networks
from jaxicm.train.lossless import lossless_loss
from jaxicm.train.machine import Look, machine_loss, without_labels
from jaxicm.train.mesh import BATCH, batch_sharding, replicated, state_sharding
from jaxicm.train.optimizer import global_norm, learning_rate, make_optimizer
from jaxicm.train.precision import bfloat16_convolutions
from jaxicm.train.resident import resident_crops

EMA_WARMUP = 10
"""The average follows the parameters closely at first: its decay is (step + 1) / (step + EMA_WARMUP) until `ema`."""

Data = Array | Labelled | tuple[Array, Array]
"""Crops uint8 `[B, crop, crop, 3]`, perhaps with their objects; or resident pictures uint8 `[N, H, W, 3]` and their
sizes int32 `[N, 2]`."""


class TrainState(NamedTuple):
    """Everything that a step changes.

    Attributes:
      params: of the model.
      ema: their running average.
      optimizer: its state.
      step: int32, steps done.
      skipped: int32, steps in a row up to now whose loss or gradient was not finite.
      usage: running average of the share of the crops at which each of several filters is the best one, `[M]`; None
        where no filters are trained.
    """

    params: Any
    ema: Any
    optimizer: Any
    step: Array
    skipped: Array
    usage: Array | None = None


def start_state(config: TrainConfig, params: Any) -> TrainState:
    """Begin a run at given parameters."""
    # Buffers that are donated must not be shared, so the average is a copy.
    average = jax.tree.map(jnp.copy, params)
    zero = jnp.zeros((), jnp.int32)
    count = 0 if config.filter is None else config.filter.model.count
    shares = jnp.full(count, 1 / count) if count else None
    return TrainState(params, average, make_optimizer(config.optimizer).init(params), zero, jnp.copy(zero), shares)


def draw_qualities(config: TrainConfig, key: Array) -> Array:
    """Draw the quality of each crop, as `objective.qualities` says: `[B]`."""
    count, low, high = config.batch, config.quality_min, config.quality_max
    if config.objective.qualities == "anchors":
        anchors = jnp.linspace(QUALITY_MIN, QUALITY_MAX, config.model.anchors)
        return jnp.clip(anchors[jax.random.randint(key, (count,), 0, config.model.anchors)], low, high)
    position = jax.random.uniform(key, (count,))
    if config.objective.qualities == "stratified":
        position = (jnp.arange(count) + position) / count
    return low + (high - low) * position


def surrogate_at(config: TrainConfig, done: Array) -> Surrogate:
    """Return what stands for rounding when this share of the training is done."""
    objective, done = config.objective, jnp.clip(done, 0.0, 1.0)
    sharpness = objective.first_sharpness + (objective.last_sharpness - objective.first_sharpness) * done
    return Surrogate(objective.rounding, sharpness, objective.phases == "sampled", objective.passes)


def compute_loss(
    config: TrainConfig,
    params: Any,
    crops: Array,
    quality: Array,
    key: Array,
    surrogate: Surrogate = ROUNDED,
    *,
    done: Array | None = None,
    look: Look | None = None,
) -> tuple[RateDistortion, Array]:
    """Run the model on crops.

    Args:
      config: of the run.
      params: of the model.
      crops: uint8 `[B, H, W, 3]`.
      quality: `[B]` in [1, 100].
      key: of the noise, if the surrogate or the probability model has any.
      surrogate: what stands for rounding; by default what the file will hold.
      done: share of the training that is done; without, what is measured is as in a file, and nothing varies by
        chance.
      look: of task networks, for a codec for machines.

    Returns:
      The terms of the loss and the decoded pictures float32 `[B, H, W, 3]`.
    """
    if config.lossless is not None:
        return lossless_loss(config.lossless, params, crops, key, vary=done is not None)
    if config.filter is not None:
        return filter_loss(config.filter, params, crops, done=done, machine=config.machine, look=look)
    x = crops.astype(jnp.float32) / 255
    model = ImageModel(config.model, config.remat)
    with bfloat16_convolutions(config.precision == "bfloat16"):
        x_hat, bits = cast(tuple[Array, Array], model.apply({"params": params}, x, quality, key, surrogate))
    x_hat = x_hat.astype(jnp.float32)
    return _terms(config, x, x_hat, bits, quality, look), x_hat


def _terms(
    config: TrainConfig, x: Array, x_hat: Array, bits: Array, quality: Array, look: Look | None
) -> RateDistortion:
    trade_off = lambda_of_quality(config.model, quality)
    exponent = config.objective.weight_exponent
    if config.machine is not None:
        assert look is not None, "the networks of a codec for machines"
        return machine_loss(config.machine, look, x, x_hat, bits, quality, trade_off, exponent)
    return rate_distortion(x, x_hat, bits, trade_off, weight_exponent=exponent, kind=config.objective.distortion)


def compute_gradient(
    config: TrainConfig,
    params: Any,
    crops: Array,
    quality: Array,
    key: Array,
    surrogate: Surrogate,
    mesh: Mesh | None,
    look: Look | None = None,
    done: Array | float = 1.0,
) -> tuple[dict[str, Array], Any]:
    """Compute the mean loss of a batch and its gradient, in `accumulate` parts one after the other.

    Args:
      config: of the run.
      params: of the model.
      crops: uint8 `[B, H, W, 3]`.
      quality: `[B]`.
      key: of the noise; each part has its own.
      surrogate: what stands for rounding.
      mesh: of the devices, if there are several.
      look: of task networks, for a codec for machines.
      done: share of the training that is done.

    Returns:
      Means over the batch ("loss", "bpp", "mse", "machine" of a codec for machines, "winners" `[M]` of filters) and the
      gradient, a tree like `params`.
    """
    targets = None if look is None else look.targets

    def mean_loss(
        params: Any, crops: Array, quality: Array, key: Array, targets: Targets | None
    ) -> tuple[Array, dict[str, Array]]:
        if config.trained:  # what is not trained has no backward pass
            params = {k: v if k in config.trained else jax.lax.stop_gradient(v) for k, v in params.items()}
        looking = None if look is None else look._replace(targets=targets)
        terms, _ = compute_loss(config, params, crops, quality, key, surrogate, done=jnp.asarray(done), look=looking)
        means = {name: term.mean(axis=0) for name, term in terms._asdict().items() if term is not None}
        return means["loss"], means

    gradient_of = jax.grad(mean_loss, has_aux=True)
    parts = config.accumulate
    if parts == 1:
        gradient, means = gradient_of(params, crops, quality, key, targets)
        return means, gradient
    devices = 1 if mesh is None else mesh.size

    def divide(rows: Array) -> Array:
        # Each device takes a share of its own rows in every part, so that no row travels.
        rows = rows.reshape(devices, parts, -1, *rows.shape[1:]).swapaxes(0, 1)
        rows = rows.reshape(parts, -1, *rows.shape[3:])
        layout = None if mesh is None else NamedSharding(mesh, PartitionSpec(None, BATCH))
        return rows if layout is None else jax.lax.with_sharding_constraint(rows, layout)

    def add(total: Any, part: tuple[Array, Array, Array, Targets | None]) -> tuple[Any, None]:
        gradient, means = gradient_of(params, *part)
        return jax.tree.map(lambda a, b: a + b / parts, total, (means, gradient)), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    names = ("loss", "bpp", "mse", *(() if look is None else ("machine",)))
    start = ({name: jnp.zeros(()) for name in names}, zeros)
    if config.filter is not None:
        start[0]["winners"] = jnp.zeros(config.filter.model.count)
    rows = (divide(crops), divide(quality), jax.random.split(key, parts), jax.tree.map(divide, targets))
    total, _ = jax.lax.scan(add, start, rows)
    return total


def train_step(
    config: TrainConfig,
    state: TrainState,
    data: Data,
    mesh: Mesh | None = None,
    networks: Sequence[Any] = (),
    steps: Array | float | None = None,
) -> tuple[TrainState, dict[str, Array]]:
    """Do one step.

    A step whose loss or gradient is not finite changes nothing but the counters.

    Args:
      config: of the run.
      state: before the step.
      data: crops, perhaps with their objects, or resident pictures.
      mesh: of the devices, if there are several.
      networks: parameters of the task networks, for a codec for machines.
      steps: of the whole run, if not those of the configuration.

    Returns:
      The state after it, and scalars: loss, bpp, mse, learning_rate, gradient_norm, skipped, machine of a codec for
      machines, and of filters usage `[M]`.
    """
    key = jax.random.fold_in(jax.random.key(config.seed), state.step)
    crop_key, quality_key, noise_key = jax.random.split(key, 3)
    crops = draw_crops(config, data, crop_key, mesh)
    quality = draw_qualities(config, quality_key)
    steps = config.steps if steps is None else steps
    done = jnp.clip(state.step / steps, 0.0, 1.0)
    surrogate, look = surrogate_at(config, done), machine_look(config, networks, data, state.step, steps)
    means, gradient = compute_gradient(config, state.params, crops, quality, noise_key, surrogate, mesh, look, done)
    norm = global_norm(gradient)
    finite = jnp.isfinite(means["loss"]) & jnp.isfinite(norm)
    rate = learning_rate(config.optimizer, steps, state.step)
    updates, optimizer = make_optimizer(config.optimizer).update(gradient, state.optimizer, state.params)
    params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)

    def keep(new: Any, old: Any) -> Any:
        return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)

    decay = jnp.minimum(config.ema, (state.step + 1) / (state.step + EMA_WARMUP))
    ema = jax.tree.map(lambda e, p: decay * e + (1 - decay) * p, state.ema, params)
    params, ema, optimizer = keep((params, ema, optimizer), (state.params, state.ema, state.optimizer))
    skipped = jnp.where(finite, 0, state.skipped + 1)
    shares = state.usage
    if config.filter is not None and shares is not None:
        shares = USAGE_DECAY * shares + (1 - USAGE_DECAY) * means.pop("winners")
        params, ema, shares = revived(config.filter, params, ema, shares, jax.random.fold_in(noise_key, 1))
        means["usage"] = shares
    new = TrainState(params, ema, optimizer, state.step + 1, skipped, shares)
    return new, means | {"learning_rate": rate, "gradient_norm": norm, "skipped": skipped}


def draw_crops(config: TrainConfig, data: Data, key: Array, mesh: Mesh | None) -> Array:
    """Return the crops of a step uint8 `[B, crop, crop, 3]`: as they are given, or drawn from resident pictures."""
    if isinstance(data, Labelled):
        return data.crops
    if not isinstance(data, tuple):
        return data
    vary = config.data
    crops = resident_crops(
        *data,
        key,
        count=config.batch,
        crop=config.crop,
        flip=vary.flip,
        transpose=vary.transpose,
        smallest_scale=vary.smallest_scale,
        unscaled=vary.unscaled,
        toned=vary.toned,
    )
    return crops if mesh is None else jax.lax.with_sharding_constraint(crops, batch_sharding(mesh))


def compile_step(config: TrainConfig, mesh: Mesh, state: TrainState) -> CompiledStep:
    """Compile the step over a mesh; the buffers of the old state are reused for the new one.

    Args:
      config: of the run.
      mesh: of the devices.
      state: arrays or shapes, for their layout.

    Returns:
      `train_step` of state and data, and of the steps of the run where they are not those of the configuration.

    Raises:
      InputError, MissingDependency: as `placed_networks`.
    """
    layout = state_sharding(mesh, state)
    data = (replicated(mesh), replicated(mesh)) if config.resident else batch_sharding(mesh)

    def step(
        state: TrainState, data: Data, steps: Array, networks: Sequence[Any]
    ) -> tuple[TrainState, dict[str, Array]]:
        return train_step(config, state, data, mesh if mesh.size > 1 else None, networks, steps)

    compiled = jax.jit(
        step,
        in_shardings=(layout, data, replicated(mesh), replicated(mesh)),
        out_shardings=(layout, replicated(mesh)),
        donate_argnums=0,
        compiler_options=training_options() or None,
    )
    return CompiledStep(compiled, placed_networks(config, mesh), config.steps)


def compile_validation(config: TrainConfig, mesh: Mesh) -> Callable[..., tuple[RateDistortion, Array | None, Array]]:
    """Compile the measurement of decoded pictures, clipped and rounded to 8 bit as in a file.

    Args:
      config: of the run.
      mesh: of the devices; every device gets the results.

    Returns:
      A function of parameters, crops uint8 `[B, H, W, 3]` and quality `[B]`; it returns the terms of the loss (`[B]`
      each; the rate as the model estimates it; that of a codec for machines without labels and at the last epoch's
      weights), MS-SSIM `[B]` if `validation.ms_ssim`, and the decoded pictures uint8.
    """

    if config.machine is not None:
        config = dataclasses.replace(config, machine=without_labels(config.machine))

    @functools.partial(jax.jit, out_shardings=replicated(mesh), compiler_options=training_options() or None)
    def validate(
        params: Any, crops: Array, quality: Array, networks: Sequence[Any]
    ) -> tuple[RateDistortion, Array | None, Array]:
        look = machine_look(config, networks, crops, config.steps, config.steps)
        terms, x_hat = compute_loss(config, params, crops, quality, jax.random.key(1), look=look)
        decoded = jnp.round(jnp.clip(x_hat, 0, 1) * 255)
        bits = terms.bpp * crops.shape[1] * crops.shape[2]
        x = crops.astype(jnp.float32) / 255
        similarity = ms_ssim(x, decoded / 255) if config.validation.ms_ssim else None
        if config.lossless is None and config.filter is None:
            terms = _terms(config, x, decoded / 255, bits, quality, look)
        return terms, similarity, decoded.astype(jnp.uint8)

    return WithNetworks(validate, placed_networks(config, mesh))
