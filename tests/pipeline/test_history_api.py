"""What the API tells of what happened in a session, and that it tells others nothing."""

import uuid

import httpx
import pytest

from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.test_front_door import opened, say, settled
from tests.pipeline.waiting import tries

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def test_history_is_told_to_its_owner_alone(bearing: Bearing, make_token: Make, address: str) -> None:
    ann = bearing(address, make_token("--user", "ann"))
    session = opened(ann)
    ann.headers["traceparent"] = f"00-{TRACE}-{SPAN}-01"
    say(ann, session, "Calculate 6 * 7 with code.")
    settled(ann, session)
    base = f"/api/v2/sessions/{session}"
    answers = ann.get(f"{base}/timeline", params={"type": "AnswerGiven"}).json()["events"]
    answer = answers[0]["id"]
    paths = [
        f"{base}/timeline",
        f"{base}/tasks",
        f"{base}/balance",
        f"{base}/events/{answer}",
        f"{base}/spans",
    ]
    trace = f"/api/v2/events/{answer}/trace"

    told = {path: ann.get(path).json() for path in (*paths, trace)}
    assert "Calculate 6 * 7 with code." in [one["label"] for one in told[paths[0]]["events"]]
    assert [task["status"] for task in told[paths[1]]["tasks"]] == ["complete"] * len(told[paths[1]]["tasks"])
    tokens = told[paths[2]]["tokens"]
    assert tokens["granted"] == tokens["used"] + tokens["reserved"] + tokens["available"]
    assert "42" in told[paths[3]]["body"]["text"]
    spans = told[paths[4]]["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert {one["traceId"] for one in spans} == {TRACE}, "the trace of whoever asked goes on"
    assert [one["name"] for one in spans if one["parentSpanId"] == SPAN] == ["invoke_workflow cartrita"]
    assert "execute_tool execute_python" in {one["name"] for one in spans}
    assert "Calculate" not in ann.get(paths[4]).text
    assert "Calculate 6 * 7" in ann.get(paths[4], params={"content": True}).text
    assert told[trace]["events"][0]["id"] == answer
    assert "MessageReceived" in [one["type"] for one in told[trace]["events"]]
    assert {one["sessionId"] for one in told[trace]["events"]} == {session}
    message = next(one["id"] for one in told[trace]["events"] if one["type"] == "MessageReceived")
    led_to = ann.get(f"/api/v2/events/{message}/trace", params={"effects": True, "limit": 1000}).json()
    assert answer in [one["id"] for one in led_to["events"]]

    for options in (("--user", "bob"), ("--tenant", "other"), ("--tenant", "other", "--user", "ann")):
        stranger = bearing(address, make_token(*options))
        nobodys = str(uuid.uuid4())
        for path in (*paths, trace):
            refused = stranger.get(path)
            unknown = stranger.get(path.replace(session, nobodys).replace(answer, nobodys))
            assert refused.status_code == unknown.status_code == 404
            assert refused.text == unknown.text
    sender = bearing(address, make_token("--user", "ann", "--scope", "send"))
    assert {sender.get(path).status_code for path in (*paths, trace)} == {403}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v2/sessions?sort=nothing", 422),
        ("/api/v2/sessions?search=" + "x" * 201, 422),
        ("/api/v2/sessions?limit=201", 422),
        ("/api/v2/sessions?before=nonsense", 400),
        ("/api/v2/sessions?search=%00&status=%00", 200),
        ("/api/v2/sessions?search=%25%5C_", 200),
        ("/api/v2/events/nonsense/trace", 404),
        ("/api/v2/sessions/nonsense/timeline", 404),
        ("/api/v2/sessions/nonsense/events/nonsense", 422),
    ],
)
def test_what_is_asked_wrongly_is_told_so(http: httpx.Client, path: str, status: int) -> None:
    assert http.get(path).status_code == status


def test_the_bearer_is_told_what_it_may(
    http: httpx.Client, bearing: Bearing, make_token: Make, address: str
) -> None:
    assert http.get("/api/v2/me").json() == {
        "tenant": "default",
        "user": None,
        "scopes": ["administer", "approve", "read", "send"],
    }
    reader = bearing(address, make_token("--tenant", "acme", "--user", "ann", "--scope", "read"))
    assert reader.get("/api/v2/me").json() == {"tenant": "acme", "user": "ann", "scopes": ["read"]}


def test_marks_of_one_order_are_refused_in_another(http: httpx.Client) -> None:
    opened(http)
    opened(http)
    mark = None
    for _ in tries():
        mark = http.get("/api/v2/sessions", params={"limit": 1}).json()["next"]
        if mark is not None:
            break

    assert http.get("/api/v2/sessions", params={"before": mark}).status_code == 200
    assert http.get("/api/v2/sessions", params={"before": mark, "sort": "cost"}).status_code == 400


def test_a_message_is_estimated_from_the_bearers_own_turns_before_it_runs(
    bearing: Bearing, make_token: Make, address: str
) -> None:
    tenant = f"estimates-{uuid.uuid4().hex[:8]}"
    ann = bearing(address, make_token("--tenant", tenant, "--user", "ann"))
    asked = {"text": "Calculate 6 * 7 with code."}

    def told(client: httpx.Client) -> dict[str, int]:
        """Return on how many turns or tasks each line rests."""
        answer = client.post("/api/v2/estimates", json=asked)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["tokens"] == sum(line["tokens"] for line in body["lines"]) > 0
        assert body["dollars"] > 0
        return {line["what"]: line["samples"] for line in body["lines"]}

    assert told(ann) == {"planner": 0, "critic": 0, "synthesizer": 0, "coder": 0}
    for _ in range(3):
        session = opened(ann)
        say(ann, session, asked["text"])
        settled(ann, session)
    learnt: dict[str, int] = {}
    for _ in tries():
        learnt = told(ann)
        if all(samples == 3 for samples in learnt.values()):
            break
    assert learnt == {"planner": 3, "critic": 3, "synthesizer": 3, "coder": 3}
    bob = bearing(address, make_token("--tenant", tenant, "--user", "bob"))
    assert set(told(bob).values()) == {0}
    assert ann.post("/api/v2/estimates", json={**asked, "agent": "nobody"}).status_code == 404
    assert ann.post("/api/v2/estimates", json={"text": ""}).status_code == 422
    sender = bearing(address, make_token("--tenant", tenant, "--user", "ann", "--scope", "send"))
    assert sender.post("/api/v2/estimates", json=asked).status_code == 403


def test_costs_are_what_the_ledger_charged_and_nobody_elses(
    bearing: Bearing, make_token: Make, address: str
) -> None:
    tenant = f"costs-{uuid.uuid4().hex[:8]}"
    ann = bearing(address, make_token("--tenant", tenant, "--user", "ann"))
    session = opened(ann, title="Sums")
    say(ann, session, "Calculate 6 * 7 with code.")
    used = settled(ann, session)["tokensUsed"]

    for by in ("day", "session", "agent", "model"):
        costs = ann.get("/api/v2/costs", params={"by": by}).json()["costs"]
        assert sum(one["tokens"] for one in costs) == used
    (of_session,) = ann.get("/api/v2/costs", params={"by": "session"}).json()["costs"]
    assert (of_session["key"], of_session["title"]) == (session, "Sums")
    bob = bearing(address, make_token("--tenant", tenant, "--user", "bob"))
    assert bob.get("/api/v2/costs", params={"by": "session"}).json()["costs"] == []
    assert ann.get("/api/v2/costs", params={"by": "nothing"}).status_code == 422

    fixed = ann.get("/api/v2/costs/fixed").json()
    assert fixed["model"] == "gpt-4o"
    assert {one["agent"] for one in fixed["costs"]} > {"planner", "synthesizer"}
    assert sum(one["tokens"] for one in fixed["costs"]) <= used
    assert 0 < fixed["dollars"] < fixed["fixedDollars"]
    assert bob.get("/api/v2/costs/fixed").json()["costs"] == []
    cheap = ann.get("/api/v2/costs/fixed", params={"model": "gpt-4o-mini"}).json()
    assert cheap["shareSaved"] < fixed["shareSaved"]
    assert ann.get("/api/v2/costs/fixed", params={"model": "nothing"}).status_code == 404
    assert ann.get("/api/v2/costs", params={"since": "2026-01-01"}).status_code == 422


def test_questions_are_answered_of_what_the_token_may_see(
    bearing: Bearing, make_token: Make, address: str
) -> None:
    tenant = f"asked-{uuid.uuid4().hex[:8]}"
    ann = bearing(address, make_token("--tenant", tenant, "--user", "ann"))
    session = opened(ann)
    say(ann, session, "Calculate 6 * 7 with code.")
    used = settled(ann, session)["tokensUsed"]

    listed = ann.get("/api/v2/questions").json()["questions"]
    assert len(listed) == 6
    for question in listed:
        told = ann.get(f"/api/v2/questions/{question['name']}").json()
        assert told["question"] == question
        assert all(len(row) == len(question["columns"]) and row[0] == tenant for row in told["rows"])
        assert told["rows"] or question["name"] == "retrieval_usefulness"
        assert not told["truncated"]
    asked = ann.get("/api/v2/questions/cost_by_agent").json()
    names = [one["name"] for one in asked["question"]["columns"]]
    assert sum(row[names.index("tokens")] for row in asked["rows"]) == used
    first = ann.get("/api/v2/questions/cost_by_agent", params={"limit": 1}).json()
    assert (first["rows"], first["truncated"]) == (asked["rows"][:1], True)
    past = {"until": "2020-01-01T00:00:00Z", "since": "2019-01-01T00:00:00Z"}
    assert ann.get("/api/v2/questions/slowest_hops", params=past).json()["rows"] == []

    for options in (("--tenant", tenant, "--user", "bob"), ("--tenant", "other")):
        stranger = bearing(address, make_token(*options))
        for question in listed:
            rows = stranger.get(f"/api/v2/questions/{question['name']}").json()["rows"]
            assert tenant not in {row[0] for row in rows}
    sender = bearing(address, make_token("--tenant", tenant, "--user", "ann", "--scope", "send"))
    assert sender.get("/api/v2/questions").status_code == 403
    assert sender.get("/api/v2/questions/cost_by_agent").status_code == 403
    assert ann.get("/api/v2/questions/pg_authid").status_code == 422
