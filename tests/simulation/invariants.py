"""What must hold once everything has come to rest, whatever happened before."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import orjson

from processors.accounts import AccountState
from processors.session import SessionDecider
from processors.state import SessionState, SessionStatus
from schemas.configuration import Configuration
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, BudgetGranted, BudgetReserved
from schemas.events.dead_letters import RecordRejected
from schemas.events.models import ModelCallCompleted, ModelCallFailed, ModelCallRequested
from schemas.events.outputs import AnswerGiven, SessionEnded, TurnStarted
from schemas.events.tasks import (
    TaskAborted,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskPruned,
    TaskStarted,
)
from schemas.events.timers import TimerFired
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested
from schemas.plain import from_plain
from streams.stored_record import StoredRecord
from tests.simulation.broker import Broker
from tests.simulation.provider import Provider

ENDS = (TaskCompleted, TaskFailed, TaskPruned, TaskAborted)
CALLS = (ModelCallRequested, ToolCallRequested)
RESULTS = (ModelCallCompleted, ModelCallFailed, ToolCallCompleted, ToolCallFailed)

T = TypeVar("T")


class Violated(AssertionError):
    """A promise was broken."""


@dataclass(slots=True, kw_only=True)
class Story:
    """One session as its readers see it: each event once, in its sequence."""

    session_id: str
    events: list[Envelope] = field(default_factory=list)

    def facts(self, kind: type[T]) -> list[T]:
        """Return the facts of a kind, in order."""
        return [event.body for event in self.events if isinstance(event.body, kind)]


def check(
    broker: Broker, configuration: Configuration, provider: Provider, sent: Mapping[str, str]
) -> dict[str, Story]:
    """Hold every promise against what is on the broker and in the provider's own books.

    Args:
        broker: at rest.
        configuration: that decided.
        provider: whose bills must be covered.
        sent: session ids by event id of each input from outside.

    Raises:
        Violated: with a sentence.
    """
    distinct = once(broker.published)
    for event in distinct.values():
        if isinstance(event.body, RecordRejected):
            raise Violated(f"a record was put aside: {event.body.code}, {event.body.reason}")
    for event_id in sent:
        _hold(event_id in distinct, f"the input {event_id} was lost on its way in")
    stories = stories_of(distinct)
    for session_id in set(sent.values()):
        story = stories.setdefault(session_id, Story(session_id=session_id))
        state = _each_input_once(broker, story)
        _replayed(broker, configuration, story, state)
        _books_balance(story, state)
        _tasks_and_turns_end(story, state)
        _order_of_tasks(story)
        _calls(story, distinct, provider)
    _leases_returned(broker)
    return stories


def once(published: list[Envelope]) -> dict[str, Envelope]:
    """Drop repeats; the same id must say the same."""
    distinct: dict[str, Envelope] = {}
    for event in published:
        first = distinct.setdefault(event.event_id, event)
        if first is event or first == event:
            continue
        # A timer that is told again is told at another time; a session only asks what is due by then.
        same = isinstance(event.body, TimerFired) and replace(event, occurred_at_ms=0) == replace(
            first, occurred_at_ms=0
        )
        _hold(same, f"two events with the id {event.event_id}: {first.type} and {event.type}")
    return distinct


def stories_of(distinct: Mapping[str, Envelope]) -> dict[str, Story]:
    """Sort the sessions' own events; each sequence is 1, 2, 3 …"""
    stories: dict[str, Story] = {}
    for event in distinct.values():
        if event.sequence:
            stories.setdefault(event.session_id, Story(session_id=event.session_id)).events.append(event)
    for story in stories.values():
        story.events.sort(key=lambda event: event.sequence)
        numbers = [event.sequence for event in story.events]
        _hold(numbers == list(range(1, len(numbers) + 1)), f"the sequence of {story.session_id} is {numbers}")
    return stories


def _each_input_once(broker: Broker, story: Story) -> SessionState | None:
    """Every record for the session was applied once, and everything was acknowledged."""
    key = story.session_id.encode()
    there = Counter(
        (topic, partition, delivery.offset)
        for topic, partition in broker.places("session")
        for delivery in broker.records[topic, partition]
        if delivery.key == key
    )
    applied = Counter(
        (place.topic, place.partition, place.offset) for _, place in broker.applied.get(key, [])
    )
    _hold(
        applied == there,
        f"inputs of {story.session_id}: lost {there - applied}, applied too often {applied - there}",
    )
    for shell, places in ((name, broker.places(name)) for name in broker.sources):
        for place in places:
            at = broker.committed.get((shell, place), 0)
            _hold(at == len(broker.records[place]), f"{shell} has not acknowledged all of {place}")
    data = broker.tables.get("session", {}).get(key)
    return _state(data) if data is not None else None


def _state(data: bytes) -> SessionState:
    return from_plain(SessionState, orjson.loads(StoredRecord.decode(data).state))


def _replayed(broker: Broker, configuration: Configuration, story: Story, state: SessionState | None) -> None:
    """Deciding what was applied again gives what is on the log, digests and all."""
    decider = SessionDecider(configuration)
    again = decider.initial(story.session_id)
    events: list[Envelope] = []
    for event, place in broker.applied.get(story.session_id.encode(), []):
        step = decider.advance(again, event, place)
        again = step.state
        events += step.events
    _hold(len(events) == len(story.events), f"{len(events)} events decided, {len(story.events)} on the log")
    for decided, seen in zip(events, story.events, strict=True):
        _hold(
            decided == seen, f"#{seen.sequence} is {seen.type} on the log, and decided again {decided.type}"
        )
    if state is not None:
        _hold(decider.encode(again) == decider.encode(state), "the state is not what its inputs give")


def _books_balance(story: Story, state: SessionState | None) -> None:
    """Nothing is overspent, each reservation is settled once, and double entry sums to zero."""
    reserved = {fact.reservation_id: fact for fact in story.facts(BudgetReserved)}
    _hold(len(reserved) == len(story.facts(BudgetReserved)), "a reservation was made twice")
    charged = {fact.reservation_id: fact for fact in story.facts(BudgetCharged)}
    _hold(len(charged) == len(story.facts(BudgetCharged)), "a reservation was settled twice")
    _hold(reserved.keys() == charged.keys(), f"not settled: {sorted(reserved.keys() - charged.keys())}")
    for key, held in reserved.items():
        settled = charged[key]
        _hold(
            held.tokens - settled.tokens - settled.tokens_released == 0
            and held.nanodollars - settled.nanodollars - settled.nanodollars_released == 0,
            f"the reservation {key} does not add up",
        )
        _hold(held.session_tokens_left >= 0 and held.session_nanodollars_left >= 0, f"{key} overshoots")
        _hold(held.task_tokens_left >= 0, f"{key} overshoots its task's budget")
    granted = [fact for fact in story.facts(BudgetGranted) if fact.scope == "session"]
    tokens = sum(fact.tokens for fact in granted)
    nanodollars = sum(fact.nanodollars for fact in granted)
    tokens_used = sum(fact.tokens for fact in charged.values())
    nanodollars_used = sum(fact.nanodollars for fact in charged.values())
    _hold(tokens_used <= tokens, f"{tokens_used} tokens used of {tokens}")
    _hold(nanodollars_used <= nanodollars, f"{nanodollars_used} nanodollars used of {nanodollars}")
    if state is not None:
        budget = state.budget
        _hold(not budget.reservations, "the state still holds reservations")
        _hold(
            (budget.tokens_used, budget.nanodollars_used) == (tokens_used, nanodollars_used),
            "the state's books are not those of the log",
        )


def _leases_returned(broker: Broker) -> None:
    """An account has lent only to sessions that have not ended."""
    states = [_state(data) for data in broker.tables.get("session", {}).values()]
    held = {state.lease_id for state in states if state.status is not SessionStatus.ENDED}
    for key, data in broker.tables.get("account", {}).items():
        account = from_plain(AccountState, orjson.loads(StoredRecord.decode(data).state))
        lost = account.leases.keys() - held
        _hold(not lost, f"the account {key.decode()} has lent to nobody: {sorted(lost)}")


def _tasks_and_turns_end(story: Story, state: SessionState | None) -> None:
    created = [fact.task_id for fact in story.facts(TaskCreated)]
    ended = [event.body.task_id for event in story.events if isinstance(event.body, ENDS)]
    _hold(sorted(created) == sorted(ended), "a task did not end, or ended twice")
    turns = [fact.turn for fact in story.facts(TurnStarted)]
    answers = [fact.turn for fact in story.facts(AnswerGiven)]
    ends = story.facts(SessionEnded)
    _hold(len(answers) == len(set(answers)) and len(ends) <= 1, "a turn or a session ended twice")
    open_turns = set(turns) - set(answers)
    cut = any(fact.reason == "cancelled" for fact in ends)
    _hold(len(open_turns) <= (1 if cut else 0), f"the turns {open_turns} have no answer")
    if state is not None:
        _hold(state.turn is None and not state.queue, "the session is not at rest")
        _hold((state.status is SessionStatus.ENDED) == bool(ends), "the session's end is not on the log")


def _order_of_tasks(story: Story) -> None:
    """No task starts before what it depends on is complete."""
    needs: dict[str, set[str]] = defaultdict(set)
    complete: set[str] = set()
    for event in story.events:
        match event.body:
            case TaskCreated():
                for edge in event.body.edges:
                    if edge.relation == "depends_on":
                        needs[edge.from_task_id].add(edge.to_task_id)
            case TaskCompleted():
                complete.add(event.body.task_id)
            case TaskStarted():
                missing = needs[event.body.task_id] - complete
                _hold(not missing, f"the task {event.body.task_id} started before {missing} ended")
            case _:
                pass


def _calls(story: Story, distinct: Mapping[str, Envelope], provider: Provider) -> None:
    """Each call is reserved first, runs at most once unless that is harmless, and has one outcome."""
    outcomes = Counter(
        event.body.call_id
        for event in distinct.values()
        if event.session_id == story.session_id and isinstance(event.body, RESULTS)
    )
    reserved: dict[str, int] = {}
    charged = {fact.reservation_id: fact.tokens for fact in story.facts(BudgetCharged)}
    for event in story.events:
        body = event.body
        if isinstance(body, BudgetReserved):
            reserved[body.reservation_id] = body.tokens
        if not isinstance(body, CALLS):
            continue
        _hold(outcomes[body.call_id] == 1, f"the call {body.call_id} has {outcomes[body.call_id]} outcomes")
        _hold(
            reserved.get(body.call_id, 0) == body.reserved_tokens,
            f"the call {body.call_id} was made without its reservation",
        )
        harmless = isinstance(body, ToolCallRequested) and body.idempotent and body.reserved_tokens == 0
        runs = provider.runs[body.call_id]
        _hold(harmless or runs <= 1, f"the call {body.call_id} ran {runs} times")
        billed = provider.billed_tokens.get(body.call_id, 0)
        _hold(
            billed <= charged.get(body.call_id, 0),
            f"the call {body.call_id} was billed {billed} tokens and charged {charged.get(body.call_id, 0)}",
        )


def _hold(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Violated(otherwise)
