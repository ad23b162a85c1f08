"""The rule on agents that the interface must reach, for callers who say which."""

import re
from collections.abc import Callable, Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Severity
from connectors.ui_analyzer.rule import Fact, Position, Project, ProjectRule, Tally, describe, wcag

WANTED = "agent-wanted"
"""The kind of the facts that the caller adds: one for each agent."""
_NAMED = "agent-named"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def named_agents(wanted: tuple[str, ...]) -> Callable[[Document], Iterator[Fact]]:
    """A source of facts on which of the agents a file names, in its texts and its script without comments.

    Names are compared by their words: `code-review`, `codeReview` and `Code review` are the same.
    """
    words = {name: _words(name) for name in wanted}

    def facts(document: Document) -> Iterator[Fact]:
        if document.server or not (document.elements or document.scripts):
            return
        texts = [text for element in document.elements for text in element.texts]
        texts += [
            attribute.value or ""
            for element in document.elements
            for attribute in element.attributes.values()
        ]
        said = " " + _words(" ".join([*texts, *(script.code_text for script in document.scripts)])) + " "
        for name, looked_for in words.items():
            if looked_for and f" {looked_for} " in said:
                yield Fact(kind=_NAMED, name=name)

    return facts


def _words(text: str) -> str:
    return " ".join(word.lower() for word in _WORDS.findall(text))


def _reachable(project: Project, tally: Tally) -> None:
    for at in project.of(WANTED):
        if project.has(_NAMED, at.fact.name):
            tally.passed()
        else:
            tally.failed(
                Position(0, 0), f"nothing in the interface names the agent {at.fact.name}", path=at.path
            )


RULES: tuple[ProjectRule, ...] = (
    ProjectRule(
        describe(
            "agent-reachable",
            Category.AGENTS,
            Severity.SERIOUS,
            "Every agent that is asked for is in the interface",
            reason="An agent that nothing names cannot be chosen, so nobody uses it.",
            fix="Offer it where agents are chosen, or take it off the list of agents.",
            reference=wcag("2.4.5 Multiple Ways", "multiple-ways"),
        ),
        _reachable,
    ),
)
