"""Rows that an event leads to do not change under one number of the projections."""

from tests.projections.made import DIGESTS, rows_by_fact
from tests.projections.telling import told


def test_whoever_changes_rows_raises_the_number_of_the_projections() -> None:
    written = DIGESTS.read_text(encoding="utf-8").splitlines()
    now = told().splitlines()
    changed = sorted({line.split()[0] for line in set(now) ^ set(written)})

    assert now == written, (
        f"{', '.join(changed)}: if rows of events that some database has become others, raise PROJECTIONS "
        "in processors/projections/version.py; then run `python -m tests.projections`"
    )


def test_the_digests_tell_rows_apart_and_repeat() -> None:
    digests = rows_by_fact()

    assert len(set(digests.values())) == len(digests) > 20
    assert digests == rows_by_fact()
