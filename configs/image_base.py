"""`base`: 131 kMAC per pixel of decoding, for an accelerator.

    jaxicm train configs/image_base.py --data PHOTOS_A --data PHOTOS_B --data COCO_TRAIN --resident duration_s=SECONDS \
      init=jaxicm/codecs/weights_released/fast.safetensors

It grows out of `fast` (init=): the same networks on the 1/8 and 1/16 grids, and residual blocks on the 1/4 grid that add
nothing at first. Decoding: synthesis 124, probability model 6.5 kMAC per pixel; analysis 100; 17.5 million parameters,
kernels released with 8 bits.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, Multipliers, ObjectiveConfig, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="image_base",
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
