"""`ingest`: making a folder's documents searchable."""

from pathlib import Path
from typing import Annotated, Final

import psycopg
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from connectors.models.tokens import VocabularyMissing
from connectors.retrieval.files import SUFFIXES, FolderInvalid
from connectors.retrieval.ingest import AnotherFolder, IngestReport
from connectors.retrieval.ingest import ingest as ingest_folder
from connectors.retrieval.naming import CollectionNameInvalid
from connectors.retrieval.store import outdated_collections
from schemas.ports.chat import ConnectorError
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.process.settings import Settings

_LINES_SHOWN: Final = 50
_KINDS_SHOWN: Final = 8
_SUFFIXES: Final = ", ".join(sorted(SUFFIXES))


@command
async def ingest(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with text files.")],
    tenant: Annotated[str, typer.Option(help="Whose sessions may search it.")] = "default",
    name: Annotated[
        str | None, typer.Option(help="Name of the collection; the folder's own name if not given.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Let this folder take the place of the one the collection came from."),
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove documents whose folder is there and is empty now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a folder's text files searchable; only what has changed since the last time is read in again.

    Documents whose file is gone are removed. What cannot be read is kept as it was, and told.
    Exit code 1 when no file could be read. Text files are .md, .markdown, .txt and .rst.
    """
    try:
        report = await run_ingest(
            settings(), folder, tenant, name, replace=replace, prune=prune, quiet=as_json
        )
    except (FolderInvalid, CollectionNameInvalid) as error:
        fail(Code.USAGE, str(error))
    except AnotherFolder as error:
        fail(
            Code.USAGE,
            f"{error}; nothing was changed",
            "--name NAME makes a collection of its own; --replace lets this folder take the other's place.",
        )
    except ConnectorError as error:
        fail(Code.AWAY, f"the embedding model: {error}")
    except VocabularyMissing as error:
        fail(Code.USAGE, str(error))
    if as_json:
        output.emit_json(report)
    else:
        tell(report)
    if report.is_empty:
        fail(Code.FAILED, f"no text file of {folder} could be read", f"Text files end with {_SUFFIXES}.")


async def run_ingest(
    given: Settings,
    folder: Path,
    tenant: str,
    name: str | None,
    *,
    quiet: bool,
    replace: bool = False,
    prune: bool = False,
) -> IngestReport:
    """Ingest a folder, with a progress bar unless `quiet`."""
    # The models' client takes half a second to import, which no other command should wait for.
    from streams.worker.providers import ingest_providers

    columns = (
        TextColumn("[dim]ingest[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    )
    async with ingest_providers(given) as (pool, embedder):
        with Progress(*columns, console=output.errors, disable=quiet) as progress:
            bar = progress.add_task("", total=None)

            def told(document: str, done: int, total: int) -> None:
                progress.update(bar, completed=done, total=total, description=document)

            return await ingest_folder(
                folder,
                pool=pool,
                embedder=embedder,
                tenant_id=tenant,
                name=name,
                replace=replace,
                prune=prune,
                progress=told,
            )


async def due_ingests(given: Settings) -> list[str]:
    """Return a sentence for each collection that an earlier version split into passages otherwise."""
    async with await psycopg.AsyncConnection.connect(given.postgres_dsn, connect_timeout=10) as connection:
        return [
            f"{one.documents} documents of the collection {one.name} (tenant {one.tenant_id}) were split "
            f"by an earlier version; a new ingest is due: cartrita ingest {one.folder or 'FOLDER'}"
            for one in await outdated_collections(connection)
        ]


def tell(report: IngestReport) -> None:
    """Tell what an ingest did."""
    line = output.styled(
        "{collection}: {added} added, {updated} updated, {unchanged} unchanged, {removed} removed: "
        "{passages} passages, {tokens:,} tokens, {cost}",
        collection=report.collection,
        added=len(report.added),
        updated=len(report.updated),
        unchanged=len(report.unchanged),
        removed=len(report.removed),
        passages=report.passages,
        tokens=report.tokens,
        cost=output.money(report.nanodollars),
    )
    if report.local:
        line.append_text(output.styled(" [black on yellow] local deterministic embeddings [/]"))
    output.show(line)
    if report.without_embeddings:
        output.say(
            "[yellow]by words alone[/] there are no embeddings, so searches go by full text: {reason}",
            reason=report.without_embeddings,
        )
    _tell_each("skipped", report.skipped)
    _tell_each("kept as it was", report.kept)
    _tell_each("note", report.notes)
    if report.passed_over:
        most = sorted(report.passed_over.items(), key=lambda entry: (-entry[1], entry[0]))
        kinds = ", ".join(f"{count} {kind}" for kind, count in most[:_KINDS_SHOWN])
        more = len(most) - _KINDS_SHOWN
        output.say(
            "[dim]not text files by their names: {kinds}{more}[/]",
            kinds=kinds,
            more=f" and {more} more kinds" if more > 0 else "",
        )


def _tell_each(what: str, reasons: dict[str, str]) -> None:
    for document, reason in sorted(reasons.items())[:_LINES_SHOWN]:
        output.say("[yellow]{what}[/] {document}: {reason}", what=what, document=document, reason=reason)
    if len(reasons) > _LINES_SHOWN:
        output.say("… and {count} more; --json lists all", count=len(reasons) - _LINES_SHOWN)
