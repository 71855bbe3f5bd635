"""`base` for machines (system S6, ours): what two detectors find in the original is the label.

    JAXICM_TASKS=WEIGHTS jaxicm train configs/icm_base.py --data PHOTOS --data COCO_TRAIN --resident duration_s=SECONDS

For an accelerator. The networks weigh nine tenths of the distortion: losses of detector and Mask R-CNN with their own
findings as labels, distances of their features, and half of those of SqueezeNet; no annotations are needed. It begins
at the released weights `base`.
"""

from pathlib import Path

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.objectives.machine import MachineDistortion
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.machine import MachineTraining

RELEASED = Path(__file__).parents[1] / "jaxicm" / "codecs" / "weights_released" / "base.safetensors"


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="icm_base",
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
        machine=MachineTraining(
            MachineDistortion(
                networks=("yolox_nano", "mask_rcnn", "squeezenet"),
                proxy=(1.0, 1.0, 0.5),
                own=(1.0, 1.0, 0.0),
                exchange=0.00025,
                mse=0.1,
            )
        ),
        data=DataConfig(smallest_scale=0.7),
        validation=ValidationConfig(
            include=("photos-b/*%12",), every=5000, crop=384, qualities=(1.0, 10.0, 20.0, 30.0, 50.0)
        ),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=2e-4,
            warmup=100,
            schedule="wsd",
            cooldown=0.8,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0, linear=0.1),
        ),
        quality_max=55.0,
        precision="bfloat16",
        crop=320,
        batch=16,
        ema=0.998,
        steps=100_000,
        init=str(RELEASED),
    )
