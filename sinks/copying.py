"""Rows as COPY's text format: for each table one function, compiled for the types of its columns."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, cast

from processors.projections.rows import Cell
from schemas.compiling import compiled

RowsText = Callable[[Iterable[Sequence[Cell]]], bytes]
"""Turns rows, which have a cell for every column, into what `COPY … FROM STDIN` reads."""
FoldedText = Callable[[Mapping[str, Mapping[str, Cell]]], bytes]
"""Turns what is said of rows by their ids into the same, the id first; what is not said is null."""


def rows_text(types: Sequence[str]) -> RowsText:
    """Compile the text of rows.

    Args:
        types: of the columns, as Postgres names them.

    Raises:
        TypeError: a type has no form here.
    """
    cells = [f"c{number}" for number in range(len(types))]
    return cast("RowsText", _compiled(f"{', '.join(cells)},", "rows", cells, types))


def folded_text(columns: Mapping[str, str]) -> FoldedText:
    """Compile the text of folded rows.

    Args:
        columns: their types by name, without the id, in the order of the cells.

    Raises:
        TypeError: a type has no form here.
    """
    cells = ["key", *(f'row.get("{name}")' for name in columns)]
    return cast("FoldedText", _compiled("key, row", "rows.items()", cells, ("uuid", *columns.values())))


def _compiled(target: str, source: str, cells: Sequence[str], types: Sequence[str]) -> object:
    """Make the function; asking every cell for its type, and calling for each, took twice as long."""
    line = "\\t".join(f"{{{_text(cell, type_)}}}" for cell, type_ in zip(cells, types, strict=True))
    names: dict[str, object] = {"escaped": _escaped, "null": "\\N", "one": "\\", "two": "\\\\"}
    program = (
        "def text_of(rows):\n"
        "    lines = []\n"
        f"    for {target} in {source}:\n"
        f"        lines.append(f'{line}\\n')\n"
        "    return ''.join(lines).encode()\n"
    )
    return compiled(program, names)


def _text(cell: str, type_: str) -> str:
    form = _FORMS.get(type_.partition("(")[0])
    if form is None:
        raise TypeError(f"a column of type {type_} has no form in COPY")
    return f"null if (v := {cell}) is None else {form}"


def _escaped(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\n" in text:
        text = text.replace("\n", "\\n")
    if "\t" in text:
        text = text.replace("\t", "\\t")
    if "\r" in text:
        text = text.replace("\r", "\\r")
    return text


_FORMS: Final = {
    "uuid": "v",
    # Ids, which need no quotes.
    "uuid[]": '"{" + ",".join(v) + "}"',
    "text": "escaped(v)",
    "varchar": "escaped(v)",
    # Line ends and tabs are escapes in JSON already; it is long, and most of it has a backslash.
    "jsonb": "v.replace(one, two)",
    "vector": "v",
    "integer": "v",
    "bigint": "v",
    "decimal": "v",
    "timestamptz": "v",
    "boolean": "v",
}
