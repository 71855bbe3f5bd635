"""What `jaxicm bench train` finds out about a training step, as plain data (see `configuration.to_dict`)."""

from dataclasses import dataclass

FLOP_PER_MAC = 2
PASSES = 3
"""Work of a step in forward passes: the backward pass computes gradients of inputs and of weights, as much each."""


@dataclass(frozen=True)
class Program:
    """The compiled step.

    Attributes:
        compile_s: seconds of lowering and compiling.
        from_disk: whether the compilation cache held it.
        compilations: of the step, up to the end of the measurement: 1 unless something makes it compile again.
        argument_bytes, output_bytes, temporary_bytes: on one device by XLA's plan; None where it does not say. The
            state is donated: its outputs lie where its arguments were.
        xla_flop: operations of a step on one device by XLA's own count, element-wise work included; None likewise. It
            counts loops once, those over the parts of `accumulate` too.
    """

    compile_s: float
    from_disk: bool
    compilations: int
    argument_bytes: int | None
    output_bytes: int | None
    temporary_bytes: int | None
    xla_flop: float | None


@dataclass(frozen=True)
class Split:
    """Where the time goes, in seconds.

    Attributes:
        forward_s, backward_s, optimizer_s: add up to the step; the last is the optimiser with the running average.
            Small ones may come out below zero by noise.
        batch_s: one thread of the host makes a batch of crops; 0 where the pictures are resident.
        transfer_s: the batch is brought to the devices; 0 likewise.
        fed_s: a step of a run, whose batches are made by as many threads or processes as it is configured for and
            brought to the devices. What it takes more than the step is the host's work that is not hidden behind that
            of the devices.
    """

    forward_s: float
    backward_s: float
    optimizer_s: float
    batch_s: float
    transfer_s: float
    fed_s: float


@dataclass(frozen=True)
class StepBenchmark:
    """What was measured of a step.

    Attributes:
        batch: crops in a step, over all devices.
        crop: their side in pixels.
        precision: of the convolutions.
        devices: in the mesh.
        platform, device_kind: of the first of them.
        parameters: of the model.
        forward_macs: multiply-adds of the forward pass of one crop.
        step_s: median seconds of a step whose crops lie on the devices.
        group_s: seconds of a step in each group.
        steps: in a group.
        program: the compiled step.
        split: where the time goes; None if it was not asked for.
        peak_bytes, limit_bytes: device memory used at most in this process, up to the end of the first steps, of its
            fullest device, and there is; None where the device does not say.
    """

    batch: int
    crop: int
    precision: str
    devices: int
    platform: str
    device_kind: str
    parameters: int
    forward_macs: int
    step_s: float
    group_s: tuple[float, ...]
    steps: int
    program: Program
    split: Split | None
    peak_bytes: int | None
    limit_bytes: int | None

    @property
    def pictures_per_s(self) -> float:
        """Crops that all devices train on in a second."""
        return self.batch / self.step_s

    @property
    def model_flop(self) -> int:
        """Operations that a step needs by the usual convention: 2 a multiply-add, 3 forward passes."""
        return FLOP_PER_MAC * PASSES * self.forward_macs * self.batch

    @property
    def model_flop_per_s(self) -> float:
        """Those of all devices in a second."""
        return self.model_flop / self.step_s
