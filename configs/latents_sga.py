"""Stochastic Gumbel annealing as published: 2000 iterations, many minutes a picture on CPUs.

    jaxicm encode photo.png photo.jicm --stages configs/latents_sga.py

Yang, Bamler, Mandt, "Improving inference for neural image compression", NeurIPS 2020: Adam with the rate 0.005, and at
iteration i the temperature min(0.5, exp(-0.001 (i - 700))), so 0.5 until iteration 1393 and exp(-1.3) = 0.27 at the
end. Deviations: Adam's second moment decays by 0.99 instead of 0.999, there is no hyper-latent, and every 20 iterations
the true cost is measured and the best latent kept.
"""

import math

from jaxicm.adapt.stage import Stage

ITERATIONS = 2000
HOLD = 700 + 1000 * math.log(2.0)
"""Iterations until exp(-0.001 (i - 700)) falls below 0.5."""


def config() -> tuple[Stage, ...]:
    """Return the stages."""
    anneal = Stage(
        "sga",
        iterations=ITERATIONS,
        learning_rate=0.005,
        schedule="constant",
        optimizer="adam",
        check_every=20,
        first_temperature=0.5,
        last_temperature=math.exp(-0.001 * (ITERATIONS - 700)),
        hold=HOLD / ITERATIONS,
    )
    return (anneal,)
