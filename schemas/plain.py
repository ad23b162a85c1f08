"""Converters between typed records (frozen dataclasses) and plain dicts, compiled once per class.

Two dialects of plain values: JSON (for state and payloads) and Avro as fastavro takes it, where a
record within a union is a pair of its full name and a dict.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Final, TypeGuard, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import orjson

from schemas.compiling import bind, compiled
from schemas.frozen import has_twin, twin_of
from schemas.words import Word, words_of

Plain = dict[str, object]
T = TypeVar("T")

NAMESPACE: Final = "cartrita.events"


class Dialect(StrEnum):
    """Which plain values a converter speaks."""

    JSON = "json"
    AVRO = "avro"


_ENCODERS: Final[dict[tuple[type, Dialect], Callable[[object], Plain]]] = {}
_SPARSE: Final[dict[type, Callable[[object], Plain]]] = {}
_DECODERS: Final[dict[type, Callable[[Mapping[str, object]], object]]] = {}


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a plain value is a number; Python's true and false would be."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def to_plain(record: object, dialect: Dialect = Dialect.JSON) -> Plain:
    """Turn a dataclass into plain values."""
    return encoder_of(type(record), dialect)(record)


def from_plain(cls: type[T], plain: Mapping[str, object]) -> T:
    """Make a `cls` of plain values; unknown keys are ignored and absent ones get their defaults.

    Raises:
        KeyError: a key without a default is absent.
        TypeError: a value is of another shape.
    """
    return cast("T", decoder_of(cls)(plain))


def encoder_of(cls: type, dialect: Dialect) -> Callable[[object], Plain]:
    """Return the compiled function that turns a `cls` into plain values."""
    if (cls, dialect) not in _ENCODERS:
        _ENCODERS[cls, dialect] = _compile_encoder(cls, dialect)
    return _ENCODERS[cls, dialect]


def decoder_of(cls: type) -> Callable[[Mapping[str, object]], object]:
    """Return the compiled function that makes a `cls` of plain values."""
    if cls not in _DECODERS:
        _DECODERS[cls] = _compile_decoder(cls)
    return _DECODERS[cls]


def encoded(record: object) -> bytes:
    """Write a record as JSON without the fields that are as they are by default; `from_plain` reads it.

    So a field that a later version adds changes nothing of what is written until it is used.
    """
    return orjson.dumps(sparse_encoder_of(type(record))(record))


def sparse_encoder_of(cls: type) -> Callable[[object], Plain]:
    """Return the compiled function that turns a `cls` into plain values without those that are defaults."""
    if cls not in _SPARSE:
        _SPARSE[cls] = _compile_sparse_encoder(cls)
    return _SPARSE[cls]


def optional_of(hint: object) -> object | None:
    """Return X for `X | None`, and None for any other type."""
    if get_origin(hint) in (Union, UnionType):
        members = [member for member in get_args(hint) if member is not NoneType]
        if len(members) == 1 and len(get_args(hint)) == 2:
            return cast("object", members[0])
    return None


def members_of(hint: object) -> tuple[type, ...]:
    """Return the classes of a union of records, or one record's class alone."""
    return cast("tuple[type, ...]", get_args(hint) or (hint,))


def full_name(cls: type) -> str:
    """Return the Avro name of a record class."""
    return f"{NAMESPACE}.{cls.__name__}"


def _compile_encoder(cls: type, dialect: Dialect) -> Callable[[object], Plain]:
    names: dict[str, object] = {}
    hints = get_type_hints(cls)
    items = ", ".join(
        f"{f.name!r}: {_encode(hints[f.name], f'o.{f.name}', names, dialect)}" for f in _fields(cls)
    )
    return cast("Callable[[object], Plain]", compiled(f"def encode(o): return {{{items}}}", names))


def _compile_sparse_encoder(cls: type) -> Callable[[object], Plain]:
    names: dict[str, object] = {}
    hints = get_type_hints(cls)
    lines = ["def encode(o):", " d = {}"]
    for field in _fields(cls):
        value = _encode_sparsely(hints[field.name], "v", names)
        lines.append(f" v = o.{field.name}")
        if field.default_factory is not MISSING:
            lines.append(f" if v != {bind(names, field.default_factory())}: d[{field.name!r}] = {value}")
        elif field.default is None:
            lines.append(f" if v is not None: d[{field.name!r}] = {value}")
        elif field.default is not MISSING:
            lines.append(f" if v != {bind(names, field.default)}: d[{field.name!r}] = {value}")
        else:
            lines.append(f" d[{field.name!r}] = {value}")
    lines.append(" return d")
    return cast("Callable[[object], Plain]", compiled("\n".join(lines), names))


def _encode_sparsely(hint: object, value: str, names: dict[str, object]) -> str:
    """Return the expression that makes a value fit for orjson, which writes enumerations by itself."""
    inner = optional_of(hint)
    if inner is not None:
        plain = _encode_sparsely(inner, value, names)
        return value if plain == value else f"(None if {value} is None else {plain})"
    if get_origin(hint) is tuple:
        item = _encode_sparsely(get_args(hint)[0], "x", names)
        return value if item == "x" else f"[{item} for x in {value}]"
    if get_origin(hint) in (dict, Mapping):
        item = _encode_sparsely(get_args(hint)[1], "x", names)
        return value if item == "x" else f"{{k: {item} for k, x in {value}.items()}}"
    if isinstance(hint, type) and is_dataclass(hint):
        return f"{bind(names, sparse_encoder_of(hint))}({value})"
    if get_origin(hint) in (Union, UnionType):
        raise TypeError(f"a state holds no union such as {hint}")
    return value


def _compile_decoder(cls: type) -> Callable[[Mapping[str, object]], object]:
    names: dict[str, object] = {"_cls": cls}
    hints = get_type_hints(cls)
    decoded = {f.name: _decode_field(f, hints[f.name], names) for f in _fields(cls)}
    if has_twin(cls):
        names |= {"_open": twin_of(cls), "_new": object.__new__}
        lines = [
            "def decode(d):",
            "o = _new(_open)",
            *(f"o.{name} = {value}" for name, value in decoded.items()),
            "o.__class__ = _cls",
            "return o",
        ]
        source = "\n    ".join(lines)
    else:
        arguments = ", ".join(f"{name}={value}" for name, value in decoded.items())
        source = f"def decode(d): return _cls({arguments})"
    return cast("Callable[[Mapping[str, object]], object]", compiled(source, names))


def _fields(cls: type) -> tuple[Field[object], ...]:
    return fields(cls)


def _encode(hint: object, value: str, names: dict[str, object], dialect: Dialect) -> str:
    inner = optional_of(hint)
    if inner is not None:
        encoded = _encode(inner, value, names, dialect)
        if dialect is Dialect.AVRO and is_dataclass(inner):
            encoded = f"({full_name(cast('type', inner))!r}, {encoded})"
        return value if encoded == value else f"(None if {value} is None else {encoded})"
    if get_origin(hint) is tuple:
        item = _encode(get_args(hint)[0], "x", names, dialect)
        return f"list({value})" if item == "x" else f"[{item} for x in {value}]"
    if get_origin(hint) in (dict, Mapping):
        item = _encode(get_args(hint)[1], "x", names, dialect)
        return f"dict({value})" if item == "x" else f"{{k: {item} for k, x in {value}.items()}}"
    if isinstance(hint, type) and is_dataclass(hint):
        return f"{bind(names, encoder_of(hint, dialect))}({value})"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return f"{bind(names, str)}({value})"
    if get_origin(hint) in (Union, UnionType):
        return f"{bind(names, _union_encoder(hint, dialect))}({value})"
    return value


def _union_encoder(hint: object, dialect: Dialect) -> Callable[[object], object]:
    encoders = {cls: encoder_of(cls, dialect) for cls in members_of(hint)}
    if dialect is Dialect.AVRO:
        return lambda o: (full_name(type(o)), encoders[type(o)](o))
    return lambda o: {"type": type(o).__name__, **encoders[type(o)](o)}


def _decode_field(field: Field[object], hint: object, names: dict[str, object]) -> str:
    raw = f"d[{field.name!r}]"
    decoded = _decode(hint, raw, names)
    if field.default is not MISSING:
        default = bind(names, field.default)
        return f"({decoded} if {field.name!r} in d else {default})"
    if field.default_factory is not MISSING:
        return f"({decoded} if {field.name!r} in d else {bind(names, field.default_factory)}())"
    return decoded


def _decode(hint: object, value: str, names: dict[str, object]) -> str:
    inner = optional_of(hint)
    if inner is not None:
        decoded = _decode(inner, value, names)
        return value if decoded == value else f"(None if {value} is None else {decoded})"
    if get_origin(hint) is tuple:
        item = _decode(get_args(hint)[0], "x", names)
        return f"tuple({value})" if item == "x" else f"tuple([{item} for x in {value}])"
    if get_origin(hint) in (dict, Mapping):
        item = _decode(get_args(hint)[1], "x", names)
        return f"dict({value})" if item == "x" else f"{{k: {item} for k, x in {value}.items()}}"
    if isinstance(hint, type) and is_dataclass(hint):
        return f"{bind(names, decoder_of(hint))}({value})"
    if isinstance(hint, type) and issubclass(hint, Word):
        return f"{bind(names, words_of(hint))}[{value}]"
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return f"{bind(names, hint)}({value})"
    if get_origin(hint) in (Union, UnionType):
        return f"{bind(names, _union_decoder(hint))}({value})"
    return value


def _union_decoder(hint: object) -> Callable[[object], object]:
    decoders = {cls.__name__: decoder_of(cls) for cls in members_of(hint)}

    def decode(value: object) -> object:
        if isinstance(value, tuple):
            name, plain = value
            return decoders[name.rpartition(".")[2]](plain)
        record = cast("Mapping[str, object]", value)
        return decoders[str(record["type"])](record)

    return decode
