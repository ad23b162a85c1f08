"""The identity of a finding, the same while lines move."""

import hashlib

from connectors.ui_analyzer.model import Fingerprint


def fingerprint(rule_id: str, path: str, snippet: str, occurrence: int) -> Fingerprint:
    """The key of a finding in baselines; changing this format makes every baseline void."""
    text = "\0".join((rule_id, path, " ".join(snippet.split()), str(occurrence)))
    return Fingerprint(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32])
