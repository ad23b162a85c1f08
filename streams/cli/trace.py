"""`trace`: why something happened, from Postgres."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from sinks import otlp as otlp_form
from sinks import queries, span_source, spans
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
    otlp: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Instead: its whole session as OpenTelemetry spans, into a file of JSON lines (- is "
            "standard output) or to a receiver, such as http://127.0.0.1:4318.",
        ),
    ] = None,
    content: Annotated[
        bool, typer.Option("--content", help="With --otlp: what people, models and tools said, too.")
    ] = False,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="With a receiver: sent with each request; may be repeated."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show why something happened: the tree of its causes, from one SQL query over the event log.

    Example: cartrita trace SESSION --otlp http://127.0.0.1:4318
    """
    if otlp is None and (content or header):
        fail(Code.USAGE, "--content and --header go with --otlp")
    if otlp is not None:
        await _export(event, otlp, _headers(header or []), content=content, as_json=as_json)
        return
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


async def _export(given: str, target: str, headers: dict[str, str], *, content: bool, as_json: bool) -> None:
    async with database() as connection:
        place = given_place(given)
        wanted = await queries.event_at(connection, *place) if place else given_uuid(given)
        session = None if wanted is None else await span_source.session_of(connection, wanted)
        if session is None:
            fail(Code.NOT_FOUND, f"the event log has no session of {given}")
        try:
            events = await span_source.events_of(connection, session, None, content=content)
        except span_source.TooManyEvents as error:
            fail(Code.FAILED, str(error))
    made = spans.spans_of(str(session), events, content=content)
    if target == "-":
        output.emit(otlp_form.as_lines(made))
        return
    if target.startswith(("http://", "https://")):
        try:
            await otlp_form.send(target, made, headers)
        except otlp_form.ReceiverRefused as error:
            fail(Code.AWAY, str(error), "Sent again, the spans have the same ids.")
    else:
        await asyncio.to_thread(Path(target).write_text, otlp_form.as_lines(made), encoding="utf-8")
    traces = list(dict.fromkeys(one.trace_id for one in made))
    if as_json:
        output.emit_json({"session_id": session, "spans": len(made), "traces": traces, "to": target})
    else:
        output.say("{spans} spans of {traces} traces to {to}", spans=len(made), traces=len(traces), to=target)
        for trace_id in traces:
            output.say("[dim]trace[/] {trace}", trace=trace_id)


def _headers(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    if not all(name and sign for name, sign, _ in pairs):
        fail(Code.USAGE, "a header is NAME=VALUE")
    return {name: value for name, _, value in pairs}


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
