"""A filter behind VVC: what it adds to decoded planes, told the QP (systems S9 and S1 begin at it).

jaxicm dataset coded PHOTOS COCO_TRAIN --out coded --validation-pattern '*%12' --cache streams
jaxicm train configs/filter_vvc.py --data coded/train.npy validation.folders=coded/validation.npy
"""

from jaxicm.train.config import DataConfig, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.filter import FilterTraining


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="filter_vvc",
        filter=FilterTraining(),
        data=DataConfig(smallest_scale=1.0),
        validation=ValidationConfig(include=("*.npy",), every=500, crop=256, qualities=(50.0,)),
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup=50, schedule="wsd", cooldown=0.4),
        crop=128,
        batch=16,
        ema=0.995,
        steps=4000,
    )
