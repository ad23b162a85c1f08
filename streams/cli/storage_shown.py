"""What `storage` shows: the log, the database and the documents, for people and for programs."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from rich.table import Table

from sinks.storage import CollectionUsage, DatabaseUsage
from streams.cli import output
from topics.usage import Kept, LogUsage, days_left

_TABLES_SHOWN: Final = 20
_UNKNOWN: Final = "unknown"


def show_log(log: LogUsage, prefix: str, bound: int | None, *, every: bool) -> None:
    """Show topics and brokers' disks.

    Args:
        log: what was measured.
        prefix: before topic names.
        bound: tell in how many days all copies take so many bytes.
        every: show empty topics, too.
    """
    output.say(
        "[bold]Kafka[/]  {size}, on all brokers {copies}; grows {growth}{bound}",
        size=output.size(log.bytes),
        copies=output.size(log.bytes_of_replicas),
        growth=_growth(log.growth),
        bound=_until(bound, log.bytes_of_replicas, log.growth),
    )
    disks = Table(
        "broker", "directory", "ours", "others'", "free", "volume", "full in", box=None, header_style="dim"
    )
    for one in log.directories:
        ours = log.own_bytes_in(one, prefix)
        growth = log.growth_in(one, prefix)
        disks.add_row(
            str(one.broker),
            one.path,
            output.size(ours),
            output.size(sum(one.replicas.values()) - ours),
            size(one.free_bytes),
            size(one.volume_bytes),
            "unknown" if one.free_bytes is None else _days(one.free_bytes, growth),
        )
    output.show(disks)
    table = Table(box=None, header_style="dim")
    for name in ("topic", "kept"):
        table.add_column(name)
    for name in ("size", "copies", "records", "oldest", "newest", "grows"):
        table.add_column(name, justify="right")
    shown = [topic for topic in log.topics if every or topic.records]
    for topic in sorted(shown, key=lambda one: -one.bytes):
        table.add_row(
            topic.name,
            topic.kept,
            output.size(topic.bytes),
            output.size(topic.bytes_of_replicas),
            f"{topic.records:,}",
            "" if topic.oldest_ms is None else output.time(topic.oldest_ms),
            "" if topic.newest_ms is None else output.time(topic.newest_ms),
            _growth(log.growth_of(topic)) if topic.kept is Kept.FOR_EVER else "",
        )
    output.show(table)
    output.say("[dim]growth is measured since {since}[/]", since=output.time(log.since_ms))


def show_database(
    usage: DatabaseUsage, events_per_day: float | None, bound: int | None, *, every: bool
) -> None:
    """Show the tables; arguments as in `show_log`."""
    growth = usage.growth(events_per_day)
    output.say("")
    output.say(
        "[bold]Postgres[/]  {name}: {size}; what comes from the log grows {growth}{bound}",
        name=usage.name,
        size=output.size(usage.bytes),
        growth=_growth(growth),
        bound=_until(bound, usage.bytes, growth),
    )
    table = Table(box=None, header_style="dim")
    for name in ("table", "from"):
        table.add_column(name)
    for name in ("rows, about", "dead", "table", "indexes", "long values", "all", "vacuumed"):
        table.add_column(name, justify="right")
    shown = usage.tables if every else usage.tables[:_TABLES_SHOWN]
    for one in shown:
        table.add_row(
            f"{one.schema}.{one.name}" if one.schema else one.name,
            one.origin,
            "unknown" if one.rows is None else f"{one.rows:,}",
            f"{one.dead_rows:,}",
            output.size(one.heap_bytes),
            output.size(one.index_bytes),
            output.size(one.toast_bytes),
            output.size(one.bytes),
            "" if one.vacuumed_at is None else one.vacuumed_at.astimezone(UTC).isoformat(timespec="seconds"),
        )
    output.show(table)
    if len(shown) < len(usage.tables):
        output.say("[dim]{count} smaller ones; --all shows them[/]", count=len(usage.tables) - len(shown))


def show_documents(found: tuple[CollectionUsage, ...]) -> None:
    """Show collections of documents, if there are any."""
    if not found:
        return
    output.say("")
    table = Table(
        "documents of", "tenant", "documents", "passages", "oldest", "newest", box=None, header_style="dim"
    )
    for one in found:
        table.add_row(
            one.collection,
            one.tenant_id,
            f"{one.documents:,}",
            f"{one.passages:,}",
            *(at.astimezone(UTC).isoformat(timespec="seconds") for at in (one.oldest, one.newest)),
        )
    output.show(table)


def plain_log(log: LogUsage, prefix: str, bound: int | None) -> dict[str, object]:
    """Return the same for programs; what nobody knows is null."""
    left = None if bound is None else days_left(bound - log.bytes_of_replicas, log.growth)
    return {
        "bytes": log.bytes,
        "bytes_of_replicas": log.bytes_of_replicas,
        "bytes_a_day": log.growth,
        "days_left": left,
        "measured_since": datetime.fromtimestamp(log.since_ms / 1_000, UTC),
        "events_a_day": log.events_per_day,
        "directories": [
            {
                "broker": one.broker,
                "path": one.path,
                "own_bytes": log.own_bytes_in(one, prefix),
                "bytes": sum(one.replicas.values()),
                "free_bytes": one.free_bytes,
                "volume_bytes": one.volume_bytes,
                "bytes_a_day": log.growth_in(one, prefix),
            }
            for one in log.directories
        ],
        "topics": [{**asdict(one), "bytes_a_day": log.growth_of(one)} for one in log.topics],
    }


def plain_database(
    usage: DatabaseUsage, events_per_day: float | None, bound: int | None
) -> dict[str, object]:
    """Return the same for programs."""
    growth = usage.growth(events_per_day)
    return {
        "database": usage.name,
        "bytes": usage.bytes,
        "bytes_a_day": growth,
        "days_left": None if bound is None else days_left(bound - usage.bytes, growth),
        "tables": [{**asdict(one), "origin": one.origin} for one in usage.tables],
    }


def size(count: int | None) -> str:
    """Write a size; unknown, if nobody tells."""
    return "unknown" if count is None else output.size(count)


def _growth(per_day: float | None) -> str:
    return "unknown" if per_day is None else f"{output.size(per_day)} a day"


def _until(bound: int | None, taken: int, growth: float | None) -> str:
    if bound is None:
        return ""
    if taken >= bound:
        return f"; over {output.size(bound)} by {output.size(taken - bound)}"
    days = _days(bound - taken, growth)
    return (
        f"; when it will be {output.size(bound)} is unknown"
        if days == _UNKNOWN
        else f"; {output.size(bound)} in {days}"
    )


def _days(left_bytes: int, growth: float | None) -> str:
    if growth == 0:
        return "no time: it does not grow"
    days = days_left(left_bytes, growth)
    return _UNKNOWN if days is None else f"{days:,.0f} days" if days >= 10 else f"{days:,.1f} days"
