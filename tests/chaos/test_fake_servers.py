"""The fake servers answer, misbehave on demand, and keep books that a kill does not lose."""

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.models.chat import OpenAIModel
from schemas.ports.chat import ChatMessage, ChatRequest, ConnectorError
from tests.chaos.fake_servers import Behaviour, FakeServers, quirks_of
from tests.connectors.quirks import QUIRKS, Answer, Call
from tests.vocabularies import prepared_vocabularies


@pytest.fixture(scope="module")
def vocabularies() -> Path:
    """The vocabularies, from the project's own cache."""
    return prepared_vocabularies()


@pytest.fixture
def servers(tmp_path: Path, vocabularies: Path) -> Iterator[FakeServers]:
    """Running servers."""
    servers = FakeServers(tmp_path / "servers", seed=7, vocabularies=vocabularies)
    servers.start()
    yield servers
    servers.stop()


def ask(servers: FakeServers, call_id: str, role: str = "agent writer") -> str:
    """Ask the model once; returns the answer, or how it failed."""

    async def once() -> str:
        model = OpenAIModel(base_url=servers.base_url, api_key="any")
        request = ChatRequest(
            call_id=call_id,
            model="gpt-4o-mini",
            messages=(
                ChatMessage(role="system", text=f"Role: {role}"),
                ChatMessage(role="user", text="Request:\nSay hello."),
            ),
            input_tokens_max=1_000,
            output_tokens_max=20,
            timeout_ms=3_000,
            attempts_max=1,
        )
        try:
            return (await model.complete(request)).text
        except ConnectorError as error:
            return f"failed: {error.kind}"
        finally:
            await model.close()

    return asyncio.run(once())


def do(servers: FakeServers, tool: str, key: str) -> str:
    """Ask a tool once; returns what it says, or how it failed."""
    request = urllib.request.Request(
        f"{servers.base_url}/tools/{tool}",
        data=b"{}",
        method="POST",
        headers={"Idempotency-Key": key, "X-Client-Request-Id": f"call of {key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=2) as response:
            return str(response.read().decode())
    except OSError as error:
        return f"failed: {error}"


def test_a_bill_is_in_the_books_and_stays_there_when_the_servers_are_killed(servers: FakeServers) -> None:
    assert ask(servers, "call-1")

    servers.stop(hard=True)
    servers.start()
    assert ask(servers, "call-2")

    entries = servers.ledger()
    assert [entry.client_request_id for entry in entries] == ["call-1", "call-2"]
    assert all(entry.billed and entry.prompt_tokens > 0 for entry in entries)


def test_misbehaviour_meets_the_share_that_was_asked_for_also_after_a_restart(servers: FakeServers) -> None:
    servers.misbehave(1.0)
    servers.stop()
    servers.start()

    for number in range(4):
        ask(servers, f"call-{number}")
    met = [entry.outcome for entry in servers.ledger()]
    servers.behave()
    ask(servers, "last")

    assert "answered" not in met
    assert len(set(met)) > 1
    assert servers.ledger()[-1].outcome == "answered"


def test_an_answer_beyond_the_limit_is_billed_in_full(servers: FakeServers) -> None:
    servers.behave_as(Behaviour(plan="the plan", long_share=1.0))

    ask(servers, "long")
    planned = ask(servers, "plan", role="planner")

    assert servers.ledger()[0].completion_tokens > 20
    assert planned == "the plan"


def test_a_tool_that_may_be_repeated_has_one_effect_a_key_and_the_other_has_one_a_request(
    servers: FakeServers,
) -> None:
    stamped = [do(servers, "stamp_paper", "a") for _ in range(2)]
    booked = [do(servers, "book_seat", "b") for _ in range(2)]
    servers.stop(hard=True)
    servers.start()
    do(servers, "stamp_paper", "a")

    assert stamped[0] == stamped[1]
    assert booked[0] != booked[1]
    done = [(entry.tool, entry.outcome) for entry in servers.tool_ledger()]
    assert done == [
        ("stamp_paper", "executed"),
        ("stamp_paper", "repeated"),
        ("book_seat", "executed"),
        ("book_seat", "executed"),
        ("stamp_paper", "repeated"),
    ]


def test_a_misbehaving_tool_writes_down_what_it_did_before_it_fails(servers: FakeServers) -> None:
    servers.misbehave(1.0)

    said = [do(servers, "book_seat", str(number)) for number in range(5)]

    entries = servers.tool_ledger()
    assert len(entries) == len(said)
    assert all(entry.fault for entry in entries)
    assert {entry.outcome for entry in entries} == {"executed", "refused"}


def test_every_quirk_is_met_by_some_answer() -> None:
    calls = (Call(id="c", name="search", arguments="{}"),)

    assert {*quirks_of(Answer(text="a")), *quirks_of(Answer(calls=calls))} == set(QUIRKS)


def test_odd_answers_say_the_same_and_are_billed_the_same(servers: FakeServers) -> None:
    said = [ask(servers, f"plain-{number}", role=f"agent {number}") for number in range(8)]
    servers.behave_as(Behaviour(quirk_share=1.0))

    odd = [ask(servers, f"odd-{number}", role=f"agent {number}") for number in range(8)]

    entries = servers.ledger()
    assert odd == said
    assert {entry.outcome for entry in entries[8:]} <= QUIRKS.keys()
    assert [entry.completion_tokens for entry in entries[:8]] == [
        entry.completion_tokens for entry in entries[8:]
    ]
