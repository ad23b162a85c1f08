"""`ingest`: making a folder's documents searchable."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from connectors.models.tokens import VocabularyMissing
from connectors.retrieval.ingest import IngestReport
from connectors.retrieval.ingest import ingest as ingest_folder
from schemas.ports.chat import ConnectorError
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.process.settings import Settings


@command
async def ingest(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder with text files.")],
    tenant: Annotated[str, typer.Option(help="Whose sessions may search it.")] = "default",
    name: Annotated[str | None, typer.Option(help="Name of the collection; the folder's by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Split a folder's text files into passages, embed and store them; unchanged files are skipped."""
    try:
        report = await run_ingest(settings(), folder, tenant, name, quiet=as_json)
    except ConnectorError as error:
        fail(Code.AWAY, f"the embedding model: {error}")
    except VocabularyMissing as error:
        fail(Code.USAGE, str(error))
    if as_json:
        output.emit_json(report)
    else:
        tell(report)


async def run_ingest(
    given: Settings, folder: Path, tenant: str, name: str | None, *, quiet: bool
) -> IngestReport:
    """Ingest a folder, with a progress bar unless `quiet`."""
    # The models' client takes half a second to import, which no other command should wait for.
    from streams.worker.providers import make_providers

    providers = await make_providers(given)
    await providers.open()
    columns = (
        TextColumn("[dim]ingest[/]"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
    )
    try:
        with Progress(*columns, console=output.errors, disable=quiet) as progress:
            bar = progress.add_task("", total=None)

            def told(document: str, done: int, total: int) -> None:
                progress.update(bar, completed=done, total=total, description=document)

            return await ingest_folder(
                folder,
                pool=providers.pool,
                embedder=providers.embeddings,
                tenant_id=tenant,
                name=name,
                progress=told,
            )
    finally:
        await providers.close()


def tell(report: IngestReport) -> None:
    """Tell what an ingest did."""
    local = " [black on yellow] local deterministic embeddings [/]" if report.local else ""
    output.say(
        f"{len(report.added)} added, {len(report.updated)} updated, {len(report.unchanged)} unchanged, "
        f"{len(report.removed)} removed: {report.passages} passages, {report.tokens:,} tokens, "
        f"{output.money(report.nanodollars)}{local}"
    )
    for document, reason in sorted(report.skipped.items()):
        output.say(f"[yellow]skipped[/] {document}: {reason}")
