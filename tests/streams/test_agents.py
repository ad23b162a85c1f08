"""Agents in a file each: shipped ones, and those of one's own that add to them or stand in their place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.configuration import Agent
from streams.configuration.agents import TEMPERATURES, agents_of, sources_of
from streams.configuration.checking import TOOLS
from streams.configuration.loading import ConfigurationInvalid, load_configuration

PROMPT = 'purpose = "does it"\nprompt = "Do it."\n'
COMMAND_S = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for files of one's own."""
    (tmp_path / "agents").mkdir()
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / "agents" / f"{name}.toml").write_text(text, encoding="utf-8")


def agents(folder: Path | None, *tools: str) -> dict[str, Agent]:
    return agents_of(sources_of(folder), tools)


def run(folder: Path | None, *arguments: str, code: int = 0) -> str:
    """Run a command without a deployment, and return what it printed."""
    environment = {"PATH": "/usr/bin:/bin", "CARTRITA_HOME": "nowhere", "COLUMNS": "200"}
    if folder is not None:
        environment["CARTRITA_CONFIGURATION_DIRECTORY"] = str(folder)
    ended = subprocess.run(
        [sys.executable, "-m", "streams.main", "agents", *arguments],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        env=environment,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_a_file_adds_an_agent_and_leaves_the_shipped_ones(folder: Path) -> None:
    write(folder, "poet", PROMPT + 'profile = "creative"\ntools = ["search_documents"]\n')

    found = agents(folder)

    assert found.keys() == agents(None).keys() | {"poet"}
    assert (found["poet"].temperature, found["poet"].tier) == (0.7, "standard")
    assert found["poet"].tools == ("search_documents",)


def test_a_file_of_the_name_of_a_shipped_agent_replaces_it_alone(folder: Path) -> None:
    write(folder, "writer", PROMPT)

    found = agents(folder)

    assert found["writer"].prompt == "Do it."
    assert {name: one for name, one in found.items() if name != "writer"} == {
        name: one for name, one in agents(None).items() if name != "writer"
    }
    assert sources_of(folder)["writer"].replaces


def test_a_file_takes_a_shipped_agent_away(folder: Path) -> None:
    write(folder, "auditor", "enabled = false\n")

    assert agents(folder).keys() == agents(None).keys() - {"auditor"}


def test_one_file_with_all_stands_in_place_of_the_shipped_and_files_add_to_it(folder: Path) -> None:
    (folder / "agents.toml").write_text(f"[clerk]\n{PROMPT}[boss]\n{PROMPT}", encoding="utf-8")
    write(folder, "boss", PROMPT.replace("Do it", "Let it be done"))

    found = agents(folder)

    assert list(found) == ["boss", "clerk"]
    assert found["boss"].prompt == "Let it be done."


def test_a_pattern_stands_for_the_tools_that_there_are_and_an_agent_without_any_is_left_out(
    folder: Path,
) -> None:
    write(folder, "clerk", PROMPT + 'tools = ["office__*"]\n')
    write(folder, "both", PROMPT + 'tools = ["office__*", "search_documents"]\n')

    assert "clerk" not in agents(folder, "files__read")
    assert agents(folder, "files__read")["both"].tools == ("search_documents",)
    given = agents(folder, "office__b", "files__read", "office__a", "offices")
    assert given["clerk"].tools == ("office__a", "office__b")
    assert given["both"].tools == ("office__a", "office__b", "search_documents")
    assert given["coordinator"].tools == ("files__read", "office__a", "office__b")


def test_what_patterns_bring_twice_is_listed_once_and_what_a_file_names_twice_is_not(folder: Path) -> None:
    write(folder, "clerk", PROMPT + 'tools = ["office__a", "office__*", "*__*"]\n')
    write(folder, "twice", PROMPT + 'tools = ["office__a", "office__a", "office__*"]\n')

    given = agents(folder, "office__b", "files__read", "office__a")

    assert given["clerk"].tools == ("office__a", "office__b", "files__read")
    assert given["twice"].tools == ("office__a", "office__a", "office__b")


@pytest.mark.parametrize("profile", TEMPERATURES)
def test_a_profile_is_a_temperature(folder: Path, profile: str) -> None:
    write(folder, "one", PROMPT + f'profile = "{profile}"\n')
    assert agents(folder)["one"].temperature == TEMPERATURES[profile]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PROMPT + 'profile = "wild"', "agents/odd.toml: profile"),
        (PROMPT + 'profile = "creative"\ntemperature = 0.3', "write one of them"),
        (PROMPT + "temperature = 3", "temperature"),
        (PROMPT + 'skill = "all"', "agents/odd.toml: skill"),
        (PROMPT + "enabled = 1", "agents/odd.toml: enabled"),
        ('purpose = "x"', "agents/odd.toml: prompt"),
        ('purpose = ""\nprompt = "x"', "agents/odd.toml: purpose: it is empty"),
        ("purpose = ", "agents/odd.toml cannot be read"),
        (PROMPT + 'tools = ["a", "a"]', "agents/odd.toml: tools: one stands there twice"),
    ],
)
def test_what_cannot_work_is_named_with_its_file(folder: Path, text: str, told: str) -> None:
    write(folder, "odd", text)

    with pytest.raises(ConfigurationInvalid) as caught:
        load_configuration((), folder)
    assert told in str(caught.value)


def test_a_rule_may_name_an_agent_that_has_no_tools_yet(folder: Path) -> None:
    rule = '[[rules]]\nname = "a"\ndecision = "allow"\nreason = "b"\nagents = ["coordinator"]\n'
    (folder / "policy.toml").write_text(rule, encoding="utf-8")

    assert load_configuration((), folder).policy.rules[0].agents == ("coordinator",)


def test_shipped_agents_are_told_apart(folder: Path) -> None:
    told = [(agent.purpose, agent.prompt) for agent in agents(None, *TOOLS, "a__b").values()]

    assert len({purpose for purpose, _ in told}) == len({prompt for _, prompt in told}) == len(told)


def test_the_guides_way_from_nothing_to_an_agent_that_can_work(tmp_path: Path) -> None:
    assert "names no folder" in run(None, "new", "translator", "--purpose", "translates", code=2)
    near = run(tmp_path, "new", "translator", "--purpose", "x", "--tool", "search_document", code=4)
    assert "is it search_documents?" in near

    wrote = run(
        tmp_path, "new", "translator", "--purpose", 'translates "texts"', "--tool", "search_documents"
    )

    assert "agents/translator.toml" in wrote
    assert "agents check" in wrote
    run(tmp_path, "new", "translator", "--purpose", "again", code=1)
    used = len(agents(tmp_path, *TOOLS))
    assert f"{used} agents can work" in run(tmp_path, "check")
    listed = {one["agent"]: one for one in json.loads(run(tmp_path, "list", "--json"))["agents"]}
    assert listed["translator"]["tools"] == ["search_documents"]
    assert listed["translator"]["place"] == "agents/translator.toml (of one's own)"
    assert (listed["coordinator"]["used"], listed["writer"]["place"]) == (False, "shipped")
    shown = json.loads(run(tmp_path, "show", "translator", "--json"))
    assert shown["temperature"] == 0.2
    assert shown["purpose"] == 'translates "texts"'
    assert "there are" in run(tmp_path, "show", "nobody", code=4)
    # What is left out for want of tools is shown as its file has it.
    assert json.loads(run(tmp_path, "show", "coordinator", "--json"))["temperature"] == 0.2


def test_check_warns_of_what_is_likely_meant_otherwise(folder: Path) -> None:
    for name in ("one", "other"):
        write(folder, name, PROMPT)

    told = json.loads(run(folder, "check", "--json"))["warnings"]

    assert any("other.toml: purpose: it is that of one" in one for one in told)
    assert any("coordinator.toml: no tool fits *__*" in one for one in told)


def test_check_refuses_what_workers_would_refuse(folder: Path) -> None:
    write(folder, "odd", PROMPT + 'tools = ["book_seat"]')

    assert "agents/odd.toml: tools: there is no tool 'book_seat'" in run(folder, "check", code=2)
