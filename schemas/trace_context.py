"""The W3C trace context, by which what others trace and what stands on the log belong together."""

import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")


def parsed(traceparent: str | None) -> tuple[str, str] | None:
    """Return the ids of trace and span that a traceparent names, in hexadecimal digits; None: it is none."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return None if found is None else (found[1], found[2])
