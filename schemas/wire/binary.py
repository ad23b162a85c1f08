"""Events in Avro's binary form, by functions compiled from the classes of a topic's facts.

They do what fastavro does with the topic's schema, in a third of the time, for they know the classes: they
read into an event and write from one, with no dicts between. A reader takes the form that Avro writers give
a record, and raises on all else: what it cannot read is fastavro's to judge.
"""

import struct
import sys
from array import array
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import cache
from typing import Final, cast, get_args, get_origin, get_type_hints

from schemas.compiling import bind, compiled
from schemas.envelope import Envelope, Fact, Versions
from schemas.frozen import twin_of
from schemas.plain import optional_of
from schemas.wire.subject import Subject
from schemas.words import Word, encoded_words_of

Writer = Callable[[Envelope], bytes]
Reader = Callable[[bytes, int], tuple[Envelope, int]]
"""Takes a value and where the record begins; returns the event and where it ends: past the value's end, even,
where that was not looked at. Only what ends where the value does is an event."""
_Read = Callable[[bytes, int], tuple[object, int]]

_LONG_MAX: Final = 2**63 - 1
_UNSIGNED_END: Final = 2**64
_LONG_BYTES_MAX: Final = 10
_LONGS_MAX: Final = 16_384
_MORE: Final = 0x80
"""Of a long's byte: others follow."""


class _Longs(dict[int, bytes]):
    """Integers as Avro writes them: zigzag, seven bits a byte, the low ones first.

    The latest ones are kept, since what an input causes repeats its time, and lengths are few.
    """

    def __missing__(self, number: int) -> bytes:
        if not -_LONG_MAX - 1 <= number <= _LONG_MAX:
            raise OverflowError(f"{number} is no integer of 64 bits")
        rest = (number << 1) ^ (number >> 63)
        written = bytearray()
        while rest >= _MORE:
            written.append(rest & (_MORE - 1) | _MORE)
            rest >>= 7
        written.append(rest)
        if len(self) >= _LONGS_MAX:
            self.clear()
        self[number] = made = bytes(written)
        return made


_LONGS: Final = _Longs()
_SHORT: Final = tuple(n >> 1 ^ -(n & 1) if n < _MORE else None for n in range(256))
"""By a long's first byte, the number, if that byte is all of it."""
_LENGTHS: Final = tuple(n >> 1 if n < _MORE and not n & 1 else -1 for n in range(256))
"""The same for lengths; -1 where more is to be looked at."""
_DOUBLE: Final = struct.Struct("<d")
_TRUTHS: Final = {0: False, 1: True}
_REPEATED: Final = frozenset({Versions})
"""Records that seldom differ from the one before."""


def writer_of(topic: Subject) -> Writer:
    """Return what makes an event the Avro binary that the topic's schema describes.

    Where it is given what the schema does not allow, it raises AttributeError, TypeError, KeyError,
    OverflowError, UnicodeEncodeError or struct.error.
    """
    return cast("Writer", _write_record(Envelope, topic.facts))


def reader_of(topic: Subject) -> Reader:
    """Return what reads an event that was written with the topic's schema.

    It raises IndexError, KeyError, ValueError or struct.error on what it does not know, which Avro may allow.
    """
    return cast("Reader", _read_record(Envelope, topic.facts))


_hints = cache(get_type_hints)


def _write_record(cls: type, facts: tuple[type, ...]) -> Callable[[object], bytes]:
    names: dict[str, object] = {"_longs": _LONGS, "_join": b"".join, "_double": _DOUBLE.pack}
    parts = []
    for name, hint in _hints(cls).items():
        if hint == Fact:
            names["_body"] = _write_body(facts)
            parts.append(f"_body(o.{name})")
        else:
            parts.append(_part(hint, f"o.{name}", names))
    source = f"def write(o): return _join(({''.join(part + ', ' for part in parts)}))"
    return cast("Callable[[object], bytes]", compiled(source, names))


@cache
def _written_by(cls: type) -> Callable[[object], bytes]:
    return _write_record(cls, ())


def _write_body(facts: tuple[type, ...]) -> Callable[[object], bytes]:
    writers = {cls: (_LONGS[branch], _written_by(cls)) for branch, cls in enumerate(facts)}

    def body(fact: object) -> bytes:
        branch, write = writers[type(fact)]
        return branch + write(fact)

    return body


def _part(hint: object, value: str, names: dict[str, object]) -> str:
    inner = optional_of(hint)
    if inner is not None:
        part = _part(inner, "v", names)
        return f"(b'\\0' if (v := {value}) is None else b'\\2' + {part})"
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if item is float:
            return f"{bind(names, _singles)}({value})"
        part = _part(item, "x", names)
        return f"(_longs[len({value})] + _join([{part} for x in {value}]) + b'\\0' if {value} else b'\\0')"
    if isinstance(hint, type) and is_dataclass(hint):
        return f"{bind(names, _written_by(hint))}({value})"
    return _PARTS[_written_as(hint)].format(value)


def _read_record(cls: type, facts: tuple[type, ...]) -> _Read:
    names: dict[str, object] = {
        "_new": object.__new__,
        "_twin": twin_of(cls),
        "_cls": cls,
        "_short": _SHORT,
        "_lengths": _LENGTHS,
        "_long": _long,
        "_length": _length,
        "_double": _DOUBLE.unpack_from,
        "_truths": _TRUTHS,
    }
    lines = ["def read(b, p):", " o = _new(_twin)"]
    for name, hint in _hints(cls).items():
        if hint == Fact:
            # By the byte that tells the fact. The name is the class's, whatever the writer called it.
            names["_facts"] = {
                _LONGS[branch][0]: (fact.__name__, _read_by(fact)) for branch, fact in enumerate(facts)
            }
            lines += [" o.type, read_fact = _facts[b[p]]", f" o.{name}, p = read_fact(b, p + 1)"]
        else:
            lines += _lines(hint, f"o.{name}", names, " ")
    lines += [" o.__class__ = _cls", " return o, p"]
    return cast("_Read", compiled("\n".join(lines), names))


@cache
def _read_by(cls: type) -> _Read:
    read = _read_record(cls, ())
    return _repeated(read) if cls in _REPEATED else read


def _lines(hint: object, target: str, names: dict[str, object], indent: str) -> list[str]:
    inner = optional_of(hint)
    if inner is not None:
        return [
            f"{indent}n = b[p]; p += 1",
            f"{indent}if n == 2:",
            *_lines(inner, target, names, indent + " "),
            f"{indent}elif n == 0: {target} = None",
            f"{indent}else: raise ValueError(n)",
        ]
    if get_origin(hint) is tuple:
        item, items = get_args(hint)[0], f"items{len(indent)}"
        each = (
            [f"{indent} {items}.extend({bind(names, _read_singles)}(b, p, n)); p += 4 * n"]
            if item is float
            else [
                f"{indent} for _ in range(n):",
                *_lines(item, "x", names, indent + "  "),
                f"{indent}  {items}.append(x)",
            ]
        )
        return [
            f"{indent}{items} = []",
            f"{indent}while b[p]:",
            *_length_lines(indent + " "),
            *each,
            f"{indent}p += 1",
            f"{indent}{target} = tuple({items})",
        ]
    if isinstance(hint, type) and is_dataclass(hint):
        return [f"{indent}{target}, p = {bind(names, _read_by(hint))}(b, p)"]
    lines = [indent + line.format(target) for line in _LINES[_written_as(hint)]]
    if isinstance(hint, type) and issubclass(hint, Word):
        lines[-1] = f"{indent}e = p + n; {target} = {bind(names, encoded_words_of(hint))}[b[p:e]]; p = e"
    return lines


def _written_as(hint: object) -> type:
    """Return the type as which a value is written: a word of the contract is its text."""
    cls = cast("type", hint)
    return str if issubclass(cls, Word) else cls


def _repeated(read: _Read) -> _Read:
    """Read by its bytes what most often is as the last time; no record's encoding begins with another's."""
    kept: tuple[bytes, object] = (b"", None)

    def read_or_repeat(value: bytes, place: int) -> tuple[object, int]:
        nonlocal kept
        encoded, last = kept
        if encoded and value.startswith(encoded, place):
            return last, place + len(encoded)
        found, end = read(value, place)
        if end <= len(value):
            kept = (value[place:end], found)
        return found, end

    return read_or_repeat


_PARTS: Final[dict[type, str]] = {
    str: "_longs[len(s := {0}.encode())] + s",
    bytes: "_longs[len({0})] + {0}",
    int: "_longs[{0}]",
    bool: "(b'\\1' if {0} else b'\\0')",
    float: "_double({0})",
}
"""By type, the expression that writes a value."""


def _length_lines(indent: str = "") -> list[str]:
    return [
        f"{indent}n = _lengths[b[p]]; p += 1",
        f"{indent}if n < 0: n, p = _length(b, p - 1)",
    ]


_LINES: Final[dict[type, list[str]]] = {
    str: [*_length_lines(), "e = p + n; {0} = b[p:e].decode(); p = e"],
    bytes: [*_length_lines(), "{0} = b[p:p + n]; p += n"],
    int: ["n = _short[b[p]]; p += 1", "if n is None: n, p = _long(b, p - 1)", "{0} = n"],
    bool: ["{0} = _truths[b[p]]; p += 1"],
    float: ["({0},) = _double(b, p); p += 8"],
}
"""By type, the lines that read a value from `b` at `p`, and move `p` past it."""


def _long(value: bytes, place: int) -> tuple[int, int]:
    raw = shift = 0
    for byte in value[place : place + _LONG_BYTES_MAX]:
        place += 1
        if byte < _MORE:
            raw |= byte << shift
            if raw < _UNSIGNED_END:
                return raw >> 1 ^ -(raw & 1), place
            break
        raw |= (byte & (_MORE - 1)) << shift
        shift += 7
    raise ValueError("a long that is cut off, or of more than 64 bits")


def _length(value: bytes, place: int) -> tuple[int, int]:
    length, place = _long(value, place)
    if length < 0:
        raise ValueError("a negative length")
    return length, place


def _singles(numbers: tuple[float, ...]) -> bytes:
    if not numbers:
        return b"\0"
    # Numbers beyond single precision become infinite, as in C; struct would refuse them.
    packed = array("f", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return b"".join((_LONGS[len(numbers)], packed.tobytes(), b"\0"))


def _read_singles(value: bytes, place: int, count: int) -> tuple[float, ...]:
    return struct.unpack_from(f"<{count}f", value, place)
