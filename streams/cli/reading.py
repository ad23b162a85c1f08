"""`tail`, `sessions`, `trace`: what happened, live from Kafka and afterwards from Postgres."""

from contextlib import aclosing
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from sinks import queries
from sinks.queries import SessionDetail, SessionRow, TaskNode
from sinks.trace import Node
from sinks.trace import trace as trace_events
from streams.cli import output
from streams.cli.context import database, settings
from streams.cli.ending import Code, command, fail, given_place, given_uuid
from streams.cli.output import AsJson
from streams.client.client import Client, Received
from topics.catalog import BY_NAME, TOPICS

STATUS_COLOURS = {
    "complete": "green",
    "running": "cyan",
    "pending": "dim",
    "failed": "red",
    "pruned": "yellow",
    "aborted": "magenta",
}


@command
async def tail(
    topic: Annotated[
        list[str] | None, typer.Option("--topic", "-t", help="Only this topic; may be repeated.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", "-s", help="Only this session.")] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--type", help="Only facts of this type, such as TaskCompleted.")
    ] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="From the log's start.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many records.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show records as they come, decoded and filtered, one a line. Ctrl-C ends it."""
    unknown = sorted(set(topic or ()) - set(BY_NAME))
    if unknown:
        fail(Code.USAGE, f"there is no topic {', '.join(unknown)}", f"The topics are {', '.join(BY_NAME)}.")
    wanted = [BY_NAME[name] for name in topic or ()] or list(TOPICS)
    shown = 0
    async with (
        Client(settings()) as client,
        aclosing(client.read(wanted, from_beginning=from_beginning)) as records,
    ):
        async for received in records:
            if not _wanted(received, session, kind):
                continue
            _show_record(received, as_json=as_json)
            shown += 1
            if limit is not None and shown >= limit:
                return


@command
async def sessions(
    session: Annotated[str | None, typer.Argument(help="UUID of one session, to see its tasks.")] = None,
    status: Annotated[str | None, typer.Option(help="Only sessions of this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List sessions, or show one with its plan as a tree, and what each step cost."""
    async with database() as connection:
        if session is None:
            rows = await queries.sessions(connection, status=status, limit=limit)
            if as_json:
                output.emit_json(rows)
            else:
                output.console.print(_sessions_table(rows))
            return
        detail = await queries.session_detail(connection, given_uuid(session))
    if detail is None:
        fail(Code.NOT_FOUND, f"there is no session {session}")
    if as_json:
        output.emit_json(detail)
    else:
        show_session(detail)


@command
async def trace(
    event: Annotated[
        str,
        typer.Argument(help="UUID of an event, task, call or session, or a place: topic/partition/offset."),
    ],
    effects: Annotated[
        bool, typer.Option("--effects", help="What it led to, instead of its causes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show why something happened: the tree of its causes, from one SQL query over the event log."""
    async with database() as connection:
        place = given_place(event)
        given = await queries.event_at(connection, *place) if place else given_uuid(event)
        found = None if given is None else await trace_events(connection, given, effects=effects)
    if found is None:
        fail(Code.NOT_FOUND, f"the event log has nothing of {event}")
    if as_json:
        output.emit_json(found)
        return
    output.console.print(trace_tree(found.root))
    more = "; there are more than are shown" if found.truncated else ""
    output.say(f"[dim]{found.events} events{more}[/]")


def show_session(detail: SessionDetail) -> None:
    """Show a session's tasks as trees, with cost and tier of each step."""
    session = detail.session
    spent = f"{session.tokens_used:,} tokens, {output.money(session.nanodollars_used)}"
    granted = f" of {session.budget_tokens:,}" if session.budget_tokens else ""
    origin = f", forked from {session.forked_from}" if session.forked_from else ""
    told = f"{session.status}, {session.turns} turns, {spent}{granted}{origin}"
    root = Tree(f"[bold]session {session.id}[/] {told}")
    for node in detail.tasks:
        _add_task(root, node)
    for decision in detail.decisions:
        about = f"{decision.tool or 'model call'} of {decision.agent or '-'}"
        root.add(
            f"[yellow]{decision.decision}[/] {escape(about)}: {escape(decision.reason or '')} "
            f"[dim]{decision.rule}[/]"
        )
    output.console.print(root)


def trace_tree(node: Node) -> Tree:
    """Show a trace as a tree."""
    tree = Tree(_trace_line(node))
    _add_causes(tree, node)
    return tree


def _add_causes(tree: Tree, node: Node) -> None:
    for child in node.children:
        _add_causes(tree.add(_trace_line(child)), child)
    for event_id in node.missing:
        tree.add(f"[red]not in the event log: {event_id}[/]")


def _trace_line(node: Node) -> str:
    event = node.event
    link = "" if node.link == "start" else f"[dim]{node.link}:[/] "
    label = f" [dim]{escape(event.label)}[/]" if event.label else ""
    return f"{link}[bold]{event.type}[/] {event.topic}/{event.partition}/{event.offset}{label}"


def _add_task(tree: Tree, node: TaskNode) -> None:
    task = node.task
    colour = STATUS_COLOURS.get(task.status, "white")
    cost = f"{task.actual_cost_tokens or 0:,} of {task.cost_budget_tokens or 0:,} tokens"
    estimated = f" (estimated {task.estimated_cost_tokens:,})" if task.estimated_cost_tokens else ""
    branch = tree.add(
        f"[{colour}]{task.status}[/] [bold]{task.agent or '-'}[/]: {escape(task.intent)} "
        f"[dim]{cost}{estimated}[/]"
    )
    if task.error_message:
        branch.add(f"[yellow]{escape(task.error_message)}[/]")
    for step in node.steps:
        outcome = "" if step.succeeded else "[red]failed[/] "
        local = " [black on yellow] local [/]" if step.local else ""
        branch.add(
            f"{outcome}[dim]{step.purpose}: {step.model} ({step.tier or 'unknown tier'}){local}, "
            f"{step.input_tokens:,} in, {step.output_tokens:,} out, {output.money(step.cost_nanodollars)}, "
            f"{step.latency_ms:,} ms[/]"
        )
    for child in node.children:
        _add_task(branch, child)


def _sessions_table(rows: list[SessionRow]) -> Table:
    table = Table("session", "status", "turns", "tokens", "cost", "opened", "last answer", box=None)
    for row in rows:
        answer = (row.last_answer or "").replace("\n", " ")
        table.add_row(
            str(row.id),
            row.status,
            str(row.turns),
            f"{row.tokens_used:,}",
            output.money(row.nanodollars_used),
            row.opened_at.strftime("%Y-%m-%d %H:%M:%S") if row.opened_at else "-",
            escape(answer[:60]),
        )
    return table


def _wanted(received: Received, session: str | None, kinds: list[str] | None) -> bool:
    event = received.event
    if event is None:
        return session is None and not kinds
    return (session is None or event.session_id == session) and (not kinds or event.type in kinds)


def _show_record(received: Received, *, as_json: bool) -> None:
    place = f"{received.topic.name}/{received.partition}/{received.offset}"
    if as_json:
        event = output.event_json(received.event) if received.event else None
        output.emit_json({"place": place, "key": received.key, "event": event, "fault": received.fault})
        return
    if received.event is None:
        output.say(f"[dim]{place}[/] [red]{escape(received.fault)}[/]")
        return
    event = received.event
    body = output.plain(event.body)
    output.say(
        f"[dim]{place}[/] [bold]{event.type}[/] [dim]{event.session_id} #{event.sequence}[/] "
        f"{escape(str(body)[:300])}"
    )
