"""Structured output found in what a model writes around it: fences, a sentence, thoughts in tags."""

import json
import re
from typing import Final

ATTEMPTS_MAX: Final = 200
"""Places at which JSON may begin that are tried; a text with more of them is no structured output."""
_THOUGHTS: Final = re.compile(
    r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE
)
_THOUGHTS_END: Final = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_BEGINNING: Final = re.compile(r"[{\[]")
_DECODER: Final = json.JSONDecoder()


def values_in(text: str) -> list[object]:
    """Return the JSON objects and lists that stand in a text, the last first: drafts come before what counts.

    A text that is JSON as a whole is that alone. What a model thinks aloud in tags is no part of its answer.
    """
    answer = _THOUGHTS.sub(" ", text)
    # Some templates open the thoughts in the prompt, so that only their end is in the answer.
    answer = _THOUGHTS_END.split(answer)[-1].strip("\ufeff \t\r\n")
    try:
        return [json.loads(answer)]
    except (ValueError, RecursionError):
        return _scattered(answer)


def _scattered(text: str) -> list[object]:
    found: list[object] = []
    place = 0
    for _ in range(ATTEMPTS_MAX):
        match = _BEGINNING.search(text, place)
        if match is None:
            break
        try:
            value, place = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            place = match.start() + 1
            continue
        found.append(value)
    return found[::-1]
