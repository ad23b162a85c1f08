"""What rules ask of a piece of script: calls, imports, functions, components and what is around a node."""

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Node

from connectors.ui_analyzer.syntax import FUNCTION_KINDS, JSX_ELEMENT_KINDS, Syntax, Tree

_HOOK = re.compile(r"^(?:React\.)?use[A-Z]\w*$")
_WRAPPERS = frozenset(
    {"memo", "React.memo", "forwardRef", "React.forwardRef", "observer", "useCallback", "useMemo"}
)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call or construction with its callee as text (`axios.get`, `WebSocket`)."""

    item: Syntax
    callee: str
    arguments: tuple[Node, ...]

    @property
    def name(self) -> str:
        """The last part of the callee: `get` of `axios.get`."""
        return self.callee.rsplit(".", 1)[-1].rstrip("?!")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name."""

    local: str
    imported: str
    """`default`, `*`, or the exported name; "" for an import for its effects only."""
    module: str
    type_only: bool
    item: Syntax


class Script:
    """The script of a file: all of a `.ts`, or the script blocks of a component, at the file's positions."""

    def __init__(self, tree: Tree, *, setup: bool = True, module: bool = True) -> None:
        self.tree = tree
        self.setup = setup
        """Whether it runs once per component instance (a Svelte `module` script does not)."""
        self.module = module

    def text(self, node: Node | None) -> str:
        """The source of a node, or "" of none."""
        return "" if node is None else self.tree.text(node)

    @cached_property
    def code(self) -> bytes:
        """The source with comments blanked, at the same positions."""
        out = bytearray(self.tree.source)
        for item in self.tree.of("comment"):
            out[item.start : item.end] = re.sub(rb"[^\n]", b" ", bytes(out[item.start : item.end]))
        return bytes(out)

    @cached_property
    def code_text(self) -> str:
        """`code`, decoded."""
        return self.code.decode("utf-8", "replace")

    def code_of(self, item: Syntax | Node) -> str:
        """The source of a node without its comments."""
        if isinstance(item, Syntax):
            return self.code[item.start : item.end].decode("utf-8", "replace")
        return self.code[item.start_byte : item.end_byte].decode("utf-8", "replace")

    def items(self, *kinds: str) -> list[Syntax]:
        """The nodes of the kinds, in source order."""
        return self.tree.of(*kinds)

    @cached_property
    def calls(self) -> tuple[Call, ...]:
        """All calls, in source order."""
        return tuple(self._call(item, "function") for item in self.tree.of("call_expression"))

    @cached_property
    def constructions(self) -> tuple[Call, ...]:
        """All `new` expressions, in source order."""
        return tuple(self._call(item, "constructor") for item in self.tree.of("new_expression"))

    def _call(self, item: Syntax, field: str) -> Call:
        callee = self.text(item.node.child_by_field_name(field))
        if len(callee) > 200 or "\n" in callee:
            callee = re.sub(r"\s+", "", callee)[-200:]
        arguments = item.node.child_by_field_name("arguments")
        nodes = () if arguments is None else tuple(n for n in arguments.named_children if n.type != "comment")
        return Call(item, callee.replace("?.", "."), nodes)

    def calls_in(self, around: Syntax | None) -> Iterator[Call]:
        """The calls inside a node; all of them for None."""
        if around is None:
            yield from self.calls
            return
        first = bisect.bisect_left(self._call_starts, around.start)
        for position in range(first, len(self.calls)):
            call = self.calls[position]
            if call.item.start >= around.end:
                return
            if call.item.end <= around.end:
                yield call

    @cached_property
    def _call_starts(self) -> list[int]:
        return [call.item.start for call in self.calls]

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """All imports of the file, one entry per name."""
        found: list[Import] = []
        for item in self.tree.of("import_statement"):
            module = self.text(item.node.child_by_field_name("source")).strip("'\"`")
            head = self.text(item.node)[:12]
            type_only = head.startswith("import type")
            clause = next((c for c in item.node.named_children if c.type == "import_clause"), None)
            if clause is None:
                found.append(Import("", "", module, type_only, item))
                continue
            for part in clause.named_children:
                if part.type == "identifier":
                    found.append(Import(self.text(part), "default", module, type_only, item))
                elif part.type == "namespace_import":
                    local = self.text(part.named_children[-1]) if part.named_children else ""
                    found.append(Import(local, "*", module, type_only, item))
                elif part.type == "named_imports":
                    found.extend(self._named(part, module, type_only, item))
        return tuple(found)

    def _named(self, part: Node, module: str, type_only: bool, item: Syntax) -> Iterator[Import]:
        for specifier in part.named_children:
            if specifier.type != "import_specifier":
                continue
            name = self.text(specifier.child_by_field_name("name"))
            alias = specifier.child_by_field_name("alias")
            only_type = type_only or self.text(specifier).startswith("type ")
            yield Import(self.text(alias) if alias else name, name, module, only_type, item)

    @cached_property
    def imported(self) -> dict[str, Import]:
        """Imports by local name."""
        return {entry.local: entry for entry in self.imports if entry.local}

    @cached_property
    def modules(self) -> frozenset[str]:
        """The modules that are imported for their values."""
        return frozenset(entry.module for entry in self.imports if not entry.type_only)

    @cached_property
    def functions(self) -> tuple[Syntax, ...]:
        """All functions, in source order."""
        return tuple(self.tree.of(*sorted(FUNCTION_KINDS)))

    @cached_property
    def named_functions(self) -> dict[str, Syntax]:
        """Functions by the name they are declared or first assigned under."""
        found: dict[str, Syntax] = {}
        for function in self.functions:
            name = self.name_of(function)
            if name:
                found.setdefault(name, function)
        return found

    def name_of(self, function: Syntax) -> str:
        """The name of a function: its own, its variable's (also through `memo(…)`), or its property's."""
        own = function.node.child_by_field_name("name")
        if own is not None:
            return self.text(own).lstrip("#")
        holder = function.node.parent
        if holder is not None and holder.type in ("public_field_definition", "field_definition"):
            # `listen = () => …` in a class.
            name = holder.child_by_field_name("name") or holder.child_by_field_name("property")
            return self.text(name).lstrip("#")
        at = function.parent
        while at is not None and at.kind == "call_expression":
            if self.text(at.node.child_by_field_name("function")) not in _WRAPPERS:
                return ""
            at = at.parent
        if at is None:
            return ""
        if at.kind == "variable_declarator":
            value = at.node.child_by_field_name("value")
            if value is not None and value.start_byte <= function.start:
                return self.text(at.node.child_by_field_name("name"))
        if at.kind == "assignment_expression":
            return self.text(at.node.child_by_field_name("left")).rsplit(".", 1)[-1]
        return ""

    def function_around(self, item: Syntax) -> Syntax | None:
        """The innermost function that contains `item`."""
        return next((at for at in item.ancestors() if at.kind in FUNCTION_KINDS), None)

    @cached_property
    def components(self) -> tuple[tuple[str, Syntax], ...]:
        """Function components (a capital name and JSX inside), with their names."""
        found = []
        for function in self.functions:
            name = self.name_of(function)
            if name[:1].isupper() and any(True for kind in JSX_ELEMENT_KINDS for _ in function.within(kind)):
                found.append((name, function))
        return tuple(found)

    def component_around(self, item: Syntax) -> Syntax | None:
        """The function component that contains `item`."""
        around = {id(at) for at in item.ancestors()}
        inner = [function for _, function in self.components if id(function) in around]
        return inner[-1] if inner else None

    def hooks(self) -> Iterator[Call]:
        """Calls of React hooks by their naming convention."""
        return (call for call in self.calls if _HOOK.match(call.callee))

    def state_pairs(self) -> Iterator[tuple[str, str, Syntax]]:
        """`const [value, setValue] = useState(…)`: value, setter, declarator."""
        for item in self.tree.of("variable_declarator"):
            name = item.node.child_by_field_name("name")
            value = item.node.child_by_field_name("value")
            if (
                name is None
                or value is None
                or name.type != "array_pattern"
                or value.type != "call_expression"
            ):
                continue
            callee = self.text(value.child_by_field_name("function"))
            if callee not in ("useState", "React.useState", "useReducer", "React.useReducer"):
                continue
            names = [self.text(part) for part in name.named_children]
            if names and names[0]:
                yield names[0], names[1] if len(names) > 1 else "", item

    def argument_function(self, call: Call, position: int) -> Syntax | None:
        """The function passed as the given argument, written there or by name."""
        if position >= len(call.arguments):
            return None
        node = call.arguments[position]
        if node.type in FUNCTION_KINDS:
            return next(
                (child for child in self.all_within(call.item) if child.start == node.start_byte), None
            )
        if node.type == "identifier":
            return self.named_functions.get(self.text(node))
        return None

    def all_within(self, around: Syntax) -> Iterator[Syntax]:
        """The functions inside a node."""
        for kind in FUNCTION_KINDS:
            yield from around.within(kind)

    def inside_try(self, item: Syntax, until: Syntax | None = None) -> bool:
        """Whether `item` is in the block of a `try` that has a catch, inside the function `until`."""
        for at in item.ancestors():
            if at is until:
                return False
            if at.kind == "try_statement":
                body = at.node.child_by_field_name("body")
                handler = at.node.child_by_field_name("handler")
                inside = body is not None and body.start_byte <= item.start and item.end <= body.end_byte
                if inside and handler is not None:
                    return True
        return False
