"""`sessions`: what sessions there are, and the plan and cost of one, from Postgres."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from sinks import queries
from sinks.queries import SessionDetail, SessionRow, StepRow, TaskNode
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
                output.show(_sessions_table(rows))
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
    came = f", {_came_over(session)}" if session.imported_from else ""
    told = f"{session.status}, {session.turns} turns, {spent}{granted}{origin}{came}"
    root = Tree(output.styled("[bold]session {session}[/] {told}", session=session.id, told=told))
    for node in detail.tasks:
        _add_task(root, node)
    for decision in detail.decisions:
        root.add(
            output.styled(
                "[yellow]{decision}[/] {what} of {agent}: {reason} [dim]{rule}[/]",
                decision=decision.decision,
                what=decision.tool or "model call",
                agent=decision.agent or "-",
                reason=decision.reason or "",
                rule=decision.rule,
            )
        )
    output.show(root)


def _add_task(tree: Tree, node: TaskNode) -> None:
    task = node.task
    colour = STATUS_COLOURS.get(task.status, "white")
    cost = f"{task.actual_cost_tokens or 0:,} of {task.cost_budget_tokens or 0:,} tokens"
    estimated = f" (estimated {task.estimated_cost_tokens:,})" if task.estimated_cost_tokens else ""
    label = Text(task.status, style=colour)
    branch = tree.add(
        label.append_text(
            output.styled(
                " [bold]{agent}[/]: {intent} [dim]{cost}{estimated}[/]",
                agent=task.agent or "-",
                intent=task.intent,
                cost=cost,
                estimated=estimated,
            )
        )
    )
    if task.error_message:
        branch.add(output.styled("[yellow]{message}[/]", message=task.error_message))
    for step in node.steps:
        branch.add(_step(step))
    for child in node.children:
        _add_task(branch, child)


def _step(step: StepRow) -> Text:
    line = output.styled("" if step.succeeded else "[red]failed[/] ")
    line.append_text(
        output.styled(
            "[dim]{purpose}: {model} ({tier})[/]",
            purpose=step.purpose,
            model=step.model,
            tier=step.tier or "unknown tier",
        )
    )
    if step.local:
        line.append_text(output.styled(" [black on yellow] local [/]"))
    return line.append_text(
        output.styled(
            "[dim], {input:,} in, {output:,} out, {cost}, {latency_ms:,} ms[/]",
            input=step.input_tokens,
            output=step.output_tokens,
            cost=output.money(step.cost_nanodollars),
            latency_ms=step.latency_ms,
        )
    )


def _sessions_table(rows: list[SessionRow]) -> Table:
    table = Table("session", "status", "turns", "tokens", "cost", "opened", "last answer", box=None)
    for row in rows:
        answer = (row.last_answer or "").replace("\n", " ")
        if not answer and row.imported_from:
            answer = f"({_came_over(row)})"
        table.add_row(
            str(row.id),
            row.status,
            str(row.turns),
            f"{row.tokens_used:,}",
            output.money(row.nanodollars_used),
            row.opened_at.strftime("%Y-%m-%d %H:%M:%S") if row.opened_at else "-",
            answer[:60],
        )
    return table


def _came_over(session: SessionRow) -> str:
    """Say from where and when a session came over."""
    at = f" on {session.imported_at:%Y-%m-%d %H:%M}" if session.imported_at else ""
    return f"{session.imported_messages or 0:,} messages from {session.imported_from}{at}"
