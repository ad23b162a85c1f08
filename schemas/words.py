"""Words of the contract: fields that can have one of a few values, each an enumeration.

On the log and in states a word is its text, so that the contract stays open: a reader that meets a word of
a newer program keeps the text, stores it and passes it on; deciders treat it as any word that they do not
name.
"""

import ast
import inspect
import textwrap
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Self, cast


class Word(StrEnum):
    """One of a few values; a text beneath a member says what it means."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        # Not one of the members, and so not equal to any: only the text is known.
        word = str.__new__(cls, value)
        word._name_ = "UNKNOWN"
        word._value_ = value
        return word

    @property
    def is_known(self) -> bool:
        """Tell whether it is one of the members, not a text that only a newer program understands."""
        return self._name_ in type(self).__members__


class _Words(dict[str, Word]):
    """The members by text; other texts become words that are not kept, since there may be any number."""

    def __init__(self, cls: type[Word]) -> None:
        super().__init__({word.value: word for word in cls})
        self._cls = cls

    def __missing__(self, text: str) -> Word:
        return self._cls(text)


class _EncodedWords(dict[bytes, Word]):
    """The same by the text's UTF-8 bytes."""

    def __init__(self, cls: type[Word]) -> None:
        super().__init__({word.value.encode(): word for word in cls})
        self._cls = cls

    def __missing__(self, encoded: bytes) -> Word:
        return self._cls(encoded.decode())


@cache
def words_of(cls: type[Word]) -> dict[str, Word]:
    """Return what gives the word for any text by `words[text]`, quicker than the class does."""
    return _Words(cls)


@cache
def encoded_words_of(cls: type[Word]) -> dict[bytes, Word]:
    """Return what gives the word for a text's UTF-8 bytes, for any text.

    Asking it for bytes that are no UTF-8 raises UnicodeDecodeError.
    """
    return _EncodedWords(cls)


@cache
def meanings_of(cls: type[Word]) -> dict[str, str]:
    """Return the members' texts in their order, each with what the class says it means, or ''."""
    meanings = {word.value: "" for word in cls}
    body = cast("ast.ClassDef", ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]).body
    for member, following in pairwise(body):
        if (
            isinstance(member, ast.Assign)
            and isinstance(member.targets[0], ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            meanings[cls[member.targets[0].id].value] = " ".join(str(following.value.value).split())
    return meanings


def listed(cls: type[Word]) -> str:
    """Return the members' texts as a sentence has them: `a, b or c`."""
    *others, last = [word.value for word in cls]
    return f"{', '.join(others)} or {last}" if others else last
