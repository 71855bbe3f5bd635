r"""A filter behind VVC: what it adds to decoded planes, told the QP (systems S9 and S1 begin at it).

jaxicm dataset coded PHOTOS --out coded --validation-pattern '*%12' --crops 2 --cache streams
jaxicm dataset coded CLIPS --out coded_clips --side 192 --crops 60 --cache streams
jaxicm dataset coded ENLARGED_CLIPS --out coded_large --side 192 --crops 60 --qps 22,27,32,37 --cache streams
jaxicm train configs/filter_vvc.py --data coded/train.npy --data coded_clips/train.npy --data coded_large/train.npy \
  data.weights=3,4,4 validation.folders=coded/validation.npy

Log of the shipped weights (1308 crops of 111 pictures of COCO train2017; 3960 crops of 11 clips of DAVIS of 416x240 in
random access and 2640 of the same enlarged to 640x368, every second one with noise; 2 CPU cores that did other work
besides, 114 minutes; validation on 108 crops of 9 other pictures, error left relative to no filter, all QPs alike,
rounded to 8 bits):

    step 1500    pictures and 792 crops of clips, the QP that the encoder was told   0.985
    step 5200    resumed with steps=5200, falling to 0 over the last 2080            0.976
    step 2888    from there, all the material, the QP of each frame, init=           0.979, clips better
    the mean of the last two, which is shipped                                       0.976, clips as good

In random access libvvenc's frames have QPs from one below to ten above the one that it is told (single pictures three
below): told one QP for all, intra frames of soft clips became worse by up to 0.8 %.

Before detail was shown to the network in units of the quantiser's step 700 steps of Adam had left 0.995 of the training
error where 300 do now; Muon at this rate learns faster than Adam at 1e-3, and at four times the rate (Adam at 4e-3)
both stand still.
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
