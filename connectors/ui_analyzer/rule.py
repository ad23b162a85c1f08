"""How a rule is written: its description, a check, and the tally that a check reports to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, RuleId, RuleInfo, Severity
from connectors.ui_analyzer.syntax import Deadline

_UNDERSTANDING = "https://www.w3.org/WAI/WCAG22/Understanding/"
_MDN = "https://developer.mozilla.org/en-US/docs/"


class Positioned(Protocol):
    """Anything that knows where it is: an element, an attribute, a declaration, a located fact."""

    @property
    def line(self) -> int:
        """1-based line."""
        ...

    @property
    def column(self) -> int:
        """1-based column, in bytes; reports count in characters."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failing instance, before it becomes a finding."""

    path: str
    line: int
    column: int
    message: str
    severity: Severity | None
    confidence: Confidence | None


@dataclass(frozen=True, slots=True)
class ComponentRef:
    """A component of another file: the module as it is imported, and the exported name; "" is the same file."""

    module: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependent:
    """A verdict that depends on what components of other files render."""

    failure: Failure
    """What holds when each of `refs` has one of the shapes `wanted`."""
    refs: tuple[ComponentRef, ...]
    wanted: frozenset[str]
    falls_through: bool
    """Whether the component must also hand on attributes and listeners to what it renders."""
    unknown: Failure | None
    """What holds when one of them is not in the project, or not understood; None: nothing is said."""
    excused_by: tuple[tuple[str, str], ...] = ()
    """Facts, by kind and name, any of which makes the rule not apply."""
    silent: bool = False
    """Whether the components must also have no name of their own."""


@dataclass(slots=True)
class Tally:
    """Counts the instances that a rule applied to in one file, and keeps those that failed."""

    path: str
    passes: int = 0
    failures: list[Failure] = field(default_factory=list)
    dependents: list[Dependent] = field(default_factory=list)
    deadline: Deadline | None = None
    """Checked with every verdict, so that no rule can run on for ever."""

    def passed(self) -> None:
        """An instance was looked at and is fine."""
        self.passes += 1
        if self.deadline is not None:
            self.deadline.check()

    def failed(
        self,
        at: Positioned,
        message: str,
        *,
        severity: Severity | None = None,
        confidence: Confidence | None = None,
        path: str = "",
    ) -> None:
        """An instance fails. Severity and confidence are the rule's unless given."""
        if self.deadline is not None:
            self.deadline.check()
        self.failures.append(self._failure(at, message, severity, confidence, path))

    def depends(
        self,
        at: Positioned,
        message: str,
        refs: tuple[ComponentRef, ...],
        wanted: frozenset[str],
        *,
        falls_through: bool = False,
        unknown: tuple[Severity, Confidence] | None = None,
        excused_by: tuple[tuple[str, str], ...] = (),
        silent: bool = False,
        severity: Severity | None = None,
    ) -> None:
        """An instance fails if the components have the shapes `wanted`, and passes if they have others.

        Where their files are not known, it fails with `unknown` as severity and confidence, or is not counted. It
        is not counted either when the project states one of the facts `excused_by`.
        """
        failure = self._failure(at, message, severity, None, "")
        doubtful = None if unknown is None else self._failure(at, message, *unknown, "")
        self.dependents.append(
            Dependent(
                failure=failure,
                refs=refs,
                wanted=wanted,
                falls_through=falls_through,
                unknown=doubtful,
                excused_by=excused_by,
                silent=silent,
            )
        )

    def _failure(
        self,
        at: Positioned,
        message: str,
        severity: Severity | None,
        confidence: Confidence | None,
        path: str,
    ) -> Failure:
        return Failure(
            path=path or self.path,
            line=at.line,
            column=at.column,
            # A name or value taken from the source may run over several lines.
            message=" ".join(message.split()),
            severity=severity,
            confidence=confidence,
        )

    def check(self, ok: bool, at: Positioned, message: str, *, confidence: Confidence | None = None) -> None:
        """Count an instance as passed or failed."""
        if ok:
            self.passed()
        else:
            self.failed(at, message, confidence=confidence)


@dataclass(frozen=True, slots=True)
class Position:
    """1-based line and column."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something a file says that only means something together with other files."""

    kind: str
    """Which question it answers, such as `token` or `colour`."""
    name: str
    value: str = ""
    scope: str = ""
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Located:
    """A fact and the file that states it."""

    path: str
    fact: Fact

    @property
    def line(self) -> int:
        """1-based line."""
        return self.fact.line

    @property
    def column(self) -> int:
        """1-based column."""
        return self.fact.column


class Project:
    """The facts of all files. Independent of the order in which files were read: facts are sorted by place."""

    def __init__(self, facts: list[Located]) -> None:
        ordered = sorted(
            facts, key=lambda at: (at.path, at.line, at.column, at.fact.kind, at.fact.name, at.fact.value)
        )
        self._by_kind: dict[str, list[Located]] = {}
        self._names: dict[str, frozenset[str]] = {}
        for located in ordered:
            self._by_kind.setdefault(located.fact.kind, []).append(located)

    def divided(self, group_of: Callable[[str], str]) -> list["Project"]:
        """The facts by the group that their file belongs to, the groups in order of their names."""
        groups: dict[str, list[Located]] = {}
        for facts in self._by_kind.values():
            for located in facts:
                groups.setdefault(group_of(located.path), []).append(located)
        return [Project(groups[name]) for name in sorted(groups)]

    def of(self, kind: str) -> list[Located]:
        """The facts of a kind, by path and line."""
        return self._by_kind.get(kind, [])

    def names(self, kind: str) -> frozenset[str]:
        """The names of the facts of a kind."""
        if kind not in self._names:
            self._names[kind] = frozenset(located.fact.name for located in self.of(kind))
        return self._names[kind]

    def has(self, kind: str, *names: str) -> bool:
        """Whether any fact of the kind has one of the names."""
        known = self.names(kind)
        return any(name in known for name in names)


@dataclass(frozen=True, slots=True)
class FileRule:
    """A rule that is decided within one file."""

    info: RuleInfo
    check: Callable[[Document, Tally], None]


@dataclass(frozen=True, slots=True)
class ProjectRule:
    """A rule that needs the facts of all files."""

    info: RuleInfo
    check: Callable[[Project, Tally], None]


FactSource = Callable[[Document], Iterator[Fact]]


def describe(
    rule_id: str,
    category: Category,
    severity: Severity,
    title: str,
    *,
    reason: str,
    fix: str,
    reference: tuple[str, str],
    confidence: Confidence = Confidence.HIGH,
    shared: tuple[str, ...] = (),
    negative: bool = False,
    own_references: tuple[tuple[str, str, str], ...] = (),
) -> RuleInfo:
    """Put a rule's description together; `reference` comes from `wcag`, `mdn` or `page`."""
    return RuleInfo(
        id=RuleId(rule_id),
        category=category,
        severity=severity,
        title=title,
        reason=reason,
        fix=fix,
        reference=reference[0],
        url=reference[1],
        confidence=confidence,
        shared=shared,
        negative=negative,
        own_references=own_references,
    )


def wcag(criterion: str, slug: str) -> tuple[str, str]:
    """A success criterion of WCAG 2.2 and its Understanding page."""
    return f"WCAG 2.2 {criterion}", _UNDERSTANDING + slug


def mdn(topic: str, path: str) -> tuple[str, str]:
    """A page of MDN below /docs/."""
    return f"MDN: {topic}", _MDN + path


def page(title: str, url: str) -> tuple[str, str]:
    """Any other page."""
    return title, url
