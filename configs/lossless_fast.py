"""The lossless codec, profile `fast`.

    jaxicm train configs/lossless_fast.py --data LOSSLESS

LOSSLESS is a folder of pictures that were never coded with loss: noise and edges are what the model learns. On several
CPU cores, `XLA_FLAGS=--xla_force_host_platform_device_count=2` divides a step, which else is mostly one thread.

Log of the shipped weights (lossless/l0000-l0063 of the development data, 2 CPU cores that did other work besides, 52
minutes; loss in bits a sample of three scales, the coarsest grid not counted, on l0080-l0087 in RGB):

    step 0                                                                  3.308
    step 500     rate 3e-3                                                  2.664
    step 1500    the rate falls from step 1200 of 4000, then of 3000        2.646
    step 3000    rate 0                                                     2.637
    Kodak, 24 pictures, real files, bits a sub-pixel: 1.677, 3.084 with --keep-rgb

Compared at 400 steps: Adam without fitted predictions 2.681, Muon 2.673, with fitted predictions 2.653 (hidden=128,
head=64) and 2.660 (96 and 48, these sizes, which decode faster).
"""

from jaxicm.entropy.pixels import PixelConfig
from jaxicm.models.lossless import LosslessConfig
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.lossless import LosslessTraining


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="lossless_fast",
        trained_on="64 crops of 512x512 from photographs, reduced at least twofold",
        lossless=LosslessTraining(LosslessConfig(PixelConfig(hidden=96, head=48))),
        data=DataConfig(exclude=("lossless/l007*", "lossless/l008*"), smallest_scale=0.6),
        validation=ValidationConfig(include=("lossless/l008*",), every=500, crop=512, qualities=(50.0,), pictures=0),
        optimizer=OptimizerConfig(name="muon", learning_rate=3e-3, warmup=100, schedule="wsd", cooldown=0.7),
        crop=192,
        batch=4,
        steps=4000,
        ema=0.995,
        checkpoint_s=240.0,
    )
