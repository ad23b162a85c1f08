"""The schedule decider: what is due begins once, and what becomes of times that were missed."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.calendar.cron import CronCalendar
from processors.inputs import InputInvalid
from processors.schedules.decider import EARLY_MS_MAX, OPEN_MAX, WATCH_MS, ScheduleDecider
from processors.schedules.entrance import checked_schedule
from processors.schedules.firing import firing_id_of
from processors.schedules.state import ScheduleState
from processors.schedules.times import Times
from schemas.envelope import Envelope, Fact
from schemas.events.inputs import MessageReceived, SessionClosed, SessionOpened
from schemas.events.schedules import (
    FiringEnded,
    FiringOutcome,
    FiringSeen,
    FiringsSkipped,
    MissedRule,
    RunningRule,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduleDue,
    ScheduleFired,
    SchedulePaused,
    SchedulePlan,
    ScheduleResumed,
    ScheduleStatus,
    ScheduleStood,
    SkipReason,
)
from schemas.frozen import replace
from schemas.ids import derived_id
from schemas.references import RecordReference
from tests.credentials import Maker
from topics.catalog import SCHEDULE_INPUTS

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
START_MS = 1_790_000_000_000 // HOUR_MS * HOUR_MS
"""A full hour."""
ID = derived_id("schedule")
EVERY = SchedulePlan(name="report", text="Write the report.", every_ms=MINUTE_MS)
HOURLY = SchedulePlan(name="report", text="Write the report.", cron="0 * * * *")
ANN = ("acme", "ann")


class Life:
    """One schedule, decided by the records that stand on its topic."""

    def __init__(self, plan: SchedulePlan | None = EVERY, now_ms: int = START_MS) -> None:
        """Create it, unless there is no plan."""
        self.decider = ScheduleDecider(CronCalendar())
        self.state: ScheduleState = self.decider.initial(ID)
        self.now_ms = now_ms
        self.events: list[Envelope] = []
        self.refused = ""
        self._offset = 0
        if plan is not None:
            self.take(ScheduleCreated(plan=plan, created_by="olga"))

    def take(self, fact: Fact, by: tuple[str, str] = ANN, event_id: str | None = None) -> Sequence[Envelope]:
        """Let a record be applied at the time that it is now; returns what it caused."""
        self._offset += 1
        event = Envelope(
            event_id=event_id or derived_id("input", str(self._offset)),
            type=type(fact).__name__,
            session_id=ID,
            tenant_id=by[0],
            user_id=by[1],
            occurred_at_ms=self.now_ms,
            body=fact,
        )
        place = RecordReference(
            topic=SCHEDULE_INPUTS.name,
            partition=0,
            offset=self._offset,
            event_id=event.event_id,
            tokens=0,
        )
        step = self.decider.advance(self.state, event, place)
        self.refused = "" if step.refused is None else step.refused.reason
        self.state = self.decider.decode(self.decider.encode(step.state))
        assert self.state == step.state
        self.events += step.events
        return step.events

    def due(self) -> ScheduleDue | None:
        """Return what the ticker tells of the timer that waits."""
        timers = self.decider.timers(self.state)
        assert len(timers) < 2
        return ScheduleDue(timer_id=timers[0].timer_id, due_at_ms=timers[0].due_at_ms) if timers else None

    def come(self, at_ms: int) -> None:
        """Let it become that time; whatever is due by then is told, one after the other."""
        self.now_ms = at_ms
        while (due := self.due()) is not None and due.due_at_ms <= at_ms:
            self.take(due)

    def facts(self, *kinds: type) -> list[Fact]:
        """Return what was caused of some kinds, in order."""
        return [one.body for one in self.events if isinstance(one.body, kinds)]

    @property
    def fired(self) -> list[int]:
        """How long after the start those due times lie that began, in minutes."""
        fired = [one for one in self.facts(ScheduleFired) if isinstance(one, ScheduleFired)]
        return [(one.due_at_ms - START_MS) // MINUTE_MS for one in fired]

    @property
    def skipped(self) -> list[tuple[SkipReason, int, int, int]]:
        """Why which were left out: the first, the last and how many."""
        return [
            (
                one.reason,
                (one.first_due_at_ms - START_MS) // MINUTE_MS,
                (one.last_due_at_ms - START_MS) // MINUTE_MS,
                one.count,
            )
            for one in self.facts(FiringsSkipped)
            if isinstance(one, FiringsSkipped)
        ]


def test_each_due_time_begins_once_and_says_something_in_its_owners_name() -> None:
    life = Life(replace(EVERY, budget_tokens=5_000, agent="writer"))

    life.come(START_MS + MINUTE_MS)

    firing = firing_id_of(ID, START_MS + MINUTE_MS)
    said = [
        one for one in life.events if isinstance(one.body, SessionOpened | MessageReceived | SessionClosed)
    ]
    assert [one.event_id for one in said] == [
        derived_id(firing, "opened"),
        firing,
        derived_id(firing, "closed"),
    ]
    assert {(one.tenant_id, one.user_id, one.session_id) for one in said} == {
        (*ANN, derived_id(firing, "session"))
    }
    opened, message = said[0].body, said[1].body
    assert isinstance(opened, SessionOpened)
    assert isinstance(message, MessageReceived)
    assert (opened.title, opened.budget_tokens) == ("report", 5_000)
    assert (message.text, message.agent) == ("Write the report.", "writer")
    (fired,) = [one for one in life.events if isinstance(one.body, ScheduleFired)]
    assert {one.causation_id for one in said} == {fired.event_id}
    assert life.fired == [1]


def test_a_time_that_is_told_again_begins_nothing() -> None:
    life = Life()
    due = life.due()
    assert due is not None
    life.come(START_MS + MINUTE_MS)

    assert life.take(due) == ()
    assert life.take(replace(due, due_at_ms=due.due_at_ms + MINUTE_MS)) == ()
    assert life.fired == [1]


def test_every_counts_from_the_creation_whenever_it_was_carried_out() -> None:
    life = Life()

    for late_ms in (20_000, 0, 59_000):
        life.come(START_MS + (len(life.fired) + 1) * MINUTE_MS + late_ms)

    assert life.fired == [1, 2, 3]


def test_all_is_said_in_one_session_that_goes_on() -> None:
    life = Life(replace(EVERY, one_session=True))

    life.come(START_MS + 3 * MINUTE_MS)

    assert len(life.facts(SessionOpened)) == 1
    assert len(life.facts(MessageReceived)) == 3
    assert life.facts(SessionClosed) == []
    sessions = {one.session_id for one in life.events if isinstance(one.body, MessageReceived)}
    assert sessions == {derived_id(ID, "session")}


def test_a_session_that_is_there_is_gone_on_with() -> None:
    there = derived_id("there")
    life = Life(replace(EVERY, session_id=there))

    life.come(START_MS + 2 * MINUTE_MS)

    assert life.facts(SessionOpened, SessionClosed) == []
    assert {one.session_id for one in life.events if isinstance(one.body, MessageReceived)} == {there}


@pytest.mark.parametrize(
    ("missed", "fired", "skipped"),
    [
        (MissedRule.SKIP, [], [(SkipReason.MISSED, 60, 600, 10)]),
        (MissedRule.LAST, [600], [(SkipReason.MISSED, 60, 540, 9)]),
        (MissedRule.ALL, [480, 540, 600], [(SkipReason.MISSED, 60, 420, 7)]),
    ],
)
def test_what_was_missed_is_left_out_or_made_up_for(
    missed: MissedRule, fired: list[int], skipped: list[tuple[SkipReason, int, int, int]]
) -> None:
    life = Life(replace(HOURLY, missed=missed, missed_max=3))

    life.come(START_MS + 10 * HOUR_MS + 30 * MINUTE_MS)

    assert life.fired == fired
    assert life.skipped == skipped
    assert [one.missed for one in life.facts(ScheduleFired) if isinstance(one, ScheduleFired)] == [
        True for _ in fired
    ]
    # What comes then is on time again.
    life.come(START_MS + 11 * HOUR_MS)
    assert life.fired == [*fired, 660]


def test_what_is_not_too_late_begins_and_what_is_newer_takes_the_place_of_what_was_missed() -> None:
    for missed, fired in ((MissedRule.SKIP, [600]), (MissedRule.LAST, [600]), (MissedRule.ALL, [540, 600])):
        life = Life(replace(HOURLY, missed=missed, missed_max=1))

        life.come(START_MS + 10 * HOUR_MS + EVERY.late_ms_max)

        assert life.fired == fired


def test_more_than_can_be_counted_is_told_as_more() -> None:
    life = Life(replace(HOURLY, cron="* * * * *"))

    life.come(START_MS + 2_000 * MINUTE_MS + 30_000)

    (skipped,) = life.facts(FiringsSkipped)
    assert isinstance(skipped, FiringsSkipped)
    assert (skipped.count, skipped.more) == (1_000, True)
    assert life.fired == [1_996, 1_997, 1_998, 1_999, 2_000]


@pytest.mark.parametrize("missed", MissedRule)
def test_what_is_wanted_once_begins_once_and_ends(missed: MissedRule) -> None:
    once = SchedulePlan(name="once", text="Now.", at_ms=START_MS + MINUTE_MS, missed=missed)
    on_time, late = Life(once), Life(once)

    on_time.come(START_MS + MINUTE_MS)
    late.come(START_MS + 5 * HOUR_MS)

    assert on_time.fired == [1]
    assert late.fired == ([] if missed is MissedRule.SKIP else [1])
    for life in (on_time, late):
        assert life.due() is None
        assert life.state.status is ScheduleStatus.ENDED
        assert life.decider.ended_at_ms(life.state) == life.now_ms
        *_, stood = life.facts(ScheduleStood)
        assert isinstance(stood, ScheduleStood)
        assert (stood.status, stood.by) == (ScheduleStatus.ENDED, "")


def test_nothing_begins_while_what_began_before_is_worked_on() -> None:
    life = Life(replace(EVERY, if_running=RunningRule.SKIP))
    life.come(START_MS + 2 * MINUTE_MS)

    life.take(FiringSeen(firing_id=firing_id_of(ID, START_MS + MINUTE_MS), outcome=FiringOutcome.ANSWERED))
    life.come(START_MS + 3 * MINUTE_MS)

    assert life.fired == [1, 3]
    assert life.skipped == [(SkipReason.RUNNING, 2, 2, 1)]
    (ended,) = life.facts(FiringEnded)
    assert isinstance(ended, FiringEnded)
    assert (ended.due_at_ms, ended.outcome) == (START_MS + MINUTE_MS, FiringOutcome.ANSWERED)


def test_an_end_counts_once_and_only_of_what_began() -> None:
    life = Life()
    life.come(START_MS + MINUTE_MS)
    seen = FiringSeen(firing_id=firing_id_of(ID, START_MS + MINUTE_MS), outcome=FiringOutcome.FAILED)

    life.take(seen)
    life.take(replace(seen, outcome=FiringOutcome.ANSWERED))
    life.take(replace(seen, firing_id=derived_id("nothing")))

    assert [one.outcome for one in life.facts(FiringEnded) if isinstance(one, FiringEnded)] == [
        FiringOutcome.FAILED
    ]


def test_what_nobody_saw_the_end_of_holds_nothing_up_for_ever() -> None:
    life = Life(replace(EVERY, every_ms=WATCH_MS + MINUTE_MS, if_running=RunningRule.SKIP))
    for times in (1, 2):
        life.come(START_MS + times * (WATCH_MS + MINUTE_MS))
    assert len(life.fired) == 2
    (ended,) = life.facts(FiringEnded)
    assert isinstance(ended, FiringEnded)
    assert ended.outcome is FiringOutcome.UNSEEN

    many = Life()
    for minute in range(1, OPEN_MAX + 30):
        many.come(START_MS + minute * MINUTE_MS)
    assert len(many.state.open) <= OPEN_MAX


def test_while_it_is_paused_nothing_begins_and_nothing_of_it_was_missed() -> None:
    life = Life(replace(EVERY, missed=MissedRule.ALL))
    life.come(START_MS + MINUTE_MS)

    life.take(SchedulePaused(reason="holidays"), by=("*", "olga"))
    life.come(START_MS + HOUR_MS)
    life.take(ScheduleResumed(user="ann"))
    life.come(START_MS + HOUR_MS + MINUTE_MS)

    assert life.fired == [1, 61]
    assert life.skipped == []
    stood = [one for one in life.facts(ScheduleStood) if isinstance(one, ScheduleStood)]
    assert [(one.status, one.by, one.reason) for one in stood] == [
        ("active", "olga", None),
        ("paused", "olga", "holidays"),
        ("active", "ann", None),
    ]
    assert stood[1].next_at_ms is None


def test_an_act_that_is_sent_twice_counts_once() -> None:
    life = Life()
    pause = derived_id("pause")

    life.take(SchedulePaused(), event_id=pause)
    life.take(ScheduleResumed())
    life.take(SchedulePaused(), event_id=pause)
    life.take(ScheduleResumed())

    assert life.state.status is ScheduleStatus.ACTIVE
    assert len(life.facts(ScheduleStood)) == 4


def test_what_is_deleted_stays_so() -> None:
    life = Life()

    life.take(ScheduleDeleted())
    life.take(ScheduleResumed())

    assert life.refused == "the schedule is deleted"
    assert life.due() is None
    assert life.decider.ended_at_ms(life.state) == START_MS


@pytest.mark.parametrize(
    ("fact", "by"),
    [
        (SchedulePaused(), ("other", "ann")),
        (SchedulePaused(user="bob"), ANN),
        (ScheduleDeleted(user="bob"), ("*", "olga")),
        (ScheduleResumed(user=""), ANN),
    ],
)
def test_nobody_else_acts_on_it_or_learns_that_it_is_there(fact: Fact, by: tuple[str, str]) -> None:
    life, nobodys = Life(), Life(None)

    assert life.take(fact, by=by) == nobodys.take(fact, by=by) == ()

    assert life.refused == nobodys.refused == "there is no such schedule"
    assert life.state.status is ScheduleStatus.ACTIVE


def test_one_id_is_one_schedule() -> None:
    life = Life()

    life.take(ScheduleCreated(plan=HOURLY, created_by="eve"), by=("other", "eve"))

    assert life.refused == "there is a schedule of this id already"
    assert (life.state.tenant_id, life.state.plan) == ("acme", EVERY)


def test_a_worker_whose_clock_is_ahead_begins_nothing_early() -> None:
    life = Life(HOURLY)
    due = life.due()
    assert due is not None

    life.now_ms = START_MS + HOUR_MS - EARLY_MS_MAX - 1_000
    life.take(due)
    again = life.due()
    life.take(due)
    life.come(START_MS + HOUR_MS + 60_000)

    assert again is not None
    assert again.timer_id != due.timer_id
    assert again.due_at_ms > due.due_at_ms
    assert life.fired == [60]


@given(
    st.sampled_from([EVERY, HOURLY, replace(EVERY, every_ms=7 * MINUTE_MS)]),
    st.sampled_from(MissedRule),
    st.integers(1, 5),
    st.lists(st.integers(0, 4 * HOUR_MS), max_size=12),
)
def test_every_due_time_is_decided_upon_once_and_in_order(
    plan: SchedulePlan, missed: MissedRule, missed_max: int, waits_ms: list[int]
) -> None:
    plan = replace(plan, missed=missed, missed_max=missed_max)
    life = Life(plan)
    for wait_ms in waits_ms:
        life.come(life.now_ms + wait_ms)

    times = Times(plan, CronCalendar(), START_MS)
    decided: list[int] = []
    for fact in life.facts(ScheduleFired, FiringsSkipped):
        if isinstance(fact, ScheduleFired):
            decided.append(fact.due_at_ms)
        elif isinstance(fact, FiringsSkipped):
            at_ms: int | None = fact.first_due_at_ms
            run = []
            while at_ms is not None and at_ms <= fact.last_due_at_ms:
                run.append(at_ms)
                at_ms = times.next_after_ms(at_ms)
            assert len(run) == fact.count
            decided += run
    expected: list[int] = []
    at_ms = times.next_after_ms(START_MS)
    while at_ms is not None and at_ms <= life.now_ms:
        expected.append(at_ms)
        at_ms = times.next_after_ms(at_ms)
    assert decided == expected
    assert life.state.next_at_ms == at_ms


def entering(fact: Fact, **changes: object) -> Envelope:
    """Return an act as it stands on the topic of operators' acts."""
    event = Envelope(
        event_id=derived_id("act"),
        type=type(fact).__name__,
        session_id=ID,
        tenant_id="acme",
        user_id="ann",
        body=fact,
    )
    return replace(event, **changes)  # type: ignore[arg-type]  # whatever a test names


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": "  "}, "text is empty"),
        ({"text": "é" * 20_000}, "text has 40,000 bytes"),
        ({"name": ""}, "name has 1 to 200"),
        ({"name": "a\nb"}, "control character"),
        ({"every_ms": None}, "one of cron, every_ms and at_ms"),
        ({"cron": "0 * * * *"}, "one of cron, every_ms and at_ms"),
        ({"every_ms": 9_999}, "every_ms is 9999"),
        ({"every_ms": 2**60}, "every_ms is"),
        ({"every_ms": None, "at_ms": -1}, "at_ms is -1"),
        ({"every_ms": None, "cron": "x"}, "5 fields"),
        ({"zone": "Nowhere"}, "there is no zone"),
        ({"zone": "x" * 101}, "at most 200 characters"),
        ({"missed": MissedRule("often")}, "missed is one of skip, last, all"),
        ({"if_running": RunningRule("wait")}, "if_running is one of start, skip"),
        ({"missed_max": 101}, "missed_max is 101"),
        ({"late_ms_max": 0}, "late_ms_max is 0"),
        ({"budget_tokens": 0}, "budget_tokens is 0"),
        ({"session_id": "mine"}, "session_id is not a UUID"),
        ({"session_id": ID, "budget_tokens": 5}, "has a budget already"),
        ({"agent": "a" * 201}, "agent has 1 to 200"),
    ],
)
def test_what_cannot_be_done_is_refused_where_it_enters(changes: dict[str, object], reason: str) -> None:
    plan = replace(EVERY, **changes)  # type: ignore[arg-type]  # as above
    event = entering(ScheduleCreated(plan=plan, created_by="olga"))

    with pytest.raises(InputInvalid, match=reason):
        checked_schedule(event, taken_at_ms=1, calendar=CronCalendar())
    # Whoever writes past the entrance gets no further.
    life = Life(None)
    life.take(event.body)
    assert life.refused


def test_what_enters_has_kafkas_time_and_no_credentials() -> None:
    key = Maker(1).token()
    plan = replace(EVERY, text=f"Use {key} for it.")
    event = entering(ScheduleCreated(plan=plan, created_by="olga"), occurred_at_ms=5, producer="cli")

    taken = checked_schedule(event, taken_at_ms=77, calendar=CronCalendar())

    assert taken.occurred_at_ms == 77
    assert isinstance(taken.body, ScheduleCreated)
    assert key not in taken.body.plan.text
    for bad in ({"tenant_id": "*"}, {"session_id": ""}, {"event_id": "x"}, {"user_id": ""}):
        with pytest.raises(InputInvalid):
            checked_schedule(replace(event, **bad), taken_at_ms=1, calendar=CronCalendar())  # type: ignore[arg-type]
