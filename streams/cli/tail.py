"""`tail`: records as they come, live from Kafka."""

from contextlib import aclosing
from typing import Annotated

import typer

from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.client.client import Client, Received
from topics.catalog import BY_NAME, TOPICS


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
        output.say("[dim]{place}[/] [red]{fault}[/]", place=place, fault=received.fault)
        return
    event = received.event
    body = output.plain(event.body)
    output.say(
        "[dim]{place}[/] [bold]{kind}[/] [dim]{session} #{sequence}[/] {body}",
        place=place,
        kind=event.type,
        session=event.session_id,
        sequence=event.sequence,
        body=str(body)[:300],
    )
