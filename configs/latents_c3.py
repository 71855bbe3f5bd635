"""The recipe of C3 for latents, a hundredth as long: soft rounding with noise, then straight-through.

    jaxicm encode photo.png photo.jicm --stages configs/latents_c3.py

Kim et al., "C3: High-performance and low-complexity neural compression from a single image or video", CVPR 2024: soft
rounding whose temperature falls from 0.3 to 0.1, Kumaraswamy noise whose shape falls from 2 to 1, Adam from 0.01 to 0
by a cosine over 100,000 iterations; then straight-through gradients with Adam at 0.0001.

Ours: 1000 and 200 iterations, since only a latent that is good already is adapted, and no network; in the second stage
the rate stays, where C3 multiplies it by 0.8 after 20 checks without gain and goes back to the best. Each stage begins
at the best latent so far.
"""

from jaxicm.adapt.stage import Stage


def config() -> tuple[Stage, ...]:
    """Return the stages."""
    soft = Stage(
        "soft",
        iterations=1000,
        learning_rate=0.01,
        schedule="cosine",
        optimizer="adam",
        check_every=20,
        first_temperature=0.3,
        last_temperature=0.1,
    )
    straight = Stage(
        "straight_through",
        iterations=200,
        learning_rate=1e-4,
        schedule="constant",
        optimizer="adam",
        check_every=10,
    )
    return (soft, straight)
