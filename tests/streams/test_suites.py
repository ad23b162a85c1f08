"""Suites of tasks: what a file may say, and what is wrong in one."""

from pathlib import Path

import pytest

from processors.evaluation import Checks
from streams.configuration.agents import sources_of
from streams.configuration.files import ConfigurationInvalid
from streams.configuration.suites import load_suite

TASK = '[[tasks]]\nname = "one"\ntext = "Say something."\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_suite_has_a_task_for_each_agent_that_can_be_asked() -> None:
    suite = load_suite(None)

    named = {task.agent for task in suite.tasks if task.agent is not None}
    inner = {"planner", "critic", "synthesizer", "conversation_summarizer"}
    assert named == set(sources_of(None)) - inner
    assert sum(task.agent is None for task in suite.tasks) >= 3
    unchecked = {task.name for task in suite.tasks if task.checks == Checks(may_be_incomplete=True)}
    assert unchecked == {"coordinator"}


def test_everything_that_a_task_can_have_is_read(tmp_path: Path) -> None:
    (tmp_path / "näme.txt").write_text("Inhalt", encoding="utf-8")
    suite = load_suite(
        written(
            tmp_path,
            TASK
            + 'agent = "writer"\nfiles = ["näme.txt"]\nattached = [{ name = "b.txt", text = "B" }]\n'
            + "budget_tokens = 9\nbudget_dollars = 0.5\n"
            + '[tasks.checks]\ndollars_max = 0.25\ncontains = ["x"]\n'
            + '[tasks.checks.output]\ntype = "object"\nrequired = ["n"]\n'
            + "properties = { n = {} }\n",
        )
    )

    (task,) = suite.tasks
    assert suite.name == "mine"
    assert [one.text for one in task.attachments] == ["Inhalt", "B"]
    assert (task.agent, task.budget_tokens, task.budget_nanodollars) == ("writer", 9, 500_000_000)
    assert (task.checks.nanodollars_max, task.checks.contains) == (250_000_000, ("x",))
    assert task.checks.output_json == ('{"properties": {"n": {}}, "required": ["n"], "type": "object"}')


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "tasks"),
        ("tasks = []", "tasks"),
        (TASK + TASK, "two tasks have the name one"),
        (TASK + "colour = 1\n", "colour"),
        (TASK.replace("one", "One Two"), "name"),
        (TASK + '[tasks.checks]\nmatches = ["("]\n', "( is no pattern"),
        (TASK + '[tasks.checks.output]\ntype = "array"\n', "an answer must be an object"),
        (TASK + "[tasks.checks]\nwords_max = 0\n", "words_max"),
        (TASK + "budget_dollars = nan\n", "budget_dollars"),
        (TASK + 'files = ["not-there.txt"]\n', "not-there.txt cannot be read"),
        ("[[tasks", "cannot be read"),
    ],
)
def test_what_is_wrong_in_a_suite_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationInvalid) as raised:
        load_suite(written(tmp_path, text))

    assert "mine.toml" in str(raised.value)
    assert told in str(raised.value)


def test_a_binary_attachment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.bin").write_bytes(bytes(range(256)) * 8)

    with pytest.raises(ConfigurationInvalid, match=r"image\.bin cannot be read"):
        load_suite(written(tmp_path, TASK + 'files = ["image.bin"]\n'))
