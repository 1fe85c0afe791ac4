"""Frozen dataclasses out of TOML, with every mistake named."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pixelkin.errors import ConfigError

Settings = TypeVar("Settings")


def build(kind: type[Settings], values: Mapping[str, Any], where: str = "") -> Settings:
    """The dataclass ``kind`` with these values, tables becoming nested dataclasses.

    Args:
        kind: a dataclass, all of whose fields have defaults or are given.
        values: as TOML gives them.
        where: the table's name, for messages.

    Raises:
        ConfigError: ``values`` are no table, a key is unknown or missing, or its value has another type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where.rstrip('.') or 'the configuration'} takes a table, not {values!r}")
    known: dict[str, Field[Any]] = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key in values:
        if key not in known:
            raise ConfigError(f"no setting is named {where + key!r}; the names are: {', '.join(known)}")
    made = {key: value_of(hints[key], value, where + key) for key, value in values.items()}
    try:
        return kind(**made)
    except TypeError as error:
        raise ConfigError(f"{where or 'the configuration'}: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # numbers too long, tables too deep among them
        raise ConfigError(f"{path}: {error}") from error


def override(values: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """``values`` with each ``key=value`` of ``settings`` put in; a dotted key reaches into a table.

    The value is read as TOML, and as plain text where it is not TOML.

    Raises:
        ConfigError: a setting has no ``=``, or its key runs through something that is no table.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set takes key=value, not {setting!r}")
        try:
            parsed[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            parsed[key.strip()] = text.strip()
    return put(values, parsed)


def put(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with each of ``changes`` put in; a dotted key reaches into a table.

    Raises:
        ConfigError: a key runs through something that is no table.
    """
    changed = dict(values)
    for key, value in changes.items():
        *tables, last = key.split(".")
        table = changed
        for name in tables:
            inner = table.get(name, {})
            if not isinstance(inner, Mapping):
                raise ConfigError(f"{key!r}: {name} is no table")
            table[name] = dict(inner)
            table = table[name]
        table[last] = value
    return changed


def over(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with ``changes`` put over them, table by table."""
    merged = dict(values)
    for key, value in changes.items():
        was = merged.get(key)
        tables = isinstance(was, Mapping) and isinstance(value, Mapping)
        merged[key] = over(was, value) if tables else value  # type: ignore[arg-type]
    return merged


def value_of(hint: Any, value: Any, key: str) -> Any:
    """``value`` as a setting of type ``hint`` takes it.

    Raises:
        ConfigError: it does not; ``key`` is its name for the message.
    """
    if _is_union(hint) and isinstance(value, Mapping):
        hint = next((each for each in get_args(hint) if is_dataclass(each)), hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, key + ".")
    if hint is float and type(value) is int:
        return float(value)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        inner = get_args(hint)[0]
        return tuple(value_of(inner, each, key) for each in value)
    if not _fits(hint, value):
        raise ConfigError(f"{key} takes {_words(hint)}, not {value!r}")
    return value


def _fits(hint: Any, value: Any) -> bool:
    if _is_union(hint):
        return any(_fits(each, value) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    plain = get_origin(hint) or hint
    if plain is Any:
        return True
    return isinstance(value, plain) and not (plain in (int, float) and isinstance(value, bool))


def _is_union(hint: Any) -> bool:
    return isinstance(hint, UnionType) or get_origin(hint) is Union


def _words(hint: Any) -> str:
    if _is_union(hint):
        return " or ".join(map(_words, get_args(hint)))
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    plain = get_origin(hint) or hint
    return names.get(plain, f"a {getattr(plain, '__name__', plain)}")
