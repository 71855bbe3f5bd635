"""What stands for rounding while a latent is adapted, and for how many iterations: pictures coded, nothing trained.

    jaxicm ablate configs/ablation_latents.py --data PICTURES --qualities 15,45,75
    jaxicm ablate configs/ablation_latents.py --data PICTURES --only sga --only coordinate/30

Each row adapts the latents of every picture at every quality and codes them to real files, which are decoded; the table
compares cost (bits + lambda * distortion in the row's own objective), rate and PSNR with those of the first row, which
adapts nothing, and tells the seconds a picture. Groups: the methods, by iterations; what the gradient through the
context, gains, another optimiser, the weight of rounding errors and another distortion change in "sga" of 100
iterations and "coordinate" of 30; and the efforts. Rows with equal stages are measured once. All checks of the true
cost are 10 iterations apart, except in the efforts.

On CPUs rows of 300 iterations take minutes for each picture and quality: begin with `--only`, or with few pictures. An
interrupted command goes on.
"""

from dataclasses import replace

from jaxicm.adapt.effort import EFFORTS
from jaxicm.adapt.stage import CURVATURE, Method, Optimizer, Stage
from jaxicm.evaluate.latent_ablation import Variant

METHODS: tuple[Method, ...] = ("noise", "straight_through", "soft", "sga", "sga+", "coordinate")
ITERATIONS = (10, 30, 100, 300)
OPTIMIZERS: tuple[Optimizer, ...] = ("adamax", "rmsprop")
ROUNDING_WEIGHTS = (CURVATURE / 2, 12.0, CURVATURE)


def stage(method: Method, iterations: int) -> Stage:
    """Return a stage with settings that suit its method."""
    plain = Stage(method=method, iterations=iterations, check_every=10)
    match method:
        case "noise" | "straight_through":
            return replace(plain, learning_rate=0.005)
        case "soft":
            return replace(plain, learning_rate=0.01, first_temperature=0.3, last_temperature=0.1)
        case "sga" | "sga+":
            return replace(plain, learning_rate=0.02, first_temperature=0.5, last_temperature=0.03)
        case "coordinate":
            # Without the gradient through the context large steps reach most of the gain, with it small ones go on.
            short = iterations <= 30
            rate = 0.3 if short else 0.15
            return replace(plain, learning_rate=rate, optimizer="sgd", context_gradient=not short)


def adaptations() -> tuple[Variant, ...]:
    """Return the rows; the first adapts nothing."""
    sga, coordinate = stage("sga", 100), stage("coordinate", 30)
    rows = [Variant("none", "none")]
    rows += [Variant(method, str(count), (stage(method, count),)) for method in METHODS for count in ITERATIONS]
    for name, one in (("sga", sga), ("coordinate", coordinate)):
        for word, kept in (("kept", True), ("stopped", False)):
            rows.append(Variant("context", f"{name}-{word}", (replace(one, context_gradient=kept),)))
    rows.append(Variant("gains", "sga", (replace(sga, gains=True),)))
    rows += [Variant("optimizer", name, (replace(sga, optimizer=name),)) for name in OPTIMIZERS]
    for weight in ROUNDING_WEIGHTS:
        rows.append(Variant("rounding_weight", f"{weight:.3g}", (replace(coordinate, rounding_weight=weight),)))
    for name, one in (("coordinate", coordinate), ("sga", sga)):
        rows += [Variant("distortion", f"{name}-{tune}", (one,), tune) for tune in ("ms-ssim", "mixed")]
    rows += [Variant("effort", str(number), stages) for number, stages in enumerate(EFFORTS) if stages]
    return tuple(rows)
