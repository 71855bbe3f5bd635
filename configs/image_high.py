"""`high`: for accelerators, as large as pays within 40 MB of weights. Not trained yet.

    RUN=runs/high TRAIN_S=SECONDS bash scripts/train_rented.sh configs/image_high.py --data PHOTOS

Decoding: synthesis 172, probability model 13 kMAC per pixel; analysis 120; 27.4 million parameters, released with 8
bits each. The networks work on all grids down to the 1/4 grid, where a kernel is used most often for its bytes; the
first groups of channels are small, so that most channels are coded with those that say most already known.
`profile_steps=10` writes a profile of some steps.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the configuration."""
    transform = TransformConfig(
        fine_width=192,
        coarse_width=320,
        quarter_width=128,
        analysis_coarse=4,
        analysis_fine=6,
        analysis_quarter=6,
        synthesis_coarse=4,
        synthesis_fine=8,
        synthesis_quarter=10,
    )
    entropy = ProgressiveConfig(hidden=320, group_channels=(8, 16, 32, 56, 88, 120))
    return TrainConfig(
        name="image_high",
        model=ImageConfig(transform, entropy, kernel_bits=8),
        data=DataConfig(smallest_scale=0.6, toned=0.3),
        validation=ValidationConfig(include=("photos-b/*%12",), every=5000, crop=384),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=6e-4,
            warmup=500,
            schedule="wsd",
            cooldown=0.75,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0),
        ),
        precision="bfloat16",
        crop=256,
        batch=32,
        steps=200_000,
    )
