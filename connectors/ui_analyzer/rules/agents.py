"""Rules on interfaces to AI models and agents."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, page, wcag
from connectors.ui_analyzer.script import Call, Script

_AGENTS = Category.AGENTS
_MODEL_HOST = re.compile(
    r"api\.openai\.com|api\.anthropic\.com|generativelanguage\.googleapis\.com|api\.mistral\.ai|api\.groq\.com|openrouter\.ai/api"
)
_MODEL_KEY = re.compile(
    r"\b(?:sk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}|AIza[0-9A-Za-z_-]{35}|gsk_[A-Za-z0-9]{20,})\b"
)
_PLACEHOLDER = re.compile(r"(.)\1{5}|\.\.\.|your|example|placeholder", re.I)
"""What is written in place of a key."""
_PUBLIC_KEY = re.compile(
    r"(?:import\.meta\.env\.VITE_|process\.env\.(?:NEXT_PUBLIC_|REACT_APP_|VUE_APP_)|PUBLIC_)\w*(?:OPENAI|ANTHROPIC|GEMINI|MISTRAL|GROQ)\w*(?:KEY|TOKEN|SECRET)"
)
_SHIPPED_KEY = re.compile(
    r"\bapiKey\s*:\s*(?:import\.meta\.env\b|process\.env\b|['\"`][\w-]{12,}['\"`])[^{}]{0,400}?dangerouslyAllowBrowser\s*:\s*true|"
    r"dangerouslyAllowBrowser\s*:\s*true[^{}]{0,400}?\bapiKey\s*:\s*(?:import\.meta\.env\b|process\.env\b|['\"`][\w-]{12,}['\"`])"
)
"""A key that is built into what visitors load; one that they enter themselves is their own."""
_AGENT_ENDPOINT = re.compile(
    r"/(?:chat|agents?|assistants?|completions?|generate|ask|prompt|converse|runs?/stream)\b|/v1/(?:chat|messages|responses)",
    re.I,
)
_AGENT_HOOKS = frozenset({"useChat", "useCompletion", "useAssistant", "useAgent"})


def _agent_requests(script: Script) -> Iterator[Call]:
    for call in (*script.calls, *script.constructions):
        if (
            call.name in ("fetch", "post", "$fetch", "EventSource", "fetchEventSource", "stream")
            and call.arguments
            and _AGENT_ENDPOINT.search(script.text(call.arguments[0])[:200])
        ) or re.search(
            r"(?:chat\.completions|messages|responses|completions)\.(?:create|stream)$", call.callee
        ):
            yield call


def _key_in_client(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        code = script.code_text
        asks = (
            bool(
                script.modules
                & {"openai", "@anthropic-ai/sdk", "@google/generative-ai", "@mistralai/mistralai"}
            )
            or _MODEL_HOST.search(code) is not None
        )
        for pattern, what in (
            (_MODEL_KEY, "the key of a model provider"),
            (_PUBLIC_KEY, "the key of a model provider, through the environment of the build,"),
            (_SHIPPED_KEY, "the key of a model provider"),
        ):
            match = next(
                (found for found in pattern.finditer(code) if not _PLACEHOLDER.search(found.group())), None
            )
            if match:
                line = code.count("\n", 0, match.start()) + 1
                tally.failed(_At(line), f"{what} is sent to every visitor")
                break
        else:
            if asks or any(True for _ in _agent_requests(script)):
                tally.passed()


class _At:
    """The beginning of a line."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.column = 1


def _stream_cancel(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        readers = [
            call
            for call in script.calls
            if call.callee.endswith((".body.getReader", ".body!.getReader"))
            or call.name == "fetchEventSource"
        ]
        if not any(True for _ in _agent_requests(script)) and not _MODEL_HOST.search(script.code_text):
            readers = []  # A stream, but of something else.
        streams = readers or [
            call
            for call in _agent_requests(script)
            if re.search(r"stream['\"]?\s*:\s*true", script.text(call.item.node))
        ]
        for call in streams[:1]:
            cancel = (
                re.search(
                    r"AbortController|\bsignal\b|\.abort\(|reader\.cancel|\.cancel\(\)", script.code_text
                )
                is not None
            )
            tally.check(cancel, call.item, "an answer that is being written cannot be stopped")
        for call, taken in _hook_values(script):
            tally.check(
                "stop" in taken or "..." in taken,
                call.item,
                f"{call.callee} offers stop, but nothing uses it",
            )


def _hook_values(script: Script) -> Iterator[tuple[Call, str]]:
    for call in script.calls:
        entry = script.imported.get(call.callee)
        if (
            call.callee in _AGENT_HOOKS
            and entry is not None
            and re.match(r"ai(?:/\w+)?$|@ai-sdk/", entry.module)
        ):
            parent = call.item.parent
            if parent is not None and parent.kind == "variable_declarator":
                target = parent.node.child_by_field_name("name")
                if target is not None and target.type == "object_pattern":
                    yield call, script.text(target)


def _agent_error(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for call, taken in _hook_values(script):
            ok = re.search(r"\berror\b|\bstatus\b|\.\.\.", taken) is not None or "onError" in script.text(
                call.item.node
            )
            tally.check(ok, call.item, f"{call.callee} may fail, and nothing shows it")


def _agent_busy(document: Document, tally: Tally) -> None:
    if not document.elements or document.server:
        return
    for script in document.scripts:
        asks = list(_agent_requests(script))
        if asks:
            busy = (
                re.search(
                    r"loading|pending|busy|streaming|thinking|generating|sending|submitting|waiting|inFlight|\bstatus\b|typing",
                    script.code_text,
                    re.I,
                )
                is not None
            )
            tally.check(
                busy, asks[0].item, "nothing shows that the agent is at work, and it can be asked twice"
            )


def agent_facts(document: Document) -> Iterator[Fact]:
    """Conversations with a model, and whether they are announced."""
    if document.server:
        return
    talks = any(True for script in document.scripts for _ in _agent_requests(script)) or any(
        True for script in document.scripts for _ in _hook_values(script)
    )
    transcript = next(
        (element for element in document.elements if element.loop_root and _is_message(element)), None
    )
    if talks:
        yield Fact(kind="agent-talk", name="request")
    if transcript is not None:
        yield Fact(kind="transcript", name=transcript.tag, line=transcript.line, column=transcript.column)
    for element in document.elements:
        if element.get("role") in ("log", "status", "feed") or element.get("aria-live") in (
            "polite",
            "assertive",
        ):
            yield Fact(kind="announced", name=element.get("role") or "aria-live", line=element.line)
            break


def _is_message(element: Element) -> bool:
    key = element.attributes.get("key")
    loop = element.attributes.get("v-for")
    hints = [*sorted(element.classes()), *(one.expression for one in (key, loop) if one is not None)]
    return (
        _MESSAGE_TAG.search(element.tag) is not None
        or re.search(r"\bmessages?\b|\bmsg\b|[a-z]Message\b", " ".join(hints)) is not None
    )


_MESSAGE_TAG = re.compile(r"(?:^|[a-z])message(?:-?(?:item|bubble|row|card|view|entry))?$|bubble$", re.I)
"""Components that draw a message, rather than a part of one such as its sources."""


def _announced(project: Project, tally: Tally) -> None:
    transcripts = project.of("transcript")
    if not project.of("agent-talk") or not transcripts:
        return
    if project.of("announced"):
        tally.passed()
    else:
        tally.failed(
            transcripts[0],
            "answers appear without being announced to screen readers",
            path=transcripts[0].path,
        )


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "model-key-in-client",
            _AGENTS,
            Severity.CRITICAL,
            "Keys of model providers stay on the server",
            reason="Every visitor can read the key and spend on it.",
            fix="Call the model from a server that checks who asks and how much, and change the key now.",
            negative=True,
            reference=page(
                "OpenAI: Best practices for API key safety",
                "https://help.openai.com/en/articles/5112595-best-practices-for-api-key-safety",
            ),
        ),
        _key_in_client,
    ),
    FileRule(
        describe(
            "agent-stop",
            _AGENTS,
            Severity.MODERATE,
            "Answers can be stopped",
            reason="A wrong turn runs to its end, and is paid for.",
            fix="Pass an `AbortSignal` and offer a button that aborts.",
            reference=page(
                "Microsoft: Guidelines for Human-AI Interaction, G8 efficient dismissal",
                "https://www.microsoft.com/en-us/haxtoolkit/guideline/support-efficient-dismissal/",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _stream_cancel,
    ),
    FileRule(
        describe(
            "agent-error",
            _AGENTS,
            Severity.MODERATE,
            "Failures of the agent are shown",
            reason="No answer and a failed answer look the same.",
            fix="Render `error`, and offer to try again.",
            reference=page("AI SDK: Error handling", "https://ai-sdk.dev/docs/ai-sdk-ui/error-handling"),
            confidence=Confidence.MEDIUM,
        ),
        _agent_error,
    ),
    FileRule(
        describe(
            "agent-busy",
            _AGENTS,
            Severity.MODERATE,
            "One can see that the agent works",
            reason="Models take seconds; without a sign people ask again.",
            fix="Show progress and disable sending until the answer is complete.",
            reference=wcag("4.1.3 Status Messages", "status-messages"),
            confidence=Confidence.MEDIUM,
        ),
        _agent_busy,
    ),
    ProjectRule(
        describe(
            "agent-announced",
            _AGENTS,
            Severity.MODERATE,
            "Answers are announced",
            reason="Who uses a screen reader does not learn that the answer has come.",
            fix='Put the transcript into an element with `role="log"`, or announce a summary in `role="status"`.',
            reference=wcag("4.1.3 Status Messages", "status-messages"),
            confidence=Confidence.MEDIUM,
        ),
        _announced,
    ),
)
