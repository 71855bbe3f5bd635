"""Training for machines: weights of the terms, strategies, operating points, labels."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.bits.container import unpack
from jaxicm.codecs.image import ImageCodec
from jaxicm.codecs.weights import load_trainable, read_info
from jaxicm.entropy.surrogate import ROUNDED
from jaxicm.errors import ConfigError, InputError
from jaxicm.models.image import ImageConfig, lambda_of_quality
from jaxicm.objectives.machine import MachineDistortion, machine_terms
from jaxicm.objectives.rate_distortion import weigh
from jaxicm.objectives.weighting import loss_weights
from jaxicm.tasks.targets import Targets
from jaxicm.train.checkpoints import load_parameters
from jaxicm.train.config import DECODER, TrainConfig
from jaxicm.train.freeze import freeze, freeze_decoder
from jaxicm.train.log import read_log
from jaxicm.train.loop import train_run
from jaxicm.train.machine import Look, MachineTraining, epoch_at, machine_loss, network_functions, point_steps
from jaxicm.train.start import random_parameters
from jaxicm.train.step import compute_gradient

NETWORK = f"{Path(__file__).with_name('own_network.py')}:make"
PARAMETERS = np.array([2.0, 3.0], np.float32)
SCALE = 0.5
"""Of pictures of 640 pixels under this network."""


def training(**settings) -> MachineTraining:
    return MachineTraining(MachineDistortion((NETWORK,), own=(0.5,), task=(0.2,)), **settings)


@pytest.fixture(scope="module")
def crops() -> tuple[np.ndarray, np.ndarray, np.ndarray, Targets]:
    """Two crops, as decoded, their bits and their objects."""
    rng = np.random.default_rng(0)
    x = rng.random((2, 64, 64, 3), np.float32)
    real = np.array([[True, False], [True, True]])
    objects = Targets(
        np.zeros((2, 2, 4), np.float32), np.zeros((2, 2), np.int32), real, np.zeros((2, 2, 56, 56), np.float32)
    )
    return x, x + 0.05 * rng.standard_normal(x.shape).astype(np.float32), np.array([900.0, 2000.0]), objects


def test_every_crop_has_the_trade_off_of_its_quality(crops: tuple, config: TrainConfig):
    x, x_hat, bits, objects = crops
    machine, quality = training(), jnp.array([10.0, 60.0])
    trade_off = lambda_of_quality(config.model, quality)
    found = machine_loss(machine, Look([PARAMETERS], objects, 0), x, x_hat, bits, quality, trade_off, 0.45)
    seen = machine_terms(machine.distortion, network_functions(machine), [PARAMETERS], [SCALE], x, x_hat, objects)
    mse = ((x - x_hat) ** 2).mean((1, 2, 3))
    expected = weigh(bits / 64**2, 0.1 * mse + 0.001 * seen.total, trade_off, 0.45)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)
    np.testing.assert_allclose(found.machine, seen.total, rtol=1e-6)
    np.testing.assert_allclose(found.bpp, bits / 64**2, rtol=1e-6)
    np.testing.assert_allclose(found.mse, mse, rtol=1e-5)


def test_a_strategy_weighs_by_the_epoch(crops: tuple, config: TrainConfig):
    x, x_hat, bits, objects = crops
    machine, quality = training(weighting="lws", epoch_steps=10), jnp.array([10.0, 60.0])
    trade_off = lambda_of_quality(config.model, quality)
    losses = {}
    for step in (0, 1700, 3200):
        look = Look([PARAMETERS], objects, epoch_at(machine, 1, step))
        losses[step] = machine_loss(machine, look, x, x_hat, bits, quality, trade_off, 0.0)
        weights, terms = loss_weights(step / 10), losses[step]
        expected = weights.rate * terms.bpp + 4 * terms.mse + weights.task * terms.machine
        np.testing.assert_allclose(terms.loss, expected, rtol=1e-5)
    points = {680: "qp22", 800: "qp27", 1700: "qp32", 2200: "qp37", 2700: "qp42", 3200: "qp47"}
    assert point_steps(machine, 5000) == points
    spread = training(weighting="lws")
    assert point_steps(spread, 3200) == points and epoch_at(spread, 3200, 680) == 68
    assert point_steps(training(), 5000) == {} == point_steps(None, 5000)


def test_constant_weights_follow_the_quality(crops: tuple, config: TrainConfig):
    x, x_hat, bits, objects = crops
    quality = jnp.array([1.0, 100.0])
    trade_off = lambda_of_quality(config.model, quality)
    look = Look([PARAMETERS], objects, 0)
    found = machine_loss(training(weighting="constant"), look, x, x_hat, bits, quality, trade_off, 0.0)
    weights = loss_weights(np.array([320.0, 68.0]))
    np.testing.assert_allclose(
        found.loss, weights.rate * found.bpp + 4 * found.mse + weights.task * found.machine, rtol=1e-5
    )


def test_a_run_under_the_papers_strategy_leaves_its_operating_points(
    config: TrainConfig, picture_folder: Path, tmp_path: Path
):
    images = [{"id": n, "file_name": f"p{n:04d}.png", "height": 96, "width": 128} for n in range(4)]
    objects = [
        {"id": n, "image_id": n, "category_id": 7, "bbox": [20, 20, 60, 50], "iscrowd": 0, "area": 3000}
        for n in range(4)
    ]
    document = {"images": images, "annotations": objects, "categories": [{"id": 7, "name": "dog"}]}
    (tmp_path / "instances.json").write_text(json.dumps(document))
    distortion = MachineDistortion((NETWORK,), proxy=(0.0,), task=(1.0,))
    config = dataclasses.replace(
        config,
        machine=MachineTraining(distortion, weighting="lws", epoch_steps=1),
        data=dataclasses.replace(config.data, annotations=(str(tmp_path / "instances.json"),), objects=4),
        validation=dataclasses.replace(config.validation, include=("p0006.png", "p0007.png")),
        batch=2,
        steps=80,
        log_every=20,
    )
    run = train_run(config, tmp_path / "run", quiet=True)
    assert sorted(path.name for path in (run / "points").iterdir()) == ["qp22.safetensors", "qp27.safetensors"]
    info = read_info(run / "points" / "qp27.safetensors")
    assert info.trained_for == "machine" and info.machine is not None and info.machine["networks"] == [NETWORK]
    assert info.provenance["steps"] == 80
    codec = ImageCodec.load(run / "points" / "qp22.safetensors")
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    assert codec.decode(codec.encode(picture, quality=30)).shape == picture.shape
    trained = read_log(run, "train")
    assert all(np.isfinite(event["machine"]) and event["machine"] > 0 for event in trained)
    # The labels' network has no other measure without them, so validation compares its features.
    assert all(value > 0 for value in read_log(run, "validation")[-1]["machine"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"picture": (480,)}, "must be height and width"),
        ({"epoch_steps": -1}, "must not be negative"),
        ({"breaks": (1.0, 2.0)}, "four rising epochs"),
        ({"breaks": (4.0, 3.0, 2.0, 1.0)}, "four rising epochs"),
        ({"point": -1.0}, "must not be negative"),
    ],
)
def test_settings_are_checked(settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        training(**settings)


def test_a_run_without_the_networks_weights_says_so(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("JAXICM_TASKS", raising=False)
    config = dataclasses.replace(config, machine=MachineTraining())
    with pytest.raises(InputError, match="weights of yolox_nano are not at hand"):
        train_run(config, tmp_path / "run", quiet=True)


def test_parts_of_a_batch_add_up(config: TrainConfig, crops: tuple):
    x, _, _, objects = crops
    params = random_parameters(config)
    pictures, quality = np.round(255 * x).astype(np.uint8), jnp.array([30.0, 70.0])
    look = Look([PARAMETERS], objects, jnp.zeros(()))

    def means(parts: int) -> dict[str, jax.Array]:
        whole = dataclasses.replace(config, machine=training(), accumulate=parts, batch=2)

        def compute(params: dict, crops: np.ndarray, look: Look) -> dict[str, jax.Array]:
            return compute_gradient(whole, params, crops, quality, jax.random.key(0), ROUNDED, None, look)[0]

        return jax.jit(compute)(params, pictures, look)

    found = [means(parts) for parts in (1, 2)]
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], rtol=1e-4)


def test_a_decoder_for_another_viewer_keeps_every_file_as_it_is(
    config: TrainConfig, tiny_weights: Path, tiny_config: ImageConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = load_trainable(tiny_weights)
    config = dataclasses.replace(
        config,
        model=tiny_config,
        machine=MachineTraining(MachineDistortion((NETWORK,))),
        trained=DECODER,
        init=str(tiny_weights),
        batch=2,
        steps=3,
    )
    run = train_run(config, tmp_path / "run", quiet=True)
    after, _ = load_parameters(run, average=False)
    changed = {name for name in before if not same(before[name], after[name])}
    assert changed == set(DECODER)
    freeze(run, tmp_path / "models" / "tiny_machine.safetensors")
    monkeypatch.setenv("JAXICM_MODELS", str(tmp_path / "models"))
    codec = ImageCodec.load(tiny_weights)
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    data, marked = codec.encode(picture, quality=30), codec.for_viewer("machine").encode(picture, quality=30)
    assert unpack(data)[1] == unpack(marked)[1]
    assert not np.array_equal(codec.decode(data), codec.decode(marked))
    with pytest.raises(InputError, match="its own decoder is for people"):
        freeze_decoder(after, dataclasses.replace(config, machine=None), tmp_path / "b.safetensors", {})
    with pytest.raises(ConfigError, match="trained: found 'taste', expected of analysis entropy"):
        train_run(dataclasses.replace(config, trained=("taste",)), tmp_path / "other", quiet=True)
    with pytest.raises(ConfigError, match="set init="):
        dataclasses.replace(config, init="")


def same(a: dict, b: dict) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
