"""Holds every promise that applies against the evidence of a run; pure, so that doctored evidence tests it.

I8 (approvals) and I13 (clients that resume) belong to the gateway and are not checked here; I15 is checked
where the evidence holds a rebuilt database.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final

from schemas.envelope import Envelope
from schemas.events.accounts import (
    LeaseGranted,
    LeaseRefused,
    LeaseRequested,
    LeaseReturned,
    LeaseSettled,
)
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived
from schemas.events.outputs import AnswerGiven, ErrorReported, SessionEnded, TurnStarted
from schemas.events.tools import ToolCallFailed, ToolCallRequested
from tests.chaos.evidence import Evidence, LogRecord, Place
from tests.chaos.gathering import SOURCES, TABLES_OF, gather
from tests.chaos.positions import complete, forward
from tests.chaos.replaying import replays
from tests.chaos.rows import expected_rows, first_of_each, in_its_place, logged_row
from tests.invariants import client_calls
from tests.invariants.books import books
from tests.invariants.calls import calls, outcomes_of
from tests.invariants.entries import balance, entries_of
from tests.invariants.stories import Story, conflicts, once, sequences, steps, stories_of
from tests.invariants.tasks import ends, order
from tests.invariants.violation import INVARIANTS, Violation
from tests.simulation.users import STRANGER
from topics.catalog import (
    BY_NAME,
    CLIENT_CALLS,
    DEAD_LETTERS,
    SESSION_DELTAS,
    SESSION_INPUTS,
    TOOL_CAPABILITIES,
    USER_INPUTS,
)
from topics.shells import SESSION

__all__ = ["INVARIANTS", "Evidence", "Violation", "check", "gather"]

NOT_APPLICABLE: Final = {
    "I8": "approvals are given through the gateway",
    "I13": "clients resume through the gateway",
}
_OUTSIDE: Final = frozenset(
    {USER_INPUTS.name, SESSION_INPUTS.name, SESSION_DELTAS.name, TOOL_CAPABILITIES.name}
)
"""What is not decided once under an id of its own."""


def check(evidence: Evidence) -> tuple[Violation, ...]:
    """Return every violation; none: all promises held."""
    return tuple(_violations(evidence))


def _violations(evidence: Evidence) -> Iterator[Violation]:
    """Hold the rules of single records first, then of sessions, then of what stands elsewhere."""
    placed = [record for record in evidence.records if in_its_place(record)]
    own = [record.event for record in placed if record.place.topic not in _OUTSIDE and record.event]
    distinct = once(own)
    inputs = [record for record in placed if record.place.topic == SESSION_INPUTS.name]
    stories = stories_of(distinct)
    yield from conflicts(own, distinct)
    yield from _inputs(evidence, inputs, stories)
    yield from _causes(placed)
    # What somebody forged counts for nothing.
    outcomes = outcomes_of(event for event in distinct.values() if event.producer != STRANGER)
    runs, billed = _books_outside(evidence)
    for story in stories.values():
        for rule in (sequences, steps, books, ends, order):
            yield from rule(story)
        yield from calls(story, outcomes, runs, billed)
    yield from _client_calls(evidence, distinct, stories)
    yield from _bills_without_a_call(evidence, stories)
    yield from _effects(evidence, distinct.values())
    yield from _leases(distinct.values())
    refused = _refused(evidence)
    yield from forward(evidence.states, _refused_of_keys(evidence))
    stateful = {shell: SOURCES[shell] for shell in TABLES_OF.values()}
    yield from complete(evidence.states, placed, stateful, refused)
    by_session = {place for shell, place in refused if shell == SESSION}
    yield from replays(placed, by_session, stories)
    yield from _forged(placed, by_session)
    yield from _dead_letters(evidence)
    yield from _tenants(inputs, stories)
    yield from _liveness(evidence, inputs, stories)
    yield from _decodes(evidence)
    yield from _projected(evidence)
    yield from balance(entries_of(stories.values()), evidence.entries)


def _inputs(
    evidence: Evidence, inputs: Iterable[LogRecord], stories: Mapping[str, Story]
) -> Iterator[Violation]:
    """What Kafka acknowledged is on session.inputs or put aside, and a message begins at most one turn."""
    taken = {(r.event.session_id, r.event.event_id) for r in inputs if r.event}
    ids = {event_id for _, event_id in taken}
    aside = {_place_of(r.event.body) for r in _letters(evidence) if r.event}
    posted = set()
    for record in evidence.records:
        if record.place.topic not in (USER_INPUTS.name, CLIENT_CALLS.name):
            continue
        event_id = record.event.event_id if record.event else ""
        posted.add(event_id)
        if record.place.topic == CLIENT_CALLS.name:
            continue
        # An input without an id gets one by its place; it is looked for by its session.
        if record.at in aside or event_id in ids or (record.event and not event_id):
            continue
        yield _broken("I1", "/".join(map(str, record.at)), f"the input {event_id} was not taken in")
    for event_id, session_id in evidence.sent.items():
        if event_id not in posted:
            yield _broken("I1", session_id, f"the input {event_id} was acknowledged and is not on the log")
    for story in stories.values():
        for input_id, count in Counter(fact.input_id for fact in story.facts(TurnStarted)).items():
            if count > 1:
                yield _broken("I1", story.session_id, f"the input {input_id} began {count} turns")
            if (story.session_id, input_id) not in taken:
                yield _broken("I1", story.session_id, f"the turn of {input_id} has no input")


def _client_calls(
    evidence: Evidence, distinct: Mapping[str, Envelope], stories: Mapping[str, Story]
) -> Iterator[Violation]:
    """Each call of a client has one end, and no token's budget is overspent."""
    asked = client_calls.asked_in(distinct.values())
    aside = {record.event.causation_id for record in _letters(evidence) if record.event}
    for session_id in {event.session_id for event in asked.values()} | stories.keys():
        story = stories.get(session_id, Story(session_id=session_id))
        yield from client_calls.told(story, asked, aside)
    yield from client_calls.within_budgets(stories, asked)


def _causes(placed: Iterable[LogRecord]) -> Iterator[Violation]:
    """Whatever an event names as its cause or evidence is on the log."""
    events = [record.event for record in placed if record.event]
    known = {event.event_id for event in events}
    for event in events:
        if event.type == RecordRejected.__name__:
            continue
        named = (event.causation_id, *event.evidence_ids)
        missing = [one for one in named if one is not None and one not in known]
        if missing:
            told = f"{event.type} {event.event_id} rests on {missing[0]}, which is not on the log"
            yield _broken("I2", event.session_id, told)


def _books_outside(evidence: Evidence) -> tuple[Counter[str], Counter[str]]:
    """Return by call how often it ran, and what it was billed, as the fake servers have it."""
    runs: Counter[str] = Counter()
    billed: Counter[str] = Counter()
    for entry in evidence.model_ledger:
        runs[entry.client_request_id] += entry.billed
        if entry.billed:
            billed[entry.client_request_id] += entry.prompt_tokens + entry.completion_tokens
    for done in evidence.tool_ledger:
        runs[done.call_id] += done.outcome == "executed"
    return runs, billed


def _bills_without_a_call(evidence: Evidence, stories: Mapping[str, Story]) -> Iterator[Violation]:
    """Nothing is asked of the world that the log does not have."""
    known = {
        event.body.call_id
        for story in stories.values()
        for event in story.events
        if hasattr(event.body, "call_id")
    }
    asked = {entry.client_request_id for entry in evidence.model_ledger}
    asked |= {entry.call_id for entry in evidence.tool_ledger}
    for call_id in sorted(asked - known - {""}):
        yield _broken("I6", call_id, "was asked of a provider, and no session has requested it")


def _effects(evidence: Evidence, events: Iterable[Envelope]) -> Iterator[Violation]:
    """An idempotency key has one effect, and nobody says that there was none when there was one."""
    effects = Counter(e.idempotency_key for e in evidence.tool_ledger if e.outcome == "executed")
    for key, count in effects.items():
        if count > 1:
            yield _broken("I4", key, f"the idempotency key had {count} effects")
    executed = {entry.call_id for entry in evidence.tool_ledger if entry.outcome == "executed"}
    bodies = [event.body for event in events]
    executed -= {b.call_id for b in bodies if isinstance(b, ToolCallRequested) and b.idempotent}
    for body in bodies:
        if isinstance(body, ToolCallFailed) and body.call_id in executed and not body.maybe_effected:
            told = f"had an effect, and failed as if it had none ({body.kind})"
            yield _broken("I4", body.call_id, told)


def _leases(events: Iterable[Envelope]) -> Iterator[Violation]:
    """Each lease that was asked for was answered once, and each that was returned was booked once."""
    asked: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    returned: Counter[str] = Counter()
    settled: Counter[str] = Counter()
    for event in events:
        match event.body:
            case LeaseRequested(lease_id=lease_id):
                asked[lease_id] += 1
            case LeaseGranted(lease_id=lease_id) | LeaseRefused(lease_id=lease_id):
                answered[lease_id] += 1
            case LeaseReturned(lease_id=lease_id):
                returned[lease_id] += 1
            case LeaseSettled(lease_id=lease_id):
                settled[lease_id] += 1
            case _:
                pass
    for lease_id in sorted(asked.keys() | answered.keys() | returned.keys() | settled.keys()):
        counts = (asked[lease_id], answered[lease_id], returned[lease_id], settled[lease_id])
        if counts not in ((1, 1, 0, 0), (1, 1, 1, 1)):
            told = "the lease was asked {} times, answered {}, returned {} and settled {}".format(*counts)
            yield _broken("I6", lease_id, told)


def _dead_letters(evidence: Evidence) -> Iterator[Violation]:
    """What cannot be used is put aside, once for each who refuses it; nothing else is."""
    aside: dict[Place, Counter[str]] = defaultdict(Counter)
    for event in once(r.event for r in _letters(evidence) if r.event).values():
        assert isinstance(event.body, RecordRejected)
        aside[_place_of(event.body)][event.body.shell] += 1
        if event.body.code == "quarantined":
            yield _broken("I10", event.session_id, f"a session was quarantined: {event.body.reason}")
    by_place = {record.at: record for record in evidence.records}
    for place, shells in aside.items():
        subject = "/".join(map(str, place))
        for shell, count in shells.items():
            if count > 1:
                yield _broken("I10", subject, f"{shell} put the record aside {count} times")
        if place not in by_place:
            yield _broken("I10", subject, "was put aside, and is not on the log")
    for record in evidence.records:
        readable = record.event is not None or record.fault == "unknown_fact"
        unusable = not readable or (record.event is not None and not in_its_place(record))
        if unusable and record.at not in aside and BY_NAME[record.place.topic].is_truth:
            told = f"cannot be used ({record.fault or 'out of place'}) and was not put aside"
            yield _broken("I10", "/".join(map(str, record.at)), told)


def _forged(placed: Iterable[LogRecord], refused: Container[Place]) -> Iterator[Violation]:
    """What a stranger tells of a call is put aside, and causes nothing in any session."""
    events = [record.event for record in placed if record.event]
    forged = {event.event_id for event in events if event.producer == STRANGER}
    for event in events:
        if event.sequence and event.causation_id in forged:
            yield _broken(
                "I4", event.session_id, f"#{event.sequence} {event.type} is caused by a forged outcome"
            )
    for record in placed:
        if record.event and record.event.event_id in forged and record.at not in refused:
            at = "/".join(map(str, record.at))
            yield _broken("I10", at, f"a forged {record.event.type} was not put aside")


def _tenants(inputs: Iterable[LogRecord], stories: Mapping[str, Story]) -> Iterator[Violation]:
    """All that a session says is its tenant's: that of the input which opened it."""
    owners: dict[str, tuple[str, str]] = {}
    for record in inputs:
        assert record.event is not None
        owners.setdefault(record.event.session_id, (record.event.tenant_id, record.event.user_id))
    for story in stories.values():
        for event in story.events:
            owner = owners.get(story.session_id)
            if owner is not None and (event.tenant_id, event.user_id) != owner:
                told = f"#{event.sequence} is of {event.tenant_id}/{event.user_id}, not of {'/'.join(owner)}"
                yield _broken("I11", story.session_id, told)
                break


def _liveness(
    evidence: Evidence, inputs: Iterable[LogRecord], stories: Mapping[str, Story]
) -> Iterator[Violation]:
    """Nothing waits to be read, and every message has an answer, an error, or a session that was ended."""
    for shell, topics in SOURCES.items():
        for (topic, partition), end in evidence.ends.items():
            done = evidence.committed.get((shell, topic, partition), 0)
            if topic in {one.name for one in topics} and done < end:
                yield _broken("I12", f"{topic}/{partition}", f"{shell} has {end - done} records before it")
    for (topic, partition), end in evidence.ends.items():
        stored = evidence.stored.get((topic, partition), 0)
        if BY_NAME[topic].is_truth and stored < end:
            yield _broken("I12", f"{topic}/{partition}", f"the sink has {end - stored} records before it")
    waiting: dict[str, set[str]] = defaultdict(set)
    for record in inputs:
        assert record.event is not None
        if isinstance(record.event.body, MessageReceived):
            waiting[record.event.session_id].add(record.event.event_id)
    aside = {r.event.causation_id for r in _letters(evidence) if r.event}
    for session_id, messages in waiting.items():
        story = stories.get(session_id, Story(session_id=session_id))
        done_with = {fact.input_id for fact in story.facts(AnswerGiven)}
        done_with |= {fact.input_id or "" for fact in story.facts(ErrorReported)}
        open_messages = sorted(messages - done_with - aside)
        if open_messages and not story.facts(SessionEnded):
            yield _broken("I12", session_id, f"the messages {open_messages} have no end")


def _decodes(evidence: Evidence) -> Iterator[Violation]:
    for record in evidence.records:
        if record.ours and record.event is None and record.fault != "unknown_fact":
            told = f"our own record does not decode: {record.fault}"
            yield _broken("I14", "/".join(map(str, record.at)), told)


def _projected(evidence: Evidence) -> Iterator[Violation]:
    """The event log and every table hold what the log gives, and nothing else."""
    expected_log = Counter(logged_row(record) for record in first_of_each(evidence.records))
    found_log = Counter(evidence.logged)
    for row in expected_log - found_log:
        yield _broken("I3", "event_log", f"lacks {row.type} {row.event_id} of {row.topic} as the log has it")
    for row in found_log - expected_log:
        yield _broken("I3", "event_log", f"has {row.type} {row.event_id} of {row.topic} not from the log")
    expected = expected_rows(evidence.records)
    yield from _same_rows(expected, evidence.rows)
    for table in evidence.rebuilt or ():
        if not table.is_equal:
            told = f"lacks {table.missing} rows, has {table.surplus} too many, and {table.different} differ"
            yield _broken(
                "I15", table.table, f"rebuilt it is another: the live one {told}: {table.first[:1]}"
            )


def _same_rows(
    expected: Mapping[str, Mapping[str, Mapping[str, object]]],
    found: Mapping[str, Mapping[str, Mapping[str, object]]],
) -> Iterator[Violation]:
    for table in sorted(expected.keys() | found.keys()):
        wanted, there = expected.get(table, {}), found.get(table, {})
        for key in sorted(wanted.keys() | there.keys()):
            if key not in there:
                yield _broken("I3", table, f"lacks the row {key}")
            elif key not in wanted:
                yield _broken("I3", table, f"has the row {key}, of which the log knows nothing")
            elif wanted[key] != there[key]:
                names = [name for name in wanted[key] if wanted[key][name] != there[key].get(name)]
                told = ", ".join(
                    f"{n} is {there[key].get(n)!r:.80} not {wanted[key][n]!r:.80}" for n in names
                )
                yield _broken("I3", table, f"in the row {key} {told}")


def _letters(evidence: Evidence) -> list[LogRecord]:
    return [record for record in evidence.records if record.place.topic == DEAD_LETTERS.name]


def _refused(evidence: Evidence) -> set[tuple[str, Place]]:
    bodies = [record.event.body for record in _letters(evidence) if record.event]
    return {(body.shell, _place_of(body)) for body in bodies if isinstance(body, RecordRejected)}


def _refused_of_keys(evidence: Evidence) -> dict[tuple[str, str], set[tuple[str, int]]]:
    found: dict[tuple[str, str], set[tuple[str, int]]] = {}
    for record in _letters(evidence):
        body = record.event.body if record.event else None
        if isinstance(body, RecordRejected) and body.key:
            topic, _, offset = _place_of(body)
            found.setdefault((body.shell, body.key.decode(errors="replace")), set()).add((topic, offset))
    return found


def _place_of(body: object) -> Place:
    assert isinstance(body, RecordRejected)
    # A prefix ends in no name of the catalogue, so the longest name that fits is the topic.
    topic = max((name for name in BY_NAME if body.topic.endswith(name)), key=len, default=body.topic)
    return (topic, body.partition, body.offset)


def _broken(invariant: str, subject: str, told: str) -> Violation:
    return Violation(invariant=invariant, subject=subject, message=told)
