"""COPY's text format, as Postgres documents it."""

from datetime import UTC, datetime

import pytest

from sinks.copying import copy_text


def test_every_kind_of_cell_has_its_text() -> None:
    at = datetime(2026, 11, 24, 12, 0, 0, 5_000, tzinfo=UTC)

    text = copy_text([("a", 1, 0.25, True, None), (at, [], ["x", "y"], False, -3)])

    assert text == (b"a\t1\t0.25\tt\t\\N\n2026-11-24T12:00:00.005000+00:00\t{}\t{x,y}\tf\t-3\n")


def test_what_would_end_a_cell_or_a_row_is_escaped() -> None:
    assert copy_text([("a\tb\nc\rd\\e", "\\N", "ü")]) == "a\\tb\\nc\\rd\\\\e\t\\\\N\tü\n".encode()


def test_a_cell_that_has_no_text_is_our_own_fault() -> None:
    with pytest.raises(TypeError, match="bytes"):
        copy_text([(b"raw",)])
