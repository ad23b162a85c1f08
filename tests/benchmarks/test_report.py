"""The benchmarks' table: medians, ratios, targets, and where it is kept."""

from pathlib import Path

import pytest

from tests.benchmarks import report
from tests.benchmarks.__main__ import DOCS
from tests.benchmarks.machine import this_machine
from tests.benchmarks.report import BEGIN, END, Measured
from tests.benchmarks.result import Row, row


def measured(*rows: Row) -> Measured:
    return Measured(machine=this_machine(), measured_on="2026-01-31", runs=3, rows=rows)


def test_the_ratio_is_the_median_of_ratios_taken_side_by_side() -> None:
    # A noisy run slows both: the ratio of the medians would be 20 / 10, and no run has that.
    summed = row("hop", "ms", [(20.0, 40.0), (10.0, 10.0), (90.0, 9.0)])

    assert (summed.ours, summed.peer, summed.ratio) == (20.0, 10.0, 1.0)


def test_a_row_without_a_peer_has_no_ratio() -> None:
    assert row("records", "records", [(58.0, None), (60.0, None), (61.0, None)]).ratio is None


@pytest.mark.parametrize(
    ("target", "is_met"),
    [("", None), ("ratio >= 2", True), ("ratio >= 2.1", False), ("ours <= 10", True), ("ours <= 9.5", False)],
)
def test_a_target_is_held_against_the_number_that_it_names(target: str, is_met: bool | None) -> None:
    assert row("hop", "ms", [(10.0, 5.0)], target=target).is_met is is_met


def test_a_target_that_nobody_can_read_is_refused() -> None:
    with pytest.raises(ValueError, match="the target 'fast' is no"):
        assert row("hop", "ms", [(10.0, 5.0)], target="fast").is_met


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    written = {"hop": measured(row("hop", "ms", [(1.0, 2.0)], target="ratio <= 1.5", note="plain aiokafka"))}

    report.write(tmp_path / "benchmarks.json", written)

    assert report.read(tmp_path / "benchmarks.json") == written


def test_the_table_takes_the_place_of_the_one_before() -> None:
    text = f"above\n{BEGIN}\nold\n{END}\nbelow\n"

    inserted = report.insert(text, {"hop": measured(row("hop | to hop", "ms", [(1.0, 2.0)]))})

    assert "old" not in inserted
    assert "| hop \\| to hop | ms | 1.00 | 2.00 | 0.50 |" in inserted
    assert inserted.startswith("above\n")
    assert inserted.endswith("below\n")


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        report.insert("nothing here", {})


def test_the_document_shows_what_the_file_holds() -> None:
    """Run `make bench` to write both."""
    document = (DOCS / "benchmarks.md").read_text(encoding="utf-8")

    assert report.insert(document, report.read(DOCS / "benchmarks.json")) == document
