"""Which due times a schedule has, and which of those that passed count."""

from dataclasses import dataclass
from typing import Final

from schemas.events.schedules import MissedRule, SchedulePlan
from schemas.ports.calendar import Calendar

MISSED_MAX: Final = 100
COUNT_MAX: Final = 1_000
"""So many due times that were missed are counted; a look at a thousand of cron's takes 70 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Due times that nobody makes up for."""

    first_ms: int
    last_ms: int
    count: int
    more: bool
    """There are more than were counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What a schedule comes to at one moment."""

    skipped: Skipped | None
    fire_at_ms: int | None
    """The due time that begins now; the next one waits for its own moment, even if that has passed too."""
    missed: bool
    """It had passed by more than the schedule allows."""
    next_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Times:
    """The due times of one schedule."""

    plan: SchedulePlan
    calendar: Calendar
    anchor_ms: int
    """From when on `every_ms` counts."""

    def next_after_ms(self, at_ms: int) -> int | None:
        """Return the first due time behind a moment; None: there is none."""
        plan = self.plan
        if plan.cron is not None:
            return self.calendar.next_after_ms(plan.cron, plan.zone, at_ms)
        if plan.every_ms is not None:
            past = max(0, (at_ms - self.anchor_ms) // plan.every_ms)
            return self.anchor_ms + (past + 1) * plan.every_ms
        return plan.at_ms if plan.at_ms is not None and plan.at_ms > at_ms else None

    def last_before_ms(self, at_ms: int) -> int | None:
        """Return the last due time before a moment; None: there is none."""
        plan = self.plan
        if plan.cron is not None:
            return self.calendar.last_before_ms(plan.cron, plan.zone, at_ms)
        if plan.every_ms is not None:
            times = -((self.anchor_ms - at_ms) // plan.every_ms) - 1
            return self.anchor_ms + times * plan.every_ms if times >= 1 else None
        return plan.at_ms if plan.at_ms is not None and plan.at_ms < at_ms else None

    def due(self, next_at_ms: int, now_ms: int) -> Due:
        """Return what of the due times from `next_at_ms` up to now begins now, and what never will."""
        fresh_from_ms = now_ms - self.plan.late_ms_max
        if next_at_ms >= fresh_from_ms:
            return Due(
                skipped=None,
                fire_at_ms=next_at_ms,
                missed=False,
                next_at_ms=self.next_after_ms(next_at_ms),
            )
        fresh_ms = self.next_after_ms(fresh_from_ms - 1)
        is_fresh = fresh_ms is not None and fresh_ms <= now_ms
        kept_ms = self._first_kept_ms(next_at_ms, fresh_from_ms, is_fresh=is_fresh)
        fire_at_ms = kept_ms if kept_ms is not None else fresh_ms if is_fresh else None
        until_ms = fresh_from_ms if kept_ms is None else kept_ms
        return Due(
            skipped=self._skipped(next_at_ms, until_ms) if next_at_ms < until_ms else None,
            fire_at_ms=fire_at_ms,
            missed=kept_ms is not None,
            next_at_ms=fresh_ms if fire_at_ms is None else self.next_after_ms(fire_at_ms),
        )

    def _first_kept_ms(self, next_at_ms: int, fresh_from_ms: int, *, is_fresh: bool) -> int | None:
        """Return the oldest of the missed times that are made up for."""
        match self.plan.missed:
            case MissedRule.ALL:
                keep = min(self.plan.missed_max, MISSED_MAX)
            case MissedRule.LAST:
                keep = 0 if is_fresh else 1
            case _:
                keep = 0
        kept_ms: int | None = None
        for _ in range(keep):
            before_ms = self.last_before_ms(fresh_from_ms if kept_ms is None else kept_ms)
            if before_ms is None or before_ms < next_at_ms:
                break
            kept_ms = before_ms
        return kept_ms

    def _skipped(self, first_ms: int, until_ms: int) -> Skipped:
        last_ms = self.last_before_ms(until_ms)
        count, at_ms = 0, first_ms
        every_ms = self.plan.every_ms
        if every_ms is not None and last_ms is not None:
            return Skipped(
                first_ms=first_ms,
                last_ms=last_ms,
                count=(last_ms - first_ms) // every_ms + 1,
                more=False,
            )
        while at_ms < until_ms and count < COUNT_MAX:
            count += 1
            following_ms = self.next_after_ms(at_ms)
            if following_ms is None:
                at_ms = until_ms
                break
            at_ms = following_ms
        return Skipped(
            first_ms=first_ms,
            last_ms=first_ms if last_ms is None else max(first_ms, last_ms),
            count=count,
            more=at_ms < until_ms,
        )
