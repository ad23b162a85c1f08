"""Baselines: the findings that are known, so that CI fails on new ones only."""

import json
from dataclasses import replace
from pathlib import Path

from connectors.ui_analyzer.model import Analysis, Fingerprint

_FORMAT = "cartrita-ui-baseline"
_VERSION = 1
_BYTES_MAX = 50_000_000


class BaselineInvalid(Exception):
    """The file is not a baseline of a version that is understood (the caller's fault)."""


def write_baseline(analysis: Analysis) -> str:
    """The baseline that knows every finding of `analysis`, as JSON that diffs well."""
    known = {finding.fingerprint: f"{finding.rule_id} {finding.path}" for finding in analysis.findings}
    return (
        json.dumps(
            {"format": _FORMAT, "version": _VERSION, "findings": dict(sorted(known.items()))}, indent=1
        )
        + "\n"
    )


def read_baseline(path: Path) -> frozenset[Fingerprint]:
    """The fingerprints that a baseline knows.

    Raises:
        BaselineInvalid: it cannot be read, or is not a baseline.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise BaselineInvalid(f"{path}: larger than {_BYTES_MAX} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BaselineInvalid(f"{path}: {error}") from error
    if (
        not isinstance(content, dict)
        or content.get("format") != _FORMAT
        or content.get("version") != _VERSION
    ):
        raise BaselineInvalid(f"{path}: not a baseline of version {_VERSION}")
    findings = content.get("findings")
    if not isinstance(findings, dict):
        raise BaselineInvalid(f"{path}: has no findings")
    return frozenset(Fingerprint(str(key)) for key in findings)


def against_baseline(analysis: Analysis, known: frozenset[Fingerprint]) -> Analysis:
    """The same analysis, with the findings that the baseline does not know marked as new."""
    new = tuple(finding.fingerprint for finding in analysis.findings if finding.fingerprint not in known)
    return replace(analysis, new_findings=new)
