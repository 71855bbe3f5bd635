"""The learned image codec as a pure function: transforms, gains of the quality, probability model."""

from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxicm.entropy.progressive import Progressive, ProgressiveConfig, gaussian_start, interpolate
from jaxicm.entropy.recurrent import Recurrent
from jaxicm.entropy.recurrent_network import RecurrentConfig
from jaxicm.entropy.surrogate import ROUNDED, Surrogate
from jaxicm.errors import ConfigError
from jaxicm.models import res8, stage16
from jaxicm.models.res8 import Res8Config
from jaxicm.models.stage16 import KLT, PATCH, STRIDE, TransformConfig
from jaxicm.ops.space import space_to_depth

QUALITY_MIN, QUALITY_MAX = 1.0, 100.0


@dataclass(frozen=True)
class ImageConfig:
    """Everything that fixes the codec's networks.

    Attributes:
      transform: sizes of the stride-16 transforms (ours).
      entropy: sizes of the progressive model (ours).
      lambda_min, lambda_max: rate-distortion trade-off at quality 1 and 100, weights of `255**2 * MSE` beside bits per
        pixel; in between it grows geometrically.
      res8: use these stride-8 transforms of the papers instead.
      recurrent: use this recurrent probability model of the papers instead. It serves one rate: both lambdas agree.
      kernel_bits: of the transforms' kernels in a weight file, 16 or 8 (see `codecs.transform_arrays`).
    """

    transform: TransformConfig = field(default_factory=TransformConfig)
    entropy: ProgressiveConfig = field(default_factory=ProgressiveConfig)
    lambda_min: float = 0.0008
    lambda_max: float = 0.5
    res8: Res8Config | None = None
    recurrent: RecurrentConfig | None = None
    kernel_bits: int = 16

    def __post_init__(self):
        transform = (self.res8 or self.transform).channels
        entropy = (self.recurrent or self.entropy).channels
        if transform != entropy:
            raise ConfigError(f"transform and probability model must agree on channels, got {transform} and {entropy}")
        if self.res8 is None and self.transform.anchors != self.anchors:
            raise ConfigError(f"transform.anchors must be {self.anchors}, got {self.transform.anchors}")
        if not 0 < self.lambda_min <= self.lambda_max:
            raise ConfigError(f"expected 0 < lambda_min <= lambda_max, got {self.lambda_min} and {self.lambda_max}")
        if self.kernel_bits not in (8, 16):
            raise ConfigError(f"kernel_bits must be 8 or 16, got {self.kernel_bits}")
        if self.recurrent is not None and self.lambda_min != self.lambda_max:
            raise ConfigError("the recurrent model serves one rate: set lambda_min and lambda_max to one value")

    @property
    def channels(self) -> int:
        """Channels of the latent."""
        return (self.recurrent or self.entropy).channels

    @property
    def stride(self) -> int:
        """Pixels that a latent position spans."""
        return res8.STRIDE if self.res8 is not None else stage16.STRIDE

    @property
    def reach(self) -> int:
        """Latent positions by which the transforms look around."""
        return self.res8.reach if self.res8 is not None else self.transform.reach

    @property
    def steps(self) -> int:
        """Sequential steps of the probability model, whatever the size of the picture."""
        return self.recurrent.schedule.network_steps if self.recurrent is not None else self.entropy.steps

    @property
    def anchors(self) -> int:
        """Quality anchors; one for a model of a single rate."""
        return 1 if self.recurrent is not None else self.entropy.anchors


def anchor_position(quality: Array, anchors: int) -> Array:
    """Map quality 1..100 to anchor units 0..anchors-1."""
    return (quality - QUALITY_MIN) / (QUALITY_MAX - QUALITY_MIN) * (anchors - 1)


def lambda_of_quality(config: ImageConfig, quality: Array) -> Array:
    """Return the weight of `255**2 * MSE` at a quality."""
    t = (quality - QUALITY_MIN) / (QUALITY_MAX - QUALITY_MIN)
    return config.lambda_min * (config.lambda_max / config.lambda_min) ** t


class ImageModel(nn.Module):
    """Analysis, quantisation under the probability model, synthesis.

    Attributes:
      config: of the codec.
      remat: compute inner values again in the backward pass instead of keeping them; the papers' probability model
        always does, their transforms never.
    """

    config: ImageConfig
    remat: bool = False

    def setup(self):
        c = self.config
        if c.res8 is not None:
            self.analysis, self.synthesis = res8.Analysis(c.res8), res8.Synthesis(c.res8)
        else:
            self.analysis = stage16.Analysis(c.transform, self.remat)
            self.synthesis = stage16.Synthesis(c.transform, self.remat)
        self.entropy = Recurrent(c.recurrent) if c.recurrent is not None else Progressive(c.entropy, self.remat)
        shape = (c.anchors, c.channels)
        self.log_gain = self.param("log_gain", nn.initializers.zeros, shape)
        self.log_step = self.param("log_step", nn.initializers.zeros, shape)

    def declare(self, x: Array, quality: Array) -> None:
        """Touch every parameter without running the probability model, which is slow to compile."""
        y = self.encode(x, quality)
        self.decode(y, quality)
        self.entropy.declare(y)

    def encode(self, x: Array, quality: Array) -> Array:
        """Transform `[B, H, W, 3]` in [0, 1] to latents in quantisation steps `[B, H/16, W/16, C]`."""
        position = anchor_position(quality, self.config.anchors)
        gain = jnp.exp(interpolate(self.log_gain, position))[:, None, None]
        return self.analysis(x - 0.5, position) * gain

    def decode(self, y_hat: Array, quality: Array) -> Array:
        """Transform quantised latents `[B, h, w, C]` to pictures `[B, 16h, 16w, 3]`, nominally in [0, 1]."""
        position = anchor_position(quality, self.config.anchors)
        step = jnp.exp(interpolate(self.log_step, position))[:, None, None]
        return self.synthesis(y_hat * step, position) + 0.5

    def __call__(
        self, x: Array, quality: Array, key: Array | None = None, surrogate: Surrogate = ROUNDED
    ) -> tuple[Array, Array]:
        """Return pictures `[B, H, W, 3]` and bits `[B]` of `x` `[B, H, W, 3]` at `quality` `[B]`.

        Args:
          x: pictures in [0, 1], sides divisible by 64.
          quality: in [1, 100].
          key: of the noise that stands for rounding, where the surrogate or the papers' probability model has any.
          surrogate: what stands for rounding; the papers' probability model has its own ("mixed").
        """
        position = anchor_position(quality, self.config.anchors)
        y = self.encode(x, quality)
        if isinstance(self.entropy, Recurrent):
            assert key is not None
            y_hat, bits = self.entropy(y, position, key)
        else:
            y_hat, bits = self.entropy(y, position, key, surrogate)
        return self.decode(y_hat, quality), bits


def initial_parameters(config: ImageConfig, seed: int) -> dict[str, Any]:
    """Draw the parameters of a new model.

    Args:
      config: of the codec.
      seed: of the random values.

    Returns:
      The parameter tree (without the outer "params").
    """
    model = ImageModel(config)

    @jax.jit
    def draw(key: Array) -> Any:
        return model.init(key, jnp.zeros((1, 64, 64, 3)), jnp.full(1, QUALITY_MIN), method="declare")

    # The hardware generator: one that is unrolled for each parameter takes four times as long to compile.
    return draw(jax.random.key(seed, impl="rbg"))["params"]


def start_from_statistics(params: dict, config: ImageConfig, pictures: np.ndarray, seed: int = 0) -> dict:
    """Start the linear parts at the principal components of training pictures.

    Short training gains most from this: the codec begins as a block-transform codec instead of as noise.

    Args:
      params: freshly initialised parameters (without the outer "params").
      config: of the codec.
      pictures: uint8 `[N, H, W, 3]`, sides divisible by 16.
      seed: of the choice of blocks.

    Returns:
      A new parameter tree. The papers' transforms have no linear part and come back as they are, and so does their
      probability model.
    """
    if config.res8 is not None:
        return params
    n, height, width, _ = pictures.shape
    channels, anchors = config.channels, config.anchors
    rng = np.random.default_rng(seed)
    count = min(n * (height // STRIDE) * (width // STRIDE), 200_000)
    which = rng.integers(0, n, count)
    top = rng.integers(0, height - STRIDE + 1, count)
    left = rng.integers(0, width - STRIDE + 1, count)
    blocks = np.stack([pictures[a, b : b + STRIDE, c : c + STRIDE] for a, b, c in zip(which, top, left, strict=True)])
    klts, std = _principal_components(blocks.astype(np.float32) / 255 - 0.5, config.transform)
    # The step of a uniform quantiser whose slope dD/dR matches lambda (D in squared units of [0, 1], 3 values a pixel).
    lam = np.asarray(lambda_of_quality(config, jnp.linspace(QUALITY_MIN, QUALITY_MAX, anchors)))
    step = np.sqrt(18.0 / (np.log(2) * lam * 255.0**2))
    log_step = np.broadcast_to(np.log(step)[:, None], (anchors, channels)).astype(np.float32)
    params = jax.tree.map(lambda a: a, params)
    params["analysis"] |= {name: jnp.asarray(klt) for name, klt in klts.items()} | {"std": jnp.asarray(std)}
    params["synthesis"] |= {name: jnp.asarray(klt.T) for name, klt in klts.items()} | {"std": jnp.asarray(std)}
    params["log_gain"], params["log_step"] = jnp.asarray(-log_step), jnp.asarray(log_step)
    if config.recurrent is None:
        start = gaussian_start(std[None] / step[:, None], config.entropy)
        params["entropy"] |= {name: jnp.asarray(bias) for name, bias in start.items()}
    return params


def _principal_components(blocks: np.ndarray, config: TransformConfig) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the matrices of the analysis' block transform by name, and standard deviations `[C]` of what it gives.

    `blocks` are float32 `[N, 16, 16, 3]`. A first matrix, if there is one, keeps the components of 8x8 blocks.
    """

    def components(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
        order = np.argsort(-values)[:count]
        return vectors[:, order].astype(np.float32), np.sqrt(np.maximum(values[order], 1e-10)).astype(np.float32)

    count, found = len(blocks), {}
    rows = blocks.reshape(count, -1)
    if config.block_channels:
        quarters = np.asarray(space_to_depth(jnp.asarray(blocks), PATCH)).reshape(4 * count, -1)
        found[KLT[0]] = components(quarters, config.block_channels)[0]
        rows = (quarters @ found[KLT[0]]).reshape(count, -1)
    found[KLT[1]], std = components(rows, config.channels)
    return found, std
