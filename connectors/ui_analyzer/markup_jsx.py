"""Elements from the JSX in a syntax tree."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from connectors.ui_analyzer.markup import Attribute, Element, handler_name
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, JSX_ELEMENT_KINDS, Syntax, Tree

_RENAMED = {"classname": "class", "htmlfor": "for"}
_HANDLER = re.compile(r"on[A-Z]\w*$")
_LOOPS = re.compile(
    r"(?:\.|\?\.)(?:map|flatMap)$|^(?:React\.)?Children\.map$|^Array\.from$|^(?:_|lodash)\.map$"
)
_ABSENT = frozenset({"false", "null", "undefined"})


@dataclass(slots=True)
class _Surroundings:
    element: Syntax | None = None
    conditional: bool = False
    loop: bool = False
    detached: bool = False
    attribute: str = ""


def jsx_elements(tree: Tree) -> list[Element]:
    """All JSX elements in source order; fragments are left out, their children belong to what is around."""
    made: dict[int, Element] = {}
    elements: list[Element] = []
    for item in tree.of("jsx_element", "jsx_self_closing_element"):
        opening = item.node
        if item.kind == "jsx_element":
            opening_node = item.node.child_by_field_name("open_tag")
            if opening_node is None:
                continue
            opening = opening_node
        name_node = opening.child_by_field_name("name")
        if name_node is None:
            continue
        around = _surroundings(tree, item, made)
        parent = made.get(id(around.element)) if around.element is not None else None
        element = _element(tree, item, opening, tree.text(name_node), parent)
        element.conditional = around.conditional or bool(
            parent and not around.detached and parent.conditional
        )
        element.loop_root = around.loop
        element.loop = around.loop or bool(parent and parent.loop)
        if item.node.parent is not None and item.node.parent.type in ("pair", "array"):
            # A part of a value: whoever gets it, such as `<Trans components={[<a />]}>`, fills it.
            around.detached, around.attribute = True, around.attribute or "components"
        element.detached = around.detached
        if parent is not None and not around.detached:
            parent.children.append(element)
        elif around.detached:
            element.parent = None
            element.owner, element.owner_prop = parent, around.attribute
        made[id(item)] = element
        elements.append(element)
    _add_text(tree, made)
    return elements


def _surroundings(tree: Tree, item: Syntax, made: dict[int, Element]) -> _Surroundings:
    found = _Surroundings()
    inner = item
    for at in item.ancestors():
        if at.kind in JSX_ELEMENT_KINDS:
            if id(at) in made:
                found.element = at
                return found
        elif at.kind == "jsx_attribute":
            found.detached = True
            found.attribute = tree.text(at.node.named_children[0]).lower()
        elif at.kind in ("ternary_expression", "logical", "if_statement", "switch_statement"):
            found.conditional = True
        elif at.kind == "call_expression" and inner.kind in FUNCTION_KINDS:
            function = at.node.child_by_field_name("function")
            if function is not None and _LOOPS.search(tree.text(function)):
                found.loop = True
        elif at.kind in FUNCTION_KINDS and at.kind not in ("arrow_function", "function_expression"):
            return found
        if at.kind in FUNCTION_KINDS or at.kind == "call_expression":
            inner = at
    return found


def _element(tree: Tree, item: Syntax, opening: Node, name: str, parent: Element | None) -> Element:
    attributes: dict[str, Attribute] = {}
    spreads: list[str] = []
    for child in opening.named_children:
        if child.type == "jsx_attribute":
            attribute = _attribute(tree, child)
            if attribute is not None:
                attributes[attribute.name] = attribute
        elif child.type == "jsx_expression":
            spreads.append(tree.text(child)[1:-1].strip().removeprefix("...").strip())
    native = name[:1].islower() and "." not in name and "-" not in name
    point = item.node.start_point
    return Element(
        tag=name.lower() if native else name,
        native=native,
        attributes=attributes,
        parent=parent,
        line=point.row + 1,
        column=point.column + 1,
        start=item.start,
        end=item.end,
        spread=bool(spreads),
        spreads=spreads,
        node=item.node,
    )


def _attribute(tree: Tree, node: Node) -> Attribute | None:
    parts = node.named_children
    if not parts:
        return None
    raw = tree.text(parts[0])
    name = _RENAMED.get(raw.lower(), raw.lower())
    if _HANDLER.match(raw):
        name = handler_name(raw[2:])
    value: str | None = ""
    expression = ""
    if len(parts) > 1:
        value, expression = _value(tree, parts[1])
        if value in _ABSENT and parts[1].type == "jsx_expression" and not name.startswith("aria-"):
            return None
        if value in ("null", "undefined") and parts[1].type == "jsx_expression":
            return None
    point = node.start_point
    if name == "dangerouslysetinnerhtml":
        value = None
    return Attribute(name, value, expression, point.row + 1, point.column + 1, raw)


def _value(tree: Tree, node: Node) -> tuple[str | None, str]:
    if node.type == "string":
        text = tree.text(node)[1:-1]
        return html.unescape(text), text
    if node.type != "jsx_expression":
        return None, tree.text(node)
    inner = [child for child in node.named_children if child.type != "comment"]
    if len(inner) != 1:
        return None, tree.text(node)[1:-1]
    return _constant(tree, inner[0]), tree.text(inner[0])


def _constant(tree: Tree, node: Node) -> str | None:
    """The value of a literal; None for anything else."""
    if node.type == "string":
        return tree.text(node)[1:-1]
    if node.type == "template_string":
        text = tree.text(node)[1:-1]
        return None if "${" in text else text
    if node.type in ("number", "true", "false", "null", "undefined"):
        return tree.text(node)
    if node.type == "unary_expression":
        text = tree.text(node)
        return text if re.fullmatch(r"[-+]\d+(\.\d+)?", text) else None
    return None


def _add_text(tree: Tree, made: dict[int, Element]) -> None:
    for item in tree.of("jsx_text", "html_character_reference"):
        owner = _owner(item, made)
        text = tree.text(item.node).strip()
        if owner is not None and text:
            owner.texts.append(html.unescape(text))
    for item in tree.of("jsx_expression"):
        owner = _owner(item, made)
        if owner is None:
            continue
        inner = [child for child in item.node.named_children if child.type != "comment"]
        if len(inner) != 1 or inner[0].type == "spread_element":
            continue
        for constant in _rendered(tree, inner[0]):
            if constant is None:
                owner.dynamic_content = True
            elif constant.strip() and constant not in _ABSENT:
                owner.texts.append(constant.strip())


def _rendered(tree: Tree, node: Node) -> Iterator[str | None]:
    """What an expression may add as text: constants, and None for what only the running page knows.

    The branches that are elements add none: they are elements of their own.
    """
    if node.type in (
        "parenthesized_expression",
        "as_expression",
        "satisfies_expression",
        "non_null_expression",
    ):
        if node.named_children:
            yield from _rendered(tree, node.named_children[0])
    elif node.type == "ternary_expression":
        for field in ("consequence", "alternative"):
            branch = node.child_by_field_name(field)
            if branch is not None:
                yield from _rendered(tree, branch)
    elif node.type == "binary_expression" and node.child_by_field_name("operator") is not None:
        operator, right = node.child_by_field_name("operator"), node.child_by_field_name("right")
        left = node.child_by_field_name("left")
        if operator is None or right is None or operator.type not in ("&&", "||", "??"):
            yield None
            return
        if left is not None and operator.type != "&&":
            yield from _rendered(tree, left)
        yield from _rendered(tree, right)
    else:
        constant = _constant(tree, node)
        if constant is not None or not _holds_jsx(node):
            yield constant


def _holds_jsx(node: Node) -> bool:
    stack = [node]
    while stack:
        at = stack.pop()
        if at.type in JSX_ELEMENT_KINDS or at.type == "jsx_fragment":
            return True
        stack.extend(at.named_children)
    return False


def _owner(item: Syntax, made: dict[int, Element]) -> Element | None:
    """The element that renders a child; None for what stands inside an attribute or a fragment at the top."""
    at = item.parent
    while at is not None:
        if at.kind == "jsx_attribute":
            return None
        if at.kind in JSX_ELEMENT_KINDS:
            if at.kind == "jsx_self_closing_element":
                return None
            if id(at) in made:
                return made[id(at)]
        at = at.parent
    return None
