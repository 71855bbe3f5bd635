"""System S6, ours: the networks of `fast` trained for detectors, one model for all rates (`fast_machine`).

    JAXICM_TASKS=WEIGHTS jaxicm train configs/icm_fast.py --data COCO_TRAIN --data PHOTOS_A --data PHOTOS_B

The distortion is a tenth of the squared error, distances of the features of three frozen networks, and what two
detectors find in the original as labels for the decoded picture; no annotations are needed. With
`data.annotations=instances.json machine.distortion.task=0.1,0.1,0` true labels count too. Every crop has the trade-off
lambda of the quality that is drawn for it. It begins at the released weights `fast`; name others with `init=`.

Log (117 pictures of COCO train2017 and 600 photographs, 2 CPU cores that did other work besides, 30 minutes; validation
as configured, 21 photographs):

    step 0      fast                                    loss 1.1377, distance 1.98 1.67 1.26 1.01 0.44
    step 300                                            loss 1.0873, distance 1.83 1.54 1.14 0.93 0.39
    step 600                                            loss 1.0782, distance 1.86 1.50 1.10 0.89 0.40
    step 900    decaying to 0 over the last 540 steps   loss 1.0734, distance 1.80 1.46 1.10 0.91 0.40
    COCO val, 160 pictures, qualities 1, 10, 20, 30: BD-rate of box AP over fast +2.8 % (yolox_nano), -0.2 %
    (mask_rcnn), -9.1 % (deimv2_femto, not trained through)

With six times the learning rate the loss rose to 1.48 within 300 steps; with five times the exchange all rates rise.
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
            learning_rate=1e-4,
            warmup=40,
            schedule="wsd",
            cooldown=0.6,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0, linear=0.1),
        ),
        quality_max=60.0,
        crop=320,
        batch=2,
        ema=0.99,
        steps=900,
        init=str(RELEASED),
    )
