"""`fast` with all of its 40 kMAC per pixel of decoding: wider and deeper transforms, wider exact networks.

    jaxicm train configs/image_fast_wide.py --data PHOTOS_A --data PHOTOS_B --resident duration_s=SECONDS

For an accelerator: two CPU cores would take half a minute a step. Decoding: synthesis 33.4, probability model 5.5 kMAC
per pixel; analysis 32.9; 14.7 million parameters.

Log (one H100, jax 0.11, 600 photographs, the 21 of the validation not among them; TF32 and bfloat16, 66 steps a second,
compiled in 95 s):

    steps 0-850      constant rate, 320 of the pictures                     loss 1.279 at step 500
    steps 850-3700   falling linearly to 0, all of them, 43 s               training loss 1.11
    Kodak, 24 pictures, real files: BD-rate +70.4 % over the published VTM curve (the shipped `fast`: +69.0 %)

48 seconds of steps reach what five hours of two CPU cores did; nothing says that it ends there.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="image_fast_wide",
        model=ImageConfig(
            transform=TransformConfig(
                fine_width=128,
                coarse_width=256,
                analysis_fine=8,
                analysis_coarse=4,
                synthesis_fine=8,
                synthesis_coarse=3,
            ),
            entropy=ProgressiveConfig(hidden=192),
        ),
        data=DataConfig(smallest_scale=0.6),
        validation=ValidationConfig(include=("photos-b/*%12",), every=5000, crop=384),
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
        batch=32,
        steps=100_000,
    )
