"""The step: what it computes, what it skips, and that its layout over devices does not matter."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.configuration import to_dict
from jaxicm.entropy.surrogate import ROUNDED
from jaxicm.errors import ConfigError
from jaxicm.models.image import lambda_of_quality
from jaxicm.train.config import TrainConfig
from jaxicm.train.corpus import Corpus, prepare_data
from jaxicm.train.loop import prepare_state
from jaxicm.train.mesh import make_mesh, place_batch, state_sharding
from jaxicm.train.objective_config import ObjectiveConfig
from jaxicm.train.start import random_parameters, start_parameters
from jaxicm.train.step import (
    TrainState,
    compile_step,
    compute_gradient,
    compute_loss,
    draw_qualities,
    global_norm,
    surrogate_at,
)


@pytest.fixture(scope="module")
def corpus(config: TrainConfig) -> Corpus:
    return prepare_data(config, print)


@pytest.fixture(scope="module")
def batch(corpus: Corpus) -> Callable[[int], np.ndarray]:
    """Return a function that makes the crops of a step."""
    return lambda step: next(corpus.feed(step))


@pytest.fixture(scope="module")
def begin(config: TrainConfig, corpus: Corpus) -> Callable[[], TrainState]:
    mesh = make_mesh(config)
    state = jax.tree.map(np.asarray, prepare_state(config, mesh, corpus, None)[0])
    return lambda: jax.device_put(state, state_sharding(mesh, state))


@pytest.fixture(scope="module")
def step(config: TrainConfig, batch: Callable, begin: Callable[[], TrainState]) -> Callable:
    """Do a step with the crops of a number; arrays are placed as in a run, so that one compilation serves all."""
    mesh = make_mesh(config)
    compiled = compile_step(config, mesh, begin())
    return lambda state, number: compiled(state, place_batch(mesh, batch(number)))


def test_the_loss_falls(begin: Callable, step: Callable):
    state = begin()
    losses = []
    for _ in range(30):
        state, metrics = step(state, 0)
        losses.append(float(metrics["loss"]))
        assert np.isfinite(losses[-1]) and not int(metrics["skipped"])
    assert int(state.step) == 30
    assert np.mean(losses[-5:]) < 0.97 * np.mean(losses[:5])


def test_the_average_follows_the_parameters(config: TrainConfig, begin: Callable, step: Callable):
    state = begin()
    expected = float(state.params["analysis"]["latent"]["bias"][0])
    for number in range(3):
        state, _ = step(state, number)
        decay = min(config.ema, (number + 1) / (number + 10))
        expected = decay * expected + (1 - decay) * float(state.params["analysis"]["latent"]["bias"][0])
    assert float(state.ema["analysis"]["latent"]["bias"][0]) == pytest.approx(expected, rel=1e-5)


def test_a_step_that_is_not_finite_changes_only_the_counters(config: TrainConfig, begin: Callable, step: Callable):
    state, _ = step(begin(), 0)
    layout = jax.tree.map(lambda leaf: leaf.sharding, state)
    before = jax.tree.map(np.array, state)
    before.params["log_step"][0, 0] = np.nan
    state = jax.device_put(before, layout)
    after, metrics = step(state, 1)
    assert int(after.step) == 2 and int(after.skipped) == int(metrics["skipped"]) == 1
    for name in ("params", "ema", "optimizer"):
        jax.tree.map(np.testing.assert_array_equal, getattr(after, name), getattr(before, name))
    after, _ = step(after, 2)
    assert int(after.skipped) == 2
    healed = after._replace(params=begin().params)
    healed, _ = step(healed, 3)
    assert int(healed.skipped) == 0


def test_qualities_cover_the_range_evenly(config: TrainConfig):
    config = dataclasses.replace(config, batch=10, quality_min=20.0, quality_max=70.0)
    for seed in range(3):
        quality = np.asarray(draw_qualities(config, jax.random.key(seed)))
        np.testing.assert_array_equal(np.floor((quality - 20) / 5), np.arange(10))


def test_bfloat16_reaches_convolutions_and_not_the_exact_networks(config: TrainConfig, corpus: Corpus, batch: Callable):
    params = start_parameters(config, corpus)
    rng = np.random.default_rng(0)
    # The last layers of both transforms start at zero, and would hide what the others compute.
    for part, name in (("analysis", "latent"), ("synthesis", "pixels")):
        shape = params[part][name]["kernel"].shape
        params[part][name]["kernel"] = jnp.asarray(rng.normal(size=shape), jnp.float32) * 0.1
    low = dataclasses.replace(config, precision="bfloat16")
    crops, quality = jnp.asarray(batch(0)[:2]), jnp.array([30.0, 70.0])
    key = jax.random.key(0)

    def lower(settings: TrainConfig) -> jax.stages.Lowered:
        return jax.jit(lambda p: compute_loss(settings, p, crops, quality, key)).lower(params)

    def lines(lowered: jax.stages.Lowered, operation: str) -> list[str]:
        return [line for line in lowered.as_text().splitlines() if operation in line]

    plain, mixed = lower(config), lower(low)
    assert lines(mixed, "convolution") and all("bf16" in line for line in lines(mixed, "convolution"))
    assert lines(mixed, "dot_general") and not any("bf16" in line for line in lines(mixed, "dot_general"))
    assert not lines(plain, "bf16")

    options = {"xla_backend_optimization_level": 0}
    _, exact = plain.compile(options)(params)
    terms, x_hat = mixed.compile(options)(params)
    assert x_hat.dtype == jnp.float32
    assert 0 < float(jnp.mean(jnp.abs(x_hat - exact))) < 0.01
    x = crops.astype(jnp.float32) / 255
    mse = np.mean((np.asarray(x) - np.asarray(x_hat)) ** 2, axis=(1, 2, 3))
    trade_off = np.asarray(lambda_of_quality(config.model, quality))
    expected = (trade_off / 0.02) ** -0.45 * (np.asarray(terms.bpp) + trade_off * 65025 * mse)
    np.testing.assert_allclose(terms.loss, expected, rtol=1e-4)


def test_a_mesh_that_cannot_be_is_an_error(config: TrainConfig):
    present = jax.device_count()
    with pytest.raises(ConfigError, match=f"devices: found {present} .cpu., expected {present + 1}; set devices=0"):
        make_mesh(dataclasses.replace(config, devices=present + 1))
    with pytest.raises(ConfigError, match="parameter_shards: 2 does not divide the 1 devices; set one of 1, or 0"):
        make_mesh(dataclasses.replace(config, parameter_shards=2))
    with pytest.raises(ConfigError, match=r"batch: 8 .* 1 devices x 3 parts .*; set batch=9 or accumulate=1"):
        make_mesh(dataclasses.replace(config, accumulate=3))


@pytest.mark.parametrize("words", [{"accumulate": 4}, pytest.param({"remat": True}, marks=pytest.mark.slow)])
def test_what_saves_memory_computes_the_same_step(config: TrainConfig, begin: Callable, batch: Callable, words: dict):
    # Large enough that activations outweigh the parameters.
    crops, quality = jnp.asarray(batch(0)).repeat(3, 1).repeat(3, 2), draw_qualities(config, jax.random.key(1))
    key, params = jax.random.key(2), begin().params
    options = {"xla_backend_optimization_level": 0}

    def compiled(settings: TrainConfig) -> Any:
        def gradient(params: Any) -> Any:
            return compute_gradient(settings, params, crops, quality, key, ROUNDED, None)

        return jax.jit(gradient).lower(params).compile(options)

    settings = dataclasses.replace(config, **words)
    plain, frugal = compiled(config), compiled(settings)
    (means, gradient), (same_means, same_gradient) = plain(params), frugal(params)
    for name in ("loss", "bpp", "mse"):
        assert float(same_means[name]) == pytest.approx(float(means[name]), rel=1e-5)
    norm = float(global_norm(gradient))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4 * norm), same_gradient, gradient)
    if settings.accumulate > 1:
        bytes_needed = [c.memory_analysis().temp_size_in_bytes for c in (plain, frugal)]
    else:  # XLA's CPU back end merges what was to be computed twice, so the traced program is measured
        bytes_needed = [residual_bytes(c, params, crops, quality) for c in (config, settings)]
    assert bytes_needed[1] < 0.8 * bytes_needed[0]


def residual_bytes(config: TrainConfig, params: Any, crops: jax.Array, quality: jax.Array) -> int:
    """Count the bytes that the forward pass keeps for the backward pass."""

    def loss(params: Any) -> jax.Array:
        return compute_loss(config, params, crops, quality, jax.random.key(0))[0].loss.mean()

    backward = jax.eval_shape(lambda params: jax.vjp(loss, params)[1], params)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(backward))


def test_sharpness_grows_and_qualities_are_drawn_as_asked(config: TrainConfig):
    soft = dataclasses.replace(config, objective=ObjectiveConfig("soft", 2.0, 12.0), steps=10)
    assert [float(surrogate_at(soft, jnp.asarray(done)).sharpness) for done in (0.0, 0.5, 2.0)] == [2.0, 7.0, 12.0]
    wide = dataclasses.replace(config, batch=1000)
    anchors = dataclasses.replace(wide, objective=ObjectiveConfig(qualities="anchors"))
    assert set(np.asarray(draw_qualities(anchors, jax.random.key(0)))) == {1.0, 100.0}  # the model has two
    uniform = dataclasses.replace(wide, objective=ObjectiveConfig(qualities="uniform"))
    drawn = np.asarray(draw_qualities(uniform, jax.random.key(0)))
    assert 1 <= drawn.min() < 3 and 98 < drawn.max() <= 100 and abs(drawn.mean() - 50.5) < 3
    assert np.any(np.diff(drawn) < 0)


def test_random_parameters_depend_on_the_seed_alone(config: TrainConfig):
    first, again = random_parameters(config), random_parameters(config)
    jax.tree.map(np.testing.assert_array_equal, first, again)


_PROGRAM = """
import dataclasses, json, sys
import jax, numpy as np
from jaxicm import compilation
compilation.use_compilation_cache()
options = {**compilation.training_options(), "xla_backend_optimization_level": 0}
compilation.training_options = lambda: options
from jaxicm.configuration import from_dict
from jaxicm.errors import ConfigError
from jaxicm.train.config import TrainConfig
from jaxicm.train.corpus import prepare_data
from jaxicm.train.loop import prepare_state
from jaxicm.train.mesh import make_mesh, place_batch
from jaxicm.train.step import compile_step

config = from_dict(TrainConfig, json.loads(sys.argv[1]))
try:
    make_mesh(dataclasses.replace(config, devices=8, batch=12))
except ConfigError as error:
    refused = str(error)
mesh = make_mesh(config)
corpus = prepare_data(config, print)
state, shapes, _ = prepare_state(config, mesh, corpus, None)
feed = corpus.feed()
step = compile_step(config, mesh, shapes)
losses = []
for number in range(2):
    state, metrics = step(state, place_batch(mesh, next(feed)))
    losses.append(float(metrics["loss"]))
sharded = sum(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state))
print(json.dumps({"devices": mesh.size, "losses": losses, "refused": refused, "sharded": sharded}))
"""


def on_eight_devices(config: TrainConfig) -> dict:
    """Train two steps in a process of its own with eight devices, which are threads of this machine."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir or "",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    words = [sys.executable, "-c", _PROGRAM, json.dumps(to_dict(config))]
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def losses_on_one_device(config: TrainConfig, begin: Callable, step: Callable) -> list[float]:
    state, losses = begin(), []
    for number in range(2):
        state, metrics = step(state, number)
        losses.append(float(metrics["loss"]))
    return losses


def test_eight_devices_compute_the_losses_of_one(config: TrainConfig, losses_on_one_device: list[float]):
    found = on_eight_devices(dataclasses.replace(config, devices=8))
    assert found["devices"] == 8 and found["sharded"] == 0
    np.testing.assert_allclose(found["losses"], losses_on_one_device, rtol=1e-4)
    assert "12 does not divide by 8 devices; set batch=16" in found["refused"]


@pytest.mark.slow
def test_parameters_divided_over_four_devices_in_two_groups_compute_the_same(
    config: TrainConfig, losses_on_one_device: list[float]
):
    found = on_eight_devices(dataclasses.replace(config, devices=8, parameter_shards=4, accumulate=1))
    assert found["sharded"] >= 4
    np.testing.assert_allclose(found["losses"], losses_on_one_device, rtol=1e-4)
