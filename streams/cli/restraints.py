"""`tools stop` and `tools start`: an operator keeps tools from being called; and what else is withheld."""

import asyncio
import json
import uuid
from contextlib import aclosing
from typing import Annotated, Final

import typer
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from processors.inputs import InputInvalid, checked_restraint
from processors.objections import EVERY_TENANT
from processors.restraints import Restraints, Stop, Withheld
from schemas.envelope import Envelope
from schemas.events.configurations import ConfigurationKind, ConfigurationPublished
from schemas.events.restraints import EVERY_TOOL, RestraintAct, ToolsStarted, ToolsStopped
from schemas.wire.registry import RegistryError
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.messages import PRODUCER
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.configuration.servers import load_servers
from streams.process.settings import Settings
from streams.worker.own_tools import configured_tool_names
from topics.catalog import CONFIGURATION, OPERATOR_INPUTS, TOOL_RESTRAINTS, Topic

_READ_S: Final = 30.0

Name = Annotated[
    str | None, typer.Argument(metavar="[TOOL|SERVER]", help="A tool, or a server for all its tools.")
]
All = Annotated[bool, typer.Option("--all", help="Every tool of every server, ours and one's own, too.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the record; agents are told, too.")]
User = Annotated[str, typer.Option(help="Which operator does it, for the record.")]
Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds until it has to hold.")]


@command
async def stop(
    name: Name = None,
    every: All = False,
    reason: Reason = None,
    timeout_s: Timeout = 30,
    user: User = "operator",
    as_json: AsJson = False,
) -> None:
    """Keep tools from being called, in all workers and for all tenants, until `tools start` takes it back.

    What was not sent yet is refused. What runs is cancelled; of a call that was sent, and that must not be
    repeated, the outcome is unknown. Agents are told why. Exit code 5: nobody has taken it in yet.

    Example: cartrita tools stop files --reason "it deletes what it should not"
    """
    target = _target(name, every=every)
    local = settings()
    async with Client(local) as client:
        if target != EVERY_TOOL and target not in await _known(client, local):
            fail(
                Code.NOT_FOUND,
                f"there is no tool and no server {target}, neither here nor among those that workers have",
                "`cartrita tools list` names them; --all stops every tool.",
            )
        await _act(client, ToolsStopped(name=target, reason=reason), user, timeout_s)
    if as_json:
        output.emit_json({"stopped": target})
    else:
        output.say("stopped {what}", what=_called(target))


@command
async def start(
    name: Name = None,
    every: All = False,
    reason: Reason = None,
    timeout_s: Timeout = 30,
    user: User = "operator",
    as_json: AsJson = False,
) -> None:
    """Take back a stop of the same name; other stops stay. Exit code 4: there is none."""
    target = _target(name, every=every)
    async with Client(settings()) as client:
        restraints = await read_restraints(client)
        if target not in restraints.stops:
            held = ", ".join(map(_called, restraints.stops)) or "nothing"
            fail(Code.NOT_FOUND, f"{_called(target)}: there is no such stop; stopped is {held}")
        await _act(client, ToolsStarted(name=target, reason=reason), user, timeout_s)
        restraints = await read_restraints(client)
    others = sorted(restraints.stops)
    if as_json:
        output.emit_json({"started": target, "still_stopped": others})
        return
    output.say("started {what}", what=_called(target))
    if others:
        output.note("[yellow]still stopped: {names}[/]", names=", ".join(map(_called, others)))


async def restraints_now(local: Settings) -> Restraints | None:
    """Return what the log says now; None: Kafka or the registry is away."""
    try:
        async with asyncio.timeout(_READ_S), Client(local) as client:
            return await read_restraints(client)
    except (KafkaError, RegistryError, TimeoutError, OSError):
        return None


async def read_restraints(client: Client) -> Restraints:
    """Return all restraints that the log knows now."""
    restraints = Restraints()
    for event in await _whole(client, TOOL_RESTRAINTS):
        restraints.apply(event)
    return restraints


def told_of_stop(held: Stop) -> str:
    """Say who stopped tools, when and why."""
    reason = f": {held.reason}" if held.reason else ""
    return f"stopped by {held.operator} at {output.time(held.stopped_at_ms)}{reason}"


def told_of_withheld(held: Withheld) -> str:
    """Say what of a server is withheld, and since when."""
    fact = held.fact
    parts = [
        f"{what}: {', '.join(names)}"
        for what, names in (
            ("added", fact.added),
            ("removed", fact.removed),
            ("changed", fact.changed),
            ("renamed", [f"{one.before} → {one.after}" for one in fact.renamed]),
            ("cannot be used", [f"{one.tool} ({one.reason})" for one in fact.put_aside]),
        )
        if names
    ]
    if fact.program_changed:
        parts.append("its program is not the one that was accepted")
    return f"since {output.time(held.told_at_ms)}, tenant {fact.tenant}: {'; '.join(parts)}"


def _target(name: str | None, *, every: bool) -> str:
    if every == (name is not None):
        fail(Code.USAGE, "name one tool or server, or say --all")
    return EVERY_TOOL if name is None else name


def _called(target: str) -> str:
    return "every tool" if target == EVERY_TOOL else target


async def _known(client: Client, local: Settings) -> set[str]:
    """Return the names of tools and servers that are configured here, or that workers ever had."""
    names = {*configured_tool_names(local), *load_servers(local.mcp_servers)}
    for event in await _whole(client, CONFIGURATION):
        body = event.body
        if isinstance(body, ConfigurationPublished) and body.kind == ConfigurationKind.TOOLS:
            names.update(json.loads(body.content_json))
    return names | {name.partition("__")[0] for name in names if "__" in name}


async def _act(client: Client, act: RestraintAct, user: str, timeout_s: float) -> None:
    """Write an operator's act, and wait until the workers are told of it."""
    event = Envelope(
        event_id=str(uuid.uuid4()),
        type=type(act).__name__,
        tenant_id=EVERY_TENANT,
        user_id=user,
        producer=PRODUCER,
        body=act,
    )
    try:
        checked_restraint(event, taken_at_ms=0)
    except InputInvalid as error:
        fail(Code.USAGE, str(error))
    await client.write(OPERATOR_INPUTS, event)
    try:
        async with (
            asyncio.timeout(timeout_s),
            aclosing(client.read((TOOL_RESTRAINTS,), from_beginning=True)) as records,
        ):
            async for received in records:
                if received.event is not None and received.event.event_id == event.event_id:
                    return
    except TimeoutError:
        fail(
            Code.TIMED_OUT,
            f"no ingress shell has taken it in within {timeout_s:.0f} s; it holds as soon as one does",
            "Is a worker running? `cartrita status` tells.",
        )


async def _whole(client: Client, topic: Topic) -> list[Envelope]:
    async with asyncio.timeout(_READ_S):
        return await client.whole(topic)
