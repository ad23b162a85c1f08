"""Which events set budget aside: the requests of calls that may cost something."""

from typing import Final

from schemas.events.models import ModelCallRequested
from schemas.events.tools import ToolCallRequested

Call = ModelCallRequested | ToolCallRequested
CALLS: Final = (ModelCallRequested, ToolCallRequested)


def reserving(fact: object) -> Call | None:
    """Return the request of a call if it reserves anything."""
    return fact if isinstance(fact, CALLS) and fact.reserved_tokens > 0 else None
