"""Training filters: the loss of no filter, what counts, that a run lowers it, what is refused."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.errors import ConfigError
from jaxicm.models.filter import PlaneFilterConfig
from jaxicm.models.filter_set import FilterSetConfig, initial_parameters, member
from jaxicm.objectives.competitive import Annealing
from jaxicm.objectives.machine import MachineDistortion
from jaxicm.tasks import zoo
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.corpus import prepare_data
from jaxicm.train.filter import FilterTraining, filter_loss
from jaxicm.train.loop import train_run
from jaxicm.train.machine import Look, MachineTraining

TINY = FilterTraining(FilterSetConfig(PlaneFilterConfig(width=8, blocks=1)), margin=4)


def coded(count: int = 24, side: int = 64, seed: int = 0) -> np.ndarray:
    """Make crops whose coding is a blur along rows."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (count, side, side, 3)).astype(np.float32)
    wide[..., 1:] = wide[:, ::2, ::2, 1:].repeat(2, axis=1).repeat(2, axis=2)
    blurred = wide.copy()
    blurred[..., 0] = 0.6 * wide[..., 0] + 0.2 * np.roll(wide[..., 0], 1, 2) + 0.2 * np.roll(wide[..., 0], -1, 2)
    blurred[..., 1:] = 128 + 0.8 * (wide[..., 1:] - 128)
    qp = np.full((count, side, side, 1), 32.0)
    return np.round(np.concatenate([blurred, wide, qp], axis=-1)).astype(np.uint8)


def test_without_a_filter_the_loss_is_one_and_mse_that_of_luma():
    crops = jnp.asarray(coded(3))
    params = initial_parameters(TINY.model, 0)
    terms, planes = filter_loss(TINY, params, crops)
    np.testing.assert_allclose(terms.loss, 1.0, rtol=1e-6)
    inner = np.asarray(crops, np.float32)[:, 4:-4, 4:-4] / 255
    np.testing.assert_allclose(terms.mse, np.square(inner[..., 0] - inner[..., 3]).mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_array_equal(jnp.round(planes * 255), crops[..., :3])


def test_what_lies_in_the_margin_does_not_count():
    crops = coded(2)
    changed = crops.copy()
    changed[:, :4, :, 3:6] = 0
    params = initial_parameters(TINY.model, 0)
    params["last"]["bias"] = params["last"]["bias"] + 0.01
    first, second = (filter_loss(TINY, params, jnp.asarray(x), done=0.0)[0] for x in (crops, changed))
    np.testing.assert_array_equal(first.loss, second.loss)
    whole = replace(TINY, margin=0)
    first, second = (filter_loss(whole, params, jnp.asarray(x), done=0.0)[0] for x in (crops, changed))
    assert (first.loss != second.loss).all()


def config(folder: Path, **changes) -> TrainConfig:
    np.save(folder / "train.npy", coded())
    np.save(folder / "held.npy", coded(3, seed=1))
    base = TrainConfig(
        name="tiny",
        filter=TINY,
        data=DataConfig(folders=(str(folder / "train.npy"),), smallest_scale=1.0),
        validation=ValidationConfig(
            folders=(str(folder / "held.npy"),), include=("*.npy",), every=40, crop=64, qualities=(50.0,), pictures=1
        ),
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup=2),
        crop=64,
        batch=4,
        ema=0.8,
        steps=40,
        devices=1,
    )
    return replace(base, **changes)


def test_a_run_removes_what_coding_left_and_can_be_read_back(tmp_path: Path):
    from jaxicm.train.checkpoints import load_parameters

    settings = config(tmp_path)
    train_run(settings, tmp_path / "run", quiet=True)
    params, _ = load_parameters(tmp_path / "run")
    held = jnp.asarray(coded(3, seed=1))
    after = filter_loss(TINY, params, held)[0].loss
    assert (after < 0.7).all()
    assert (tmp_path / "run" / "validation" / "0000040_0.png").is_file()


def test_crops_keep_luma_and_chroma_together(tmp_path: Path):
    settings = config(tmp_path)
    corpus = prepare_data(replace(settings, crop=64, data=replace(settings.data, flip=True, transpose=True)), print)
    wide = replace(corpus.sampler, crop=32)
    for number in range(20):
        crop = wide.sample(number).crop
        np.testing.assert_array_equal(crop[::2, ::2, 4], crop[1::2, 1::2, 4])


def test_pictures_and_settings_that_do_not_serve_are_refused(tmp_path: Path):
    settings = config(tmp_path)
    with pytest.raises(ConfigError, match="smallest_scale"):
        replace(settings, data=DataConfig(folders=settings.data.folders, smallest_scale=0.5))
    with pytest.raises(ConfigError, match="must be even"):
        FilterTraining(margin=3)
    with pytest.raises(ConfigError, match="filters are trained on arrays that `jaxicm dataset coded` makes"):
        prepare_data(replace(settings, data=DataConfig(folders=(str(tmp_path),), smallest_scale=1.0)), print)
    np.save(tmp_path / "rgb.npy", np.zeros((2, 64, 64, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"expected uint8 \[N, H, W, 7\]"):
        prepare_data(
            replace(settings, data=DataConfig(folders=(str(tmp_path / "rgb.npy"),), smallest_scale=1.0)), print
        )
    assert jax.tree.leaves(initial_parameters(TINY.model, 0))


def two_kinds(count: int = 24, side: int = 64, seed: int = 0) -> np.ndarray:
    """Make crops of which every second one was sharpened instead of blurred, along rows."""
    crops = coded(count, side, seed).astype(np.float32)
    wide = crops[1::2, ..., 3]
    crops[1::2, ..., 0] = 1.4 * wide - 0.2 * np.roll(wide, 1, 2) - 0.2 * np.roll(wide, -1, 2)
    crops[1::2, ..., 6] = 42
    return np.clip(np.round(crops), 0, 255).astype(np.uint8)


SET = FilterSetConfig(PlaneFilterConfig(width=8, blocks=1), count=2)


@pytest.mark.parametrize(
    "assignment", ["competitive", *(pytest.param(a, marks=pytest.mark.slow) for a in ("hard", "ranges"))]
)
def test_two_filters_share_two_kinds_of_crops(tmp_path: Path, assignment):
    from jaxicm.train.checkpoints import load_parameters

    training = FilterTraining(
        SET,
        margin=4,
        assignment=assignment,
        annealing=Annealing(first=0.3, last=0.01, noise=0.3),
        ranges=(37,) if assignment == "ranges" else (),
    )
    settings = config(tmp_path, filter=TINY, steps=30)
    np.save(tmp_path / "train.npy", two_kinds())
    train_run(settings, tmp_path / "one", quiet=True)
    train_run(replace(settings, filter=training, init=str(tmp_path / "one"), steps=90), tmp_path / "two", quiet=True)
    params, _ = load_parameters(tmp_path / "two")
    held = jnp.asarray(two_kinds(12, seed=1))
    terms, _ = filter_loss(training, params, held)
    winners = np.asarray(terms.winners).argmax(axis=1)
    assert np.mean(winners[::2] == winners[0]) >= 0.9 and np.mean(winners[1::2] != winners[0]) >= 0.9
    one, _ = load_parameters(tmp_path / "one")
    assert terms.loss.mean() < filter_loss(TINY, one, held)[0].loss.mean()
    events = [line for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines() if '"usage"' in line]
    assert events and "0.0" not in events[-1].split('"usage": ')[1].split("]")[0].split(", ")


def test_a_filter_that_no_crop_is_best_with_begins_anew():
    from jaxicm.train.filter import revived

    params = initial_parameters(SET, 0)
    params["last"]["bias"] = params["last"]["bias"].at[1].set(0.5)
    shares = jnp.asarray([0.001, 0.999])
    new, average, used = revived(replace(TINY, model=SET), params, params, shares, jax.random.key(0))
    np.testing.assert_allclose(member(new, SET, 0)["last"]["bias"], member(params, SET, 1)["last"]["bias"], atol=0.1)
    np.testing.assert_array_equal(new["last"]["bias"], average["last"]["bias"])
    np.testing.assert_allclose(used, [0.4995, 0.4995])
    kept = revived(replace(TINY, model=SET), params, params, jnp.asarray([0.1, 0.9]), jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, kept[0], params)


@pytest.mark.parametrize("changes", [{"ranges": (37,)}, {"assignment": "ranges"}, {"margin": 3}])
def test_settings_of_filters_that_make_no_sense_are_refused(changes):
    with pytest.raises(ConfigError, match="filter"):
        FilterTraining(SET, **changes)


NETWORK = f"{Path(__file__).parent / 'own_network.py'}:make"
MACHINE = MachineTraining(MachineDistortion(networks=(NETWORK,), exchange=0.1, mse=0.1))


def look() -> Look:
    """Return what the loss for machines needs."""
    return Look([zoo.load_functions(NETWORK)[1]], None, 0)


def test_without_a_filter_the_loss_for_machines_is_one():
    crops = jnp.asarray(coded(3))
    terms, _ = filter_loss(TINY, initial_parameters(TINY.model, 0), crops, machine=MACHINE, look=look())
    np.testing.assert_allclose(terms.loss, 1.0, rtol=1e-5)
    assert (terms.machine > 0).all()


def test_each_filter_is_compared_with_what_was_decoded():
    """The second filter of a set spoils the picture; the first one, the identity, wins with a ratio of 1."""
    params = initial_parameters(SET, 0)
    params["last"]["bias"] = params["last"]["bias"].at[1].set(5.0 * (-1.0) ** jnp.arange(6))
    training = replace(TINY, model=SET)
    terms, _ = filter_loss(training, params, jnp.asarray(coded(3)), machine=MACHINE, look=look())
    np.testing.assert_allclose(terms.loss, 1.0, rtol=1e-5)
    np.testing.assert_array_equal(terms.winners, [[1, 0]] * 3)


def test_a_run_for_machines_lowers_what_networks_see_and_its_weights_say_so(tmp_path: Path):
    from jaxicm.codecs import filter_weights
    from jaxicm.configuration import to_dict
    from jaxicm.train.freeze import freeze

    train_run(config(tmp_path, machine=MACHINE), tmp_path / "run", quiet=True)
    freeze(tmp_path / "run", tmp_path / "w.safetensors")
    weights = filter_weights.read(tmp_path / "w.safetensors")
    held = jnp.asarray(coded(3, seed=1))
    after = filter_loss(TINY, weights.params, held, machine=MACHINE, look=look())[0].loss
    assert (after < 0.7).all()
    assert weights.info.trained_for == "machine" and weights.info.machine == to_dict(MACHINE.distortion)


@pytest.mark.parametrize(
    "machine",
    [
        replace(MACHINE, weighting="lws"),
        replace(MACHINE, distortion=replace(MACHINE.distortion, task=(1.0,))),
    ],
)
def test_filters_for_machines_take_no_epochs_and_no_labels(tmp_path: Path, machine: MachineTraining):
    with pytest.raises(ConfigError, match="for filters"):
        config(tmp_path, machine=machine)
