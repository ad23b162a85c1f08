"""What of events stands in OpenTelemetry spans, and by which names: one table, which docs/traces.md shows.

Names are those of the OpenTelemetry semantic conventions, version 1.44.0, where these have one; the GenAI
part of them is still in development, so the version is pinned. All others begin with `cartrita.`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.events.budgets import BudgetDownshifted, BudgetExhausted, BudgetWarned, ReservationExceeded
from schemas.events.client_calls import ClientCallAnswered, ClientCallFailed, ClientCallReceived
from schemas.events.inputs import MessageReceived
from schemas.events.models import ModelCallCancelled, ModelCallCompleted, ModelCallFailed, ModelCallRequested
from schemas.events.outputs import (
    AnswerGiven,
    ApprovalClosed,
    ApprovalRequested,
    ErrorReported,
    OutcomeAsked,
    TurnStarted,
)
from schemas.events.plans import PlanAccepted, PlanCriticised, PlanProposed, PlanRejected
from schemas.events.policies import PolicyDecided
from schemas.events.tasks import (
    CallGivenUp,
    CallRetried,
    TaskAborted,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskPruned,
    TaskRetried,
    TaskStalled,
    TaskStarted,
)
from schemas.events.tools import ToolCallCancelled, ToolCallCompleted, ToolCallFailed, ToolCallRequested

VERSION: Final = "1.44.0"
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{VERSION}"
WORKFLOW: Final = "cartrita"
PROVIDER: Final = "openai"
"""Whose API is spoken; which provider answers by it, the log does not say."""


class Form(StrEnum):
    """Kinds of spans."""

    TURN = "turn"
    """A message until its answer; the root of a trace."""
    CLIENT_CALL = "client call"
    """A client's single call of a model; the root of a trace."""
    PLAN = "plan"
    """The first model call of a turn's planning until the last."""
    TASK = "task"
    MODEL_CALL = "model call"
    TOOL_CALL = "tool call"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanForm:
    """How spans of a kind look."""

    form: Form
    operation: str
    """gen_ai.operation.name; empty: the conventions know none."""
    name: str
    """Behind the operation in the span's name: a field of the first event, or a constant in quotes."""
    kind: str
    """As OpenTelemetry names kinds of spans."""
    begins: tuple[type, ...]
    ends: tuple[type, ...]
    parent: str
    """For people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A field of an event that becomes an attribute, of the event's span or of a span event."""

    fact: type
    field: str
    name: str
    is_content: bool = False
    """True: a person's or a model's words, so that it is left out unless it is asked for."""


SPANS: Final = (
    SpanForm(
        form=Form.TURN,
        operation="invoke_workflow",
        name=f"'{WORKFLOW}'",
        kind="SERVER",
        begins=(MessageReceived, TurnStarted),
        ends=(AnswerGiven, TaskFailed, TaskAborted),
        parent="the sender's traceparent, or none",
    ),
    SpanForm(
        form=Form.CLIENT_CALL,
        operation="invoke_workflow",
        name="'client call'",
        kind="SERVER",
        begins=(ClientCallReceived,),
        ends=(ClientCallAnswered, ClientCallFailed),
        parent="likewise",
    ),
    SpanForm(
        form=Form.PLAN,
        operation="",
        name="'plan'",
        kind="INTERNAL",
        begins=(ModelCallRequested,),
        ends=(PlanAccepted, PlanRejected, CallGivenUp),
        parent="the turn",
    ),
    SpanForm(
        form=Form.TASK,
        operation="invoke_agent",
        name="agent",
        kind="INTERNAL",
        begins=(TaskCreated, TaskStarted),
        ends=(TaskCompleted, TaskFailed, TaskPruned, TaskAborted),
        parent="the turn; links to the tasks that it has relations to",
    ),
    SpanForm(
        form=Form.MODEL_CALL,
        operation="chat",
        name="model",
        kind="CLIENT",
        begins=(ModelCallRequested,),
        ends=(ModelCallCompleted, ModelCallFailed),
        parent="its task; of planning the plan; else the turn. A link to the call whose outcome caused it",
    ),
    SpanForm(
        form=Form.TOOL_CALL,
        operation="execute_tool",
        name="tool",
        kind="INTERNAL",
        begins=(ToolCallRequested,),
        ends=(ToolCallCompleted, ToolCallFailed),
        parent="its task. A link to the model call that asked for it",
    ),
)
BY_FORM: Final = {one.form: one for one in SPANS}


def _of(fact: type, **names: str) -> tuple[Attribute, ...]:
    return tuple(Attribute(fact=fact, field=field, name=name) for field, name in names.items())


def _content(fact: type, **names: str) -> tuple[Attribute, ...]:
    return tuple(
        Attribute(fact=fact, field=field, name=name, is_content=True) for field, name in names.items()
    )


ATTRIBUTES: Final = (
    *_of(TurnStarted, turn="cartrita.turn", task_id="cartrita.task.id"),
    *_of(
        AnswerGiven,
        complete="cartrita.answer.complete",
        reason="cartrita.answer.reason",
        tokens="cartrita.usage.tokens",
        cost_nanodollars="cartrita.usage.cost_nanodollars",
    ),
    *_content(MessageReceived, text="gen_ai.input.messages"),
    *_content(AnswerGiven, text="gen_ai.output.messages"),
    *_of(ClientCallReceived, model="gen_ai.request.model", route="cartrita.client.route"),
    *_of(
        ClientCallAnswered,
        model="gen_ai.response.model",
        finish_reason="gen_ai.response.finish_reasons",
        input_tokens="gen_ai.usage.input_tokens",
        output_tokens="gen_ai.usage.output_tokens",
        cost_nanodollars="cartrita.usage.cost_nanodollars",
    ),
    *_of(ClientCallFailed, kind="error.type", cost_nanodollars="cartrita.usage.cost_nanodollars"),
    *_of(
        TaskCreated,
        task_id="cartrita.task.id",
        parent_id="cartrita.task.parent_id",
        agent="gen_ai.agent.name",
        priority="cartrita.task.priority",
        budget_tokens="cartrita.task.budget_tokens",
    ),
    *_content(TaskCreated, intent="cartrita.task.intent"),
    *_of(
        TaskCompleted,
        actual_tokens="cartrita.usage.tokens",
        cost_nanodollars="cartrita.usage.cost_nanodollars",
        steps="cartrita.task.steps",
    ),
    *_of(
        TaskFailed,
        error_kind="error.type",
        attempt="cartrita.attempt",
        actual_tokens="cartrita.usage.tokens",
        cost_nanodollars="cartrita.usage.cost_nanodollars",
    ),
    *_of(TaskPruned, task_id="cartrita.task.id", reason="error.type"),
    *_of(TaskAborted, task_id="cartrita.task.id"),
    *_of(TaskRetried, attempt="cartrita.attempt", delay_ms="cartrita.delay_ms", error_kind="error.type"),
    *_of(TaskStalled, silent_ms="cartrita.silent_ms"),
    *_of(
        ModelCallRequested,
        call_id="cartrita.call.id",
        purpose="cartrita.call.purpose",
        agent="gen_ai.agent.name",
        model="gen_ai.request.model",
        temperature="gen_ai.request.temperature",
        output_tokens_max="gen_ai.request.max_tokens",
        reserved_tokens="cartrita.call.reserved_tokens",
        reserved_nanodollars="cartrita.call.reserved_nanodollars",
    ),
    *_content(ModelCallRequested, messages="gen_ai.input.messages"),
    *_of(
        ModelCallCompleted,
        model="gen_ai.response.model",
        finish_reason="gen_ai.response.finish_reasons",
        input_tokens="gen_ai.usage.input_tokens",
        output_tokens="gen_ai.usage.output_tokens",
        cost_nanodollars="cartrita.usage.cost_nanodollars",
        attempts="cartrita.call.attempts",
        latency_ms="cartrita.call.latency_ms",
        first_token_ms="cartrita.call.first_token_ms",  # noqa: S106  # a token is no password here
        local="cartrita.call.local",
    ),
    *_content(ModelCallCompleted, text="gen_ai.output.messages"),
    *_of(
        ModelCallFailed,
        kind="error.type",
        input_tokens="gen_ai.usage.input_tokens",
        output_tokens="gen_ai.usage.output_tokens",
        cost_nanodollars="cartrita.usage.cost_nanodollars",
        attempts="cartrita.call.attempts",
        latency_ms="cartrita.call.latency_ms",
        maybe_billed="cartrita.call.maybe_billed",
    ),
    *_of(
        ToolCallRequested,
        call_id="cartrita.call.id",
        tool="gen_ai.tool.name",
        tool_call_id="gen_ai.tool.call.id",
        agent="gen_ai.agent.name",
        tool_version="cartrita.tool.version",
        idempotent="cartrita.tool.idempotent",
    ),
    *_content(ToolCallRequested, arguments_json="gen_ai.tool.call.arguments"),
    *_of(
        ToolCallCompleted,
        used_tokens="cartrita.usage.tokens",
        cost_nanodollars="cartrita.usage.cost_nanodollars",
        attempts="cartrita.call.attempts",
        latency_ms="cartrita.call.latency_ms",
    ),
    *_content(ToolCallCompleted, result_json="gen_ai.tool.call.result"),
    *_of(
        ToolCallFailed,
        kind="error.type",
        attempts="cartrita.call.attempts",
        latency_ms="cartrita.call.latency_ms",
        maybe_effected="cartrita.tool.maybe_effected",
    ),
    *_of(
        PolicyDecided,
        decision="cartrita.policy.decision",
        rule="cartrita.policy.rule",
        reason="cartrita.policy.reason",
        agent="gen_ai.agent.name",
        call_id="cartrita.call.id",
    ),
    *_of(PlanProposed, revision="cartrita.plan.revision", estimated_tokens="cartrita.plan.estimated_tokens"),
    *_of(PlanCriticised, revision="cartrita.plan.revision", score="cartrita.plan.score"),
    *_of(PlanRejected, revision="cartrita.plan.revision", reason="error.type"),
    *_of(PlanAccepted, revision="cartrita.plan.revision", reason="cartrita.plan.accepted_for"),
    *_of(CallRetried, attempt="cartrita.attempt", error_kind="error.type", delay_ms="cartrita.delay_ms"),
    *_of(CallGivenUp, attempt="cartrita.attempt", error_kind="error.type"),
    *_of(ModelCallCancelled, call_id="cartrita.call.id"),
    *_of(ToolCallCancelled, call_id="cartrita.call.id"),
    *_of(
        ApprovalRequested,
        approval_id="cartrita.approval.id",
        tool="gen_ai.tool.name",
        rule="cartrita.policy.rule",
    ),
    *_of(ApprovalClosed, approval_id="cartrita.approval.id", end="cartrita.approval.end"),
    *_of(OutcomeAsked, call_id="cartrita.call.id", tool="gen_ai.tool.name", kind="error.type"),
    *_of(
        BudgetDownshifted,
        from_model="cartrita.budget.from_model",
        to_model="gen_ai.request.model",
        share_left="cartrita.budget.share_left",
    ),
    *_of(BudgetExhausted, scope="cartrita.budget.scope", purpose="cartrita.call.purpose"),
    *_of(BudgetWarned, share_used="cartrita.budget.share_used"),
    *_of(
        ReservationExceeded,
        tokens_reserved="cartrita.call.reserved_tokens",
        tokens_used="cartrita.usage.tokens",
    ),
    *_of(ErrorReported, code="error.type"),
)

OF_SPANS: Final = frozenset(fact.__name__ for one in SPANS for fact in (*one.begins, *one.ends))
"""Types of events that begin or end spans."""
SPAN_EVENTS: Final = (
    TurnStarted,
    PlanProposed,
    PlanCriticised,
    PlanRejected,
    PlanAccepted,
    PolicyDecided,
    ApprovalRequested,
    ApprovalClosed,
    OutcomeAsked,
    TaskRetried,
    TaskStalled,
    TaskPruned,
    TaskAborted,
    CallRetried,
    CallGivenUp,
    ModelCallCancelled,
    ToolCallCancelled,
    BudgetWarned,
    BudgetDownshifted,
    BudgetExhausted,
    ReservationExceeded,
    ErrorReported,
)
"""What stands as an event in the span of what it is about: a call, a plan, a task or else the turn."""
TYPES: Final = tuple(sorted(OF_SPANS | {one.__name__ for one in SPAN_EVENTS}))
"""All types that a trace is made of."""


def of_type(name: str) -> tuple[Attribute, ...]:
    """Return the attributes that an event of a type has."""
    return _BY_TYPE.get(name, ())


def markdown() -> str:
    """Return the tables of docs/traces.md."""
    lines = ["| span | name | kind | begins with | ends with | parent |", "|---|---|---|---|---|---|"]
    for one in SPANS:
        title = " ".join(
            filter(None, (one.operation, f"*{one.name}*" if one.name[0] != "'" else one.name[1:-1]))
        )
        begins, ends = _named(one.begins), _named(one.ends)
        lines.append(f"| {one.form} | `{title}` | {one.kind} | {begins} | {ends} | {one.parent} |")
    lines += ["", "| event | field | attribute | words |", "|---|---|---|---|"]
    for attribute in ATTRIBUTES:
        words = "`--content` alone" if attribute.is_content else ""
        lines.append(f"| {attribute.fact.__name__} | `{attribute.field}` | `{attribute.name}` | {words} |")
    return "\n".join(lines) + "\n"


def _named(facts: tuple[type, ...]) -> str:
    return ", ".join(one.__name__ for one in facts)


_BY_TYPE: Final = {
    name: tuple(one for one in ATTRIBUTES if one.fact.__name__ == name)
    for name in dict.fromkeys(one.fact.__name__ for one in ATTRIBUTES)
}
