"""Rules on state: React, Vue and Svelte."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, page
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, Syntax

_STATE = Category.STATE
_REACT = "https://react.dev/"
_VUE = "https://vuejs.org/"
_MUTATORS = "push|pop|shift|unshift|splice|sort|reverse|fill|copyWithin"
EFFECTS = frozenset({"useEffect", "useLayoutEffect", "React.useEffect", "React.useLayoutEffect"})
_SECRET = re.compile(
    r"(?:^|[^a-z])(?:jwt|password|secret|api_?-?key|(?:access|auth|refresh|id|bearer|session|user)?_?-?token)(?![a-z])|authToken|accessToken|refreshToken|TOKEN|apiKey|API_KEY",
    re.I,
)
_NO_SECRET = re.compile(
    r"csrf|xsrf|tokeni[sz]|tokens?_?(?:count|limit|usage|max)|max_?tokens?|fcm|push|design|color|theme", re.I
)
_BRANCHES = {
    "if_statement": "condition",
    "ternary_expression": "condition",
    "logical": "left",
    "switch_statement": "value",
}
_LOOPS = frozenset({"for_statement", "for_in_statement", "while_statement", "do_statement"})
STATE_HOOKS_MAX = 10


def effects(script: Script) -> Iterator[tuple[Call, Syntax]]:
    """Effects with the function that they run."""
    for call in script.calls:
        if call.callee in EFFECTS:
            function = script.argument_function(call, 0)
            if function is not None:
                yield call, function


def returns_cleanup(script: Script, function: Syntax) -> bool:
    """Whether a function returns something of its own (not what a function inside it returns)."""
    body = function.node.child_by_field_name("body")
    if body is not None and body.type != "statement_block":
        return True
    for item in function.within("return_statement"):
        if script.function_around(item) is function and item.node.named_children:
            return True
    return False


def _state_mutation(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for name, _, declarator in script.state_pairs():
            component = script.function_around(declarator)
            value = declarator.node.child_by_field_name("value")
            initial = script.text(value)
            if component is None or not _plain_data(initial):
                continue
            wrong = _mutation(script, name, component)
            if wrong is None:
                tally.passed()
            else:
                tally.failed(wrong, f"{name} is state, and is changed in place")


def _plain_data(initial: str) -> bool:
    """Whether state starts as, or is declared to be, an array or plain object rather than an instance of a class."""
    if "Reducer" in initial.split("(")[0]:
        return False
    return re.search(r"\(\s*(?:\(\)\s*=>\s*\(?)?[\[{]|\[\]|\bArray<|\bRecord<", initial) is not None


def _mutation(script: Script, name: str, component: Syntax) -> Syntax | None:
    mutates = re.compile(rf"{re.escape(name)}(?:\.[\w.]+)?\.(?:{_MUTATORS})$")
    for call in script.calls_in(component):
        if (
            mutates.match(call.callee)
            and ".current." not in call.callee
            and not _shadowed(script, call.item, name, component)
        ):
            return call.item
    assigns = re.compile(rf"{re.escape(name)}(?:\.|\[)")
    for kind in ("assignment_expression", "augmented_assignment_expression"):
        for item in component.within(kind):
            left = script.text(item.node.child_by_field_name("left"))
            if (
                assigns.match(left)
                and ".current" not in left
                and not _shadowed(script, item, name, component)
            ):
                return item
    return None


def _shadowed(script: Script, item: Syntax, name: str, until: Syntax) -> bool:
    """Whether a parameter or variable between `item` and `until` takes over the name."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    for at in item.ancestors():
        if at is until:
            return False
        if at.kind in FUNCTION_KINDS:
            parameters = at.node.child_by_field_name("parameters") or at.node.child_by_field_name("parameter")
            if parameters is not None and word.search(script.text(parameters)):
                return True
            for declarator in at.within("variable_declarator"):
                if word.search(script.text(declarator.node.child_by_field_name("name"))):
                    return True
        if at.kind == "for_in_statement" and word.search(script.text(at.node.child_by_field_name("left"))):
            return True
    return False


def _conditional_hook(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        if document.framework != "react":
            continue  # Composables of Vue have names like hooks, but may be called anywhere in setup.
        for call in script.hooks():
            function = script.function_around(call.item)
            if function is None:
                continue
            name = script.name_of(function)
            if not (name[:1].isupper() or re.match(r"use[A-Z]", name)):
                continue
            problem = _hook_problem(script, call, function)
            tally.check(not problem, call.item, f"{call.callee} is called {problem}")


def _hook_problem(script: Script, call: Call, function: Syntax) -> str:
    for at in call.item.ancestors():
        if at is function:
            break
        if at.kind in _LOOPS:
            return "in a loop"
        field = _BRANCHES.get(at.kind)
        if field is not None:
            test = at.node.child_by_field_name(field)
            if test is None or not (test.start_byte <= call.item.start and call.item.end <= test.end_byte):
                return "under a condition"
    for item in function.within("return_statement"):
        if item.end <= call.item.start and script.function_around(item) is function:
            return "after an early return"
    return ""


def _effect_cleanup(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for _, function in effects(script):
            for what, item in _subscriptions(script, function):
                if _kept_and_released(script, item):
                    tally.passed()
                else:
                    tally.check(
                        returns_cleanup(script, function),
                        item,
                        f"{what} is never undone: the effect returns no cleanup",
                    )
        if document.language in ("vue", "svelte"):
            _mounted_cleanup(script, document, tally)


def _subscriptions(script: Script, function: Syntax | None) -> Iterator[tuple[str, Syntax]]:
    for call in script.calls_in(function):
        text = script.text(call.item.node)
        if call.name == "addEventListener" and call.callee in (
            "addEventListener",
            "window.addEventListener",
            "document.addEventListener",
            "globalThis.addEventListener",
        ):
            if not re.search(r"\bonce\s*:\s*true|\bsignal\b", text):
                yield f"{call.callee}({script.text(call.arguments[0]) if call.arguments else ''})", call.item
        elif call.callee in ("setInterval", "window.setInterval"):
            yield "setInterval", call.item
        elif call.name == "subscribe" and script.function_around(call.item) is function:
            yield call.callee, call.item
    for construction in script.constructions:
        inside = function is None or function.start <= construction.item.start < function.end
        if inside and construction.callee in ("IntersectionObserver", "ResizeObserver", "MutationObserver"):
            yield construction.callee, construction.item


def _kept_and_released(script: Script, item: Syntax) -> bool:
    """`timer.current = setInterval(…)` with a `clearInterval(timer.current)` in another place."""
    parent = item.parent
    if parent is None or parent.kind not in ("assignment_expression", "variable_declarator"):
        return False
    field = "left" if parent.kind == "assignment_expression" else "name"
    target = re.escape(script.text(parent.node.child_by_field_name(field)))
    return (
        re.search(
            rf"(?:clearInterval|clearTimeout)\(\s*{target}|{target}\??\.(?:disconnect|close|unobserve|unsubscribe)\(",
            script.code_text,
        )
        is not None
    )


def _mounted_cleanup(script: Script, document: Document, tally: Tally) -> None:
    code = script.code_text
    for call in script.calls:
        if call.callee not in ("onMounted", "onBeforeMount", "onActivated", "onMount"):
            continue
        function = script.argument_function(call, 0)
        if function is None:
            continue
        for what, item in _subscriptions(script, function):
            released = {
                "addEventListener": "removeEventListener",
                "setInterval": "clearInterval",
                "Observer": ".disconnect",
                "subscribe": "unsubscribe|onDestroy|onUnmounted|\\bstop\\(",
            }
            undo = next(text for key, text in released.items() if key in what)
            ok = re.search(undo.replace(".", r"\."), code) is not None or (
                document.language == "svelte" and returns_cleanup(script, function)
            )
            tally.check(ok, item, f"{what} is never undone when the component goes")


def _effect_loop(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        setters = {setter for _, setter, _ in script.state_pairs() if setter}
        for call, function in effects(script):
            if len(call.arguments) != 1:
                tally.passed()
                continue
            direct = [
                inner
                for inner in script.calls_in(function)
                if inner.callee in setters
                and script.function_around(inner.item) is function
                and not any(
                    at.kind in ("if_statement", "logical", "ternary_expression")
                    for at in inner.item.ancestors()
                    if at.start >= function.start
                )
            ]
            tally.check(
                not direct, call.item, "this effect runs after every render and sets state, so it never ends"
            )


def _derived_state(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        setters = {setter for _, setter, _ in script.state_pairs() if setter}
        for call, function in effects(script):
            body = function.node.child_by_field_name("body")
            if body is None or len(call.arguments) < 2 or call.arguments[1].type != "array":
                continue
            dependencies = [script.text(node) for node in call.arguments[1].named_children]
            statements = (
                [node for node in body.named_children if node.type != "comment"]
                if body.type == "statement_block"
                else [body]
            )
            expression = statements[0] if len(statements) == 1 else None
            if expression is not None and expression.type == "expression_statement":
                expression = expression.named_children[0]
            only = (
                expression is not None
                and expression.type == "call_expression"
                and script.text(expression.child_by_field_name("function")) in setters
            )
            if (
                only
                and dependencies
                and expression is not None
                and _set_once(script, expression)
                and _from_dependencies(script.text(expression), dependencies)
            ):
                tally.failed(
                    call.item, "this effect only copies a value that could be computed while rendering"
                )
            else:
                tally.passed()


def _set_once(script: Script, expression: Node) -> bool:
    """Whether the setter is called here only: a draft that is also edited cannot be computed."""
    setter = script.text(expression.child_by_field_name("function"))
    return len(re.findall(rf"\b{re.escape(setter)}\b", script.code_text)) <= 2


def _from_dependencies(call: str, dependencies: list[str]) -> bool:
    argument = call[call.find("(") + 1 : -1]
    if (
        not argument.strip()
        or "=>" in argument
        or re.search(r"\b(?:window|document|localStorage|Date|Math|ref|current|await)\b", argument)
    ):
        return False
    names = set(re.findall(r"(?<![.\w'\"])[A-Za-z_$][\w$]*(?!\s*\()", re.sub(r"(['\"`]).*?\1", "", argument)))
    roots = {dependency.split(".")[0] for dependency in dependencies}
    return bool(names) and names <= roots | {
        "true",
        "false",
        "null",
        "undefined",
        "JSON",
        "Object",
        "Number",
        "String",
        "Boolean",
    }


def _effect_race(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        setters = {setter for _, setter, _ in script.state_pairs() if setter}
        for call, function in effects(script):
            code = script.code_of(function)
            loads = re.search(r"\b(?:fetch|axios(?:\.\w+)?|\w*[aA]pi\.\w+|ky(?:\.\w+)?)\(", code) is not None
            sets = any(inner.callee in setters for inner in script.calls_in(function))
            if not loads or not sets or len(call.arguments) < 2:
                continue
            changing = call.arguments[1].type == "array" and len(call.arguments[1].named_children) > 0
            if changing:
                tally.check(
                    returns_cleanup(script, function),
                    call.item,
                    "answers can arrive in the wrong order: the effect neither cancels nor ignores an old request",
                )


def _prop_mutation(document: Document, tally: Tally) -> None:
    if document.language != "vue":
        return
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
        wrong += [c.item for c in script.calls if re.match(rf"props\.[\w.]+\.(?:{_MUTATORS})$", c.callee)]
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
            lost = value.startswith(("reactive(", "reactive<")) or (bool(name) and value == name)
            tally.check(
                not lost, item, f"taking {script.text(target)[:40]} out of {value[:20]} loses reactivity"
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
            if value is None or value.type != "array" or script.function_around(item) is not None:
                continue
            name = script.text(item.node.child_by_field_name("name"))
            if not re.search(rf"\{{[^}}]*\b{re.escape(name)}\b", document.text):
                continue
            _judge_svelte(script, name, tally)


def _judge_svelte(script: Script, name: str, tally: Tally) -> None:
    for call in script.calls:
        if re.fullmatch(rf"{re.escape(name)}\.(?:{_MUTATORS})", call.callee):
            function = script.function_around(call.item)
            after = script.code[
                call.item.end : function.end if function is not None else len(script.code)
            ].decode("utf-8", "replace")
            ok = re.search(rf"\b{re.escape(name)}\s*=(?!=)", after) is not None
            tally.check(
                ok,
                call.item,
                f"{call.callee}() changes {name} without an assignment, so nothing is drawn anew",
            )


def _sprawl(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        counts: dict[int, int] = {}
        for _, _, declarator in script.state_pairs():
            component = script.function_around(declarator)
            if component is not None:
                counts[component.start] = counts.get(component.start, 0) + 1
        for name, function in script.components:
            count = counts.get(function.start, 0)
            if count:
                tally.check(
                    count <= STATE_HOOKS_MAX,
                    function,
                    f"{name} has {count} pieces of state that can contradict one another",
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
            secret = _SECRET.search(key) is not None and not _NO_SECRET.search(key)
            tally.check(not secret, call.item, f"{key[:40]} is kept where any script on the page can read it")


RULES = (
    FileRule(
        describe(
            "state-mutation",
            _STATE,
            Severity.SERIOUS,
            "State is replaced, not changed in place",
            reason="React does not see the change and does not draw it.",
            fix="Pass a new array or object to the setter.",
            reference=page("React: Updating arrays in state", _REACT + "learn/updating-arrays-in-state"),
        ),
        _state_mutation,
    ),
    FileRule(
        describe(
            "conditional-hook",
            _STATE,
            Severity.SERIOUS,
            "Hooks are called on every render, in the same order",
            reason="React tells hooks apart by their order; the state of another hook is returned.",
            fix="Call the hook first and put the condition inside or after it.",
            reference=page("React: Rules of hooks", _REACT + "reference/rules/rules-of-hooks"),
        ),
        _conditional_hook,
    ),
    FileRule(
        describe(
            "effect-cleanup",
            _STATE,
            Severity.SERIOUS,
            "Subscriptions end with the component",
            reason="Each visit adds another listener or timer; the page becomes slower and does things twice.",
            fix="Undo it in the function that the effect returns (`onUnmounted`, `onDestroy`).",
            reference=page(
                "React: Synchronizing with effects",
                _REACT + "learn/synchronizing-with-effects#step-3-add-cleanup-if-needed",
            ),
        ),
        _effect_cleanup,
    ),
    FileRule(
        describe(
            "effect-loop",
            _STATE,
            Severity.SERIOUS,
            "Effects that set state have dependencies",
            reason="Setting state renders, rendering runs the effect, and so on without end.",
            fix="Pass the array of dependencies.",
            reference=page(
                "React: useEffect", _REACT + "reference/react/useEffect#my-effect-runs-after-every-re-render"
            ),
        ),
        _effect_loop,
    ),
    FileRule(
        describe(
            "derived-state",
            _STATE,
            Severity.MINOR,
            "What can be computed is not kept as state",
            reason="It is drawn once with the old value, then again; the two can contradict each other.",
            fix="Compute it while rendering, in `useMemo` if it is expensive.",
            reference=page(
                "React: You might not need an effect", _REACT + "learn/you-might-not-need-an-effect"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _derived_state,
    ),
    FileRule(
        describe(
            "effect-race",
            _STATE,
            Severity.MODERATE,
            "Late answers do not overwrite newer ones",
            reason="When the input changes quickly, the slower answer wins and the wrong data is shown.",
            fix="Abort the request in the cleanup, or set a flag there and ignore the answer.",
            reference=page(
                "React: Fetching data with effects",
                _REACT + "reference/react/useEffect#fetching-data-with-effects",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _effect_race,
    ),
    FileRule(
        describe(
            "prop-mutation",
            _STATE,
            Severity.SERIOUS,
            "Components do not change their props",
            reason="The parent does not know, and overwrites the change with its next render.",
            fix="Emit an event, or use `defineModel`.",
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
            "state-sprawl",
            _STATE,
            Severity.MINOR,
            "State that changes together is kept together",
            reason="Many independent flags allow states that make no sense, such as loading and failed.",
            fix="Use one reducer, or one state that names the phase.",
            reference=page(
                "React: Choosing the state structure", _REACT + "learn/choosing-the-state-structure"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _sprawl,
    ),
    FileRule(
        describe(
            "secret-in-storage",
            _STATE,
            Severity.MODERATE,
            "Secrets are not kept in web storage",
            reason="Any injected script can read them and act as the user.",
            fix="Keep the session in a cookie that is HttpOnly, Secure and SameSite.",
            reference=page(
                "OWASP: HTML5 security, local storage",
                "https://cheatsheetseries.owasp.org/cheatsheets/HTML5_Security_Cheat_Sheet.html#local-storage",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _stored_secret,
    ),
)
