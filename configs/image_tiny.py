"""The profile `tiny`: one codec for 0.1 to 2 bits per pixel in a file of 1 MB, decoded with 10.3 kMAC per pixel.

    jaxicm train configs/image_tiny.py --data PHOTOS_A --data PHOTOS_B --data COCO_TRAIN duration_s=3900

The networks work on the 1/4 grid, where a kernel is used sixteen times as often as on the 1/16 grid; the block
transform has two small steps; the probability model sees the first 40 of 256 channels of decoded neighbours; kernels
are released with 8 bits. Decoding: synthesis 9.9, probability model 0.4 kMAC per pixel; analysis 6.0; 0.85 million
parameters.

Log of the shipped weights (600 photographs, the 21 of the validation not among them, and 120 pictures of COCO
train2017; one core of a machine whose other core was busy; the command above; the validation loss is that of rounded
values on 21 pictures at qualities 10, 30, 50, 70, 90):

    step 0        2.023     the block transform of the start
    step 2000     1.591     11 minutes with compiling
    step 4000     1.557
    step 6000     1.539
    step 8000     1.524     the rate falls to 0 over the last 40 %
    step 10490    1.513     65 minutes
    Kodak, 24 pictures, real files: BD-rate +90.2 % over the published VTM curve

Gone on with `--resume duration_s=8400`, the other core busy most of the time (the rate constant up to step 28000):

    step 16000    1.501     step 24000    1.482     step 28000    1.472     step 40000    1.452
    step 41233    1.452     205 minutes in all
    calibrated on 22 pictures of the training (`jaxicm calibrate`): BD-rate +72.0 %; WebP stands at +74.7 %

Gone on with `--resume duration_s=7500`, beside other work that took most of the last half hour:

    step 42000    1.457     step 50000    1.450     step 59000    1.442     some 320 minutes in all
    calibrated likewise: BD-rate +69.1 %, `fast` +69.0 %

To go on: `init=` with the released weights and a schedule of its own, or `--resume duration_s=SECONDS` from the run's
folder. `jaxicm progress` prints the curve in BD-rate and hours.
"""

from jaxicm.entropy.progressive import ProgressiveConfig
from jaxicm.models.image import ImageConfig
from jaxicm.models.stage16 import TransformConfig
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the configuration."""
    transform = TransformConfig(
        channels=256,
        block_channels=80,
        fine_width=48,
        coarse_width=64,
        quarter_width=40,
        analysis_coarse=0,
        analysis_fine=0,
        analysis_quarter=4,
        synthesis_coarse=0,
        synthesis_fine=0,
        synthesis_quarter=8,
        anchors=4,
    )
    entropy = ProgressiveConfig(
        channels=256, hidden=48, anchors=4, group_channels=(8, 24, 64, 160), context_channels=40
    )
    return TrainConfig(
        name="image_tiny",
        model=ImageConfig(transform, entropy, kernel_bits=8),
        data=DataConfig(smallest_scale=0.6),
        validation=ValidationConfig(include=("photos-b/*%12",), every=2000, crop=384),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=6e-4,
            warmup=100,
            schedule="wsd",
            cooldown=0.4,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(linear=0.1, muon=8.0),
        ),
        crop=192,
        batch=3,
        steps=100_000,
        ema=0.998,
    )
