"""`high`: 120 kMAC per pixel of decoding, for accelerators. Not trained yet.

    RUN=runs/high TRAIN_S=SECONDS bash scripts/train_rented.sh configs/image_high.py --data PHOTOS \
      init=jaxicm/codecs/weights_released/base.safetensors

It grows out of `base` (init=): the same networks on the 1/8 and 1/16 grids, and blocks on the 1/4 grid that add
nothing at first, so that what `base` has learned is not learned again; 16 blocks there or more need no other word.
Decoding: synthesis 120, probability model 5 kMAC per pixel; analysis 78; 16.9 million parameters, released with 8 bits
each in 17 MB.

The step of 64 crops, compiled for an H100 by jax 0.11.2 on a machine without one, has some 1360 kernels, convolutions
and copies (2230 with a norm for each gradient and `objective.passes=0`), 231 of them in the probability model (742).
Moving its bytes at 2.6 TB/s takes 11 ms beside some 10 ms of convolutions.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, Multipliers, ObjectiveConfig, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="image_high",
        model=ImageConfig(
            transform=TransformConfig(
                fine_width=128,
                coarse_width=256,
                quarter_width=128,
                analysis_quarter=4,
                analysis_fine=8,
                analysis_coarse=4,
                synthesis_quarter=8,
                synthesis_fine=8,
                synthesis_coarse=3,
                fine_pixels=True,
            ),
            entropy=ProgressiveConfig(hidden=192),
            kernel_bits=8,
        ),
        data=DataConfig(smallest_scale=0.6, toned=0.3),
        validation=ValidationConfig(include=("photos-b/*%12",), every=5000, crop=384),
        objective=ObjectiveConfig(passes=2),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=8e-4,
            warmup=300,
            schedule="wsd",
            cooldown=0.75,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0),
        ),
        precision="bfloat16",
        crop=256,
        batch=64,
        steps=100_000,
    )
