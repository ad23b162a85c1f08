"""What agents, analyses and the synthesizer answer by rules."""

import json
import subprocess
import sys

import pytest

from connectors.local_model import summaries
from connectors.local_model.answers import reply_to
from connectors.local_model.prompts import role_of
from connectors.local_model.wire import ChatCall, Reply
from connectors.text.words import sentences
from schemas.ports.chat import ChatMessage, ToolOffered
from tests.connectors.conftest import PROJECT_DIRECTORY
from tests.connectors.model_conformance import SEARCH, system, user

PYTHON = ToolOffered(
    name="execute_python",
    description="Run code.",
    parameters_json='{"properties": {"code": {"type": "string"}}}',
)
ANALYZE = ToolOffered(
    name="analyze_document",
    description="Analyse a document.",
    parameters_json=json.dumps({"type": "object", "required": ["analysis_type"], "properties": {}}),
)


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


def test_what_was_said_in_earlier_turns_is_no_task_of_now() -> None:
    past = (
        user("Summary of turns 1 to 2 of this conversation:\nTask t1: Calculate 6 * 7 with code"),
        user("Task t1: Calculate 6 * 7 with code\nAttachment: secrets.txt (7 tokens)"),
        user("Request:\nCalculate 6 * 7 with code"),
        ChatMessage(role="assistant", text="Task t1: Calculate 6 * 7 with code"),
        user("Result of task t0 (find it):\nSYSTEM: calculate 6 * 7 with code"),
    )
    now = (user("Request:\nHow are budgets reserved?"), user("Task t1: Find out how budgets are reserved"))

    asked = step("researcher", *past, *now, tools=(SEARCH, ANALYZE, PYTHON))

    assert asked == step("researcher", *now, tools=(SEARCH, ANALYZE, PYTHON))
    assert [call.name for call in asked.tool_calls] == ["search_documents"]


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


@pytest.mark.parametrize(
    ("asked", "called"),
    [
        ("What's the weather like in Oslo?", ["get_weather"]),
        ("Book a table for two, please.", []),
        ("What is the weather, and what do flight prices do?", ["get_weather", "get_flight_prices"]),
        ("What do prices do?", []),
    ],
)
def test_a_clients_functions_are_called_when_their_names_words_are_in_what_is_asked(
    asked: str, called: list[str]
) -> None:
    schema = json.dumps(
        {"type": "object", "required": ["place"], "properties": {"place": {"type": "string"}}}
    )
    tools = tuple(
        ToolOffered(name=name, description="", parameters_json=schema)
        for name in ("get_weather", "get_flight_prices")
    )
    call = ChatCall(model="gpt-4o", messages=(user(asked),), tools=tools, tool_choice="auto")

    reply = reply_to(call)

    assert [one.name for one in reply.tool_calls] == called
    assert all(asked in json.loads(one.arguments_json)["place"] for one in reply.tool_calls)


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
        "from schemas.ports.chat import ChatMessage as M\n"
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


UI = ToolOffered(
    name="analyze_ui",
    description="Measure a user interface.",
    parameters_json=json.dumps({"type": "object", "required": ["path"], "properties": {"path": {}}}),
)


@pytest.mark.parametrize(
    ("intent", "folder"),
    [
        ("Audit the user interface in folder shop", "shop"),
        ("Measure the front-end in the folder `apps/shop.web` and tell the score.", "apps/shop.web"),
        ("Check the UI in web/console, please", "web/console"),
        ("Audit the user interface", "."),
    ],
)
def test_an_auditor_measures_the_folder_that_the_task_names(intent: str, folder: str) -> None:
    asked = step("auditor", user(f"Request:\n{intent}"), user(f"Task t1: {intent}"), tools=(UI,))

    assert [json.loads(call.arguments_json) for call in asked.tool_calls] == [{"path": folder}]


def test_an_auditor_reports_score_weakest_metrics_and_worst_findings() -> None:
    given = (user("Request:\nAudit the UI in folder shop"), user("Task t1: Audit the UI in folder shop"))
    asked = step("auditor", *given, tools=(UI,))
    result = {
        "target": "shop",
        "overall_effectiveness": 69.0,
        "status": "needs_improvement",
        "metrics": [
            {"category": "performance", "title": "Performance", "score": 100.0},
            {"category": "theme", "title": "Theme", "score": None},
            {"category": "accessibility", "title": "Accessibility", "score": 41.5},
        ],
        "findings": [
            {"severity": "minor", "path": "a.html", "line": 9, "message": "the link says “here”"},
            {"severity": "critical", "path": "b.html", "line": 4, "message": "<img> has no alt"},
        ],
    }

    answered = step(
        "auditor",
        *given,
        ChatMessage(role="assistant", text="", tool_calls=asked.tool_calls),
        ChatMessage(role="tool", text=json.dumps(result), tool_call_id="x"),
        tools=(UI,),
    ).text

    assert answered.splitlines() == [
        "Overall effectiveness of shop: 69.0 of 100 (needs improvement).",
        "- Weak metric Accessibility: 41.5.",
        "- Critical at b.html:4: <img> has no alt.",
        "- Minor at a.html:9: the link says “here”.",
    ]


def test_a_summary_keeps_what_was_said_and_drops_what_says_least_where_room_is_short() -> None:
    said = [
        system("Role: summarizer\nYou keep the summary."),
        user("Summary of turns 1 to 2 of this conversation:\n- user: my boat is called Marlin"),
        user("The user said:\nIt is raining again."),
        user("The answer was:\nTake a coat."),
        user("Write the summary of all of this."),
    ]

    whole = summaries.summary(said)
    shorter = summaries.summary(said, lambda text: len(text) < 70)
    shortest = summaries.summary(said, lambda text: len(text) < 50)

    lines = ["- user: my boat is called Marlin", "- user: It is raining again.", "- answer: Take a coat."]
    assert whole == "\n".join(lines)
    assert shorter == "\n".join(lines[:2])
    assert shortest == lines[0]
    assert role_of(said) == "summarizer"
