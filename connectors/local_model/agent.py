"""One step of an agent: call the tool that fits, or answer by quoting what is there."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from connectors.local_model import intents, quoting
from connectors.local_model.prompts import StepPrompt, step_prompt
from connectors.local_model.wire import Reply
from connectors.text.words import content_words
from schemas.events.models import ToolCallProposed
from schemas.ports.chat import ChatMessage, ToolOffered

CALLS_PER_STEP_MAX: Final = 4
SEARCH_RESULTS: Final = 6
SEARCHED_CHARACTERS_MAX: Final = 4_000
"""How far into a request expressions and quotes are looked for: their patterns take long on hostile texts."""

_ATTACHMENT = re.compile(r"attachment:([^,;()\s]+(?: [^,;()\s]+)*?\.\w+|[^,;()\s]+)")
_DOCUMENT = re.compile(r"(?<![\w:/.])((?:[\w-]+/)*[\w-]+\.(?:md|txt|rst))\b")
_FOLDER_CALLED = re.compile(r"\b(?:folder|directory)\s+[\"'`“]?([\w./-]*\w)", re.IGNORECASE)
_FOLDER_PATH = re.compile(r"(?<![\w:/.-])([\w.-]+/[\w./-]*\w)")
_CODE = re.compile(r"```(?:python|py)?\n(.*?)```", re.DOTALL)
_EXPRESSION = re.compile(r"(?<![\w.])\(?-?\d[\d\s.()]*(?:(?:\*\*|[-+*/%])\s*\(?-?\d[\d\s.()]*)+")
_EMBEDDINGS = re.compile(r"\b(?:embeddings?|vectors?)\b", re.IGNORECASE)


def step(role: str, messages: Sequence[ChatMessage], tools: Sequence[ToolOffered], tool_choice: str) -> Reply:
    """Return the agent's next move: tool calls at first, then an answer from what the tools gave."""
    prompt = step_prompt(messages)
    offered = {tool.name: tool for tool in tools} if tool_choice != "none" else {}
    outcomes = [message.text for message in messages if message.role == "tool"]
    called = [call for message in messages for call in message.tool_calls]
    if tool_choice.startswith("function:"):
        tool = offered[tool_choice.removeprefix("function:")]
        return _calls([(tool.name, _arguments(tool, prompt))], called)
    if not called:
        wanted = _first_calls(role, prompt, offered)
        if not wanted and tool_choice == "required" and tools:
            wanted = [(tools[0].name, _arguments(tools[0], prompt))]
        if wanted:
            return _calls(wanted[:CALLS_PER_STEP_MAX], called)
    elif again := _second_call(prompt, offered, called, outcomes):
        return _calls([again], called)
    return Reply(text=quoting.answer(role, prompt, outcomes))


def _first_calls(
    role: str, prompt: StepPrompt, offered: Mapping[str, ToolOffered]
) -> list[tuple[str, Mapping[str, object]]]:
    intent = prompt.intent
    named = [tool for name, tool in offered.items() if name in intent]
    if named:
        return [(tool.name, _arguments(tool, prompt)) for tool in named]
    kind = intents.kind_of(intent, attached=bool(prompt.attachments))
    if "execute_python" in offered and (kind == intents.CODING or role == intents.CODING):
        code = _code(prompt)
        if code is not None:
            return [("execute_python", {"code": code})]
    if "analyze_ui" in offered and (kind == intents.AUDITING or role == intents.AUDITING):
        return [("analyze_ui", {"path": _folder(prompt)})]
    if "generate_embeddings" in offered and _EMBEDDINGS.search(intent) and kind != intents.RESEARCH:
        return [("generate_embeddings", {"texts": [intent]})]
    documents = _documents(prompt)
    if "analyze_document" in offered and (documents or kind == intents.ANALYSIS):
        kinds = intents.analysis_types(intent) or ["summary"]
        subjects = documents or _content(prompt)
        calls: list[tuple[str, Mapping[str, object]]] = [
            ("analyze_document", {**subject, "analysis_type": analysis})
            for subject in subjects
            for analysis in kinds
        ]
        if calls:
            return calls
    if "search_documents" in offered and not (prompt.results and kind == intents.WRITING):
        return [("search_documents", {"query": query(intent), "k": SEARCH_RESULTS})]
    if role:
        return []
    # In a client's own call a function is meant when the words of its name are all in what is asked.
    asked = set(content_words(intent))
    meant = {name: set(content_words(name.replace("_", " "))) for name in offered}
    return [
        (name, _arguments(offered[name], prompt)) for name, said in meant.items() if said and said <= asked
    ]


def _second_call(
    prompt: StepPrompt,
    offered: Mapping[str, ToolOffered],
    called: Sequence[ToolCallProposed],
    outcomes: Sequence[str],
) -> tuple[str, Mapping[str, object]] | None:
    """Search once more, by the longest words alone, when a search found nothing."""
    if len(called) != 1 or called[0].name != "search_documents" or "search_documents" not in offered:
        return None
    if not outcomes or quoting.passages(outcomes[-1]) or quoting.is_error(outcomes[-1]):
        return None
    broader = " ".join(sorted(set(content_words(prompt.intent)), key=lambda word: (-len(word), word))[:3])
    if not broader or broader == query(prompt.intent):
        return None
    return "search_documents", {"query": broader, "k": SEARCH_RESULTS}


def query(intent: str) -> str:
    """Return what to search for: the intent without the words that only ask for the search."""
    bare = re.sub(
        r"\A(?:please\s+)?(?:find out|find|search(?: the (?:documentation|docs|documents))?(?: for)?|look up|"
        r"look for|explain|describe|research|tell me|list|investigate)\s+(?:about\s+)?",
        "",
        intent,
        flags=re.IGNORECASE,
    ).strip()
    return bare[:500] or intent[:500]


def _documents(prompt: StepPrompt) -> list[dict[str, object]]:
    """Return the documents that the intent names, or else the only attachments there are."""
    names = [match.rstrip(".") for match in _ATTACHMENT.findall(prompt.intent)]
    if (
        not names
        and intents.kind_of(prompt.intent, attached=False) == intents.ANALYSIS
        and not prompt.results
    ):
        names = list(prompt.attachments)
    if names:
        return [{"document": f"attachment:{name}"} for name in dict.fromkeys(names)]
    if intents.kind_of(prompt.intent, attached=False) != intents.ANALYSIS:
        return []
    return [{"document": name} for name in dict.fromkeys(_DOCUMENT.findall(prompt.intent))]


def _content(prompt: StepPrompt) -> list[dict[str, object]]:
    """Return the text to analyse when no document is named: earlier results, or what the request quotes."""
    if prompt.results:
        return [{"content": "\n\n".join(result.text for result in prompt.results)}]
    _, found, quoted = prompt.request.partition(":\n")
    if found and len(quoted.split()) >= 8:
        return [{"content": quoted.strip()}]
    match = re.search(r"[\"“](.{40,2000})[\"”]", prompt.request[:SEARCHED_CHARACTERS_MAX], re.DOTALL)
    return [{"content": match.group(1)}] if match else []


def _code(prompt: StepPrompt) -> str | None:
    """Return the code that the request holds, or an expression in it to print; None when it has neither."""
    block = _CODE.search(prompt.request) or _CODE.search(prompt.intent)
    if block:
        return block.group(1)
    expression = _EXPRESSION.search(prompt.intent) or _EXPRESSION.search(
        prompt.request[:SEARCHED_CHARACTERS_MAX]
    )
    return f"print({expression.group().strip()})" if expression else None


def _folder(prompt: StepPrompt) -> str:
    """Return the folder that the intent or else the request names; the folder of all when neither does."""
    for text in (prompt.intent[:SEARCHED_CHARACTERS_MAX], prompt.request[:SEARCHED_CHARACTERS_MAX]):
        # What is called a folder goes before what merely looks like a path.
        if found := _FOLDER_CALLED.search(text) or _FOLDER_PATH.search(text):
            return found.group(1)
    return "."


def _arguments(tool: ToolOffered, prompt: StepPrompt) -> Mapping[str, object]:
    """Fill the required parameters of any tool from the intent, as well as their types allow."""
    try:
        schema = json.loads(tool.parameters_json)
        properties, required = schema.get("properties", {}), schema.get("required", ())
    except (ValueError, AttributeError):
        return {}
    documents = _DOCUMENT.findall(prompt.intent)
    filled: dict[str, object] = {}
    for name in required:
        parameter = properties.get(name, {})
        kind = parameter.get("type")
        if parameter.get("enum"):
            lowered = prompt.intent.lower()
            filled[name] = next(
                (v for v in parameter["enum"] if str(v).lower() in lowered), parameter["enum"][0]
            )
        elif kind == "array":
            filled[name] = [prompt.intent]
        elif kind in ("integer", "number"):
            filled[name] = parameter.get("minimum", parameter.get("default", 1))
        elif kind == "boolean":
            filled[name] = parameter.get("default", False)
        elif name == "code":
            filled[name] = _code(prompt) or ""
        elif name in ("path", "document", "file") and documents:
            filled[name] = documents[0]
        else:
            filled[name] = query(prompt.intent)
    if tool.name == "analyze_document":
        filled |= next(
            iter(_documents(prompt) or _content(prompt)), {"content": prompt.request or prompt.intent}
        )
    return filled


def _calls(wanted: Sequence[tuple[str, Mapping[str, object]]], called: Sequence[ToolCallProposed]) -> Reply:
    calls: list[ToolCallProposed] = []
    for index, (name, arguments) in enumerate(wanted, start=len(called)):
        arguments_json = json.dumps(arguments, ensure_ascii=False)
        digest = hashlib.sha256(
            f"{index}/{name}/{arguments_json}".encode("utf-8", errors="replace")
        ).hexdigest()
        calls.append(
            ToolCallProposed(tool_call_id=f"call_{digest[:20]}", name=name, arguments_json=arguments_json)
        )
    return Reply(text="", tool_calls=tuple(calls))
