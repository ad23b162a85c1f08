"""Ingest and search on a real Postgres with pgvector."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.local_model.faults import Fault
from connectors.models.embeddings import OpenAIEmbeddings
from connectors.retrieval import files
from connectors.retrieval.files import FILE_BYTES_MAX, FolderInvalid
from connectors.retrieval.index import PassageIndex
from connectors.retrieval.ingest import AnotherFolder, IngestReport, ingest
from connectors.retrieval.store import outdated_collections
from connectors.tools.documents import AnalyzeDocument
from connectors.tools.search import SearchDocuments
from schemas.ports.chat import ConnectorError, RequestInvalid
from schemas.ports.embedding import Embedded, Embedder
from schemas.ports.tool import ToolResult
from tests.connectors.conftest import Local
from tests.connectors.twins import CHAT_MODEL, context

pytestmark = pytest.mark.stack

Pool = AsyncConnectionPool[AsyncConnection]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three documents."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "budgets.md").write_text(
        "# Budgets\n\nA budget is reserved before each call, and charged after it.\n"
    )
    (folder / "topics.md").write_text("# Topics\n\nKafka keeps the records of every topic for ever.\n")
    (folder / "shells.md").write_text("# Shells\n\nA shell gathers, advances, stores and publishes.\n")
    return folder


async def taken(
    folder: Path, pool: Pool, local: Local, *, tenant_id: str = "tenant", **options: Any
) -> IngestReport:
    """Ingest the folder."""
    return await ingest(folder, pool=pool, embedder=local.embeddings, tenant_id=tenant_id, **options)


async def searched(pool: Pool, local: Local, query: str, *, tenant_id: str = "tenant") -> ToolResult:
    """Search with the tool."""
    tool = SearchDocuments(PassageIndex(pool), local.embeddings)
    return await tool.run({"query": query, "k": 2}, context(tenant_id=tenant_id))


def cited(result: ToolResult) -> list[str]:
    """The citations of a search's result."""
    passages = result.result["passages"]
    assert isinstance(passages, list)
    return [str(passage["citation"]) for passage in passages]


async def test_a_question_finds_the_passage_that_answers_it(folder: Path, pool: Pool, local: Local) -> None:
    report = await taken(folder, pool, local)

    result = await searched(pool, local, "When are budgets reserved?")

    assert report.added == ["docs/budgets.md", "docs/shells.md", "docs/topics.md"]
    assert (report.passages, report.local) == (3, True)
    assert report.tokens > 0
    assert report.nanodollars == report.tokens * 130
    assert cited(result)[0] == "docs/budgets.md#1"
    assert result.retrieval is not None
    assert result.retrieval.documents[0].score > 0.5


async def test_words_are_found_that_meaning_alone_would_miss(folder: Path, pool: Pool, local: Local) -> None:
    for number in range(40):
        (folder / f"filler{number}.md").write_text(
            f"Question {number} asks about widgets and more questions.\n"
        )
    (folder / "code.md").write_text("The code ERR_4711 means that a lease was refused.\n")
    await taken(folder, pool, local)

    result = await searched(pool, local, "question about widgets: what is ERR_4711?")

    assert "docs/code.md#1" in cited(result)


async def test_a_second_ingest_changes_only_what_changed(folder: Path, pool: Pool, local: Local) -> None:
    await taken(folder, pool, local)
    embedded = len(local.server.ledger.entries())
    (folder / "topics.md").write_text("Topics are keyed by session.\n")
    (folder / "shells.md").unlink()
    (folder / "new.md").write_text("Something new about leases.\n")

    report = await taken(folder, pool, local)

    assert (report.added, report.updated) == (["docs/new.md"], ["docs/topics.md"])
    assert (report.unchanged, report.removed) == (["docs/budgets.md"], ["docs/shells.md"])
    assert len(local.server.ledger.entries()) == embedded + 3  # who answers, and two documents
    assert await PassageIndex(pool).count("tenant") == (3, 3)
    assert await PassageIndex(pool).text_of("docs/shells.md", "tenant") is None
    assert "keyed by session" in str(await PassageIndex(pool).text_of("docs/topics.md", "tenant"))


async def test_another_folder_of_the_tenant_is_left_alone(
    folder: Path, pool: Pool, local: Local, tmp_path: Path
) -> None:
    other = tmp_path / "notes"
    other.mkdir()
    (other / "n.md").write_text("A note on budgets.\n")
    await taken(folder, pool, local)

    report = await taken(other, pool, local)

    assert report.removed == []
    assert await PassageIndex(pool).count("tenant") == (4, 4)


async def test_tenants_see_their_own_documents_alone(folder: Path, pool: Pool, local: Local) -> None:
    await taken(folder, pool, local, tenant_id="theirs")

    result = await searched(pool, local, "budgets", tenant_id="mine")

    assert cited(result) == []
    assert await PassageIndex(pool).text_of("docs/budgets.md", "mine") is None
    assert cited(await searched(pool, local, "budgets", tenant_id="theirs"))


async def test_a_file_that_is_no_text_any_more_leaves_the_search(
    folder: Path, pool: Pool, local: Local
) -> None:
    await taken(folder, pool, local)
    (folder / "topics.md").write_bytes(b"\xff\xfe\x00")

    report = await taken(folder, pool, local)

    assert report.skipped == {"docs/topics.md": "begins as UTF-16 and is not, from byte 0 on"}
    assert (report.removed, report.kept) == (["docs/topics.md"], {})


async def test_files_that_cannot_be_seen_keep_what_is_stored_of_them(
    folder: Path, pool: Pool, local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "deep.md").write_text("Deep words.\n")
    await taken(folder, pool, local)
    before = await PassageIndex(pool).count("tenant")
    (folder / "topics.md").unlink()
    (folder / "topics.md").symlink_to("topics.md")
    (folder / "shells.md").unlink()
    (folder / "shells.md").symlink_to(folder / "unmounted" / "shells.md")
    (folder / "budgets.md").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    close(monkeypatch, folder / "sub")
    (folder / "new.md").write_text("Something new.\n")

    report = await taken(folder, pool, local)

    assert report.removed == []
    assert report.kept == {
        "docs/budgets.md": f"larger than {FILE_BYTES_MAX:,} bytes",
        "docs/shells.md": "cannot be read: No such file or directory",
        "docs/sub/deep.md": "cannot be read: Permission denied",
        "docs/topics.md": "cannot be read: a loop of links",
    }
    assert await PassageIndex(pool).count("tenant") == (before[0] + 1, before[1] + 1)


async def test_what_is_below_an_empty_folder_is_kept_until_pruned(
    folder: Path, pool: Pool, local: Local
) -> None:
    (folder / "disk").mkdir()
    (folder / "disk" / "far.md").write_text("Far away.\n")
    await taken(folder, pool, local)
    (folder / "disk" / "far.md").unlink()

    kept = await taken(folder, pool, local)
    pruned = await taken(folder, pool, local, prune=True)

    assert (kept.removed, list(kept.kept)) == ([], ["docs/disk/far.md"])
    assert (pruned.removed, pruned.kept) == (["docs/disk/far.md"], {})


async def test_a_disk_that_was_mounted_and_is_not_keeps_its_documents_whatever_lies_below_it(
    folder: Path, pool: Pool, local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "disk").mkdir()
    (folder / "disk" / "far.md").write_text("Far away.\n")
    with monkeypatch.context() as mounted:
        mounted.setattr(files, "_device", lambda _entry: -1)
        await taken(folder, pool, local)
    (folder / "disk" / "far.md").unlink()
    (folder / "disk" / "README.md").write_text("Nothing is mounted here.\n")

    for _ in range(2):
        report = await taken(folder, pool, local)

        assert report.kept == {"docs/disk/far.md": "its disk is not mounted"}
        assert report.removed == []


@pytest.mark.parametrize("emptied", ["of all", "of texts"])
async def test_a_folder_without_any_text_removes_nothing(
    folder: Path, pool: Pool, local: Local, emptied: str
) -> None:
    await taken(folder, pool, local)
    for path in list(folder.iterdir()):  # noqa: ASYNC240  # nothing waits meanwhile
        path.unlink()
    if emptied == "of texts":
        (folder / "picture.png").write_bytes(b"png")

    report = await taken(folder, pool, local)

    assert report.is_empty
    assert (report.removed, len(report.kept)) == ([], 3)
    assert (await PassageIndex(pool).count("tenant"))[0] == 3
    assert len((await taken(folder, pool, local, prune=True)).removed) == 3


async def test_two_folders_of_one_name_are_told_apart(pool: Pool, local: Local, tmp_path: Path) -> None:
    one, two = tmp_path / "p1" / "handbook", tmp_path / "p2" / "handbook"
    for place, text in ((one, "apples one"), (two, "pears two")):
        place.mkdir(parents=True)
        (place / f"{text[0]}.md").write_text(text)
    await taken(one, pool, local)

    with pytest.raises(AnotherFolder, match=r"p1/handbook.*p2/handbook"):
        await taken(two, pool, local)

    assert await PassageIndex(pool).text_of("handbook/a.md", "tenant") == "apples one"
    report = await taken(two, pool, local, name="handbook of two")
    assert report.added == ["handbook of two/p.md"]
    assert await PassageIndex(pool).text_of("handbook/a.md", "tenant") == "apples one"
    assert (await taken(one, pool, local)).unchanged == ["handbook/a.md"]
    replaced = await taken(two, pool, local, replace=True)
    assert (replaced.added, replaced.removed) == (["handbook/p.md"], ["handbook/a.md"])


async def test_a_folder_that_was_moved_replaces_itself(
    folder: Path, pool: Pool, local: Local, tmp_path: Path
) -> None:
    await taken(folder, pool, local)
    moved = tmp_path / "elsewhere" / "docs"
    moved.parent.mkdir()
    folder.rename(moved)  # noqa: ASYNC240  # nothing waits meanwhile

    report = await taken(moved, pool, local, replace=True)

    assert len(report.unchanged) == 3
    assert (await taken(moved, pool, local)).skipped == {}


async def test_rows_of_an_earlier_version_are_taken_over_by_the_folder_that_has_them(
    folder: Path, pool: Pool, local: Local, tmp_path: Path
) -> None:
    await taken(folder, pool, local)
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM document_collections")
        await connection.execute(
            "UPDATE document_passages SET splitter = '1', content_sha256 = repeat('0', 64)"
        )
        [due] = await outdated_collections(connection)
        assert (due.tenant_id, due.name, due.folder, due.documents) == ("tenant", "docs", None, 3)
    stranger = tmp_path / "p2" / "docs"
    stranger.mkdir(parents=True)
    (stranger / "budgets.md").write_text("Another text of the same name.\n")
    (folder / "shells.md").unlink()

    with pytest.raises(AnotherFolder, match="only 1 of its 3 documents"):
        await taken(stranger, pool, local)
    report = await taken(folder, pool, local)

    assert report.updated == ["docs/budgets.md", "docs/topics.md"]
    assert report.removed == ["docs/shells.md"]
    async with pool.connection() as connection:
        assert await outdated_collections(connection) == []


async def test_a_collection_never_takes_the_documents_of_another(
    folder: Path, pool: Pool, local: Local, tmp_path: Path
) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x.md").write_text("Of the folder below.\n")
    await taken(folder, pool, local)
    async with pool.connection() as connection:  # as a name with a slash could once be given
        await connection.execute(
            "UPDATE document_passages SET source = 'docs/sub' WHERE document = 'docs/sub/x.md'"
        )
    (folder / "sub" / "x.md").write_text("Changed.\n")

    report = await taken(folder, pool, local)

    assert report.skipped == {"docs/sub/x.md": "the collection docs/sub has a document of this name"}
    assert await PassageIndex(pool).text_of("docs/sub/x.md", "tenant") == "Of the folder below."


class Refusing:
    """Embeddings of a model that refuses texts with a word in them."""

    def __init__(self, embedder: Embedder, word: str) -> None:
        """Note whose embeddings they are."""
        self._embedder = embedder
        self._word = word
        self.model = embedder.model
        self.count_tokens = embedder.count_tokens
        self.truncate = embedder.truncate

    async def embed(
        self, texts: Sequence[str], *, call_id: str, timeout_ms: int, dimensions: int | None = None
    ) -> Embedded:
        """Embed, or refuse."""
        if any(self._word in text for text in texts):
            raise RequestInvalid("invalid_request", "HTTP 400: flagged", retryable=False)
        return await self._embedder.embed(
            texts, call_id=call_id, timeout_ms=timeout_ms, dimensions=dimensions
        )


async def test_one_file_that_the_model_refuses_stops_no_other_and_is_kept_as_it_was(
    folder: Path, pool: Pool, local: Local
) -> None:
    await taken(folder, pool, local)
    (folder / "shells.md").write_text("Shells are forbidden.\n")
    (folder / "topics.md").write_text("Topics are keyed.\n")

    report = await ingest(
        folder, pool=pool, embedder=Refusing(local.embeddings, "forbidden"), tenant_id="tenant"
    )

    assert report.updated == ["docs/topics.md"]
    assert "flagged" in report.skipped["docs/shells.md"]
    assert list(report.kept) == ["docs/shells.md"]
    assert "gathers" in str(await PassageIndex(pool).text_of("docs/shells.md", "tenant"))


async def test_every_word_of_odd_files_can_be_found(folder: Path, pool: Pool, local: Local) -> None:
    (folder / "[slug]\nx.md").write_bytes("# Only a heading about walruses\n".encode("utf-16"))
    (folder / "hosts.txt").write_text("# Never restart dingo.\n10.0.0.1 alpaca\n# Camel is the cache.\n")
    await taken(folder, pool, local)

    assert cited(await searched(pool, local, "walruses"))[0] == "docs/%5Bslug%5D%0Ax.md#1"
    text = await PassageIndex(pool).text_of("docs/hosts.txt", "tenant")
    assert text == "# Never restart dingo.\n10.0.0.1 alpaca\n# Camel is the cache."


def close(monkeypatch: pytest.MonkeyPatch, closed: Path) -> None:
    """Let the operating system refuse to list a folder, to root too."""
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)


async def test_an_interrupted_ingest_leaves_whole_documents_and_the_next_completes_it(
    folder: Path, pool: Pool, local: Local
) -> None:
    local.script(Fault(kind="unauthorized", endpoint="embeddings", contains="Topics", times=1))

    with pytest.raises(ConnectorError):
        await taken(folder, pool, local)
    before = await PassageIndex(pool).count("tenant")
    report = await taken(folder, pool, local)

    assert before == (2, 2)
    assert report.added == ["docs/topics.md"]
    assert await PassageIndex(pool).count("tenant") == (3, 3)


async def test_passages_of_another_embedding_model_are_not_compared(
    folder: Path, pool: Pool, local: Local
) -> None:
    await taken(folder, pool, local)
    async with pool.connection() as connection:
        await connection.execute("UPDATE document_passages SET model = 'another', content_sha256 = 'old'")

    result = await searched(pool, local, "budgets")
    report = await taken(folder, pool, local)

    assert cited(result) == []
    assert len(report.updated) == 3
    assert cited(await searched(pool, local, "budgets"))


@pytest.mark.parametrize("kind", ["not_found", "unsupported"])
async def test_where_there_are_no_embeddings_ingest_and_search_go_by_words_and_say_so(
    folder: Path, pool: Pool, local: Local, kind: str
) -> None:
    local.script(Fault(kind=kind, endpoint="embeddings", times=-1))

    report = await taken(folder, pool, local)
    again = await taken(folder, pool, local)
    result = await searched(pool, local, "what is reserved before a call?")

    assert report.added == ["docs/budgets.md", "docs/shells.md", "docs/topics.md"]
    assert (report.passages, report.tokens, report.local) == (3, 0, False)
    assert "HTTP" in report.without_embeddings
    assert (len(again.unchanged), again.passages) == (3, 0)
    assert cited(result)[0] == "docs/budgets.md#1"
    assert "by words alone" in str(result.result["hint"])
    assert (result.used_tokens, result.cost_nanodollars) == (0, 0)
    assert result.retrieval is not None
    assert result.retrieval.query_embedding == ()
    assert result.retrieval.documents[0].score == 1.0


async def test_a_deployment_may_have_no_embedding_model_at_all(
    folder: Path, pool: Pool, local: Local
) -> None:
    none = OpenAIEmbeddings(
        base_url=local.base_url,
        api_key="",
        model=replace(local.embeddings.model, name="", input_nanodollars=0),
    )
    tool = SearchDocuments(PassageIndex(pool), none)

    report = await ingest(folder, pool=pool, embedder=none, tenant_id="tenant")
    result = await tool.run({"query": "a shell gathers"}, context(tenant_id="tenant"))

    assert len(report.added) == 3
    assert "no embedding model" in report.without_embeddings
    assert cited(result) == ["docs/shells.md#1"]
    assert local.server.ledger.entries() == ()


async def test_documents_without_embeddings_get_them_by_the_first_ingest_that_has_some(
    folder: Path, pool: Pool, local: Local
) -> None:
    local.script(Fault(kind="not_found", endpoint="embeddings", times=1))
    await taken(folder, pool, local)

    between = await searched(pool, local, "what is reserved before a call?")
    report = await taken(folder, pool, local)
    after = await searched(pool, local, "what is reserved before a call?")

    assert cited(between)[0] == cited(after)[0] == "docs/budgets.md#1"
    assert len(report.updated) == 3
    assert report.without_embeddings == ""
    assert "hint" not in after.result
    assert after.retrieval is not None
    assert all(found.score < 1.0 for found in after.retrieval.documents)


async def test_embeddings_that_are_there_survive_a_provider_without_any(
    folder: Path, pool: Pool, local: Local
) -> None:
    await taken(folder, pool, local)
    (folder / "topics.md").write_text("# Topics\n\nKafka keeps walruses.\n")
    local.script(Fault(kind="not_found", endpoint="embeddings", times=1))

    report = await taken(folder, pool, local)
    by_meaning = await searched(pool, local, "walruses before each call")
    local.script(Fault(kind="not_found", endpoint="embeddings", times=1))
    by_words = await searched(pool, local, "walruses before each call")

    assert (report.unchanged, report.updated) == (["docs/budgets.md", "docs/shells.md"], ["docs/topics.md"])
    for found in (by_meaning, by_words):
        assert set(cited(found)) == {"docs/topics.md#1", "docs/budgets.md#1"}


async def test_words_alone_find_what_any_model_has_embedded(folder: Path, pool: Pool, local: Local) -> None:
    await taken(folder, pool, local)
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE document_passages SET model = 'another' WHERE document LIKE '%shells%'"
        )
    local.script(Fault(kind="unsupported", endpoint="embeddings", times=1))

    assert cited(await searched(pool, local, "a shell gathers")) == ["docs/shells.md#1"]


@pytest.mark.parametrize(
    "query",
    [
        "'; DROP TABLE document_passages; --",
        r"it's C:\\dir\\file's.md http://x.y/a\\b'c",
        "the of and",
        "a & | ! :* <->",
        "日本語",
    ],
)
async def test_any_query_is_answered(folder: Path, pool: Pool, local: Local, query: str) -> None:
    await taken(folder, pool, local)

    await searched(pool, local, query)

    assert (await PassageIndex(pool).count("tenant"))[0] == 3


async def test_progress_is_told_for_each_file(folder: Path, pool: Pool, local: Local) -> None:
    told: list[tuple[str, int, int]] = []

    await ingest(
        folder,
        pool=pool,
        embedder=local.embeddings,
        tenant_id="tenant",
        name="handbook",
        progress=lambda name, done, total: told.append((name, done, total)),
    )

    assert told == [("handbook/budgets.md", 1, 3), ("handbook/shells.md", 2, 3), ("handbook/topics.md", 3, 3)]


async def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path, pool: Pool, local: Local) -> None:
    with pytest.raises(FolderInvalid):
        await taken(tmp_path / "nothing", pool, local)


async def test_an_ingested_document_is_analysed_by_its_short_name_too(
    folder: Path, pool: Pool, local: Local
) -> None:
    await taken(folder, pool, local)
    tool = AnalyzeDocument(local.model, CHAT_MODEL, PassageIndex(pool))

    result = await tool.run({"document": "budgets.md", "analysis_type": "summary"}, context())

    assert "reserved before each call" in str(result.result["analysis"])
