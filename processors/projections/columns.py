"""What a column of a projected table is: where its values come from, and what a second event does to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Resolve(StrEnum):
    """What happens to a column that has a value when another event says one."""

    FIRST = "first"
    """It keeps what it has."""
    LAST = "last"
    """It takes the new value."""
    ADD = "add"
    """It takes the sum."""
    GREATEST = "greatest"
    """It takes the greater."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column."""

    name: str
    type: str
    """As Postgres names it."""
    topics: tuple[str, ...]
    """Where values come from. More than one only where each kind of row has its own."""
    meaning: str
    resolve: Resolve = Resolve.LAST
    initial: str = "NULL"
    """SQL of what a new row has where no event has said a value; never the time of writing."""
    belongs: bool = False
    """True when it says whose the row is: the same whoever says it, so that any topic may."""
    into: str = ""
    """Not '': it is no column of the table. Its value goes into that one, and counts there past what other
    topics say, whichever comes first: what came over from V1 was before all that V2 knows."""
    is_of_v1: bool = False
    """True: in a row of V1's own that V2 adopted it is V1's alone, and only a new row gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table with a primary key `id`."""

    name: str
    purpose: str
    columns: tuple[Column, ...]
    version_one: bool = False
    """True when it may stand already, from before; then only columns that it has are written."""
    by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the columns."""
        object.__setattr__(self, "by_name", MappingProxyType({c.name: c for c in self.columns}))

    @property
    def stored(self) -> tuple[Column, ...]:
        """The columns that the table has: all but those whose values go into another one."""
        return tuple(column for column in self.columns if not column.into)

    def past_of(self, column: Column) -> Column | None:
        """Return what goes into a column from V1; None: nothing does."""
        return next((one for one in self.columns if one.into == column.name), None)


def column(
    name: str,
    type_: str,
    topic: str | tuple[str, ...],
    meaning: str,
    resolve: Resolve = Resolve.LAST,
    initial: str = "NULL",
) -> Column:
    """Return a column whose values come from one topic, or each kind of row's from its own."""
    topics = topic if isinstance(topic, tuple) else (topic,)
    return Column(name=name, type=type_, topics=topics, meaning=meaning, resolve=resolve, initial=initial)
