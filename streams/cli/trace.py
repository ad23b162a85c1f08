"""`trace`: why something happened, from Postgres."""

from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from sinks import queries
from sinks.trace import Node
from sinks.trace import trace as trace_events
from streams.cli import output
from streams.cli.command import Code, command, fail, given_place, given_uuid
from streams.cli.context import database
from streams.cli.output import AsJson


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
    output.show(trace_tree(found.root))
    more = "; there are more than are shown" if found.truncated else ""
    output.say("[dim]{count} events{more}[/]", count=found.events, more=more)


def trace_tree(node: Node) -> Tree:
    """Show a trace as a tree."""
    tree = Tree(_trace_line(node))
    _add_causes(tree, node)
    return tree


def _add_causes(tree: Tree, node: Node) -> None:
    for child in node.children:
        _add_causes(tree.add(_trace_line(child)), child)
    for event_id in node.missing:
        tree.add(output.styled("[red]not in the event log: {event}[/]", event=event_id))


def _trace_line(node: Node) -> Text:
    event = node.event
    return output.styled(
        "[dim]{link}[/][bold]{kind}[/] {place}[dim]{label}[/]",
        link="" if node.link == "start" else f"{node.link}: ",
        kind=event.type,
        place=f"{event.topic}/{event.partition}/{event.offset}",
        label=f" {event.label}" if event.label else "",
    )
