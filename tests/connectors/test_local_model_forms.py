"""Answers in a form: whatever the output model, the local model's answer fits it and says something."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_model.answers import reply_to
from connectors.local_model.filling import filled, output_model, spoken
from connectors.local_model.wire import ChatCall
from connectors.models.tokens import TokenCounter
from processors.output_models import answer_fault
from schemas.ports.chat import ChatMessage
from streams.configuration.agents import agents_of, output_model_of, sources_of
from streams.configuration.checking import TOOLS
from streams.configuration.foresight import planned
from streams.configuration.loading import load_configuration
from tests.connectors.conftest import ENCODINGS
from tests.connectors.model_conformance import system, user

SOURCES = sources_of(None)
FORMS = {name: output_model_of(one.file) for name, one in SOURCES.items() if one.file.output}
TEXT = "Budgets are reserved before a call is made. A late bill is charged all the same. " * 3


@pytest.mark.parametrize("name", FORMS)
@given(text=st.one_of(st.just(TEXT), st.text(max_size=200)))
def test_what_is_filled_in_fits_the_form(name: str, text: str) -> None:
    answer = filled(json.loads(FORMS[name]), text)

    assert answer_fault(answer, FORMS[name]) is None


@pytest.mark.parametrize("name", FORMS)
def test_a_result_in_a_form_is_read_as_a_text(name: str) -> None:
    said = spoken(filled(json.loads(FORMS[name]), TEXT))

    assert "Budgets are reserved before a call is made." in said
    assert "{" not in said


@pytest.mark.parametrize("text", ["plain", "[1, 2]", "{broken", "12"])
def test_any_other_result_stays_as_it_is(text: str) -> None:
    assert spoken(text) == text


@pytest.mark.parametrize("tokens_max", [64, 700])
def test_an_agent_answers_in_the_form_of_its_prompt_within_the_limit(tokens_max: int) -> None:
    prompt = load_configuration(()).agents["reviewer"].prompt
    result = f"Result of task t1 (find out):\n{TEXT * 4}"
    messages = (system(prompt), user("Request:\nReview it."), user(result), user("Task t2: review it"))
    counter = TokenCounter(ENCODINGS)

    text = reply_to(ChatCall(model="gpt-4o", messages=messages, tokens_max=tokens_max), counter).text

    assert answer_fault(text, FORMS["reviewer"]) is None
    assert counter.count(text, "gpt-4o") <= tokens_max


def test_a_prompt_without_a_form_has_none() -> None:
    assert output_model("Role: agent writer\nAnswer with JSON alone.") is None
    assert output_model("Answer with JSON alone, which fits this JSON Schema: {broken}") is None


@pytest.mark.parametrize(
    ("request_text", "agents"),
    [
        ("Translate this note into French: we meet on Friday.", {"translator"}),
        ("Find out how budgets work, then translate it into German.", {"researcher", "translator"}),
        ("Verify that a session has one owner.", {"fact_checker"}),
        ("Review this function for faults: def f(x): return 1 / x", {"code_reviewer"}),
        ("Summarise attachment:report.txt", {"document_analyst"}),
        ("Sum up all of this conversation so far.", {"summarizer"}),
        ("Write a poem about the sea.", {"writer"}),
        ("Calculate 3 * 4 with code.", {"coder"}),
        ("Measure the user interface in the folder shop/web.", {"auditor"}),
        ("How does the outbox work?", {"researcher"}),
    ],
)
def test_tasks_go_to_the_agent_that_is_made_for_them(request_text: str, agents: set[str]) -> None:
    planner = load_configuration(()).prompts["planner"]

    tasks = planned(planner, agents_of(SOURCES, TOOLS), request_text)

    assert {agent for _, agent in tasks} == agents


def test_an_agent_without_rules_gets_what_its_purpose_says() -> None:
    offered = "\n".join(
        (
            "- poet: writes limericks about cats",
            "- writer: writes texts",
            "- clerk: uses files (tools: files__read)",
        )
    )

    def chosen(request: str) -> str:
        asked = user(f"Agents:\n{offered}\n\nRequest:\n{request}")
        call = ChatCall(model="m", messages=(ChatMessage(role="system", text="Role: planner\nJSON"), asked))
        (task,) = json.loads(reply_to(call).text)["tasks"]
        return str(task["agent"])

    assert chosen("Write limericks about my cats") == "poet"
    assert chosen("Write a letter about my dogs") == "writer"
    assert chosen("Call files__read on the list") == "clerk"
