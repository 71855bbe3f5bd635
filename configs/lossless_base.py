"""The lossless codec, profile `base`: a wider network that sees more, and fits two predictions to smaller blocks.

    jaxicm train configs/lossless_base.py --data LOSSLESS init=jaxicm/codecs/weights_released/lossless_fast.safetensors

LOSSLESS is a folder of pictures that were never coded with loss: noise and edges are what the model learns. `init`
begins with the predictions of the smaller model. On several CPU cores,
`XLA_FLAGS=--xla_force_host_platform_device_count=2` divides a step, which else is mostly one thread.

Log of the shipped weights (data as in `lossless_fast.py`, 2 CPU cores that did other work besides, 34 minutes; begun
from lossless_fast with `steps=1000`, then 1500, then 1100, so the rate fell from about step 300 to the end):

    step 0       the predictions of lossless_fast, on smaller blocks         2.679
    step 500                                                                 2.628
    step 1100    rate 0                                                      2.622
    Kodak, 24 pictures, real files, bits a sub-pixel: 1.668, 3.045 with --keep-rgb

It is far from trained: the steps set below are a beginning.
"""

from jaxicm.entropy.least_squares import FitConfig
from jaxicm.entropy.pixels import PixelConfig
from jaxicm.models.lossless import LosslessConfig
from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.lossless import LosslessTraining

FIT = FitConfig(scales=3, block=8, windows=(2, 1), taps=(16, 12, 12), across=6)
PIXELS = PixelConfig(taps=32, hidden=144, layers=3, head=72, mixtures=4, experts=8, fit=FIT)


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="lossless_base",
        trained_on="64 crops of 512x512 from photographs, reduced at least twofold",
        lossless=LosslessTraining(LosslessConfig(PIXELS)),
        data=DataConfig(exclude=("lossless/l007*", "lossless/l008*"), smallest_scale=0.6),
        validation=ValidationConfig(include=("lossless/l008*",), every=500, crop=512, qualities=(50.0,), pictures=0),
        optimizer=OptimizerConfig(name="muon", learning_rate=2e-3, warmup=50, schedule="wsd", cooldown=0.8),
        crop=192,
        batch=4,
        steps=4000,
        ema=0.995,
        checkpoint_s=240.0,
    )
