"""Canonical JSON: one text for one value, so that a digest of it means one thing to whoever reads it.

The form is that of RFC 8785: members sorted by UTF-16 code units, no blanks, numbers as JavaScript writes
them. What two readers could take for two values is refused, not mended: a member that stands there twice,
an integer that a double cannot hold, half a character.
"""

import json
import math
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NoReturn

INTEGER_MAX: Final = 2**53 - 1
"""The largest integer that every reader holds exactly."""
DEPTH_MAX: Final = 32
BYTES_MAX: Final = 262_144
_EXPONENT_MAX: Final = 21
"""JavaScript writes numbers from 1e21 on, and those below 1e-6, with an exponent."""
_EXPONENT_MIN: Final = -6


class NotCanonical(Exception):
    """A text or a value has no canonical form; the sentence says why."""


def parsed(text: str, *, bytes_max: int = BYTES_MAX, depth_max: int = DEPTH_MAX) -> object:
    """Read JSON that means one thing only.

    Args:
        text: of the JSON.
        bytes_max: it has at most so many in UTF-8.
        depth_max: it is nested at most so deep; 0 for what holds nothing.

    Raises:
        NotCanonical: it is no JSON, is ambiguous, too large, or nested too deep.
    """
    if len(text) > bytes_max or len(_utf8(text)) > bytes_max:
        raise NotCanonical(f"it has more than {bytes_max:,} bytes")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_members,
            parse_int=_integer,
            parse_float=_double,
            parse_constant=_constant,
        )
    except RecursionError:
        raise NotCanonical(f"it is nested deeper than {depth_max}") from None
    except ValueError as error:
        raise NotCanonical(f"it is no JSON: {error}") from None
    # A text with fewer brackets than that cannot be nested deeper.
    if text.count("[") + text.count("{") > depth_max:
        _demand_depth(value, depth_max)
    if "\\u" in text:
        _demand_whole_characters(value)
    return value


def canonical(value: object) -> bytes:
    """Write a JSON value in its canonical form, as UTF-8.

    Raises:
        NotCanonical: it has none.
    """
    parts: list[str] = []
    try:
        _write(value, parts)
    except RecursionError:
        raise NotCanonical("it is nested too deep") from None
    return _utf8("".join(parts))


def digest_of(value: object) -> str:
    """Return the SHA-256 of a value's canonical form, in hexadecimal digits.

    Raises:
        NotCanonical: it has none.
    """
    return sha256(canonical(value)).hexdigest()


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hexadecimal digits.

    Raises:
        NotCanonical: it has half a character.
    """
    return sha256(_utf8(text)).hexdigest()


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise NotCanonical("it has half a character (a lone surrogate)") from None


def _members(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotCanonical(f"the member {twice[:100]!r} stands there twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(number := int(digits)) > INTEGER_MAX:
        raise NotCanonical(f"the integer {digits[:30]} is beyond {INTEGER_MAX}, where doubles are not exact")
    return number


def _double(digits: str) -> float:
    number = float(digits)
    _demand_double(number)
    return number


def _demand_double(number: float) -> None:
    if not math.isfinite(number):
        raise NotCanonical("a number is too large")
    if abs(number) > INTEGER_MAX:
        raise NotCanonical(f"the number {number!r} is beyond {INTEGER_MAX}, where doubles are not exact")


def _constant(name: str) -> NoReturn:
    raise NotCanonical(f"{name} is no JSON")


def _demand_depth(value: object, depth_max: int) -> None:
    level: list[object] = [value]
    for _ in range(depth_max + 1):
        level = [inner for one in level for inner in _held(one)]
        if not level:
            return
    raise NotCanonical(f"it is nested deeper than {depth_max}")


def _held(value: object) -> Sequence[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _demand_whole_characters(value: object) -> None:
    if isinstance(value, str):
        _utf8(value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            _utf8(name)
            _demand_whole_characters(inner)
    elif isinstance(value, list):
        for inner in value:
            _demand_whole_characters(inner)


def _write(value: object, parts: list[str]) -> None:
    if value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, str):
        parts.append(json.dumps(str(value), ensure_ascii=False))
    elif isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise NotCanonical(f"the integer {value} is beyond {INTEGER_MAX}, where doubles are not exact")
        parts.append(str(value))
    elif isinstance(value, float):
        parts.append(_number(value))
    elif isinstance(value, dict):
        _write_members(value, parts)
    elif isinstance(value, list | tuple):
        parts.append("[")
        for index, inner in enumerate(value):
            parts.append("," if index else "")
            _write(inner, parts)
        parts.append("]")
    else:
        raise NotCanonical(f"a {type(value).__name__} is no JSON")


def _write_members(value: dict[object, object], parts: list[str]) -> None:
    names = [name for name in value if isinstance(name, str)]
    if len(names) < len(value):
        raise NotCanonical("a member's name is no text")
    parts.append("{")
    # A lone half sorts like any unit here, and is refused when the whole is encoded.
    names.sort(key=lambda name: name.encode("utf-16-be", "surrogatepass"))
    for index, name in enumerate(names):
        parts.append("," if index else "")
        parts.append(json.dumps(name, ensure_ascii=False) + ":")
        _write(value[name], parts)
    parts.append("}")


def _number(value: float) -> str:
    """Write a double as JavaScript does: the fewest digits that tell it from its neighbours."""
    _demand_double(value)
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if len(digits) <= point <= _EXPONENT_MAX:
        return sign + digits + "0" * (point - len(digits))
    if 0 < point <= _EXPONENT_MAX:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if _EXPONENT_MIN < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"
