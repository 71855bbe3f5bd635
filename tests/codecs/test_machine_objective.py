"""Adapting to task networks: what the search lowers, what the names mean, what is compiled."""

from pathlib import Path

import numpy as np
import pytest

from jaxicm.adapt.stage import Stage
from jaxicm.codecs import latent_adapter
from jaxicm.codecs.adaptation import OBJECTIVES, choose_objective
from jaxicm.codecs.machine_objective import machine_objective, parse_machine
from jaxicm.configuration import to_dict
from jaxicm.errors import ConfigError, InputError, OptionError
from jaxicm.models.image import lambda_of_quality
from jaxicm.objectives.machine import MachineDistortion

NETWORK = f"{Path(__file__).parents[1] / 'train' / 'own_network.py'}:make"
SEARCH = (Stage(method="sga", iterations=30, check_every=10, learning_rate=0.05, context_gradient=False),)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(latent_adapter, "WINDOWS", ((128, 128), (320, 320)))


def test_the_cost_falls_and_is_that_of_the_file(tiny_codec, photograph):
    image = photograph(128, 128)
    result = tiny_codec.encode_detail(image, quality=40, effort=SEARCH, tune=NETWORK, verify=True)
    assert result.adapted is not None and result.adapted.distortion == "machine"
    assert result.adapted.cost < result.adapted.start
    np.testing.assert_array_equal(tiny_codec.decode(result.data), result.reconstruction)
    objective = machine_objective(parse_machine(NETWORK, None), 128, 128)
    # A window of 320x320, the picture at its top left; what lies beyond is alike in both.
    around = ((0, 192), (0, 192), (0, 0))
    x, x_hat = (np.pad(p, around, mode="edge") / np.float32(255) for p in (image, result.reconstruction))
    x_hat[128:], x_hat[:, 128:] = x[128:], x[:, 128:]
    distortion = float(objective.function(objective.arrays, x[None], x_hat[None])[0])
    weight = float(lambda_of_quality(tiny_codec.config, 40.0)) * 255.0**2
    expected = (8 * len(result.data) + weight * distortion * 320**2) / 128**2
    assert result.adapted.cost == pytest.approx(expected, rel=1e-3)


def test_names_are_read():
    trained = MachineDistortion((NETWORK,), proxy=(2.0,), task=(3.0,), exchange=0.01, mse=0.3)
    own = parse_machine("machine", to_dict(trained))
    assert own.proxy == (2.0,) and own.task == (0.0,), "an encoder has no labels"
    assert parse_machine("machine", None) == MachineDistortion()
    named = parse_machine(f"squeezenet, {NETWORK}/labels", to_dict(trained))
    assert named.networks == ("squeezenet", NETWORK)
    assert (named.proxy, named.own, named.exchange, named.mse) == ((1.0, 0.0), (0.0, 1.0), 0.01, 0.3)
    with pytest.raises(OptionError, match="there is no objective 'lpips'"):
        parse_machine("lpips", None)
    with pytest.raises(ConfigError, match="unknown setting 'colour'"):
        parse_machine("machine", {"colour": 1})


def test_the_objective_is_the_one_that_the_weights_were_trained_for(monkeypatch: pytest.MonkeyPatch):
    assert choose_objective(None, "ms-ssim", None, (10, 10)) is OBJECTIVES["ms-ssim"]
    assert choose_objective("mse", "machine", None, (10, 10)) is OBJECTIVES["mse"]
    machine = to_dict(MachineDistortion((NETWORK,)))
    assert choose_objective(None, "machine", machine, (10, 10)).name == "machine"
    monkeypatch.delenv("JAXICM_TASKS", raising=False)
    with pytest.raises(InputError, match="weights of yolox_nano are not at hand"):
        choose_objective("yolox_nano", "mse", None, (10, 10))


def test_pictures_of_alike_sizes_share_what_is_compiled():
    def function(height: int, width: int):
        return machine_objective(MachineDistortion((NETWORK,)), height, width).function

    assert function(480, 640) is function(640, 480) is function(427, 640)
    assert function(480, 640) is not function(1200, 1600)
