"""Conditions on a call's arguments: a closed set of operators, made ready once.

Each operator says True, False or None of a value: None where the value is of another type, or can be read in
two ways. What a rule makes of that depends on what it does: a permission holds only where every value that
the condition finds is True, a prohibition holds where any is not False. So nothing is let through because a
condition could not be judged.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import re2  # type: ignore[import-untyped]  # it ships no types

from processors.policy.hosts import host_of, is_meant, pattern_of
from processors.policy.paths import lies_under, plain_path
from schemas.canonical import NotCanonical, canonical
from schemas.configuration import ArgumentCondition
from schemas.plain import is_number

OPERATORS: Final = (
    "equal",
    "in",
    "prefix",
    "glob",
    "path_under",
    "host_in",
    "at_most",
    "length_at_most",
    "matches",
)
TEXT_CHARACTERS_MAX: Final = 8_192
"""Of a value that a pattern is held against; a longer one is not judged."""
PATTERN_CHARACTERS_MAX: Final = 1_000
VALUES_MAX: Final = 1_000
_NAME: Final = re.compile(r"[^.]+(?:\.[^.]+)*")
_EACH: Final = "*"
_GLOB: Final = re.compile(r"\*\*|\*|\?")
_PARTS_OF_GLOB: Final = {"**": "(?s:.*)", "*": "[^/]*", "?": "[^/]"}

Test = Callable[[object], bool | None]
Condition = Callable[[Mapping[str, object], bool], bool]
"""Tells of arguments, and whether the rule forbids, if the condition holds."""


class ConditionInvalid(Exception):
    """A condition cannot be; the sentence says why."""


def condition_of(one: ArgumentCondition) -> Condition:
    """Make a condition ready.

    Raises:
        ConditionInvalid: it says what cannot be.
    """
    if not _NAME.fullmatch(one.argument):
        raise ConditionInvalid(f"argument is {one.argument!r}; it takes names between dots, and * for each")
    test, steps, negate = _test(one), one.argument.split("."), one.negate

    def holds(arguments: Mapping[str, object], forbids: bool) -> bool:
        found = [test(value) for value in _values(arguments, steps)]
        if negate:
            found = [None if told is None else not told for told in found]
        if not forbids:
            return bool(found) and all(found)
        # What is not there is not what is allowed.
        return any(told is not False for told in found) or (negate and not found)

    return holds


def fault_of(one: ArgumentCondition) -> str | None:
    """Tell why a condition cannot be; None: it can."""
    try:
        condition_of(one)
    except ConditionInvalid as error:
        return str(error)
    return None


def _values(arguments: Mapping[str, object], steps: list[str]) -> Iterator[object]:
    """Find what a name means: `a.b` a member of a member, `a.*` each item or member of it."""
    level: list[object] = [arguments]
    for step in steps:
        following: list[object] = []
        for value in level:
            if step == _EACH:
                following += (
                    value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
                )
            elif isinstance(value, dict) and step in value:
                following.append(value[step])
        level = following
    yield from level


def _test(one: ArgumentCondition) -> Test:
    match one.operator:
        case "equal" | "in":
            return _equal_to(one.values)
        case "prefix":
            return _begins_with(one.values)
        case "glob":
            return _like(tuple(map(_pattern_of_glob, one.values)))
        case "matches":
            return _like(one.values)
        case "path_under":
            return _under(one.values)
        case "host_in":
            return _among_hosts(one.values)
        case "at_most":
            return _at_most(one.number)
        case "length_at_most":
            return _no_longer_than(one.number)
        case _:
            raise ConditionInvalid(f"there is no operator {one.operator!r}; there are {', '.join(OPERATORS)}")


def _demand_values(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ConditionInvalid("it names no value")
    if len(values) > VALUES_MAX:
        raise ConditionInvalid(f"it names more than {VALUES_MAX} values")
    return values


def _equal_to(values: tuple[str, ...]) -> Test:
    wanted = frozenset(value.encode() for value in _demand_values(values))

    def test(value: object) -> bool | None:
        try:
            return canonical(value) in wanted
        except NotCanonical:
            return None

    return test


def _begins_with(values: tuple[str, ...]) -> Test:
    prefixes = _demand_values(values)
    return lambda value: value.startswith(prefixes) if isinstance(value, str) else None


def _like(patterns: tuple[str, ...]) -> Test:
    options = re2.Options()
    options.log_errors = False
    compiled = []
    for pattern in _demand_values(patterns):
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            raise ConditionInvalid(f"a pattern has more than {PATTERN_CHARACTERS_MAX} characters")
        try:
            compiled.append(re2.compile(pattern, options))
        except re2.error as error:
            raise ConditionInvalid(f"the pattern {pattern[:100]!r} is none: {error}") from error

    def test(value: object) -> bool | None:
        if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
            return None
        return any(one.fullmatch(value) is not None for one in compiled)

    return test


def _pattern_of_glob(glob: str) -> str:
    parts, begin = [], 0
    for found in _GLOB.finditer(glob):
        parts += [re2.escape(glob[begin : found.start()]), _PARTS_OF_GLOB[found[0]]]
        begin = found.end()
    return "".join([*parts, re2.escape(glob[begin:])])


def _under(values: tuple[str, ...]) -> Test:
    folders = []
    for value in _demand_values(values):
        folder = plain_path(value)
        if folder is None or not folder.parts:
            raise ConditionInvalid(f"{value!r} is no plain folder, such as /srv/data or docs")
        folders.append(folder)

    def test(value: object) -> bool | None:
        if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
            return None
        path = plain_path(value)
        told = [lies_under(path, folder) for folder in folders]
        return True if True in told else None if None in told else False

    return test


def _among_hosts(values: tuple[str, ...]) -> Test:
    patterns = []
    for value in _demand_values(values):
        pattern = pattern_of(value)
        if pattern is None:
            raise ConditionInvalid(
                f"{value!r} is no host: write example.org, *.example.org, 10.0.0.0/8 or ::1, and names of "
                "other scripts with xn--"
            )
        patterns.append(pattern)

    def test(value: object) -> bool | None:
        host = host_of(value) if isinstance(value, str) else None
        return None if host is None else any(is_meant(host, pattern) for pattern in patterns)

    return test


def _demand_number(number: float | None) -> float:
    if number is None:
        raise ConditionInvalid("it names no number")
    return number


def _at_most(number: float | None) -> Test:
    most = _demand_number(number)
    return lambda value: value <= most if is_number(value) else None


def _no_longer_than(number: float | None) -> Test:
    most = _demand_number(number)
    return lambda value: len(value) <= most if isinstance(value, str | list | dict) else None
