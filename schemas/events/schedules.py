"""Work that begins by the clock: the facts of `schedule.inputs` and `schedule.events`.

A schedule is keyed by its own id, which stands in the envelope's `session_id`; tenant and user of its events
are those of its owner. It says something in the owner's name whenever it is due.
"""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class MissedRule(Word):
    """What becomes of due times that passed while nothing could begin, as no worker ran."""

    SKIP = "skip"
    LAST = "last"
    """The latest of them is made up for, where nothing newer is due."""
    ALL = "all"
    """Each is made up for, the newest `missed_max` of them."""


class RunningRule(Word):
    """What becomes of a due time while the one before is still being worked on."""

    START = "start"
    SKIP = "skip"


class ScheduleStatus(Word):
    """How a schedule stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    """Nothing comes any more."""
    DELETED = "deleted"


class SkipReason(Word):
    """Why something that was due did not begin."""

    MISSED = "missed"
    """Its time had passed by more than the schedule allows."""
    RUNNING = "running"
    """The one before was still being worked on."""


class FiringOutcome(Word):
    """What became of what a schedule began."""

    ANSWERED = "answered"
    INCOMPLETE = "incomplete"
    """It was answered, but not all of it could be done."""
    FAILED = "failed"
    """It was told an error."""
    REFUSED = "refused"
    """It was put aside where it enters, or by its session: a dead letter says why."""
    ENDED = "ended"
    """The session ended before it was answered."""
    UNSEEN = "unseen"
    """Nobody looks any longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePlan:
    """When a schedule says what, and what if it cannot."""

    name: Personal
    """1 to 200 characters, for people."""
    text: Personal
    """What is said each time; at most 32,768 bytes of UTF-8."""
    agent: Personal | None = None
    """As in MessageReceived."""
    cron: Impersonal | None = None
    """Minute, hour, day of the month, month, day of the week; or `every_ms`, or `at_ms`: one of the three."""
    zone: Impersonal = "UTC"
    """IANA's name of the zone whose clocks `cron` means."""
    every_ms: int | None = None
    """At least 10,000; counted from the creation, whatever clocks are set to."""
    at_ms: int | None = None
    """Milliseconds since 1970: once."""
    missed: MissedRule = MissedRule.SKIP
    missed_max: int = 10
    """1 to 100; counts where `missed` is `all`."""
    late_ms_max: int = 300_000
    """By how much something may begin late; what is later was missed. 1,000 to 86,400,000."""
    if_running: RunningRule = RunningRule.START
    one_session: bool = False
    """True: all is said in one session, which goes on; false: each time in one that then ends."""
    session_id: Impersonal | None = None
    """Of a session of the owner that goes on; it implies `one_session`."""
    budget_tokens: int | None = None
    """Of each session that the schedule opens, as in SessionOpened."""
    budget_nanodollars: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleCreated:
    """Somebody wants something said by the clock; the envelope names for whom.

    It enters by `operator.inputs` alone, as the other acts.
    """

    plan: SchedulePlan
    created_by: Personal
    """Who asked for it: an operator, or the owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePaused:
    """Nothing of a schedule begins until it is resumed; the envelope's `user_id` is who says so."""

    user: Personal | None = None
    """Only if it is a schedule of this user of the tenant; absent: whosever of the tenant it is."""
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleResumed:
    """A schedule goes on with what is due from now on."""

    user: Personal | None = None
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDeleted:
    """Nothing of a schedule begins any more."""

    user: Personal | None = None
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDue:
    """The time of a schedule came; one that it no longer waits for is ignored."""

    timer_id: Impersonal
    due_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringSeen:
    """Somebody saw on the log what became of what a schedule began."""

    firing_id: Impersonal
    outcome: FiringOutcome
    detail: Personal = ""
    """Why, where it was not answered; at most 500 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleStood:
    """How a schedule stands after somebody changed it, or after its last time."""

    plan: SchedulePlan
    status: ScheduleStatus
    next_at_ms: int | None
    """When it is due next; absent: it is not, or not before it is resumed."""
    by: Personal
    """Who changed it; empty: nobody, nothing comes any more."""
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFired:
    """What was due began: it was said in the owner's name."""

    firing_id: Impersonal
    """Also the event id of the message, made from schedule and due time: it is taken in once for ever."""
    due_at_ms: int
    target_session_id: Impersonal
    """The session in which it was said."""
    missed: bool
    """True: its time had passed by more than the schedule allows, and it was made up for."""
    next_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringsSkipped:
    """What was due did not begin."""

    reason: SkipReason
    first_due_at_ms: int
    last_due_at_ms: int
    count: int
    """Due times from the first to the last."""
    more: bool = False
    """True: there were more than were counted."""
    next_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringEnded:
    """What a schedule began has come to an end."""

    firing_id: Impersonal
    due_at_ms: int
    outcome: FiringOutcome
    detail: Personal = ""


ScheduleAct = ScheduleCreated | SchedulePaused | ScheduleResumed | ScheduleDeleted
"""What people say of schedules; on `user.inputs` it is refused."""
ScheduleInputFact = ScheduleAct | ScheduleDue | FiringSeen
ScheduleFact = ScheduleStood | ScheduleFired | FiringsSkipped | FiringEnded
