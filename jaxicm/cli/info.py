"""`jaxicm info`: what a compressed file says about itself, without running a network."""

from typing import Annotated

import typer


def info(
    file: Annotated[str, typer.Argument(help="A compressed file; - is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the header and sections of a file."""
    from jaxicm.bits.container import describe
    from jaxicm.cli.jobs import naming
    from jaxicm.cli.terminal import print_json
    from jaxicm.media.files import read_bytes, source_name

    data = read_bytes(file)
    with naming(source_name(file)):
        description = describe(data)
        if found := conventional(data):
            description["contents"] = found
    if as_json:
        print_json(description)
        return
    for line in outline(description):
        print(line)


def conventional(data: bytes) -> dict[str, str | int]:
    """Say what the header and sections of a file of a conventional codec mean; of others nothing.

    Args:
        data: the file.

    Returns:
        QP and filter, of a picture also codec and blocks; empty for a file of a learned codec.

    Raises:
        FileFormatError: they mean nothing.
    """
    from jaxicm.bits.container import unpack

    header, _ = unpack(data)
    if header.codec == "filtered_picture":
        from jaxicm.codecs import filtered_picture

        return filtered_picture.describe(data)
    if header.codec == "filtered":
        return {"qp": header.quality_q4 // 16 - 1, "filter": header.weights.hex() if any(header.weights) else "none"}
    return {}


def outline(value: object, name: str = "", depth: int = 0) -> list[str]:
    """Lay out a JSON value as indented lines "name  value".

    Args:
        value: dictionaries, lists and scalars.
        name: the name of this value.
        depth: the level of indentation.

    Returns:
        The lines.
    """
    indent = "  " * depth
    if isinstance(value, dict):
        if value.keys() >= {"name", "value"}:  # one field of the header
            shown = value["value"]
            if isinstance(shown, dict):
                shown = ", ".join(f"{key} {item}" for key, item in shown.items())
            raw = f"  [{value['bytes']}]" if "bytes" in value else ""
            return [f"{indent}{value['name']!s:<{24 - len(indent)}}{shown}{raw}"]
        head = [f"{indent}{name}"] if name else []
        return head + [line for key, item in value.items() for line in outline(item, str(key), depth + bool(name))]
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        lines = [f"{indent}{name}"]
        for index, item in enumerate(value):
            is_field = isinstance(item, dict) and item.keys() >= {"name", "value"}
            lines += outline(item, "" if is_field else str(index), depth + 1)
        return lines
    return [f"{indent}{name:<{24 - len(indent)}}{value}"]
