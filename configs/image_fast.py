"""The profile `fast`: one codec for 0.1 to 2 bits per pixel, decoded with 40 kMAC per pixel.

    jaxicm train configs/image_fast.py --data PHOTOS_A --data PHOTOS_B

The pictures of a folder `photos-b` whose number divides by 12 are held out and measured; set `validation.include` for
other folders. On a GPU add `--resident precision=bfloat16 batch=32 crop=256`. To lengthen a run, resume it with more
steps: `--resume steps=200000`.

Expected at step 0, where the codec is the block transform of the start, on the 21 held-out pictures: 0.28 bpp and 27.0
dB at quality 10, 1.43 bpp and 33.4 dB at quality 50, 3.66 bpp and 39.8 dB at quality 90, loss 1.97.

Log of the shipped weights (600 pictures of 512x512, no rescaled copies, 2 CPU cores that did other work besides, 5
hours; the validation loss is that of rounded values on 21 pictures at qualities 10, 30, 50, 70, 90):

    steps 0-1224        adam 5e-4, rate of uniform noise
    steps 1224-1707     adam 8e-4, rounded rate                                   loss 1.591
    steps 1707-4721     muon, rounded rate with a biased gradient: the rate ran away, loss 1.703
    steps 4721-16779    muon 6e-4, as configured here, decaying to 0 at the end   loss 1.436, Kodak +76.7 %
    steps 16779-23469   from that file with init=, data.scales=1, multipliers.linear=0.1                  loss 1.431
    steps 23469-27979   resumed with steps=11200 optimizer.cooldown=0.41                          loss 1.411
    Kodak, 24 pictures, real files: BD-rate +69.6 % over the published VTM curve
    steps 27979-30966   from that file with init=, data.smallest_scale=1, multipliers.linear=0.1, rate constant
    steps 30966-33379   resumed with steps=6000, then steps=5400 (decaying to 0 over the last 1757)       loss 1.408
    Kodak, the same: BD-rate +69.0 %
    calibrated on 22 pictures of the training (`jaxicm calibrate`): BD-rate +65.2 %

The second run gained 0.2 % of the loss a thousand steps at the constant rate and 0.3 % while it fell to 0; its first
thousand steps lost 0.7 %, because a new run begins without the optimiser's moments.
"""

from jaxicm.models.image import ImageConfig
from jaxicm.train.config import DataConfig, Multipliers, OptimizerConfig, TrainConfig, ValidationConfig


def config() -> TrainConfig:
    """Return the configuration."""
    return TrainConfig(
        name="image_fast",
        model=ImageConfig(),
        data=DataConfig(smallest_scale=0.6),
        validation=ValidationConfig(include=("photos-b/*%12",), every=2000, crop=384),
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=6e-4,
            warmup=300,
            schedule="wsd",
            cooldown=0.4,
            muon_kernels="convolutions",
            muon_scale="unit",
            multipliers=Multipliers(muon=8.0),
        ),
        crop=192,
        batch=4,
        steps=100_000,
    )
