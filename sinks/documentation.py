"""The parts of docs/postgres.md that are made from the program: tables, metrics, and a trace."""

from collections.abc import Sequence

from processors.projections.columns import Column, Table
from processors.projections.tables import TABLES
from sinks.metrics import METRICS
from sinks.trace import TracedEvent


def tables() -> str:
    """Return a section for each table that projections fill."""
    return "\n".join(_section(table) for table in TABLES)


def metrics() -> str:
    """Return the table of the sink's metrics."""
    lines = ["| metric | kind | labels | what it tells |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.kind} | {', '.join(one.labels) or '–'} | {one.text} |" for one in METRICS
    ]
    return "\n".join(lines) + "\n"


def traced(events: Sequence[TracedEvent]) -> str:
    """Return events as a query's result shows them."""
    lines = [
        f"{'topic':<16} {'type':<20} {'causation_id':<14} label",
        f"{'-' * 16} {'-' * 20} {'-' * 14} {'-' * 20}",
    ]
    for event in events:
        cause = "…" + str(event.causation_id)[-4:] if event.causation_id else ""
        lines.append(f"{event.topic:<16} {event.type:<20} {cause:<14} {event.label}".rstrip())
    return "\n".join(lines) + "\n"


def between(text: str, name: str) -> str:
    """Return what stands in a document between `<!-- name -->` and `<!-- /name -->`."""
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def _sources(table: Table, column: Column) -> tuple[str, ...]:
    past = table.past_of(column)
    return column.topics if past is None else (*column.topics, *past.topics)


def _section(table: Table) -> str:
    head = [
        f"### {table.name}",
        "",
        table.purpose,
        "",
        "| column | type | from | what it holds |",
        "|---|---|---|---|",
    ]
    if not any(column.name == "id" for column in table.columns):
        head.append("| id | uuid | every event of the row | Made from the ids in the event. |")
    rows = [
        f"| {column.name} | {column.type} | {', '.join(_sources(table, column)) or 'every event of the row'} "
        f"| {column.meaning} |"
        for column in table.stored
    ]
    return "\n".join([*head, *rows, ""])
