"""Whether values are of the types that the events promise.

The compiled readers and writers know a record of this program's own schemas by its form. What is read with a
schema of somebody else's may be anything that Avro knows: null where text is promised, a double for an
integer, a date for a number. It is fitted to its class here, or it is told what does not fit, and where.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Final, cast, get_args, get_origin, get_type_hints

from schemas.plain import optional_of
from schemas.words import Word, words_of

_Fit = Callable[[object, str], object]
"""Takes a value and where it stands; returns it as the class wants it."""

_LONG_MAX: Final = 2**63 - 1
_NAMES: Final[Mapping[type, str]] = {
    NoneType: "null",
    str: "text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    bytes: "bytes",
    list: "a list",
    tuple: "a list",
    dict: "a record",
}


class Unfit(ValueError):
    """A value is not of the type that is promised; the message says where, what it is and what it must be."""


def fitted(cls: type, plain: object, path: str = "") -> object:
    """Make a `cls` of what an Avro library read.

    Unknown fields are ignored, absent ones get their defaults, and integers become numbers with a fraction
    where those are promised; all else must be as it is promised.

    Args:
        cls: a record's class.
        plain: the record as fastavro gives it.
        path: of the record in the event, for the message.

    Raises:
        Unfit: a value is of another type, or lacking.
    """
    return _fit_record(cls)(plain, path)


def fitted_fields(cls: type, plain: Mapping[str, object], without: frozenset[str]) -> dict[str, object]:
    """Return the fields of a `cls` but those named, each as it is promised.

    Raises:
        Unfit: a value is of another type, or lacking.
    """
    return {name: fit(plain, "") for name, fit in _fits(cls).items() if name not in without}


def demand_fit(record: object, path: str = "") -> None:
    """See that a record, however it was made, holds what its class promises.

    Raises:
        Unfit: a value is of another type, is a text that UTF-8 cannot hold, or has more than 64 bits.
    """
    if is_dataclass(record) and not isinstance(record, type):
        hints = _hints(type(record))
        for field in fields(record):
            _demand(hints[field.name], getattr(record, field.name), _below(path, field.name))


def _demand(hint: object, value: object, path: str) -> None:
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        for number, item in enumerate(value):
            _demand(get_args(hint)[0], item, f"{path}[{number}]")
        return
    inner = optional_of(hint)
    if inner is not None and value is not None:
        _demand(inner, value, path)
    elif is_dataclass(value):
        demand_fit(value, path)
    elif inner is None and isinstance(hint, type):
        fit_of(hint)(value, path)


@cache
def fit_of(hint: object) -> _Fit:
    """Return what fits values to a field's type."""
    inner = optional_of(hint)
    if inner is not None:
        fit = fit_of(inner)
        return lambda value, path: None if value is None else fit(value, path)
    if get_origin(hint) is tuple:
        return _fit_items(fit_of(get_args(hint)[0]))
    if get_origin(hint) is not None and issubclass(cast("type", get_origin(hint)), Mapping):
        return _fit_entries(fit_of(get_args(hint)[1]))
    assert isinstance(hint, type), f"no event has a field of the type {hint}"
    if is_dataclass(hint):
        return _fit_record(hint)
    if issubclass(hint, Word):
        return _fit_word(hint)
    return _FITS[hint]


@cache
def _fit_record(cls: type) -> _Fit:
    def fit(value: object, path: str) -> object:
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]  # a union's member, with its name
        if not isinstance(value, Mapping):
            raise _unfit(value, path, "a record")
        return cls(**{name: take(value, path) for name, take in _fits(cls).items()})

    return fit


@cache
def _fits(cls: type) -> Mapping[str, Callable[[Mapping[str, object], str], object]]:
    # Made late: the body's type is no field's of whoever asks for a record without it.
    hints = _hints(cls)
    return {field.name: _fit_field(field, hints[field.name]) for field in fields(cls)}


def _fit_field(field: Field[object], hint: object) -> Callable[[Mapping[str, object], str], object]:
    name = field.name

    def take(plain: Mapping[str, object], path: str) -> object:
        where = _below(path, name)
        if name in plain:
            return fit_of(hint)(plain[name], where)
        if field.default is MISSING:
            raise Unfit(f"{where} is lacking")
        return field.default

    return take


def _fit_items(fit: _Fit) -> _Fit:
    def each(value: object, path: str) -> object:
        if not isinstance(value, list):
            raise _unfit(value, path, "a list")
        return tuple([fit(item, f"{path}[{number}]") for number, item in enumerate(value)])

    return each


def _fit_entries(fit: _Fit) -> _Fit:
    def each(value: object, path: str) -> object:
        if not isinstance(value, Mapping):
            raise _unfit(value, path, "a map")
        return {_text(key, path): fit(item, f"{path}[{key!r}]") for key, item in value.items()}

    return each


def _fit_word(cls: type[Word]) -> _Fit:
    # A text that only a newer program understands is a word too.
    words = words_of(cls)
    return lambda value, path: words[_text(value, path)]


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise _unfit(value, path, "text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Unfit(f"{path} has half a character (U+{ord(value[error.start]):04X})") from None
    return value


def _integer(value: object, path: str) -> object:
    if type(value) is not int:
        raise _unfit(value, path, "an integer")
    if not -_LONG_MAX - 1 <= value <= _LONG_MAX:
        raise Unfit(f"{path} is an integer of more than 64 bits")
    return value


def _number(value: object, path: str) -> object:
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Unfit(f"{path} is an integer of more than 64 bits") from None
    return _exactly(float, value, path)


def _exactly(kind: type, value: object, path: str) -> object:
    if type(value) is not kind:
        raise _unfit(value, path, _NAMES[kind])
    return value


def _unfit(value: object, path: str, promised: str) -> Unfit:
    kind = type(value)
    found = _NAMES.get(kind) or f"a {kind.__name__}"
    return Unfit(f"{path} is {found}; it must be {promised}")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


_hints = cache(get_type_hints)
_FITS: Final[Mapping[type, _Fit]] = {
    str: lambda value, path: _text(value, path),
    int: _integer,
    float: _number,
    bool: lambda value, path: _exactly(bool, value, path),
    bytes: lambda value, path: _exactly(bytes, value, path),
}
"""By type, what fits a plain value."""
