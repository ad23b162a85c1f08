"""A session's events as OpenTelemetry spans, the same whenever and by whomever they are made.

Nothing is measured here: spans begin and end with events, and their ids follow from what they are of. A turn
is a trace of its own, since sessions may last for months.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from schemas.ids import derived_id
from schemas.trace_context import parsed
from sinks import span_content
from sinks.span_conventions import BY_FORM, PROVIDER, SPAN_EVENTS, WORKFLOW, Form, of_type
from sinks.span_source import LoggedEvent

_EMBEDDINGS: Final = "embeddings"
"""Route of the front door, and operation of the conventions."""
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")
_NOTED: Final = frozenset(one.__name__ for one in SPAN_EVENTS)
Value = str | bool | int | float | Sequence[str]
"""Of an attribute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanEvent:
    """Something that happened while a span lasted."""

    name: str
    at: datetime
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Another span that had a part in one."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, Value]


@dataclass(slots=True, kw_only=True)
class Span:
    """One span; ids are in hexadecimal digits, 32 of the trace's and 16 of a span's."""

    form: Form
    trace_id: str
    span_id: str
    parent_id: str = ""
    """Empty: it is the root."""
    name: str
    begun_at: datetime
    ended_at: datetime | None = None
    error: str = ""
    """A word for what went wrong; empty: nothing did."""
    attributes: dict[str, Value] = field(default_factory=dict)
    events: list[SpanEvent] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)


def spans_of(session_id: str, events: Sequence[LoggedEvent], *, content: bool = False) -> list[Span]:
    """Return a session's spans, those that began first before the others.

    Args:
        session_id: stands in each of them.
        events: in their order.
        content: with what people, models and tools said.
    """
    made = _Spans(session_id, {one.event_id: one for one in events}, content=content)
    for event in events:
        made.take(event)
    return made.finished(events[-1].occurred_at if events else None)


class _Spans:
    def __init__(self, session_id: str, events: Mapping[UUID, LoggedEvent], *, content: bool) -> None:
        self._session_id = session_id
        self._by_id = events
        self._content = content
        self._turns: dict[str, Span] = {}
        """By the event id of the message or client's call."""
        self._roots: dict[str, Span] = {}
        """Turns by the id of their root task."""
        self._plans: dict[str, Span] = {}
        """By their own id."""
        self._tasks: dict[str, Span] = {}
        self._created: dict[str, LoggedEvent] = {}
        """Tasks by id, as they were created."""
        self._calls: dict[str, Span] = {}
        self._of_event: dict[UUID, Span] = {}
        """Spans by the event that ended them, so that what it caused is linked with them."""
        self._early: dict[str, list[tuple[SpanEvent, Span]]] = {}
        """By call, what was said of it before it began, and where that stands."""
        self._all: list[Span] = []

    def take(self, event: LoggedEvent) -> None:
        """Apply the next event."""
        match event.type:
            case "MessageReceived" | "ClientCallReceived":
                self._begin_trace(event)
            case "TurnStarted":
                turn = self._turns.get(_text(event, "input_id"))
                if turn is not None:
                    self._roots[_text(event, "task_id")] = turn
            case "TaskCreated":
                self._created[_text(event, "task_id")] = event
                if event.body.get("started") is True:
                    self._begin_task(event)
            case "TaskStarted":
                self._begin_task(event)
            case "ModelCallRequested":
                self._begin_call(event, Form.MODEL_CALL)
            case "ToolCallRequested":
                self._begin_call(event, Form.TOOL_CALL)
            case "ModelCallCompleted" | "ModelCallFailed" | "ToolCallCompleted" | "ToolCallFailed":
                self._end(self._calls.get(_text(event, "call_id")), event)
            case "AnswerGiven" | "ClientCallAnswered" | "ClientCallFailed":
                self._end(self._turns.get(_text(event, "input_id")), event)
            case "TaskCompleted" | "TaskFailed" | "TaskPruned" | "TaskAborted":
                self._end_task(event)
            case "PlanAccepted" | "PlanRejected" | "PlanProposed" | "PlanCriticised":
                plan = self._plan_of(event)
                if plan is not None:
                    plan.ended_at = event.occurred_at
            case _:
                pass
        if event.type in _NOTED:
            self._note(event)

    def finished(self, last: datetime | None) -> list[Span]:
        """Return all spans; what has not ended ends with the last event, and says so."""
        for span in self._all:
            if span.ended_at is None:
                span.ended_at = last or span.begun_at
                span.attributes["cartrita.unfinished"] = True
            # Clocks of two processes may differ.
            span.ended_at = max(span.ended_at, span.begun_at)
        return sorted(self._all, key=lambda one: one.begun_at)

    def _begin_trace(self, event: LoggedEvent) -> None:
        input_id = str(event.event_id)
        if input_id in self._turns:
            return
        given = parsed(event.traceparent)
        form = Form.TURN if event.type == "MessageReceived" else Form.CLIENT_CALL
        span = self._begin(
            form,
            input_id,
            event,
            trace_id=given[0] if given else trace_id_of(input_id),
            parent_id=given[1] if given else "",
        )
        span.attributes["gen_ai.workflow.name"] = WORKFLOW
        self._turns[input_id] = span

    def _begin_task(self, event: LoggedEvent) -> None:
        task_id = _text(event, "task_id")
        created = self._created.get(task_id)
        turn = self._turn_of(event)
        if task_id in self._roots or task_id in self._tasks or created is None or turn is None:
            return
        span = self._begin(
            Form.TASK, task_id, created, trace_id=turn.trace_id, parent_id=turn.span_id, at=event.occurred_at
        )
        for edge in _records(created.body.get("edges")):
            ends = {str(edge.get("from_task_id")), str(edge.get("to_task_id"))} - {task_id}
            span.links += [
                Link(
                    trace_id=span.trace_id,
                    span_id=span_id_of(Form.TASK, other),
                    attributes={"cartrita.relation": str(edge.get("relation", ""))},
                )
                for other in ends
            ]
        self._tasks[task_id] = span

    def _begin_call(self, event: LoggedEvent, form: Form) -> None:
        call_id = _text(event, "call_id")
        above = self._above(event)
        if call_id in self._calls:
            return
        trace_id = trace_id_of(str(event.correlation_id or self._session_id))
        span = self._begin(
            form,
            call_id,
            event,
            trace_id=trace_id if above is None else above.trace_id,
            parent_id="" if above is None else above.span_id,
        )
        if form is Form.MODEL_CALL and above is not None and _is_embedding(above):
            span.name = span.name.replace(BY_FORM[form].operation, _EMBEDDINGS, 1)
            span.attributes["gen_ai.operation.name"] = _EMBEDDINGS
        cause = self._of_event.get(event.causation_id) if event.causation_id else None
        if cause is not None and cause.span_id != span.parent_id:
            span.links.append(_link(cause, {"cartrita.link": "cause"}))
        self._calls[call_id] = span
        self._take_over(call_id, span)

    def _above(self, event: LoggedEvent) -> Span | None:
        """Return the span in which a call is made."""
        task = self._tasks.get(_text(event, "task_id"))
        if task is not None:
            return task
        turn = self._turn_of(event)
        if turn is None or event.body.get("purpose") not in ("plan", "critique"):
            return turn
        plan = self._plans.get(span_id_of(Form.PLAN, turn.span_id))
        if plan is None:
            plan = self._begin(
                Form.PLAN, turn.span_id, event, trace_id=turn.trace_id, parent_id=turn.span_id, bare=True
            )
            self._plans[plan.span_id] = plan
        return plan

    def _begin(
        self,
        form: Form,
        key: str,
        event: LoggedEvent,
        *,
        trace_id: str,
        parent_id: str,
        at: datetime | None = None,
        bare: bool = False,
    ) -> Span:
        looks = BY_FORM[form]
        of_what = looks.name.strip("'") if looks.name.startswith("'") else _text(event, looks.name)
        span = Span(
            form=form,
            trace_id=trace_id,
            span_id=span_id_of(form, key),
            parent_id=parent_id,
            name=" ".join(filter(None, (looks.operation, of_what))),
            begun_at=at or event.occurred_at,
        )
        span.attributes["gen_ai.conversation.id"] = self._session_id
        if looks.operation:
            span.attributes["gen_ai.operation.name"] = looks.operation
        if form is Form.MODEL_CALL:
            span.attributes["gen_ai.provider.name"] = PROVIDER
        if form is Form.TOOL_CALL:
            span.attributes["gen_ai.tool.type"] = "function"
        if not bare:
            span.attributes |= self._attributes(event)
        self._all.append(span)
        return span

    def _end(self, span: Span | None, event: LoggedEvent) -> None:
        if span is None or span.ended_at is not None:
            return
        span.ended_at = event.occurred_at
        span.attributes |= self._attributes(event)
        if event.type.endswith("Failed"):
            span.error = str(event.body.get("kind") or event.body.get("error_kind") or "failed")
        plan = self._plans.get(span.parent_id)
        if plan is not None:
            # Whatever becomes of the plan, it lasts as long as the calls for it.
            plan.ended_at = event.occurred_at
        self._of_event[event.event_id] = span

    def _end_task(self, event: LoggedEvent) -> None:
        task_id = _text(event, "task_id")
        span = self._tasks.get(task_id)
        if span is None and event.type in ("TaskFailed", "TaskAborted"):
            span = self._roots.get(task_id)
        if span is not None and event.type != "TaskCompleted" and span.ended_at is None:
            span.error = str(event.body.get("error_kind") or event.type.removeprefix("Task").lower())
        self._end(span, event)

    def _note(self, event: LoggedEvent) -> None:
        """Put an event into the span of what it is about: a call, a plan, a task, or else the turn."""
        call_id = _text(event, "call_id") or _text(event, "reservation_id")
        told = SpanEvent(
            name="cartrita." + _CAPITAL.sub("_", event.type).lower(),
            at=event.occurred_at,
            attributes=self._attributes(event),
        )
        span = (
            self._calls.get(call_id)
            or (self._plan_of(event) if event.type.startswith("Plan") else None)
            or self._tasks.get(_text(event, "task_id"))
            # Whoever ends a request names the call alone.
            or next((before for _, before in self._early.get(call_id, ())), None)
            or self._turn_of(event)
        )
        if span is None:
            return
        if event.type == "TurnStarted":
            span.attributes |= told.attributes
        span.events.append(told)
        if call_id and call_id not in self._calls:
            self._early.setdefault(call_id, []).append((told, span))

    def _take_over(self, call_id: str, span: Span) -> None:
        """Move what was decided about a call, in the step that makes it, into the call's span."""
        for told, before in self._early.pop(call_id, ()):
            if told.at == span.begun_at:
                before.events.remove(told)
                span.events.append(told)

    def _plan_of(self, event: LoggedEvent) -> Span | None:
        turn = self._turn_of(event)
        return None if turn is None else self._plans.get(span_id_of(Form.PLAN, turn.span_id))

    def _turn_of(self, event: LoggedEvent) -> Span | None:
        by_input = self._turns.get(_text(event, "input_id")) or self._turns.get(str(event.correlation_id))
        return self._roots.get(_text(event, "task_id")) or by_input

    def _attributes(self, event: LoggedEvent) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for one in of_type(event.type):
            value = event.body.get(one.field)
            if one.is_content:
                if self._content:
                    found[one.name] = span_content.told(event, one.field, self._by_id)
            elif one.name == "gen_ai.response.finish_reasons":
                found[one.name] = [str(value)]
            elif isinstance(value, bool | int | float | str) and value != "":
                found[one.name] = value
        return found


def trace_id_of(input_id: str) -> str:
    """Return the id of the trace that an input begins, where its sender names none."""
    return derived_id(input_id, "trace").replace("-", "")


def span_id_of(form: Form, key: str) -> str:
    """Return the id of a span: that of what it is of, whoever makes it."""
    return hashlib.sha256(f"{form}/{key}".encode()).hexdigest()[:16]


def _is_embedding(call: Span) -> bool:
    return call.attributes.get("cartrita.client.route") == _EMBEDDINGS


def _link(other: Span, attributes: Mapping[str, Value]) -> Link:
    return Link(trace_id=other.trace_id, span_id=other.span_id, attributes=attributes)


def _text(event: LoggedEvent, name: str) -> str:
    value = event.body.get(name)
    return value if isinstance(value, str) else ""


def _records(value: object) -> Iterator[Mapping[str, object]]:
    yield from (one for one in value if isinstance(one, Mapping)) if isinstance(value, list) else ()
