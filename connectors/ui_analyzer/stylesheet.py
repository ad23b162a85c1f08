"""Style rules from CSS (and, as far as they are CSS, SCSS and Less) by tinycss2."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tinycss2  # type: ignore[import-untyped]  # ships no types
from tinycss2.ast import (  # type: ignore[import-untyped]  # ships no types
    AtRule,
    Node,
    QualifiedRule,
)
from tinycss2.ast import (
    Declaration as ParsedDeclaration,
)

from connectors.ui_analyzer.syntax import Deadline

BRACKETS_DEPTH_MAX = 100
_LINE_COMMENT = re.compile(r"(?m)(^|[\s;{}])//[^\n]*")
_VARIABLE = re.compile(r"(?m)^[ \t]*[$@][\w-]+[ \t]*:[^;{}]*;")
_INTERPOLATED = re.compile(r"[#@]\{([^{}\n]*)\}")
_GROUPS = frozenset(
    {"media", "supports", "layer", "container", "scope", "starting-style", "include", "at-root"}
)
_BRACKET = re.compile(r"[(){}\[\]]")


class StylesheetTooDeep(Exception):
    """Brackets are nested beyond BRACKETS_DEPTH_MAX."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """`name: value`, the name lower case unless it is a custom property; the column in bytes, as everywhere here."""

    name: str
    value: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class StyleRule:
    """A block of declarations with where it applies."""

    selector: str
    """Nested selectors are joined to the outer one; `@font-face`, `@theme` and the like stand for themselves."""
    declarations: tuple[Declaration, ...]
    context: tuple[str, ...]
    """The at-rules around it, outermost first, such as `@media (min-width: 40rem)`."""
    line: int
    column: int

    def value(self, *names: str) -> str | None:
        """The last value of any of the properties, or None."""
        for declaration in reversed(self.declarations):
            if declaration.name in names:
                return declaration.value
        return None

    def selectors(self) -> tuple[str, ...]:
        """The comma-separated selectors of the list."""
        return split_selectors(self.selector)

    def in_keyframes(self) -> bool:
        """Whether this is a step of an animation."""
        return any("keyframes" in around for around in self.context)


@dataclass(frozen=True, slots=True)
class Statement:
    """An at-rule without a block, such as `@import`."""

    name: str
    prelude: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """A parsed stylesheet."""

    rules: tuple[StyleRule, ...]
    statements: tuple[Statement, ...]
    errors: int
    line_offset: int = 0


def parse_stylesheet(
    css: str, deadline: Deadline, *, line_offset: int = 0, column_offset: int = 0, lang: str = "css"
) -> Sheet:
    """Parse a sheet that begins on line `line_offset` + 1 of its file, after `column_offset` bytes of that line.

    Raises:
        StylesheetTooDeep: brackets are nested too deeply.
        ParseTooSlow: the deadline passed.
    """
    if _too_deep(css):
        raise StylesheetTooDeep
    css = css.replace("\f", " ")  # A form feed ends a line for CSS, but for nobody else.
    if lang in ("scss", "less"):
        # `#{$name}` is a value: with its braces it would look like a block.
        css = _INTERPOLATED.sub(r"$(\1)", css)
        css = _LINE_COMMENT.sub(lambda match: match.group(1), css)
        css = _VARIABLE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), css)
    reader = _Reader(deadline, line_offset, column_offset, [] if css.isascii() else css.split("\n"))
    reader.read(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True), "", ())
    return Sheet(tuple(reader.rules), tuple(reader.statements), reader.errors, line_offset)


def split_selectors(selector: str) -> tuple[str, ...]:
    """Split a selector list at its top-level commas."""
    if "(" not in selector:
        return tuple(part.strip() for part in selector.split(",") if part.strip())
    parts, depth, start = [], 0, 0
    for position, char in enumerate(selector):
        if char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(selector[start:position].strip())
            start = position + 1
    parts.append(selector[start:].strip())
    return tuple(part for part in parts if part)


def subject(selector: str) -> str:
    """The last compound of a selector, the one whose elements are styled."""
    depth = 0
    for position in range(len(selector) - 1, -1, -1):
        char = selector[position]
        if char in ")]":
            depth += 1
        elif char in "([":
            depth -= 1
        elif depth == 0 and char in " >+~":
            return selector[position + 1 :]
    return selector


def declarations_of(style: str, line: int, column: int) -> Iterator[Declaration]:
    """The declarations in a `style` attribute; those that do not parse are left out."""
    if len(style) > 10_000 or _too_deep(style):
        return
    for node in tinycss2.parse_blocks_contents(style, skip_comments=True, skip_whitespace=True):
        if isinstance(node, ParsedDeclaration):
            yield Declaration(_name(node), tinycss2.serialize(node.value).strip(), line, column)


class _Reader:
    def __init__(self, deadline: Deadline, line_offset: int, column_offset: int, lines: list[str]) -> None:
        self.rules: list[StyleRule] = []
        self.statements: list[Statement] = []
        self.errors = 0
        self._deadline = deadline
        self._line_offset = line_offset
        self._column_offset = column_offset
        self._lines = lines
        """The lines of a sheet that is not ASCII: in such, a character is not a byte."""

    def read(self, nodes: list[Node], outer: str, context: tuple[str, ...]) -> list[Declaration]:
        """Read a block; its own declarations are returned, the rules inside are kept."""
        self._deadline.check()
        declarations: list[Declaration] = []
        for node in nodes:
            if isinstance(node, ParsedDeclaration):
                value = tinycss2.serialize(node.value).strip()
                declarations.append(Declaration(_name(node), value, *self._at(node)))
            elif isinstance(node, QualifiedRule):
                self._qualified(node, outer, context)
            elif isinstance(node, AtRule):
                declarations.extend(self._at_rule(node, outer, context))
            elif node.type == "error":
                self.errors += 1
        return declarations

    def _qualified(self, node: QualifiedRule, outer: str, context: tuple[str, ...]) -> None:
        selector = " ".join(tinycss2.serialize(node.prelude).split())
        self._block(node, nested(outer, selector), context)

    def _at_rule(self, node: AtRule, outer: str, context: tuple[str, ...]) -> list[Declaration]:
        prelude = " ".join(tinycss2.serialize(node.prelude).split())
        name = node.lower_at_keyword
        line, column = self._at(node)
        if node.content is None:
            self.statements.append(Statement(name, prelude, line, column))
            return [Declaration(f"@{name}", prelude, line, column)] if name in ("apply", "include") else []
        inner = (*context, f"@{name} {prelude}".strip())
        if name in _GROUPS:
            own = self.read(self._contents(node), outer, inner)
            if own and outer:
                self.rules.append(StyleRule(outer, tuple(own), inner, line, column))
        elif name.endswith("keyframes"):
            self.read(self._contents(node), "", inner)
        else:
            self._block(node, f"@{name}", context)
        return []

    def _block(self, node: QualifiedRule | AtRule, selector: str, context: tuple[str, ...]) -> None:
        place = len(self.rules)
        own = self.read(self._contents(node), selector, context)
        # Before the nested rules, so that rules are in source order.
        self.rules.insert(place, StyleRule(selector, tuple(own), context, *self._at(node)))

    def _contents(self, node: QualifiedRule | AtRule) -> list[Node]:
        found: list[Node] = tinycss2.parse_blocks_contents(
            node.content or [], skip_comments=True, skip_whitespace=True
        )
        return found

    def _at(self, node: Node) -> tuple[int, int]:
        line, column = node.source_line, node.source_column
        if self._lines:
            column = len(self._lines[line - 1][: column - 1].encode()) + 1
        return line + self._line_offset, column + (self._column_offset if line == 1 else 0)


def nested(outer: str, inner: str) -> str:
    """The selector of a rule nested in another."""
    if not outer or outer.startswith("@"):
        return inner
    joined = []
    for around in split_selectors(outer):
        for selector in split_selectors(inner):
            joined.append(selector.replace("&", around) if "&" in selector else f"{around} {selector}")
    # A chain of `& &` doubles at each level; no real selector is this long.
    return ", ".join(joined[:64])[:4_000]


def _name(node: ParsedDeclaration) -> str:
    name: str = node.name if node.name.startswith("--") else node.lower_name
    return name


def _too_deep(css: str) -> bool:
    depth = 0
    for match in _BRACKET.finditer(css):
        depth += 1 if match.group() in "({[" else -1
        if depth > BRACKETS_DEPTH_MAX:
            return True
    return False
