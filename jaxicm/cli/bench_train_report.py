"""What `jaxicm bench train` prints."""

from typing import Any

from jaxicm.cli.terminal import print_table


def print_report(found: dict[str, Any]) -> None:
    """Print everything that was measured.

    Args:
        found: what `cli.bench_train.measure` returned.
    """
    _print_circumstances(found)
    _print_step(found)
    _print_utilisation(found)
    _print_memory(found["step"])
    if found["scaling"] is not None:
        _print_scaling(found["scaling"], found["machine"]["cpus"])
    elif found["machine"]["processes"] == 1:
        print("scaling: one number of devices only, nothing to compare")
    for note in found["notes"]:
        print(f"note: {note}")


def _print_circumstances(found: dict[str, Any]) -> None:
    machine, config, step = found["machine"], found["config"], found["step"]
    processes = f" in {machine['processes']} processes" if machine["processes"] > 1 else ""
    print(
        f"{machine['cpus']} CPUs ({machine['processor']}, {machine['machine']}), load {machine['load']}, "
        f"{step['devices']} x {step['device_kind']}{processes}"
    )
    print(", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    extras = [f"{key}={config[key]}" for key in ("accumulate", "parameter_shards") if config[key] != 1]
    extras += [key for key in ("remat", "resident") if config[key]]
    print(
        f"configuration {config['name']}: {step['parameters']:,} parameters, {config['optimizer']['name']}, "
        f"{step['batch']} crops of {step['crop']}x{step['crop']} in a step, "
        f"{', '.join([step['precision'], *extras])}"
    )
    if found["random"]:
        print("crops: random numbers, the speed is the same; for your pictures name a folder with --data")
    other = found["other_work"]
    if other["disturbed"]:
        busy = "the load was high" if other["cpus_busy"] is None else f"others kept {other['cpus_busy']:.1f} busy"
        print(f"note: of {other['cpus']} CPUs {busy} meanwhile: these times are too long")


def _print_step(found: dict[str, Any]) -> None:
    step, split, figures = found["step"], found["step"]["split"], found["figures"]
    names = (
        ("forward pass", split["forward_s"]),
        ("backward pass", split["backward_s"]),
        ("optimiser and average", split["optimizer_s"]),
        ("step, crops on the device", step["step_s"]),
        ("host: make a batch, one thread", split["batch_s"]),
        ("host: transfer it", split["transfer_s"]),
        ("step as a run does it, host included", split["fed_s"]),
    )
    rows = [(name, f"{1000 * time_s:.2f}", f"{100 * time_s / step['step_s']:.1f}") for name, time_s in names]
    print_table("Training step", ("medians", "ms", "% of step"), rows)
    low, high = (1000 * pick(step["group_s"]) for pick in (min, max))
    print(
        f"{figures['pictures_per_s']:.2f} pictures/s, {figures['fed_pictures_per_s']:.2f} with the host's work; "
        f"{len(step['group_s'])} groups of {step['steps']} step{'s' * (step['steps'] > 1)}, "
        f"{low:.2f} to {high:.2f} ms a step"
    )
    print("backward pass and optimiser are differences of whole programs: what each adds to the step")
    if min(split["backward_s"], split["optimizer_s"]) < 0:
        print("note: a part below zero is noise; let nothing else run, and leave out --quick")
    program = step["program"]
    cache = ", from the cache on the disk" if program["from_disk"] else ""
    often = {1: "once"}.get(program["compilations"], f"{program['compilations']} times (expected once: please report)")
    print(f"the step was compiled {often}, in {program['compile_s']:.1f} s{cache}")


def _print_utilisation(found: dict[str, Any]) -> None:
    step, figures = found["step"], found["figures"]
    a_crop, in_all = figures["model_flop"] / step["batch"], figures["model_flop_per_s"]
    print(
        f"\nmodel FLOP: {a_crop / 1e9:.3f} G a crop, {in_all / 1e9:.1f} G/s; two a multiply-add of the forward pass, "
        "times 3 for both passes"
    )
    if step["program"]["xla_flop"] is not None and found["config"]["accumulate"] == 1:  # it counts a loop once
        counted = step["program"]["xla_flop"] * step["devices"] / figures["model_flop"]
        print(f"  XLA counts {100 * counted:.0f} % of that, with element-wise work, optimiser and recomputation")
    print(
        f"model FLOP utilisation: {100 * figures['utilisation']:.1f} % of {figures['measured_flop_per_s'] / 1e9:.1f} "
        f"GFLOP/s, the best {step['precision']} matrix product measured here"
    )
    if figures["datasheet_flop_per_s"] is not None:
        print(
            f"model FLOP utilisation: {100 * figures['datasheet_utilisation']:.1f} % of "
            f"{figures['datasheet_flop_per_s'] / 1e12:.0f} TFLOP/s, dense bfloat16 on the data sheet"
        )


def _print_memory(step: dict[str, Any]) -> None:
    program = step["program"]
    if program["temporary_bytes"] is not None:
        print(
            f"memory of the step on a device: state and crops {program['argument_bytes'] / 2**20:.1f} MiB, "
            f"temporary {program['temporary_bytes'] / 2**20:.1f} MiB (the plan of XLA)"
        )
    if step["peak_bytes"] is not None:
        limit = f" of {step['limit_bytes'] / 2**30:.1f}" if step["limit_bytes"] else ""
        print(f"device memory in this process: peak {step['peak_bytes'] / 2**30:.2f}{limit} GiB")


def _print_scaling(scaling: dict[str, Any], cpus: int) -> None:
    titles = {
        "strong": "Strong scaling: the same batch on more devices",
        "weak": "Weak scaling: as many crops on each device",
    }
    for series, title in titles.items():
        rows = [_scaling_cells(row) for row in scaling["rows"] if row["series"] == series]
        headings = (
            "devices",
            "batch",
            "a device",
            "ms",
            "pictures/s",
            "efficiency %",
            "temporary MiB",
            "compile s",
            "",
        )
        print_table(title, headings, rows)
    if scaling["fake"]:
        print(f"efficiency: pictures/s over those of the first row; the fake devices share the same {cpus} CPUs, so a")
        print("constant total is ideal. These figures test the divided program, not the speed of real devices.")
    else:
        print("efficiency: pictures/s over those of the first row times its share of the devices")


def _scaling_cells(row: dict[str, Any]) -> tuple[str, ...]:
    step, begin = row["step"], (str(row["devices"]), str(row["batch"]))
    if step is None:
        return (*begin, "", "", "", "", "", "", row["note"])
    temporary, efficiency = step["program"]["temporary_bytes"], row["efficiency"]
    return (
        *begin,
        str(row["batch"] // row["devices"]),
        f"{1000 * step['step_s']:.2f}",
        f"{row['batch'] / step['step_s']:.2f}",
        "" if efficiency is None else f"{100 * efficiency:.0f}",
        "" if temporary is None else f"{temporary / 2**20:.1f}",
        f"{step['program']['compile_s']:.1f}",
        "(from the cache)" if step["program"]["from_disk"] else "",
    )
