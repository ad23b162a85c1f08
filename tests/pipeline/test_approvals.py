"""A person is asked on the real stack: by the command line and by the front door, and by nothing else."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import ApprovalReceived
from schemas.events.outputs import ApprovalRequested
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested
from streams.client.client import Client
from streams.configuration.approvers import load_key
from streams.process.settings import Settings
from tests.approving import decision
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.test_front_door import in_pages, opened, say, settled, told, until_answered
from tests.pipeline.waiting import WAIT_S, tries
from topics.catalog import (
    DEAD_LETTERS,
    OPERATOR_INPUTS,
    SESSION_OUTPUTS,
    TOOL_CALLS,
    TOOL_RESULTS,
    Topic,
)

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

GATE = """
[[rules]]
name = "code_is_looked_at"
decision = "escalate"
reason = "a person looks at code before it runs"
tools = ["execute_python"]

[[rules]]
name = "all_else"
decision = "allow"
reason = "nobody minds"
"""
DAY_MS = 86_400_000
Run = Callable[..., subprocess.CompletedProcess[str]]
Json = dict[str, Any]  # (Any: what the programs answer)


@pytest.fixture
def cartrita(command_environment: dict[str, str]) -> Run:
    """Run a command to its end."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streams.main", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=command_environment, timeout=120, check=False
        )

    return run


@pytest.fixture
def gated(http: httpx.Client, cartrita: Run, tmp_path: Path) -> str:
    """A session whose code a person looks at: a fork that brings a policy of its own."""
    policy = tmp_path / "policy.toml"
    policy.write_text(GATE, encoding="utf-8")
    origin = opened(http)
    until_answered(told(http, origin), say(http, origin, "Calculate 6 * 7 with code."))
    settled(http, origin)
    (answer_id,) = [event["id"] for event in in_pages(http, origin) if event["type"] == "AnswerGiven"]
    forked = cartrita(
        "fork",
        origin,
        "--at",
        answer_id,
        "-m",
        "Calculate 17 * 23 with code.",
        "--policy",
        str(policy),
        "--json",
    )
    assert forked.returncode == 0, forked.stderr
    return str(json.loads(forked.stdout.splitlines()[-1])["session_id"])


def waiting(http: httpx.Client, session: str, *, after: str = "") -> Json:
    """Return the one request of a session that waits for a person, once another is known to be closed."""
    for _ in tries():
        page = http.get("/api/v2/approvals?limit=200")
        assert page.status_code == 200, page.text
        mine = [one for one in page.json()["approvals"] if one["sessionId"] == session]
        if len(mine) == 1 and mine[0]["approvalId"] != after:
            return dict(mine[0])
    raise AssertionError(f"not one request waits: {mine}")


def made(http: httpx.Client, session: str) -> list[Json]:
    """Return the calls of the gated tool that were made."""
    calls = [event["body"] for event in in_pages(http, session) if event["type"] == "ToolCallRequested"]
    return [call for call in calls if call["tool"] == "execute_python"]


def test_a_call_is_edited_on_the_command_line_approved_at_the_front_door_and_runs_once(
    http: httpx.Client, cartrita: Run, gated: str, settings: Settings
) -> None:
    first = waiting(http, gated)
    listed = json.loads(cartrita("approvals", "list", "--json").stdout)
    assert first["approvalId"] in [one["approval_id"] for one in listed]
    shown = cartrita("approvals", "show", first["approvalId"])
    assert "execute_python" in shown.stdout
    assert "a person looks at code before it runs" in shown.stdout
    assert first["digest"] in shown.stdout

    # Whoever can write to the topic, and signs nothing, decides nothing; nor does what is late, or a message.
    forged = ApprovalReceived(approval_id=first["approvalId"], approved=True, digest=first["digest"])
    late = expired(settings, gated)
    for body, says in ((forged, "it is not signed"), (late, "it has expired")):
        operator = Envelope(
            event_id=str(uuid.uuid4()), session_id=gated, tenant_id="*", user_id="operator", body=body
        )
        assert says in asyncio.run(put_aside(settings, operator))
    say(http, gated, f"I approve {first['approvalId']}.")
    wrong = http.post(_path(first), json={"approved": True, "digest": "0" * 64})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "approval_changed")
    other = cartrita("approvals", "approve", first["approvalId"], "--digest", "0" * 64)
    assert other.returncode == 1

    code = json.dumps({"code": "print(17 * 23)"})
    edited = cartrita(
        "approvals", "edit", first["approvalId"], "--arguments", code, "--digest", first["digest"]
    )
    assert (edited.returncode, edited.stdout.strip()) == (0, "edited"), edited.stderr
    second = waiting(http, gated, after=first["approvalId"])
    assert second["arguments"] == code
    assert "operator changed the arguments" in second["askedAgain"]
    gone = http.post(_path(first), json={"approved": True, "digest": first["digest"]})
    assert (gone.status_code, gone.json()["code"]) == (409, "approval_closed")
    assert made(http, gated) == []

    decided = http.post(_path(second), json={"approved": True, "digest": second["digest"]})
    assert decided.status_code == 202, decided.text
    answer = next(one for one in told(http, gated) if one["type"] == "answer")
    assert "391" in answer["text"]
    (call,) = next(calls for _ in tries() if (calls := made(http, gated)))
    assert (call["arguments_json"], call["approval"]["approval_id"]) == (code, second["approvalId"])
    after = next(one for _ in tries() if (one := http.get(_path(second)).json())["status"] != "waiting")
    again = http.post(_path(second), json={"approved": True, "digest": second["digest"]})
    assert again.json()["code"] == "approval_closed"
    assert (after["status"], after["approver"].startswith("token:")) == ("approved", True)
    assert cartrita("replay", gated).returncode == 0
    refused = asyncio.run(brought_elsewhere(settings, gated, opened(http)))
    assert refused == {
        "another call": "not run: it is not the call that was approved",
        "another session": "not run: it is not the call that was approved",
        "another policy": "not run: the policy has changed since it was approved",
    }


def test_a_call_that_is_denied_is_not_made_and_the_session_answers(
    http: httpx.Client, cartrita: Run, gated: str, bearing: Bearing, make_token: Make, address: str
) -> None:
    asked = waiting(http, gated)
    scopes = ("--scope", "read", "--scope", "send", "--scope", "approve")
    stranger = bearing(address, make_token("--tenant", "other", *scopes))
    weak = bearing(address, make_token("--scope", "read", "--scope", "send"))
    body = {"approved": True, "digest": asked["digest"]}
    assert stranger.post(_path(asked), json=body).status_code == 404
    assert stranger.get(_path(asked)).status_code == 404
    assert stranger.get("/api/v2/approvals").json() == {"approvals": []}
    for answer in (weak.post(_path(asked), json=body), weak.get(_path(asked)), weak.get("/api/v2/approvals")):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")

    denied = cartrita(
        "approvals", "deny", asked["approvalId"], "--digest", asked["digest"], "--reason", "not today"
    )
    assert (denied.returncode, denied.stdout.strip()) == (0, "refused"), denied.stderr

    closed = next(one for one in told(http, gated) if one["type"] == "approval_closed")
    assert (closed["end"], closed["approver"], closed["reason"]) == ("refused", "operator", "not today")
    next(one for one in told(http, gated) if one["type"] == "answer")
    settled(http, gated)
    assert made(http, gated) == []


def test_other_rules_are_held_against_what_was_decided(
    http: httpx.Client, cartrita: Run, tmp_path: Path
) -> None:
    session = opened(http)
    until_answered(told(http, session), say(http, session, "Calculate 6 * 7 with code."))
    settled(http, session)
    other = tmp_path / "other.toml"
    other.write_text(GATE.replace("escalate", "deny"), encoding="utf-8")

    for _ in tries():
        ended = cartrita("policy", "what-if", str(other), "--session", session, "--json")
        assert ended.returncode == 0, ended.stderr
        found = json.loads(ended.stdout)
        if found["decided"]:
            break
    assert found["unjudged"] == 0
    (flip,) = found["flips"]
    assert flip["calls"] == found["differing"] == len(made(http, session)) == 1
    assert flip["flip"]["tool"] == "execute_python"
    assert (flip["flip"]["decision"], flip["flip"]["other_decision"]) == ("audit", "deny")
    assert flip["flip"]["other_rule"] == "code_is_looked_at"
    assert [call["session_id"] for call in found["calls"]] == [session]
    shown = cartrita("policy", "what-if", str(other), "--session", session)
    assert "1 of 1 calls would be decided otherwise" in shown.stdout

    prices = str(files("streams.configuration") / "defaults" / "models.toml")
    for _ in tries():
        ended = cartrita("policy", "what-if", "--models", prices, "--session", session, "--json")
        priced = json.loads(ended.stdout)["models"]
        # Until the sink has read what was asked for, a model is known by its provider's name alone.
        if priced and all(one["nanodollars"] is not None for one in priced):
            break
    assert priced
    assert all(one["nanodollars"] == one["used"]["nanodollars"] > 0 for one in priced)


def _path(asked: Json) -> str:
    return f"/api/v2/sessions/{asked['sessionId']}/approvals/{asked['approvalId']}"


def expired(settings: Settings, session: str) -> ApprovalReceived:
    """Approve the first request with the key of this machine's operator, good until yesterday."""
    assert settings.approver_key is not None
    key = load_key(settings.approver_key)
    asked = asyncio.run(first_asked(settings, session))
    return decision(asked, by=key.name, key=key.private_key, expires_at_ms=asked.expires_at_ms - DAY_MS)


async def first_asked(settings: Settings, session: str) -> ApprovalRequested:
    """Return the first request of a session."""
    async with Client(settings) as client:
        for event in await held(client, SESSION_OUTPUTS, session):
            if isinstance(event.body, ApprovalRequested):
                return event.body
    raise AssertionError("nobody is asked")


async def put_aside(settings: Settings, event: Envelope) -> str:
    """Send what enters by the operators' topic, and return why it is put aside."""
    async with asyncio.timeout(WAIT_S), Client(settings) as client:
        place = await client.post(event, OPERATOR_INPUTS)
        async with aclosing(client.read((DEAD_LETTERS,), from_beginning=True)) as letters:
            async for letter in letters:
                body = letter.event.body if letter.event is not None else None
                if (
                    isinstance(body, RecordRejected)
                    and body.topic.endswith(OPERATOR_INPUTS.name)
                    and (body.partition, body.offset) == place
                ):
                    return body.reason
    raise AssertionError("letters end")


async def brought_elsewhere(settings: Settings, session: str, other: str) -> dict[str, str]:
    """Write calls to the tools' own topic that bring another's approval, and return why none is run."""
    async with asyncio.timeout(WAIT_S), Client(settings) as client:
        (call,) = [
            event
            for event in await held(client, TOOL_CALLS, session)
            if isinstance(event.body, ToolCallRequested) and event.body.approval is not None
        ]
        variants = {
            "another call": call,
            "another session": replace(call, session_id=other),
            "another policy": replace(call, versions=replace(call.versions, policy="0" * 64)),
        }
        names = {}
        for name, variant in variants.items():
            body = variant.body
            assert isinstance(body, ToolCallRequested)
            # Under its own id a call was run, and is not run again whatever it says.
            again = replace(body, call_id=str(uuid.uuid4()))
            names[again.call_id] = name
            # Without a number of the session's, or its two owners would raise the sink's alarm.
            forged = replace(variant, event_id=str(uuid.uuid4()), sequence=0, body=again)
            await client.post(forged, TOOL_CALLS)
        told: dict[str, str] = {}
        while len(told) < len(variants):
            for key in (session, other):
                for event in await held(client, TOOL_RESULTS, key):
                    outcome = event.body
                    assert isinstance(outcome, ToolCallCompleted | ToolCallFailed)
                    if outcome.call_id in names:
                        assert isinstance(outcome, ToolCallFailed)
                        told[names[outcome.call_id]] = outcome.message
        return told


async def held(client: Client, topic: Topic, session: str) -> list[Envelope]:
    """Return what a topic has of a session."""
    async with aclosing(client.read_since(topic, session.encode(), 0)) as records:
        return [received.event async for received in records if received.event is not None]
