"""Turns the project's values into plain JSON data and back, by their declared types."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

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
        value = _value(kind, data)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error
    return value  # type: ignore[no-any-return]  # _value builds what `kind` says


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(kind: Any, data: Any) -> Any:
    kind = getattr(kind, "__supertype__", kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        if data is None and types.NoneType in arguments:
            return None
        [only] = [each for each in arguments if each is not types.NoneType]
        return _value(only, data)
    if origin is tuple:
        return tuple(_value(arguments[0], each) for each in _checked(data, list))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _value(arguments[1], each) for key, each in _checked(data, dict).items()}
    if is_dataclass(kind):
        hints = _hints(kind)  # type: ignore[arg-type]  # a dataclass, not an instance of one
        given = {name: _value(hints[name], each) for name, each in _checked(data, dict).items() if name in hints}
        return kind(**given)  # type: ignore[operator]  # as above
    if kind is datetime:
        return datetime.fromisoformat(_checked(data, str))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return _checked(data, kind)


def _checked(data: Any, kind: type) -> Any:
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise TypeError(f"{kind.__name__} expected, {type(data).__name__} found")
    return data
