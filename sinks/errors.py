"""What can go wrong between Kafka and Postgres, by what is to be done about it."""

import re
from typing import Final

import psycopg

# SQLSTATE classes of what is wrong with a row: another try gives the same, and its neighbours are fine.
# 54 is a limit of the program, such as an index entry that is too large.
_OF_THE_ROW: Final = frozenset({"22", "23", "54"})
# Connection, transaction rollback (serialization, deadlock), resources, operator, system.
# A read-only transaction (25006) is a standby that is not yet the primary.
_PASSING: Final = frozenset({"08", "25", "40", "53", "55", "57", "58"})
# What libpq says of a setting that no waiting mends; it gives no SQLSTATE then.
_UNFIT: Final = re.compile(
    r"authentication failed|no pg_hba\.conf entry|(?:role|database) \".*\" does not exist|invalid dsn|"
    r"missing \"=\"|invalid connection option"
)


class SinkStopped(Exception):
    """The sink cannot go on until a person has acted."""


class TopicRecreated(SinkStopped):
    """A topic is not the one that was read before: what Postgres holds is of another log."""


class RecordsMissing(SinkStopped):
    """Records that were not read yet are no longer on the log."""


class DatabaseUnfit(SinkStopped):
    """The database lacks tables or columns, or refuses what has nothing to do with a row."""


class MigrationRefused(Exception):
    """The database cannot be migrated as it is; nothing was changed, and the text tells what to do."""


class OffsetsMoved(Exception):
    """Another sink has written these partitions meanwhile: nothing was written here."""


class RowRefused(Exception):
    """The database refuses a row, now and ever."""

    def __init__(self, reason: str, *, mirrors: frozenset[str] = frozenset(), of_v1: bool = False) -> None:
        """Note why.

        Args:
            reason: what the database says.
            mirrors: the tables of V1 that refuse it, where nothing of V2's refers to them: without their rows
                all else can be written.
            of_v1: whether a table of V1 refused it, which others may have changed.
        """
        super().__init__(reason)
        self.mirrors = mirrors
        self.of_v1 = of_v1


def is_passing(error: psycopg.Error) -> bool:
    """Tell whether trying again may help: the server is away, or the transaction lost against another."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate[:2] in _PASSING


def is_of_the_row(error: psycopg.Error) -> bool:
    """Tell whether a row is at fault."""
    if error.sqlstate is None:
        # What psycopg itself cannot turn into text for the server.
        return isinstance(error, psycopg.DataError)
    return error.sqlstate[:2] in _OF_THE_ROW


def is_unfit(error: psycopg.Error) -> bool:
    """Tell whether the server was reached and will not have us, or the address is none."""
    return error.sqlstate is None and _UNFIT.search(str(error)) is not None
