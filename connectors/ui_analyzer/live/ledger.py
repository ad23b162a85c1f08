"""Collects what the live checks saw, and turns it into rules, passes and findings."""

import re
from dataclasses import dataclass, field, replace

from connectors.ui_analyzer.fingerprints import fingerprint
from connectors.ui_analyzer.live.catalogue import LIVE_RULES
from connectors.ui_analyzer.live.values import items, number, record, text
from connectors.ui_analyzer.model import (
    Category,
    Confidence,
    Finding,
    LiveCheck,
    RuleId,
    RuleInfo,
    Severity,
)

_SEVERITIES = {"critical": Severity.CRITICAL, "serious": Severity.SERIOUS, "moderate": Severity.MODERATE}


@dataclass(slots=True)
class Ledger:
    """What was seen on one page, from any number of contexts (theme and viewport)."""

    url: str
    checks: list[LiveCheck] = field(default_factory=list)
    _rules: dict[RuleId, RuleInfo] = field(default_factory=dict)
    _passes: dict[RuleId, int] = field(default_factory=dict)
    _failures: dict[tuple[RuleId, str], Finding] = field(default_factory=dict)

    @property
    def rules(self) -> tuple[RuleInfo, ...]:
        """Every rule that was checked."""
        return tuple(self._rules[key] for key in sorted(self._rules))

    @property
    def passes(self) -> dict[RuleId, int]:
        """The most instances that passed a rule in any context."""
        return dict(self._passes)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Failures, each once however many contexts show it."""
        return tuple(self._failures[key] for key in sorted(self._failures))

    def without_picture(self) -> tuple[str, ...]:
        """The selectors of failures of which there is no picture yet, in order."""
        selectors = {finding.selector: None for finding in self._failures.values() if not finding.screenshot}
        return tuple(selector for selector in selectors if selector)

    def picture(self, selector: str, data_url: str) -> None:
        """Keep a picture of an element with all that is wrong with it."""
        for key, finding in self._failures.items():
            if finding.selector == selector and not finding.screenshot:
                self._failures[key] = replace(finding, screenshot=data_url)

    def check(
        self,
        name: str,
        context: str,
        value: str,
        passed: bool | None,
        *,
        selector: str = "",
        html: str = "",
        listed: bool = True,
    ) -> None:
        """Record a measurement (listed or only counted), for the live rule of that name if there is one."""
        if listed:
            self.checks.append(LiveCheck(name=name, context=context, value=value, passed=passed))
        info = LIVE_RULES.get(name)
        if info is None or passed is None:
            return
        self._rules[info.id] = info
        if passed:
            self._passes[info.id] = self._passes.get(info.id, 0) + 1
        else:
            self._fail(info, f"{value} ({context})", selector or name, html, None)

    def axe(self, result: object, context: str) -> None:
        """Record a result of axe: violations fail, what is incomplete needs review."""
        outcome = record(result)
        violations, incomplete = items(outcome.get("violations")), items(outcome.get("incomplete"))
        for entry in items(outcome.get("passes")):
            info = self._axe_rule(record(entry))
            self._passes[info.id] = max(
                self._passes.get(info.id, 0), int(number(record(entry).get("count")) or 0)
            )
        for listed, confidence in ((violations, None), (incomplete, Confidence.LOW)):
            for entry in listed:
                info = self._axe_rule(record(entry))
                for node in items(record(entry).get("nodes"), 50):
                    seen = record(node)
                    message = f"{info.title} ({context})"
                    self._fail(
                        info, message, text(seen.get("target")), text(seen.get("html"), 160), confidence
                    )
        self.checks.append(
            LiveCheck(
                name="axe",
                context=context,
                value=f"{len(violations)} rules violated, {len(incomplete)} to review",
                passed=not violations,
            )
        )

    def _axe_rule(self, entry: dict[str, object]) -> RuleInfo:
        name = re.sub(r"[^\w-]", "", text(entry.get("id"), 60)) or "unknown"
        known = RuleId(f"axe:{name}")
        if known not in self._rules:
            url = text(entry.get("helpUrl"))
            self._rules[known] = RuleInfo(
                id=known,
                category=Category.ACCESSIBILITY,
                severity=_SEVERITIES.get(text(entry.get("impact")), Severity.MINOR),
                title=text(entry.get("help")) or name,
                reason="Found by axe on the running page.",
                fix=f"{text(entry.get('help')) or name}.",
                reference=_criterion(entry),
                url=url
                if url.startswith("https://dequeuniversity.com/")
                else "https://dequeuniversity.com/rules/axe/",
            )
        elif self._rules[known].severity is Severity.MINOR and entry.get("impact") in _SEVERITIES:
            # axe names the impact only of what failed; a rule that passed first is known without it.
            del self._rules[known]
            return self._axe_rule(entry)
        return self._rules[known]

    def _fail(
        self, info: RuleInfo, message: str, selector: str, html: str, confidence: Confidence | None
    ) -> None:
        key = (info.id, selector)
        before = self._failures.get(key)
        if before is not None and (before.confidence is not Confidence.LOW or confidence is Confidence.LOW):
            return
        self._failures[key] = Finding(
            rule_id=info.id,
            category=info.category,
            severity=info.severity,
            confidence=confidence or Confidence.HIGH,
            path=self.url,
            line=0,
            column=0,
            message=message,
            snippet=html,
            fingerprint=fingerprint(info.id, self.url, selector, 1),
            selector=selector,
            reference=info.reference,
            url=info.url,
        )


def _criterion(entry: dict[str, object]) -> str:
    for tag in items(entry.get("tags")):
        match = re.fullmatch(r"wcag(\d)(\d)(\d{1,2})", text(tag))
        if match:
            return "WCAG 2.2 " + ".".join(match.groups())
    return "axe best practice"
