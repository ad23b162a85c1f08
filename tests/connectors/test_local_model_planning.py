"""What the planner and the critic answer by rules."""

import json
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_model.answers import complete, reply_to
from connectors.local_model.wire import ChatCall
from connectors.models.tokens import TokenCounter
from processors.plans import PlanFault, parse_plan
from schemas.configuration import Agent, Limits
from schemas.ports.chat import ChatMessage
from tests.connectors.model_conformance import system, user

AGENTS = {
    "researcher": ("finds passages and answers questions", ("search_documents",)),
    "analyst": ("analyses documents and attachments", ("analyze_document",)),
    "writer": ("writes texts", ()),
}
REQUEST_WORDS = (
    *(
        "find",
        "write",
        "then",
        "finally",
        "compare",
        "and",
        "before",
        "it",
        "the",
        "budget",
        "ledger",
        "both",
    ),
    *("1.", "2.", "-", "?", ".", ",", ";", "\n", "summarise", "based on", "attachment:"),
)


class Edge(TypedDict):
    """A relation of a plan."""

    relation: str
    task: str
    weight: float


class Task(TypedDict):
    """A task of a plan."""

    key: str
    intent: str
    agent: str
    priority: int
    parent: str | None
    edges: list[Edge]


def planning(request: str, *, agents: tuple[str, ...] = tuple(AGENTS), attachment: str = "") -> ChatMessage:
    """What a planner is given."""
    lines = "\n".join(
        f"- {name}: {AGENTS[name][0]}"
        + (f" (tools: {', '.join(AGENTS[name][1])})" if AGENTS[name][1] else "")
        for name in agents
    )
    attached = (
        f"Attachment: {attachment} (1800 tokens); tools read it as attachment:{attachment}\n\n"
        if attachment
        else ""
    )
    return user(f"Agents:\n{lines}\n\n{attached}Request:\n{request}")


def plan_of(*messages: ChatMessage) -> list[Task]:
    """The plan's tasks."""
    reply = reply_to(
        ChatCall(model="gpt-4o", messages=(system("Role: planner\nJSON."), *messages), json_mode=True)
    )
    tasks: list[Task] = json.loads(reply.text)["tasks"]
    return tasks


def waits(task: Task) -> list[str]:
    """The keys that a task depends on."""
    return [edge["task"] for edge in task["edges"] if edge["relation"] == "depends_on"]


def test_one_simple_question_is_one_task_of_the_researcher() -> None:
    [task] = plan_of(planning("How does the budget reservation work?"))

    assert task["agent"] == "researcher"
    assert task["edges"] == []


def test_a_list_becomes_a_task_for_each_item_and_the_last_waits_for_those_it_rests_on() -> None:
    first, second, third = plan_of(
        planning("Please:\n1. Explain the outbox.\n2. Explain the ledger.\n3. Based on both, write a report.")
    )

    assert (first["agent"], second["agent"], third["agent"]) == ("researcher", "researcher", "writer")
    assert waits(first) == waits(second) == []
    assert waits(third) == ["t1", "t2"]
    assert first["priority"] > third["priority"]


def test_then_makes_a_chain_and_finally_waits_for_all() -> None:
    first, second, third = plan_of(
        planning("Find out how budgets work, then list the topics, and finally write a summary of both.")
    )

    assert waits(second) == [first["key"]]
    assert waits(third) == [first["key"], second["key"]]


def test_a_comparison_looks_up_both_sides_under_the_task_that_compares_them() -> None:
    left, right, compared = plan_of(planning("Compare the ingress shell and the session shell."))

    assert (left["parent"], right["parent"]) == (compared["key"], compared["key"])
    assert waits(compared) == [left["key"], right["key"]]
    assert "ingress shell" in left["intent"]
    assert "session shell" in right["intent"]


def test_improving_refines_what_was_written_before() -> None:
    tasks = plan_of(planning("Write a letter about budgets and polish it."))

    assert ("refines", "t1") in [(edge["relation"], edge["task"]) for edge in tasks[1]["edges"]]


def test_before_makes_the_first_block_the_second() -> None:
    first, second = plan_of(planning("Review the documentation before writing the announcement."))

    assert [(edge["relation"], edge["task"]) for edge in first["edges"]] == [("blocks", second["key"])]
    assert second["intent"].startswith("Write the announcement")


def test_analyses_of_an_attachment_are_the_analysts_and_name_it() -> None:
    tasks = plan_of(
        planning(
            "Summarise the attached text, determine its sentiment, then write a memo based on these results.",
            attachment="my text.txt",
        )
    )

    assert [task["agent"] for task in tasks] == ["analyst", "analyst", "writer"]
    assert all("attachment:my text.txt" in task["intent"] for task in tasks[:2])
    assert waits(tasks[2]) == ["t1", "t2"]


@pytest.mark.parametrize("agents", [("writer",), ("researcher",), ("analyst", "writer")])
def test_only_agents_that_are_listed_get_tasks(agents: tuple[str, ...]) -> None:
    tasks = plan_of(planning("Compute 2+2, find the docs, analyse them and write a report.", agents=agents))

    assert {task["agent"] for task in tasks} <= set(agents)


@given(request=st.text(max_size=400) | st.lists(st.sampled_from(REQUEST_WORDS), max_size=60).map(" ".join))
def test_every_request_gets_a_plan_that_the_project_accepts(request: str) -> None:
    tasks = json.dumps({"tasks": plan_of(planning(request))})

    agents = {
        name: Agent(name=name, purpose="", tier="standard", tools=(), prompt="", output_tokens_max=1)
        for name in AGENTS
    }
    parsed = parse_plan(tasks, agents, Limits())
    assert not isinstance(parsed, PlanFault), parsed


def test_a_long_chain_stays_within_the_depth_that_the_project_allows() -> None:
    chain = "Find thing 0" + "".join(f", then find thing {number}" for number in range(1, 11))

    tasks = plan_of(planning(chain))

    assert len(tasks) <= 8
    assert "thing 10" in tasks[-1]["intent"]


def critique(request: str, tasks: list[Task]) -> tuple[float, str]:
    """A critic's score and remarks."""
    reply = reply_to(
        ChatCall(
            model="gpt-4o",
            messages=(
                system("Role: critic\nJSON."),
                user(f"Request:\n{request}"),
                user(f"Plan:\n{json.dumps({'tasks': tasks})}"),
            ),
            json_mode=True,
        )
    )
    verdict = json.loads(reply.text)
    return verdict["score"], verdict["remarks"]


def task(key: str, intent: str, agent: str = "researcher") -> Task:
    """A task without relations."""
    return {"key": key, "intent": intent, "agent": agent, "priority": 5, "parent": None, "edges": []}


def test_a_plan_that_covers_its_request_scores_well() -> None:
    request = "Find out how budgets work and list the topics, then write a report."

    score, remarks = critique(request, plan_of(planning(request)))

    assert score >= 0.9
    assert "no repeats" in remarks


@pytest.mark.parametrize(
    ("tasks", "remark"),
    [
        ([task("t1", "Find out how budgets work")], "No task covers: topics, keyed, write, report."),
        (
            [task("a", "Find budgets work topics keyed"), task("b", "Find topics keyed, budgets work")],
            "Tasks a and b repeat each other.",
        ),
        (
            [task("t1", "Find out how budgets work"), task("t2", "Write a report on topics keyed", "writer")],
            "Task t2 should wait for t1.",
        ),
        (
            [task("t1", "Write a report on how budgets work and topics are keyed", "researcher")],
            "Task t1 suits writer better than researcher.",
        ),
    ],
)
def test_a_critic_names_what_is_missing_and_the_planner_acts_on_it(tasks: list[Task], remark: str) -> None:
    request = "Find out how budgets work and how topics are keyed, then write a report."
    score, remarks = critique(request, tasks)

    revised = plan_of(
        planning(request),
        ChatMessage(role="assistant", text=json.dumps({"tasks": tasks})),
        user(
            f"A critic scored your plan {score:.2f}: {remarks} Answer with the improved plan as JSON alone."
        ),
    )

    assert remark in remarks
    assert critique(request, revised)[0] > score


def test_a_plan_that_cannot_be_read_scores_nothing() -> None:
    reply = reply_to(
        ChatCall(
            model="gpt-4o", messages=(system("Role: critic"), user("Request:\nx\n\nPlan:\nno JSON at all"))
        )
    )

    assert json.loads(reply.text)["score"] == 0


def test_a_rejected_plan_is_answered_with_a_sound_one() -> None:
    request = planning("Find out how budgets work, then write a report.")
    bad = ChatMessage(role="assistant", text="I would rather explain.")

    tasks = plan_of(
        request,
        bad,
        user("Your plan was rejected: cycle: t1 waits for t1. Answer with the corrected JSON alone."),
    )

    assert [task["key"] for task in tasks] == ["t1", "t2"]


@given(request=st.lists(st.text("abc déf", min_size=40, max_size=400), min_size=8, max_size=14))
def test_a_plan_is_never_broken_off_by_its_limit(request: list[str]) -> None:
    listed = "\n".join(f"{number}. Find {text}" for number, text in enumerate(request, start=1))
    call = ChatCall(
        model="gpt-4o",
        messages=(system("Role: planner\nJSON."), planning(listed, attachment="a rather long name.txt")),
        json_mode=True,
        tokens_max=1_200,
    )
    counter = TokenCounter()

    completion = complete(call, reply_to(call, counter), counter, "id")

    assert completion.finish_reason == "stop"
    assert json.loads(completion.reply.text)["tasks"]
