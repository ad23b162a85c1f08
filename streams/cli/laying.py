"""`topics`, `schemas`, `migrate`: laying the ground that workers and sinks stand on."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.markup import escape
from rich.table import Table

import schemas as schemas_package
from processors.lifecycles import lifecycles_markdown
from schemas.wire.avro_schema import derived_schema, rendered, schema_text
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from sinks import migrator
from streams.cli import output
from streams.cli.context import settings
from streams.cli.ending import Code, command, fail
from streams.cli.output import AsJson
from topics import admin
from topics.catalog import BY_NAME, TOPICS
from topics.documentation import events_markdown
from topics.watermark import watermark

topics = typer.Typer(help="The catalogue of topics: list, apply, verify.", no_args_is_help=True)
schemas = typer.Typer(help="The Avro contracts: list, show, register, write, document.", no_args_is_help=True)


@topics.command("list")
@command
async def list_topics(as_json: AsJson = False) -> None:
    """List all topics, what they carry, and how long Kafka keeps it."""
    if as_json:
        output.emit_json(
            [
                {
                    "name": topic.name,
                    "facts": [fact.__name__ for fact in topic.facts],
                    "keyed_by": topic.keying,
                    "cleanup_policy": topic.cleanup,
                    "retention_ms": topic.retention_ms,
                    "purpose": topic.purpose,
                    "writers": topic.writers,
                }
                for topic in TOPICS
            ]
        )
        return
    table = Table("topic", "keyed by", "kept", "facts", box=None, header_style="dim")
    for topic in TOPICS:
        hours = topic.retention_ms // 3_600_000
        kept = topic.cleanup if topic.cleanup == "compact" else "for ever" if topic.is_truth else f"{hours} h"
        table.add_row(topic.name, topic.keying, kept, ", ".join(fact.__name__ for fact in topic.facts))
    output.console.print(table)


@topics.command("apply")
@command
async def apply_topics(as_json: AsJson = False) -> None:
    """Create the topics that are missing and compare the others; none is ever changed or deleted."""
    await _report_topics(create=True, as_json=as_json)


@topics.command("verify")
@command
async def verify_topics(as_json: AsJson = False) -> None:
    """Compare the topics with the catalogue and change nothing. Exit code 1 when one breaks a promise."""
    await _report_topics(create=False, as_json=as_json)


@topics.command("watermark")
@command
async def show_watermark(as_json: AsJson = False) -> None:
    """Tell from where on the log is complete: which partitions of the truth have lost records."""
    given = settings()
    try:
        found = await watermark(given.kafka_bootstrap, given.topic_prefix)
    except admin.TopicsUnavailable as error:
        fail(Code.AWAY, str(error))
    if as_json:
        output.emit_json({"complete_since_ms": found.complete_since_ms, "partitions": found.extents})
        return
    if not found.cut:
        output.say(f"the log is whole: {len(found.extents)} partitions begin at their first record")
        return
    table = Table("topic", "partition", "begins at offset", "written", box=None, header_style="dim")
    for one in found.cut:
        begins = "nothing is left" if one.begins_at_ms is None else output.time(one.begins_at_ms)
        table.add_row(one.topic, str(one.partition), f"{one.first_offset:,}", begins)
    output.console.print(table)
    output.say(
        f"[yellow]{len(found.cut)} of {len(found.extents)} partitions[/] have lost records: sessions that "
        "began before cannot be replayed, and a rebuild needs a snapshot from before"
    )


async def _report_topics(*, create: bool, as_json: bool) -> None:
    given = settings()
    work = admin.apply if create else admin.verify
    try:
        report = await work(
            given.kafka_bootstrap,
            given.topic_prefix,
            given.partitions,
            given.replication,
            given.session_timeout_ms,
        )
    except admin.TopicsUnavailable as error:
        fail(Code.AWAY, str(error))
    if as_json:
        output.emit_json(report)
    else:
        for name in report.created:
            output.say(f"[green]created[/] {name}")
        for name in report.missing:
            output.say(f"[red]missing[/] {name}")
        for difference in report.differences:
            mark = "[red]refused[/]" if difference.breaks else "[yellow]differs[/]"
            output.say(
                f"{mark} {difference.topic} {difference.setting}: {difference.actual}, "
                f"made with {difference.expected}"
            )
            for line in filter(None, (difference.breaks, difference.repair)):
                output.say(f"  {escape(line)}")
        output.say(f"{report.verified} topics are as the catalogue has them")
    if not report.ok:
        raise typer.Exit(Code.FAILED)


@schemas.command("list")
@command
async def list_schemas(as_json: AsJson = False) -> None:
    """List the contracts with the SHA-256 of their texts."""
    rows = [(topic.name, sha256(schema_text(topic).encode()).hexdigest()) for topic in TOPICS]
    if as_json:
        output.emit_json([{"topic": name, "sha256": mark} for name, mark in rows])
        return
    for name, mark in rows:
        output.say(f"{mark[:16]}  {name}.avsc")


@schemas.command("show")
@command
async def show_schema(topic: Annotated[str, typer.Argument(help="Name of the topic.")]) -> None:
    """Print the Avro schema of a topic."""
    if topic not in BY_NAME:
        fail(Code.NOT_FOUND, f"there is no topic {topic}", f"The topics are {', '.join(BY_NAME)}.")
    output.console.print(schema_text(BY_NAME[topic]), markup=False, end="")


@schemas.command("register")
@command
async def register_schemas() -> None:
    """Register all contracts; the registry refuses one whose readers could not read earlier records."""
    given = settings()
    registry = SchemaRegistry(given.registry_url)
    try:
        await Codec.connect(TOPICS, registry, given.topic_prefix)
    finally:
        await registry.close()
    output.say(f"{len(TOPICS)} schemas are registered at {given.registry_url}")


@schemas.command("write")
@command
async def write_schemas() -> None:
    """Write the contracts anew from the typed events; for whoever changes the events."""
    folder = Path(schemas_package.__file__ or "").parent / "avro"
    for topic in TOPICS:
        (folder / f"{topic.name}.avsc").write_text(rendered(derived_schema(topic)), encoding="utf-8")
    output.say(f"wrote {len(TOPICS)} schemas to {folder}")


@schemas.command("document")
@command
async def document_schemas(
    folder: Annotated[Path, typer.Argument(help="Where the pages stand.")] = Path("docs"),
) -> None:
    """Write the pages anew that are made from the contracts and from the tables of lifecycles."""
    for name, text in (("events.md", events_markdown()), ("lifecycles.md", lifecycles_markdown())):
        (folder / name).write_text(text, encoding="utf-8")
        output.say(f"wrote {folder / name}")


@command
async def migrate() -> None:
    """Create the tables, or add what this version adds; safe to repeat."""
    connection = await psycopg.AsyncConnection.connect(settings().postgres_dsn, autocommit=True)
    async with connection:
        applied = await migrator.migrate(connection)
    for step in applied:
        output.say(f"[green]applied[/] {step.version} {step.name}")
    output.say("the tables are up to date" if not applied else f"{len(applied)} migrations applied")
