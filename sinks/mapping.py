"""How V1's tables are written where they have another form: a file of TOML that their owner writes.

A table of V1 that nothing is said of is written as V2's own would be, or left alone where that does not go.
`cartrita doctor` and `cartrita migrate` tell what is in the way, and what to write here.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from processors.projections.tables import BY_NAME, TABLES

V1_TABLES: Final = tuple(table.name for table in TABLES if table.version_one)


class MappingInvalid(Exception):
    """The file cannot be used; the text names every fault and its place."""


class IdForm(StrEnum):
    """What an id of ours, a UUID, becomes in a table of V1."""

    UUID = "uuid"
    """Itself."""
    TEXT = "text"
    """Its 36 characters."""
    NUMBER = "number"
    """The next number of the column's own sequence, or -1, -2, … where it has none; `version_one_ids` keeps
    which number is whose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMapping:
    """What is said of one table."""

    skip: bool = False
    """True: it is left alone."""
    id: IdForm = IdForm.UUID
    columns: Mapping[str, str] = field(default_factory=dict)
    """By our column's name theirs; '' where it is not to be written."""
    values: Mapping[str, str] = field(default_factory=dict)
    """By their column's name, as text, what a new row has where no event says a value."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By our column's name what stands for a word of ours."""

    def name_of(self, column: str) -> str:
        """Return what a column of ours is called in the table; '' where it is not to be written."""
        return self.columns.get(column, column)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionOne:
    """What is said of V1's tables, and where."""

    tables: Mapping[str, TableMapping] = field(default_factory=dict)
    file: str = "the mapping file (CARTRITA_VERSION_ONE_TABLES)"

    def of(self, table: str) -> TableMapping:
        """Return what is said of a table."""
        return self.tables.get(table, TableMapping())


AS_THEY_ARE: Final = VersionOne()
"""Nothing is said of any table."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    skip: bool = False
    id: IdForm = IdForm.UUID
    columns: dict[str, str] = Field(default_factory=dict)
    values: dict[str, object] = Field(default_factory=dict)
    words: dict[str, dict[str, str]] = Field(default_factory=dict)


def read_mapping(path: Path | None) -> VersionOne:
    """Read the file; None says nothing of any table.

    Raises:
        MappingInvalid: it cannot be read, or says what cannot be.
    """
    if path is None:
        return AS_THEY_ARE
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingInvalid(f"{path} cannot be read: {error}") from error
    faults: list[str] = []
    tables = {name: _table(name, said, faults) for name, said in plain.items()}
    if faults:
        raise MappingInvalid("\n".join(f"{path}: {fault}" for fault in faults))
    return VersionOne(tables=tables, file=str(path))


def _table(name: str, said: object, faults: list[str]) -> TableMapping:
    if name not in V1_TABLES:
        faults.append(f"[{name}] is no table of V1 that is written; there are {', '.join(V1_TABLES)}")
        return TableMapping()
    try:
        file = _File.model_validate(said)
    except ValidationError as error:
        for fault in error.errors():
            faults.append(f"[{name}] {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}")
        return TableMapping()
    known = BY_NAME[name].by_name
    for section in ("columns", "words"):
        for column in getattr(file, section):
            if column not in known:
                faults.append(
                    f"[{name}.{section}] {column} is no column that events fill; there are {', '.join(known)}"
                )
    theirs = [theirs for theirs in file.columns.values() if theirs]
    faults += [
        f"[{name}.columns] {column} is named twice"
        for column in sorted(set(theirs))
        if theirs.count(column) > 1
    ]
    return TableMapping(
        skip=file.skip,
        id=file.id,
        columns=file.columns,
        values={column: _text(value) for column, value in file.values.items()},
        words=file.words,
    )


def _text(value: object) -> str:
    """Return a constant as Postgres reads it."""
    match value:
        case str():
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return json.dumps(value, default=str)
