"""The lossless codec, profile `fast`.

    jaxicm train configs/lossless_fast.py --data LOSSLESS

LOSSLESS is a folder of pictures that were never coded with loss: noise and edges are what the model learns. On several
CPU cores, `XLA_FLAGS=--xla_force_host_platform_device_count=2` divides a step, which else is mostly one thread.

Log of the shipped weights (lossless/l0000-l0063 of the development data, 2 CPU cores that did other work besides, about
75 minutes in all; loss in bits a sample of three scales, the coarsest grid not counted, on l0080-l0087):

    step 0       random                                                                   3.36
    step 1000    one linear prediction a mean, constant rate                              2.684 (about)
    step 2518    the same, the rate beginning to fall                                     2.672
    step +2400   six gated predictions (`experts`), begun from that, rate to 0            2.650
    Kodak, 24 pictures, real files, bits a sub-pixel: 3.139 at effort 0, 2.978 at effort 6

The bounds of saturated colours came after it; training with them, as it does now, has not been run.
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
