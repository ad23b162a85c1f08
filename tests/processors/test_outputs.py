"""Structured output is found in whatever a model writes around it, and nothing else is taken for it."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.outputs import (
    Misread,
    PlanOutput,
    read_critique,
    read_plan,
    schema_of_critique,
    schema_of_plan,
)
from processors.plans import PlanFault, default_plan, parse_plan
from processors.structured import values_in
from schemas.configuration import Limits
from tests.processors.world import configuration, plan_text, task

AGENTS = configuration().agents
PLAN = plan_text(task("a"), task("b", needs=["a"]))
EXPECTED = PlanOutput.model_validate_json(PLAN)


@pytest.mark.parametrize(
    "text",
    [
        PLAN,
        f"```json\n{PLAN}\n```",
        f"```\n{PLAN}\n```",
        f"Here is the JSON:\n```json\n{PLAN}\n```\nI hope that this helps {{you}}.",
        f"\ufeff{PLAN}",
        f"  \n{PLAN}\n\n",
        f"Sure! {PLAN} Tell me if [1] more is needed.",
        f'<think>\nFirst {{"tasks": []}}, no.\n</think>\n{PLAN}',
        f"I should plan.\n</think>\n\n{PLAN}",
        f"<thinking>hm</thinking>```JSON\n{PLAN}\n```",
        f"An example is {plan_text(task('x'))}. The plan:\n{PLAN}",
        f'{{"plan": {PLAN}}}',
        f"[{PLAN}]",
        json.dumps(json.loads(PLAN)["tasks"]),
        json.dumps(json.loads(PLAN), indent=4),
    ],
)
def test_a_plan_is_found_in_what_stands_around_it(text: str) -> None:
    assert read_plan(text) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot plan this.",
        PLAN[:-2],
        PLAN[: len(PLAN) // 2],
        f"```json\n{PLAN[:-5]}\n```",
        f"<think>{PLAN}",
        f"<think>{PLAN}</think> I give up.",
        '{"a": 1}',
        "[]",
        "[1]",
    ],
)
def test_what_is_no_whole_plan_is_none(text: str) -> None:
    found = read_plan(text)

    assert isinstance(found, Misread)
    assert found.detail


def test_a_rejection_quotes_the_beginning_of_what_came() -> None:
    found = read_plan("I would rather\nexplain my plan in a sentence. " * 20)

    assert isinstance(found, Misread)
    assert "it begins with “I would rather explain my plan" in found.detail
    assert len(found.detail) < 300


def test_null_and_words_for_it_are_what_was_left_out() -> None:
    loose = {**task("a"), "priority": None, "parent": "None", "edges": None}
    edged = {**task("b"), "edges": [{"relation": "Depends on", "task": "a", "weight": None}]}

    plan = parse_plan(json.dumps({"tasks": [loose, edged]}), AGENTS, Limits())

    assert not isinstance(plan, PlanFault)
    first, second = plan
    assert (first.priority, first.parent_key, first.edges) == (5, None, ())
    assert (second.edges[0].relation, second.edges[0].weight) == ("depends_on", 1.0)


def test_an_agent_is_known_whatever_its_case() -> None:
    plan = parse_plan(plan_text(task("a", agent=" Writer")), AGENTS, Limits())

    assert not isinstance(plan, PlanFault)
    assert plan[0].agent == "writer"


def test_a_critique_is_found_as_a_plan_is() -> None:
    for text in (
        '```json\n{"score": 0.4, "remarks": null}\n```',
        'Well: {"score": "0.4"}',
        '[{"score": 0.4}]',
    ):
        found = read_critique(text)
        assert not isinstance(found, str)
        assert (found.score, found.remarks) == (0.4, "")


@given(st.text(alphabet='{}[]",:a1 \n<think>/`', max_size=80))
def test_no_text_breaks_the_search(text: str) -> None:
    for value in values_in(text):
        json.dumps(value)
    assert isinstance(read_plan(text), Misread | PlanOutput)


def test_many_beginnings_of_nothing_end_the_search() -> None:
    assert values_in("{" * 100_000) == []
    assert values_in("[" * 100_000) == []


def test_agents_and_relations_are_enumerations_in_the_schema_of_a_plan() -> None:
    schema = json.loads(schema_of_plan(AGENTS))
    wrong = json.loads(plan_text(task("a", agent="name")))

    edges = [{"relation": "refines", "task": "b", "weight": 1}]
    whole = {"parent": None, "edges": edges, "priority": 5, "difficulty": "hard"}
    jsonschema.validate({"tasks": [{**task("a"), **whole}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"tasks": [{**wrong["tasks"][0], **whole}]}, schema)
    jsonschema.validate({"score": 0.5, "remarks": ""}, json.loads(schema_of_critique()))


@pytest.mark.parametrize(
    ("names", "expected"),
    [(("worker", "writer"), "writer"), (("worker", "poet"), "poet"), (("worker",), "worker")],
)
def test_the_default_agent_is_the_configured_one_or_one_without_tools(
    names: tuple[str, ...], expected: str
) -> None:
    known = {**AGENTS, "poet": AGENTS["writer"]}

    (planned,) = default_plan({name: known[name] for name in names}, Limits())

    assert planned.agent == expected
