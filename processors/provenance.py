"""Provenance: whose word texts are, carried from them to all that is made of them.

A text that a model wrote is as little trusted as the least of what the model read. Nothing that a model makes
of an untrusted text makes it trusted again, be it a plan, a result or a summary.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.configuration import ToolSpec
from schemas.events.models import ChatRole
from schemas.events.trust import Trust
from schemas.frozen import replace

_MOST_TRUSTED_FIRST: Final = (
    Trust.SYSTEM,
    Trust.USER,
    Trust.TOOL,
    Trust.UNKNOWN,
    Trust.DOCUMENT,
    Trust.CLAIM,
)
_RANKS: Final = {trust: rank for rank, trust in enumerate(_MOST_TRUSTED_FIRST)}
VOUCHED: Final = "tool"
"""What a tool's specification says whose word is its own."""
FOREIGN: Final = "__"
"""In the name of each tool of a server that is not ours, between the server's name and its own."""
_INSIDE: Final = frozenset({"retrieval", "analysis", "computation", "ml"})
"""Categories of tools that change nothing outside, and tell nobody outside anything."""
_COMPUTES: Final = frozenset({"computation", "ml"})
"""Categories whose results tell nothing but what is made of the arguments."""
_HARMLESS: Final = "safe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What something was made of: whose word the least trusted part is, and what data is in it."""

    trust: Trust = Trust.UNKNOWN
    why: str = ""
    """The untrusted part, in words that no person or model wrote; empty: there is none."""
    data: str = ""
    """What it holds beside the user's message, in such words; empty: nothing."""

    @property
    def is_untrusted(self) -> bool:
        """Tell whether others than user, tools and configuration had a say; not noted is not untrusted."""
        return is_untrusted(self.trust)


UNNOTED: Final = Provenance()
"""Of what a behaviour before 18 has left in a state."""
NOTHING: Final = Provenance(trust=Trust.SYSTEM)
"""What no text has gone into yet."""
USERS: Final = Provenance(trust=Trust.USER)
ATTACHED: Final = Provenance(trust=Trust.DOCUMENT, why="an attachment", data="an attachment")
CLAIMED: Final = Provenance(
    trust=Trust.CLAIM,
    why="what a client says was said before",
    data="what a client says was said before",
)
FORKED: Final = Provenance(
    trust=Trust.CLAIM, why="a result that a fork brought", data="a result that a fork brought"
)
CAME_OVER: Final = Provenance(
    trust=Trust.CLAIM, why="what came over from another system", data="what came over from another system"
)
_EARLIER: Final = "earlier turns"


def lowest(*levels: Trust) -> Trust:
    """Return the least trusted of some levels; one that only a newer program knows is trusted as a claim."""
    return max((one if one in _RANKS else Trust.CLAIM for one in levels), key=_RANKS.__getitem__)


def is_untrusted(trust: Trust) -> bool:
    """Tell whether a level is that of documents, or below it."""
    return _RANKS.get(trust, _RANKS[Trust.CLAIM]) >= _RANKS[Trust.DOCUMENT]


def joined(*parts: Provenance) -> Provenance:
    """Return what is made of several parts; the first of the least trusted ones tells why."""
    trust = lowest(*(part.trust for part in parts))
    return Provenance(
        trust=trust,
        why=next((part.why for part in parts if part.trust == trust and part.why), ""),
        data=next((part.data for part in parts if part.data), ""),
    )


def of_message(trust: Trust, *, attachments: bool) -> Provenance:
    """Return whose word a message is: its sender may say less of it than `user`, and never more."""
    parts = [USERS]
    if is_untrusted(trust):
        parts.append(replace(CLAIMED, trust=lowest(trust)))
    if attachments:
        parts.append(ATTACHED)
    return joined(*parts)


def of_roles(roles: Iterable[str]) -> Provenance:
    """Return whose word a client's messages are: what it tells of others than its user is a claim."""
    return USERS if all(role == ChatRole.USER for role in roles) else CLAIMED


def of_result(spec: ToolSpec | None, tool: str, given: Provenance) -> Provenance:
    """Return whose word a tool's result is, or its error.

    Args:
        spec: of the tool; None: it is not registered any more.
        tool: its name.
        given: what its arguments were made of.
    """
    told = f"a result of {tool}"
    data = told if spec is None or gives_data(spec) else ""
    if spec is not None and spec.trust == VOUCHED:
        return Provenance(trust=lowest(Trust.TOOL, given.trust), why=given.why, data=data)
    return Provenance(trust=Trust.DOCUMENT, why=told, data=data)


def of_descriptions(specs: tuple[ToolSpec, ...]) -> Provenance:
    """Return whose word the descriptions of tools are that a prompt offers: of a foreign one its server's."""
    for spec in specs:
        if FOREIGN in spec.name and spec.trust != VOUCHED:
            return Provenance(trust=Trust.DOCUMENT, why=f"the description of {spec.name}")
    return NOTHING


def of_past(parts: tuple[Provenance, ...]) -> Provenance:
    """Return what the past of a session is made of, whatever of it is told; without parts there is none."""
    return replace(joined(*parts), data=_EARLIER) if parts else NOTHING


def acts_outside(spec: ToolSpec) -> bool:
    """Tell whether a call of a tool can change something outside, or tell somebody there something."""
    return spec.category not in _INSIDE if spec.acts_outside is None else spec.acts_outside


def gives_data(spec: ToolSpec) -> bool:
    """Tell whether a tool's result can hold data that is not for everybody."""
    return spec.category not in _COMPUTES if spec.sensitive is None else spec.sensitive


def reaches_data(spec: ToolSpec) -> bool:
    """Tell whether a call alone reaches what is not for everybody, such as somebody's money or mail.

    Of tools that act outside it is taken for granted unless they are safe, or say otherwise.
    """
    if spec.sensitive is not None:
        return spec.sensitive
    return acts_outside(spec) and spec.safety_level != _HARMLESS
