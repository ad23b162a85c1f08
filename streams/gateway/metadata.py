"""What senders say of their sessions and messages in a form of their own."""

import json
from collections.abc import Mapping
from typing import Final

from streams.gateway.problems import Problem

DEPTH_MAX: Final = 32
"""Of JSON that a sender adds."""


def metadata_json(metadata: Mapping[str, object]) -> str | None:
    """Return a sender's own object as events carry it; None: it is empty.

    Raises:
        Problem: it is nested too deep.
    """
    if _depth(metadata) > DEPTH_MAX:
        raise Problem(422, f"it is nested deeper than {DEPTH_MAX}", code="invalid_request", param="metadata")
    return json.dumps(metadata, ensure_ascii=False, separators=(",", ":")) if metadata else None


def _depth(value: object) -> int:
    """Return how deep JSON is nested: 0 for what holds nothing."""
    deepest, level = -1, [value]
    while level:
        deepest += 1
        level = [
            inner
            for one in level
            if isinstance(one, Mapping | list)
            for inner in (one.values() if isinstance(one, Mapping) else one)
        ]
    return deepest
