"""What is done to sessions by HTTP: forks, budgets, feedback."""

import uuid

import httpx
import pytest

from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.test_front_door import in_pages, opened, say, settled, told, until_answered

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

ACTS = {
    "fork": {"at": str(uuid.uuid4())},
    "budget": {"tokens": 1},
    "feedback": {"answerId": str(uuid.uuid4()), "rating": "good"},
}


def test_a_session_is_forked_judged_and_given_a_budget(http: httpx.Client) -> None:
    session = opened(http, userId="ann", budget={"tokens": 50_000})
    frames = until_answered(told(http, session), say(http, session, "Calculate 6 * 7 with code."))
    settled(http, session)
    base = f"/api/v2/sessions/{session}"
    (answer_id,) = [event["id"] for event in in_pages(http, session) if event["type"] == "AnswerGiven"]

    judged = http.post(f"{base}/feedback", json={"answerId": answer_id, "rating": "bad", "comment": "Dull."})
    assert judged.status_code == 202, judged.text
    absent = http.post(f"{base}/feedback", json={"answerId": str(uuid.uuid4()), "rating": "bad"})
    assert (absent.status_code, absent.json()["code"]) == (404, "answer_not_found")

    raised = http.post(f"{base}/budget", json={"tokens": 70_000, "reason": "It goes on."})
    assert raised.status_code == 202, raised.text
    notice = next(one for one in told(http, session, frames[-1]["cursor"]) if one["type"] == "notice")
    assert "70,000" in notice["message"]

    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"at": answer_id, "message": "Calculate 9 * 9 with code."}
    forked = http.post(f"{base}/fork", json=body, headers=key)
    assert forked.status_code == 201, forked.text
    assert http.post(f"{base}/fork", json=body, headers=key).json()["sessionId"] == forked.json()["sessionId"]
    fork = forked.json()["sessionId"]
    answer = next(one for one in told(http, fork) if one["type"] == "answer")
    assert "81" in answer["text"]
    assert settled(http, fork)["userId"] == "ann"

    standing = settled(http, session)
    assert (standing["budgetTokens"], standing["turns"]) == (70_000, 1)
    kept = [event["body"] for event in in_pages(http, session) if event["type"] == "FeedbackGiven"]
    assert {(one["answer_id"], one["rating"], one["comment"]) for one in kept} == {
        (answer_id, "bad", "Dull.")
    }


@pytest.mark.parametrize("act", ACTS)
def test_an_act_needs_its_scope_and_ones_own_session(
    bearing: Bearing, make_token: Make, address: str, act: str
) -> None:
    ann = bearing(address, make_token("--user", "ann", "--scope", "send"))
    session = opened(ann)
    path = f"/api/v2/sessions/{session}/{act}"
    scopes = [word for scope in ("read", "approve", "send", "administer") for word in ("--scope", scope)]
    for stranger in (("--user", "bob"), ("--tenant", "other")):
        client = bearing(address, make_token(*stranger, *scopes))
        assert client.post(path, json=ACTS[act]).status_code == 404
    lacking = "administer" if act == "budget" else "send"
    others = [
        word for scope in {"read", "approve", "send", "administer"} - {lacking} for word in ("--scope", scope)
    ]
    weak = bearing(address, make_token("--user", "ann", *others)).post(path, json=ACTS[act])
    assert (weak.status_code, weak.json()["code"]) == (403, "scope_missing")


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("fork", {}),
        ("fork", {"at": "x"}),
        ("fork", {"at": str(uuid.uuid4()), "budget": {"tokens": 0}}),
        ("fork", {"at": str(uuid.uuid4()), "message": " "}),
        ("budget", {}),
        ("budget", {"tokens": -1}),
        ("budget", {"dollars": 1e300}),
        ("budget", {"tokens": 2**60}),
        ("feedback", {"answerId": str(uuid.uuid4())}),
        ("feedback", {"answerId": str(uuid.uuid4()), "rating": "splendid"}),
        ("feedback", {"answerId": "x", "rating": "good"}),
    ],
)
def test_an_act_that_says_nothing_sensible_is_told_so(
    http: httpx.Client, act: str, body: dict[str, object]
) -> None:
    answer = http.post(f"/api/v2/sessions/{opened(http)}/{act}", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
