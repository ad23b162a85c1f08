"""Finds out which tables this database wants written, and which of V1's have to be left alone and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.projections.columns import Table
from processors.projections.tables import TABLES
from sinks.errors import DatabaseUnfit
from sinks.forms import Obstacle, Target, form_of, own_name, own_target
from sinks.mapping import V1_TABLES, IdForm, VersionOne
from sinks.rehearsal import rehearse

_PARENT: Final = "sessions"
"""The one table of V1 that V2's own refer to."""
_IS_THERE: Final = "SELECT to_regclass(quote_ident(current_schema()) || '.' || quote_ident(%s)) IS NOT NULL"
ADDED: Final = ("task_id", "graph_node", "cost_tokens")
"""Columns of conversation_messages that V2 adds to V1's."""


class ParentUnfit(DatabaseUnfit):
    """V1's sessions, which V2's tables refer to, cannot be written any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What is written, and what is not."""

    targets: tuple[Target, ...]
    """Parents first."""
    left_alone: Mapping[str, tuple[Obstacle, ...]]
    """By table of V1 what is in the way; nothing where its owner wants it left alone."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the tables that are written."""
        return tuple(target.name for target in self.targets)

    @property
    def lacking(self) -> tuple[str, ...]:
        """Return the tables of V1 that are left alone though V2 has none of its own in their place."""
        there = {target.table.name for target in self.targets}
        return tuple(name for name in self.left_alone if name not in there)


async def fitted(connection: AsyncConnection[TupleRow], mapping: VersionOne) -> Fitted:
    """Look at the tables, and try those of V1.

    Raises:
        ParentUnfit: V2's tables refer to V1's sessions, which cannot be written.
        DatabaseUnfit: tables are missing.
    """
    own: dict[str, Target] = {}
    for table in TABLES:
        name = own_name(table.name) if table.version_one else table.name
        if not table.version_one or await is_there(connection, name):
            own[table.name] = await own_target(connection, table, name)
    of_v1, left_alone = await _of_v1(connection, mapping, may_lack=frozenset(own))
    if _PARENT in left_alone and _PARENT not in own:
        told = "; ".join(f"{one}: {one.remedy}" for one in left_alone[_PARENT]) or "it is to be left alone"
        raise ParentUnfit(f"V2's tables refer to V1's sessions, which cannot be written: {told}")
    targets = []
    for table in TABLES:
        targets += [one[table.name] for one in (own, of_v1) if table.name in one]
    return Fitted(targets=tuple(targets), left_alone=left_alone)


async def unfit(connection: AsyncConnection[TupleRow], mapping: VersionOne) -> tuple[str, ...]:
    """Return the tables of V1 in whose place V2 needs one of its own."""
    found = []
    of_v1, left_alone = await _of_v1(connection, mapping, may_lack=frozenset(t.name for t in TABLES))
    for table in TABLES:
        if not table.version_one or await is_there(connection, own_name(table.name)):
            continue
        target = of_v1.get(table.name)
        if table.name in left_alone or (target is not None and not _is_shared(table, target)):
            found.append(table.name)
    if _PARENT in found:
        # What V1 does not have would refer to V2's sessions, and so is V2's as well.
        lacking = [name for name in V1_TABLES if not await is_there(connection, name)]
        found += [name for name in lacking if not await is_there(connection, own_name(name))]
    return tuple(found)


async def is_there(connection: AsyncConnection[TupleRow], name: str) -> bool:
    """Tell whether there is a table of that name in the schema in which tables are made."""
    cursor = await connection.execute(_IS_THERE, [name])
    return await cursor.fetchone() == (True,)


async def _of_v1(
    connection: AsyncConnection[TupleRow], mapping: VersionOne, may_lack: frozenset[str]
) -> tuple[dict[str, Target], dict[str, tuple[Obstacle, ...]]]:
    """Return the tables of V1 that can be written, and what is in the way of the others."""
    fits: dict[str, Target] = {}
    left_alone: dict[str, tuple[Obstacle, ...]] = {}
    sessions = IdForm.UUID
    for table in TABLES:
        if not table.version_one or (table.name in may_lack and not await is_there(connection, table.name)):
            continue
        said = mapping.of(table.name)
        if said.skip:
            left_alone[table.name] = ()
            continue
        found = await form_of(connection, table, table.name, said, sessions)
        if isinstance(found, Target):
            fits[table.name] = found
            sessions = said.id if table.name == _PARENT else sessions
        else:
            left_alone[table.name] = found
    refused = await rehearse(connection, list(fits.values()))
    left_alone.update(refused)
    return {name: target for name, target in fits.items() if name not in refused}, left_alone


def _is_shared(table: Table, target: Target) -> bool:
    """Tell whether a table of V1 has all of V2's form, so that it is V2's table too."""
    there = {one.column.name for one in target.columns if one.name == one.column.name and not one.words}
    lacks = {column.name for column in table.stored} - there - set(ADDED)
    return target.form is IdForm.UUID and not lacks
