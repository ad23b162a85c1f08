"""What a projection says about rows, and how what many events say about one row is folded."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from processors.projections.columns import Column, Resolve
from processors.projections.tables import BY_NAME

Cell = object
"""str, int, float, list[str], or None for 'said nothing'."""
_NOTHING: Final[Mapping[str, Cell]] = MappingProxyType({})
_BIGINT_MAX: Final = 2**63 - 1


class Place(NamedTuple):
    """Where a record stands, and when it was written."""

    topic: str
    """Name in the catalogue, without the configured prefix."""
    partition: int
    offset: int
    timestamp_ms: int = 0
    """The record's own time: what counts for inputs, which may come without one."""


class RowChange(NamedTuple):
    """Some columns of one row. What is not named, or is None, keeps what it has.

    (A tuple: several are made of every event, and making a frozen dataclass takes three times as long.)
    """

    table: str
    key: str
    """The row's id. Every table has one, a UUID."""
    values: Mapping[str, Cell] = _NOTHING
    """By column; none: the row is only to exist, as a parent that others refer to."""


Rows = dict[str, dict[str, dict[str, Cell]]]
"""By table and key the columns that events have set."""


def fold(changes: Iterable[RowChange]) -> Rows:
    """Fold changes, in their order, into one per row: what a column resolves to is its table's to say."""
    rows: Rows = {}
    for table, key, values in changes:
        of_table = rows.get(table)
        if of_table is None:
            of_table = rows[table] = {}
        row = of_table.get(key)
        if row is None:
            of_table[key] = {name: value for name, value in values.items() if value is not None}
        elif values:
            columns = BY_NAME[table].by_name
            for name, value in values.items():
                if value is not None:
                    there = row.get(name)
                    row[name] = value if there is None else _resolved(columns[name], there, value)
    return rows


def _resolved(column: Column, there: Cell, said: Cell) -> Cell:
    match column.resolve:
        case Resolve.LAST:
            return said
        case Resolve.FIRST:
            return there
        case Resolve.GREATEST:
            assert isinstance(there, int)
            assert isinstance(said, int)
            return max(there, said)
        case Resolve.ADD:
            assert isinstance(there, int)
            assert isinstance(said, int)
            return max(-_BIGINT_MAX, min(_BIGINT_MAX, there + said))
