"""What the prompts of this project say, read back: whose turn it is, and what is given.

The first line of the system prompt names the role; the user messages have fixed beginnings. A prompt that
has neither is answered as an ordinary question about its own text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.local_model.filling import spoken
from schemas.ports.chat import ChatMessage

_ROLE = re.compile(
    r"\ARole: (planner|critic|synthesizer|summarizer|agent [\w-]+|analysis [\w-]+)\s*$", re.MULTILINE
)
_AGENT = re.compile(r"^- ([\w-]+): (.*?)(?: \(tools: ([^)]*)\))?$", re.MULTILINE)
_ATTACHMENT = re.compile(r"^Attachment: (.+?) \((\d+) tokens\).*$", re.MULTILINE)
_REQUEST = re.compile(r"\A(?:Attachment: .*\n+)*Request:\n")
_TASK = re.compile(r"\ATask ([\w.-]+): (.*)\Z", re.DOTALL)
_RESULT = re.compile(r"\AResult of task ([\w.-]+) \((.*?)\):\n(.*)\Z", re.DOTALL)
_NUMBERED = re.compile(r"\A\[(\d+)\] ([^\n]*)\n?(.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedAgent:
    """An agent that a planner may give tasks to."""

    name: str
    purpose: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningPrompt:
    """What a planner is given."""

    request: str
    agents: tuple[OfferedAgent, ...]
    attachments: tuple[str, ...]
    earlier: str
    """What was said in earlier turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A finished task's result."""

    key: str
    intent: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPrompt:
    """What an agent is given."""

    request: str
    key: str
    intent: str
    attachments: tuple[str, ...]
    results: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisPrompt:
    """What a synthesizer is given."""

    request: str
    results: tuple[Source, ...]
    """Keys are the numbers that the answer cites."""
    missing: str


def role_of(messages: Sequence[ChatMessage]) -> str:
    """Return the role that the first system message names, or nothing."""
    for message in messages:
        if message.role in ("system", "developer"):
            match = _ROLE.match(message.text)
            return match.group(1) if match else ""
    return ""


def planning_prompt(messages: Sequence[ChatMessage]) -> PlanningPrompt:
    """Read a planner's messages."""
    place = next((index for index in range(len(messages) - 1, -1, -1) if _is_planning(messages[index])), None)
    text = messages[place].text if place is not None else _last_user(messages)
    listed, request = _around_request(text)
    agents = tuple(
        OfferedAgent(
            name=match.group(1),
            purpose=match.group(2),
            tools=tuple(tool.strip() for tool in (match.group(3) or "").split(",") if tool.strip()),
        )
        for match in _AGENT.finditer(listed)
    )
    everything = "\n".join(message.text for message in messages)
    earlier = messages[:place] if place is not None else ()
    return PlanningPrompt(
        request=request.strip(),
        agents=agents,
        attachments=_attachments(everything),
        earlier="\n".join(message.text for message in earlier if message.role in ("user", "assistant")),
    )


def critique_prompt(messages: Sequence[ChatMessage]) -> tuple[str, str]:
    """Return the request and the plan's JSON that a critic is given."""
    text = "\n\n".join(message.text for message in messages if message.role == "user")
    request, _, plan = text.rpartition("\n\nPlan:\n")
    return _around_request(request)[1].strip(), plan


def step_prompt(messages: Sequence[ChatMessage]) -> StepPrompt:
    """Read an agent's messages."""
    request, key, intent = "", "", ""
    results: list[Source] = []
    of_turn = _of_turn(messages)
    for message in of_turn:
        if message.role != "user":
            continue
        if _is_request(message.text) and not request:
            request = _around_request(message.text)[1]
        elif (task := _TASK.match(message.text)) and not intent:
            key, intent = task.group(1), task.group(2).strip()
        elif result := _RESULT.match(message.text):
            results.append(Source(key=result.group(1), intent=result.group(2), text=spoken(result.group(3))))
    named = _attachments("\n".join(message.text for message in of_turn if message.role == "user"))
    return StepPrompt(
        request=request.strip(),
        key=key,
        intent=intent or request.strip() or _last_user(messages),
        attachments=named,
        results=tuple(results),
    )


def synthesis_prompt(messages: Sequence[ChatMessage]) -> SynthesisPrompt:
    """Read a synthesizer's messages."""
    request, missing = "", ""
    results: list[Source] = []
    for message in _of_turn(messages):
        if message.role != "user":
            continue
        if _is_request(message.text):
            request = _around_request(message.text)[1].strip()
        elif message.text.startswith("Tasks without a result:"):
            missing = message.text.removeprefix("Tasks without a result:").strip()
        elif result := _NUMBERED.match(message.text):
            results.append(
                Source(
                    key=result.group(1), intent=result.group(2).strip(), text=spoken(result.group(3).strip())
                )
            )
    return SynthesisPrompt(request=request, results=tuple(results), missing=missing)


def _of_turn(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """Leave out what is told of earlier turns: nothing that was said then is a task of now."""
    asked = [
        place
        for place, message in enumerate(messages)
        if message.role == "user" and _is_request(message.text)
    ]
    return messages[asked[-1] :] if asked else messages


def _is_planning(message: ChatMessage) -> bool:
    return message.role == "user" and message.text.startswith("Agents:\n")


def _is_request(text: str) -> bool:
    return bool(_REQUEST.match(text))


def _around_request(text: str) -> tuple[str, str]:
    """Return what stands before the request, and the request without lines on attachments."""
    before, found, request = f"\n{text}".partition("\nRequest:\n")
    if not found:
        before, request = "", text
    return before, _ATTACHMENT.sub("", request)


def _attachments(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(match.group(1) for match in _ATTACHMENT.finditer(text)))


def _last_user(messages: Sequence[ChatMessage]) -> str:
    return next((message.text for message in reversed(messages) if message.role == "user"), "")
