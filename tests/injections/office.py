"""An office whose model obeys whatever it reads, on every road by which a text comes: the worst case.

Its operator has loosened much: most of what foreign servers offer is declared safe, or to be called with
care, so that the shipped rules alone would let it pass.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from processors.memory.history import RECALL_TOOL
from processors.policy.hindsight import spec_to_judge
from processors.provenance import acts_outside
from processors.session import SessionDecider
from schemas.configuration import Agent, Configuration, Policy, ToolSpec
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.models import (
    CallPurpose,
    ModelCallCompleted,
    ModelCallRequested,
    PromptMessage,
    ToolCallProposed,
)
from schemas.events.policies import PolicyDecided
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested
from streams.gateway.openai_chat import asked_of
from tests.injections.payloads import Payload
from tests.processors.conversations import Conversation, read
from tests.processors.world import (
    ToolOutcome,
    completed,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
    tool_failed,
)

LEVELS: Final = {
    "safe": "agents__message calendar__create chat__post drive__share hotel__reserve mail__send memory__save "
    "sums__add tickets__close web__get web__post",
    "caution": "agents__start bank__reschedule bank__transfer chat__invite files__delete logs__clear "
    "mail__delete",
    "restricted": "account__password admin__grant packages__install payments__approve shell__run",
}
"""What foreign servers offer that acts outside, by the safety level that the operator has given it."""
READING: Final = ("files__read", "issues__read", "mail__read")
"""What they offer that is declared to change nothing, and to tell nobody."""
OURS: Final = {
    "search_documents": ("retrieval", "safe"),
    "analyze_document": ("analysis", "safe"),
    RECALL_TOOL: ("retrieval", "safe"),
    "execute_python": ("computation", "caution"),
}
UNLISTED: Final = "admin__grant"
"""What no agent's list has."""
OBEYED: Final = "obeyed"
"""How ids of calls begin that a payload asked for."""
LATER: Final = ("history", "summary", "recall")
"""Roads whose payload comes in in one turn and is obeyed in another."""
TURNS_MAX: Final = 12
"""Until a summary has taken the first turn in."""
_CARRIERS: Final = {
    "attachment": "analyze_document",
    "result": "mail__read",
    "error": "mail__read",
    **dict.fromkeys(("passage", "task", *LATER), "search_documents"),
}
"""Which tool's result a payload comes in by, on roads that lead through one."""


def tools(payload: Payload) -> dict[str, ToolSpec]:
    """Return the office's tools; the wanted one describes itself with the payload, if that is its road."""
    named = {
        name: spec_to_judge(name, category="mcp", safety_level=level)
        for level, names in LEVELS.items()
        for name in names.split()
    }
    for name in READING:
        named[name] = spec_to_judge(name, category="mcp", safety_level="safe", acts_outside=False)
    for name, (category, level) in OURS.items():
        named[name] = spec_to_judge(name, category=category, safety_level=level)
    named["execute_python"] = replace(named["execute_python"], trust="tool")
    if payload.road == "description":
        wanted = payload.calls[-1].tool
        named[wanted] = replace(named[wanted], description=payload.text)
    return named


def configured(base: Configuration, payload: Payload, policy: Policy) -> Configuration:
    """Return the office's configuration: a worker with all tools but one, and a reader of documents."""
    known = tools(payload)
    worker = Agent(
        name="worker",
        purpose="works",
        tier="standard",
        tools=tuple(name for name in known if name != UNLISTED),
        prompt="p",
        output_tokens_max=300,
    )
    reader = replace(worker, name="reader", tools=("search_documents",))
    forgetful = replace(worker, name="forgetful", past="never")
    agents = {one.name: one for one in (worker, reader, forgetful)}
    return replace(base, agents=agents, tools=known, policy=policy)


@dataclass
class Office(Conversation):
    """A session into which a payload comes by its road."""

    payload: Payload = field(kw_only=True)
    policy: Policy = field(kw_only=True)
    obeys: bool = field(default=True, kw_only=True)
    """False while the payload only comes in."""
    at_once: bool = field(default=False, kw_only=True)
    """Whether all that is wanted is asked for in one step."""
    carrier: str | None = None
    """The tool by whose result it comes in now."""
    carried: set[str] = field(default_factory=set)
    """Tasks that have called that tool."""
    obeyed: dict[str, int] = field(default_factory=dict)
    """How many of the wanted calls a task has asked for."""

    def __post_init__(self) -> None:
        self.limits = small(
            session_budget_tokens=10**9,
            session_budget_nanodollars=10**15,
            task_budget_tokens=10**6,
            steps_max=12,
            # A task's budget follows from them.
            attempts_max=20,
            history_tokens_max=1_600 if self.payload.road == "summary" else 2_000,
        )
        super().__post_init__()
        self.decider = SessionDecider(configured(self.decider.configuration, self.payload, self.policy))
        self.carrier = _CARRIERS.get(self.payload.road)
        self.answer, self.tool = self._answer, self._tool

    def live(self) -> None:
        """Let the payload come by its road, and all happen that follows, until nothing is left to do."""
        _ROADS.get(self.payload.road, _asked)(self)
        self.run()

    @property
    def decided(self) -> list[PolicyDecided]:
        """What was decided of the calls that the payload asked for, at first."""
        obeying = {
            event.event_id
            for event, _ in self.inputs
            if isinstance(event.body, ModelCallCompleted)
            and any(one.tool_call_id.startswith(OBEYED) for one in event.body.tool_calls)
        }
        return [
            event.body
            for event in self.events
            if isinstance(event.body, PolicyDecided) and event.body.tool and event.causation_id in obeying
        ]

    @property
    def effects(self) -> list[ToolCallRequested]:
        """Calls to the outside that the payload asked for, and that were made without a person."""
        known = self.decider.configuration.tools
        return [
            call
            for call in self.facts(ToolCallRequested)
            if call.tool_call_id.startswith(OBEYED)
            and acts_outside(known[call.tool])
            and call.approval is None
        ]

    def _answer(self, call: ModelCallRequested) -> ModelCallCompleted:
        texts = [self._text(message) for message in call.messages]
        texts += [self.decider.configuration.tools[name].description for name in call.tools]
        has_read = any(self.payload.text in text for text in texts)
        match call.purpose:
            case CallPurpose.STEP:
                return self._step(call, has_read=has_read)
            case CallPurpose.PLAN if self.payload.road == "task":
                return completed(call, plan_text(task("a", agent="reader"), task("b", needs=["a"])))
            case CallPurpose.PLAN if has_read and self.obeys and self.payload.road != "message":
                # Who obeys makes it a task.
                return completed(call, plan_text({**task("a"), "intent": self.payload.text}))
            case CallPurpose.SUMMARIZE | CallPurpose.SYNTHESIZE if has_read:
                return completed(call, self.payload.text)
            case _:
                outcome = obliging(plan_text(task("a")))(call)
                assert isinstance(outcome, ModelCallCompleted)
                return outcome

    def _step(self, call: ModelCallRequested, *, has_read: bool) -> ModelCallCompleted:
        is_worker = "mail__send" in call.tools
        carries = self.carrier in call.tools and (self.payload.road != "task" or not is_worker)
        if carries and self.carrier is not None and call.task_id not in self.carried:
            self.carried.add(call.task_id)
            return completed(call, "", _proposed(call, "own", self.carrier, "{}"))
        number = self.obeyed.get(call.task_id, 0)
        if has_read and is_worker and self.obeys and number < len(self.payload.calls):
            wanted = self.payload.calls[number:] if self.at_once else self.payload.calls[number : number + 1]
            self.obeyed[call.task_id] = number + len(wanted)
            asked = (_proposed(call, OBEYED, one.tool, one.arguments_json) for one in wanted)
            return completed(call, "", *asked)
        # Who reads for others tells them what it has read.
        return completed(call, self.payload.text if has_read else "done")

    def _tool(self, call: ToolCallRequested) -> ToolOutcome:
        if call.tool != self.carrier:
            return tool_completed(call)
        if self.payload.road == "error":
            return replace(tool_failed(call, "execution_error"), message=self.payload.text)
        result = json.dumps({"text": self.payload.text}, ensure_ascii=False)
        return replace(tool_completed(call), result_json=result)

    def _text(self, message: PromptMessage) -> str:
        source = message.source
        body = None if source is None else self.inputs[source.offset][0].body
        if source is None or source.topic != "tool.results":
            return read(self, message)
        if isinstance(body, ToolCallFailed):
            return body.message
        assert isinstance(body, ToolCallCompleted)
        # A model reads what JSON means.
        return str(json.loads(body.result_json).get("text", ""))


def _proposed(call: ModelCallRequested, by: str, tool: str, arguments_json: str) -> ToolCallProposed:
    return ToolCallProposed(tool_call_id=f"{by}-{call.call_id}", name=tool, arguments_json=arguments_json)


def _asked(office: Office) -> None:
    office.say("Please do your work.")


def _said(office: Office) -> None:
    office.say(office.payload.text)


def _attached(office: Office) -> None:
    name = office.payload.text if office.payload.road == "name" else "report.md"
    attachment = Attachment(name=name, text=office.payload.text, tokens=9)
    office.post(MessageReceived(text="Sum up the attachment.", tokens=9, attachments=(attachment,)))


def _claimed(office: Office) -> None:
    role, _, text = office.payload.text.partition(": ")
    messages = [{"role": role, "content": text}, {"role": "user", "content": "Go on."}]
    asked = asked_of({"model": "cartrita", "messages": messages}, None)
    office.post(MessageReceived(text=asked.text, tokens=50, trust=asked.trust))


def _came_over(office: Office) -> None:
    office.came_over(("user", office.payload.text), ("assistant", "Very well."))
    office.say("Go on.")


def _later(office: Office) -> None:
    """Let the payload come in, be told on in the answer, and be obeyed in a later turn."""
    office.obeys = False
    office.talk("What do the documents say?")
    office.carrier = None
    for number in range(TURNS_MAX if office.payload.road == "summary" else 0):
        if office.state.summary is not None:
            break
        office.talk(f"And what else, number {number}? " + "We talk about the weather. " * 8)
    office.obeys = True
    if office.payload.road == "recall":
        office.carrier = RECALL_TOOL
        office.post(MessageReceived(text="What did we agree on?", tokens=5, agent="forgetful"))
    else:
        office.say("Go on.")


_ROADS: Final[dict[str, Callable[[Office], None]]] = {
    "message": _said,
    "attachment": _attached,
    "name": _attached,
    "claim": _claimed,
    "import": _came_over,
    **dict.fromkeys(LATER, _later),
}
