"""A long conversation on the real stack: what it remembers, what that costs, and how it is looked into."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from schemas.configuration import Limits
from streams.process.settings import Settings
from tests.pipeline.test_front_door import followed, opened, until_answered
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the log says
TURNS = 30
FACT = "Please remember that the boat of my sister is called Marlin."
SMALL_TALK = "We talk of the weather and of what there is to eat, as people do who have time. " * 4


def logged(settings: Settings, session: str, turns: int) -> list[tuple[str, str, Json]]:
    """Return id, type and body of a session's events, once the sink has read its last answer and bill."""
    query = """
        SELECT event_id::text, type, body FROM event_log WHERE session_id = %s ORDER BY sequence
    """
    for _ in tries():
        with psycopg.connect(settings.postgres_dsn) as connection:
            found: list[tuple[str, str, Json]] = connection.execute(query, [session]).fetchall()
        answers = [kind for _, kind, _ in found if kind == "AnswerGiven"]
        asked = {body["call_id"] for _, kind, body in found if kind == "ModelCallRequested"}
        settled = {body["reservation_id"] for _, kind, body in found if kind == "BudgetCharged"}
        if len(answers) == turns and asked <= settled:
            return found
    raise AssertionError("the sink does not come to the end of the session")


def ask(http: httpx.Client, session: str, frames: Iterator[Json], text: str, **more: str) -> str:
    """Say something, and return the answer."""
    posted = http.post(f"/api/v2/sessions/{session}/messages", json={"content": text, **more})
    assert posted.status_code == 202, posted.text
    return str(until_answered(frames, posted.json()["messageId"])[-1]["text"])


def test_what_was_said_in_turn_3_is_told_and_found_in_turn_30_and_prompts_stay_bounded(
    http: httpx.Client, settings: Settings, command_environment: dict[str, str]
) -> None:
    session = opened(http, title="A long talk")
    with followed(http, session) as frames:
        for turn in range(1, TURNS):
            # Who is asked by name makes no plan, which spares the test some calls.
            ask(
                http,
                session,
                frames,
                FACT if turn == 3 else f"This is message {turn}. {SMALL_TALK}",
                agent="writer",
            )
        # What is searched is what the sink has written.
        logged(settings, session, TURNS - 1)
        answer = ask(http, session, frames, "What did I say the boat of my sister is called?")
    assert FACT in answer
    log = logged(settings, session, TURNS)

    calls = [body for _, kind, body in log if kind == "ModelCallRequested"]
    summaries = [call for call in calls if call["purpose"] == "summarize"]
    assert len(summaries) >= 3
    limits = Limits()
    bound = limits.history_tokens_max + limits.summary_output_tokens_max + 400
    shortest: dict[str, int] = {}
    for call in calls:
        least = shortest.setdefault(call["agent"], call["input_tokens_max"])
        assert call["input_tokens_max"] <= least + bound
    (plan,) = [call for call in calls if call["purpose"] == "plan"]
    (told,) = [one for one in plan["messages"] if (one["text"] or "").startswith("Summary of turns 1 to ")]
    written = {event_id: body for event_id, kind, body in log if kind == "ModelCallCompleted"}
    assert "Marlin" in written[told["source"]["event_id"]]["text"]

    (found,) = [json.loads(body["result_json"]) for _, kind, body in log if kind == "ToolCallCompleted"]
    said = {event_id for event_id, kind, body in log if kind == "MessageReceived" and body["text"] == FACT}
    (fact,) = [one for one in found["said"] if one["text"] == FACT]
    assert (fact["turn"], fact["speaker"]) == (3, "user")
    assert fact["event_id"] in said
    measured = [body for _, kind, body in log if kind == "RetrievalMeasured"]
    assert [body["query"] for body in measured] == [found["query"]]

    def run(*arguments: str) -> Json:
        command = [sys.executable, "-m", "streams.main", *arguments, "--json"]
        ended = subprocess.run(command, capture_output=True, text=True, env=command_environment, check=False)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    (paid,) = [
        one
        for one in run("cost", "--by", "agent", "--session", session)["costs"]
        if one["what"] == "conversation_summarizer"
    ]
    assert paid["calls"] == len(summaries)
    assert 0 < paid["nanodollars"] <= sum(call["reserved_nanodollars"] for call in summaries)
    assert run("replay", session)["divergence"] is None
    traced = json.dumps(run("trace", told["source"]["event_id"]))
    assert {"ModelCallRequested", "MessageReceived"} <= set(re.findall(r'"type": ?"(\w+)"', traced))
