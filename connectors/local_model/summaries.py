"""The summary of a conversation: a line for each text; where room is short those that say least go."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from connectors.local_model.ranking import central
from connectors.text.words import sentences
from schemas.ports.chat import ChatMessage

LINE_CHARACTERS_MAX: Final = 160
_SUMMARY: Final = "Summary of turns "
_NAME: Final = re.compile(r"(?<=[\w,;:] )[A-ZÀ-Þ]\w+")
"""A word with a capital letter that begins no sentence."""
_NUMBER: Final = re.compile(r"\d")
_SPEAKERS: Final = {"The user said:\n": "user", "The answer was:\n": "answer"}


def summary(messages: Sequence[ChatMessage], fits: Callable[[str], bool] = lambda _text: True) -> str:
    """Return the new summary that `messages` ask for: the lines of the old one, and one for each text.

    Args:
        messages: with the summary so far, and what was said since.
        fits: tells whether a text is within the request's limit.
    """
    lines: list[str] = []
    for message in messages:
        if message.role != "user":
            continue
        if message.text.startswith(_SUMMARY):
            lines += [line for line in message.text.split("\n")[1:] if line.strip()]
        for beginning, speaker in _SPEAKERS.items():
            if message.text.startswith(beginning):
                lines.append(f"- {speaker}: {_short(message.text.removeprefix(beginning))}")
    while len(lines) > 1 and not fits("\n".join(lines)):
        # What users told stays longer than what was answered; of two that say as much, the older one goes.
        lines.remove(min(lines, key=_weight))
    return "\n".join(lines) or "- nothing was said"


def _weight(line: str) -> tuple[bool, bool, bool]:
    said = line.removeprefix("- user: ")
    return said != line, _NAME.search(said) is not None, _NUMBER.search(said) is not None


def _short(text: str) -> str:
    told = sentences(text)
    core = told[0] if len(told) == 1 else " ".join(ranked.text for ranked in central(told, 2))
    line = " ".join((core or text).split())
    return line if len(line) <= LINE_CHARACTERS_MAX else f"{line[: LINE_CHARACTERS_MAX - 1]}…"
