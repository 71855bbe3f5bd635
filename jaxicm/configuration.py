"""Frozen configuration dataclasses as plain data: to dictionaries and back, and changed by `key.key=value` words.

Training configurations and the model configuration inside a weight file are read here. Reading is strict: an unknown
key, a missing key or a value of another type is an error that names the key, never a silent default.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jaxicm.errors import ConfigError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration dataclass into plain data that JSON can hold.

    Args:
        config: a dataclass of bool, int, float, str, None, tuples, dictionaries with string keys and dataclasses.

    Returns:
        The same as dictionaries and lists.
    """
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """Build a configuration dataclass from plain data, strictly and recursively.

    Args:
        cls: the dataclass.
        data: what `to_dict` made; a key that has a default may be missing.
        where: the key that holds `data`, for messages.

    Returns:
        A new `cls`.

    Raises:
        ConfigError: an unknown key, a missing key without a default, a value of another type, or one that the
            dataclass itself refuses.
    """
    name = where or cls.__name__
    if not isinstance(data, Mapping):
        raise ConfigError(f"{name}: found {data!r}, expected settings of {cls.__name__} as key and value")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in fields:
            raise _unknown_key(_join(where, str(key)), str(key), fields)
    values = {key: _typed(hints[key], value, _join(where, key)) for key, value in data.items()}
    for key, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if key not in values and not optional:
            raise ConfigError(f"{_join(where, key)} is missing; {cls.__name__} has no default for it")
    return _checked(name, lambda: cls(**values))


def apply_overrides(config: T, words: Sequence[str]) -> T:
    """Change settings of a configuration by words of the command line.

    Args:
        config: a configuration dataclass.
        words: `key=value` or `key.key=value`; lists are separated by commas, no value at all is `none` or empty.

    Returns:
        A changed copy; each value has the type of its field.

    Raises:
        ConfigError: a word without "=", an unknown key, or a value of another type.
    """
    data = to_dict(config)
    for word in words:
        path, equals, text = word.partition("=")
        if not equals or not path:
            raise ConfigError(f"override {word!r} is not KEY=VALUE; write for instance steps=1000")
        owner, cls, keys = data, type(config), path.split(".")
        for depth, key in enumerate(keys):
            hints = typing.get_type_hints(cls)
            if key not in hints:
                raise _unknown_key(".".join(keys[: depth + 1]), key, hints)
            hint, last = hints[key], depth == len(keys) - 1
            if type(None) in typing.get_args(hint) and dataclasses.is_dataclass(_without_none(hint)):
                hint = _without_none(hint)
                if last and text.lower() == "none":
                    owner[key] = None
                    break
                owner[key] = owner[key] or {}  # settings of a part that was off switch it on
            if dataclasses.is_dataclass(hint) == last:
                inner = [field.name for field in dataclasses.fields(hint)] if last else []  # type: ignore[arg-type]
                cure = f"name one of its settings: {' '.join(inner)}" if last else f"{key} holds no settings"
                raise ConfigError(f"override {word!r}: {cure}")
            if last:
                owner[key] = _plain(parse_value(hint, text, path))
            else:
                owner, cls = owner[key], typing.cast(type, hint)
    return from_dict(type(config), data)


def parse_value(hint: Any, text: str, where: str) -> Any:
    """Read a value of a given type from the command line.

    Args:
        hint: bool, int, float, str, a `Literal`, `X | None`, or a tuple of those.
        text: what the user wrote.
        where: the key, for messages.

    Returns:
        The value.

    Raises:
        ConfigError: the text is not of that type.
    """
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if text.lower() in ("none", "") and type(None) in typing.get_args(hint):
            return None
        return parse_value(_without_none(hint), text, where)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return tuple(parse_value(item, part.strip(), where) for part in text.split(",") if part.strip())
    if hint is bool and text.lower() in ("true", "false", "1", "0", "yes", "no"):
        return text.lower() in ("true", "1", "yes")
    if hint in (int, float):
        try:
            number = float(text)
        except ValueError:
            raise _wrong_type(where, text, hint) from None
        return int(number) if hint is int and number.is_integer() else _typed(hint, number, where)
    return _typed(hint, text, where)


def _typed(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _typed(_without_none(hint), value, where)
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise ConfigError(f"{where}: found {value!r}, expected one of {', '.join(map(str, typing.get_args(hint)))}")
    if origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(_typed(typing.get_args(hint)[0], item, where) for item in value)
    elif origin is dict:
        if isinstance(value, Mapping):
            return {str(key): _typed(typing.get_args(hint)[1], item, where) for key, item in value.items()}
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise _wrong_type(where, value, hint)


def _without_none(hint: Any) -> Any:
    (kept,) = (part for part in typing.get_args(hint) if part is not type(None))
    return kept


def _checked(name: str, make: Any) -> Any:
    try:
        return make()
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name}: {error}") from error


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _wrong_type(where: str, value: Any, hint: Any) -> ConfigError:
    wanted = hint.__name__ if isinstance(hint, type) and typing.get_origin(hint) is None else str(hint)
    return ConfigError(f"{where}: found {value!r}, expected a value of type {wanted}")


def _unknown_key(path: str, key: str, known: Mapping[str, Any]) -> ConfigError:
    close = difflib.get_close_matches(key, known, n=1)
    cure = f"did you mean {close[0]!r}?" if close else f"known are {' '.join(known)}"
    return ConfigError(f"unknown setting {path!r}; {cure}")
