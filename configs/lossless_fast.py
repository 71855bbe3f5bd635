"""The lossless codec, profile `fast`.

    jaxicm train configs/lossless_fast.py --data LOSSLESS

LOSSLESS is a folder of pictures that were never coded with loss: noise and edges are what the model learns. On several
CPU cores, `XLA_FLAGS=--xla_force_host_platform_device_count=2` divides a step, which else is mostly one thread.

LOG
"""

from jaxicm.models.lossless import LosslessConfig
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.lossless import LosslessTraining


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="lossless_fast",
        trained_on="64 crops of 512x512 from photographs, reduced at least twofold",
        lossless=LosslessTraining(LosslessConfig()),
        data=DataConfig(exclude=("lossless/l007*", "lossless/l008*"), smallest_scale=0.6),
        validation=ValidationConfig(include=("lossless/l008*",), every=500, crop=512, qualities=(50.0,), pictures=0),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup=100, schedule="wsd", cooldown=0.7),
        crop=128,
        batch=8,
        steps=5000,
        ema=0.995,
        checkpoint_s=240.0,
    )
