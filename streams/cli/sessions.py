"""`sessions`: what sessions there are, and the plan and cost of one, from Postgres."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from sinks import queries
from sinks.queries import SessionDetail, SessionRow, TaskNode
from streams.cli import output
from streams.cli.command import Code, command, fail, given_uuid
from streams.cli.context import database
from streams.cli.output import AsJson

STATUS_COLOURS = {
    "complete": "green",
    "running": "cyan",
    "pending": "dim",
    "failed": "red",
    "pruned": "yellow",
    "aborted": "magenta",
}


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
    output.console.print(root)


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
