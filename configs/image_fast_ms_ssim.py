"""The weights `fast` trained on for MS-SSIM: the same networks and rates, for eyes instead of for PSNR.

    jaxicm train configs/image_fast_ms_ssim.py --data PHOTOS_A --data PHOTOS_B

It begins at the released weights; name others with `init=`. Crops must have sides of 161 or more, so that all five
scales of MS-SSIM fit.

Log of the shipped weights (the pictures of configs/image_fast.py, 2 CPU cores that did other work besides, 28 minutes):

    step 0      fast at its step 31622                                 loss 1.274, MS-SSIM 0.9530 at 0.341 bpp
    step 800    steps=800, decaying to 0 over the last half            loss 1.187, MS-SSIM 0.9580 at 0.303 bpp
    Kodak, 24 pictures, real files: BD-rate of MS-SSIM over the published VTM curve +26.7 % (of fast: +50.0 %)
    calibrated on 22 pictures of the training (`jaxicm calibrate`): +23.7 % (+46.6 %)
"""

from pathlib import Path

from jaxicm.models.image import ImageConfig
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.objective_config import ObjectiveConfig

RELEASED = Path(__file__).parents[1] / "jaxicm" / "codecs" / "weights_released" / "fast.safetensors"


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="image_fast_ms_ssim",
        model=ImageConfig(),
        data=DataConfig(),
        validation=ValidationConfig(include=("photos-b/*%12",), every=1000, crop=384, ms_ssim=True),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=6e-4,
            warmup=100,
            schedule="wsd",
            cooldown=0.5,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0, linear=0.1),
        ),
        objective=ObjectiveConfig(distortion="ms-ssim"),
        crop=192,
        batch=4,
        steps=3000,
        init=str(RELEASED),
    )
