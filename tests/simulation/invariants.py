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
from schemas.events.inputs import InputFact, OperatorFact, SentFact
from schemas.events.outputs import AnswerGiven, ErrorReported, SessionEnded, TurnStarted
from schemas.events.restraints import RestraintAct
from schemas.events.schedules import ScheduleAct
from schemas.frozen import replace
from schemas.plain import from_plain
from streams.records.delivery import Delivery
from streams.stateful.marks import is_marks
from streams.stateful.stored_record import StoredRecord
from tests.invariants import client_calls
from tests.invariants.approvals import approvals
from tests.invariants.books import books, used
from tests.invariants.calls import calls, outcomes_of
from tests.invariants.client_calls import asked_in
from tests.invariants.stories import Story, conflicts, once, sequences, steps, stories_of
from tests.invariants.tasks import ends, order
from tests.invariants.violation import Violation
from tests.simulation.broker import Broker
from tests.simulation.provider import Provider
from tests.simulation.users import STRANGER
from topics.catalog import CLIENT_CALLS, SESSION_INPUTS


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
        if isinstance(event.body, RecordRejected) and not _is_due(event, event.body, distinct):
            raise Violated(f"a record was put aside: {event.body.code}, {event.body.reason}")
    for event_id in sent:
        _hold(event_id in distinct, f"the input {event_id} was lost on its way in")
    begun = provider.begun_though_stopped
    _hold(not begun, f"{begun} began after their process had read that their tools are stopped")
    stories = told(distinct)
    _unbelieved(distinct.values())
    # What somebody forged counts for nothing.
    outcomes = outcomes_of(event for event in distinct.values() if event.producer != STRANGER)
    aside = {event.causation_id for event in distinct.values() if isinstance(event.body, RecordRejected)}
    asked = asked_in(distinct.values())
    for session_id in set(sent.values()):
        story = stories.setdefault(session_id, Story(session_id=session_id))
        state = _each_input_once(broker, story)
        _replayed(broker, configuration, story, state)
        for rule in (steps, books, ends, order):
            demand(rule(story))
        demand(approvals(story, configuration))
        demand(calls(story, outcomes, provider.runs, provider.billed_tokens))
        demand(client_calls.told(story, asked, aside))
        _at_rest(story, state)
        _owned(story, distinct.values())
    _leases_returned(broker)
    demand(client_calls.within_budgets(stories, asked))
    return stories


def distinct_of(published: list[Envelope]) -> dict[str, Envelope]:
    """Drop repeats.

    Raises:
        Violated: two events have one id.
    """
    distinct = once(published)
    # What a producer sends again, Kafka takes at another time.
    timeless = [
        replace(event, occurred_at_ms=distinct[event.event_id].occurred_at_ms)
        if isinstance(event.body, SentFact | InputFact | RestraintAct | ScheduleAct)
        else event
        for event in published
    ]
    demand(conflicts(timeless, distinct))
    return distinct


def told(distinct: Mapping[str, Envelope]) -> dict[str, Story]:
    """Return the sessions' stories.

    Raises:
        Violated: a sequence is not 1, 2, 3 …
    """
    stories = stories_of(distinct)
    for story in stories.values():
        demand(sequences(story))
    return stories


def _each_input_once(broker: Broker, story: Story) -> SessionState | None:
    """Every record for the session was applied once, and everything was acknowledged.

    For a session that has left the table: what came after its last applied input was not applied, and of that
    each thing that somebody asked for was refused.
    """
    key = story.session_id.encode()
    data = broker.tables.get("session", {}).get(key)
    there = Counter(
        (topic, partition, delivery.offset)
        for topic, partition in broker.places("session")
        for delivery in broker.records[topic, partition]
        if delivery.key == key
    )
    applied = Counter(
        (place.topic, place.partition, place.offset) for _, place in broker.applied.get(key, [])
    )
    late = _late(broker, story, applied) if data is None else Counter()
    lost = there - late - applied - _repeats(broker, key)
    _hold(
        applied <= there - late and not lost,
        f"inputs of {story.session_id}: lost {lost}, applied too often {applied - there}",
    )
    begun = Counter(one.input_id for one in story.facts(TurnStarted))
    answered = Counter(one.input_id for one in story.facts(AnswerGiven))
    twice = [input_id for input_id, count in (*begun.items(), *answered.items()) if count > 1]
    _hold(not twice, f"{story.session_id} began or answered {twice} twice")
    for shell, places in ((name, broker.places(name)) for name in broker.owners):
        for place in places:
            at = broker.committed.get((shell, place), 0)
            _hold(at == len(broker.records[place]), f"{shell} has not acknowledged all of {place}")
    return _state(data) if data is not None else None


def _repeats(broker: Broker, key: bytes) -> Counter[tuple[str, int, int]]:
    """Return where inputs stand that were applied before, under the same id: the shell passes them over."""
    first: dict[str, int] = {}
    for event, place in broker.applied.get(key, []):
        if place.topic == SESSION_INPUTS.name:
            first.setdefault(event.event_id, place.offset)
    return Counter(
        (topic, partition, delivery.offset)
        for (topic, partition), records in broker.records.items()
        for delivery in records
        if topic == SESSION_INPUTS.name
        and delivery.key == key
        and first.get(_id_of(delivery), delivery.offset) < delivery.offset
    )


def _id_of(delivery: Delivery) -> str:
    return (delivery.header("ce_id") or b"").decode()


def _late(
    broker: Broker, story: Story, applied: Counter[tuple[str, int, int]]
) -> Counter[tuple[str, int, int]]:
    """Return what came for a session after it had left the table; it may have left only once it had ended."""
    if not applied:
        return Counter()
    _hold(bool(story.facts(SessionEnded)), f"{story.session_id} left the table, and had not ended")
    last: dict[tuple[str, int], int] = {}
    for topic, partition, offset in applied:
        last[topic, partition] = max(offset, last.get((topic, partition), -1))
    late = [
        delivery
        for (topic, partition), records in broker.records.items()
        for delivery in records[last.get((topic, partition), -1) + 1 :]
        if topic in broker.sources["session"] and delivery.key == story.session_id.encode()
    ]
    refused = {
        (event.body.topic, event.body.partition, event.body.offset)
        for event in broker.published
        if isinstance(event.body, RecordRejected)
    }
    repeats = _repeats(broker, story.session_id.encode())
    for delivery in late:
        place = (delivery.topic, delivery.partition, delivery.offset)
        asked = delivery.topic in (SESSION_INPUTS.name, CLIENT_CALLS.name)
        # A repeat may have come while the session was still there.
        answered = asked == (place in refused) or place in repeats
        _hold(answered, f"{delivery.coordinates} came late, and was wrongly answered")
    return Counter((delivery.topic, delivery.partition, delivery.offset) for delivery in late)


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
    _hold(state.turn is None and not state.queue and not state.calls, "the session is not at rest")
    has_ended = bool(story.facts(SessionEnded))
    _hold((state.status is SessionStatus.ENDED) == has_ended, "the session's end is not on the log")


def _unbelieved(events: Iterable[Envelope]) -> None:
    """What somebody forged causes nothing in a session."""
    forged = {event.event_id for event in events if event.producer == STRANGER}
    caused = [event.type for event in events if event.sequence and event.causation_id in forged]
    _hold(not caused, f"what a stranger told caused {caused}")


def _is_due(letter: Envelope, body: RecordRejected, events: Mapping[str, Envelope]) -> bool:
    """Tell whether a record had to be put aside: what was forged, of strangers, or came too late."""
    if body.code in ("ended", "not_owner") or body.reason.endswith("is not the key of an approver"):
        return True
    if letter.user_id == STRANGER and body.reason == "there is no such schedule":
        return True
    refused = events.get(letter.causation_id or "")
    return refused is not None and refused.producer == STRANGER


def _owned(story: Story, events: Iterable[Envelope]) -> None:
    """Everything in a session is its owner's; who else sent something was told so, and only they."""
    owners = {_who(event) for event in story.events if not _is_of_no_session(event)}
    _hold(len(owners) <= 1, f"{story.session_id} has the owners {owners}")
    caused = {event.causation_id: event for event in story.events}
    told = {event.causation_id: event for event in events if isinstance(event.body, RecordRejected)}
    for sent in events:
        if sent.session_id != story.session_id or not isinstance(sent.body, InputFact):
            continue
        is_strange = not isinstance(sent.body, OperatorFact) and _who(sent) not in owners
        answer = caused.get(sent.event_id)
        if answer is not None:
            is_told = _is_of_no_session(answer) and _who(answer) == _who(sent)
            _hold(is_told or not is_strange, f"{sent.type} of {_who(sent)} caused {answer.type}")
        elif is_strange:
            letter = told.get(sent.event_id)
            _hold(letter is not None, f"nobody told {_who(sent)} what became of {sent.type}")
            assert letter is not None
            _hold(_who(letter) == _who(sent), f"{_who(letter)} was told of what {_who(sent)} sent")


def _who(event: Envelope) -> tuple[str, str]:
    return event.tenant_id, event.user_id


def _is_of_no_session(event: Envelope) -> bool:
    return isinstance(event.body, ErrorReported) and event.body.code in ("unknown_session", "fork_invalid")


def _leases_returned(broker: Broker) -> None:
    """An account has lent only to sessions that have not ended."""
    table = broker.tables.get("session", {})
    states = [_state(data) for key, data in table.items() if not is_marks(key)]
    held = {state.lease_id for state in states if state.status is not SessionStatus.ENDED}
    held |= {state.account.lease_id for state in states if state.account is not None}
    for key, data in broker.tables.get("account", {}).items():
        account = from_plain(AccountState, orjson.loads(StoredRecord.decode(data).state))
        lost = account.leases.keys() - held
        _hold(not lost, f"the account {key.decode()} has lent to nobody: {sorted(lost)}")


def demand(violations: Iterable[Violation]) -> None:
    """Raise the first violation."""
    for violation in violations:
        raise Violated(f"{violation.invariant}, {violation.subject}: {violation.message}")


def _hold(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Violated(otherwise)
