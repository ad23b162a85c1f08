"""Rules on links that open elsewhere, and on writing to the page beside the framework."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, mdn, page

_COMPONENTS = Category.COMPONENTS
_REACT = "https://react.dev/"
_DOM_WRITE = re.compile(
    r"^(?:window\.)?document\.(?:getElementById|querySelector)\([^)]*\)[!?]?\.(?:innerHTML|innerText|textContent|value|className|style\.\w+|checked|disabled|hidden)$"
)


def _target_blank(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if (
            not element.native
            or element.tag not in ("a", "area", "form")
            or element.get("target") != "_blank"
            or element.spread
        ):
            continue
        href = element.attributes.get("href")
        if href is None or not (href.dynamic or re.match(r"(?:https?:)?//", href.value or "")):
            continue
        rel = element.attributes.get("rel")
        ok = rel is not None and (
            rel.dynamic or bool({"noopener", "noreferrer"} & set((rel.value or "").split()))
        )
        tally.check(ok, element, 'target="_blank" without rel="noopener"')


def _direct_dom(document: Document, tally: Tally) -> None:
    if document.framework not in ("react", "vue", "svelte") or not document.elements:
        return
    for script in document.scripts:
        for item in script.items("assignment_expression"):
            left = script.text(item.node.child_by_field_name("left"))
            if left.startswith(("document.get", "document.query", "window.document")):
                tally.check(
                    _DOM_WRITE.match(left) is None or _left_to_script(document, left),
                    item,
                    f"{left[:60]} is changed behind the back of {document.framework.title()}",
                )
    tally.passed()


def _left_to_script(document: Document, left: str) -> bool:
    """Whether the template of the element that is written to leaves its style alone, so that no render undoes it."""
    found = re.search(r"\(\s*['\"]#?([\w-]+)['\"]\s*\)[!?]?\.style\.\w+$", left)
    if found is None:
        return False
    known = [element for element in document.elements if element.get("id") == found.group(1)]
    return bool(known) and all(
        not element.has("style") and not any(name.startswith("style:") for name in element.attributes)
        for element in known
    )


RULES = (
    FileRule(
        describe(
            "target-blank",
            _COMPONENTS,
            Severity.MINOR,
            "Links into new tabs give nothing away",
            reason="Old browsers let the other page navigate this one; today's do so only when asked for it.",
            fix='Add `rel="noopener"`.',
            reference=mdn("rel=noopener", "Web/HTML/Reference/Attributes/rel/noopener"),
            confidence=Confidence.LOW,
        ),
        _target_blank,
    ),
    FileRule(
        describe(
            "direct-dom-write",
            _COMPONENTS,
            Severity.MODERATE,
            "Components do not write to the DOM directly",
            reason="The next render overwrites the change, or breaks on it.",
            fix="Keep the value in state and render it.",
            negative=True,
            own_references=(
                ("vue", "Vue: Template refs", "https://vuejs.org/guide/essentials/template-refs.html"),
                ("svelte", "Svelte: bind:this", "https://svelte.dev/docs/svelte/bind#bind:this"),
            ),
            reference=page(
                "React: Manipulating the DOM with refs",
                _REACT + "learn/manipulating-the-dom-with-refs#best-practices-for-dom-manipulation-with-refs",
            ),
        ),
        _direct_dom,
    ),
)
