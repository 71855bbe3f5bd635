"""`jaxicm encode --codec`: pictures by a conventional codec, with a filter chosen for each block behind it."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from jaxicm.cli.encode import kept_profile, read_input, result_line, size_text, tell
from jaxicm.cli.options import DEFAULT_FILTER
from jaxicm.errors import JaxicmError, OptionError

if TYPE_CHECKING:
    from jaxicm.cli.jobs import Job
    from jaxicm.cli.terminal import Terminal
    from jaxicm.codecs.filter_weights import PlaneFilterWeights
    from jaxicm.codecs.filtered_picture import PictureFacts

DEFAULT_QP = 32
FILTERS = {"content": "filter_content", "plain": DEFAULT_FILTER, "none": None}
"""What stands behind the codec, and the weights that are taken for it by default: a set of filters, one, or none."""
MACHINE_FILTER = "filter_machine"
"""Weights that are taken for "content" where machines look."""


def conventional_work(
    codec: str,
    *,
    qp: int | None,
    filter_: str | None,
    model: str | None,
    viewer: str,
    block: int | None,
    background: tuple[int, int, int],
    verify: bool,
    others: Sequence[str] = (),
) -> "Callable[[Job, Terminal], str]":
    """Return what encodes one picture.

    Args:
        codec: "vvc", "hevc" or "av1".
        qp: of the codec; None for `DEFAULT_QP`.
        filter_: a key of `FILTERS`; None for "content" where `model` or an installed set is taken, else "plain".
        model: name or weight file of the filters; None for the default ones.
        viewer: "people" or "machine", for whom the default ones are.
        block: side of the blocks that have a filter each, 0 for the whole picture; None for the default one.
        background: colour behind transparent pictures.
        verify: decode what was written and compare.
        others: names of given options that belong to learned codecs.

    Raises:
        OptionError: options out of range, or that exclude each other.
        InputError: there are no such weights.
        MissingDependency: the codec is not installed.
    """
    from jaxicm.codecs import filtered_picture
    from jaxicm.codecs.filtered_clip import CODERS
    from jaxicm.errors import MissingDependency
    from jaxicm.evaluate.metrics import psnr as measure_psnr
    from jaxicm.media.ffmpeg import default_codec
    from jaxicm.media.files import source_name, write_bytes
    from jaxicm.media.pictures import read_picture

    if codec not in CODERS:
        raise OptionError(f"--codec must be one of {', '.join(CODERS)}, got {codec!r}")
    if others:
        raise OptionError(f"--codec {codec} follows --qp and takes no {' or '.join(others)}; leave that out")
    usual = FILTERS | {"content": MACHINE_FILTER} if viewer == "machine" else FILTERS
    filter_, qp = filter_ or _default_filter(model or cast(str, usual["content"])), DEFAULT_QP if qp is None else qp
    if filter_ not in FILTERS:
        raise OptionError(f"--filter must be one of {', '.join(FILTERS)}, got {filter_!r}")
    block = _checked_block(filter_, model, block)
    coder = default_codec(cast(Any, codec))
    low, high = coder.qps
    if not low <= qp <= high:
        raise OptionError(f"--qp of {coder.title} must be from {low} to {high}, got {qp}")
    if reason := coder.missing():
        raise MissingDependency(reason)
    network = _network(filter_, model or usual[filter_])

    def work(job: "Job", terminal: "Terminal") -> str:
        picture = read_picture(read_input(job), background=background, name=source_name(job.source))
        tell(job, picture.notes, terminal)
        start = time.perf_counter()
        data, facts = filtered_picture.encode_picture(
            picture.pixels,
            qp,
            coder=coder,
            name=cast(Any, codec),
            network=network,
            block=block,
            icc=kept_profile(picture.icc),
        )
        if verify and (filtered_picture.decode_picture(data, coder=coder, network=network) != facts.pixels).any():
            raise JaxicmError("the decoder shows another picture than the encoder; this is a bug, please report it")
        write_bytes(job.target, data)
        seconds = time.perf_counter() - start
        parts = [size_text(data, picture.pixels), f"QP {qp}"]
        parts += [_filter_text(facts, network)] if network is not None else []
        parts.append(f"PSNR {measure_psnr(picture.pixels, facts.pixels):.2f} dB")
        return result_line(job, parts, verify, picture.pixels, seconds)

    return work


def _default_filter(model: str) -> str:
    from jaxicm.codecs import zoo
    from jaxicm.errors import InputError

    try:
        zoo.find(model)
    except InputError:
        return "plain"
    return "content"


def _checked_block(filter_: str, model: str | None, block: int | None) -> int:
    from jaxicm.codecs.block_choice import BLOCKS
    from jaxicm.codecs.filtered_picture import DEFAULT_BLOCK

    for name, value in (("--model", model), ("--block", block)):
        if filter_ == "none" and value is not None:
            raise OptionError(f"--filter none takes no {name}; leave one of the two out")
    if block is not None and block not in BLOCKS:
        raise OptionError(f"--block must be one of {', '.join(map(str, BLOCKS))}, got {block}")
    return DEFAULT_BLOCK if block is None else block


def _network(filter_: str, name: str | None) -> "PlaneFilterWeights | None":
    from jaxicm.codecs import filter_weights, zoo
    from jaxicm.errors import InputError

    if filter_ == "none" or name is None:
        return None
    try:
        network = filter_weights.read(zoo.find(name))
    except InputError as error:
        raise InputError(f"{error}; or --filter none") from error
    if filter_ == "plain" and network.config.count > 1:
        raise OptionError(
            f"--filter plain takes one filter, {network.info.name} is a set of {network.config.count}; "
            "--filter content takes it"
        )
    return network


def _filter_text(facts: "PictureFacts", network: "PlaneFilterWeights") -> str:
    if not facts.filtered:
        return "no filter: none pays"
    if facts.indices.size == 1:
        return f"filter {facts.indices.item()} of {network.config.count} for the whole picture"
    used, blocks = int((facts.indices > 0).sum()), facts.indices.size
    return f"{used} of {blocks} blocks filtered, map {facts.map_bytes} bytes"
