"""The table of the benchmarks, as JSON and between two markers of docs/benchmarks.md."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from schemas.plain import from_plain
from tests.benchmarks.machine import Machine
from tests.benchmarks.result import Row

BEGIN: Final = "<!-- benchmarks: begin; written by `make bench`, do not edit -->"
END: Final = "<!-- benchmarks: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one benchmark gave, and where."""

    machine: Machine
    measured_on: str
    """Date, as 2026-01-31."""
    runs: int
    rows: tuple[Row, ...]


Report = Mapping[str, Measured]
"""By the benchmark's name."""


def read(path: Path) -> dict[str, Measured]:
    """Read a report; one that is not there is empty."""
    if not path.exists():
        return {}
    plain = orjson.loads(path.read_bytes())
    return {name: from_plain(Measured, measured) for name, measured in plain.items()}


def write(path: Path, report: Report) -> None:
    """Write a report, names sorted."""
    plain = {name: asdict(report[name]) for name in sorted(report)}
    path.write_bytes(orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def table(report: Report) -> str:
    """Return the report as Markdown: one table, then the machine of each benchmark."""
    lines = [
        "| what | unit | ours | peer | ratio | target | met | note |",
        "|---|---|---:|---:|---:|---|---|---|",
    ]
    for name in sorted(report):
        lines += [_line(row) for row in report[name].rows]
    lines += ["", "Measured:", ""]
    lines += [f"- {name}: {_where(report[name])}" for name in sorted(report)]
    return "\n".join(lines)


def insert(document: str, report: Report) -> str:
    """Return `document` with the report's table between its markers.

    Raises:
        ValueError: the markers are not there.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks {BEGIN!r} or {END!r}")
    return f"{before}{BEGIN}\n\n{table(report)}\n\n{END}{after}"


def _line(row: Row) -> str:
    met = {None: "", True: "yes", False: "**no**"}[row.is_met]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    cells = (row.name, row.unit, _number(row.ours), _number(row.peer), ratio, row.target, met, row.note)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _where(measured: Measured) -> str:
    machine = measured.machine
    versions = ", ".join(f"{name} {version}" for name, version in sorted(machine.versions.items()))
    return (
        f"{measured.measured_on}, {measured.runs} runs, {machine.cores} cores of {machine.cpu}, "
        f"{machine.memory_gib} GiB, {machine.kernel}, load {machine.load} before; "
        f"Python {machine.python}, {versions}"
    )
