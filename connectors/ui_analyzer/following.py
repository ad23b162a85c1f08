"""Follows components into the files that define them: what they render, as far as their source says.

A file states the shape of each of its components as facts; a rule that depends on the shape of another file's
component hands in a `Dependent`, which is settled when all files are known.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.libraries import DRAWING_FILE
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.native import library_control, rendered_tag
from connectors.ui_analyzer.rule import ComponentRef, Fact, Project
from connectors.ui_analyzer.script import Script

DRAWING, BUTTON, LINK, FIELD, OTHER = "drawing", "button", "link", "field", "other"
_ALIAS_DEPTH_MAX = 6
_SUFFIXES = ("", ".tsx", ".jsx", ".ts", ".js", ".vue", ".svelte", ".mjs")
_ALIAS = re.compile(r"^(?:@/|~/|~~/|\$lib/|\$/|src/|app/|@\w+/|#/?)")
_DEFAULT = re.compile(
    r"export\s+default\s+(?:async\s+)?(?:function\s+|class\s+)?(?:[\w.]+\(\s*)*([A-Za-z_$][\w$]*)"
)
_FROM = re.compile(r"export\s*(?:\{([^}]*)\}|\*(?:\s*as\s+(\w+))?)\s*from\s*['\"]([^'\"]+)['\"]", re.DOTALL)


def component_facts(document: Document) -> Iterator[Fact]:
    """The shapes of the components of a file, what it exports by default, and what it hands on."""
    if document.language in ("vue", "svelte"):
        roots = [
            element
            for element in document.elements
            if element.parent is None and element.tag != "svelte:options"
        ]
        yield _component("default", roots, document)
        return
    for script in document.scripts:
        for name, roots in _rendered_roots(script, document):
            yield _component(name, roots, document)
        for item in script.items("export_statement"):
            text = script.text(item.node)[:2_000]
            default = _DEFAULT.match(text)
            if default:
                yield Fact(kind="component-export", name="default", value=default.group(1), line=item.line)
            for match in _FROM.finditer(text):
                yield from _handed_on(match, item.line)


def _handed_on(match: re.Match[str], line: int) -> Iterator[Fact]:
    names, namespace, module = match.groups()
    if names is None:
        yield Fact(kind="component-from", name=namespace or "*", value="*", scope=module, line=line)
        return
    for part in names.split(","):
        words = part.replace("type ", "").split()
        if words:
            yield Fact(kind="component-from", name=words[-1], value=words[0], scope=module, line=line)


def _rendered_roots(script: Script, document: Document) -> Iterator[tuple[str, list[Element]]]:
    if not document.elements:
        return
    tops = [element for element in document.elements if element.node is not None and not element.detached]
    for name, function in script.components:
        roots = [
            element
            for element in tops
            if function.start <= element.start < function.end
            and (element.parent is None or element.parent.start < function.start)
        ]
        yield name, roots


def _component(name: str, roots: list[Element], document: Document) -> Fact:
    shapes = {_shape(root, document) for root in roots}
    shape = shapes.pop() if len(shapes) == 1 else OTHER
    falls = bool(roots) and all(
        (_field(root) or root).spread or (document.language == "vue" and len(roots) == 1) for root in roots
    )
    first = roots[0] if roots else None
    return Fact(
        kind="component",
        name=name,
        value=shape,
        scope=" ".join(
            word for word, holds in (("falls-through", falls), ("speaks", any(map(_named, roots)))) if holds
        ),
        line=first.line if first is not None else 1,
    )


def _named(root: Element) -> bool:
    """Whether a component puts words of its own into what it renders, beside what its caller gives it as content."""
    naming = ("aria-label", "aria-labelledby", "title", "label")
    return bool(root.texts) or any(
        element.filled(*naming) or element.texts or (element is not root and element.dynamic_content)
        for element in (root, *root.descendants())
    )


def _shape(root: Element, document: Document) -> str:
    tag = rendered_tag(root, document)
    if tag in ("svg", "img"):
        return OTHER if _speaks(root) else DRAWING
    if _field(root) is not None:
        return FIELD
    if tag == "button" or library_control(root, document) == "button":
        return BUTTON
    if tag == "a" and (root.has("href") or root.spread):
        return LINK
    if root.native:
        return OTHER
    if chosen := _chosen_tag(root, document):
        return chosen
    if root.children or root.texts:
        return OTHER
    ref = ref_of(root, document)
    return f"as:{ref.module}:{ref.name}" if ref is not None else OTHER


def _field(root: Element) -> Element | None:
    """The one text field of a component that has nothing else to operate or to read."""
    inside = [root, *root.descendants()] if root.native else []
    controls = [one for one in inside if one.tag in ("input", "textarea", "select")]
    if len(controls) != 1 or any(one.tag in ("label", "button", "slot") for one in inside):
        return None
    if any(not one.native and one.children for one in inside) or any(
        one.texts or one.dynamic_content for one in inside if one.tag not in ("select", "option", "optgroup")
    ):
        return None
    return controls[0] if controls[0].get("type") not in ("checkbox", "radio", "file", "hidden") else None


def _speaks(root: Element) -> bool:
    """Whether a drawing has a name of its own."""
    if root.filled("aria-label", "aria-labelledby", "title") or (root.tag == "img" and root.filled("alt")):
        return True
    return any(
        inner.tag == "title" or inner.dynamic_content or not inner.native
        for inner in (root, *root.descendants())
        if inner is not root or root.dynamic_content
    )


def _chosen_tag(root: Element, document: Document) -> str:
    """The element behind `const Comp = asChild ? Slot : "button"`, or a parameter `as: Comp = "button"`."""
    if not re.fullmatch(r"\w+", root.tag):
        return ""
    for script in document.scripts:
        match = re.search(
            rf"\b{re.escape(root.tag)}\s*=\s*(?:[^;\n]*?\?[^;\n]*?:\s*)?['\"](button|a)['\"]",
            script.code_text,
        )
        if match:
            return BUTTON if match.group(1) == "button" else LINK
    return ""


def ref_of(element: Element, document: Document) -> ComponentRef | None:
    """Where a component comes from; None when this file does not say."""
    parts = element.tag.split(".")
    names = [parts[0]]
    if "-" in parts[0]:
        names.append("".join(word.capitalize() for word in parts[0].split("-")))
    for script in document.scripts:
        for name in names:
            entry = script.imported.get(name)
            if entry is not None:
                imported = parts[1] if entry.imported == "*" and len(parts) > 1 else entry.imported
                if len(parts) > 1 and entry.imported != "*":
                    return None
                return ComponentRef(entry.module, imported)
        if len(parts) == 1 and parts[0] in script.named_functions:
            return ComponentRef("", parts[0])
    return None


def draws(element: Element, document: Document) -> bool:
    """Whether a component is the drawing of a file that is one."""
    ref = ref_of(element, document)
    return ref is not None and DRAWING_FILE.search(ref.module) is not None


@dataclass(frozen=True, slots=True)
class Shape:
    """What a component renders."""

    kind: str
    falls_through: bool
    """Whether attributes and listeners of the caller reach the element."""
    speaks: bool = False
    """Whether it has a name of its own, whatever its caller gives."""


class Components:
    """The components of a project by file, with the ways names take from file to file."""

    def __init__(self, project: Project, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self._shapes: dict[str, dict[str, Shape]] = {}
        self._exports: dict[str, dict[str, str]] = {}
        self._from: dict[str, list[tuple[str, str, str]]] = {}
        for at in project.of("component"):
            words = at.fact.scope.split()
            shape = Shape(at.fact.value, "falls-through" in words, "speaks" in words)
            self._shapes.setdefault(at.path, {}).setdefault(at.fact.name, shape)
        for at in project.of("component-export"):
            self._exports.setdefault(at.path, {})[at.fact.name] = at.fact.value
        for at in project.of("component-from"):
            self._from.setdefault(at.path, []).append((at.fact.name, at.fact.value, at.fact.scope))
        self._by_end: dict[str, list[str]] = {}
        for path in sorted(self._paths):
            stem = re.sub(r"(?:/index)?\.\w+$", "", path)
            self._by_end.setdefault(stem.rsplit("/", 1)[-1], []).append(path)

    def shape(self, path: str, ref: ComponentRef, depth: int = 0) -> Shape | None:
        """What the component renders that `path` names so; None when it is not in the project, or not understood."""
        if depth > _ALIAS_DEPTH_MAX:
            return None
        target = path if not ref.module else self._file(path, ref.module)
        if target is None:
            return None
        name = ref.name
        found = self._shapes.get(target, {}).get(name)
        if found is None and name in self._exports.get(target, {}):
            found = self._shapes.get(target, {}).get(self._exports[target][name])
        if found is None:
            return self._handed_on(target, name, depth)
        if found.kind.startswith("as:"):
            _, module, inner = found.kind.split(":", 2) if found.kind.count(":") == 2 else ("", "", "")
            behind = self.shape(target, ComponentRef(module, inner), depth + 1) if inner else None
            if behind is None:
                return None
            return Shape(
                behind.kind, found.falls_through and behind.falls_through, found.speaks or behind.speaks
            )
        return found

    def _handed_on(self, target: str, name: str, depth: int) -> Shape | None:
        for exported, imported, module in self._from.get(target, []):
            if exported in (name, "*"):
                ref = ComponentRef(module, name if exported == "*" else imported)
                found = self.shape(target, ref, depth + 1)
                if found is not None:
                    return found
        return None

    def _file(self, path: str, module: str) -> str | None:
        if module.startswith("."):
            base = posixpath.normpath(posixpath.join(posixpath.dirname(path), module))
            return self._existing(base)
        alias = _ALIAS.match(module)
        if alias is None:
            return None
        rest = module[alias.end() :].removesuffix(".js")
        last = re.sub(r"\.(?:tsx|jsx|ts|js|vue|svelte)$", "", rest.rsplit("/", 1)[-1])
        ends = re.compile(
            rf"(?:^|/){re.escape(re.sub(r'[.](?:tsx|jsx|ts|js|vue|svelte)$', '', rest))}(?:/index)?\.\w+$"
        )
        candidates = [one for one in self._by_end.get(last, []) if ends.search(one)]
        return max(
            candidates, key=lambda one: (len(posixpath.commonprefix([one, path])), -len(one)), default=None
        )

    def _existing(self, base: str) -> str | None:
        bare = re.sub(r"\.js$", "", base)
        for stem in (base, bare, f"{base}/index"):
            for suffix in _SUFFIXES:
                if stem + suffix in self._paths:
                    return stem + suffix
        return None
