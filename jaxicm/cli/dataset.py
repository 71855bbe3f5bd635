"""`jaxicm dataset`: make a TFDS data set of a folder of pictures, and look into one."""

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jaxicm.train.dataset_info import DatasetInfo

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Make a TFDS data set of pictures, or look into it."
)


@app.command("build")
def build(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders of pictures.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the data set.")],
    name: Annotated[str, typer.Option("--name", help="Of the data set; by default that of its folder.")] = "",
    validation_percent: Annotated[
        float, typer.Option("--validation-percent", help="Share of the pictures that is held out.")
    ] = 0.0,
    validation_pattern: Annotated[
        str, typer.Option("--validation-pattern", help="Files that are held out, for instance '*%12'.")
    ] = "",
    shard_size: Annotated[int, typer.Option("--shard-size", help="Pictures in a file.")] = 1000,
    longest_side: Annotated[
        int, typer.Option("--longest-side", help="Reduce larger pictures to it, in pixels; stored as PNG.")
    ] = 0,
    min_side: Annotated[int, typer.Option("--min-side", help="Leave out pictures with a smaller side, in pixels.")] = 0,
    min_jpeg_quality: Annotated[
        int, typer.Option("--min-jpeg-quality", help="Leave out JPEG files of a lower quality, 0 to 100.")
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that is there.")] = False,
) -> None:
    """Make a TFDS data set of all pictures in some folders.

    PNG, JPEG and WebP files are stored as they are; turned, transparent, grey and 16-bit pictures and other formats
    become 8-bit RGB PNG. Broken pictures are named and left out. TensorFlow is needed neither here nor for training.
    """
    import time

    from jaxicm.cli.terminal import Terminal
    from jaxicm.train.dataset_build import BuildOptions, build_dataset
    from jaxicm.train.dataset_info import dataset_info

    options = BuildOptions(
        name, validation_percent, validation_pattern, shard_size, longest_side, min_side, min_jpeg_quality
    )
    begun = time.monotonic()
    with Terminal() as terminal:
        summary = build_dataset(
            folders,
            out,
            options,
            overwrite=overwrite,
            warn=terminal.note,
            track=lambda items, total: terminal.track(items, "Storing", total),
        )
    print_dataset(dataset_info(str(out)))
    skipped = "".join(f", skipped {count} {kind}" for kind, count in summary.skipped.items())
    print(
        f"{summary.kept} files stored as they are, {summary.recoded} as PNG{skipped}; {summary.size_bytes:,} bytes in"
        f" {time.monotonic() - begun:.1f} s"
    )
    if (validation_percent or validation_pattern) and "validation" not in summary.pictures:
        print("nothing is held out: no file fits; give another --validation-pattern or a larger --validation-percent")
    print(f"\nTrain on it:\n  jaxicm train configs/image_fast.py --data {quoted(out)}")


@app.command("coded")
def coded(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders of pictures or clips.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for train.npy and validation.npy.")],
    held_out: Annotated[
        str, typer.Option("--validation-pattern", help="Files that are held out, for instance '*%12'.")
    ] = "",
    codec: Annotated[str, typer.Option("--codec", help="vvc, hevc or av1, from ffmpeg.")] = "vvc",
    preset: Annotated[str, typer.Option("--preset", help="Of the encoder.")] = "medium",
    qps: Annotated[str, typer.Option("--qps", help="QPs, all of them for each picture.")] = "22,27,32,37,42,47",
    side: Annotated[int, typer.Option("--side", help="Of the crops, in pixels.")] = 256,
    crops: Annotated[int, typer.Option("--crops", help="Of a picture or clip at each QP.")] = 1,
    frames: Annotated[int, typer.Option("--frames", help="Of a clip that are coded.")] = 33,
    period: Annotated[int, typer.Option("--period", help="Frames of a clip from one intra picture to the next.")] = 32,
    region: Annotated[int, typer.Option("--region", help="Longest side of what is coded; 0 for all.")] = 640,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder that keeps streams for the next time.")] = None,
) -> None:
    """Code pictures or clips, and keep crops before and after it: training material for filters behind a codec.

    Each crop holds decoded and original planes (4:2:0, 8 bit) and the QP. `jaxicm train configs/filter_vvc.py` learns
    from them.
    """
    import numpy as np

    from jaxicm.cli.terminal import Terminal
    from jaxicm.cli.values import parse_numbers
    from jaxicm.media.clips import SUFFIXES
    from jaxicm.media.ffmpeg import FfmpegCodec
    from jaxicm.media.files import PICTURE_SUFFIXES, atomic_write
    from jaxicm.media.stream_cache import CachedCodec
    from jaxicm.media.video_codec import Structure
    from jaxicm.train.coded_material import MaterialOptions, build_material
    from jaxicm.train.data import matches, select_files

    values = tuple(int(qp) for qp in parse_numbers(qps, "--qps"))
    options = MaterialOptions(values, side, crops, region, frames, Structure(period))
    coder = FfmpegCodec(codec, preset)  # type: ignore[arg-type]  # it names the ones there are
    files = select_files(list(map(str, folders)), ("*",), suffixes={*PICTURE_SUFFIXES, *SUFFIXES})
    held = [path for path in files if held_out and matches(path.absolute(), held_out)]
    parts = {"train": [path for path in files if path not in set(held)], "validation": held}
    out.mkdir(parents=True, exist_ok=True)
    with Terminal() as terminal:
        for name, chosen in parts.items():
            if not chosen:
                continue
            made = build_material(
                chosen,
                coder if cache is None else CachedCodec(coder, cache),
                options,
                terminal.note,
                lambda items: terminal.track(items, "Coding", len(items)),
            )
            buffer = io.BytesIO()
            np.save(buffer, made)
            atomic_write(out / f"{name}.npy", buffer.getvalue())
            print(f"{out / name}.npy: {len(made)} crops of {len(chosen)} files")


@app.command("info")
def info(
    dataset: Annotated[str, typer.Argument(help="Folder of a data set, or tfds:NAME[/CONFIG][@DATA_DIR].")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what a data set holds: its splits and the sizes of its pictures."""
    from jaxicm.cli.terminal import print_json
    from jaxicm.train.dataset_info import dataset_info

    found = dataset_info(dataset)
    if as_json:
        print_json(dataclasses.asdict(found) | {"directory": str(found.directory)})
        return
    print_dataset(found)


def print_dataset(found: "DatasetInfo") -> None:
    """Print the splits of a data set as a table."""
    from jaxicm.cli.terminal import print_table

    print_table(
        f"{found.directory}: {found.name} {found.version}, {found.file_format}",
        ("split", "pictures", "bytes", "files", "smallest", "largest"),
        [
            (
                split.name,
                f"{split.pictures:,}",
                f"{split.size_bytes:,}",
                split.shards,
                *("x".join(map(str, size)) for size in split.sides or ()),
            )
            for split in found.splits
        ],
    )


def quoted(path: Path) -> str:
    """Write a path as a shell needs it."""
    import shlex

    return shlex.quote(str(path))
