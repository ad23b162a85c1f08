"""`analyze-ui` as a command without a parser: typed arguments in, a report and an exit code out.

Exit codes: 0 done and within the limits; 1 below `fail_under`, or findings that the baseline does not know; 2 wrong
arguments or files that cannot be read or written; 3 nothing to assess.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from connectors.ui_analyzer.analysis import TargetMissing, analyze, unassessed
from connectors.ui_analyzer.baseline import BaselineInvalid, against_baseline, read_baseline, write_baseline
from connectors.ui_analyzer.model import Analysis
from connectors.ui_analyzer.options import LiveOptions, Options, Progress
from connectors.ui_analyzer.reports.html_report import render_html
from connectors.ui_analyzer.reports.json_report import render_json
from connectors.ui_analyzer.reports.notebook import render_notebook
from connectors.ui_analyzer.reports.sarif import render_sarif
from connectors.ui_analyzer.reports.surroundings import Surroundings, folder_in_repository
from connectors.ui_analyzer.reports.text import render_text

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOTHING = 3

FORMATS: dict[str, Callable[[Analysis, Surroundings], str]] = {
    "text": lambda analysis, _: render_text(analysis),
    "json": lambda analysis, _: render_json(analysis),
    "sarif": render_sarif,
    "html": lambda analysis, _: render_html(analysis),
    "notebook": render_notebook,
}
_AGENTS_BYTES_MAX = 1_000_000
_AGENTS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeUiArguments:
    """What a user of the command may say."""

    path: Path
    url: str | None = None
    format: str = "text"
    output: Path | None = None
    fail_under: float | None = None
    """0 to 100; a lower overall score, or none, ends with 1."""
    baseline: Path | None = None
    update_baseline: bool = False
    exclude: tuple[str, ...] = ()
    include_tests: bool = False
    workers: int | None = None
    agents: Path | None = None
    """File with the names of agents that the interface must reach: one a line, or a JSON list of texts."""
    chromium_path: str = ""
    """From the environment's CHROME_PATH, which the caller reads."""
    search_path: str = ""
    """The caller's PATH, to look for a browser; "" uses the usual folders."""


def run(arguments: AnalyzeUiArguments, stdout: TextIO, stderr: TextIO | None = None) -> int:
    """Analyse, write the report to `stdout` or the output file, and return the exit code."""
    errors = stderr or sys.stderr
    problem = _wrong(arguments)
    if problem:
        errors.write(f"analyze-ui: {problem}\n")
        return EXIT_USAGE
    try:
        options = _options(arguments, errors)
        begun_s = time.monotonic()
        analysis = analyze(arguments.path, options)
        where = folder_in_repository(arguments.path)
        surroundings = Surroundings(where or "", where is not None, time.monotonic() - begun_s)
        if arguments.baseline is not None and arguments.update_baseline:
            arguments.baseline.write_text(write_baseline(analysis), encoding="utf-8")
        if arguments.baseline is not None:
            analysis = against_baseline(analysis, read_baseline(arguments.baseline))
        _write(FORMATS[arguments.format](analysis, surroundings), arguments.output, stdout)
    except (TargetMissing, BaselineInvalid, AgentsInvalid, OSError) as error:
        errors.write(f"analyze-ui: {error}\n")
        return EXIT_USAGE
    return _verdict(analysis, arguments, errors)


def _wrong(arguments: AnalyzeUiArguments) -> str:
    if arguments.format not in FORMATS:
        return f"unknown format {arguments.format!r}; one of {', '.join(FORMATS)}"
    if arguments.fail_under is not None and not 0 <= arguments.fail_under <= 100:
        return "--fail-under must be from 0 to 100"
    if arguments.update_baseline and arguments.baseline is None:
        return "--update-baseline needs --baseline"
    if arguments.workers is not None and not 1 <= arguments.workers <= 64:
        return "--workers must be from 1 to 64"
    return ""


def _options(arguments: AnalyzeUiArguments, errors: TextIO) -> Options:
    live = None
    if arguments.url:
        live = LiveOptions(url=arguments.url, chromium_path=arguments.chromium_path)
        if arguments.search_path:
            live = LiveOptions(
                url=arguments.url, chromium_path=arguments.chromium_path, search_path=arguments.search_path
            )
    return Options(
        exclude=arguments.exclude,
        include_tests=arguments.include_tests,
        workers=arguments.workers,
        agents=() if arguments.agents is None else read_agents(arguments.agents),
        live=live,
        progress=_progress(errors) if errors.isatty() else None,
    )


class AgentsInvalid(Exception):
    """The file of agents is too large, or no list of names (the caller's fault)."""


def read_agents(path: Path) -> tuple[str, ...]:
    """The names in a file of agents: one a line (`#` begins a remark), or a JSON list of texts.

    Raises:
        AgentsInvalid: too large, or neither of the two.
        OSError: it cannot be read.
    """
    if path.stat().st_size > _AGENTS_BYTES_MAX:
        raise AgentsInvalid(f"{path}: larger than {_AGENTS_BYTES_MAX} bytes")
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except (ValueError, RecursionError) as error:
        raise AgentsInvalid(f"{path}: {error}") from error
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise AgentsInvalid(f"{path}: not a list of names")
    names = tuple(name.strip() for name in found if name.strip() and not name.lstrip().startswith("#"))
    if len(names) > _AGENTS_MAX:
        raise AgentsInvalid(f"{path}: more than {_AGENTS_MAX} names")
    return names


def _progress(errors: TextIO) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        errors.write(f"\r{progress.stage}: {progress.done} of {progress.total} {progress.detail[:40]:<40}")
        if progress.done >= progress.total:
            errors.write("\n")
        errors.flush()

    return show


def _write(report: str, output: Path | None, stdout: TextIO) -> None:
    if output is None:
        stdout.write(report)
    else:
        output.write_text(report, encoding="utf-8")


def _verdict(analysis: Analysis, arguments: AnalyzeUiArguments, errors: TextIO) -> int:
    if unassessed(analysis):
        errors.write("analyze-ui: nothing to assess\n")
        return EXIT_NOTHING
    failed = False
    score = analysis.overall_effectiveness
    if arguments.fail_under is not None and (score is None or score < arguments.fail_under):
        errors.write(f"analyze-ui: {score} is below {arguments.fail_under:g}\n")
        failed = True
    if analysis.new_findings:
        errors.write(f"analyze-ui: {len(analysis.new_findings)} findings are not in the baseline\n")
        failed = True
    return EXIT_FAILED if failed else EXIT_OK
