"""A deterministic world around the session decider: models and tools that answer in a seeded order.

It is the shells' twin without Kafka: records have places, calls are answered by functions, time is a
number, and every input is kept, so that it can be decided again.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Self, TypeVar

from processors.outcomes import Outcome
from processors.session import SessionDecider
from processors.state import SessionState
from schemas.configuration import (
    Agent,
    ChatModel,
    Configuration,
    EmbeddingModel,
    Limits,
    Models,
    Policy,
    PolicyRule,
    ToolSpec,
)
from schemas.envelope import Envelope, Fact, Versions
from schemas.events.inputs import MessageReceived
from schemas.events.models import (
    FinishReason,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
    ModelFailureKind,
    ToolCallProposed,
    UsageSource,
)
from schemas.events.outputs import ApprovalRequested
from schemas.events.timers import TimerFired
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested, ToolFailureKind
from schemas.ids import derived_id, outcome_id
from schemas.references import RecordReference
from tests.approving import APPROVERS, decision
from topics.catalog import topic_of

SESSION = "00000000-0000-4000-8000-000000000001"

T = TypeVar("T")

ModelOutcome = ModelCallCompleted | ModelCallFailed
ToolOutcome = ToolCallCompleted | ToolCallFailed
Answering = Callable[[ModelCallRequested], ModelOutcome]
Tooling = Callable[[ToolCallRequested], ToolOutcome]

MODELS = Models(
    dated="2025-01-20",
    chat=(
        ChatModel(
            name="gpt-4o",
            tier="premium",
            input_nanodollars=2_500,
            output_nanodollars=10_000,
            context_tokens=128_000,
            encoding="o200k_base",
        ),
        ChatModel(
            name="gpt-4o-mini",
            tier="standard",
            input_nanodollars=150,
            output_nanodollars=600,
            context_tokens=128_000,
            encoding="o200k_base",
        ),
        ChatModel(
            name="gpt-3.5-turbo",
            tier="fallback",
            input_nanodollars=500,
            output_nanodollars=1_500,
            context_tokens=16_000,
            encoding="cl100k_base",
        ),
    ),
    embedding=EmbeddingModel(
        name="text-embedding-3-large",
        input_nanodollars=130,
        dimensions=1_536,
        input_tokens_max=8_191,
        encoding="cl100k_base",
    ),
)


def tool_spec(
    name: str,
    safety_level: str = "safe",
    tokens_max: int = 0,
    *,
    idempotent: bool = True,
    acts_outside: bool = False,
) -> ToolSpec:
    """Describe a tool of this world; its results are those of documents."""
    return ToolSpec(
        name=name,
        version="1.0.0",
        description=f"{name} for tests",
        category="test",
        safety_level=safety_level,
        complexity_score=3,
        resource_intensity="light",
        parameters_json="{}",
        result_schema_json="{}",
        idempotent=idempotent,
        tokens_max=tokens_max,
        tokens_min=min(100, tokens_max),
        nanodollars_per_token=600 if tokens_max else 0,
        timeout_ms=1_000,
        acts_outside=acts_outside,
    )


def configuration(limits: Limits | None = None, tools: Iterable[ToolSpec] = ()) -> Configuration:
    """Return the configuration of this world; `tools` stand in the place of those of their names."""
    agents = {
        name: Agent(
            name=name, purpose="works", tier="standard", tools=tools, prompt="p", output_tokens_max=300
        )
        for name, tools in (("worker", ("look", "buy", "analyze", "guarded")), ("writer", ()))
    }
    agents["finder"] = replace(agents["worker"], name="finder", answers_with="tool")
    rules = (
        PolicyRule(name="listed", decision="deny", reason="not listed", unless_listed=True),
        PolicyRule(name="ask", decision="escalate", reason="ask a person", safety_levels=("restricted",)),
        PolicyRule(name="slow", decision="throttle", reason="often", calls_above=3),
        PolicyRule(name="safe", decision="allow", reason="safe", safety_levels=("safe",)),
        PolicyRule(name="care", decision="audit", reason="care", safety_levels=("caution",)),
    )
    return Configuration(
        models=MODELS,
        agents=agents,
        prompts={role: f"Role: {role}" for role in ("planner", "critic", "synthesizer", "summarizer")},
        tools={
            "look": tool_spec("look"),
            "buy": tool_spec("buy", "caution", idempotent=False, acts_outside=True),
            "analyze": tool_spec("analyze", tokens_max=1_500),
            "guarded": tool_spec("guarded", "restricted"),
            **{spec.name: spec for spec in tools},
        },
        policy=Policy(rules=rules, approvers=APPROVERS),
        limits=limits or Limits(),
        versions=Versions(limits="x"),
    )


def plan_text(*tasks: dict[str, object]) -> str:
    """Write a plan as a model would."""
    return json.dumps({"tasks": list(tasks)})


def task(key: str, *, needs: Iterable[str] = (), agent: str = "worker", **more: object) -> dict[str, object]:
    """Write a task of a plan; `needs` are the keys that it depends on."""
    edges = [{"relation": "depends_on", "task": other} for other in needs]
    return {"key": key, "intent": f"do {key}", "agent": agent, "edges": edges, **more}


def completed(call: ModelCallRequested, text: str, *tools: ToolCallProposed) -> ModelCallCompleted:
    """Answer a model call; it uses a third of its reservation."""
    input_tokens = call.input_tokens_max // 3
    output_tokens = call.output_tokens_max // 3
    model = next(model for model in MODELS.chat if model.name == call.model)
    return ModelCallCompleted(
        call_id=call.call_id,
        task_id=call.task_id,
        purpose=call.purpose,
        agent=call.agent,
        model=call.model,
        text=text,
        tool_calls=tools,
        finish_reason=FinishReason.TOOL_CALLS if tools else FinishReason.STOP,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        usage_source=UsageSource.PROVIDER,
        cost_nanodollars=input_tokens * model.input_nanodollars + output_tokens * model.output_nanodollars,
        attempts=1,
        latency_ms=5,
    )


def failed(
    call: ModelCallRequested,
    kind: str,
    *,
    retryable: bool = True,
    maybe_billed: bool = False,
    counted: int = 0,
) -> ModelCallFailed:
    """Fail a model call."""
    return ModelCallFailed(
        call_id=call.call_id,
        task_id=call.task_id,
        purpose=call.purpose,
        agent=call.agent,
        model=call.model,
        kind=ModelFailureKind(kind),
        message=f"it was {kind}",
        retryable=retryable,
        maybe_billed=maybe_billed,
        prompt_tokens_counted=counted,
        attempts=1,
        latency_ms=5,
    )


def tool_completed(call: ToolCallRequested) -> ToolCallCompleted:
    """Answer a tool call; it uses half of its reservation."""
    return ToolCallCompleted(
        call_id=call.call_id,
        task_id=call.task_id,
        tool_call_id=call.tool_call_id,
        agent=call.agent,
        tool=call.tool,
        tool_version=call.tool_version,
        result_json='{"found": true}',
        result_tokens=12,
        used_tokens=call.reserved_tokens // 2,
        cost_nanodollars=call.reserved_nanodollars // 2,
        attempts=1,
        latency_ms=3,
    )


def tool_failed(call: ToolCallRequested, kind: str, *, maybe_effected: bool = False) -> ToolCallFailed:
    """Fail a tool call."""
    return ToolCallFailed(
        call_id=call.call_id,
        task_id=call.task_id,
        tool_call_id=call.tool_call_id,
        agent=call.agent,
        tool=call.tool,
        tool_version=call.tool_version,
        kind=ToolFailureKind(kind),
        message=f"it was {kind}",
        retryable=False,
        maybe_effected=maybe_effected,
        attempts=1,
        latency_ms=3,
    )


def obliging(plan: str, *, score: float = 0.9, tools: Iterable[str] = ()) -> Answering:
    """Return a model that plans `plan`, praises it, calls each tool once per task, and answers."""
    called: set[str] = set()

    def answer(call: ModelCallRequested) -> ModelCallCompleted:
        match call.purpose:
            case "plan":
                return completed(call, plan)
            case "critique":
                return completed(call, json.dumps({"score": score, "remarks": "split it."}))
            case "step" if call.task_id not in called and tools:
                called.add(call.task_id)
                proposals = [
                    ToolCallProposed(tool_call_id=f"{call.call_id}-{name}", name=name, arguments_json="{}")
                    for name in tools
                ]
                return completed(call, "", *proposals)
            case _:
                return completed(call, f"text of {call.task_id}")

    return answer


@dataclass
class World:
    """One session and what is around it."""

    answer: Answering
    tool: Tooling = tool_completed
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    tools: tuple[ToolSpec, ...] = ()
    """In place of those of their names."""
    now_ms: int = 1_000_000
    session_id: str = SESSION
    inputs: list[tuple[Envelope, RecordReference]] = field(default_factory=list)
    events: list[Envelope] = field(default_factory=list)
    open_calls: list[Envelope] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.decider = SessionDecider(configuration(self.limits, self.tools))
        self.state: SessionState = self.decider.initial(self.session_id)
        self.random = Random(self.seed)

    def say(
        self,
        text: str = "please do it",
        *,
        budget_tokens: int | None = None,
        budget_nanodollars: int | None = None,
    ) -> Envelope:
        """Post a message."""
        return self.post(
            MessageReceived(
                text=text,
                tokens=len(text),
                budget_tokens=budget_tokens,
                budget_nanodollars=budget_nanodollars,
            )
        )

    def decide(self, asked: ApprovalRequested, *, approved: bool = True, by: str = "olga") -> Envelope:
        """Decide a request, as an approver of all tenants."""
        return self.post(decision(asked, approved=approved, by=by), sender=("*", by))

    def post(
        self,
        body: Fact,
        *,
        input_id: str | None = None,
        causation_id: str | None = None,
        correlation_id: str | None = None,
        sender: tuple[str, str] = ("default", "anonymous"),
    ) -> Envelope:
        """Apply one input at the next place of its topic; the sender is a tenant and a user."""
        number = len(self.inputs)
        event = Envelope(
            event_id=input_id or self._input_id(body, number),
            type=type(body).__name__,
            session_id=self.session_id,
            tenant_id=sender[0],
            user_id=sender[1],
            causation_id=causation_id,
            correlation_id=correlation_id,
            occurred_at_ms=self.now_ms,
            producer="world",
            body=body,
        )
        self.apply(event)
        return event

    def _input_id(self, body: Fact, number: int) -> str:
        if isinstance(body, Outcome):
            return outcome_id(body.call_id)
        return derived_id(self.session_id, "input", str(number))

    def apply(self, event: Envelope) -> tuple[Envelope, ...]:
        """Apply an input, as the shell would."""
        place = RecordReference(
            topic=topic_of(event.body).name,
            partition=0,
            offset=len(self.inputs),
            event_id=event.event_id,
            tokens=0,
        )
        self.inputs.append((event, place))
        step = self.decider.advance(self.state, event, place)
        self.state = step.state
        self.events += step.events
        calls = (ModelCallRequested, ToolCallRequested)
        self.open_calls += [caused for caused in step.events if isinstance(caused.body, calls)]
        return step.events

    def run(self, steps_max: int = 2_000) -> Self:
        """Answer calls and fire timers, in a seeded order, until nothing is left to do."""
        for _ in range(steps_max):
            if self.open_calls:
                call = self.open_calls.pop(self.random.randrange(len(self.open_calls)))
                self.now_ms += 10
                self.reply(call)
            elif not self.fire_next_timer():
                return self
        raise AssertionError("the session never comes to rest")

    def fire_next_timer(self) -> bool:
        """Let time pass to the next timer of the session's work; false when it waits for none."""
        waiting = [timer for timer in self.decider.timers(self.state) if timer.kind != "idle"]
        timers = sorted(waiting, key=lambda timer: (timer.due_at_ms, timer.timer_id))
        if not timers:
            return False
        first = timers[0]
        self.now_ms = max(self.now_ms, first.due_at_ms)
        self.post(
            TimerFired(timer_id=first.timer_id, kind=first.kind, due_at_ms=first.due_at_ms),
            input_id=derived_id(first.timer_id, "fired"),
        )
        return True

    def facts(self, kind: type[T]) -> list[T]:
        """Return the facts of a kind, in order."""
        return [event.body for event in self.events if isinstance(event.body, kind)]

    def reply(self, call: Envelope) -> None:
        """Give one call its outcome."""
        match call.body:
            case ModelCallRequested():
                outcome: Fact = self.answer(call.body)
            case ToolCallRequested():
                outcome = self.tool(call.body)
            case _:
                raise AssertionError
        self.post(
            outcome,
            causation_id=call.event_id,
            correlation_id=call.correlation_id,
        )


def decided_again(world: World) -> list[Envelope]:
    """Decide all of a world's inputs anew, with the state written and read in between."""
    state = world.decider.initial(world.session_id)
    events: list[Envelope] = []
    for event, place in world.inputs:
        step = world.decider.advance(world.decider.decode(world.decider.encode(state)), event, place)
        state = step.state
        events += step.events
    return events


def small(**more: int | float | str) -> Limits:
    """Return limits with some of them changed."""
    return replace(Limits(), **more)  # type: ignore[arg-type]  # each test names a field of its type
