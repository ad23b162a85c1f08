"""Whether a text may hold a person's words: each text field of an event says so.

What says or names people must be found when somebody asks that their data be erased; what the program itself
wrote may stay. A model's words count as a person's, since they repeat them; so do names that a model or a
producer chooses freely. `privacy_of` reads what a class says.
"""

from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Final, TypeAlias, get_args, get_origin, get_type_hints


class Privacy(StrEnum):
    """Whose words a text may hold."""

    PERSONAL = "personal"
    """A person's, or a name of the person."""
    IMPERSONAL = "impersonal"
    """Only the program's, its operator's or a provider's: ids, names, codes and configuration."""


Personal: TypeAlias = Annotated[str, Privacy.PERSONAL]
"""A text that may hold a person's words, or name the person."""
Impersonal: TypeAlias = Annotated[str, Privacy.IMPERSONAL]
"""A text that holds no person's words: an id, a name, a code or a part of the configuration."""
PersonalBytes: TypeAlias = Annotated[bytes, Privacy.PERSONAL]
"""Bytes that may hold a person's words."""

_TEXTS: Final = (str, bytes)


def privacy_of(cls: type) -> dict[str, Privacy]:
    """Return what a record class says of its fields that hold texts of any value.

    Fields of other types, and words of the contract (`schemas/words.py`), need to say nothing.

    Raises:
        TypeError: a field that may hold any text does not say whether a person's words may be in it.
    """
    told: dict[str, Privacy] = {}
    plain, annotated = get_type_hints(cls), get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        privacy = _told(annotated[field.name])
        if privacy is not None:
            told[field.name] = privacy
        elif _holds_text(plain[field.name]):
            raise TypeError(f"{cls.__name__}.{field.name} does not say whether it may hold a person's words")
    return told


def _told(hint: object) -> Privacy | None:
    if get_origin(hint) is Annotated:
        return next((part for part in get_args(hint)[1:] if isinstance(part, Privacy)), None)
    return next((told for inner in get_args(hint) if (told := _told(inner)) is not None), None)


def _holds_text(hint: object) -> bool:
    if isinstance(hint, type) and not get_args(hint):
        # Records say it themselves, and words of the contract are of a few values.
        return hint in _TEXTS
    return any(_holds_text(inner) for inner in get_args(hint))
