"""The loss-weighting strategy against numbers worked out by hand from the formula."""

import numpy as np
import pytest

from jaxicm.objectives.weighting import BREAKS, OPERATING_POINTS, loss_weights, strategy_weights

GOLDEN = {
    0: (0.01, 0.0),
    49: (0.01, 0.0),
    50: (0.0, 0.0),
    61: (0.0, 4.62674e-4),
    68: (1.23040e-4, 7.84590e-4),
    80: (3.92295e-4, 1.39139e-3),
    170: (5.5e-3, 9.2e-3),
    220: (1.72e-2, 1.77e-2),
    270: (4.89e-2, 3.17e-2),
    320: (0.134279, 0.054726),
}
"""Rate and task by epoch; in the middle as rounded where they were published."""


def by_hand(n: float) -> tuple[float, float]:
    def psi(x: float, y: float) -> float:
        return 1e-3 * (y**x - 1)

    task = 0.0 if n < 50 else 4 * psi(n - 50, 1.01)
    if n < 50:
        return 0.01, task
    if n < 62:
        return 0.0, task
    if n < 85:
        return 2 * psi(n - 62, 1.01), task
    c = 2 * psi(22, 1.01)
    return (c, task) if n < 107 else (c + 2 * psi(n - 107, 1.02), task)


@pytest.mark.parametrize("epoch", GOLDEN)
def test_golden_values(epoch: int):
    weights = loss_weights(epoch)
    assert np.allclose((weights.rate, weights.task), GOLDEN[epoch], rtol=1e-2, atol=1e-9)
    assert weights.mse == 1


def test_every_epoch_agrees_with_the_formula():
    epochs = np.arange(0, 330, 0.5)
    weights = loss_weights(epochs)
    expected = np.array([by_hand(n) for n in epochs])
    assert np.allclose(np.stack([weights.rate, weights.task], 1), expected, rtol=1e-4, atol=2e-8)


def test_later_operating_points_weigh_the_rate_more():
    weights = [loss_weights(epoch) for epoch in sorted(OPERATING_POINTS)]
    share = [float(w.rate / w.task) for w in weights]
    assert share == sorted(share) and share[-1] > 10 * share[0]


def test_strategies():
    constant = strategy_weights("constant", np.array([0.0, 300.0]), point=170)
    assert np.allclose(constant.rate, loss_weights(170).rate) and np.allclose(constant.mse, 1)
    alone = strategy_weights("task_only", 0.0, point=170)
    assert alone.mse == 0 and np.allclose(alone.task, loss_weights(170).task)
    both = strategy_weights("pretrained", np.array([BREAKS[0] - 1, BREAKS[0]]), point=170)
    assert np.allclose(both.task, [0, loss_weights(170).task]) and np.allclose(both.rate[0], 0.01)
    assert np.allclose(strategy_weights("lws", 68.0), loss_weights(68.0))
