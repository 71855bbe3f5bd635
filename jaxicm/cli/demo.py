"""`jaxicm demo`: compress a sample picture, decode it in a second process, and compare with conventional codecs."""

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

# pictures that come with packages, the first one found is taken
_SAMPLES = (("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"), ("skimage", "data/astronaut.png"))


def demo(
    picture: Annotated[Path | None, typer.Argument(help="A picture; by default one that a package carries.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("demo"),
    quality: Annotated[float, typer.Option("--quality", "-q", help="1 to 100.")] = 50.0,
    model: Annotated[str, typer.Option("--model", help="Name from `jaxicm models`, or a weight file.")] = "fast",
    against: Annotated[
        str, typer.Option("--against", help="Codecs to compare with, for instance avif,jpeg,jpegxl,hevc,vvc.")
    ] = "avif,webp,jpeg",
) -> None:
    """Compress a sample picture and compare.

    The file is decoded in a second process; the conventional codecs get at least as many bytes. Writes picture.jicm,
    decoded.png and sheet.png (the original and the codecs side by side, enlarged).
    """
    from jaxicm.cli.jobs import make_folder
    from jaxicm.cli.model_kind import refuse_lossless
    from jaxicm.cli.terminal import Terminal, print_table
    from jaxicm.cli.values import choose_target
    from jaxicm.errors import MissingDependency
    from jaxicm.evaluate.anchors import find
    from jaxicm.evaluate.fresh import FreshDecoder
    from jaxicm.evaluate.sheet import anchor_at_size, draw_sheet, rendering
    from jaxicm.media.files import atomic_write
    from jaxicm.media.pictures import read_picture, write_picture

    choose_target(quality, None, None, None)
    refuse_lossless(model, "jaxicm demo")
    names = [find(name.strip()).name for name in against.split(",")]
    source = picture if picture is not None else sample_picture()
    original = read_picture(source)
    terminal = Terminal()
    for note in original.notes:
        terminal.note(f"{source}: {note}")
    make_folder(out)

    import jaxicm

    data = jaxicm.load(model).encode(original.pixels, quality=quality)
    atomic_write(out / "picture.jicm", data)
    print(f"{source} -> {out / 'picture.jicm'}: {len(data):,} bytes; decoding it in a second process")
    decoded = FreshDecoder.for_model(model).decode([data])[0]
    write_picture(out / "decoded.png", decoded)

    found = [rendering(f"jaxicm {Path(model).stem} (quality {quality:g})", original.pixels, data, decoded)]
    for name in names:
        try:
            found.append(anchor_at_size(original.pixels, len(data), name))
        except MissingDependency as missing:
            terminal.note(str(missing))
    print_table(
        f"{original.pixels.shape[1]}x{original.pixels.shape[0]} pixels; the others: the nearest size not below ours",
        ("codec", "bytes", "bpp", "PSNR dB", "MS-SSIM"),
        [
            (item.name, f"{item.size_bytes:,}", f"{item.bpp:.4f}", f"{item.psnr:.2f}", f"{item.ms_ssim:.5f}")
            for item in found
        ],
    )
    write_picture(out / "sheet.png", draw_sheet(original.pixels, found))
    print(f"wrote {out / 'decoded.png'} and {out / 'sheet.png'}")


def sample_picture() -> Path:
    """Find a photograph that an installed package carries, without importing the package.

    Returns:
        Its path.

    Raises:
        InputError: neither matplotlib nor scikit-image is installed.
    """
    from jaxicm.errors import InputError

    for package, inside in _SAMPLES:
        found = importlib.util.find_spec(package)
        for folder in (found and found.submodule_search_locations) or ():
            if (Path(folder) / inside).is_file():
                return Path(folder) / inside
    raise InputError("no sample picture found: `pip install matplotlib`, or name a picture, `jaxicm demo photo.png`")
