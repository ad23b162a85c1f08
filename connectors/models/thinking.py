"""What a model thinks aloud before it answers, told from its answer: tags in the text of the answer."""

import re
from typing import Final

_OPENING: Final = ("<think>", "<thinking>", "<thought>", "<reasoning>")
_CLOSING: Final = ("</think>", "</thinking>", "</thought>", "</reasoning>")


# Quoted it is spoken of.
_END: Final = re.compile(r"(?<![`'\"])</(?:think|thinking|thought|reasoning)>(?![`'\"])")


def without_thoughts(text: str) -> tuple[str, str]:
    """Return what of a whole text is the answer, and what was thought before it.

    Some templates open the thoughts in the prompt, so that their end alone stands in what comes.
    """
    ends = list(_END.finditer(text))
    if len(ends) != 1 or any(opening in text for opening in _OPENING):
        return text, ""
    return text[ends[0].end() :].lstrip(), text[: ends[0].start()]


class ThinkingFilter:
    """Lets an answer through piece by piece, and holds back the thoughts that it begins with."""

    def __init__(self) -> None:
        """Begin before the first character."""
        self.thinking: list[str] = []
        """What was held back for good."""
        self._held = ""
        self._closing = ""
        self._is_answer = False

    def take(self, text: str) -> str:
        """Return what of `text`, and of what was held back, belongs to the answer for certain."""
        if self._is_answer:
            return text
        self._held += text
        if self._closing:
            return self._close()
        begun = self._held.lstrip()
        for opening, closing in zip(_OPENING, _CLOSING, strict=True):
            if begun.startswith(opening):
                self._closing, self._held = closing, begun[len(opening) :]
                return self._close()
        if any(opening.startswith(begun) for opening in _OPENING):
            return ""
        return self._answer(self._held)

    def finish(self) -> str:
        """Return what is left at the end; thoughts that never end are no answer."""
        if self._closing:
            self.thinking.append(self._held)
            self._held = ""
            return ""
        return self._answer(self._held)

    def _close(self) -> str:
        thought, closing, answer = self._held.partition(self._closing)
        if not closing:
            # All but what may be the beginning of the closing tag is settled.
            kept = len(self._closing) - 1
            self.thinking.append(self._held[:-kept])
            self._held = self._held[-kept:]
            return ""
        self.thinking.append(thought)
        self._held, self._closing = answer, ""
        if not answer.strip():
            return ""
        return self._answer(answer.lstrip())

    def _answer(self, text: str) -> str:
        self._is_answer, self._held = True, ""
        return text
