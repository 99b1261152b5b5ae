"""Turns the project's values into plain JSON data and back, by their declared types."""

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: object) -> Any:
    """Plain data for JSON: dataclasses as objects, moments in ISO 8601, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    return value


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


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """What reads a type, made once: looking at types takes far longer than reading data."""
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        [only] = [each for each in arguments if each is not types.NoneType]
        read = _reader(only)
        return lambda data: None if data is None else read(data)
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
    return lambda data: _checked(data, kind)


def _dataclass_reader(kind: Any) -> Callable[[Any], Any]:
    readers = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}

    def read(data: Any) -> Any:
        given = _checked(data, dict).items()
        return kind(**{name: readers[name](each) for name, each in given if name in readers})

    return read


def _checked(data: Any, kind: type) -> Any:
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise TypeError(f"{kind.__name__} expected, {type(data).__name__} found")
    return data
