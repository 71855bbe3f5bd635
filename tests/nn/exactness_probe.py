"""Run an exact and a float network of one shape and print digests of their outputs as JSON (a program for the tests).

Usage: exactness_probe.py VARIANT, one of jit, eager, no-ynn, bf16, sharded-batch, sharded-inputs.
"""

import hashlib
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed

ROWS, INPUTS, HIDDEN, OUTPUTS = 4096, 1152, 192, 64
FEATURE, UNIT = Fixed(4, -127, 127), Fixed(5, 0, 255)


def parameters() -> list[np.ndarray]:
    """Weights of both networks, the same everywhere (numpy's generator is stable)."""
    rng = np.random.default_rng(7)
    shapes = [(INPUTS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, OUTPUTS)]
    return [(rng.standard_normal(s) / np.sqrt(s[0])).astype(np.float32) for s in shapes]


def rows() -> np.ndarray:
    return np.random.default_rng(8).integers(-127, 128, (ROWS, INPUTS)).astype(np.float32)


def exact_network(x: jax.Array, kernels: list[jax.Array], operand: jnp.dtype = jnp.float32) -> jax.Array:
    h = x * 2.0**-FEATURE.frac
    for w in kernels[:-1]:
        h = exact.requantize(exact.dot(h.astype(operand), w.astype(operand)), UNIT)
    return exact.requantize(exact.dot(h.astype(operand), kernels[-1].astype(operand)), Fixed(3, -511, 511))


def float_network(x: jax.Array, kernels: list[jax.Array], operand: jnp.dtype = jnp.float32) -> jax.Array:
    h = x * 2.0**-FEATURE.frac
    for w in kernels[:-1]:
        h = jax.nn.softplus(exact.dot(h.astype(operand), w.astype(operand)))
    return exact.dot(h.astype(operand), kernels[-1].astype(operand)) * 3.0


def digest(a: jax.Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(np.asarray(a, np.float32)).tobytes()).hexdigest()[:16]


def main(variant: str) -> None:
    floats = [jnp.asarray(w) for w in parameters()]
    formats = [FEATURE, UNIT, UNIT]
    frozen = [exact.freeze_kernel(w, np.zeros(w.shape[1]), x) for w, x in zip(parameters(), formats, strict=True)]
    for i, (kernel, x) in enumerate(zip(frozen, formats, strict=True)):
        exact.prove(f"layer {i}", kernel, np.zeros(kernel.weight.shape[1]), x)
    kernels = [jnp.asarray(k.real()) for k in frozen]
    x = jnp.asarray(rows())
    options = {"xla_cpu_experimental_ynn_fusion_type": ""} if variant == "no-ynn" else None
    operand = jnp.bfloat16 if variant == "bf16" else jnp.float32
    if variant.startswith("sharded"):
        mesh = jax.make_mesh((jax.device_count(),), ("d",), axis_types=(AxisType.Auto,))
        spec = P("d", None) if variant == "sharded-batch" else P(None, "d")
        x = jax.device_put(x, NamedSharding(mesh, spec))
    results = {}
    for name, network, weights in (("exact", exact_network, kernels), ("float", float_network, floats)):

        def run(x: jax.Array, weights: list[jax.Array], network=network) -> jax.Array:
            return network(x, weights, operand)

        compiled = run if variant == "eager" else jax.jit(run, compiler_options=options)
        out = compiled(x, weights)
        results[name] = digest(out)
        results[name + "_indices"] = digest(jnp.round(out))
    print(json.dumps(results | {"devices": jax.device_count()}))


if __name__ == "__main__":
    main(sys.argv[1])
