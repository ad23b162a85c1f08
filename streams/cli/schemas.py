"""`schemas`: the Avro contracts."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

import schemas as schemas_package
from processors.lifecycles import lifecycles_markdown
from schemas.wire.avro_schema import derived_schema, rendered, schema_text
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from topics.catalog import BY_NAME, TOPICS
from topics.documentation import events_markdown

schemas = typer.Typer(help="The Avro contracts: list, show, register, write, document.", no_args_is_help=True)


@schemas.command("list")
@command
async def list_schemas(as_json: AsJson = False) -> None:
    """List the contracts with the SHA-256 of their texts."""
    rows = [(topic.name, sha256(schema_text(topic).encode()).hexdigest()) for topic in TOPICS]
    if as_json:
        output.emit_json([{"topic": name, "sha256": mark} for name, mark in rows])
        return
    for name, mark in rows:
        output.say("{mark}  {name}.avsc", mark=mark[:16], name=name)


@schemas.command("show")
@command
async def show_schema(topic: Annotated[str, typer.Argument(help="Name of the topic.")]) -> None:
    """Print the Avro schema of a topic."""
    if topic not in BY_NAME:
        fail(Code.NOT_FOUND, f"there is no topic {topic}", f"The topics are {', '.join(BY_NAME)}.")
    output.say("{text}", text=schema_text(BY_NAME[topic]).rstrip("\n"))


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
    output.say("{count} schemas are registered at {url}", count=len(TOPICS), url=given.registry_url)


@schemas.command("write")
@command
async def write_schemas() -> None:
    """Write the contracts anew from the typed events; for whoever changes the events."""
    folder = Path(schemas_package.__file__ or "").parent / "avro"
    for topic in TOPICS:
        (folder / f"{topic.name}.avsc").write_text(rendered(derived_schema(topic)), encoding="utf-8")
    output.say("wrote {count} schemas to {folder}", count=len(TOPICS), folder=str(folder))


@schemas.command("document")
@command
async def document_schemas(
    folder: Annotated[Path, typer.Argument(help="Where the pages are.")] = Path("docs"),
) -> None:
    """Write the pages that are made from the contracts, the requests, and the tables of lifecycles."""
    # The gateway takes half a second to import, which no other command should wait for.
    from streams.gateway.reference import http_markdown

    pages = {
        "events.md": events_markdown(),
        "lifecycles.md": lifecycles_markdown(),
        "http.md": http_markdown(),
    }
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
        output.say("wrote {path}", path=str(folder / name))
