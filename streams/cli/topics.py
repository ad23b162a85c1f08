"""`topics`: the catalogue of topics, and Kafka held to it."""

import typer
from rich.table import Table

from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from topics import admin
from topics.catalog import TOPICS
from topics.watermark import watermark

topics = typer.Typer(help="The catalogue of topics: list, apply, verify.", no_args_is_help=True)


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
    output.show(table)


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
        output.say(
            "the log is whole: {count} partitions begin at their first record", count=len(found.extents)
        )
        return
    table = Table("topic", "partition", "begins at offset", "written", box=None, header_style="dim")
    for one in found.cut:
        begins = "nothing is left" if one.begins_at_ms is None else output.time(one.begins_at_ms)
        table.add_row(one.topic, str(one.partition), f"{one.first_offset:,}", begins)
    output.show(table)
    output.say(
        "[yellow]{cut} of {count} partitions[/] have lost records: sessions that began before cannot be "
        "replayed, and a rebuild needs a snapshot from before",
        cut=len(found.cut),
        count=len(found.extents),
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
            output.say("[green]created[/] {name}", name=name)
        for name in report.missing:
            output.say("[red]missing[/] {name}", name=name)
        for difference in report.differences:
            mark = output.styled("[red]refused[/]" if difference.breaks else "[yellow]differs[/]")
            line = output.styled(
                " {topic} {setting}: {actual}, made with {expected}",
                topic=difference.topic,
                setting=difference.setting,
                actual=difference.actual,
                expected=difference.expected,
            )
            output.show(mark.append_text(line))
            for told in filter(None, (difference.breaks, difference.repair)):
                output.say("  {told}", told=told)
        output.say("{count} topics are as the catalogue has them", count=report.verified)
    if not report.ok:
        raise typer.Exit(Code.FAILED)
