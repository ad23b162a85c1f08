"""Which tools must not be called now, as far as the log tells: what operators stopped, and what is withheld.

Stops hold in every worker. What is withheld of a server is told here for people and for whoever tells it
next; each worker withholds by what its own connection sees.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from schemas.envelope import Envelope
from schemas.events.restraints import (
    EVERY_TOOL,
    ServerToolsRestored,
    ServerToolsWithheld,
    ToolsStarted,
    ToolsStopped,
)
from schemas.ids import derived_id
from schemas.plain import to_plain

SERVER_SEPARATOR: Final = "__"
"""Between a server's name and its tool's; no other tool has it in its name."""
_SEEN_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A stop that holds."""

    name: str
    """Of a tool or a server, or `*` for all."""
    operator: str
    reason: str | None
    stopped_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """What is withheld of a server for a tenant."""

    event_id: str
    fact: ServerToolsWithheld
    told_at_ms: int

    @property
    def is_due(self) -> bool:
        """Tell whether a person should look; what cannot be used at all was never to be accepted."""
        fact = self.fact
        return bool(fact.added or fact.removed or fact.changed or fact.renamed or fact.program_changed)


class Restraints:
    """All restraints that hold."""

    def __init__(self) -> None:
        """Know none."""
        self._stops: dict[str, Stop] = {}
        self._withheld: dict[tuple[str, str], Withheld] = {}
        self._told: dict[tuple[str, str], str] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()

    @property
    def stops(self) -> Mapping[str, Stop]:
        """The stops that hold, by name."""
        return MappingProxyType(self._stops)

    @property
    def withheld(self) -> Mapping[tuple[str, str], Withheld]:
        """What is withheld, by server and tenant."""
        return MappingProxyType(self._withheld)

    def apply(self, event: Envelope) -> bool:
        """Take in a fact of tool.restraints; tells whether any stop has changed.

        An event that stands there again, because whoever wrote it died before it knew, changes nothing.
        """
        if event.event_id in self._seen:
            return False
        self._seen[event.event_id] = None
        if len(self._seen) > _SEEN_MAX:
            self._seen.popitem(last=False)
        match event.body:
            case ToolsStopped() as fact:
                self._stops[fact.name] = Stop(
                    name=fact.name,
                    operator=event.user_id,
                    reason=fact.reason,
                    stopped_at_ms=event.occurred_at_ms,
                )
                return True
            case ToolsStarted() as fact:
                return self._stops.pop(fact.name, None) is not None
            case ServerToolsWithheld() as fact:
                place = fact.server, fact.tenant
                self._told[place] = event.event_id
                self._withheld[place] = Withheld(
                    event_id=event.event_id, fact=fact, told_at_ms=event.occurred_at_ms
                )
            case ServerToolsRestored() as fact:
                self._told[fact.server, fact.tenant] = event.event_id
                self._withheld.pop((fact.server, fact.tenant), None)
            case _:
                pass
        return False

    def stop_of(self, tool: str) -> Stop | None:
        """Return a stop that holds a tool, the widest first; None: it may be called."""
        server, separator, _ = tool.partition(SERVER_SEPARATOR)
        names = (EVERY_TOOL, server, tool) if separator else (EVERY_TOOL, tool)
        return next((self._stops[name] for name in names if name in self._stops), None)

    def news(
        self, found: ServerToolsWithheld | ServerToolsRestored
    ) -> tuple[str, ServerToolsWithheld | ServerToolsRestored] | None:
        """Return what a worker has to tell of a server, with its event id; None: the log says so already.

        The id follows from what was told before, so that workers that find the same at once tell it once.
        """
        place = found.server, found.tenant
        known = self._withheld.get(place)
        if isinstance(found, ServerToolsRestored):
            if known is None:
                return None
        elif known is not None and known.fact == found:
            return None
        digest = repr(to_plain(found))
        return derived_id("restraint", self._told.get(place, ""), type(found).__name__, digest), found


def reason_of(stop: Stop) -> str:
    """Say why a call is not made, for the agent that asked for it."""
    what = "all tools are" if stop.name == EVERY_TOOL else f"{stop.name} is"
    told = f": {stop.reason}" if stop.reason else ""
    return f"{what} stopped by an operator{told}"
