"""Tool calls that a model writes into its text, since its server does not read them out of it.

Models are trained to write calls in a form of their own; a server that lacks the reader for it hands them on
as text, which nobody can use. Only a call of a tool that was offered is one, and only where the form leaves
no doubt: in its tags, or as JSON that is the whole answer.
"""

import json
import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

_TAGS: Final = re.compile(
    r"<(tool_call|function_call|toolcall)>\s*(?P<inner>.*?)\s*(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE
)
_FUNCTION: Final = re.compile(
    r"<function=(?P<name>[\w.:-]+)>\s*(?P<inner>.*?)\s*(?:</function>|\Z)", re.DOTALL | re.IGNORECASE
)
_PARAMETER: Final = re.compile(
    r"<parameter=(?P<name>[\w.-]+)>\n?(?P<value>.*?)\n?</parameter>", re.DOTALL | re.IGNORECASE
)
_MARK: Final = re.compile(r"\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_call\|>", re.IGNORECASE)
_NAMED: Final = re.compile(r"(?P<name>[\w.:-]+)\s*(?:\[ARGS\])?\s*(?P<inner>\{.*)", re.DOTALL)
_FENCE: Final = re.compile(r"```[\w-]*\s*(?P<inner>.*?)\s*```", re.DOTALL)
_ARGUMENTS: Final = ("arguments", "parameters")
_PREFIX: Final = re.compile(r"(?:functions?|tools?|default_api)[.:/]|:\d{1,4}\Z")
_CALLS_MAX: Final = 64


class WrittenCall(NamedTuple):
    """One call."""

    name: str
    """Of a tool that was offered."""
    arguments_json: str


def written_calls(text: str, offered: Collection[str]) -> tuple[str, list[WrittenCall]]:
    """Return what the text says before its calls, and the calls; all of it and none where it has none.

    Args:
        text: of an answer.
        offered: names of the tools that the model may call.
    """
    marks = (form.search(text) for form in (_TAGS, _FUNCTION, _MARK))
    marked = min((mark.start() for mark in marks if mark is not None), default=None)
    before, rest = ("", text) if marked is None else (text[:marked], text[marked:])
    try:
        found = list(_calls(rest, is_marked=marked is not None))
    except (ValueError, RecursionError):
        return text, []
    named = [WrittenCall(offered_name(name, offered), arguments) for name, arguments in found[:_CALLS_MAX]]
    if not named or any(call.name not in offered for call in named):
        return text, []
    return before.rstrip(), named


def offered_name(name: str, offered: Collection[str]) -> str:
    """Return the offered name that a model means: some write a prefix before it, or a number behind it."""
    bare = _PREFIX.sub("", name)
    return bare if name not in offered and bare in offered else name


def _calls(text: str, *, is_marked: bool) -> Iterator[tuple[str, str]]:
    """Yield names and arguments; raises ValueError where something is no call."""
    if not is_marked:
        fenced = _FENCE.fullmatch(text.strip())
        yield from _of_json(json.loads(fenced["inner"] if fenced else text))
        return
    place = 0
    while place < len(text):
        match = _TAGS.match(text, place) or _FUNCTION.match(text, place) or _MARK.match(text, place)
        if match is None:
            if text[place:].strip():
                raise ValueError("words behind a call")
            return
        place = match.end()
        if match.re is _MARK:
            following = _MARK.search(text, place)
            end = following.start() if following else len(text)
            yield from _of_text(text[place:end])
            place = end
        elif match.re is _FUNCTION:
            yield _of_function(match)
        else:
            inner = match["inner"]
            functions = list(_FUNCTION.finditer(inner))
            yield from map(_of_function, functions) if functions else _of_text(inner)
        while place < len(text) and text[place].isspace():
            place += 1


def _of_text(text: str) -> Iterator[tuple[str, str]]:
    """Read JSON, or a name with JSON behind it."""
    named = _NAMED.fullmatch(text.strip())
    if named is None:
        yield from _of_json(json.loads(text))
        return
    yield named["name"], _arguments(json.loads(named["inner"]))


def _of_function(match: "re.Match[str]") -> tuple[str, str]:
    inner = match["inner"]
    parameters = {one["name"]: _value(one["value"]) for one in _PARAMETER.finditer(inner)}
    return match["name"], _arguments(parameters or json.loads(inner))


def _of_json(value: object) -> Iterator[tuple[str, str]]:
    for one in value if isinstance(value, list) else [value]:
        outer = one if isinstance(one, dict) else {}
        inner = outer.get("function")
        call = inner if isinstance(inner, dict) else outer
        given = [call[name] for name in _ARGUMENTS if name in call]
        name = call.get("name")
        if not isinstance(name, str) or len(given) != 1:
            raise ValueError("no call")
        yield name, _arguments(given[0])


def _arguments(value: object) -> str:
    found = json.loads(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise ValueError("arguments are an object")
    return json.dumps(found, ensure_ascii=False)


def _value(text: str) -> object:
    """Return a parameter's value: JSON where it is some, else the text."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value
