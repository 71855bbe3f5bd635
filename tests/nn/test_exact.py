"""Exact layers against integer arithmetic in numpy, and across ways of running them on one machine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxicm.errors import ExactnessError
from jaxicm.nn import exact
from jaxicm.nn.exact import Fixed

X = Fixed(4, -127, 127)
OUT = Fixed(5, 0, 255)


def layer(seed: int, inputs: int = 288, outputs: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kernel = (rng.standard_normal((inputs, outputs)) * rng.uniform(0.001, 2.0, outputs)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    x = rng.integers(X.low, X.high + 1, (50, inputs))
    return kernel, bias, x


def run(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    return exact.requantize(exact.dot(x, kernel) + bias, OUT)


def integer_reference(x: np.ndarray, weight: np.ndarray, exponent: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """out = clip(floor(acc * 2**(out.frac - unit) + 1/2)) in int64 only."""
    accumulator = x.astype(np.int64) @ weight.astype(np.int64) + bias
    shift = exponent.astype(np.int64) + X.frac - OUT.frac
    doubled = np.where(shift >= 0, 2 * accumulator + (1 << np.maximum(shift, 0)), 0)
    rounded = np.where(shift >= 0, doubled >> (np.maximum(shift, 0) + 1), accumulator << np.maximum(-shift, 0))
    return np.clip(rounded, OUT.low, OUT.high)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_layer_equals_int64_arithmetic(seed):
    kernel, bias, x = layer(seed)
    frozen = exact.freeze_kernel(kernel, np.abs(bias), X)
    integers = exact.freeze_bias(bias, frozen.exponent, X)
    exact.prove("layer", frozen, np.abs(integers), X)
    real = run(
        jnp.asarray(x * 2.0**-X.frac, jnp.float32),
        jnp.asarray(frozen.real()),
        jnp.asarray(exact.real_bias(integers, frozen.exponent, X)),
    )
    expected = integer_reference(x, frozen.weight, frozen.exponent, integers)
    np.testing.assert_array_equal(np.asarray(real) * 2**OUT.frac, expected)


def test_training_uses_the_frozen_integers():
    kernel, bias, x = layer(1)
    frozen = exact.freeze_kernel(kernel, np.abs(bias), X)
    exponent = exact.kernel_exponent(jnp.asarray(kernel), jnp.abs(jnp.asarray(bias)), X)
    np.testing.assert_array_equal(frozen.exponent, np.asarray(exponent))
    np.testing.assert_array_equal(frozen.real(), np.asarray(exact.quantize_kernel(jnp.asarray(kernel), exponent)))
    integers = exact.freeze_bias(bias, frozen.exponent, X)
    trained = exact.quantize_bias(jnp.asarray(bias), exponent, X)
    np.testing.assert_array_equal(exact.real_bias(integers, frozen.exponent, X), np.asarray(trained))
    del x


def test_batches_tiles_vmap_and_compilation_change_no_bit():
    kernel, bias, x = layer(2)
    frozen = exact.freeze_kernel(kernel, np.abs(bias), X)
    weights = (
        jnp.asarray(frozen.real()),
        jnp.asarray(exact.real_bias(exact.freeze_bias(bias, frozen.exponent, X), frozen.exponent, X)),
    )
    rows = jnp.asarray(x * 2.0**-X.frac, jnp.float32)
    whole = np.asarray(run(rows, *weights))
    compiled = jax.jit(run)
    np.testing.assert_array_equal(compiled(rows, *weights), whole)
    for size in (1, 7, 32):
        parts = [np.asarray(compiled(rows[i : i + size], *weights)) for i in range(0, len(rows), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(jax.vmap(run, in_axes=(0, None, None))(rows, *weights), whole)
    halves = exact.dot(rows[:, :144], weights[0][:144]) + exact.dot(rows[:, 144:], weights[0][144:])
    np.testing.assert_array_equal(exact.requantize(halves + weights[1], OUT), whole)


def test_bfloat16_operands_change_no_bit():
    kernel, _, x = layer(3)
    frozen = exact.freeze_kernel(kernel, np.zeros(48), X)
    rows, weights = jnp.asarray(x * 2.0**-X.frac, jnp.float32), jnp.asarray(frozen.real())
    np.testing.assert_array_equal(
        exact.dot(rows, weights), exact.dot(rows.astype(jnp.bfloat16), weights.astype(jnp.bfloat16))
    )


def test_the_worst_case_input_stays_exact():
    # Equal weights reach the largest sum; the exponent must have been lowered for it.
    kernel = np.full((4096, 2), 0.5, np.float32)
    frozen = exact.freeze_kernel(kernel, np.zeros(2), X)
    assert exact.prove("equal", frozen, np.zeros(2), X) < 1
    accumulator = exact.dot(jnp.full((1, 4096), X.high * 2.0**-X.frac), jnp.asarray(frozen.real()))
    expected = X.high * frozen.weight.astype(np.int64).sum(axis=0) * 2.0 ** -(frozen.exponent + X.frac)
    np.testing.assert_array_equal(np.asarray(accumulator)[0], expected)


def test_a_layer_that_could_overflow_is_refused():
    kernel = exact.FrozenKernel(np.full((4096, 1), 127, np.int8), np.zeros(1, np.int8))
    with pytest.raises(ExactnessError, match=r"layer wide: .* of 2\*\*24"):
        exact.prove("wide", kernel, np.zeros(1), X)


def test_gradients_pass_through_rounding_and_back_from_the_clip():
    def loss(w: jax.Array, b: jax.Array) -> jax.Array:
        e = exact.kernel_exponent(w, jnp.abs(b), X)
        return jnp.sum(run(jnp.ones((1, 8)) * 0.5, exact.quantize_kernel(w, e), exact.quantize_bias(b, e, X)))

    w, b = jnp.full((8, 3), 0.1), jnp.asarray([0.0, 0.2, -9.0])
    dw, db = jax.grad(loss, argnums=(0, 1))(w, b)
    np.testing.assert_allclose(dw[:, :2], 0.5)
    np.testing.assert_allclose(db, [1.0, 1.0, 0.0])  # the third is clipped at 0 and rising would not help the descent
    assert np.all(np.asarray(jax.grad(lambda w: -loss(w, b))(w))[:, 2] == -0.5)  # now rising helps


def test_powers_of_two_are_exact():
    exponents = np.arange(-40, 41)
    np.testing.assert_array_equal(exact.power_of_two(jnp.asarray(exponents)), np.ldexp(np.float32(1), exponents))
