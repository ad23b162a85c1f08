"""A list of agents is held against the interface."""

import io
from pathlib import Path

import pytest

from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.command import AgentsInvalid, AnalyzeUiArguments, read_agents, run
from connectors.ui_analyzer.options import Options

PAGE = '<!doctype html><html lang="en"><head><title>A</title></head><body><main>{}</main></body></html>\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE.format("<h1>Agents</h1><p>Code review</p>"))
    (folder / "list.ts").write_text("export const agents = ['webResearch'];\n// also: billing helper\n")
    return folder


@pytest.mark.parametrize("name", ["code-review", "codeReview", "Code Review", "web_research"])
def test_an_agent_that_is_named_anywhere_is_reached(project: Path, name: str) -> None:
    analysis = analyze(project, Options(workers=1, agents=(name,)))

    assert "agent-reachable" not in {finding.rule_id for finding in analysis.findings}
    assert next(rule for rule in analysis.rules if rule.info.id == "agent-reachable").applicable == 1


@pytest.mark.parametrize("name", ["code", "billing-helper", "review code", "translator"])
def test_an_agent_that_nothing_names_is_a_finding(project: Path, name: str) -> None:
    found = analyze(project, Options(workers=1, agents=(name, "code-review"))).findings

    if name == "code":
        assert "agent-reachable" not in {finding.rule_id for finding in found}
    else:
        (finding,) = [finding for finding in found if finding.rule_id == "agent-reachable"]
        assert name in finding.message


def test_without_a_list_the_rule_does_not_apply(project: Path) -> None:
    analysis = analyze(project, Options(workers=1))

    assert next(rule for rule in analysis.rules if rule.info.id == "agent-reachable").applicable == 0


def test_the_command_reads_lines_and_json(project: Path, tmp_path: Path) -> None:
    lines, listed = tmp_path / "agents.txt", tmp_path / "agents.json"
    lines.write_text("# ours\ncode-review\n\ntranslator\n")
    listed.write_text('["code-review", "translator"]')

    assert read_agents(lines) == read_agents(listed) == ("code-review", "translator")
    out = io.StringIO()
    run(AnalyzeUiArguments(path=project, agents=lines), out, io.StringIO())
    assert "nothing in the interface names the agent translator" in out.getvalue()


@pytest.mark.parametrize("content", ["[1, 2]", "[", '["' + '", "'.join(f"a{i}" for i in range(1_001)) + '"]'])
def test_a_file_that_is_no_list_of_names_is_refused(project: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "agents.json"
    path.write_text(content)

    with pytest.raises(AgentsInvalid):
        read_agents(path)
    assert run(AnalyzeUiArguments(path=project, agents=path), io.StringIO(), io.StringIO()) == 2
