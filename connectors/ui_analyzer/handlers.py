"""What the handler of an event does, as far as its file tells."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Attribute

_ONLY_STOPPING = re.compile(
    r"^(?:[\w$]+(?:\??\.nativeEvent)?\??\.(?:stopPropagation|preventDefault|stopImmediatePropagation|persist)\(\s*\)|return(?:\s+(?:false|undefined))?|void 0|\$event\.\w+\(\))?$"
)


def handler_code(document: Document, expression: str) -> str:
    """A handler's source together with that of the functions of this file that it calls, three calls deep."""
    text, seen = expression, set[str]()
    for _ in range(3):
        for script in document.scripts:
            for name in sorted(set(re.findall(r"\b([A-Za-z_$][\w$]*)\b", text)) - seen):
                function = script.named_functions.get(name)
                if function is not None:
                    seen.add(name)
                    text += "\n" + script.code_of(function)
    return text[:20_000]


def only_stops(document: Document, handler: Attribute) -> bool:
    """Whether a handler does nothing but keep an event from others."""
    expression = handler.expression.strip()
    if not expression:
        # `@click.stop` has nothing to run; a bare `on:click` of Svelte hands the event on.
        return "." in handler.raw_name or handler.raw_name.startswith(("on:", "@"))
    if re.fullmatch(r"[\w$]+", expression):
        named = next(
            (s.named_functions[expression] for s in document.scripts if expression in s.named_functions), None
        )
        if named is None:
            return False
        body = named.node.child_by_field_name("body")
        script = next(s for s in document.scripts if expression in s.named_functions)
        expression = script.code_of(body) if body is not None else ""
    else:
        expression = re.sub(
            r"^(?:async\s+)?(?:\([^()]*\)|[\w$]+)\s*=>\s*|^function\s*\w*\([^()]*\)\s*", "", expression
        )
    bare = (
        re.sub(r"/\*.*?\*/|//[^\n]*", "", expression, flags=re.DOTALL)
        .strip()
        .removeprefix("{")
        .removesuffix("}")
    )
    return all(_ONLY_STOPPING.match(part.strip()) for part in re.split(r"[;\n,]", bare))
