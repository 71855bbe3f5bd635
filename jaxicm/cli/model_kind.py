"""Lossy or lossless weights, told apart without loading them."""

from collections.abc import Sequence

from jaxicm.errors import OptionError


def is_lossless(model: str) -> bool:
    """Tell whether weights are those of the lossless codec.

    Args:
        model: name from `jaxicm models`, or a weight file.

    Raises:
        InputError: there are no such weights.
    """
    from jaxicm.codecs.weights import read_info
    from jaxicm.codecs.zoo import find

    return read_info(find(model)).is_lossless


def find_machine_model() -> str | None:
    """Return the name of the first installed codec that was trained for machines, if there is one."""
    from jaxicm.codecs.zoo import list_models

    for model in list_models():
        if model.trained_for == "machine" and not model.decoder_of and not model.is_filter:
            return model.name
    return None


def refuse_lossless(model: str, command: str) -> None:
    """Refuse lossless weights where only lossy ones make sense.

    Args:
        model: as of `is_lossless`.
        command: its name in the message.

    Raises:
        InputError: there are no such weights.
        OptionError: they are lossless.
    """
    if is_lossless(model):
        raise OptionError(f"`{command}` measures lossy models, --model {model} is lossless; use `jaxicm eval {model}`")


def wants_lossless(asked: bool, model: str | None, lossy_options: Sequence[str]) -> bool:
    """Tell whether to encode without loss.

    Args:
        asked: --lossless was given.
        model: as of `is_lossless`, where it was given.
        lossy_options: names of given options that only make sense with loss.

    Raises:
        InputError: there are no such weights.
        OptionError: the options exclude each other.
    """
    lossless = asked if model is None else is_lossless(model)
    if asked and not lossless:
        raise OptionError(f"--model {model} is lossy and --lossless excludes it; leave out one of the two")
    if lossless and lossy_options:
        why = "--lossless" if asked else f"--model {model} is lossless: it"
        raise OptionError(f"{why} keeps every sample and takes no {' or '.join(lossy_options)}; leave that out")
    return lossless
