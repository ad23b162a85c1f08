"""Ingest of a folder: its documents in the tables are made to be what its files are.

Nothing is removed that was not seen to be gone: a file that cannot be read, a folder that cannot be looked
into and a disk that is not mounted keep what is stored of them.
"""

import asyncio
import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.retrieval.files import FoundFile, SourceFile, Survey, read_file, survey
from connectors.retrieval.naming import (
    COLLECTION_CHARACTERS_MAX,
    citable,
    demand_collection_name,
    folder_covers,
)
from connectors.retrieval.passages import SPLITTER_VERSION, Passage, split
from connectors.retrieval.store import Collection, CollectionStore, EmbeddedDocument, KnownDocument
from schemas.ids import derived_id
from schemas.ports.chat import RequestInvalid
from schemas.ports.embedding import Embedded, Embedder, EmbeddingsAbsent

BATCH_PASSAGES: Final = 64
"""How many passages are embedded by one request."""
PASSAGES_MAX: Final = 50_000
"""Of one ingest."""
EMBED_TIMEOUT_MS: Final = 60_000
NAME_OF_ROOT: Final = "documents"
"""The collection's name when the folder has none: `/`."""
SAME_FOLDER_SHARE: Final = 0.5
"""Of a collection whose folder was never noted, how many documents a folder must have to be taken for it."""
_OF_THE_TEXT: Final = frozenset({"invalid_request", "prompt_too_long"})
"""Kinds of failure of an embedding that come from the text, and not from the key or the server."""

ProgressSink = Callable[[str, int, int], None]
"""Takes the name of a document that is done, how many are done, and how many there are."""


class AnotherFolder(Exception):
    """The collection came from another folder; the message names both."""


@dataclass(slots=True, kw_only=True)
class IngestReport:
    """What an ingest did."""

    collection: str
    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    """Documents whose file was not seen and that stay as they were, with the reason."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Files and folders that were not taken, with the reason."""
    notes: dict[str, str] = field(default_factory=dict)
    """Documents that were taken and that a person should look at, with the reason."""
    passed_over: dict[str, int] = field(default_factory=dict)
    """How many files are no text files by their suffix; `hidden` for names that begin with a dot."""
    passages: int = 0
    """Embedded and stored by this ingest."""
    tokens: int = 0
    nanodollars: int = 0
    local: bool = False
    """True when the local deterministic model made the embeddings."""
    without_embeddings: str = ""
    """Why no embeddings could be had, when documents were taken to be found by their words alone."""

    @property
    def is_empty(self) -> bool:
        """Whether no file could be read as a document."""
        return not (self.added or self.updated or self.unchanged)


def _ignore(_name: str, _done: int, _total: int) -> None:
    """Drop a piece of progress that nobody follows."""


async def ingest(
    folder: Path,
    *,
    pool: AsyncConnectionPool[AsyncConnection],
    embedder: Embedder,
    tenant_id: str,
    name: str | None = None,
    replace: bool = False,
    prune: bool = False,
    progress: ProgressSink = _ignore,
) -> IngestReport:
    """Store the passages of the folder's text files; each document changes whole or not at all.

    Unchanged documents are skipped, documents whose file is gone are removed. An ingest that was interrupted
    is completed by the next. Where no embeddings can be had, documents are stored without; a later
    ingest that has them makes these again.

    Args:
        name: of the collection: what document names begin with, and what tells this folder from others of
            the tenant; the folder's own name unless given.
        embedder: makes vectors of the table's 1,536 dimensions.
        replace: let the folder take the place of another one that the collection came from.
        prune: also remove documents below folders that are empty now.

    Raises:
        FolderInvalid: `folder` is not a folder, or cannot be looked into.
        CollectionNameInvalid: documents cannot have names that begin so.
        AnotherFolder: the collection came from another folder, and `replace` is False.
        ConnectorError: the embedding model failed.
        psycopg.Error: the database failed.
    """
    collection = await _collection(folder, name, pool, tenant_id)
    store = CollectionStore(pool, tenant_id=tenant_id, collection=collection)
    known = await store.documents()
    found = await asyncio.to_thread(survey, folder, collection)
    here = str(found.root).encode(errors="backslashreplace").decode()
    origin = await store.origin()
    if known and not replace:
        _demand_same_folder(collection, here, origin, known, found)
    report = IngestReport(
        collection=collection,
        skipped={**found.unseen, **found.left_out},
        passed_over=dict(found.passed_over),
    )
    job = _Job(
        store=store, embedder=embedder, collection=collection, report=report, unseen=dict(found.unseen)
    )
    for done, file in enumerate(found.files, start=1):
        await job.take(file, await asyncio.to_thread(read_file, file, found.root), known.get(file.document))
        progress(file.document, done, len(found.files))
    mounts_before = origin.mounts if origin is not None and origin.folder == here else frozenset()
    if not prune:
        job.unseen |= _hidden_by_disks(found, mounts_before)
        if report.is_empty:
            job.unseen[f"{collection}/"] = "no text file could be read"
    missing = sorted(set(known) - {*report.added, *report.updated, *report.unchanged})
    report.kept = _covered(missing, job.unseen)
    report.removed = [document for document in missing if document not in report.kept]
    await store.remove(report.removed)
    if not report.is_empty:
        still_hidden = mounts_before & job.unseen.keys()
        await store.note_origin(Collection(folder=here, mounts=frozenset(found.mounts) | still_hidden))
    return report


async def _collection(
    folder: Path, name: str | None, pool: AsyncConnectionPool[AsyncConnection], tenant_id: str
) -> str:
    """Return the collection's name; one that has documents already may be of a form that is refused now."""
    try:
        resolved = await asyncio.to_thread(folder.resolve)
    except (OSError, RuntimeError):
        resolved = folder  # looking into it will say what is wrong
    given = (
        (resolved.name if name is None else name).encode(errors="surrogateescape").decode(errors="replace")
    )
    if await CollectionStore(pool, tenant_id=tenant_id, collection=given).documents():
        return given
    if name is None:
        return citable(resolved.name)[:COLLECTION_CHARACTERS_MAX] or NAME_OF_ROOT
    demand_collection_name(name)
    return unicodedata.normalize("NFC", name)


def _demand_same_folder(
    collection: str, here: str, origin: Collection | None, known: Mapping[str, KnownDocument], found: Survey
) -> None:
    if origin is not None:
        if origin.folder != here:
            raise AnotherFolder(f"the collection {collection} came from {origin.folder}, not from {here}")
        return
    # Rows from before folders were noted: whose documents are mostly here is the folder they came from.
    composed = {unicodedata.normalize("NFC", document) for document in known}
    there = sum(file.document in composed for file in found.files)
    if found.files and there < SAME_FOLDER_SHARE * len(known):
        raise AnotherFolder(
            f"the collection {collection} seems to have come from another folder: only {there} of its "
            f"{len(known)} documents are in {here}"
        )


def _hidden_by_disks(found: Survey, mounts_before: frozenset[str]) -> dict[str, str]:
    """Return the folders that may be unmounted disks: they were mounted before, or are empty now."""
    hidden = dict.fromkeys(found.empty, "its folder is empty: perhaps a disk that is not mounted")
    return hidden | dict.fromkeys(sorted(mounts_before - frozenset(found.mounts)), "its disk is not mounted")


def _covered(documents: Sequence[str], unseen: Mapping[str, str]) -> dict[str, str]:
    """Return those of `documents` that are, or lie below, something that was not seen, with the reason."""
    folders = [name for name in unseen if name.endswith("/")]
    covered: dict[str, str] = {}
    for document in documents:
        reason = unseen.get(document) or next(
            (unseen[folder] for folder in folders if folder_covers(folder, document)), None
        )
        if reason is not None:
            covered[document] = reason
    return covered


@dataclass(slots=True, kw_only=True)
class _Job:
    store: CollectionStore
    embedder: Embedder
    collection: str
    report: IngestReport
    unseen: dict[str, str]
    """What was not seen as it is, by name, with the reason; a folder's name ends with a slash."""
    model: str | None = None
    """Who really makes the embeddings, once that was asked; empty: nobody does."""

    async def take(self, file: FoundFile, read: SourceFile, known: KnownDocument | None) -> None:
        """Bring one document up to date."""
        name = file.document
        if read.skipped is not None:
            self._skip(name, read.skipped, is_seen=read.is_seen)
            return
        if read.note:
            self.report.notes[name] = read.note
        model = await self._answering_model()
        # Where there are no embeddings, those of before are still good for a text that is as it was.
        if known is not None and known.content_hash == self._hash(file, read.text, model or known.model):
            self.report.unchanged.append(name)
            return
        passages = await asyncio.to_thread(
            split, read.text, self.embedder.count_tokens, is_markdown=file.is_markdown
        )
        if not passages:
            self._skip(name, "no text", is_seen=True)
            return
        if self.report.passages + len(passages) > PASSAGES_MAX:
            self._skip(name, f"more than {PASSAGES_MAX:,} passages in one ingest", is_seen=False)
            return
        try:
            vectors = await self._embed(name, passages)
        except RequestInvalid as error:
            if error.kind not in _OF_THE_TEXT:
                raise
            self._skip(name, f"the embedding model refuses it: {error}", is_seen=False)
            return
        document = EmbeddedDocument(
            name=name,
            content_hash=self._hash(file, read.text, model),
            passages=passages,
            vectors=vectors,
            model=model,
        )
        other = await self.store.replace(document)
        if other is not None:
            self._skip(name, f"the collection {other} has a document of this name", is_seen=False)
            return
        (self.report.added if known is None else self.report.updated).append(name)
        self.report.passages += len(passages)

    def _skip(self, name: str, reason: str, *, is_seen: bool) -> None:
        self.report.skipped[name] = reason
        if not is_seen:
            self.unseen[name] = reason

    async def _answering_model(self) -> str:
        """Return who answers, which decides whether stored vectors can be compared with new ones."""
        if self.model is None:
            call_id = _call_id(self.collection, "probe", 0)
            try:
                probe = await self.embedder.embed(["model"], call_id=call_id, timeout_ms=EMBED_TIMEOUT_MS)
            except EmbeddingsAbsent as error:
                self.report.without_embeddings = str(error)
                self.model = ""
                return self.model
            _charge(self.report, probe)
            self.model = probe.model
        return self.model

    def _hash(self, file: FoundFile, text: str, model: str) -> str:
        made_by = f"{SPLITTER_VERSION}|{model}|{self.embedder.model.dimensions}|{file.is_markdown}"
        return hashlib.sha256(f"{made_by}|{text}".encode("utf-8", errors="surrogatepass")).hexdigest()

    async def _embed(self, name: str, passages: Sequence[Passage]) -> list[tuple[float, ...] | None]:
        vectors: list[tuple[float, ...] | None] = []
        if not self.model:
            return [None] * len(passages)
        for start in range(0, len(passages), BATCH_PASSAGES):
            batch = [passage.text for passage in passages[start : start + BATCH_PASSAGES]]
            embedded = await self.embedder.embed(
                batch, call_id=_call_id(self.collection, name, start), timeout_ms=EMBED_TIMEOUT_MS
            )
            _charge(self.report, embedded)
            vectors += embedded.vectors
        return vectors


def _charge(report: IngestReport, embedded: Embedded) -> None:
    report.tokens += embedded.tokens
    report.nanodollars += embedded.nanodollars
    report.local = embedded.local


def _call_id(collection: str, name: str, start: int) -> str:
    return derived_id("ingest", collection, name, str(start))
