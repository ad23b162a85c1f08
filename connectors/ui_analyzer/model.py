"""What an analysis is made of: categories, rules, findings and the result. Values only, no I/O."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

RuleId = NewType("RuleId", str)
Fingerprint = NewType("Fingerprint", str)


class Category(StrEnum):
    """The ten metrics; the order is the order of every report."""

    COMPONENTS = "component_architecture"
    STATE = "state_management"
    REAL_TIME = "real_time_integration"
    ERRORS = "error_handling"
    RESPONSIVE = "responsive_design"
    ACCESSIBILITY = "accessibility"
    PERFORMANCE = "performance"
    AGENTS = "agent_integration"
    THEME = "theme_consistency"
    WEBSOCKET = "websocket_integration"


CATEGORY_TITLES = {
    Category.COMPONENTS: "Component architecture",
    Category.STATE: "State management",
    Category.REAL_TIME: "Real-time integration",
    Category.ERRORS: "Error handling",
    Category.RESPONSIVE: "Responsive design",
    Category.ACCESSIBILITY: "Accessibility",
    Category.PERFORMANCE: "Performance",
    Category.AGENTS: "Agent integration",
    Category.THEME: "Theme consistency",
    Category.WEBSOCKET: "WebSocket integration",
}


class Severity(StrEnum):
    """How much a failing instance hurts; the names are those of axe."""

    CRITICAL = "critical"
    SERIOUS = "serious"
    MODERATE = "moderate"
    MINOR = "minor"


class Confidence(StrEnum):
    """How sure a finding is. LOW means "needs review": shown, but never part of a score."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Status(StrEnum):
    """What a score means; see `score.status_of` for the thresholds."""

    EXCELLENT = "excellent"
    GOOD = "good"
    NEEDS_IMPROVEMENT = "needs_improvement"
    CRITICAL = "critical"
    NOT_ASSESSED = "not_assessed"


class FileStatus(StrEnum):
    """Why a file was not assessed, or only in part."""

    TOO_LARGE = "too_large"
    BINARY = "binary"
    NOT_UTF8 = "not_utf8"
    TOO_DEEP = "too_deep"
    TOO_SLOW = "too_slow"
    SYNTAX_ERRORS = "syntax_errors"
    UNREADABLE = "unreadable"
    CRASHED = "crashed"
    UNSUPPORTED = "unsupported_language"
    OVER_LIMIT = "over_file_limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInfo:
    """What a rule is, apart from how it looks for failures."""

    id: RuleId
    category: Category
    severity: Severity
    title: str
    """What holds when the rule passes, as a sentence."""
    reason: str
    """Whom a failure hurts, and how."""
    fix: str
    reference: str
    """The success criterion or page, such as `WCAG 2.2 1.1.1`."""
    url: str
    confidence: Confidence = Confidence.HIGH
    """The usual confidence; a single finding may say less."""
    shared: tuple[str, ...] = ()
    """Rules of other tools that look for the same failure: `axe:image-alt`, `jsx-a11y:alt-text`."""
    negative: bool = False
    """Whether it only looks for what should not be there, so that finding nothing proves nothing of a metric."""
    own_references: tuple[tuple[str, str, str], ...] = ()
    """The documentation of a framework where it differs: framework, reference, URL."""

    def reference_for(self, framework: str) -> tuple[str, str]:
        """The reference and URL that a reader of code in this framework can use."""
        for name, reference, url in self.own_references:
            if name == framework:
                return reference, url
        return self.reference, self.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position in a file: 1-based line and column."""

    path: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One failing instance of a rule."""

    rule_id: RuleId
    category: Category
    severity: Severity
    confidence: Confidence
    path: str
    """Relative to the analysed folder with `/`; the page's URL for live findings."""
    line: int
    column: int
    message: str
    snippet: str
    """The whole tag, or the line of source (or the element's HTML), trimmed to 240 characters."""
    fingerprint: Fingerprint
    """Stable when lines move: rule, path, text of the line and occurrence; the key of the baseline."""
    reference: str = ""
    """The success criterion, or the page of the framework that the file is written in."""
    url: str = ""
    selector: str = ""
    """A CSS selector, for live findings only."""
    screenshot: str = ""
    """The element as a `data:` URL of a JPEG, for the first live findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProblem:
    """A file that could not be assessed, or only in part."""

    path: str
    status: FileStatus
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """How often a rule applied and how often it failed. `failing` never exceeds `applicable`."""

    info: RuleInfo
    applicable: int
    failing: int
    critical: bool
    """Whether any failing instance is of severity critical."""
    needs_review: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """One thing to do, for all findings of a rule."""

    rule_id: RuleId
    category: Category
    text: str
    priority: str
    """high, medium or low: by the severity of the rule and the state of its metric."""
    impact: str
    """high, medium or low: by the points of the overall score that it would bring back."""
    points: float
    """Points of the overall score (before caps) that resolving it would bring, at least 0."""
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One of the ten metrics."""

    category: Category
    title: str
    score: float | None
    """0 to 100 with one decimal, or None when no rule applied."""
    status: Status
    target_score: float
    issues: tuple[str, ...]
    recommendations: tuple[Recommendation, ...]
    rules_applied: int
    rules_known: int
    findings: int
    needs_review: int
    note: str
    """Why it was not assessed; empty otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the work, in order."""

    name: str
    duration_days: float
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A rough estimate for one person; the docs say how it is made."""

    estimated_days: float
    estimated_weeks: float
    phases: tuple[Phase, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCheck:
    """The outcome of one live check that is a measurement rather than a list of findings."""

    name: str
    context: str
    """Theme and viewport, such as `dark 320x640`."""
    value: str
    passed: bool | None
    """None when it could not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What the browser part did, or why it did not run."""

    performed: bool
    url: str
    note: str
    browser: str = ""
    checks: tuple[LiveCheck, ...] = ()
    blocked_requests: tuple[str, ...] = ()
    """Requests outside the page's own origin, refused by the allow-list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sizes of the analysis."""

    files_found: int
    files_assessed: int
    files_left_out: int
    """Vendored, generated, minified or test files."""
    rules_known: int
    rules_applied: int
    coverage_percent: float
    """Share of the known rules that found something to check, 0 to 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The whole result; equal input gives an equal value (no times, no absolute paths)."""

    target: str
    overall_effectiveness: float | None
    effectiveness_before_caps: float | None
    """What the metrics come to; `caps` says why the overall score is lower."""
    target_effectiveness: float
    effectiveness_gap: float | None
    status: Status
    caps: tuple[str, ...]
    """Sentences, one for each cap that lowered the score."""
    metrics: tuple[Metric, ...]
    findings: tuple[Finding, ...]
    needs_review: tuple[Finding, ...]
    recommendations: tuple[Recommendation, ...]
    timeline: Timeline
    problems: tuple[FileProblem, ...]
    not_assessed: tuple[str, ...]
    """Sentences about what could not be assessed and does not count."""
    frameworks: tuple[str, ...]
    rules: tuple[RuleResult, ...]
    totals: Totals
    live: Live
    new_findings: tuple[Fingerprint, ...] | None = None
    """With a baseline: the fingerprints that it does not know. None without one."""
    left_out: tuple[str, ...] = field(default=())
    """Up to 50 paths that were left out, with the reason."""
