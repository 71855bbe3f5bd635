"""What blocks of a picture cost: sums are those of the whole, errors are charged where they are."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.codecs import block_costs
from jaxicm.codecs.block_choice import block_errors
from jaxicm.codecs.block_costs import judge_for, machine_judge
from jaxicm.codecs.filter_cost import CHROMA_WEIGHT
from jaxicm.media.yuv import to_pixels, to_planes
from jaxicm.objectives.machine import MachineDistortion, machine_terms
from jaxicm.tasks import zoo

NETWORK = f"{Path(__file__).parents[1] / 'train' / 'own_network.py'}:make"
DISTORTION = MachineDistortion(networks=(NETWORK,), exchange=0.01, mse=0.2)
SHAPES = [(128, 256, 3), (150, 201, 3), (140, 130)]


def pictures(shape: tuple[int, ...], seed: int = 0):
    """Make the planes of a picture and of one with errors in its lower right quarter."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(40, 215, shape, dtype=np.uint8)
    changed = pixels.astype(np.int64)
    changed[shape[0] // 2 :, shape[1] // 2 :] += rng.integers(-30, 31, changed[shape[0] // 2 :, shape[1] // 2 :].shape)
    count = 1 if len(shape) == 2 else 3
    return (to_planes(picture.astype(np.uint8), "420", 8)[:count] for picture in (pixels, changed))


@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_add_up_to_the_distortion_of_the_picture(shape):
    wanted, shown = pictures(shape)
    costs = machine_judge(DISTORTION, wanted)(shown)
    network, params = zoo.load_functions(NETWORK)
    padded = [(0, -side % block_costs.UNIT) for side in shape[:2]] + [(0, 0)]
    x, x_hat = (jnp.asarray(np.pad(to_pixels(p, 8), padded, "edge")[None] / 255.0) for p in (wanted, shown))
    scale = network.scale(*shape[:2])
    terms = machine_terms(DISTORTION, [network], [params], [scale], x, x_hat)
    planes = 8 / 6 * shape[0] * shape[1] * 255**2
    squared = block_errors(wanted, shown, 0, CHROMA_WEIGHT).item()
    expected = 0.2 * squared + 0.01 * planes * terms.proxy.item()
    assert costs(0).item() == pytest.approx(expected, rel=0.05), "but for the scale, one of a few"
    for block in (32, 64, 128):
        found = costs(block)
        assert found.shape == (-(-shape[0] // block), -(-shape[1] // block))
        assert found.sum() == pytest.approx(costs(0).item(), rel=1e-6)


def test_errors_are_charged_to_the_blocks_that_have_them():
    wanted, shown = pictures((256, 256, 3))
    costs = machine_judge(DISTORTION, wanted)(shown)(128)
    assert costs[1, 1] > 0.9 * costs.sum() > 0


def test_no_error_costs_nothing():
    wanted, _ = pictures((64, 96, 3))
    assert not machine_judge(DISTORTION, wanted)(wanted)(32).any()


def test_networks_decide_apart_from_the_squared_error():
    """Noise of high frequency looks the same in squared error everywhere, and a network may see only one kind."""
    wanted = to_planes(np.full((128, 256, 3), 128, np.uint8), "420", 8)
    luma = wanted[0].copy()
    rows = np.indices(luma.shape)[0]
    luma[:, :128] += (8 * (rows[:, :128] % 2)).astype(np.uint8)  # edges
    luma[:, 128:] += np.where(rows[:, 128:] < 64, 8, 0).astype(np.uint8)  # the same error without
    shown = (luma, *wanted[1:])
    squared = judge_for(None, wanted)(shown)(128)
    seen = machine_judge(MachineDistortion(networks=(NETWORK,), mse=0.0, levels=("edges",)), wanted)(shown)(128)
    assert squared[0, 0] == pytest.approx(squared[0, 1])
    assert seen[0, 0] > 5 * seen[0, 1]
