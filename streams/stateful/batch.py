"""A batch of inputs on its way through a shell with state: what it touched, and then what it writes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from streams.records.delivery import Entry, Outgoing
from streams.stateful.loaded import Loaded

State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed(Generic[State]):
    """What a batch writes; whatever is decided from now on changes nothing of it."""

    generation: int
    letters: Sequence[Outgoing]
    refused: Sequence[Loaded[State]]
    """Keys by whose state some of the letters were written."""
    known: Sequence[Entry]
    """Records of inputs that the states below know no longer."""
    stored: Sequence[tuple[Loaded[State], Entry, int]]
    """Changed keys with their records, and when they are due."""
    published: Sequence[tuple[Loaded[State], Sequence[Outgoing]]]

    def proofs(self, table: Mapping[bytes, bytes]) -> list[Entry]:
        """Return records that change nothing, and that Kafka takes from nobody but the keys' owner."""
        return [Entry(one.key, table.get(one.key), one.partition) for one in self.refused]


@dataclass(slots=True, kw_only=True)
class Batch(Generic[State]):
    """What a batch has come to so far."""

    generation: int
    """Of the ownership under which it began."""
    touched: dict[bytes, Loaded[State]] = field(default_factory=dict)
    letters: list[Outgoing] = field(default_factory=list)
    refused: dict[bytes, Loaded[State]] = field(default_factory=dict)
    """Keys by whose state an input was refused."""
    applied: Counter[str] = field(default_factory=Counter)
    """How many inputs, by their topic."""

    def seal(self, known: Sequence[Entry] = ()) -> Sealed[State]:
        """Take what is to be written, `known` among it, and leave nothing to be written twice."""
        stored, published = [], []
        for loaded in self.touched.values():
            if loaded.changed:
                entry = Entry(key=loaded.key, value=loaded.encode(), partition=loaded.partition)
                stored.append((loaded, entry, loaded.stored.due_at_ms))
                loaded.changed = False
                loaded.storing += 1
            if records := loaded.take_unpublished():
                published.append((loaded, records))
        letters, self.letters = self.letters, []
        refused, self.refused = [*self.refused.values()], {}
        return Sealed(
            generation=self.generation,
            letters=letters,
            refused=refused,
            known=known,
            stored=stored,
            published=published,
        )
