"""Tools of one's own: a file in a folder, or an entry point; each that fails costs itself alone."""

import importlib.metadata
import os
from hashlib import sha256
from pathlib import Path

import pytest

from connectors.mcp.acceptance import write_acceptance
from connectors.tools.registry import ToolRegistry
from schemas.ports.tool import Happened, ToolContext
from streams.cli.deployment import demand_startable
from streams.configuration.files import ConfigurationInvalid
from streams.configuration.servers import acceptance_path
from streams.process.settings import Settings
from streams.worker import own_tools
from streams.worker.deployment import Deployment
from streams.worker.own_tools import load_own_tools
from tests.mcp.worlds import accepted, tool

SOUND = """
from schemas.configuration import ToolSpec
from schemas.ports.tool import ToolResult


class CountWords:
    spec = ToolSpec(
        name="count_words", version="1.0.0", description="Count words.", category="analysis",
        safety_level="safe", complexity_score=1, resource_intensity="light",
        parameters_json='{"type": "object", "properties": {"text": {"type": "string"}}}',
        result_schema_json='{"type": "object", "properties": {"words": {"type": "integer"}}}',
        idempotent=True, tokens_max=0, tokens_min=0, nanodollars_per_token=0, timeout_ms=5_000,
    )

    async def run(self, arguments, context):
        return ToolResult(result={"words": len(arguments["text"].split())})


tool = CountWords()
"""
BROKEN = {
    "a syntax error": "def (",
    "a missing module": "import there_is_no_such_module",
    "an exit": "raise SystemExit(3)",
    "no tool": "x = 1",
    "a tool that is none": "tool = 7",
    "another name": SOUND.replace('name="count_words"', 'name="other"'),
    "a schema that is none": SOUND.replace(
        '{"type": "object", "properties": {"text"', '{"type": 1, "p": {"text"'
    ),
}

AGENTS = """
[clerk]
purpose = "counts and echoes texts with its tools"
tier = "standard"
tools = ["search_documents", "office__echo", "count_words"]
output_tokens_max = 400
prompt = "Role: agent clerk"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one sound tool."""
    (tmp_path / "count_words.py").write_text(SOUND, encoding="utf-8")
    (tmp_path / "_shared.py").write_text("raise AssertionError('never loaded')", encoding="utf-8")
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(0o700)
    return tmp_path


def of(folder: Path) -> Settings:
    """Return settings that name the folder."""
    return Settings(tools_directory=folder)


CONTEXT = ToolContext(
    session_id="s",
    tenant_id="t",
    user_id="u",
    call_id="c",
    idempotency_key="k",
    tokens_max=0,
    nanodollars_max=0,
)


async def test_a_tool_that_tells_of_earlier_calls_is_asked_and_another_is_not(folder: Path) -> None:
    silent = ToolRegistry(load_own_tools(of(folder)).tools)
    telling = SOUND.replace(
        "\n\ntool =",
        "\n    async def happened(self, arguments, context):\n"
        "        known = context.idempotency_key == 'k'\n"
        "        return Happened(carried_out=known, result={'words': 3})\n\n\ntool =",
    ).replace("import ToolResult", "import Happened, ToolResult")
    (folder / "count_words.py").write_text(telling, encoding="utf-8")
    told = ToolRegistry(load_own_tools(of(folder)).tools)

    assert await silent.happened("count_words", "{}", CONTEXT) is None
    assert await told.happened("count_words", "{}", CONTEXT) == Happened(
        carried_out=True, result={"words": 3}
    )


async def test_a_file_in_the_folder_is_a_tool_with_its_digest(folder: Path) -> None:
    found = load_own_tools(of(folder))

    result = await ToolRegistry(found.tools).invoke("count_words", '{"text": "one two"}', CONTEXT, 5_000)

    digest = sha256(SOUND.encode()).hexdigest()[:12]
    assert result.result == {"words": 2}
    assert [tool.spec.version for tool in found.tools] == [f"1.0.0+{digest}"]


def test_a_deployment_starts_with_tools_accepted_of_servers_and_with_ones_own(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / "agents.toml").write_text(AGENTS, encoding="utf-8")
    servers = home / "servers.toml"
    servers.write_text('[servers.office]\ncommand = ["office"]\n', encoding="utf-8")
    servers.chmod(0o600)
    monkeypatch.setenv("CARTRITA_TOOLS_DIRECTORY", str(folder))
    monkeypatch.setenv("CARTRITA_MCP_SERVERS", str(servers))
    monkeypatch.setenv("CARTRITA_CONFIGURATION_DIRECTORY", str(home))
    with pytest.raises(ConfigurationInvalid, match="there is no tool 'office__echo'"):
        demand_startable(Deployment(home, os.environ))

    beside = acceptance_path(servers)
    write_acceptance(beside, {"office": accepted("office", [tool("echo")])})

    demand_startable(Deployment(home, os.environ))


@pytest.mark.parametrize("case", BROKEN)
def test_one_that_cannot_be_used_costs_itself_alone(folder: Path, case: str) -> None:
    broken = folder / "broken.py"
    text = BROKEN[case]
    broken.write_text(text if "other" in text else text.replace("count_words", "broken"), encoding="utf-8")
    broken.chmod(0o600)

    found = load_own_tools(of(folder))

    assert [tool.spec.name for tool in found.tools] == ["count_words"]
    assert set(found.absent) == {"broken"}


def test_a_tool_of_ours_is_not_shadowed(folder: Path) -> None:
    taken = folder / "search_documents.py"
    taken.write_text(SOUND.replace("count_words", "search_documents"), encoding="utf-8")
    taken.chmod(0o600)

    assert "is taken" in load_own_tools(of(folder)).absent["search_documents"]


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_may_write_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)

    with pytest.raises(ConfigurationInvalid, match="others may write it"):
        load_own_tools(of(folder))


def test_a_file_that_others_may_write_is_not_loaded(folder: Path) -> None:
    (folder / "count_words.py").chmod(0o666)

    assert "others may write it" in load_own_tools(of(folder)).absent["count_words"]


def test_without_a_setting_nothing_is_looked_for() -> None:
    assert load_own_tools(Settings()).tools == ()


def test_a_package_offers_a_tool_under_a_name_that_configuration_names(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "offered_by_a_package.py").write_text(SOUND, encoding="utf-8")
    point = importlib.metadata.EntryPoint("count_words", "offered_by_a_package:tool", own_tools.ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(own_tools, "entry_points", lambda **_: [point])

    found = load_own_tools(Settings(tool_entry_points="count_words"))

    assert [tool.spec.name for tool in found.tools] == ["count_words"]


def test_an_entry_point_that_is_not_there_costs_itself_alone() -> None:
    assert (
        "0 packages"
        in load_own_tools(Settings(tool_entry_points="nobody_offers_it")).absent["nobody_offers_it"]
    )
