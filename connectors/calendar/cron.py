"""Due times of cron expressions, as Debian's cron has them, clocks that are set forward and back included.

A time of day that does not exist on a day, since clocks are set forward past it, counts as the first moment
behind the gap; one that comes twice, as clocks are set back, counts the first time. That holds where
minute and hour are named; where either begins with `*`, times that do not exist are left out, and those that
come twice come twice.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from schemas.ports.calendar import CalendarInvalid

FIELDS = 5
_STEPS_MAX = 10_000
"""Between two due times that differ lie at most those of one hour that comes twice."""


class CronCalendar:
    """Reads expressions by cronsim, and zones from the system or the package tzdata."""

    def check(self, cron: str, zone: str) -> None:
        """Look whether an expression can be read, in a zone that there is.

        Raises:
            CalendarInvalid: it cannot, or it is never due.
        """
        fields = len(cron.split())
        if fields != FIELDS:
            raise CalendarInvalid(
                f"a cron expression has {FIELDS} fields: minute, hour, day of the month, month, day of the "
                f"week; {cron[:100]!r} has {fields}"
            )
        if self.next_after_ms(cron, zone, 0) is None:
            raise CalendarInvalid(f"the cron expression {cron[:100]!r} is never due")

    def next_after_ms(self, cron: str, zone: str, at_ms: int) -> int | None:
        """Return the first due time behind a moment, in milliseconds since 1970; None: there is none.

        Raises:
            CalendarInvalid: expression or zone cannot be read.
        """
        # Where clocks are set by half an hour, as on Lord Howe, cronsim passes over what is due that day
        # in one direction and finds it in the other; so both are asked.
        due_ms = _after(cron, zone, at_ms)
        while due_ms is not None and at_ms < (before_ms := _before(cron, zone, due_ms) or at_ms):
            due_ms = before_ms
        return due_ms

    def last_before_ms(self, cron: str, zone: str, at_ms: int) -> int | None:
        """Return the last due time before a moment; None: there is none.

        Raises:
            CalendarInvalid: expression or zone cannot be read.
        """
        due_ms = _before(cron, zone, at_ms)
        while due_ms is not None and (after_ms := _after(cron, zone, due_ms) or at_ms) < at_ms:
            due_ms = after_ms
        return due_ms


def _after(cron: str, zone: str, at_ms: int) -> int | None:
    return next((one for one in _times(cron, zone, at_ms, reverse=False) if one > at_ms), None)


def _before(cron: str, zone: str, at_ms: int) -> int | None:
    return next((one for one in _times(cron, zone, at_ms, reverse=True) if one < at_ms), None)


def _times(cron: str, zone: str, at_ms: int, *, reverse: bool) -> Iterator[int]:
    at = datetime.fromtimestamp(at_ms / 1_000, UTC).astimezone(zone_of(zone))
    try:
        times = CronSim(cron, at, reverse=reverse)
    except CronSimError as error:
        raise CalendarInvalid(f"the cron expression {cron[:100]!r} cannot be read: {error}") from error
    for _ in range(_STEPS_MAX):
        try:
            due = next(times)
        except (StopIteration, OverflowError, ValueError):
            return
        yield int(due.timestamp()) * 1_000


@lru_cache(maxsize=1_024)
def zone_of(name: str) -> ZoneInfo:
    """Return a zone by its name in the IANA database.

    Raises:
        CalendarInvalid: there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise CalendarInvalid(
            f"there is no zone {name[:100]!r}; one is Europe/Berlin, another UTC"
        ) from error
