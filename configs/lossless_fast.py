"""The lossless codec, profile `fast`.

    jaxicm train configs/lossless_fast.py --data LOSSLESS

Pictures must never have been coded with loss: noise and edges are what the model learns.
"""

from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.lossless import LosslessTraining


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="lossless_fast",
        lossless=LosslessTraining(),
        data=DataConfig(exclude=("lossless/l007*", "lossless/l008*")),
        validation=ValidationConfig(
            include=("lossless/l008*",), every=1000, crop=512, qualities=(50.0,), pictures=0
        ),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=100, schedule="wsd", cooldown=0.4),
        crop=128,
        batch=8,
        steps=12000,
        ema=0.995,
    )
