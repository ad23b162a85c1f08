"""Tool calls put together from the pieces of a stream.

By the letter of the API the first piece of a call has an index, an id and a name, and the others have the
index and a piece of the arguments. Servers leave out each of them, repeat each of them, or number all calls
alike. So a piece is led to its call by index, id and name together, and a call that is complete takes
nothing more: two calls are never glued together.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from connectors.models.values import mended

STATE_CHARACTERS_MAX: Final = 100_000
_OBJECT_DEPTH_MAX: Final = 3
"""How often arguments may be encoded as a text of JSON within another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallPart:
    """A piece of a tool call that the model asks for."""

    index: int | None
    """Which call of the answer it belongs to; None where the server does not say."""
    id: str
    name: str
    arguments: str
    """A piece of JSON; what came as an object is a whole one."""
    state: str = "{}"
    """What else stood in it, as a JSON object."""


@dataclass(slots=True, kw_only=True)
class ToolCallParts:
    """A call as far as it has come."""

    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    state: dict[str, object] = field(default_factory=dict)

    @property
    def arguments(self) -> str:
        """Its arguments so far: the text of a JSON object where it can be read as one, else as it came."""
        return arguments_of(self.pieces)

    @property
    def state_json(self) -> str | None:
        """What the provider wants back with the call, as a JSON object."""
        text = mended(json.dumps(self.state)) if self.state else ""
        return text if 0 < len(text) <= STATE_CHARACTERS_MAX else None

    @property
    def has_arguments(self) -> bool:
        """Tell whether anything but blanks has come."""
        return any(piece.strip() for piece in self.pieces)

    @property
    def is_complete(self) -> bool:
        """Tell whether its arguments are a whole JSON object, which nothing can be added to."""
        return self.has_arguments and _object_in("".join(self.pieces)) is not None

    def take(self, part: ToolCallPart) -> None:
        """Add a piece that is known to belong to it."""
        self.id = self.id or part.id
        if part.name and part.name != self.name:
            self.name += part.name
        self.pieces.append(part.arguments)
        self.state |= json.loads(part.state)


class ToolCallAssembly:
    """The calls of one answer, in the order in which they began."""

    def __init__(self, offered: Collection[str]) -> None:
        """Begin with none.

        Args:
            offered: names of the tools that the model may call: they tell a name in pieces from two names.
        """
        self.calls: list[ToolCallParts] = []
        self._offered = frozenset(offered)
        self._by_index: dict[int, ToolCallParts] = {}
        self._last: ToolCallParts | None = None

    def take(self, parts: Sequence[ToolCallPart]) -> None:
        """Add the pieces of one object of the stream."""
        for place, part in enumerate(parts):
            # Without any mark, calls that stand side by side are told apart by their place.
            marked = part.index is not None or bool(part.id) or len(parts) == 1
            self._take(part, part.index if marked else place)

    def _take(self, part: ToolCallPart, index: int | None) -> None:
        call = self._meant(part, index)
        if call is not None and self._repeats(call, part):
            return
        if call is None or self._begins_another(call, part):
            call = ToolCallParts()
            self.calls.append(call)
        call.take(part)
        if index is not None:
            self._by_index[index] = call
        self._last = call

    def _meant(self, part: ToolCallPart, index: int | None) -> ToolCallParts | None:
        """Return the call that a piece belongs to, unless it begins another."""
        at_index = self._by_index.get(index) if index is not None else None
        with_id = next((call for call in reversed(self.calls) if part.id and call.id == part.id), None)
        if index is None:
            return with_id or self._last
        if at_index is not None:
            # An id that stands at another index belongs there, unless the piece begins a call.
            elsewhere = with_id is not None and at_index.id != part.id and not part.name
            return with_id if elsewhere else at_index
        if with_id is not None and (not part.name or _goes_on(with_id, part)):
            return with_id
        if part.name or part.id:
            return None
        # A head under a wrong index, whose rest comes under the right one.
        last = self._last
        return last if last is not None and bool(last.name) and not last.is_complete else None

    def _begins_another(self, call: ToolCallParts, part: ToolCallPart) -> bool:
        other_id = bool(part.id and call.id and part.id != call.id)
        if not part.name:
            # Some servers make up a new id for each piece: only what is complete takes no more.
            return other_id and call.is_complete and bool(part.arguments.strip())
        if not call.name:
            return False
        if self._is_name_in_pieces(call, part):
            return False
        if part.name != call.name or other_id:
            return True
        # The name again: each piece may carry it, until the arguments are whole.
        return call.is_complete and bool(part.arguments.strip())

    def _is_name_in_pieces(self, call: ToolCallParts, part: ToolCallPart) -> bool:
        if call.name in self._offered or call.has_arguments or (part.id and part.id != call.id):
            return False
        return any(name.startswith(call.name + part.name) for name in self._offered)

    def _repeats(self, call: ToolCallParts, part: ToolCallPart) -> bool:
        """Tell whether a piece is a whole call that has come before, id and all."""
        same = bool(part.id) and part.id == call.id and part.name == call.name
        return same and call.is_complete and part.arguments == "".join(call.pieces)


def _goes_on(call: ToolCallParts, part: ToolCallPart) -> bool:
    """Tell whether a piece under another index, with id and name of a call, is the rest of that call."""
    return part.name == call.name and not call.is_complete and bool(part.arguments.strip())


def arguments_of(pieces: Sequence[str]) -> str:
    """Return the arguments that the pieces make up: the text of a JSON object, or what came if it is none.

    No arguments are an empty object. An object within a text, within a list of one, or said anew and longer
    with each piece is found; the pieces of a list of texts are joined.
    """
    text = mended("".join(pieces))
    if not text.strip():
        return "{}"
    found = _object_in(text)
    if found is None and len(pieces) > 1:
        # Some servers send all that there is so far with each piece.
        said = [piece for piece in pieces if piece.strip()]
        grows = all(later.startswith(earlier) for earlier, later in pairwise(said))
        found = _object_in(mended(said[-1])) if grows else None
    return text if found is None else found


def _object_in(text: str) -> str | None:
    """Return the JSON object that a text is, or that is wrapped in it; its own words where it is one."""
    for _ in range(_OBJECT_DEPTH_MAX):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if isinstance(value, list):
            if value and all(isinstance(item, str) for item in value):
                value = "".join(value)
            elif len(value) == 1:
                value = value[0]
            if isinstance(value, dict):
                return json.dumps(value, ensure_ascii=False)
        if isinstance(value, dict):
            return text
        if value is None:
            return "{}"
        if not isinstance(value, str):
            return None
        text = value if value.strip() else "{}"
    return None
