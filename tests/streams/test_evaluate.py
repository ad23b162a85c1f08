"""What `cartrita eval` makes of attempts that end in other ways than by an answer, and of earlier runs."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Self

import pytest
import typer

from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.outputs import (
    AnswerGiven,
    AnswerReason,
    EndReason,
    ErrorCode,
    ErrorReported,
    SessionEnded,
)
from streams.cli import evaluate
from streams.client.conversation import Told
from tests.streams.twin import event

SUITE = '[[tasks]]\nname = "one"\ntext = "Say something."\nagent = "writer"\n'


class FakeClient(AbstractAsyncContextManager["FakeClient"]):
    """Has nothing on its log."""

    def __init__(self, settings: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *ended: object) -> None:
        pass

    async def read_since(self, *asked: object) -> AsyncGenerator[object, None]:
        nothing: tuple[object, ...] = ()
        for one in nothing:
            yield one


def answer(nanodollars: int) -> AnswerGiven:
    return AnswerGiven(
        turn=1,
        input_id="",
        task_id="",
        text="yes",
        citations=(),
        complete=True,
        reason=AnswerReason.ANSWERED,
        model="m",
        local=True,
        tokens=5,
        cost_nanodollars=nanodollars,
    )


Run = Any  # whatever the command prints as JSON


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    suite: Path,
    settled: Fact | None,
    **more: object,
) -> tuple[int, Run]:
    """Run the suite where each message ends so, or never if with nothing; returns exit code and JSON."""

    async def ask(client: object, message: Envelope) -> AsyncGenerator[Told, None]:
        if settled is None:
            await asyncio.Event().wait()
        yield Told(fact=settled, event=event(settled))  # type: ignore[arg-type]  # each test gives what settles

    monkeypatch.setattr(evaluate, "settings", lambda: None)
    monkeypatch.setattr(evaluate, "Client", FakeClient)
    monkeypatch.setattr(evaluate, "ask", ask)
    code = 0
    try:
        evaluate.evaluate(suite, as_json=True, **more)  # type: ignore[arg-type]  # options of several types
    except typer.Exit as ended:
        code = ended.exit_code
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("settled", "told"),
    [
        (
            ErrorReported(code=ErrorCode.SESSION_CLOSED, message="it was closed"),
            "session_closed: it was closed",
        ),
        (
            SessionEnded(reason=EndReason.CANCELLED, turns=1, tokens=0, cost_nanodollars=0),
            "the session has ended: cancelled",
        ),
        (
            RecordRejected(
                topic="user.inputs",
                partition=0,
                offset=1,
                key=None,
                value=None,
                headers=(),
                code=RejectionCode.INVALID_INPUT,
                reason="too long",
                shell="ingress",
            ),
            "put aside: invalid_input: too long",
        ),
    ],
)
def test_an_attempt_without_an_answer_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], suite: Path, settled: Fact, told: str
) -> None:
    code, found = run(monkeypatch, capsys, suite, settled)

    (task,) = found["tasks"]
    assert (code, task["passed"], task["attempts"]) == (1, 0, 1)
    assert told in task["runs"][0]["faults"][0]


def test_an_attempt_that_never_ends_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], suite: Path
) -> None:
    code, found = run(monkeypatch, capsys, suite, None, timeout_s=0.01)

    assert code == 1
    assert found["tasks"][0]["runs"][0]["faults"] == ["no answer within 0 s"]


def test_nothing_more_is_begun_once_the_money_is_spent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], suite: Path
) -> None:
    code, found = run(monkeypatch, capsys, suite, answer(60), repeats=5, at_once=1, dollars=100e-9)

    (task,) = found["tasks"]
    assert (code, task["passed"], task["attempts"], task["nanodollars"]) == (1, 2, 2, 120)


def test_all_that_can_be_paid_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], suite: Path
) -> None:
    code, found = run(monkeypatch, capsys, suite, answer(60), repeats=3)

    assert (code, found["tasks"][0]["passed"]) == (0, 3)


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"tasks": []}',
        '{"tasks": [{"task": "one"}]}',
        '{"tasks": [{"task": "one", "passed": 5, "attempts": 2}]}',
        '{"tasks": [{"task": "one", "passed": -1, "attempts": 2}]}',
    ],
)
def test_what_is_no_earlier_run_is_refused_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], suite: Path, tmp_path: Path, text: str
) -> None:
    earlier = tmp_path / "earlier.json"
    earlier.write_text(text, encoding="utf-8")

    with pytest.raises(typer.Exit) as ended:
        evaluate.evaluate(suite, against=earlier)

    assert ended.value.exit_code == 2
    assert "is not what `cartrita eval --json` prints" in " ".join(capsys.readouterr().err.split())
