"""`python -m connectors.ui_analyzer`: the command with a plain argument parser."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from connectors.ui_analyzer.command import FORMATS, AnalyzeUiArguments, run


def parse(words: Sequence[str]) -> AnalyzeUiArguments:
    """Typed arguments from the words of a command line; exits with 2 when they do not fit."""
    parser = argparse.ArgumentParser(
        prog="analyze-ui", description="Measure how effective a user interface is."
    )
    parser.add_argument("path", type=Path, help="folder or file of the front-end")
    parser.add_argument("--url", help="page to open in a browser as well")
    parser.add_argument("--format", choices=tuple(FORMATS), default="text")
    parser.add_argument("--output", type=Path, help="write the report to this file")
    parser.add_argument("--fail-under", type=float, metavar="N", help="exit with 1 below this score")
    parser.add_argument("--baseline", type=Path, help="file with known findings; exit with 1 on others")
    parser.add_argument(
        "--update-baseline", action="store_true", help="write the findings to the baseline first"
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="paths to leave out")
    parser.add_argument("--include-tests", action="store_true", help="assess tests and stories too")
    parser.add_argument("--workers", type=int, help="processes; by default decided by the number of files")
    parser.add_argument("--agents", type=Path, help="file with names of agents that the interface must reach")
    parser.add_argument("--chromium", default="", help="the browser to use")
    found = parser.parse_args(words)
    return AnalyzeUiArguments(
        path=found.path,
        url=found.url,
        format=found.format,
        output=found.output,
        fail_under=found.fail_under,
        baseline=found.baseline,
        update_baseline=found.update_baseline,
        exclude=tuple(found.exclude),
        include_tests=found.include_tests,
        workers=found.workers,
        agents=found.agents,
        chromium_path=found.chromium,
    )


if __name__ == "__main__":
    sys.exit(run(parse(sys.argv[1:]), sys.stdout))
