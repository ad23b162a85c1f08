"""What must hold once everything has come to rest, whatever happened before."""

from collections import Counter
from collections.abc import Iterable, Mapping

import orjson

from processors.accounts import AccountState
from processors.session import SessionDecider
from processors.state import SessionState, SessionStatus
from schemas.configuration import Configuration
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.outputs import SessionEnded
from schemas.plain import from_plain
from streams.stored_record import StoredRecord
from tests.invariants.books import books, used
from tests.invariants.calls import calls, outcomes_of
from tests.invariants.stories import Story, conflicts, once, sequences, steps, stories_of
from tests.invariants.tasks import ends, order
from tests.invariants.violation import Violation
from tests.simulation.broker import Broker
from tests.simulation.provider import Provider


class Violated(AssertionError):
    """A promise was broken."""


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
    distinct = distinct_of(broker.published)
    for event in distinct.values():
        if isinstance(event.body, RecordRejected):
            raise Violated(f"a record was put aside: {event.body.code}, {event.body.reason}")
    for event_id in sent:
        _hold(event_id in distinct, f"the input {event_id} was lost on its way in")
    stories = told(distinct)
    outcomes = outcomes_of(distinct.values())
    for session_id in set(sent.values()):
        story = stories.setdefault(session_id, Story(session_id=session_id))
        state = _each_input_once(broker, story)
        _replayed(broker, configuration, story, state)
        for rule in (steps, books, ends, order):
            _demand(rule(story))
        _demand(calls(story, outcomes, provider.runs, provider.billed_tokens))
        _at_rest(story, state)
    _leases_returned(broker)
    return stories


def distinct_of(published: list[Envelope]) -> dict[str, Envelope]:
    """Drop repeats.

    Raises:
        Violated: two events have one id.
    """
    distinct = once(published)
    _demand(conflicts(published, distinct))
    return distinct


def told(distinct: Mapping[str, Envelope]) -> dict[str, Story]:
    """Return the sessions' stories.

    Raises:
        Violated: a sequence is not 1, 2, 3 …
    """
    stories = stories_of(distinct)
    for story in stories.values():
        _demand(sequences(story))
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


def _at_rest(story: Story, state: SessionState | None) -> None:
    """What the state says of books, turns and its end is what the log says."""
    if state is None:
        return
    budget = state.budget
    _hold(not budget.reservations, "the state still holds reservations")
    _hold(
        (budget.tokens_used, budget.nanodollars_used) == used(story),
        "the state's books are not those of the log",
    )
    _hold(state.turn is None and not state.queue, "the session is not at rest")
    has_ended = bool(story.facts(SessionEnded))
    _hold((state.status is SessionStatus.ENDED) == has_ended, "the session's end is not on the log")


def _leases_returned(broker: Broker) -> None:
    """An account has lent only to sessions that have not ended."""
    states = [_state(data) for data in broker.tables.get("session", {}).values()]
    held = {state.lease_id for state in states if state.status is not SessionStatus.ENDED}
    for key, data in broker.tables.get("account", {}).items():
        account = from_plain(AccountState, orjson.loads(StoredRecord.decode(data).state))
        lost = account.leases.keys() - held
        _hold(not lost, f"the account {key.decode()} has lent to nobody: {sorted(lost)}")


def _demand(violations: Iterable[Violation]) -> None:
    for violation in violations:
        raise Violated(f"{violation.invariant}, {violation.subject}: {violation.message}")


def _hold(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Violated(otherwise)
