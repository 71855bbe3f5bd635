"""Coding orders at equal CPU seconds: one recurrent network, the papers' (system S4), in the orders of several papers.

    jaxicm ablate configs/ablation_orders.py --data PHOTOS_A --data PHOTOS_B --budget 120

The transforms are ours and small, the rate is one. The network covers the whole grid in every step, so an order of many
steps costs as many evaluations; each variant is trained for the same time, not for as many steps.
"""

from jaxicm.entropy.recurrent_network import RecurrentConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import OptimizerConfig, TrainConfig, ValidationConfig

CHANNELS, LAMBDA = 64, 0.013


def config() -> TrainConfig:
    """Return the base: the multi-scale progressive order, 27 evaluations."""
    transform = TransformConfig(channels=CHANNELS, fine_width=48, coarse_width=96, anchors=1)
    recurrent = RecurrentConfig(channels=CHANNELS, features=48, blocks=2, order="msp_base")
    return TrainConfig(
        name="ablation_orders",
        model=ImageConfig(transform, recurrent=recurrent, lambda_min=LAMBDA, lambda_max=LAMBDA),
        validation=ValidationConfig(include=("photos-b/*%12",), crop=256, qualities=(50.0,), pictures=0),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup=50, schedule="wsd", cooldown=0.4),
        crop=128,
        batch=4,
        ema=0.99,
        checkpoint_s=120.0,
    )


def variants() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the other orders: 2, 10, 11 and 28 evaluations."""
    orders = ("checkerboard", "channel_groups", "hpcm", "jaxicm")
    return {"order": {name: (f"model.recurrent.order={name}",) for name in orders}}
