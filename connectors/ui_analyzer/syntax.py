"""Syntax trees by tree-sitter, thinned to the kinds of node that rules look at.

A query picks the interesting nodes in C; Python then only links these few into a tree of `Syntax` by their byte
ranges. That is some ten times cheaper than walking every node, and asking a tree-sitter node for its parent
would descend from the root each time.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import tree_sitter_html
import tree_sitter_javascript
import tree_sitter_typescript
from tree_sitter import Language, Node, Parser, Point, Query, QueryCursor
from tree_sitter import Tree as ParsedTree

from connectors.ui_analyzer.repairing import repaired, reworded

SCRIPT_KINDS = (
    "import_statement",
    "export_statement",
    "function_declaration",
    "generator_function_declaration",
    "function_expression",
    "arrow_function",
    "method_definition",
    "class_declaration",
    "class",
    "call_expression",
    "new_expression",
    "jsx_element",
    "jsx_self_closing_element",
    "jsx_attribute",
    "jsx_expression",
    "jsx_text",
    "html_character_reference",
    "if_statement",
    "ternary_expression",
    "for_statement",
    "for_in_statement",
    "while_statement",
    "do_statement",
    "switch_statement",
    "try_statement",
    "catch_clause",
    "variable_declarator",
    "assignment_expression",
    "augmented_assignment_expression",
    "return_statement",
    "await_expression",
    "comment",
)
MARKUP_KINDS = (
    "element",
    "script_element",
    "style_element",
    "start_tag",
    "self_closing_tag",
    "attribute",
    "text",
    "entity",
    "comment",
    "erroneous_end_tag",
)
TREE_DEPTH_MAX = 1_500
"""Deepest syntax tree that is looked at; 400 nested elements of JSX need about 1,200."""
_DEPTH_SAMPLES = 64
_REPAIRS_MAX = 3
_ERRORS_MAX = 1_000
FUNCTION_KINDS = frozenset(
    {
        "function_declaration",
        "generator_function_declaration",
        "function_expression",
        "arrow_function",
        "method_definition",
    }
)
JSX_ELEMENT_KINDS = frozenset({"jsx_element", "jsx_self_closing_element"})


class TreeTooDeep(Exception):
    """The syntax tree is nested beyond TREE_DEPTH_MAX (theirs: the file; never retried)."""


class ParseTooSlow(Exception):
    """The file's time is used up (theirs: the file; never retried)."""


_CHECKS_PER_LOOK = 32
"""Asking the system for the time of a thread costs more than most steps between two checks."""


@dataclass(slots=True)
class Deadline:
    """The processor time of this thread, in seconds, at which work on a file ends, however busy the machine is."""

    at_s: float
    _left: int = 0

    def check(self) -> None:
        """Raise ParseTooSlow when the time is used up; looks at the clock at the first of every 32 calls."""
        if self._left:
            self._left -= 1
            return
        self._left = _CHECKS_PER_LOOK - 1
        if time.thread_time() > self.at_s:
            raise ParseTooSlow


@dataclass(slots=True, eq=False)
class Syntax:
    """An interesting node, linked to the nearest interesting node around it."""

    kind: str
    node: Node
    start: int
    end: int
    parent: "Syntax | None"
    children: list["Syntax"] = field(default_factory=list)

    @property
    def line(self) -> int:
        """1-based line on which the node starts."""
        return self.node.start_point.row + 1

    @property
    def column(self) -> int:
        """1-based column, in bytes."""
        return self.node.start_point.column + 1

    def ancestors(self) -> Iterator["Syntax"]:
        """The interesting nodes around this one, innermost first."""
        at = self.parent
        while at is not None:
            yield at
            at = at.parent

    def within(self, kind: str) -> Iterator["Syntax"]:
        """All interesting nodes of one kind below this one, in source order."""
        stack = list(reversed(self.children))
        while stack:
            at = stack.pop()
            if at.kind == kind:
                yield at
            stack.extend(reversed(at.children))


@dataclass(slots=True)
class Tree:
    """The interesting nodes of one parse, in source order and by kind."""

    source: bytes
    root: Node
    items: list[Syntax]
    by_kind: dict[str, list[Syntax]]
    error_bytes: int
    """Bytes inside nodes that the parser could not make sense of."""

    def text(self, node: Node) -> str:
        """The source of a node."""
        return self.source[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def of(self, *kinds: str) -> list[Syntax]:
        """The nodes of the kinds, in source order within each kind."""
        if len(kinds) == 1:
            return self.by_kind.get(kinds[0], [])
        return sorted((item for kind in kinds for item in self.by_kind.get(kind, [])), key=lambda i: i.start)


def parse(language: str, source: bytes, deadline: Deadline) -> Tree:
    """Parse UTF-8 `source` as `typescript`, `tsx`, `javascript` or `html`.

    Raises:
        ParseTooSlow: the deadline passed while parsing.
        TreeTooDeep: what was parsed is nested too deeply.
    """
    parser, query = _tools(language)
    tree = _parsed(parser, source, deadline)
    if tree.root_node.has_error and language != "html":
        tree = _repaired(parser, tree, source, deadline)
    if _too_deep(tree):
        raise TreeTooDeep
    cursor = QueryCursor(query)
    # A query over a chain of thousands of nested nodes takes quadratic time, and cannot be interrupted.
    cursor.set_max_start_depth(TREE_DEPTH_MAX)
    captures = cursor.captures(tree.root_node)
    deadline.check()
    errors = captures.pop("error", []) if tree.root_node.has_error else []
    deadline.check()
    items, by_kind = _linked(captures)
    return Tree(source, tree.root_node, items, by_kind, _covered_bytes(errors))


def _parsed(parser: Parser, source: bytes, deadline: Deadline) -> ParsedTree:
    parser.reset()

    def read(offset: int, _: Point) -> bytes:
        return source[offset : offset + 65_536]

    def late(_: int, __: bool) -> bool:
        return time.thread_time() > deadline.at_s

    try:
        tree = parser.parse(read, progress_callback=late)
    except ValueError as error:
        raise ParseTooSlow from error
    deadline.check()
    return tree


def _repaired(parser: Parser, tree: ParsedTree, source: bytes, deadline: Deadline) -> ParsedTree:
    """The tree of the source in words that the grammar knows; the old one where that does not help."""
    errors = _errors(tree)
    best, fewest = tree, _covered_bytes(errors)
    at, rewritten = source, repaired(source)
    for _ in range(_REPAIRS_MAX):
        if rewritten == at:
            rewritten = reworded(at, [(node.start_byte, node.end_byte) for node in errors])
            if rewritten == at:
                break
        at = rewritten
        tree = _parsed(parser, at, deadline)
        errors = _errors(tree)
        if (unknown := _covered_bytes(errors)) < fewest or not errors:
            best, fewest = tree, unknown
        if not errors:
            break
    return best


def _errors(tree: ParsedTree) -> list[Node]:
    """The outermost nodes that the parser could not make sense of."""
    found: list[Node] = []
    stack = [tree.root_node]
    while stack and len(found) < _ERRORS_MAX:
        node = stack.pop()
        if node.is_error or node.is_missing:
            found.append(node)
        elif node.has_error:
            stack.extend(node.children)
    return found


def _too_deep(tree: ParsedTree) -> bool:
    """Whether samples spread over all nodes show nesting beyond TREE_DEPTH_MAX."""
    count = tree.root_node.descendant_count
    if count <= TREE_DEPTH_MAX:
        return False
    cursor = tree.walk()
    for sample in range(_DEPTH_SAMPLES):
        cursor.goto_descendant(count * sample // _DEPTH_SAMPLES)
        if cursor.depth > TREE_DEPTH_MAX:
            return True
    return False


def _covered_bytes(nodes: list[Node]) -> int:
    """The bytes covered by nodes that may contain one another."""
    covered, end = 0, 0
    for node in sorted(nodes, key=lambda n: n.start_byte):
        if node.end_byte > end:
            covered += node.end_byte - max(end, node.start_byte)
            end = node.end_byte
    return covered


def _linked(captures: dict[str, list[Node]]) -> tuple[list[Syntax], dict[str, list[Syntax]]]:
    flat = [
        (node.start_byte, -node.end_byte, position, kind, node)
        for position, (kind, nodes) in enumerate(captures.items())
        for node in nodes
        if kind != "error"
    ]
    flat.sort(key=lambda entry: entry[:3])
    items: list[Syntax] = []
    by_kind: dict[str, list[Syntax]] = defaultdict(list)
    around: list[Syntax] = []
    for start, minus_end, _, kind, node in flat:
        end = -minus_end
        while around and around[-1].end <= start:
            around.pop()
        parent = around[-1] if around else None
        item = Syntax(kind, node, start, end, parent)
        if parent is not None:
            parent.children.append(item)
        items.append(item)
        by_kind[kind].append(item)
        around.append(item)
    return items, dict(by_kind)


@cache
def _tools(language: str) -> tuple[Parser, Query]:
    grammar = Language(
        {
            "typescript": tree_sitter_typescript.language_typescript,
            "tsx": tree_sitter_typescript.language_tsx,
            "javascript": tree_sitter_javascript.language,
            "html": tree_sitter_html.language,
        }[language]()
    )
    wanted = MARKUP_KINDS if language == "html" else SCRIPT_KINDS
    patterns = [f"({kind}) @{kind}" for kind in wanted if grammar.id_for_node_kind(kind, True)]
    if language != "html":
        patterns.append('(binary_expression operator: ["&&" "||" "??"]) @logical')
    patterns.append("(ERROR) @error")
    return Parser(grammar), Query(grammar, "\n".join(patterns))
