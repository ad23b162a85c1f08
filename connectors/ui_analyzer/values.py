"""Follows values through a file: whether what an expression gives can hold markup of somebody else.

Names prove nothing: a value is harmless because it is a constant, a number, or comes out of a function that
sanitises, wherever in the file it got it. What comes from outside is unknown.
"""

import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.script import Script
from connectors.ui_analyzer.sources import STATES, loops_over, parameters_named, returned, states
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, Deadline, Syntax, parse

_DEPTH_MAX = 12
_NUMERIC = frozenset(
    {
        "-",
        "*",
        "/",
        "%",
        "**",
        "<",
        ">",
        "<=",
        ">=",
        "==",
        "===",
        "!=",
        "!==",
        "in",
        "instanceof",
        "|",
        "&",
        "^",
        "<<",
        ">>",
        ">>>",
    }
)
_CHOOSING = frozenset({"+", "||", "??", "&&"})
_WRAPPED = frozenset(
    {
        "parenthesized_expression",
        "as_expression",
        "satisfies_expression",
        "non_null_expression",
        "await_expression",
        "type_assertion",
    }
)
_LITERALS = frozenset({"string", "number", "true", "false", "null", "undefined", "regex"})
SANITISING_MODULES = re.compile(
    r"^(?:dompurify|isomorphic-dompurify|sanitize-html|xss|insane|sanitize-html-react|rehype-sanitize|he|html-entities|lodash(?:[.-]escape|/escape)?|"
    r"escape-html|escape-goat|shiki(?:/.*)?|highlight\.js(?:/.*)?|prismjs(?:/.*)?|lowlight|katex(?:/.*)?|mermaid|qrcode(?:-svg)?|"
    r"react-dom/server(?:\..*)?|@shikijs/.*|starry-night|bright|sugar-high|ansi-to-html|ansi_up|fancy-ansi|serialize-javascript|"
    r"jdenticon(?:/.*)?|@dicebear/.*|boring-avatars|simple-icons|temml|mathjax.*|viz\.js|@viz-js/viz|nomnoml|satori|linkify-html)$"
)
"""Libraries whose output is markup of their own making: sanitised, escaped, or drawn."""
_SANITISING_CALLS = re.compile(
    r"(?:^|\.)(?:DOMPurify|dompurify|purify|domPurify|DomPurify)(?:\(\w*\))?\.sanitize$|(?:^|\.)(?:sanitizeHtml|sanitize_html)$|^xss$|"
    r"\$?(?:hljs|Prism|katex|shiki)\.\w+$|(?:^|\.)(?:codeToHtml|escapeHtml|escapeHTML|renderToString|renderToStaticMarkup|encodeURIComponent|encodeURI|toLocale(?:Date|Time)String)$"
)
_NUMBER_CALLS = re.compile(
    r"^(?:Math\.\w+|parseInt|parseFloat|Number(?:\.\w+)?|Boolean|Date\.now|performance\.now|\$?JSON\.stringify|isNaN)$|"
    r"(?:^|\.)(?:random\w*|uuid\w*|nanoid|uniqueId|generateId|createId|randomUUID)$|"
    r"\.(?:toFixed|getTime|getHours|getMinutes|getSeconds|getFullYear|getMonth|getDate|getDay|indexOf|includes|toPrecision|valueOf|codePointAt|charCodeAt|getBoundingClientRect|getTimezoneOffset)$"
)
_SHAPING_CALLS = re.compile(
    r"\.(?:find|findLast|entries|values|keys|trim|trimStart|trimEnd|slice|substring|substr|toUpperCase|toLowerCase|padStart|padEnd|repeat|join|concat|reverse|filter|flat|sort|at|toString|toReversed|toSorted|split|replace|replaceAll|charAt)$"
)
RESHAPES = re.compile(rf"{_SHAPING_CALLS.pattern}|\.(?:map|flatMap)$")
"""Calls that give what their receiver holds: whose they are depends on the receiver, imported or not."""
MEMOS = frozenset(
    {
        "useMemo",
        "React.useMemo",
        "computed",
        "useCallback",
        "memo",
        "$derived",
        "$derived.by",
        "derived",
        "createMemo",
    }
)
NUMERIC_MEMBERS = frozenset(
    {
        "length",
        "size",
        "innerHTML",
        "outerHTML",
        "clientWidth",
        "clientHeight",
        "offsetWidth",
        "offsetHeight",
        "scrollTop",
        "scrollLeft",
        "scrollHeight",
        "scrollWidth",
    }
)
"""Numbers, and markup that is on the page already."""


def expression_of(source: str, deadline: Deadline) -> tuple[Script, Node] | None:
    """An expression of a template, parsed by itself; None when it is none."""
    script = Script(parse("typescript", f"({source})".encode(), deadline))
    statement = next(iter(script.tree.root.named_children), None)
    if statement is None or script.tree.error_bytes or statement.type != "expression_statement":
        return None
    inner = statement.named_children[0].named_children
    return (script, inner[0]) if len(inner) == 1 else None


def harmless(document: Document, script: Script, node: Node) -> bool:
    """Whether what an expression gives cannot hold markup of somebody else."""
    return Follower(document).safe(script, node, 0)


class Follower:
    """Follows names to every value that they get in a file."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._seen: set[str] = set()
        """Names that are being followed; one that depends on itself adds nothing of its own."""

    def safe(self, script: Script, node: Node | None, depth: int) -> bool:
        """Whether an expression is a constant, a number, or sanitised."""
        if node is None or depth > _DEPTH_MAX:
            return False
        self._document.deadline.check()
        kind, deeper = node.type, depth + 1
        if kind in _LITERALS or kind == "update_expression":
            return True
        if kind in _WRAPPED:
            return bool(node.named_children) and self.safe(script, node.named_children[0], deeper)
        if kind == "template_string":
            return all(
                self.safe(script, part.named_children[0], deeper)
                for part in node.named_children
                if part.type == "template_substitution" and part.named_children
            )
        if kind == "unary_expression":
            return True
        if kind == "binary_expression":
            return self._binary(script, node, deeper)
        if kind == "ternary_expression":
            branches = (node.child_by_field_name("consequence"), node.child_by_field_name("alternative"))
            return all(self.safe(script, branch, deeper) for branch in branches)
        if kind == "array":
            return all(self.safe(script, part, deeper) for part in node.named_children)
        if kind == "object":
            return self._object(script, node, deeper)
        if kind == "call_expression":
            return self._call(script, node, deeper)
        if kind in ("member_expression", "subscript_expression"):
            return self._member(script, node, deeper)
        if kind == "identifier":
            return self._name(script.text(node), deeper)
        return False

    def _binary(self, script: Script, node: Node, depth: int) -> bool:
        operator = node.child_by_field_name("operator")
        if operator is not None and operator.type in _NUMERIC:
            return True
        sides = (node.child_by_field_name("left"), node.child_by_field_name("right"))
        if operator is not None and operator.type == "&&":
            sides = (sides[1], sides[1])
        return all(self.safe(script, side, depth) for side in sides)

    def _object(self, script: Script, node: Node, depth: int) -> bool:
        for part in node.named_children:
            if part.type == "pair":
                if not self.safe(script, part.child_by_field_name("value"), depth):
                    return False
            elif part.type not in ("comment", "method_definition"):
                return False
        return True

    def _call(self, script: Script, node: Node, depth: int) -> bool:
        callee = script.text(node.child_by_field_name("function"))
        callee = re.sub(r"\s+", "", callee).replace("?.", ".")
        given = node.child_by_field_name("arguments")
        arguments = [] if given is None else [part for part in given.named_children if part.type != "comment"]
        root = callee.split(".")[0].split("(")[0]
        if _NUMBER_CALLS.search(callee) or (
            _SANITISING_CALLS.search(callee) and root not in self._functions()
        ):
            return True
        if callee in MEMOS or callee in STATES:
            return bool(arguments) and self._made(script, arguments[0], depth)
        if callee in ("String", "Object.freeze", "Object.values", "Object.keys") and arguments:
            return self.safe(script, arguments[0], depth)
        if "." not in callee and callee in self._functions():
            return self._returns(callee, depth)
        if (entry := self._imported(root)) is not None and not RESHAPES.search(callee):
            # A function of the project that is not in this file: its name is no proof, and no suspicion either.
            return SANITISING_MODULES.match(entry) is not None
        function = node.child_by_field_name("function")
        if function is None or function.type != "member_expression":
            return False
        receiver = function.child_by_field_name("object")
        if callee.endswith((".map", ".flatMap")):
            return (
                self.safe(script, receiver, depth)
                and bool(arguments)
                and self._maps(script, arguments[0], depth)
            )
        if (
            callee.endswith((".replace", ".replaceAll"))
            and arguments
            and _drops_markup(script.text(arguments[0]))
        ):
            return True
        if _SHAPING_CALLS.search(callee):
            return self.safe(script, receiver, depth) and all(
                argument.type in FUNCTION_KINDS or self.safe(script, argument, depth)
                for argument in arguments
            )
        if callee.startswith("this."):
            return self._returns(callee.removeprefix("this."), depth)
        return False

    def _maps(self, script: Script, callback: Node, depth: int) -> bool:
        """Whether a callback makes harmless values of the harmless items that it is given."""
        parameters = callback.child_by_field_name("parameters") or callback.child_by_field_name("parameter")
        names = set(re.findall(r"[A-Za-z_$][\w$]*", script.text(parameters)))
        added = names - self._seen
        self._seen |= added
        try:
            return self._made(script, callback, depth)
        finally:
            self._seen -= added

    def _made(self, script: Script, node: Node, depth: int) -> bool:
        """Whether a value, or everything that a function returns, is harmless."""
        if node.type not in FUNCTION_KINDS:
            return self.safe(script, node, depth)
        body = node.child_by_field_name("body")
        if body is None:
            return False
        if body.type != "statement_block":
            return self.safe(script, body, depth)
        outcomes = list(returned(body))
        return bool(outcomes) and all(self.safe(script, value, depth) for value in outcomes)

    def _returns(self, name: str, depth: int) -> bool:
        found = self._functions().get(name)
        if found is None or f"{name}()" in self._seen:
            return False
        self._seen.add(f"{name}()")
        try:
            return self._made(found[0], found[1].node, depth)
        finally:
            self._seen.discard(f"{name}()")

    def _member(self, script: Script, node: Node, depth: int) -> bool:
        name = script.text(node.child_by_field_name("property"))
        if name in NUMERIC_MEMBERS:
            return True
        receiver = node.child_by_field_name("object")
        if receiver is None:
            return False
        if name in ("value", "current", "raw") or node.type == "subscript_expression":
            return self.safe(script, receiver, depth)
        if script.text(receiver) == "this":
            return self._name(name, depth)
        return receiver.type in ("identifier", "member_expression", "subscript_expression") and self.safe(
            script, receiver, depth
        )

    def _name(self, name: str, depth: int) -> bool:
        if name in self._seen:
            return True
        if self._imported(name) is not None:
            return True  # A value of another module is part of the bundle, as constant as this file.
        self._seen.add(name)
        try:
            values = list(self.values_of(name))
            if not values and name in self._functions():
                return self._returns(name, depth)  # A computed property of an options object.
            return bool(values) and all(
                value is not None and self._made(script, value, depth) for script, value in values
            )
        finally:
            self._seen.discard(name)

    def values_of(self, name: str) -> list[tuple[Script, Node | None]]:
        """Every value that a name gets in the file; None for one that is not written here, such as an argument."""
        known = self._document.followed
        if name not in known:
            known[name] = list(self._found(name))
        return known[name]

    def _found(self, name: str) -> Iterator[tuple[Script, Node | None]]:
        if self._document.language in ("svelte", "vue"):
            for source in loops_over(self._document.text, name):
                parsed = expression_of(source, self._document.deadline)
                yield (
                    parsed
                    if parsed is not None
                    else (Script(parse("typescript", b"", self._document.deadline)), None)
                )
        for script in self._document.scripts:
            yield from parameters_named(script, name)
            for item in script.items("variable_declarator"):
                target, value = item.node.child_by_field_name("name"), item.node.child_by_field_name("value")
                if target is None:
                    continue
                if target.type == "identifier" and script.text(target) == name:
                    if value is not None:
                        yield script, value
                    around = item.node.parent.parent if item.node.parent is not None else None
                    if around is not None and script.text(around).startswith("export let"):
                        yield script, None  # A prop of a Svelte component.
                elif (
                    target.type == "array_pattern"
                    and script.text(next(iter(target.named_children), None)) == name
                ):
                    yield from states(script, target, value)
                elif target.type in ("object_pattern", "array_pattern") and re.search(
                    rf"(?<![\w$.]){re.escape(name)}(?![\w$]|\s*:)", script.text(target)
                ):
                    taken = value is not None and value.type in (
                        "identifier",
                        "call_expression",
                        "await_expression",
                    )
                    yield script, value if taken else None
            for kind in ("assignment_expression", "augmented_assignment_expression"):
                for item in script.items(kind):
                    left = script.text(item.node.child_by_field_name("left"))
                    if left in (name, f"{name}.value", f"this.{name}", f"{name}.current"):
                        yield script, item.node.child_by_field_name("right")
            for item in script.items("for_in_statement"):
                if name in re.findall(r"[\w$]+", script.text(item.node.child_by_field_name("left"))):
                    yield script, item.node.child_by_field_name("right")

    def _functions(self) -> dict[str, tuple[Script, Syntax]]:
        return {
            name: (script, function)
            for script in self._document.scripts
            for name, function in script.named_functions.items()
        }

    def _imported(self, name: str) -> str | None:
        for script in self._document.scripts:
            if name in script.imported:
                return script.imported[name].module
            later = re.search(
                rf"(?<![\w$.])(?:const|let|var)\s+(?:\{{[^}}]*\b{re.escape(name)}\b[^}}]*\}}|{re.escape(name)})"
                rf"\s*=\s*\(?\s*await\s+import\(\s*['\"]([^'\"]+)",
                script.code_text,
            )
            if later:
                return later.group(1)
        return None


def _drops_markup(pattern: str) -> bool:
    """Whether a replacement takes every `<` away: without one there is no element."""
    return re.match(r"/(?:\[[^\]^]*<[^\]]*\]\+?|<)/g", pattern) is not None
