"""References: where on the log a text stands, so that state and calls stay small."""

from dataclasses import dataclass

from schemas.privacy import Impersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReference:
    """Coordinates of one Kafka record; the topics that are the truth keep it for ever."""

    topic: Impersonal
    """Topic name without the configured prefix, for example `model.results`."""
    partition: int
    offset: int
    event_id: Impersonal
    tokens: int
    """Tokens of the text in that record, counted when it was written; 0 when it has none."""
