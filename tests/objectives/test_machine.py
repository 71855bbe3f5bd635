"""Distances of features and task losses, with a network small enough to follow."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.errors import ConfigError, InputError
from jaxicm.objectives.machine import MachineDistortion, feature_distance, machine_terms
from jaxicm.tasks import zoo
from jaxicm.tasks.targets import Targets

NETWORK = f"{Path(__file__).parents[1] / 'train' / 'own_network.py'}:make"


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((2, 16, 24, 3), np.float32)
    return x, x + 0.1 * rng.standard_normal(x.shape).astype(np.float32)


def targets(*counts: int) -> Targets:
    real = np.arange(4) < np.array(counts)[:, None]
    return Targets(
        np.zeros((2, 4, 4), np.float32), np.zeros((2, 4), np.int32), real, np.zeros((2, 4, 56, 56), np.float32)
    )


def terms(distortion: MachineDistortion, x: np.ndarray, x_hat: np.ndarray, labels: Targets | None = None):
    made = [zoo.load_functions(name) for name in distortion.networks]
    networks, parameters = [network for network, _ in made], [params for _, params in made]
    return machine_terms(distortion, networks, parameters, [1.0] * len(made), x, x_hat, labels)


def test_distance_is_relative_to_the_energy():
    rng = np.random.default_rng(1)
    a = {"one": rng.normal(size=(2, 3, 4, 5)), "two": rng.normal(size=(2, 7, 5)), "other": np.ones((2, 1))}
    b = {name: value + rng.normal(size=value.shape) for name, value in a.items()}
    expected = np.zeros(2)
    for picture in range(2):
        for name in ("one", "two"):
            error = np.sum((a[name][picture] - b[name][picture]) ** 2)
            expected[picture] += 0.5 * error / np.sum(a[name][picture] ** 2)
    found = feature_distance(jax.tree.map(jnp.asarray, a), jax.tree.map(jnp.asarray, b), ("one", "two"))
    assert np.allclose(found, expected, rtol=1e-5)
    nothing = jax.tree.map(np.zeros_like, a)
    assert np.allclose(feature_distance(a, nothing, ("one", "two")), 1, rtol=1e-5)


def test_each_kind_has_its_weight(pictures: tuple[np.ndarray, np.ndarray]):
    x, x_hat = pictures
    distortion = MachineDistortion((NETWORK, NETWORK), proxy=(2.0, 1.0), own=(0.0, 5.0), task=(0.5, 0.0))
    found = terms(distortion, x, x_hat, targets(1, 3))
    one = terms(MachineDistortion((NETWORK,)), x, x_hat)
    assert np.allclose(found.proxy, 3 * one.proxy) and np.all(one.proxy > 0) and np.all(one.own == 0)
    grey = np.abs((x - x_hat).mean(-1)).mean((1, 2))
    assert np.allclose(found.own, 5 * grey, rtol=1e-4)
    assert np.allclose(found.task, 0.5 * np.array([1, 3]) * x_hat.mean((1, 2, 3)), rtol=1e-5)
    assert np.allclose(found.total, found.proxy + found.own + found.task)


def test_pictures_whose_objects_are_not_known_have_no_loss_with_labels(pictures: tuple[np.ndarray, np.ndarray]):
    distortion = MachineDistortion((NETWORK,), proxy=(0.0,), task=(1.0,))
    found = terms(distortion, *pictures, targets(1, 3)._replace(known=np.array([True, False])))
    assert found.task[0] > 0 and found.task[1] == 0


def test_without_targets_the_losses_with_labels_are_left_out(pictures: tuple[np.ndarray, np.ndarray]):
    found = terms(MachineDistortion((NETWORK,), proxy=(0.0,), task=(1.0,)), *pictures)
    assert np.all(found.total == 0)


def test_equal_pictures_cost_nothing_and_the_original_has_no_gradient(pictures: tuple[np.ndarray, np.ndarray]):
    x, x_hat = pictures
    distortion = MachineDistortion((NETWORK,), own=(1.0,))
    assert np.allclose(terms(distortion, x, x).total, 0)
    by_original, by_decoded = jax.grad(lambda a, b: terms(distortion, a, b).total.sum(), (0, 1))(x, x_hat)
    assert np.all(by_original == 0) and np.any(by_decoded != 0)


def test_named_levels_are_compared(pictures: tuple[np.ndarray, np.ndarray]):
    x, x_hat = pictures
    grey, decoded = x.mean(-1), x_hat.mean(-1)
    expected = ((grey - decoded) ** 2).sum((1, 2)) / (grey**2).sum((1, 2))
    assert np.allclose(terms(MachineDistortion((NETWORK,), levels=("grey",)), x, x_hat).proxy, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"networks": ()}, "name at least one"),
        ({"proxy": (1.0, 2.0)}, "one for each of yolox_nano"),
        ({"own": (-1.0,)}, "none below 0"),
        ({"task": ()}, "must be one weight"),
        ({"exchange": 0.0}, "above 0"),
    ],
)
def test_settings_are_checked(settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        MachineDistortion(**settings)


def test_unknown_networks_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="no codec can be trained through 'deimv2_femto'"):
        zoo.functions("deimv2_femto")
    (tmp_path / "wrong.py").write_text("def make():\n    return 1\n")
    with pytest.raises(InputError, match="must return jaxicm\\.tasks\\.functions"):
        zoo.load_functions(f"{tmp_path / 'wrong.py'}:make")
