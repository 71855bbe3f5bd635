"""System S6, ours: the networks of `fast` trained for detectors, one model for all rates (`fast_machine`).

    JAXICM_TASKS=WEIGHTS jaxicm train configs/icm_fast.py --data COCO_TRAIN --data PHOTOS_A --data PHOTOS_B

The distortion is a tenth of the squared error, distances of the features of three frozen networks, and what two
detectors find in the original as labels for the decoded picture; no annotations are needed. With
`data.annotations=instances.json machine.distortion.task=0.1,0.1,0` true labels count too. Every crop has the trade-off
lambda of the quality that is drawn for it. It begins at the released weights `fast`; name others with `init=`.
"""

from pathlib import Path

from jaxicm.models.image import ImageConfig
from jaxicm.objectives.machine import MachineDistortion
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.machine import MachineTraining

RELEASED = Path(__file__).parents[1] / "jaxicm" / "codecs" / "weights_released" / "fast.safetensors"


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="icm_fast",
        model=ImageConfig(),
        machine=MachineTraining(
            MachineDistortion(
                networks=("yolox_nano", "mask_rcnn", "squeezenet"),
                proxy=(1.0, 1.0, 1.0),
                own=(0.1, 0.1, 0.0),
                exchange=0.001,
                mse=0.1,
            )
        ),
        data=DataConfig(smallest_scale=0.7),
        validation=ValidationConfig(
            include=("photos-b/*%12",), every=500, crop=384, qualities=(1.0, 10.0, 20.0, 30.0, 50.0)
        ),
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
        quality_max=80.0,
        crop=320,
        batch=2,
        steps=3000,
        init=str(RELEASED),
    )
