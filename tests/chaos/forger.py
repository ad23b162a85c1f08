"""A stranger who may write to the topics of outcomes, and tells there what nobody did."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Final

from schemas.envelope import Envelope
from schemas.ids import derived_id
from schemas.wire.codec import Codec
from tests.invariants.calls import RESULTS
from tests.invariants.reservations import CALLS
from tests.simulation.provider import forged_outcome
from tests.simulation.users import STRANGER
from topics.catalog import BY_NAME, TOPICS

FORGED_OF: Final = ("model.calls", "tool.calls", "model.results", "tool.results")
"""A call is told the outcome of, for nothing, less than nothing or far too much, or as one of the other kind;
an outcome is told once more under another event id."""
_FRAME_BYTES: Final = 5
"""A zero byte and the schema's id, before each value."""


class Forger:
    """Makes values as an outsider does: by the schemas alone, with the ids that the registry gave them."""

    def __init__(self, seed: int) -> None:
        """Draw by a seed."""
        self._codec = Codec.offline(TOPICS)
        self._heads = {
            topic.name: b"\0" + number.to_bytes(_FRAME_BYTES - 1, "big")
            for number, topic in enumerate(TOPICS, start=1)
        }
        self._random = Random(seed)
        self._made = 0

    def forged(self, topic: str, value: bytes) -> Envelope | None:
        """Return an outcome that is none, after a record of one of FORGED_OF; None: it was forged itself."""
        event = asyncio.run(self._codec.decode(self._heads[topic] + value[_FRAME_BYTES:]))
        if event.producer == STRANGER:
            return None
        if isinstance(event.body, CALLS):
            body, cause = forged_outcome(self._random, event.body), event.event_id
        else:
            assert isinstance(event.body, RESULTS)
            body, cause = event.body, event.causation_id or ""
        self._made += 1
        return Envelope(
            event_id=derived_id(STRANGER, event.event_id, str(self._made)),
            type=type(body).__name__,
            session_id=event.session_id,
            causation_id=cause,
            producer=STRANGER,
            occurred_at_ms=event.occurred_at_ms,
            body=body,
        )

    def value(self, topic: str, event: Envelope, beside: Sequence[bytes]) -> bytes | None:
        """Return the value of a record, framed as those that stand on its topic; None: there is none yet."""
        if not beside:
            return None
        return beside[-1][:_FRAME_BYTES] + self._codec.encode(BY_NAME[topic], event)[_FRAME_BYTES:]
