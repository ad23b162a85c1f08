"""Ingest and search on a real Postgres with pgvector."""

from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.local_model.faults import Fault
from connectors.retrieval.files import FolderInvalid
from connectors.retrieval.index import PassageIndex
from connectors.retrieval.ingest import IngestReport, ingest
from connectors.tools.documents import AnalyzeDocument
from connectors.tools.search import SearchDocuments
from schemas.ports.chat import ConnectorError
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


async def taken(folder: Path, pool: Pool, local: Local, *, tenant_id: str = "tenant") -> IngestReport:
    """Ingest the folder."""
    return await ingest(folder, pool=pool, embedder=local.embeddings, tenant_id=tenant_id)


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


async def test_a_file_that_became_unreadable_leaves_the_search(
    folder: Path, pool: Pool, local: Local
) -> None:
    await taken(folder, pool, local)
    (folder / "topics.md").write_bytes(b"\xff\xfe")

    report = await taken(folder, pool, local)

    assert report.skipped == {"docs/topics.md": "not UTF-8 at byte 0"}
    assert report.removed == ["docs/topics.md"]


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
