"""What the rules answer in each role: plans, critiques, steps, analyses and final answers."""

import json
import subprocess
import sys
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_model.answers import complete, reply_to
from connectors.local_model.wire import ChatCall, Reply
from connectors.tokens import TokenCounter
from connectors.words import sentences
from processors.plans import PlanFault, parse_plan
from schemas.configuration import Agent, Limits
from schemas.models import ChatMessage, ToolOffered
from tests.connectors.conftest import PROJECT_DIRECTORY
from tests.connectors.model_conformance import SEARCH, system, user

AGENTS = {
    "researcher": ("finds passages and answers questions", ("search_documents",)),
    "analyst": ("analyses documents and attachments", ("analyze_document",)),
    "writer": ("writes texts", ()),
}
ANALYZE = ToolOffered(
    name="analyze_document",
    description="Analyse a document.",
    parameters_json=json.dumps({"type": "object", "required": ["analysis_type"], "properties": {}}),
)
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


def step(role: str, *messages: ChatMessage, tools: tuple[ToolOffered, ...] = ()) -> Reply:
    """An agent's next move."""
    choice = "auto" if tools else "none"
    return reply_to(
        ChatCall(
            model="gpt-4o",
            messages=(system(f"Role: agent {role}"), *messages),
            tools=tools,
            tool_choice=choice,
        )
    )


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


def test_a_researcher_searches_then_cites_what_it_used() -> None:
    given = (user("Request:\nHow are budgets reserved?"), user("Task t1: Find out how budgets are reserved"))
    asked = step("researcher", *given, tools=(SEARCH,))
    result = {
        "query": "q",
        "left_out": 0,
        "passages": [
            {
                "citation": "docs/my guide.md#3",
                "score": 0.8,
                "text": "Budgets are reserved before a call is made.",
            },
            {
                "citation": "docs/other.md#1",
                "score": 0.1,
                "text": "Topics are keyed by session, all of them.",
            },
        ],
    }

    answered = step(
        "researcher",
        *given,
        ChatMessage(role="assistant", text="", tool_calls=asked.tool_calls),
        ChatMessage(role="tool", text=json.dumps(result), tool_call_id="x"),
        tools=(SEARCH,),
    )

    assert json.loads(asked.tool_calls[0].arguments_json)["query"] == "how budgets are reserved"
    assert "Budgets are reserved before a call is made. [docs/my guide.md#3]" in answered.text
    assert "other.md" not in answered.text


def test_a_search_that_found_nothing_is_repeated_once_with_fewer_words() -> None:
    given = (user("Task t1: Find out how extraordinary budgets are reserved"),)
    nothing = json.dumps({"query": "q", "passages": [], "left_out": 0})
    first = step("researcher", *given, tools=(SEARCH,))
    asked = (
        ChatMessage(role="assistant", text="", tool_calls=first.tool_calls),
        ChatMessage(role="tool", text=nothing, tool_call_id="x"),
    )

    second = step("researcher", *given, *asked, tools=(SEARCH,))
    third = step(
        "researcher",
        *given,
        *asked,
        ChatMessage(role="assistant", text="", tool_calls=second.tool_calls),
        ChatMessage(role="tool", text=nothing, tool_call_id="y"),
        tools=(SEARCH,),
    )

    assert len(second.tool_calls) == 1
    assert second.tool_calls[0].arguments_json != first.tool_calls[0].arguments_json
    assert third.tool_calls == ()
    assert "Nothing was found" in third.text


def test_an_analyst_asks_for_each_analysis_that_the_task_names() -> None:
    asked = step(
        "analyst",
        user("Task t1: Determine sentiment and topics (attachment:my text.txt)"),
        tools=(ANALYZE, SEARCH),
    )

    assert [json.loads(call.arguments_json) for call in asked.tool_calls] == [
        {"document": "attachment:my text.txt", "analysis_type": "sentiment"},
        {"document": "attachment:my text.txt", "analysis_type": "topics"},
    ]


def test_a_failed_tool_is_told_and_nothing_is_made_up() -> None:
    given = (user("Task t1: Summarise it (attachment:a.txt)"),)
    asked = step("analyst", *given, tools=(ANALYZE,))

    answered = step(
        "analyst",
        *given,
        ChatMessage(role="assistant", text="", tool_calls=asked.tool_calls),
        ChatMessage(role="tool", text="validation_error: there is no attachment:a.txt", tool_call_id="x"),
        tools=(ANALYZE,),
    )

    assert "there is no attachment:a.txt" in answered.text


def test_a_writer_builds_on_earlier_results_and_keeps_their_citations() -> None:
    answered = step(
        "writer",
        user("Request:\nFind out about budgets and write a report."),
        user("Result of task t1 (Find out about budgets):\nBudgets are reserved before a call. [guide.md#3]"),
        user("Task t2: Write a report on budgets"),
    )

    assert "Budgets are reserved before a call." in answered.text
    assert "[guide.md#3]" in answered.text


def test_a_writer_without_material_says_so() -> None:
    answered = step("writer", user("Request:\nWrite a poem."), user("Task t1: Write a poem"))

    assert "no material" in answered.text
    assert "no language model" in answered.text


def test_the_final_answer_cites_each_task_in_order_and_names_what_is_missing() -> None:
    reply = reply_to(
        ChatCall(
            model="gpt-4o",
            messages=(
                system("Role: synthesizer"),
                user("Request:\nExplain the outbox and the ledger."),
                user(
                    "[1] Explain the outbox\nThe outbox holds events not known to be published. [guide.md#1]"
                ),
                user("[2] Explain the ledger\nThe ledger tells which effects were begun."),
                user("Tasks without a result: List the topics (failed: timeout)"),
            ),
        )
    )

    outbox, ledger = reply.text.index("[1]"), reply.text.index("[2]")
    assert reply.text.index("The outbox holds") < outbox < reply.text.index("The ledger tells") < ledger
    assert "Not answered: List the topics (failed: timeout)" in reply.text


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("sentiment", "I love this excellent work. It is wonderful.", "positive"),
        ("sentiment", "This is a terrible failure. I hate it.", "negative"),
        ("sentiment", "This is not good.", "negative"),
        ("topics", "Budgets bound cost. Budgets are reserved. A budget is charged.", "budgets (3 times)"),
        ("extract_facts", "Nothing is here at all. Adopted by Congress on July 4, 1776.", "July 4, 1776"),
        ("summary", "Budgets bound the cost of sessions.", "Budgets bound the cost of sessions."),
    ],
)
def test_an_analysis_says_what_the_words_of_the_text_show(kind: str, text: str, expected: str) -> None:
    reply = reply_to(ChatCall(model="m", messages=(system(f"Role: analysis {kind}\nRules."), user(text))))

    assert expected in reply.text


def test_an_analysis_keeps_to_its_limit_of_words() -> None:
    text = "The budget of a session bounds what its calls may cost in all. " * 40

    reply = reply_to(
        ChatCall(
            model="m", messages=(system("Role: analysis summary\nSummarise in at most 5 words."), user(text))
        )
    )

    assert len(reply.text.split()) <= 6  # five words, and the mark that some were cut


def test_answers_do_not_depend_on_how_a_process_orders_its_sets() -> None:
    program = (
        "from connectors.local_model.answers import reply_to\n"
        "from connectors.local_model.embedding import embed\n"
        "from connectors.local_model.wire import ChatCall\n"
        "from schemas.models import ChatMessage as M\n"
        "text = open('docs/texts/declaration-of-independence.txt').read()\n"
        "for kind in ('summary', 'extract_facts', 'sentiment', 'topics'):\n"
        "    call = ChatCall(model='m', messages=(M(role='system', text='Role: analysis ' + kind),"
        " M(role='user', text=text)))\n"
        "    print(reply_to(call).text)\n"
        "half = len(text) // 2\n"
        "print(reply_to(ChatCall(model='m', messages=(M(role='system', text='Role: agent writer'),"
        " M(role='user', text='Result of task t1 (One):\\n' + text[:half]),"
        " M(role='user', text='Result of task t2 (Two):\\n' + text[half:]),"
        " M(role='user', text='Task t3: Compare both')))).text)\n"
        "print(embed(text, 64))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=PROJECT_DIRECTORY,
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(outputs) == 1


def test_a_final_task_that_was_put_together_from_the_others_is_the_answer() -> None:
    reply = reply_to(
        ChatCall(
            model="gpt-4o",
            messages=(
                system("Role: synthesizer"),
                user("Request:\nExplain the outbox and the ledger, then write a note on both."),
                user(
                    "[1] Explain the outbox\nThe outbox holds events not known to be published. [guide.md#1]"
                ),
                user("[2] Explain the ledger\nThe ledger tells which effects were begun."),
                user(
                    "[3] Write a note\n**Note**\n\n"
                    "The outbox holds events not known to be published. [guide.md#1]\n\n"
                    "The ledger tells which effects were begun."
                ),
            ),
        )
    )

    assert reply.text == (
        "**Note**\n\nThe outbox holds events not known to be published. [guide.md#1] [1][3]"
        "\n\nThe ledger tells which effects were begun. [2][3]"
    )


def test_a_comparison_puts_both_results_side_by_side_with_what_they_share() -> None:
    answered = step(
        "writer",
        user("Result of task t1 (Find out about topics):\nTopics keep records for ever."),
        user("Result of task t2 (Find out about tables):\nTables keep records until they end."),
        user("Task t3: Compare topics and tables"),
    )

    assert "**Topics**\nTopics keep records for ever." in answered.text
    assert "**Tables**\nTables keep records until they end." in answered.text
    assert "**In common**\nkeep, records." in answered.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "One is here. [a b.md#2] two is there. [c#1]\nThree.",
            ["One is here. [a b.md#2]", "two is there. [c#1]", "Three."],
        ),
        ("See e.g. Dr. Who. Then go!", ["See e.g. Dr. Who.", "Then go!"]),
        (
            "# Title\n\n- one item\n- two items\n\n```\ncode = 1\n```\nEnd.",
            ["Title", "one item", "two items", "End."],
        ),
        ("| name | use |\n|---|---|\n| outbox | events; late |", ["name: use.", "outbox: events; late."]),
        ("a ─► b\nplain", ["plain"]),
        ("", []),
    ],
)
def test_a_text_is_read_sentence_by_sentence(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


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
