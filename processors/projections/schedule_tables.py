"""The tables of schedules; see `tables`."""

from typing import Final

from processors.projections.columns import Column, Resolve, Table, column

_FIRST, _LAST, _ADD = Resolve.FIRST, Resolve.LAST, Resolve.ADD
_SCHEDULES: Final = "schedule.events"
SCHEDULES: Final = Table(
    name="session_schedules",
    purpose="What is said by the clock, and in whose name.",
    columns=(
        column("tenant_id", "text", _SCHEDULES, "Whose it is.", _FIRST),
        column("user_id", "text", _SCHEDULES, "In whose name it speaks.", _FIRST),
        column("name", "text", _SCHEDULES, "Its name, for people."),
        column("message", "text", _SCHEDULES, "What is said each time."),
        column("cron", "text", _SCHEDULES, "When, as a cron expression; or every_ms, or at."),
        column("zone", "text", _SCHEDULES, "The zone whose clocks cron means."),
        column("every_ms", "bigint", _SCHEDULES, "Every so many milliseconds since it was created."),
        column("at", "timestamptz", _SCHEDULES, "Once, then."),
        column("plan", "jsonb", _SCHEDULES, "All that was wanted, its rules among it.", _LAST, "'{}'"),
        column("status", "text", _SCHEDULES, "active, paused, ended or deleted.", _LAST, "'active'"),
        column("next_at", "timestamptz", _SCHEDULES, "When it is due next, if it is active."),
        column("created_at", "timestamptz", _SCHEDULES, "When it was created.", _FIRST),
        column("created_by", "text", _SCHEDULES, "Who created it.", _FIRST),
        column(
            "changed_at", "timestamptz", _SCHEDULES, "When it was last paused, resumed, ended or deleted."
        ),
        column("changed_by", "text", _SCHEDULES, "Who did that; empty: nothing came any more."),
        column("reason", "text", _SCHEDULES, "Why, as far as it was said."),
        column("fired", "bigint", _SCHEDULES, "Times that something began.", _ADD, "0"),
        column("skipped", "bigint", _SCHEDULES, "Due times of which nothing began.", _ADD, "0"),
    ),
)
SCHEDULE_FIRINGS: Final = Table(
    name="schedule_firings",
    purpose="What schedules began; the row's id is the event id of the message that was said.",
    columns=(
        Column(
            name="schedule_id",
            type="uuid",
            topics=(),
            meaning="The schedule, from every event.",
            resolve=_FIRST,
            belongs=True,
        ),
        column("tenant_id", "text", _SCHEDULES, "Whose it is.", _FIRST),
        column("user_id", "text", _SCHEDULES, "In whose name it was said.", _FIRST),
        column("due_at", "timestamptz", _SCHEDULES, "When it was due."),
        column("fired_at", "timestamptz", _SCHEDULES, "When it began."),
        column("missed", "boolean", _SCHEDULES, "Whether it was made up for, long behind its time."),
        column("target_session_id", "uuid", _SCHEDULES, "The session in which it was said."),
        column(
            "outcome",
            "text",
            _SCHEDULES,
            "answered, incomplete, failed, refused, ended (the session, unanswered) or unseen (for a week); "
            "NULL: it is worked on.",
        ),
        column("detail", "text", _SCHEDULES, "Why, where it was not answered."),
        column("ended_at", "timestamptz", _SCHEDULES, "When its end was seen."),
    ),
)
