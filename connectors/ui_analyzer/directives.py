"""How Alpine, Vue without a build, Angular, AngularJS and Knockout write into plain HTML."""

import re

from connectors.ui_analyzer.markup import Element, handler_name

LITERAL = re.compile(r"\s*(?:'([^'\\]*)'|\"([^\"\\]*)\"|`([^`$\\]*)`|(-?\d+(?:\.\d+)?|true))\s*")
"""A bound value that is written out."""
DIRECTIVE = re.compile(r"[:@\[(*.?]|x-|v-|ng-|data-bind$")
"""What their attributes begin with."""
_FILLS = frozenset(
    {
        "x-text",
        "x-html",
        "v-text",
        "v-html",
        "ng-bind",
        "ng-bind-html",
        "ng-bind-template",
        "[innerhtml]",
        "[innertext]",
        "[textcontent]",
    }
)


def directive(name: str, written: str, value: str | None, element: Element) -> tuple[str, str | None]:
    """The attribute that a directive sets, whose value only the running page knows, or the directive itself."""
    if name in _FILLS or (name == "data-bind" and re.search(r"\b(?:text|html)\s*:", written)):
        element.dynamic_content = True
    elif name in ("x-bind", "v-bind"):
        element.spread = True
        element.spreads.append(written)
        return "", None
    elif name in ("x-if", "x-show", "v-if", "v-show", "v-else", "ng-if", "ng-show", "ng-hide", "*ngif"):
        element.conditional = True
    if name[:1] in (".", "?"):
        return name[1:], value  # A property, or a flag, of an element of Lit.
    bound = re.match(r"(?::|x-bind:|v-bind:|ng-attr-|\[attr\.|\[)([a-z][\w-]*)(?:\.[\w.]+)?\]?$", name)
    if bound and name not in _FILLS:
        literal = LITERAL.fullmatch(written)
        known = (
            None
            if literal is None
            else next((group for group in literal.groups() if group is not None), None)
        )
        return bound.group(1), known
    event = re.match(
        r"(?:@|x-on:|v-on:|ng-(?=(?:click|dblclick|mouse\w+|key\w+|submit|change|focus|blur)$)|\((?=[\w.-]+\)$))([\w-]+)",
        name,
    )
    return (handler_name(event.group(1)), None) if event else (name, value)
