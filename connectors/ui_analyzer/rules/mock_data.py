"""A rule on made-up data that is shown as if it were real."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, page
from connectors.ui_analyzer.script import Script
from connectors.ui_analyzer.syntax import Syntax

_GENERATORS = re.compile(
    r"^(?:@faker-js/faker|faker|casual|chance|@ngneat/falso|mockjs|better-mock|@anatine/zod-mock)(?:/.*)?$"
)
"""Packages that make data up. Packages that answer requests in development are told apart by their absence here."""


_MOCK_FILE = re.compile(
    r"(?:^|[/@._-])(?:mock|mocks|mocked|mock-?data|fake|fakes|dummy|dummy-?data|sample-?data)(?:[/._-]|$)|(?:^|/)fixtures?/|(?:mock|fake|dummy|sample)[A-Z]?\w*[Dd]ata$",
    re.I,
)


_MOCK_SWITCH = re.compile(
    r"(?:enable|start|setup|init|use|install|with|is|should)[A-Z]|worker$|server$|handlers?$|$"
)


_TYPE_OR_EMPTY = re.compile(r"[A-Z][a-z]\w*$|[A-Z]{2,}[a-z]\w*$|(?:EMPTY|DEFAULT|INITIAL|NO)_\w+$")


def _is_data(script: Script, statement: Syntax) -> bool:
    """Whether a statement imports anything but types and empty values, by the way such names are written."""
    names = [entry.imported for entry in script.imports if entry.item.start == statement.start]
    return any(_TYPE_OR_EMPTY.match(name) is None for name in names)


def _mock_data(document: Document, tally: Tally) -> None:
    if document.server or document.language == "html":
        return
    for script in document.scripts:
        judged: set[int] = set()
        renders = bool(document.elements) or any(True for _ in script.hooks())
        for entry in script.imports:
            if entry.type_only or not entry.module or entry.item.start in judged:
                continue
            judged.add(entry.item.start)
            own = entry.module.startswith((".", "@/", "~/", "src/", "$lib/", "#"))
            mocked = (own and renders and _MOCK_FILE.search(entry.module) is not None) or _GENERATORS.match(
                entry.module
            ) is not None
            if mocked and _MOCK_SWITCH.match(entry.imported if entry.imported != "default" else entry.local):
                continue  # Starts a mock server for development; the data itself is not imported.
            if mocked and own and not _is_data(script, entry.item):
                continue  # Types and empty values that lie beside the data.
            if mocked and own and any(element.tag == entry.local for element in document.elements):
                continue  # A component that is called so, not data.
            if mocked:
                # Whether what a module makes up is shown is decided by who imports it.
                tally.failed(
                    entry.item,
                    f"made-up data from {entry.module} is shown as if it were real",
                    confidence=None if document.elements else Confidence.LOW,
                )
            elif document.elements and entry.module.startswith((".", "@/", "~/")):
                tally.passed()
        for call in script.calls:
            if document.elements and re.match(r"set[A-Z]\w*$", call.callee) and call.arguments:
                text = script.text(call.arguments[0])
                if (
                    "Math.random()" in text
                    and re.search(
                        r"Math\.(?:floor|round|ceil)\(\s*Math\.random\(\)\s*\*|Math\.random\(\)\s*\*\s*\d",
                        text,
                    )
                    and re.search(
                        r"metric|cpu|memory|latency|usage|users?|count|stats?|price|load|score|progress",
                        call.callee,
                        re.I,
                    )
                ):
                    tally.failed(call.item, f"{call.callee} is given random numbers")


RULES = (
    FileRule(
        describe(
            "mock-data",
            Category.REAL_TIME,
            Severity.SERIOUS,
            "What is shown is real",
            reason="Made-up figures look like measurements, and are believed.",
            fix="Ask the server; keep mocks in tests and stories.",
            negative=True,
            reference=page(
                "web.dev: Testing, mocks", "https://web.dev/learn/testing/get-started/test-doubles"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _mock_data,
    ),
)
