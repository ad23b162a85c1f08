"""What a session keeps of its past, by reference: earlier turns, and the summary of those before them."""

from dataclasses import dataclass

from processors.provenance import UNNOTED, Provenance
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
    said: Provenance = UNNOTED
    """What the message is made of."""
    made_from: Provenance = UNNOTED
    """What the answer is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedMessage:
    """A message that came over from V1."""

    is_users: bool
    """False: an answer."""
    reference: RecordReference
    characters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPast:
    """What was said before the first turn, in another system; what that says is a claim."""

    event_id: str
    """Of the input that told of it."""
    tenant_id: str
    user_id: str
    """Whose conversation it was."""
    origin: str
    messages: int
    """How many there were."""
    told: tuple[ImportedMessage, ...]
    """The latest, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The summary of the first turns, which a model wrote."""

    reference: RecordReference
    characters: int
    """How long its text is."""
    turns: int
    """It tells of turns 1 to this; 0: only of what came over."""
    outside: bool = False
    """As of the least trusted of what it was made from."""
    imported: bool = False
    """Whether it tells of what came over from V1 as well."""
    made_from: Provenance = UNNOTED


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
    imported: bool = False
    """Whether what came over from V1 goes into it."""
    made_from: Provenance = UNNOTED
