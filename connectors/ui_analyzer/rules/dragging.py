"""A rule on what can be moved by dragging only."""

import re
from functools import cache

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, wcag

_LISTS = re.compile(
    r"^(?:vuedraggable|vue-draggable-plus|vue-draggable-next|vue3-draggable-next|vue-draggable-resizable|vue3-smooth-dnd|"
    r"react-sortablejs|sortablejs-vue3|sortablejs|@vueuse/integrations/useSortable)(?:/|$)"
)
"""Libraries whose lists are sorted with a pointer alone. Those of which the keyboard is a part are told apart by their absence."""
_SORTS = re.compile(r"^(?:Sortable\.create|Sortable|useSortable|\$\(.*\)\.sortable|[\w$.]+\.sortable)$")
_ANOTHER_WAY = re.compile(
    r"key(?:down|up|press)\b|onKey(?:Down|Up)|Arrow(?:Up|Down|Left|Right)|arrow[-_]?(?:up|down|left|right)|chevron[-_]?(?:up|down)|"
    r"(?:move|shift|reorder|step)[-_ ]?(?:up|down|left|right|to|before|after|item|first|last|earlier|later)\b|context-?menu|"
    r"\bonMove\w*|(?:sort|order|position|priority)[-_ ]?(?:select|input|by|field)\b",
    re.I,
)
"""What a file says where something can be moved by buttons, by the keyboard, by a menu or by a number."""
_MESSAGE = "this can be moved by dragging only"


def _dragging(document: Document, tally: Tally) -> None:
    if document.server:
        return
    tags = {
        entry.local
        for script in document.scripts
        for entry in script.imports
        if _LISTS.match(entry.module) and not entry.type_only
    }
    another = cache(lambda: _ANOTHER_WAY.search(document.text) is not None)
    for element in document.elements:
        if element.native:
            # What takes a dragged thing and is one itself is sorted; a file or a card that goes elsewhere may have other ways.
            sorted_ = (
                element.loop
                and element.get("draggable") in ("true", "")
                and element.has("on:dragstart")
                and element.has("on:drop", "on:dragover", "on:dragenter")
            )
        else:
            sorted_ = element.tag in tags or element.tag.replace("-", "") in {tag.lower() for tag in tags}
        if sorted_:
            tally.check(another(), element, _MESSAGE)
    for script in document.scripts:
        library = any(_LISTS.match(module) for module in script.modules)
        for call in (*script.calls, *script.constructions):
            if _SORTS.match(call.callee) and call.arguments and (library or call.name == "sortable"):
                tally.check(another(), call.item, _MESSAGE)


RULES = (
    FileRule(
        describe(
            "drag-alternative",
            Category.ACCESSIBILITY,
            Severity.MODERATE,
            "What is dragged can also be moved otherwise",
            reason="Who cannot hold and move a pointer, or has a keyboard only, cannot change the order at all.",
            fix="Add buttons that move an item up and down, or handle the arrow keys.",
            reference=wcag("2.5.7 Dragging Movements", "dragging-movements"),
            confidence=Confidence.MEDIUM,
        ),
        _dragging,
    ),
)
