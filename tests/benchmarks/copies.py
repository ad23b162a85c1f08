"""Many sessions out of one: the same events under ever other ids."""

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from schemas.envelope import Envelope
from schemas.plain import from_plain, to_plain

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def copies(events: Sequence[Envelope], number: int) -> Iterator[list[Envelope]]:
    """Give `events` `number` times, each time with ids of their own that refer to each other as before."""
    texts = [orjson.dumps(to_plain(event)).decode() for event in events]
    for _ in range(number):
        namespace = uuid.uuid4()
        yield [
            from_plain(
                Envelope,
                orjson.loads(_UUID.sub(lambda old: str(uuid.uuid5(namespace, old[0])), text)),  # noqa: B023  # used at once
            )
            for text in texts
        ]
