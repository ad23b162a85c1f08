"""References: where on the log a text stands, so that state and calls stay small."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReference:
    """Coordinates of one Kafka record; the topics that are the truth keep it for ever."""

    topic: str
    """Topic name without the configured prefix, for example `model.results`."""
    partition: int
    offset: int
    event_id: str
    tokens: int
    """Tokens of the text in that record, counted when it was written; 0 when it has none."""
