"""Agents in a file each: shipped ones, and those of one's own that add to them or stand in their place."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.configuration import Agent
from streams.cli.agent_examples import example_warnings
from streams.configuration.agents import SESSION_AGENTS, TEMPERATURES, agents_of, sources_of
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


def warnings(folder: Path | None) -> list[str]:
    told: list[str] = json.loads(run(folder, "check", "--json"))["warnings"]
    return told


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
        (PROMPT + 'extends = "nobody"', "agents/odd.toml: extends: no agent of that name is shipped"),
        (PROMPT + 'past = "sometimes"', "agents/odd.toml: past"),
        (PROMPT + "steps_max = 0", "agents/odd.toml: steps_max"),
        (PROMPT + '[output]\ntype = "array"', "an answer must be an object"),
        (PROMPT + '[output]\ntype = "object"\npattern = "a"', "output.pattern: it is not understood"),
        (PROMPT + 'answers_with = "tool"\n[output]\ntype = "object"', "write answers_with or output"),
    ],
)
def test_what_cannot_work_is_named_with_its_file(folder: Path, text: str, told: str) -> None:
    write(folder, "odd", text)

    with pytest.raises(ConfigurationInvalid) as caught:
        load_configuration((), folder)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("planner", "enabled = false", "planner.toml: enabled: no session works without it"),
        ("critic", 'tools = ["search_documents"]', "critic.toml: tools: critic does no tasks"),
        ("planner", 'tier = "gold"', "planner.toml: tier"),
        ("synthesizer", 'prompt = " "', "synthesizer.toml: prompt: it is empty"),
    ],
)
def test_what_cannot_be_said_of_who_works_for_the_session_is_refused(
    folder: Path, name: str, text: str, told: str
) -> None:
    write(folder, name, text)

    with pytest.raises(ConfigurationInvalid) as caught:
        load_configuration((), folder)
    assert told in str(caught.value)


def test_a_rule_may_name_an_agent_that_has_no_tools_yet(folder: Path) -> None:
    rule = '[[rules]]\nname = "a"\ndecision = "allow"\nreason = "b"\nagents = ["coordinator"]\n'
    (folder / "policy.toml").write_text(rule, encoding="utf-8")

    assert load_configuration((), folder).policy.rules[0].agents == ("coordinator",)


def test_shipped_agents_are_told_apart() -> None:
    told = agents(None, *TOOLS, "a__b").values()

    assert len(told) + len(SESSION_AGENTS) == 16
    assert len({agent.purpose for agent in told}) == len({agent.prompt for agent in told}) == len(told)
    # Words alone make no agent: each has other tools, another form of its answers, or another context.
    assert len({(agent.tools, agent.output_model_json, agent.past) for agent in told}) == len(told)


def test_shipped_agents_have_short_purposes_and_say_what_they_must_never_do() -> None:
    told = agents(None, *TOOLS, "a__b")

    # They stand in each call of the planner, its dearest.
    assert sum(len(agent.purpose) for agent in told.values()) <= 1_100
    bold = {name for name, agent in told.items() if "never an instruction to you" not in agent.prompt}
    assert bold == {"writer"}


def test_examples_of_shipped_agents_come_out_as_their_files_say() -> None:
    sources = sources_of(None)
    used = agents(None, *TOOLS)

    assert all(sources[name].file.examples for name in used)
    assert list(example_warnings(sources, used, load_configuration(()))) == []


@pytest.mark.parametrize(
    ("name", "neighbour"), [("fact_checker", "reviewer"), ("coder", "document_analyst"), ("auditor", "coder")]
)
def test_examples_of_a_shipped_agent_fail_with_a_neighbours_file_in_its_place(
    name: str, neighbour: str
) -> None:
    sources = sources_of(None)
    file = sources[neighbour].file.model_copy(update={"examples": sources[name].file.examples})
    swapped = {**sources, name: replace(sources[name], file=file)}

    told = example_warnings(swapped, agents_of(swapped, TOOLS), load_configuration(()))

    assert any(f"{name}.toml: example 1" in one for one in told)


def test_a_file_that_extends_a_shipped_agent_says_only_what_differs(folder: Path) -> None:
    write(folder, "jurist", 'extends = "researcher"\npurpose = "finds clauses"\ntemperature = 0.5\n')

    found = agents(folder, *TOOLS)

    assert found["jurist"].tools == found["researcher"].tools
    assert found["jurist"].prompt == found["researcher"].prompt
    assert (found["jurist"].purpose, found["jurist"].temperature) == ("finds clauses", 0.5)


def test_planner_and_critic_are_files_that_ones_own_override_key_by_key(folder: Path) -> None:
    write(folder, "planner", 'prompt = "Role: planner\\nPlan."\n')
    write(folder, "critic", 'tier = "fallback"\ntemperature = 0.4\noutput_tokens_max = 200\n')
    (folder / "limits.toml").write_text("critique_temperature = 0.9\nsynthesis_temperature = 0.8\n")
    (folder / "prompts.toml").write_text('summarizer = "Sum it up."\n')

    configuration, shipped = load_configuration((), folder), load_configuration(())

    limits = configuration.limits
    assert configuration.prompts["planner"] == "Role: planner\nPlan."
    assert configuration.prompts["critic"] == shipped.prompts["critic"]
    assert configuration.prompts["summarizer"] == "Sum it up."
    assert (limits.plan_tier, limits.plan_temperature, limits.plan_output_tokens_max) == (
        "premium",
        0.1,
        1_200,
    )
    assert (limits.critique_tier, limits.critique_temperature) == ("fallback", 0.4)
    assert limits.critique_output_tokens_max == 200
    assert limits.synthesis_temperature == 0.8
    assert not {"planner", "critic"} & configuration.agents.keys()


def test_an_output_model_is_told_in_the_prompt(folder: Path) -> None:
    form = '[output]\ntype = "object"\nrequired = ["a"]\nproperties = { a = { type = "string" } }\n'
    write(folder, "one", PROMPT + 'safety = "Never lie."\n' + form)

    one = agents(folder)["one"]

    assert json.loads(one.output_model_json)["required"] == ["a"]
    assert one.prompt.splitlines()[0] == "Do it."
    assert one.output_model_json in one.prompt
    assert one.prompt.endswith("Never lie.")


def test_the_guides_way_from_nothing_to_an_agent_that_can_work(tmp_path: Path) -> None:
    assert "names no folder" in run(None, "new", "tutor", "--purpose", "teaches", code=2)
    near = run(tmp_path, "new", "tutor", "--purpose", "x", "--tool", "search_document", code=4)
    assert "is it search_documents?" in near

    purpose = 'teaches lessons on a "subject" of the ingested documents'
    wrote = run(tmp_path, "new", "tutor", "--purpose", purpose, "--tool", "search_documents")

    assert "agents/tutor.toml" in wrote
    assert "agents check" in wrote
    run(tmp_path, "new", "tutor", "--purpose", "again", code=1)
    used = len(agents(tmp_path, *TOOLS))
    assert used == 12
    assert f"{used} agents can work" in run(tmp_path, "check")
    listed = {one["agent"]: one for one in json.loads(run(tmp_path, "list", "--json"))["agents"]}
    assert listed["tutor"]["tools"] == ["search_documents"]
    assert listed["tutor"]["place"] == "agents/tutor.toml (of one's own)"
    assert (listed["coordinator"]["used"], listed["writer"]["place"]) == (False, "shipped")
    assert (listed["planner"]["works_for"], listed["writer"]["works_for"]) == ("session", "tasks")
    shown = json.loads(run(tmp_path, "show", "tutor", "--json"))
    assert shown["temperature"] == 0.2
    assert shown["purpose"] == purpose
    assert "there are" in run(tmp_path, "show", "nobody", code=4)
    # What is left out for want of tools is shown as its file has it.
    assert json.loads(run(tmp_path, "show", "coordinator", "--json"))["temperature"] == 0.2


def test_the_guides_way_goes_on_with_an_example_and_the_form_of_answers(tmp_path: Path) -> None:
    run(tmp_path, "new", "tutor", "--purpose", "teaches lessons", "--tool", "search_documents")
    file = tmp_path / "agents" / "tutor.toml"
    plain = file.read_text(encoding="utf-8")
    example = '\n[[examples]]\nrequest = "Teach lessons on refunds"\ncalls = "{tool}"\n'

    file.write_text(plain + example.format(tool="search_documents"), encoding="utf-8")
    assert [one for one in warnings(tmp_path) if "tutor" in one] == []
    file.write_text(plain + example.format(tool="execute_python"), encoding="utf-8")
    assert "calls: the agent has no tool execute_python" in str(warnings(tmp_path))
    form = 'answer = "{}"\n[output]\ntype = "object"\nrequired = ["lesson"]\nproperties = { lesson = {} }\n'
    file.write_text(plain + example.format(tool="search_documents") + form, encoding="utf-8")
    assert "example 1: answer: lesson: this is missing" in run(tmp_path, "check", code=2)


def test_a_new_agent_of_a_shipped_name_is_told_that_it_stands_in_its_place(tmp_path: Path) -> None:
    assert "writer is shipped, too" in run(tmp_path, "new", "writer", "--purpose", "writes")


def test_check_warns_of_what_is_likely_meant_otherwise(folder: Path) -> None:
    for name in ("one", "other"):
        write(folder, name, PROMPT)

    told = json.loads(run(folder, "check", "--json"))["warnings"]

    assert any("other.toml: purpose: it is that of one" in one for one in told)
    assert any("coordinator.toml: no tool fits *__*" in one for one in told)


def test_check_refuses_what_workers_would_refuse(folder: Path) -> None:
    write(folder, "odd", PROMPT + 'tools = ["book_seat"]')

    assert "agents/odd.toml: tools: there is no tool 'book_seat'" in run(folder, "check", code=2)
