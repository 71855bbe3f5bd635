r"""A filter behind VVC: what it adds to decoded planes, told the QP (systems S9 and S1 begin at it).

jaxicm dataset coded PHOTOS --out coded --validation-pattern '*%12' --crops 2 --cache streams
jaxicm dataset coded CLIPS --out coded_clips --side 192 --crops 12 --cache streams
jaxicm train configs/filter_vvc.py --data coded/train.npy --data coded_clips/train.npy \
  validation.folders=coded/validation.npy
"""

from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.filter import FilterTraining


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="filter_vvc",
        filter=FilterTraining(),
        data=DataConfig(smallest_scale=1.0),
        validation=ValidationConfig(include=("*.npy",), every=1500, crop=256, qualities=(50.0,)),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=1e-3,
            warmup=50,
            schedule="wsd",
            cooldown=0.4,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0),
        ),
        crop=128,
        batch=16,
        ema=0.995,
        steps=8000,
    )
