"""Which roles elements have by themselves, and which attributes of WAI-ARIA 1.2 a role supports. Names only."""

from typing import Final

from connectors.ui_analyzer.markup import Element

_RANGES = frozenset({"meter", "progressbar", "scrollbar", "separator", "slider", "spinbutton"})
_TABLES = frozenset({"table", "grid", "treegrid"})
_CELLS = frozenset({"cell", "gridcell", "columnheader", "rowheader"})
_PLACED = frozenset(
    {"article", "listitem", "menuitem", "menuitemcheckbox", "menuitemradio", "option", "radio", "row", "tab"}
    | {"treeitem", "comment"}
)
_FIELDS = frozenset({"textbox", "searchbox"})
SUPPORTED_BY: Final[dict[str, frozenset[str]]] = {
    "activedescendant": frozenset(
        {"application", "combobox", "grid", "group", "listbox", "menu", "menubar", "radiogroup", "row"}
        | {"spinbutton", "tablist", "toolbar", "tree", "treegrid"}
        | _FIELDS
    ),
    "autocomplete": _FIELDS | {"combobox"},
    "checked": frozenset(
        {"checkbox", "menuitemcheckbox", "menuitemradio", "option", "radio", "switch", "treeitem"}
    ),
    "colcount": _TABLES,
    "colindex": _CELLS | {"row"},
    "colspan": _CELLS,
    "expanded": frozenset(
        {"application", "button", "checkbox", "columnheader", "combobox", "gridcell", "link", "listbox"}
        | {"menuitem", "menuitemcheckbox", "menuitemradio", "row", "rowheader", "switch", "tab", "treeitem"}
    ),
    "level": frozenset({"comment", "heading", "listitem", "row", "treeitem"}),
    "modal": frozenset({"alertdialog", "dialog"}),
    "multiline": _FIELDS,
    "multiselectable": frozenset({"grid", "listbox", "tablist", "tree", "treegrid"}),
    "orientation": frozenset(
        {
            "combobox",
            "listbox",
            "menu",
            "menubar",
            "radiogroup",
            "scrollbar",
            "separator",
            "slider",
            "tablist",
        }
        | {"toolbar", "tree", "treegrid"}
    ),
    "placeholder": _FIELDS,
    "posinset": _PLACED,
    "pressed": frozenset({"button"}),
    "readonly": frozenset(
        {"checkbox", "columnheader", "combobox", "grid", "gridcell", "listbox", "menuitemcheckbox"}
        | {"menuitemradio", "radiogroup", "rowheader", "slider", "spinbutton", "switch", "treegrid"}
        | _FIELDS
    ),
    "required": frozenset(
        {"checkbox", "columnheader", "combobox", "gridcell", "listbox", "radiogroup", "rowheader"}
        | {"spinbutton", "switch", "tree", "treegrid"}
        | _FIELDS
    ),
    "rowcount": _TABLES,
    "rowindex": _CELLS | {"row"},
    "rowspan": _CELLS,
    "selected": frozenset({"columnheader", "gridcell", "option", "row", "rowheader", "tab", "treeitem"}),
    "setsize": _PLACED,
    "sort": frozenset({"columnheader", "rowheader"}),
    "valuemax": _RANGES,
    "valuemin": _RANGES,
    "valuenow": _RANGES,
    "valuetext": _RANGES,
}
"""The roles that support an attribute (without `aria-`) which not every role does."""
WITHOUT_ARIA: Final = frozenset(
    [
        "base",
        "col",
        "colgroup",
        "head",
        "html",
        "link",
        "meta",
        "noscript",
        "param",
        "picture",
        "script",
        "slot",
        "source",
        "style",
        "template",
        "title",
        "track",
    ]
)
"""Elements that are not shown as such, and take neither a role nor attributes of ARIA."""
CHILDREN_FLATTENED: Final = frozenset(
    {"button", "checkbox", "menuitemcheckbox", "menuitemradio", "option", "radio", "switch", "tab"}
)
"""Roles inside of which nothing else can be operated, because screen readers read one text."""
_BY_TAG: Final = {
    "article": "article",
    "aside": "complementary",
    "button": "button",
    "datalist": "listbox",
    "details": "group",
    "dialog": "dialog",
    "dl": "",
    "fieldset": "group",
    "figure": "figure",
    "h1": "heading",
    "h2": "heading",
    "h3": "heading",
    "h4": "heading",
    "h5": "heading",
    "h6": "heading",
    "hr": "separator",
    "li": "listitem",
    "main": "main",
    "menu": "list",
    "meter": "meter",
    "nav": "navigation",
    "ol": "list",
    "option": "option",
    "output": "status",
    "progress": "progressbar",
    "table": "table",
    "tbody": "rowgroup",
    "textarea": "textbox",
    "tfoot": "rowgroup",
    "thead": "rowgroup",
    "tr": "row",
    "ul": "list",
}
_BY_INPUT: Final = {
    "button": "button",
    "checkbox": "checkbox",
    "email": "textbox",
    "image": "button",
    "number": "spinbutton",
    "radio": "radio",
    "range": "slider",
    "reset": "button",
    "search": "searchbox",
    "submit": "button",
    "tel": "textbox",
    "text": "textbox",
    "url": "textbox",
}
NON_INTERACTIVE: Final = frozenset(
    [
        "article",
        "banner",
        "blockquote",
        "caption",
        "complementary",
        "contentinfo",
        "definition",
        "document",
        "feed",
        "figure",
        "heading",
        "img",
        "image",
        "list",
        "listitem",
        "main",
        "mark",
        "math",
        "navigation",
        "note",
        "paragraph",
        "region",
        "rowgroup",
        "table",
        "term",
        "time",
        "tooltip",
    ]
)
"""Roles of what is read rather than operated."""


def implicit_role(element: Element) -> str:
    """The role that an element of HTML has by itself; "" when it has none or the page decides."""
    tag = element.tag
    if tag in ("a", "area"):
        return "link" if element.has("href") else ""
    if tag == "input":
        kind = element.attributes.get("type")
        if kind is not None and kind.value is None:
            return ""
        name = "text" if kind is None else (kind.value or "text").lower()
        role = _BY_INPUT.get(name, "")
        return "combobox" if element.has("list") and role in ("textbox", "searchbox") else role
    if tag == "select":
        return "listbox" if element.has("multiple", "size") else "combobox"
    if tag == "img":
        alt = element.attributes.get("alt")
        return "" if alt is None or alt.value == "" else "img"
    return _BY_TAG.get(tag, "")
