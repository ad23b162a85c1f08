"""What a session keeps of its past, by reference: earlier turns, and the summary of those before them."""

from dataclasses import dataclass

from schemas.references import RecordReference


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An earlier turn: what was asked and answered."""

    message: RecordReference
    answer: RecordReference | None = None
    """None: no model gave one."""
    message_characters: int = 0
    """How long the text is; 0: it was not noted."""
    answer_characters: int = 0
    outside: bool = False
    """Whether documents, attachments or tools had a part in the answer, in this turn or in one that was told
    to whoever wrote it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The summary of the first turns, which a model wrote."""

    reference: RecordReference
    characters: int
    """How long its text is."""
    turns: int
    """It tells of turns 1 to this."""
    outside: bool = False
    """As of the least trusted of what it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryCall:
    """A summary that is being written."""

    call_id: str
    exchanges: int
    """So many of the oldest turns in the history go into it."""
    turns: int
    """It will tell of turns 1 to this."""
    tokens_estimated: int
    """How long its prompt was thought to be."""
    outside: bool = False
    """As of the least trusted of what goes into it."""
