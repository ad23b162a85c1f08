"""Moments and durations as people write them."""

import re
from datetime import UTC, datetime
from typing import Final

from connectors.calendar.cron import zone_of
from schemas.ports.calendar import CalendarInvalid

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")


def moment_ms(text: str, zone: str) -> int:
    """Read a moment as ISO 8601 has it; without an offset it is what the zone's clocks show.

    Raises:
        CalendarInvalid: it is none, or none that the zone's clocks show just once.
    """
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise CalendarInvalid(f"{text[:50]!r} is no moment; one is 2026-12-24T18:00") from error
    if given.tzinfo is None:
        local = given.replace(tzinfo=zone_of(zone))
        both = (local, local.replace(fold=1))
        if any(one.astimezone(UTC).astimezone(one.tzinfo).replace(tzinfo=None) != given for one in both):
            raise CalendarInvalid(f"{text} does not exist in {zone}: clocks are set forward past it")
        if both[0].utcoffset() != both[1].utcoffset():
            raise CalendarInvalid(
                f"{text} comes twice in {zone}, as clocks are set back: say which, as "
                f"{both[0].isoformat()} or {both[1].isoformat()}"
            )
        given = local
    try:
        return int(given.timestamp() * 1_000)
    except OverflowError as error:
        raise CalendarInvalid(f"{text[:50]!r} is beyond the years 1 to 9999") from error


def duration_ms(text: str) -> int:
    """Read a duration: 30s, 15m, 2h or 1d.

    Raises:
        CalendarInvalid: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise CalendarInvalid(f"{text[:50]!r} is no duration; some are 30s, 15m, 2h and 1d")
    return int(found[1]) * _UNITS_MS[found[2]]


def duration_told(duration: int) -> str:
    """Tell a duration in the largest unit that measures it: 90000 is 90s, 3600000 is 1h."""
    for unit, unit_ms in reversed(_UNITS_MS.items()):
        if duration % unit_ms == 0:
            return f"{duration // unit_ms}{unit}"
    return f"{duration} ms"
