"""The tool analyze_ui: what every tool must do, and that it reads below its root alone."""

from pathlib import Path

import pytest

from connectors.tools.registry import ToolRegistry
from connectors.tools.ui import AnalyzeUi
from schemas.ports.tool import Tool, ToolContext, ToolError
from tests.connectors.tool_conformance import ToolConformance

PAGE = '<html><body><img src="a.png"><a href="#">go</a></body></html>'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with one page that has faults, and a page outside of it."""
    (tmp_path / "root" / "app").mkdir(parents=True)
    (tmp_path / "root" / "app" / "index.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "secret.html").write_text(PAGE, encoding="utf-8")
    return tmp_path / "root"


class TestAnalyzeUi(ToolConformance):
    """What every tool must do."""

    @pytest.fixture
    def tool(self, root: Path) -> Tool:
        return AnalyzeUi(root)

    @pytest.fixture
    def example(self, root: Path) -> dict[str, object]:
        return {"path": str(root / "app"), "findings_max": 5}

    async def test_the_same_call_gives_the_same_result_when_it_is_idempotent(
        self, tool: Tool, example: dict[str, object], tool_context: ToolContext
    ) -> None:
        first = (await tool.run(example, tool_context)).result
        second = (await tool.run(example, tool_context)).result

        assert first["findings"] == second["findings"]
        assert first["overall_effectiveness"] == second["overall_effectiveness"]


async def test_what_is_outside_the_root_is_refused(root: Path, tool_context: ToolContext) -> None:
    for path in (root.parent / "secret.html", root / ".." / "secret.html"):
        with pytest.raises(ToolError):
            await AnalyzeUi(root).run({"path": str(path)}, tool_context)


async def test_a_model_cannot_have_a_page_opened(root: Path, tool_context: ToolContext) -> None:
    arguments = f'{{"path": "{root}", "url": "http://127.0.0.1:1"}}'

    with pytest.raises(ToolError) as caught:
        await ToolRegistry([AnalyzeUi(root)]).invoke("analyze_ui", arguments, tool_context, 5_000)

    assert caught.value.kind == "validation_error"


@pytest.fixture
def tool_context() -> ToolContext:
    """What the tool is told beside its arguments."""
    return ToolContext(
        session_id="s",
        tenant_id="default",
        user_id="anonymous",
        call_id="c",
        idempotency_key="c",
        tokens_max=0,
        nanodollars_max=0,
    )
