"""COPY's text format, as Postgres documents it."""

import pytest

from sinks.copying import folded_text, rows_text


def test_every_type_of_column_has_its_text() -> None:
    text_of = rows_text(
        ("text", "integer", "decimal(3,2)", "timestamptz", "uuid[]", "jsonb", "varchar(20)", "boolean")
    )

    text = text_of(
        [
            ("a", -1, 0.25, "2026-11-24T12:00:00.005+00:00", ["x", "y"], '{"a":"\\n"}', "b", True),
            (None, None, None, None, [], None, None, None),
        ]
    )

    assert text == (
        b'a\t-1\t0.25\t2026-11-24T12:00:00.005+00:00\t{x,y}\t{"a":"\\\\n"}\tb\tTrue\n'
        b"\\N\t\\N\t\\N\t\\N\t{}\t\\N\t\\N\t\\N\n"
    )


def test_what_would_end_a_cell_or_a_row_is_escaped() -> None:
    text_of = rows_text(("text", "varchar(100)", "text"))

    assert text_of([("a\tb\nc\rd\\e", "\\N", "ü")]) == "a\\tb\\nc\\rd\\\\e\t\\\\N\tü\n".encode()


def test_a_folded_row_begins_with_its_id_and_is_null_where_nothing_was_said() -> None:
    text_of = folded_text({"title": "text", "messages": "bigint"})

    assert (
        text_of({"one": {"messages": 0, "other": 1}, "two": {"title": "t"}}) == b"one\t\\N\t0\ntwo\tt\t\\N\n"
    )


def test_a_column_whose_type_has_no_text_is_our_own_fault() -> None:
    with pytest.raises(TypeError, match="money"):
        rows_text(("text", "money"))
