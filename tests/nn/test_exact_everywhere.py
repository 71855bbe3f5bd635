"""The same bits under other instruction sets, thread counts, back ends and shardings; each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

PROBE = Path(__file__).with_name("exactness_probe.py")
FAKE_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
WAYS = {
    "compiled": ("jit", {}),
    "operation by operation": ("eager", {}),
    "Eigen instead of YNNPACK": ("no-ynn", {}),
    "bfloat16 operands": ("bf16", {}),
    "AVX2": ("jit", {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}),
    "SSE4.2": ("jit", {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"}),
    "one thread": ("jit", {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}),
    "8 devices, rows": ("sharded-batch", FAKE_DEVICES),
    "8 devices, inputs": ("sharded-inputs", FAKE_DEVICES),
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict]:
    return {name: probe(variant, changes) for name, (variant, changes) in WAYS.items()}


def probe(variant: str, changes: dict[str, str], platform: str = "cpu") -> dict:
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": platform} | changes
    command = [sys.executable, PROBE, variant]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_an_exact_network_gives_the_same_bits_in_every_way(outcomes):
    assert {name: o["exact"] for name, o in outcomes.items()} == dict.fromkeys(WAYS, outcomes["compiled"]["exact"])
    assert outcomes["8 devices, rows"]["devices"] == 8


def test_a_float_network_does_not(outcomes):
    assert len({o["float"] for o in outcomes.values()}) > 1
    assert len({o["float_indices"] for o in outcomes.values()}) > 1, "not even the rounded table indices agree"


@pytest.mark.skipif(jax.default_backend() != "gpu", reason="needs a GPU beside the CPU")
@pytest.mark.parametrize("variant", ["jit", "bf16"])
def test_a_gpu_gives_the_bits_of_the_cpu(outcomes, variant):
    assert probe(variant, {}, platform="cuda")["exact"] == outcomes["compiled"]["exact"]
