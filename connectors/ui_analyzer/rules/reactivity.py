"""Rules on state in Vue and Svelte, and on what is kept in the browser."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, page
from connectors.ui_analyzer.rules.state import MUTATORS
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import Syntax

_STATE = Category.STATE

_VUE = "https://vuejs.org/"


_SECRET = re.compile(
    r"(?:^|[^a-z])(?:jwt|password|secret|api_?-?key|(?:access|auth|refresh|id|bearer|session|user)?_?-?token)(?![a-z])|authToken|accessToken|refreshToken|TOKEN|apiKey|API_KEY",
    re.I,
)


_NO_SECRET = re.compile(
    r"csrf|xsrf|tokeni[sz]|tokens?_?(?:count|limit|usage|max)|max_?tokens?|fcm|push|notification|device_?token|design|color|theme|"
    r"closed|dismiss|seen|shown|warning|expir|_at\b|hidden|hide_",
    re.I,
)


def _prop_mutation(document: Document, tally: Tally) -> None:
    if document.language == "svelte":
        _svelte_props(document, tally)
    if document.framework == "react":
        _react_props(document, tally)
    if document.language != "vue":
        return
    _setup_props(document, tally)
    for script in document.scripts:
        call = next((c for c in script.calls if c.callee == "defineProps"), None)
        if call is None:
            continue
        names = _prop_names(script, call)
        wrong = [
            item
            for kind in ("assignment_expression", "augmented_assignment_expression")
            for item in script.items(kind)
            if re.match(r"props\.\w", script.text(item.node.child_by_field_name("left")))
        ]
        wrong += [c.item for c in script.calls if re.match(rf"props\.[\w.]+\.(?:{MUTATORS})$", c.callee)]
        for item in wrong:
            tally.failed(item, f"{script.text(item.node)[:50]} changes a prop")
        for element in document.elements:
            model = element.attributes.get("v-model")
            if model is None:
                continue
            root = model.expression.strip()
            is_prop = root.startswith("props.") or root in names
            tally.check(not is_prop, model, f'v-model="{root}" writes to a prop')
        if not wrong:
            tally.passed()


def _setup_props(document: Document, tally: Tally) -> None:
    """Props that `setup(props)` of an options object changes, also through what they hold."""
    for script in document.scripts:
        for setup in script.functions:
            if script.name_of(setup) != "setup":
                continue
            parameters = setup.node.child_by_field_name("parameters")
            first = (
                parameters.named_children[0] if parameters is not None and parameters.named_children else None
            )
            name = re.match(r"[A-Za-z_$][\w$]*", script.text(first))
            if name is None:
                continue
            wrong = list(_changes(script, setup, name.group()))
            for item in wrong:
                tally.failed(item, f"{script.text(item.node)[:50]} changes a prop")
            if not wrong:
                tally.passed()


def _react_props(document: Document, tally: Tally) -> None:
    """Lists that a component takes as props and sorts, turns round or cuts in place."""
    for script in document.scripts:
        for _, component in script.components:
            parameters = component.node.child_by_field_name("parameters")
            first = (
                parameters.named_children[0] if parameters is not None and parameters.named_children else None
            )
            pattern = re.match(r"\{[^{}]*\}", script.text(first))
            if pattern is None:
                continue
            names = set(re.findall(r"[A-Za-z_$][\w$]*(?=\s*[,}=])", pattern.group()))
            own = {
                word
                for item in component.within("variable_declarator")
                for word in re.findall(r"[\w$]+", script.text(item.node.child_by_field_name("name")))
            }
            for call in script.calls_in(component):
                match = re.match(r"([A-Za-z_$][\w$]*)\.(?:sort|reverse|splice|copyWithin)$", call.callee)
                if match and match.group(1) in names - own:
                    tally.failed(call.item, f"{call.callee}() changes a prop in place")


def _svelte_props(document: Document, tally: Tally) -> None:
    """Props that a component with runes takes by `$props()` and changes, other than bindable ones and snippets."""
    for script in document.scripts:
        for item in script.items("variable_declarator"):
            target, value = item.node.child_by_field_name("name"), item.node.child_by_field_name("value")
            if target is None or target.type != "object_pattern" or script.text(value) != "$props()":
                continue
            for part in target.named_children:
                if part.type != "shorthand_property_identifier_pattern":
                    continue
                wrong = list(_changes(script, None, script.text(part)))
                for change in wrong:
                    tally.failed(change, f"{script.text(change.node)[:50]} changes a prop")
                if not wrong:
                    tally.passed()


def _changes(script: Script, inside: Syntax | None, name: str) -> Iterator[Syntax]:
    start, end = (inside.start, inside.end) if inside is not None else (0, len(script.code))
    deep = re.compile(rf"{re.escape(name)}(?:\.[\w$]+|\[[^\]]*\])+$")
    for item in script.items("assignment_expression", "augmented_assignment_expression"):
        if start <= item.start < end and deep.match(script.text(item.node.child_by_field_name("left"))):
            yield item
    for call in script.calls_in(inside):
        if re.match(rf"{re.escape(name)}\.[\w.$]+\.(?:{MUTATORS})$", call.callee):
            yield call.item


def _prop_names(script: Script, call: Call) -> frozenset[str]:
    text = script.code_of(call.item)
    if call.arguments and call.arguments[0].type == "array":
        return frozenset(re.findall(r"['\"](\w+)['\"]", text))
    models = {
        script.text(c.arguments[0]).strip("'\"")
        for c in script.calls
        if c.callee == "defineModel" and c.arguments
    }
    declared = {
        script.text(item.node.child_by_field_name("name")) for item in script.items("variable_declarator")
    }
    return frozenset(re.findall(r"(?m)[{;,\n]\s*(\w+)\??\s*:", text)) - models - declared


def _lost_reactivity(document: Document, tally: Tally) -> None:
    if document.framework != "vue":
        return
    for script in document.scripts:
        props = next(
            (
                item
                for item in script.items("variable_declarator")
                if "defineProps" in script.text(item.node.child_by_field_name("value"))[:60]
            ),
            None,
        )
        name = script.text(props.node.child_by_field_name("name")) if props is not None else ""
        for item in script.items("variable_declarator"):
            target = item.node.child_by_field_name("name")
            value = script.text(item.node.child_by_field_name("value"))
            if target is None or target.type != "object_pattern" or script.function_around(item) is not None:
                continue
            lost = (
                value.startswith(("reactive(", "reactive<"))
                or (bool(name) and value == name)
                or (_is_store(script, value) and _drawn(document, script.text(target)))
            )
            tally.check(
                not lost, item, f"taking {script.text(target)[:40]} out of {value[:20]} loses reactivity"
            )


def _is_store(script: Script, value: str) -> bool:
    """Whether a value is a store of Pinia: a call such as `useCart()`, or a name that is given one."""
    if "pinia" in script.modules and "storeToRefs" in value:
        return False
    called = re.fullmatch(r"(use[A-Z]\w*Store)\(\)", value)
    if called is None and re.fullmatch(r"[A-Za-z_$][\w$]*", value):
        called = re.search(
            rf"\b(?:const|let)\s+{re.escape(value)}\s*=\s*(use[A-Z]\w*Store)\(\)", script.code_text
        )
    entry = script.imported.get(called.group(1)) if called else None
    return entry is not None and re.search(r"(?:^|/)stores?(?:/|$)|[sS]tore$", entry.module) is not None


def _drawn(document: Document, pattern: str) -> bool:
    """Whether the template shows one of the names as a value, so that it is no function."""
    names = re.findall(r"[A-Za-z_$][\w$]*(?=\s*[,}=])", pattern)
    return any(
        re.search(
            rf"(?:\{{\{{\s*|v-(?:if|else-if|show)=\"!?|\bin\s+){re.escape(name)}(?![\w$(])(?!\s*\()",
            document.text,
        )
        for name in names
    )


def _svelte_mutation(document: Document, tally: Tally) -> None:
    if document.language != "svelte":
        return
    for script in document.scripts:
        code = script.code_text
        if re.search(r"\$(?:state|props|derived|effect)\b", code):
            continue
        for item in script.items("variable_declarator"):
            value = item.node.child_by_field_name("value")
            if value is None or value.type != "array" or not _of_component(item.node):
                continue
            name = script.text(item.node.child_by_field_name("name"))
            if not re.search(rf"\{{[^}}]*\b{re.escape(name)}\b", document.text):
                continue
            _judge_svelte(script, name, tally)


def _of_component(declarator: Node) -> bool:
    """Whether a variable lives as long as the component: one inside a block or function is gone before anything is drawn."""
    declaration = declarator.parent
    around = declaration.parent if declaration is not None else None
    return around is not None and around.type in ("program", "export_statement")


def _judge_svelte(script: Script, name: str, tally: Tally) -> None:
    for call in script.calls:
        if re.fullmatch(rf"{re.escape(name)}\.(?:{MUTATORS})", call.callee):
            function = script.function_around(call.item)
            if function is None and not any(at.kind == "labeled_statement" for at in call.item.ancestors()):
                continue  # Runs once, before anything is drawn.
            after = script.code[
                call.item.end : function.end if function is not None else len(script.code)
            ].decode("utf-8", "replace")
            ok = re.search(rf"\b{re.escape(name)}\s*=(?!=)", after) is not None
            tally.check(
                ok,
                call.item,
                f"{call.callee}() changes {name} without an assignment, so nothing is drawn anew",
            )


def _stored_secret(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for call in script.calls:
            if (
                not re.fullmatch(r"(?:window\.)?(?:local|session)Storage\.setItem", call.callee)
                or not call.arguments
            ):
                continue
            key = script.text(call.arguments[0])
            emptied = len(call.arguments) > 1 and script.text(call.arguments[1]) in ("''", '""', "``")
            secret = not emptied and _SECRET.search(key) is not None and not _NO_SECRET.search(key)
            tally.check(not secret, call.item, f"{key[:40]} is kept where any script on the page can read it")


RULES = (
    FileRule(
        describe(
            "prop-mutation",
            _STATE,
            Severity.SERIOUS,
            "Components do not change their props",
            reason="The parent does not know, and overwrites the change with its next render.",
            fix="Emit an event, or use `defineModel`.",
            own_references=(
                (
                    "react",
                    "React: Keeping components pure",
                    "https://react.dev/learn/keeping-components-pure",
                ),
                ("svelte", "Svelte: $props", "https://svelte.dev/docs/svelte/$props#Updating-props"),
            ),
            reference=page("Vue: One-way data flow", _VUE + "guide/components/props.html#one-way-data-flow"),
        ),
        _prop_mutation,
    ),
    FileRule(
        describe(
            "lost-reactivity",
            _STATE,
            Severity.SERIOUS,
            "Reactive objects are not taken apart",
            reason="The copies never change again.",
            fix="Use `toRefs`, or access the properties on the object.",
            reference=page(
                "Vue: Limitations of reactive()",
                _VUE + "guide/essentials/reactivity-fundamentals.html#limitations-of-reactive",
            ),
        ),
        _lost_reactivity,
    ),
    FileRule(
        describe(
            "unassigned-mutation",
            _STATE,
            Severity.SERIOUS,
            "Changes that Svelte must see are assignments",
            reason="Without runes Svelte redraws on assignment only.",
            fix="Assign: `items = [...items, item]`.",
            reference=page("Svelte: Reactive assignments", "https://svelte.dev/docs/svelte/legacy-let"),
        ),
        _svelte_mutation,
    ),
    FileRule(
        describe(
            "secret-in-storage",
            _STATE,
            Severity.MODERATE,
            "Secrets are not kept in web storage",
            reason="Any injected script can read them and act as the user.",
            fix="Keep the session in a cookie that is HttpOnly, Secure and SameSite.",
            negative=True,
            reference=page(
                "OWASP: HTML5 security, local storage",
                "https://cheatsheetseries.owasp.org/cheatsheets/HTML5_Security_Cheat_Sheet.html#local-storage",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _stored_secret,
    ),
)
