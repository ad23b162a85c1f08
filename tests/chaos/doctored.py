"""Evidence of a sound run that was made in memory, and ways to spoil it: each breaks one promise."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from connectors.local_model.ledger import LedgerEntry
from processors.projections.rows import Place
from schemas.envelope import Envelope, Fact
from schemas.events.accounts import LeaseRequested
from schemas.events.budgets import BudgetCharged
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.inputs import MessageReceived
from schemas.events.models import ModelCallCompleted, ModelCallRequested
from schemas.events.outputs import AnswerGiven, TurnStarted
from schemas.events.tasks import TaskCompleted, TaskStarted
from schemas.events.tools import ToolCallCompleted, ToolCallRequested
from schemas.ids import derived_id
from sinks.comparison import TableComparison
from tests.chaos.evidence import Evidence, LogRecord, StateRecord
from tests.chaos.gathering import SOURCES, TABLES_OF
from tests.chaos.ledgers import ToolEntry
from tests.chaos.rows import expected_rows, first_of_each, logged_row
from tests.invariants.entries import entries_of
from tests.invariants.stories import once, stories_of
from tests.processors.world import SESSION, tool_failed
from tests.replay.worlds import recorded, world
from tests.simulation.users import STRANGER
from topics.catalog import BY_NAME, DEAD_LETTERS, SESSION_INPUTS, USER_INPUTS
from topics.routing import key_of

_EQUAL: Final = TableComparison(
    table="sessions",
    rows_live=1,
    rows_rebuilt=1,
    rows_kept=0,
    checksum_live="1",
    checksum_rebuilt="1",
    missing=0,
    surplus=0,
    different=0,
    first=(),
)
Doctor = Callable[[Evidence], Evidence]


@lru_cache(maxsize=1)
def sound_evidence() -> Evidence:
    """Return what a session of three tasks leaves behind when all goes well."""
    made = world()
    made.say()
    made.run()
    recording = recorded(made)
    placed = [*recording.inputs, *recording.outputs, *recording.configuration]
    records = [_record(one.event, one.topic, one.offset) for one in placed]
    posted = next(one.event for one in recording.inputs if one.topic == SESSION_INPUTS.name)
    records.insert(0, _record(posted, USER_INPUTS.name, 0))
    facts = [one.event.body for one in recording.inputs]
    return derived(
        Evidence(
            records=tuple(records),
            model_ledger=tuple(_bill(fact) for fact in facts if isinstance(fact, ModelCallCompleted)),
            tool_ledger=tuple(_effect(fact.call_id) for fact in facts if isinstance(fact, ToolCallCompleted)),
            sent={posted.event_id: posted.session_id},
        )
    )


def derived(evidence: Evidence) -> Evidence:
    """Return evidence in which everything else is what its log gives, so that only the log is spoilt."""
    ends: Counter[tuple[str, int]] = Counter()
    for record in evidence.records:
        slot = (record.place.topic, record.place.partition)
        ends[slot] = max(ends[slot], record.place.offset + 1)
    rows = expected_rows(evidence.records)
    events = [r.event for r in evidence.records if r.event and r.place.topic != USER_INPUTS.name]
    return replace(
        evidence,
        ends=ends,
        committed={
            (shell, topic, partition): end
            for shell, topics in SOURCES.items()
            for (topic, partition), end in ends.items()
            if BY_NAME[topic] in topics
        },
        stored=dict(ends),
        rows=rows,
        logged=tuple(logged_row(record) for record in first_of_each(evidence.records)),
        entries=tuple(entries_of(stories_of(once(events)).values())),
        states=_states(evidence.records),
        rebuilt=(_EQUAL,),
    )


def _states(records: Iterable[LogRecord]) -> tuple[StateRecord, ...]:
    """Return the changelogs of shells that apply one input at a time, in the order of topics."""
    positions: dict[tuple[str, str], dict[str, int]] = {}
    states = []
    for shell in TABLES_OF.values():
        names = {topic.name for topic in SOURCES[shell]}
        for record in records:
            if record.place.topic in names and record.key is not None:
                key = (shell, record.key.decode())
                positions[key] = {**positions.get(key, {}), record.place.topic: record.place.offset}
                states.append(StateRecord(shell=shell, key=key[1], positions=positions[key]))
    return tuple(states)


def _record(event: Envelope, topic: str, offset: int) -> LogRecord:
    place = Place(topic=topic, partition=0, offset=offset, timestamp_ms=event.occurred_at_ms)
    return LogRecord(place=place, key=key_of(BY_NAME[topic], event), event=event)


def _bill(fact: ModelCallCompleted) -> LedgerEntry:
    return LedgerEntry(
        client_request_id=fact.call_id,
        endpoint="chat",
        role="",
        model=fact.model,
        prompt_tokens=fact.input_tokens,
        completion_tokens=fact.output_tokens,
        outcome="answered",
        status=200,
        billed=True,
        started_ms=0,
        ended_ms=0,
    )


def _effect(call_id: str) -> ToolEntry:
    return ToolEntry(
        call_id=call_id, idempotency_key=call_id, tool="look", outcome="executed", fault="", at_ms=0
    )


# Doctors of the log.


def _on_log(change: Callable[[list[LogRecord]], Iterable[LogRecord]]) -> Doctor:
    return lambda evidence: derived(replace(evidence, records=tuple(change(list(evidence.records)))))


def _without(kind: type[Fact], topic: str = "") -> Doctor:
    """Lose the first event of a kind."""

    def change(records: list[LogRecord]) -> list[LogRecord]:
        records.remove(_first(records, kind, topic))
        return records

    return _on_log(change)


def _twice(kind: type[Fact]) -> Doctor:
    """Let the last event of a kind be decided once more, under a number and an id of its own."""

    def change(records: list[LogRecord]) -> list[LogRecord]:
        event = _first(reversed(records), kind).event
        assert event is not None
        return [*records, _following(records, event, event.body)]

    return _on_log(change)


def _altered(kind: type[Fact], **changes: object) -> Doctor:
    """Let the first event of a kind say something else."""

    def change(records: list[LogRecord]) -> list[LogRecord]:
        record = _first(records, kind)
        assert record.event is not None
        altered = replace(record.event, **changes)  # type: ignore[arg-type]  # each case names its fields
        records[records.index(record)] = replace(record, event=altered)
        return records

    return _on_log(change)


def _without_digest(records: list[LogRecord]) -> list[LogRecord]:
    record = next(record for record in records if record.event and record.event.state_digest)
    assert record.event is not None
    records[records.index(record)] = replace(record, event=replace(record.event, state_digest=None))
    return records


def _conflict(records: list[LogRecord]) -> list[LogRecord]:
    record = _first(records, AnswerGiven)
    assert record.event is not None
    assert isinstance(record.event.body, AnswerGiven)
    other = replace(record.event, body=replace(record.event.body, text="another answer"))
    return [*records, _record(other, record.place.topic, 10_000)]


def _overspent(records: list[LogRecord]) -> list[LogRecord]:
    record = _first(records, ModelCallRequested)
    assert record.event is not None
    assert isinstance(record.event.body, ModelCallRequested)
    body = replace(record.event.body, reserved_tokens=10**9, session_tokens_left=-1)
    records[records.index(record)] = replace(record, event=replace(record.event, body=body))
    return records


def _too_early(records: list[LogRecord]) -> list[LogRecord]:
    """Exchange the end of the first task and the start of one that waits for it."""
    ended = _first(records, TaskCompleted)
    started = _first(reversed(records), TaskStarted)
    assert ended.event is not None
    assert started.event is not None
    numbers = (ended.event.sequence, started.event.sequence)
    for record, number in zip((started, ended), numbers, strict=True):
        assert record.event is not None
        moved = replace(record, event=replace(record.event, sequence=number))
        records[records.index(record)] = moved
    return records


def _unreadable(*, ours: bool, letters: int) -> Doctor:
    """Put a record on the log that does not decode, and so many dead letters for it."""

    def change(records: list[LogRecord]) -> list[LogRecord]:
        place = Place(topic="plans", partition=0, offset=10_000)
        records.append(
            LogRecord(place=place, key=b"k", event=None, fault="not_avro", ours=ours, value=b"junk")
        )
        body = RecordRejected(
            topic="plans",
            partition=0,
            offset=10_000,
            key=b"k",
            value=b"junk",
            headers=(),
            code=RejectionCode.NOT_AVRO,
            reason="it is none",
            shell="sink",
        )
        for number in range(letters):
            event = Envelope(event_id=derived_id("letter", str(number)), type="RecordRejected", body=body)
            records.append(_record(event, DEAD_LETTERS.name, number))
        return records

    return _on_log(change)


def _effect_denied(records: list[LogRecord]) -> list[LogRecord]:
    """Let the first tool call be one that must not be repeated, and say that it failed without effect."""
    asked, ended = _first(records, ToolCallRequested), _first(records, ToolCallCompleted)
    assert asked.event is not None
    assert ended.event is not None
    assert isinstance(asked.event.body, ToolCallRequested)
    call = replace(asked.event.body, idempotent=False)
    records[records.index(asked)] = replace(asked, event=replace(asked.event, body=call))
    failed = replace(tool_failed(call, "timeout"), call_id=call.call_id)
    changed = replace(ended.event, body=failed, type=type(failed).__name__)
    records[records.index(ended)] = replace(ended, event=changed)
    return records


def _lease_without_answer(records: list[LogRecord]) -> list[LogRecord]:
    event = _first(records, AnswerGiven).event
    assert event is not None
    body = LeaseRequested(lease_id="lease", account_id="default/anonymous", tokens=1, nanodollars=1)
    return [*records, _following(records, event, body)]


# Doctors of what stands elsewhere.


def _row_changed(evidence: Evidence) -> Evidence:
    tasks = {key: {**row, "status": "pruned"} for key, row in evidence.rows["tasks_v2"].items()}
    return replace(evidence, rows={**evidence.rows, "tasks_v2": tasks})


def _row_lost(evidence: Evidence) -> Evidence:
    return replace(evidence, rows={**evidence.rows, "policy_decisions": {}})


def _not_logged(evidence: Evidence) -> Evidence:
    return replace(evidence, logged=evidence.logged[1:])


def _rebuilt_otherwise(evidence: Evidence) -> Evidence:
    return replace(evidence, rebuilt=(replace(_EQUAL, different=1),))


def _applied_again(evidence: Evidence) -> Evidence:
    return replace(evidence, states=(*evidence.states, evidence.states[0]))


def _written_again(evidence: Evidence) -> Evidence:
    return replace(evidence, states=(*evidence.states, evidence.states[-1]))


def _never_applied(evidence: Evidence) -> Evidence:
    return replace(evidence, states=evidence.states[:-1])


def _ran_twice(evidence: Evidence) -> Evidence:
    return replace(evidence, tool_ledger=(*evidence.tool_ledger, evidence.tool_ledger[0]))


def _billed_twice(evidence: Evidence) -> Evidence:
    return replace(evidence, model_ledger=(*evidence.model_ledger, evidence.model_ledger[0]))


def _billed_more(evidence: Evidence) -> Evidence:
    first = evidence.model_ledger[0]
    dearer = replace(first, completion_tokens=first.completion_tokens + 1)
    return replace(evidence, model_ledger=(dearer, *evidence.model_ledger[1:]))


def _billed_for_nothing(evidence: Evidence) -> Evidence:
    stray = replace(evidence.model_ledger[0], client_request_id="nobody's")
    return replace(evidence, model_ledger=(*evidence.model_ledger, stray))


def _entries_off(evidence: Evidence) -> Evidence:
    first = evidence.entries[0]
    return replace(evidence, entries=(replace(first, tokens=first.tokens + 1), *evidence.entries[1:]))


def _forged(records: list[LogRecord]) -> Iterable[LogRecord]:
    """Let a stranger tell an outcome that nobody puts aside."""
    first = _first(records, ModelCallCompleted)
    assert first.event is not None
    told = replace(first.event, event_id=derived_id("forged"), producer=STRANGER)
    return [*records, _record(told, first.place.topic, 10_000)]


def _believed(records: list[LogRecord]) -> Iterable[LogRecord]:
    """Let a session act on what a stranger told."""
    first = _first(records, ModelCallCompleted)
    assert first.event is not None
    told = replace(first, event=replace(first.event, producer=STRANGER))
    return [told if one is first else one for one in records]


def _lagging(evidence: Evidence) -> Evidence:
    return replace(evidence, committed={**evidence.committed, ("session", SESSION_INPUTS.name, 0): 0})


def _sink_lagging(evidence: Evidence) -> Evidence:
    return replace(evidence, stored={**evidence.stored, ("task.events", 0): 0})


def _never_arrived(evidence: Evidence) -> Evidence:
    return replace(evidence, sent={**evidence.sent, derived_id("lost"): SESSION})


def _first(records: Iterable[LogRecord], kind: type[Fact], topic: str = "") -> LogRecord:
    return next(
        record
        for record in records
        if record.event and isinstance(record.event.body, kind) and record.place.topic.startswith(topic)
    )


def _following(records: Iterable[LogRecord], event: Envelope, body: Fact) -> LogRecord:
    last = max(record.event.sequence for record in records if record.event)
    again = replace(
        event,
        event_id=derived_id(event.event_id, "again"),
        sequence=last + 1,
        body=body,
        type=type(body).__name__,
    )
    topic = next(topic.name for topic in BY_NAME.values() if isinstance(body, topic.facts))
    return _record(again, topic, 10_000)


DOCTORS: Final[Mapping[str, tuple[str, Doctor]]] = MappingProxyType(
    {
        "an input was not taken in": ("I1", _without(MessageReceived, SESSION_INPUTS.name)),
        "an input was acknowledged and lost": ("I1", _never_arrived),
        "an input began two turns": ("I1", _twice(TurnStarted)),
        "an input was applied again": ("I1", _applied_again),
        "an input was applied again in the same place": ("I1", _written_again),
        "an input was never applied": ("I1", _never_applied),
        "an event is missing": ("I2", _without(TaskStarted)),
        "an event has no cause": ("I2", _altered(AnswerGiven, causation_id=derived_id("nothing"))),
        "an event says two things": ("I2", _on_log(_conflict)),
        "a step has no digest": ("I2", _on_log(_without_digest)),
        "a row says something else": ("I3", _row_changed),
        "rows are missing": ("I3", _row_lost),
        "an event is not logged": ("I3", _not_logged),
        "a tool ran twice": ("I4", _ran_twice),
        "a model was asked twice": ("I4", _billed_twice),
        "an effect is denied": ("I4", _on_log(_effect_denied)),
        "a forged outcome is believed": ("I4", _on_log(_believed)),
        "a forged outcome is not put aside": ("I10", _on_log(_forged)),
        "a task ends twice": ("I5", _twice(TaskCompleted)),
        "a reservation is charged twice": ("I6", _twice(BudgetCharged)),
        "a reservation is never charged": ("I6", _without(BudgetCharged)),
        "more is reserved than there is": ("I6", _on_log(_overspent)),
        "a bill is not charged": ("I6", _billed_more),
        "nobody asked for what is billed": ("I6", _billed_for_nothing),
        "the books do not balance": ("I6", _entries_off),
        "a lease has no answer": ("I6", _on_log(_lease_without_answer)),
        "a task starts too early": ("I7", _on_log(_too_early)),
        "a decision is not what its input gives": ("I9", _altered(AnswerGiven, state_digest="0" * 16)),
        "an unreadable record was not put aside": ("I10", _unreadable(ours=False, letters=0)),
        "an unreadable record was put aside twice": ("I10", _unreadable(ours=False, letters=2)),
        "an event is another tenant's": ("I11", _altered(AnswerGiven, tenant_id="another")),
        "a shell lags behind": ("I12", _lagging),
        "the sink lags behind": ("I12", _sink_lagging),
        "a message has no answer": ("I12", _without(AnswerGiven)),
        "a call has no outcome": ("I12", _without(ModelCallCompleted)),
        "our own record does not decode": ("I14", _unreadable(ours=True, letters=1)),
        "a rebuilt database is another": ("I15", _rebuilt_otherwise),
    }
)
"""By name the promise that is broken, and how."""
