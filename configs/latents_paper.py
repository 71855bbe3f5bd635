"""Latent fine-tuning of systems S8 and S4 in paper mode: uniform noise and Adam, 30 iterations.

    jaxicm encode photo.png photo.jicm --stages configs/latents_paper.py

Known of the papers (S8: Le et al., "Learned image coding for machines: a content-adaptive approach", ICME 2021; S4:
Zhang et al., arXiv 2210.04112): the encoder optimises the latent for the picture at hand, while decoder, probability
model and syntax stay; S4 calls it latent overfitting. Probable: about 30 iterations in S8, for a distance of features
of VGG-16 beside the squared error. Not known: the iterations of S4, and the learning rate of either; 1e-3 to 1e-2 of a
channel's standard deviation is a guess.

Ours: uniform noise in place of rounding, as in training; Adam at 0.005 of a quantisation step for all channels, without
a decay; the true cost every 5 iterations, of which the best is kept; and the distortion that `--tune` says, or an
objective given in Python.
"""

from jaxicm.adapt.stage import Stage


def config() -> tuple[Stage, ...]:
    """Return the stages."""
    noise = Stage("noise", iterations=30, learning_rate=0.005, schedule="constant", optimizer="adam", check_every=5)
    return (noise,)
