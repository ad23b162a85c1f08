"""Reads one file, runs every file rule on it and collects its facts. Runs in worker processes."""

import re
import time
from dataclasses import dataclass, field

from connectors.ui_analyzer.catalogue import FACT_SOURCES, FILE_RULES
from connectors.ui_analyzer.discovery import (
    FileLeftOut,
    FileRefused,
    read_source,
)
from connectors.ui_analyzer.document import Document, DocumentBroken, DocumentTooDeep
from connectors.ui_analyzer.model import Confidence, FileProblem, FileStatus, RuleId
from connectors.ui_analyzer.origin import (
    belongs_to_library,
    is_email,
    is_library_script,
    is_library_sheet,
    is_native_app,
    is_picture,
    is_test,
    is_viewer,
)
from connectors.ui_analyzer.rule import Dependent, Fact, Failure, Tally
from connectors.ui_analyzer.rules.wanted_agents import named_agents
from connectors.ui_analyzer.scripted import SCRIPTED_RULES, scripted
from connectors.ui_analyzer.stylesheet import StylesheetTooDeep
from connectors.ui_analyzer.syntax import Deadline, ParseTooSlow, TreeTooDeep

SNIPPET_CHARACTERS_MAX = 240
_LINE_CHARACTERS_MAX = 160
_TAG_BYTES_MAX = 4_000
_OF_QT = re.compile(rb"\s*<(?:\?xml|!DOCTYPE TS\b|TS\b)")
"""How files of Qt's translators begin, which share a suffix with TypeScript."""
_TAG_START = re.compile(rb"<[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on the work for one file."""

    file_bytes_max: int
    file_time_ms_max: int
    include_tests: bool = False
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """The source that a failure points at."""

    line_text: str
    """The line, at most 160 characters; what the finding is known by when lines move."""
    snippet: str
    """The whole tag where a tag begins there, otherwise the line; at most 240 characters."""
    column: int
    """1-based, in characters (code points)."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What one rule saw in one file."""

    rule_id: RuleId
    passes: int
    failures: tuple[tuple[Failure, Evidence], ...]
    dependents: tuple[tuple[Dependent, Evidence], ...] = ()
    """Verdicts that wait for other files."""


@dataclass(slots=True)
class FileReport:
    """What is known of one file; crosses the border between processes."""

    path: str
    observed: list[Observed] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    problem: FileProblem | None = None
    left_out: str = ""
    framework: str = ""
    notes: list[str] = field(default_factory=list)
    assessed: bool = False


def inspect_file(absolute: str, path: str, limits: Limits) -> FileReport:
    """Inspect one file. Never raises on what the file contains: the report says what went wrong."""
    report = FileReport(path)
    deadline = Deadline(time.thread_time() + limits.file_time_ms_max / 1000)
    try:
        source = read_source(absolute, bytes_max=limits.file_bytes_max)
        if not limits.include_tests and is_test(source):
            raise FileLeftOut("test, story or mock")
        if is_library_sheet(path, source) or is_library_script(path, source):
            raise FileLeftOut("vendored")
        if is_viewer(source):
            raise FileLeftOut("vendored")
        if path.endswith(".css") and belongs_to_library(absolute):
            raise FileLeftOut("vendored")
        if path.endswith(".ts") and _OF_QT.match(source):
            raise FileLeftOut("translations of Qt")
        if is_native_app(source):
            raise FileLeftOut("React Native")
        if is_picture(source):
            raise FileLeftOut("picture drawn on a server")
        if is_email(path, source):
            raise FileLeftOut("e-mail")
        document = Document(path, source, deadline)
        _apply_rules(document, report)
        report.facts.extend(named_agents(limits.agents)(document) if limits.agents else ())
    except FileLeftOut as left_out:
        report.left_out = str(left_out)
    except FileRefused as refused:
        report.problem = FileProblem(path=path, status=refused.status, detail=refused.detail)
    except (DocumentTooDeep, StylesheetTooDeep, TreeTooDeep, RecursionError):
        _refuse(report, FileStatus.TOO_DEEP, "nested too deeply")
    except DocumentBroken as broken:
        _refuse(report, FileStatus.SYNTAX_ERRORS, str(broken))
    except ParseTooSlow:
        _refuse(report, FileStatus.TOO_SLOW, f"not done after {limits.file_time_ms_max} ms")
    return report


def inspect_batch(batch: tuple[tuple[str, str], ...], limits: Limits) -> list[FileReport]:
    """Inspect several files, given as absolute path and shown path."""
    return [inspect_file(absolute, path, limits) for absolute, path in batch]


def evidence_of(lines: list[bytes], line: int, column: int) -> Evidence:
    """What stands at a place; `column` is in bytes, as parsers count."""
    if not 1 <= line <= len(lines):
        return Evidence("", "", column)
    whole = lines[line - 1]
    text = _shown(whole, _LINE_CHARACTERS_MAX)
    snippet = _tag(lines, line, column) or text
    return Evidence(text, snippet, len(whole[: column - 1].decode("utf-8", "replace")) + 1)


def _shown(source: bytes, characters_max: int) -> str:
    text = " ".join(source.decode("utf-8", "replace").split())[:characters_max]
    return "".join(char if char.isprintable() else "�" for char in text)


def _tag(lines: list[bytes], line: int, column: int) -> str:
    """The tag that begins at a place, up to its end over several lines; "" where none begins."""
    rest = lines[line - 1][column - 1 :]
    if not _TAG_START.match(rest):
        return ""
    last, size = line, len(rest)
    while last < len(lines) and size < _TAG_BYTES_MAX and last < line + 60:
        size += len(lines[last]) + 1
        last += 1
    source = b"\n".join([rest, *lines[line:last]])[:_TAG_BYTES_MAX]
    depth, quote = 0, 0
    for position, byte in enumerate(source):
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"\"'`":
            quote = byte
        elif byte in b"{(":
            depth += 1
        elif byte in b"})":
            depth -= 1
        elif byte == ord(">") and depth <= 0 and source[position - 1] != ord("="):
            return _shown(source[: position + 1], SNIPPET_CHARACTERS_MAX)
    return ""


def _refuse(report: FileReport, status: FileStatus, detail: str) -> None:
    # Half a file says nothing: what was seen before is dropped too.
    report.observed.clear()
    report.facts.clear()
    report.assessed = False
    report.problem = FileProblem(path=report.path, status=status, detail=detail)


def _apply_rules(document: Document, report: FileReport) -> None:
    made = scripted(document)
    for rule in FILE_RULES:
        document.deadline.check()
        tally = Tally(document.path, deadline=document.deadline)
        rule.check(document, tally)
        if made is not None and rule.info.id in SCRIPTED_RULES:
            rule.check(made, tally)
        if tally.passes or tally.failures or tally.dependents:
            failures = tuple((failure, _evidence(document, failure)) for failure in tally.failures)
            waiting = tuple((entry, _evidence(document, entry.failure)) for entry in tally.dependents)
            report.observed.append(Observed(rule.info.id, tally.passes, failures, waiting))
    for source in FACT_SOURCES:
        document.deadline.check()
        report.facts.extend(source(document))
    report.framework = document.framework
    report.notes = list(document.notes)
    report.assessed = True
    if document.error_bytes:
        report.problem = FileProblem(
            path=document.path,
            status=FileStatus.SYNTAX_ERRORS,
            detail=f"{document.error_bytes} bytes are not valid syntax; the rest was assessed",
        )


def _evidence(document: Document, failure: Failure) -> Evidence:
    return evidence_of(document.lines, failure.line, failure.column)


def counts_for_score(failure: Failure, usual: Confidence) -> bool:
    """Whether a failure is sure enough to count."""
    return (failure.confidence or usual) is not Confidence.LOW
