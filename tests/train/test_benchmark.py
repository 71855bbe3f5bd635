"""The benchmark of training measures what it says; how fast anything is, is not tested."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxicm.configuration import from_dict, to_dict
from jaxicm.errors import ConfigError, TrainingError
from jaxicm.train import bench_devices, benchmark, step
from jaxicm.train.bench_devices import Scaling, fake_environment, measure_scaling
from jaxicm.train.bench_figures import Program, StepBenchmark
from jaxicm.train.bench_program import compilations_of
from jaxicm.train.bench_supply import random_corpus
from jaxicm.train.benchmark import Rounds, forward_macs, measure_step
from jaxicm.train.config import TrainConfig
from jaxicm.train.corpus import prepare_data
from jaxicm.train.datasheet import datasheet_flop_per_s
from jaxicm.train.mesh import make_mesh
from jaxicm.train.objective_config import ObjectiveConfig
from jaxicm.train.start import random_parameters

SHORT = Rounds(groups=3, steps=2)
PROGRAM = Program(1.0, False, 1, 10, 10, None, 5e9)


@pytest.fixture(scope="module", autouse=True)
def quick_passes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "training_options", step.training_options)
        yield


@pytest.fixture(scope="module")
def measured(config: TrainConfig) -> StepBenchmark:
    """Measure the tiny codec."""
    return measure_step(prepare_data(config, print), SHORT)


def figures(devices: int, batch: int, step_s: float) -> StepBenchmark:
    return StepBenchmark(
        batch=batch,
        crop=64,
        precision="float32",
        devices=devices,
        platform="gpu",
        device_kind="some device",
        parameters=10,
        forward_macs=1000,
        step_s=step_s,
        group_s=(step_s,),
        steps=1,
        program=PROGRAM,
        split=None,
        peak_bytes=None,
        limit_bytes=None,
    )


def test_figures_of_a_step_fit_together(measured: StepBenchmark, config: TrainConfig):
    assert (measured.batch, measured.crop, measured.devices) == (config.batch, config.crop, 1)
    assert measured.pictures_per_s * measured.step_s == pytest.approx(config.batch)
    assert measured.model_flop == 2 * 3 * measured.forward_macs * config.batch
    assert measured.model_flop_per_s == pytest.approx(measured.model_flop / measured.step_s)
    assert len(measured.group_s) == 3 and measured.steps == 2
    assert measured.step_s == pytest.approx(np.median(measured.group_s))
    assert 0 < measured.step_s < 60
    parameters = jax.eval_shape(lambda: random_parameters(config))
    assert measured.parameters == sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(parameters))


def test_the_step_is_compiled_once(measured: StepBenchmark):
    assert measured.program.compilations == 1
    assert measured.program.compile_s > 0


def test_parts_add_up_to_the_step(measured: StepBenchmark):
    split = measured.split
    assert split is not None
    assert split.forward_s + split.backward_s + split.optimizer_s == pytest.approx(measured.step_s)
    assert 0 < split.forward_s < measured.step_s
    assert split.batch_s > 0 and split.transfer_s > 0 and split.fed_s > 0


def test_the_plan_holds_the_state(measured: StepBenchmark):
    """The state is the parameters, their average and two moments, all float32."""
    state_bytes = 4 * 4 * measured.parameters
    assert measured.program.argument_bytes is not None and measured.program.temporary_bytes is not None
    assert state_bytes < measured.program.argument_bytes < 1.2 * state_bytes + 8 * 64 * 64 * 3
    assert measured.program.temporary_bytes > 0


def test_the_model_needs_about_what_xla_counts(measured: StepBenchmark):
    """XLA counts the optimiser and element-wise work too, and leaves out gradients that nobody needs."""
    assert measured.program.xla_flop == pytest.approx(measured.model_flop, rel=0.5)


def test_the_forward_pass_leaves_the_gradient_out(config: TrainConfig):
    mesh, state = make_mesh(config), step.start_state(config, random_parameters(config))
    data = jax.ShapeDtypeStruct((config.batch, 64, 64, 3), jnp.uint8)
    forward, gradient = (
        one.lower(state, data).compile().cost_analysis()["flops"] for one in benchmark._passes(config, mesh, state)
    )
    assert 2 < gradient / forward < 4


def test_multiply_adds_grow_with_the_area_of_a_crop(config: TrainConfig):
    assert forward_macs(dataclasses.replace(config, crop=128)) == pytest.approx(4 * forward_macs(config), rel=0.01)


def test_phases_that_are_sampled_count_as_often_as_they_run(config: TrainConfig):
    """One of the three phases of the finest grid runs, and each costs what its layers cost by hand."""
    sampled = dataclasses.replace(config, objective=ObjectiveConfig(phases="sampled"))
    channels = hidden = 16
    positions = (64 // 16 // 2) ** 2
    context = (4 + 12) * channels * hidden  # four signed taps, twelve of magnitude
    layers = context + hidden * hidden + hidden * hidden + hidden * 2 * channels
    assert forward_macs(config) - forward_macs(sampled) == 2 * positions * layers


def test_the_figures_survive_json(measured: StepBenchmark):
    again = from_dict(StepBenchmark, json.loads(json.dumps(to_dict(measured))))
    assert again == measured
    without = dataclasses.replace(measured, split=None, peak_bytes=5, limit_bytes=7)
    assert from_dict(StepBenchmark, json.loads(json.dumps(to_dict(without)))) == without


def test_a_group_takes_about_the_time_that_is_given():
    assert Rounds(5, 2.0).steps_for(0.1) == 20
    assert Rounds(5, 2.0).steps_for(30.0) == 1
    assert Rounds(5, 2.0).steps_for(1e-9) == 100
    assert Rounds(5, 2.0, steps=7).steps_for(30.0) == 7


def test_resident_pictures_cost_the_host_nothing(config: TrainConfig, monkeypatch: pytest.MonkeyPatch):
    """The compiled functions are replaced: what is tested is what is fed to them, and that their ends are awaited."""
    given, launched = [], []

    class Result:
        """Of a function that was launched; JAX waits for whatever has this method."""

        awaited = False

        def block_until_ready(self) -> "Result":
            self.awaited = True
            return self

    def launch(state: step.TrainState, data: tuple) -> Result:
        del state
        given.append(data)
        launched.append(Result())
        return launched[-1]

    def compile_nothing(*unused: object) -> Callable:
        return jax.jit(lambda state, data: (state, {"loss": jnp.zeros(())}))

    monkeypatch.setattr(benchmark, "compile_step", compile_nothing)
    monkeypatch.setattr(benchmark, "_passes", lambda *_: (launch, launch))
    found = measure_step(random_corpus(dataclasses.replace(config, resident=True)), SHORT)
    assert found.split is not None
    assert (found.split.batch_s, found.split.transfer_s) == (0.0, 0.0)
    pictures, sizes = given[0]
    assert (pictures.shape, pictures.dtype) == ((8, 128, 128, 3), jnp.uint8)
    assert sizes.tolist() == [[128, 128]] * 8
    assert all(data is given[0] for data in given)
    assert len(launched) == 2 * (1 + SHORT.groups * SHORT.steps)
    assert all(result.awaited for result in launched)


def test_a_second_compilation_is_noticed():
    @jax.jit
    def twice(x: jax.Array) -> jax.Array:
        return 2 * x

    one, two = jnp.ones(1), jnp.ones(2)
    with compilations_of("twice") as heard:
        twice(one)
        assert heard.compilations == 1
        twice(one)
        assert heard.compilations == 1
        twice(two)
    assert heard.compilations == 2
    twice(jnp.ones(3))
    assert heard.compilations == 2, "the block has ended"


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Let every device take the same time for a crop, without measuring; returns (devices, batch) of what was asked."""
    asked: list[tuple[int, int]] = []

    def measure(configs: list[TrainConfig], rounds: Rounds) -> list[tuple[StepBenchmark | None, str]]:
        del rounds
        asked.extend((config.devices, config.batch) for config in configs)
        return [
            (figures(c.devices, c.batch, 0.1 * c.batch / c.devices), "")
            if c.batch % c.devices == 0
            else (None, f"batch: {c.batch} does not divide by {c.devices} devices")
            for c in configs
        ]

    monkeypatch.setattr(bench_devices, "_in_new_process", measure)
    return asked


def test_both_series_end_in_the_same_program(config: TrainConfig, in_process: list[tuple[int, int]]):
    found = measure_scaling(config, [1, 2, 4], SHORT)
    assert found.fake
    assert [(row.series, row.devices, row.batch) for row in found.rows] == [
        ("strong", 1, 8), ("strong", 2, 8), ("strong", 4, 8), ("weak", 1, 2), ("weak", 2, 4), ("weak", 4, 8),
    ]  # fmt: skip
    assert sorted(in_process) == [(1, 2), (1, 8), (2, 4), (2, 8), (4, 8)]
    assert found.rows[2].step == found.rows[5].step


def test_efficiency_is_that_of_real_or_of_shared_processors(config: TrainConfig, in_process: list[tuple[int, int]]):
    del in_process
    rows = measure_scaling(config, [1, 2, 4], SHORT).rows
    real, fake = Scaling(False, rows), Scaling(True, rows)
    assert [real.efficiency(row) for row in rows] == pytest.approx([1.0] * 6)
    # Devices that really shared one processor would not be 2 and 4 times as fast.
    assert [fake.efficiency(row) for row in rows] == pytest.approx([1.0, 2.0, 4.0, 1.0, 2.0, 4.0])


def test_a_batch_that_does_not_divide_leaves_its_row_empty(config: TrainConfig, in_process: list[tuple[int, int]]):
    del in_process
    found = measure_scaling(dataclasses.replace(config, batch=6), [1, 4], SHORT)
    row = next(row for row in found.rows if row.series == "strong" and row.devices == 4)
    assert row.step is None
    assert row.note == "batch: 6 does not divide by 4 devices"
    assert found.efficiency(row) is None


def test_real_devices_that_are_missing_leave_their_row_empty(config: TrainConfig, monkeypatch: pytest.MonkeyPatch):
    """The attempt in this process finds one device; with memory for eight crops, so it is said."""

    def measure(corpus: object, rounds: Rounds, *, split: bool) -> StepBenchmark:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate")

    assert bench_devices._attempt(dataclasses.replace(config, devices=64), SHORT)[1].startswith("devices: found")
    monkeypatch.setattr(bench_devices, "measure_step", measure)
    assert bench_devices._attempt(config, SHORT) == (None, "the devices have not enough memory")


def test_fake_devices_replace_those_that_were_asked_for_before(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_one=1 --xla_force_host_platform_device_count=16 --xla_two=2")
    found = fake_environment(4)
    assert found["XLA_FLAGS"].split() == ["--xla_one=1", "--xla_two=2", "--xla_force_host_platform_device_count=4"]
    assert found["JAX_PLATFORMS"] == "cpu"
    monkeypatch.delenv("XLA_FLAGS")
    assert fake_environment(2)["XLA_FLAGS"] == "--xla_force_host_platform_device_count=2"


def test_a_second_process_that_fails_says_why(config: TrainConfig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_devices, "fake_environment", lambda count: {**os.environ, "JAX_PLATFORMS": "none such"})
    with pytest.raises(TrainingError, match=r"(?s)a process with 1 fake devices failed .*none such"):
        bench_devices._in_new_process([dataclasses.replace(config, devices=1)], SHORT)


@pytest.mark.slow
def test_the_step_runs_on_fake_devices_in_processes_of_their_own(config: TrainConfig):
    found = measure_scaling(config, [1, 2], SHORT)
    assert [(row.series, row.devices, row.batch, row.note) for row in found.rows] == [
        ("strong", 1, 8, ""), ("strong", 2, 8, ""), ("weak", 1, 4, ""), ("weak", 2, 8, ""),
    ]  # fmt: skip
    for row in found.rows:
        assert row.step is not None
        assert (row.step.devices, row.step.batch, row.step.platform) == (row.devices, row.batch, "cpu")
        assert row.step.program.compilations == 1
        efficiency = found.efficiency(row)
        assert efficiency is not None and efficiency > 0


def test_too_few_devices_are_an_error(config: TrainConfig):
    with pytest.raises(ConfigError, match="expected 64"):
        measure_step(random_corpus(dataclasses.replace(config, devices=64)), SHORT)


@pytest.mark.parametrize(
    ("kind", "tflop"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5p", 459),
        ("TPU v5", 459),
        ("TPU v6 lite", 918),
    ],
)
def test_the_data_sheet_knows_the_device(kind: str, tflop: int):
    assert datasheet_flop_per_s(kind) == tflop * 1e12


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA GeForce RTX 4090", "NVIDIA H100 80GB HBM3 MIG 1g.10gb"])
def test_other_devices_have_no_data_sheet(kind: str):
    assert datasheet_flop_per_s(kind) is None
