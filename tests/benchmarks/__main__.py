"""`python -m tests.benchmarks [NAME …]`: measure, print one table, and write it where it belongs.

A benchmark is a module of this folder with `measure(runs) -> Sequence[Row]`, as a function or a coroutine.
"""

import argparse
import asyncio
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import tests.benchmarks
from tests.benchmarks import report
from tests.benchmarks.machine import this_machine
from tests.benchmarks.report import Measured
from tests.benchmarks.result import Row

DOCS = Path(__file__).parents[2] / "docs"
Measure = Callable[[int], Sequence[Row] | Awaitable[Sequence[Row]]]


def main() -> int:
    """Run the benchmarks that were named, or all; the exit code tells whether all of them ran."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"out of {', '.join(known)}; none: all")
    parser.add_argument("--runs", type=int, default=5, help="of each measurement; the medians count")
    parser.add_argument(
        "--json",
        type=Path,
        default=DOCS / "benchmarks.json",
        help="where rows are kept; the .md beside it, if any, gets the table",
    )
    options = parser.parse_args()
    unknown = set(options.names) - set(known)
    if unknown or options.runs < 1:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}" if unknown else "--runs is too small")
    measured: dict[str, Measured] = {}
    failed = []
    for name in options.names or known:
        sys.stderr.write(f"{name} …\n")
        machine = this_machine()
        try:
            rows = _rows(known[name], options.runs)
        except Exception as error:  # the others are worth their time all the same
            sys.stderr.write(f"{name} failed: {type(error).__name__}: {error}\n")
            failed.append(name)
            continue
        today = datetime.now(UTC).date().isoformat()
        measured[name] = Measured(machine=machine, measured_on=today, runs=options.runs, rows=tuple(rows))
        _keep(options.json, name, measured[name])
    sys.stdout.write(report.table(measured) + "\n")
    return 1 if failed else 0


def benchmarks() -> dict[str, Measure]:
    """Return this folder's benchmarks by name."""
    found = {}
    for info in pkgutil.iter_modules(tests.benchmarks.__path__):
        if info.name == "__main__" or info.ispkg:
            continue
        module = importlib.import_module(f"{tests.benchmarks.__name__}.{info.name}")
        if hasattr(module, "measure"):
            found[info.name] = cast("Measure", module.measure)
    return found


def _rows(measure: Measure, runs: int) -> Sequence[Row]:
    given = measure(runs)
    if inspect.isawaitable(given):
        return asyncio.run(_awaited(given))
    return given


async def _awaited(rows: Awaitable[Sequence[Row]]) -> Sequence[Row]:
    return await rows


def _keep(path: Path, name: str, measured: Measured) -> None:
    """Put one benchmark's rows in the place of its earlier ones."""
    document = path.with_suffix(".md")
    kept = {**report.read(path), name: measured}
    report.write(path, kept)
    if document.exists():
        text = document.read_text(encoding="utf-8")
        document.write_text(report.insert(text, kept), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
