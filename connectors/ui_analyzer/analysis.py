"""`analyze`: from a folder (and perhaps a URL) to an Analysis."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from connectors.ui_analyzer.catalogue import PROJECT_RULES, RULES
from connectors.ui_analyzer.crew import inspect_all
from connectors.ui_analyzer.discovery import FileLeftOut, FileRefused, Found, discover, read_source
from connectors.ui_analyzer.fingerprints import fingerprint
from connectors.ui_analyzer.following import Components, Shape
from connectors.ui_analyzer.inspection import Evidence, FileReport, Limits, Observed, evidence_of
from connectors.ui_analyzer.live.session import LiveOutcome, inspect_page
from connectors.ui_analyzer.model import (
    CATEGORY_TITLES,
    Analysis,
    Category,
    Confidence,
    FileProblem,
    Finding,
    Live,
    Metric,
    Recommendation,
    RuleId,
    RuleInfo,
    RuleResult,
    Severity,
    Status,
    Totals,
)
from connectors.ui_analyzer.options import Options, Progress
from connectors.ui_analyzer.planning import recommendations, timeline
from connectors.ui_analyzer.rule import Dependent, Fact, Failure, Located, Project, Tally
from connectors.ui_analyzer.rules.wanted_agents import WANTED
from connectors.ui_analyzer.score import TARGET, capped, floored, metric_fraction, overall_fraction, status_of

_LEFT_OUT_SHOWN_MAX = 50
_ISSUES_PER_METRIC_MAX = 10


class TargetMissing(Exception):
    """The path does not exist or is neither a folder nor a file (the caller's fault)."""


def analyze(path: Path, options: Options | None = None) -> Analysis:
    """Analyse the front-end below `path`, and the page at `options.live.url` if given.

    Takes about 2 ms per file and core. Reads regular files only and runs nothing of what it reads, except in the
    browser of the live part.

    Raises:
        TargetMissing: there is nothing at `path`.
    """
    chosen = options or Options()
    if not path.is_dir() and not path.is_file():
        raise TargetMissing(f"{path}: no such folder or file")
    found = discover(
        path, files_max=chosen.files_max, exclude=chosen.exclude, include_tests=chosen.include_tests
    )
    limits = Limits(chosen.file_bytes_max, chosen.file_time_ms_max, chosen.include_tests, chosen.agents)

    def done(count: int) -> None:
        if chosen.progress is not None:
            chosen.progress(Progress("files", count, len(found.files)))

    reports = inspect_all(found.files, limits, chosen.workers, done)
    observed = [(report.path, entry) for report in reports for entry in report.observed]
    project = Project(
        [Located(report.path, fact) for report in reports for fact in report.facts]
        + [Located(".", Fact(kind=WANTED, name=name)) for name in sorted(set(chosen.agents))]
    )
    observed.extend(_settled(reports, project))
    observed.extend(_project_observations(project, found.files, limits))
    live = inspect_page(chosen.live, chosen.progress)
    left_out = (*found.left_out, *(f"{r.path}: {r.left_out}" for r in reports if r.left_out))
    problems = (*found.problems, *(report.problem for report in reports if report.problem is not None))
    return assemble(
        target=path.name or str(path),
        observed=observed,
        reports=reports,
        problems=tuple(sorted(problems, key=lambda problem: problem.path)),
        left_out=left_out,
        unsupported=found.unsupported,
        live=live,
    )


def assemble(
    *,
    target: str,
    observed: Sequence[tuple[str, Observed]],
    reports: Sequence[FileReport],
    problems: tuple[FileProblem, ...],
    left_out: tuple[str, ...],
    unsupported: tuple[str, ...],
    live: LiveOutcome,
) -> Analysis:
    """Put the result together; pure, and independent of the order of `observed` and `reports`."""
    infos = {info.id: info for info in (*RULES, *live.rules)}
    frameworks = {report.path: report.framework for report in reports}
    findings = _findings(observed, infos, live.findings, frameworks)
    sure = tuple(finding for finding in findings if finding.confidence is not Confidence.LOW)
    review = tuple(finding for finding in findings if finding.confidence is Confidence.LOW)
    results = _results(observed, infos, sure, review, live)
    fractions = {
        category: metric_fraction(result for result in results if result.info.category is category)
        for category in Category
    }
    statuses = {category: status_of(floored(fraction)) for category, fraction in fractions.items()}
    advice = recommendations(results, fractions, statuses)
    before_caps = overall_fraction(fractions)
    overall, caps = capped(before_caps, results, live=live.summary.performed)
    applied = sum(1 for result in results if result.applicable)
    assessed = sum(1 for report in reports if report.assessed)
    return Analysis(
        target=target,
        overall_effectiveness=overall,
        effectiveness_before_caps=floored(before_caps),
        target_effectiveness=TARGET,
        effectiveness_gap=None if overall is None else round(TARGET - overall, 1),
        status=status_of(overall),
        caps=caps,
        metrics=tuple(
            _metric(category, fractions[category], results, sure, review, advice) for category in Category
        ),
        findings=sure,
        needs_review=review,
        recommendations=advice,
        timeline=timeline(results),
        problems=problems,
        not_assessed=_not_assessed(reports, problems, unsupported, fractions, live.summary),
        frameworks=tuple(sorted({report.framework for report in reports if report.framework})),
        rules=tuple(results),
        totals=Totals(
            files_found=len(reports) + len(left_out),
            files_assessed=assessed,
            files_left_out=len(left_out),
            rules_known=len(results),
            rules_applied=applied,
            coverage_percent=int(applied * 1000 / len(results)) / 10,
        ),
        live=live.summary,
        left_out=tuple(sorted(left_out))[:_LEFT_OUT_SHOWN_MAX],
    )


def _settled(reports: Sequence[FileReport], project: Project) -> list[tuple[str, Observed]]:
    """What the verdicts that waited for other files come to."""
    components = Components(project, (report.path for report in reports))
    settled = []
    for report in reports:
        for entry in report.observed:
            passes = 0
            failures: list[tuple[Failure, Evidence]] = []
            for dependent, evidence in entry.dependents:
                if any(project.has(kind, name) for kind, name in dependent.excused_by):
                    continue
                shapes = [components.shape(report.path, ref) for ref in dependent.refs]
                known = [shape for shape in shapes if shape is not None]
                if any(not _fits(shape, dependent) for shape in known):
                    passes += 1
                elif len(known) == len(shapes):
                    failures.append((dependent.failure, evidence))
                elif dependent.unknown is not None:
                    failures.append((dependent.unknown, evidence))
            if passes or failures:
                settled.append((report.path, Observed(entry.rule_id, passes, tuple(failures))))
    return settled


def _fits(shape: Shape, dependent: Dependent) -> bool:
    return (
        shape.kind in dependent.wanted
        and (shape.falls_through or not dependent.falls_through)
        and not (dependent.silent and shape.speaks)
    )


def _project_observations(
    project: Project, files: Iterable[Found], limits: Limits
) -> list[tuple[str, Observed]]:
    absolute = {found.path: found.absolute for found in files}
    lines: dict[str, list[bytes]] = {}
    observed = []
    for rule in PROJECT_RULES:
        tally = Tally("")
        rule.check(project, tally)
        failures: list[tuple[Failure, Evidence]] = []
        for failure in tally.failures:
            if failure.path not in lines:
                lines[failure.path] = _lines(absolute.get(failure.path, ""), limits)
            failures.append((failure, evidence_of(lines[failure.path], failure.line, failure.column)))
        if tally.passes or failures:
            observed.append(("", Observed(rule.info.id, tally.passes, tuple(failures))))
    return observed


def _lines(absolute: str, limits: Limits) -> list[bytes]:
    try:
        return read_source(absolute, bytes_max=limits.file_bytes_max).split(b"\n") if absolute else []
    except (FileRefused, FileLeftOut):
        return []  # It changed since it was inspected; the finding stands without its snippet.


def _findings(
    observed: Iterable[tuple[str, Observed]],
    infos: dict[RuleId, RuleInfo],
    live: Sequence[Finding],
    frameworks: dict[str, str],
) -> tuple[Finding, ...]:
    raw = [
        (failure, evidence, infos[entry.rule_id])
        for _, entry in observed
        for failure, evidence in entry.failures
    ]
    raw.sort(key=lambda each: (each[0].path, each[0].line, each[0].column, each[2].id, each[0].message))
    occurrences: Counter[tuple[str, str, str]] = Counter()
    found = []
    for failure, evidence, info in raw:
        key = (info.id, failure.path, evidence.line_text)
        occurrences[key] += 1
        reference, url = info.reference_for(frameworks.get(failure.path, ""))
        found.append(
            Finding(
                rule_id=info.id,
                category=info.category,
                severity=failure.severity or info.severity,
                confidence=failure.confidence or info.confidence,
                path=failure.path,
                line=failure.line,
                column=evidence.column,
                message=failure.message,
                snippet=evidence.snippet,
                fingerprint=fingerprint(*key, occurrences[key]),
                reference=reference,
                url=url,
            )
        )
    return (*found, *live)


def _results(
    observed: Iterable[tuple[str, Observed]],
    infos: dict[RuleId, RuleInfo],
    sure: Iterable[Finding],
    review: Iterable[Finding],
    live: LiveOutcome,
) -> list[RuleResult]:
    passes: Counter[RuleId] = Counter(live.passes)
    for _, entry in observed:
        passes[entry.rule_id] += entry.passes
    failing: dict[RuleId, list[Finding]] = defaultdict(list)
    for finding in sure:
        failing[finding.rule_id].append(finding)
    reviewed = Counter(finding.rule_id for finding in review)
    return [
        RuleResult(
            info=info,
            applicable=passes[info.id] + len(failing[info.id]),
            failing=len(failing[info.id]),
            critical=any(finding.severity is Severity.CRITICAL for finding in failing[info.id]),
            needs_review=reviewed[info.id],
        )
        for info in infos.values()
    ]


def _metric(
    category: Category,
    fraction: Fraction | None,
    results: Iterable[RuleResult],
    sure: Iterable[Finding],
    review: Iterable[Finding],
    advice: Iterable[Recommendation],
) -> Metric:
    own = [result for result in results if result.info.category is category]
    failing = sorted(
        (result for result in own if result.failing), key=lambda result: (-result.failing, result.info.id)
    )
    score = floored(fraction)
    return Metric(
        category=category,
        title=CATEGORY_TITLES[category],
        score=score,
        status=status_of(score),
        target_score=TARGET,
        issues=tuple(
            f"{result.info.title}: {result.failing} of {result.applicable} fail ({result.info.id})"
            for result in failing[:_ISSUES_PER_METRIC_MAX]
        ),
        recommendations=tuple(entry for entry in advice if entry.category is category),
        rules_applied=sum(1 for result in own if result.applicable),
        rules_known=len(own),
        findings=sum(1 for finding in sure if finding.category is category),
        needs_review=sum(1 for finding in review if finding.category is category),
        note=""
        if score is not None
        else "not assessed: nothing in this project that these rules could prove something by",
    )


def _not_assessed(
    reports: Sequence[FileReport],
    problems: Sequence[FileProblem],
    unsupported: Sequence[str],
    fractions: dict[Category, Fraction | None],
    live: Live,
) -> tuple[str, ...]:
    sentences = []
    if not any(report.assessed for report in reports):
        sentences.append("No source of a user interface was found, so there is no score.")
    sentences.extend(f"{sentence}: not understood" for sentence in unsupported)
    notes = Counter(note for report in reports for note in report.notes)
    sentences.extend(f"{count} × {note}: not understood" for note, count in sorted(notes.items()))
    by_status = Counter(problem.status.value for problem in problems)
    sentences.extend(f"{count} × {status.replace('_', ' ')}" for status, count in sorted(by_status.items()))
    missing = [CATEGORY_TITLES[category] for category, fraction in fractions.items() if fraction is None]
    if missing:
        sentences.append(f"Nothing to assess these by: {', '.join(missing)}. They do not count.")
    if not live.performed:
        sentences.append(live.note)
    return tuple(sentences)


def unassessed(analysis: Analysis) -> bool:
    """Whether there was nothing to assess at all."""
    return analysis.status is Status.NOT_ASSESSED
