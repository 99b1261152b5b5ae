"""Turns the project's values into plain JSON data and back, by their declared types."""

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """Plain data for JSON: dataclasses as objects, moments in ISO 8601, tuples as lists.

    Where the declared type of a field leaves a choice between dataclasses, the value is an object with one key, the
    name of the chosen one: the fields alone need not tell which it was. A field is written under its own name, or the
    one that its metadata gives as `stored`, which is the name it had once; None there leaves it out. Likewise the
    chosen one is named by its `STORED`, if it has that.
    """
    write, _ = _codec(cast("Any", type(value)))
    return write(value)


def from_plain(kind: type[T], data: Any) -> T:
    """The value of a type in plain data.

    Fields that the data lacks keep their defaults, and fields that it has too many are left out, so that an older
    and a newer version of the program read each other's items. Raises ValueError when the data does not fit.
    """
    _, read = _codec(cast("Any", kind))
    try:
        value = read(data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error
    return value  # type: ignore[no-any-return]  # the reader builds what `kind` says


def from_json(kind: type[T], text: str | bytes) -> T:
    """The same of JSON."""
    try:
        return from_plain(kind, json.loads(text))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


@cache
def _codec(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """What writes a type, and what reads it, made once: looking at types takes far longer than at data."""
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        return _choice([each for each in arguments if each is not types.NoneType])
    if origin is tuple:
        write, read = _codec(arguments[0])
        return (
            lambda value: [write(each) for each in value],
            lambda data: tuple(read(each) for each in _checked(data, list)),
        )
    if origin is not None and issubclass(origin, Mapping):
        write, read = _codec(arguments[1])
        return (
            lambda value: {str(key): write(each) for key, each in value.items()},
            lambda data: {key: read(each) for key, each in _checked(data, dict).items()},
        )
    if is_dataclass(kind):
        return _dataclass(kind)
    if kind is datetime:
        return datetime.isoformat, lambda data: datetime.fromisoformat(_checked(data, str))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: value.value, kind
    return lambda value: value, _number if kind is float else lambda data: _checked(data, kind)


def _choice(alternatives: list[Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    if len(alternatives) == 1:
        write, read = _codec(alternatives[0])
        return (
            lambda value: None if value is None else write(value),
            lambda data: None if data is None else read(data),
        )
    named = _named(alternatives)
    writers = {each: (name, _codec(each)[0]) for name, each in named.items()}
    readers = {name: _codec(each)[1] for name, each in named.items()}

    def write_chosen(value: Any) -> Any:
        if value is None:
            return None
        name, write = writers[type(value)]
        return {name: write(value)}

    def read_chosen(data: Any) -> Any:
        if data is None:
            return None
        given = _checked(data, dict)
        if len(given) != 1:
            raise TypeError(f"one of {', '.join(readers)} expected, {len(given)} keys found")
        [(name, chosen)] = given.items()
        return readers[name](chosen)

    return write_chosen, read_chosen


def _dataclass(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    hints = get_type_hints(kind)
    # Of each field the name it is stored under; None leaves it out.
    named = {field.name: field.metadata.get("stored", field.name) for field in fields(kind)}
    codecs = [(stored, name, *_codec(hints[name])) for name, stored in named.items() if stored is not None]
    readers = {stored: (name, read) for stored, name, _, read in codecs}

    def read(data: Any) -> Any:
        given = [(*readers[stored], each) for stored, each in _checked(data, dict).items() if stored in readers]
        return kind(**{name: read_field(each) for name, read_field, each in given})

    return lambda value: {stored: write(getattr(value, name)) for stored, name, write, _ in codecs}, read


def _named(alternatives: list[Any]) -> dict[str, Any]:
    """The dataclasses of a choice by the names they are stored under; nothing else has one to be told by."""
    if not all(is_dataclass(each) for each in alternatives):
        # A fault of the types and not of the data, so no ValueError: no item must seem damaged for it.
        raise NotImplementedError(f"a choice between others than dataclasses: {alternatives}")
    return {getattr(each, "STORED", each.__name__): each for each in alternatives}


def _number(data: Any) -> float:
    # JSON has one kind of number: what a measurement gave as 0 is a float all the same.
    return float(data) if isinstance(data, int) and not isinstance(data, bool) else float(_checked(data, float))


def _checked(data: Any, kind: type) -> Any:
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise TypeError(f"{kind.__name__} expected, {type(data).__name__} found")
    return data
