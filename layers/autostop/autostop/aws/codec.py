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
    return _writer(cast("Any", type(value)))(value)


def from_plain(kind: type[T], data: Any) -> T:
    """The value of a type in plain data.

    Fields that the data lacks keep their defaults, and fields that it has too many are left out, so that an older
    and a newer version of the program read each other's items. Raises ValueError when the data does not fit.
    """
    try:
        value = _reader(cast("Any", kind))(data)
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
def _writer(kind: Any) -> Callable[[Any], Any]:
    """What writes a type, made once: looking at types takes far longer than writing data."""
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        return _choice_writer(_alternatives(arguments))
    if origin is tuple:
        write = _writer(arguments[0])
        return lambda value: [write(each) for each in value]
    if origin is not None and issubclass(origin, Mapping):
        write = _writer(arguments[1])
        return lambda value: {str(key): write(each) for key, each in value.items()}
    if is_dataclass(kind):
        return _dataclass_writer(kind)
    if kind is datetime:
        return datetime.isoformat
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value: value.value
    return lambda value: value


def _choice_writer(alternatives: list[Any]) -> Callable[[Any], Any]:
    if len(alternatives) == 1:
        write = _writer(alternatives[0])
        return lambda value: None if value is None else write(value)
    writers = {each: (name, _writer(each)) for name, each in _named(alternatives).items()}

    def write_chosen(value: Any) -> Any:
        if value is None:
            return None
        name, write = writers[type(value)]
        return {name: write(value)}

    return write_chosen


def _dataclass_writer(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    writers = [(stored, name, _writer(hints[name])) for stored, name in _stored_fields(kind)]
    return lambda value: {stored: write(getattr(value, name)) for stored, name, write in writers}


def _stored_fields(kind: Any) -> list[tuple[str, str]]:
    """The names of a dataclass's fields, each with the one it is stored under."""
    named = [(field.metadata.get("stored", field.name), field.name) for field in fields(kind)]
    return [(stored, name) for stored, name in named if stored is not None]


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """What reads a type, made once as well."""
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        return _choice_reader(_alternatives(arguments))
    if origin is tuple:
        read = _reader(arguments[0])
        return lambda data: tuple(read(each) for each in _checked(data, list))
    if origin is not None and issubclass(origin, Mapping):
        read = _reader(arguments[1])
        return lambda data: {key: read(each) for key, each in _checked(data, dict).items()}
    if is_dataclass(kind):
        return _dataclass_reader(kind)
    if kind is datetime:
        return lambda data: datetime.fromisoformat(_checked(data, str))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _number if kind is float else lambda data: _checked(data, kind)


def _choice_reader(alternatives: list[Any]) -> Callable[[Any], Any]:
    if len(alternatives) == 1:
        read = _reader(alternatives[0])
        return lambda data: None if data is None else read(data)
    readers = {name: _reader(each) for name, each in _named(alternatives).items()}

    def read_chosen(data: Any) -> Any:
        if data is None:
            return None
        given = _checked(data, dict)
        if len(given) != 1:
            raise TypeError(f"one of {', '.join(readers)} expected, {len(given)} keys found")
        [(name, chosen)] = given.items()
        return readers[name](chosen)

    return read_chosen


def _dataclass_reader(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = {stored: (name, _reader(hints[name])) for stored, name in _stored_fields(kind)}

    def read(data: Any) -> Any:
        given = [(*readers[stored], each) for stored, each in _checked(data, dict).items() if stored in readers]
        return kind(**{name: read_field(each) for name, read_field, each in given})

    return read


def _alternatives(arguments: tuple[Any, ...]) -> list[Any]:
    return [each for each in arguments if each is not types.NoneType]


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
