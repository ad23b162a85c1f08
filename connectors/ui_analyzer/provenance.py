"""Where the text of an expression is seen to come from: a request, a store, the address, who calls a component.

The counterpart of `values.harmless`. Between the two lies what one file cannot tell, such as what a function of
another file gives: that is for review, and counts for nothing.
"""

import re

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.script import Script
from connectors.ui_analyzer.sources import STATES, returned
from connectors.ui_analyzer.syntax import FUNCTION_KINDS
from connectors.ui_analyzer.values import MEMOS, NUMERIC_MEMBERS, RESHAPES, Follower

_DEPTH_MAX = 10
_ASKS = re.compile(
    r"(?<![\w$.])(?:window\.|globalThis\.)?(?:fetch|axios(?:\.\w+)?|ky(?:\.\w+)?|\$fetch|useFetch|useSWR|useQuery|useAsyncData|prompt)$|"
    r"\b(?:localStorage|sessionStorage)\.getItem$|\b(?:searchParams|URLSearchParams\([^()]*\)|params|query)\.get$|"
    r"(?:\$|jQuery)\.(?:get|post|ajax|getJSON)$|\$(?:http|axios)(?:\.\w+)?$"
)
"""Calls whose outcome somebody else has written: a server, the address, an earlier visit."""
_READS = re.compile(r"^(?:decodeURI(?:Component)?|JSON\.parse|String|unescape|atob)$")
_PLACES = re.compile(
    r"(?:^|\.)(?:location\.(?:hash|search|href)|document\.(?:cookie|referrer)|\$route\.(?:query|params)\b.*|route\.(?:query|params)\b.*|"
    r"[\w$]+\.data|(?:target|currentTarget)\.value)$"
)
_GIVEN = re.compile(
    r"(?:\bexport let |\bdefineProps\b|\bprops\s*:\s*[\[{])([^;=]{0,2000})|\{([^{}]{0,500})\}\s*(?::[^=]{0,500})?=\s*\$props\("
)
"""Where a component says what it is given."""
_BRANCHES = frozenset(
    {
        "template_string",
        "template_substitution",
        "binary_expression",
        "array",
        "object",
        "pair",
        "spread_element",
        "parenthesized_expression",
        "as_expression",
        "satisfies_expression",
        "non_null_expression",
        "await_expression",
    }
)


def from_outside(document: Document, script: Script, node: Node) -> bool:
    """Whether the file itself shows that an expression gives text of somebody else."""
    return _Source(document).outside(script, node, 0)


class _Source:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._follower = Follower(document)
        self._seen: set[str] = set()
        self._props: set[str] | None = None

    def outside(self, script: Script, node: Node | None, depth: int) -> bool:
        """Whether any part of an expression is text of somebody else, as far as this file tells."""
        if node is None or depth > _DEPTH_MAX:
            return False
        self._document.deadline.check()
        kind, deeper = node.type, depth + 1
        if kind in _BRANCHES:
            return any(self.outside(script, part, deeper) for part in node.named_children)
        if kind == "ternary_expression":
            branches = (node.child_by_field_name("consequence"), node.child_by_field_name("alternative"))
            return any(self.outside(script, branch, deeper) for branch in branches)
        if kind == "call_expression":
            return self._call(script, node, deeper)
        if kind in ("member_expression", "subscript_expression"):
            return self._member(script, node, deeper)
        return kind == "identifier" and self._name(script, script.text(node), deeper)

    def _call(self, script: Script, node: Node, depth: int) -> bool:
        function = node.child_by_field_name("function")
        callee = re.sub(r"\s+", "", script.text(function)).replace("?.", ".")
        given = node.child_by_field_name("arguments")
        arguments = [] if given is None else [part for part in given.named_children if part.type != "comment"]
        if _ASKS.search(callee):
            return True
        if callee in MEMOS or callee in STATES or _READS.match(callee):
            return bool(arguments) and self._made(script, arguments[0], depth)
        receiver = (
            function.child_by_field_name("object")
            if function is not None and function.type == "member_expression"
            else None
        )
        if receiver is not None and (RESHAPES.search(callee) or re.search(r"\.(?:json|then)$", callee)):
            return self.outside(script, receiver, depth) or any(
                self._made(script, argument, depth) for argument in arguments
            )
        if callee.endswith((".map", ".flatMap")) and arguments:
            return self._made(script, arguments[-1], depth)
        name = callee.removeprefix("this.")
        for owner in self._document.scripts:
            found = owner.named_functions.get(name)
            if found is not None and f"{name}()" not in self._seen:
                self._seen.add(f"{name}()")
                return self._made(owner, found.node, depth)
        return False

    def _made(self, script: Script, node: Node, depth: int) -> bool:
        """Whether a value, or something that a function returns, is text of somebody else."""
        if node.type not in FUNCTION_KINDS:
            return self.outside(script, node, depth)
        body = node.child_by_field_name("body")
        if body is None:
            return False
        if body.type != "statement_block":
            return self.outside(script, body, depth)
        return any(self.outside(script, value, depth) for value in returned(body))

    def _member(self, script: Script, node: Node, depth: int) -> bool:
        text = re.sub(r"\s+", "", script.text(node)).replace("?.", ".")
        if _PLACES.search(text):
            return True
        if script.text(node.child_by_field_name("property")) in NUMERIC_MEMBERS:
            return False
        if text.endswith(".message") and self._caught(text.removesuffix(".message")):
            return True  # A server's words, or a text that somebody typed.
        if any(
            re.search(
                rf"{re.escape(text)}\s*=\s*[\w.]*(?:escape|sanitiz|sanitis|encode|purify)",
                one.code_text,
                re.I,
            )
            for one in self._document.scripts
            if f"{text} =" in one.code_text
        ):
            return False  # It was put right where it is.
        root = text.split(".")[0].split("[")[0]
        if root == "this":
            return self._name(script, text.split(".")[1].split("[")[0], depth)
        if root in self._own_imports():
            return False
        # A field of a record that is no constant, drawn as it is: `v-html="comment.body"`.
        return self._name(script, root, depth) or (depth == 1 and bool(self._document.elements))

    def _caught(self, name: str) -> bool:
        """Whether a name is that of an error in a handler: `catch (name)`, `.catch((name) =>`."""
        word = re.escape(name)
        return any(
            re.search(rf"\bcatch\s*\(\s*(?:async\s*)?\(?\s*{word}\b", script.code_text)
            for script in self._document.scripts
        )

    def _own_imports(self) -> set[str]:
        return {name for script in self._document.scripts for name in script.imported}

    def _name(self, script: Script, name: str, depth: int) -> bool:
        if name in self._seen:
            return False
        self._seen.add(name)
        if self._is_prop(name):
            return True
        found = list(self._follower.values_of(name))
        if not found:
            for owner in self._document.scripts:
                if name in owner.named_functions:
                    return self._made(owner, owner.named_functions[name].node, depth)
        return any(value is not None and self._made(owner, value, depth) for owner, value in found)

    def _is_prop(self, name: str) -> bool:
        """Whether whoever uses the component gives it: a prop of Vue, Svelte or React, or the object of all of them."""
        if self._props is None:
            self._props = {"props"}
            for script in self._document.scripts:
                given = [match.group(1) or match.group(2) for match in _GIVEN.finditer(script.code_text)]
                given.extend(
                    script.text(component.node.child_by_field_name("parameters"))
                    for _, component in script.components
                )
                self._props.update(re.findall(r"[A-Za-z_$][\w$]*", " ".join(given)))
        return name in self._props
