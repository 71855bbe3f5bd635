r"""Filters behind VVC for machines (system S1): what task networks see, restored; one filter, then sets of four.

jaxicm dataset coded COCO_TRAIN --out coded --validation-pattern '*%12' --crops 3 --region 384 --cache streams
jaxicm train configs/filter_machine.py --data coded/train.npy validation.folders=coded/validation.npy \
  filter.model.count=1 --out one
jaxicm train configs/filter_machine.py --data coded/train.npy validation.folders=coded/validation.npy init=one

JAXICM_TASKS names the folder of the networks' weights. Baselines by the same command:
  filter.assignment=hard                                        the best filter alone learns from a crop
  filter.assignment=ranges filter.ranges=27,37,42               independent filters, one for each range of QPs
  filter.model.count=1                                          one filter, trained on
  filter.model.shared_kernels=true                              ours: one trunk, four sets of biases and slopes
"""

from jaxicm.models.filter import PlaneFilterConfig
from jaxicm.models.filter_set import FilterSetConfig
from jaxicm.objectives.competitive import Annealing
from jaxicm.objectives.machine import MachineDistortion
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig
from jaxicm.train.filter import FilterTraining
from jaxicm.train.machine import MachineTraining


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="filter_machine",
        filter=FilterTraining(
            FilterSetConfig(PlaneFilterConfig(width=32, blocks=4), count=4),
            annealing=Annealing(first=0.05, last=0.002, share=0.6, noise=0.05),
        ),
        machine=MachineTraining(MachineDistortion(networks=("yolox_nano", "mask_rcnn"))),
        data=DataConfig(smallest_scale=1.0),
        validation=ValidationConfig(include=("*.npy",), every=250, crop=256, qualities=(50.0,)),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=1e-3,
            warmup=20,
            schedule="wsd",
            cooldown=0.4,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0),
        ),
        crop=192,
        batch=8,
        ema=0.99,
        steps=600,
    )
