"""A configuration that cannot work is refused with file, key and remedy, and whatever works is taken."""

from importlib import resources
from pathlib import Path

import pytest

from streams.configuration.checking import TOOLS, demand_tools
from streams.configuration.loading import FILES, ConfigurationInvalid, load_configuration

AGENTS = ("researcher", "writer")
CLERK = 'purpose = "does it"\nprompt = "Do it."'
SHIPPED = {
    name: resources.files("streams.configuration").joinpath("defaults", f"{name}.toml").read_text("utf-8")
    for name in (*FILES, *(f"agents/{agent}" for agent in AGENTS))
}


def write(directory: Path, file: str, text: str) -> None:
    path = directory / f"{file}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def refused(directory: Path) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        demand_tools(load_configuration((), directory), TOOLS)
    return str(caught.value)


def test_the_shipped_configuration_can_work() -> None:
    demand_tools(load_configuration(()), TOOLS)


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        (
            "models",
            "o200k_base",
            "llama3",
            "models.toml: chat 'gpt-4o': encoding: there is none named 'llama3'",
        ),
        ("models", "o200k_base", "p50k_base", "write one of cl100k_base, o200k_base"),
        ("models", "o200k_base", "gpt-4o", "encoding: there is none named 'gpt-4o'"),
        ("models", 'encoding = "o200k_base"', 'encoding = ""', "encoding: there is none named ''"),
        (
            "models",
            '8_191\nencoding = "cl100k_base"',
            '8_191\nencoding = "none"',
            "models.toml: embedding: encoding",
        ),
        (
            "models",
            '"0.0025"',
            '"2.5e9"',
            "input_dollars_per_1000: a call could cost more than can be counted",
        ),
        ("models", '"0.01"', '"9999999999"', "output_dollars_per_1000: a call could cost more"),
        (
            "agents/researcher",
            '"search_documents",',
            '"search_document",',
            "agents/researcher.toml: tools: there is no tool 'search_document'",
        ),
        (
            "agents/writer",
            "tools = []",
            'tools = ["a", "a"]',
            "agents/writer.toml: tools: one stands there twice",
        ),
        (
            "agents/writer",
            "output_tokens_max = 900",
            "output_tokens_max = 200_000",
            "agents/writer.toml: output_tokens_max: no model",
        ),
        (
            "agents/writer",
            "output_tokens_max = 900",
            'output_tokens_max = 900\nanswers_with = "tool"',
            "answers_with",
        ),
        ("agents", None, f'["wri\\nter"]\n{CLERK}', "must be 1 to 100 characters on one line"),
        ("agents", None, f'[" "]\n{CLERK}', "must be 1 to 100 characters on one line"),
        (
            "agents/writer",
            "writes, rewrites or combines texts from what other tasks found",
            " ",
            "writer.toml: purpose: it is empty",
        ),
        ("limits", None, "steps_max = 0", "limits.toml: steps_max: nothing could be done with 0"),
        ("limits", None, "turn_deadline_ms = 0", "turn_deadline_ms: nothing could be done with 0"),
        ("limits", None, "session_budget_tokens = 100", "session_budget_tokens: no call could be afforded"),
        ("limits", None, "session_budget_tokens = 99999999999999999999", "more than can be counted"),
        ("limits", None, "warning_share = 80", "warning_share: it is 80; write a share from 0 to 1"),
        ("limits", None, "warning_share = inf", "write a share from 0 to 1"),
        ("limits", None, "text_bytes_max = 5_000_000", "text_bytes_max: no record has room"),
        ("limits", None, "plan_output_tokens_max = 200_000", "plan_output_tokens_max: no model has room"),
        ("limits", None, "retry_delay_ms = 90_000", "retry_delay_ms: it is more than retry_delay_ms_max"),
        ("policy", "unless_listed = true", 'tools = ["exec"]', "policy.toml: rule 'tool_not_listed': tools"),
        ("policy", "unless_listed = true", 'agents = ["robot"]', "agents: there is no agent 'robot'"),
        ("policy", "unless_listed = true", "share_left_below = 7.0", "write a share from 0 to 1"),
        ("policy", "unless_listed = true", "share_left_below = nan", "write a share from 0 to 1"),
        ("policy", "unless_listed = true", "calls_above = -1", "write a count from 0 on"),
        ("policy", '"tool_not_listed"', '""', "name: it is empty"),
    ],
)
def test_what_cannot_work_is_named_with_file_and_key(
    tmp_path: Path, file: str, before: str | None, after: str, told: str
) -> None:
    written = f"{after}\n"
    if before is not None:
        assert before in SHIPPED[file]
        written = SHIPPED[file].replace(before, after, 1)
    write(tmp_path, file, written)

    assert told in refused(tmp_path)


@pytest.mark.parametrize("name", ["planner", "critic", "synthesizer"])
def test_an_empty_prompt_is_refused(tmp_path: Path, name: str) -> None:
    prompts = dict.fromkeys(("planner", "critic", "synthesizer"), "Do it.") | {name: " \n "}
    text = "".join(f"{key} = '''{value}'''\n" for key, value in prompts.items())
    (tmp_path / "prompts.toml").write_text(text, encoding="utf-8")

    assert f"prompts.toml: {name}, or agents/{name}.toml: prompt: it is empty" in refused(tmp_path)


def test_a_configuration_without_agents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agents.toml").write_text("", encoding="utf-8")

    assert "agents: there is no agent" in refused(tmp_path)


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    for file, text in (
        ("models", SHIPPED["models"].replace("o200k_base", "llama3")),
        ("agents", f'[" "]\n{CLERK}'),
    ):
        write(tmp_path, file, text)

    faults = refused(tmp_path).splitlines()

    assert len([fault for fault in faults if fault.startswith("models.toml")]) == 2
    assert len([fault for fault in faults if fault.startswith("agents.toml")]) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("limits", "account_tokens = 0\nqueue_max = 0\nrepairs_max = 0\nsession_idle_ms = 0"),
        ("limits", "session_budget_tokens = 1_000_000_000\nwarning_share = 1.0"),
        ("policy", "rules = []"),
    ],
)
def test_what_is_unusual_and_works_is_taken(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / f"{file}.toml").write_text(text, encoding="utf-8")

    demand_tools(load_configuration((), tmp_path), TOOLS)


def test_a_persona_speaks_in_answers_alone_and_is_named_by_versions(tmp_path: Path) -> None:
    plain = load_configuration(())
    (tmp_path / "persona.toml").write_text('name = "Cartrita"\ntext = "Speak plainly, with warmth."')

    spoken = load_configuration((), tmp_path)

    assert "You are Cartrita" in spoken.prompts["synthesizer"]
    assert spoken.prompts["synthesizer"].endswith("Speak plainly, with warmth.")
    assert spoken.prompts["planner"] == plain.prompts["planner"]
    assert spoken.agents == plain.agents
    assert plain.versions.persona is None
    assert spoken.versions.persona is not None
    assert spoken.versions.persona.startswith("Cartrita@")
    assert spoken.versions.prompts != plain.versions.prompts
    demand_tools(spoken, TOOLS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "Cartrita"', "persona: text: Field required"),
        ('name = "a@b"\ntext = "x"', "persona: name: String should match"),
        ('name = "Cartrita"\ntext = "x"\nmood = "good"', "persona: mood: Extra inputs"),
        ("name = ", r"persona.toml cannot be read"),
    ],
)
def test_a_persona_that_cannot_be_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "persona.toml").write_text(text)

    assert told in refused(tmp_path)
