"""The command line as people and scripts use it, against a running deployment."""

import csv
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.outsider import Outsider, message

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever a command prints
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(deployment: object, command_environment: dict[str, str]) -> Run:
    """Run a command and return what it printed and how it ended."""

    def run(*arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [sys.executable, "-m", "streams.main", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            env=command_environment,
            check=False,
        )
        assert ended.returncode == code, f"{arguments}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        return ended

    return run


def lines(ended: subprocess.CompletedProcess[str]) -> list[Json]:
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture
def answered(run: Run) -> Json:
    """The answer to a question that was asked by the command line."""
    told = lines(run("send", "--follow", "--json", "Write a short greeting."))
    assert told[-1]["body"]["type"] == "AnswerGiven"
    return told[-1]


def wait_until_stored(environment: dict[str, str], event_id: str) -> Json:
    """Trace an event as soon as the sink has it."""
    for _ in range(60):
        ended = subprocess.run(
            [sys.executable, "-m", "streams.main", "trace", event_id, "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            check=False,
        )
        if ended.returncode == 0:
            return json.loads(ended.stdout)
    pytest.fail(f"the event log never had {event_id}")


def test_a_question_is_answered_and_the_way_to_it_is_told(run: Run) -> None:
    told = lines(run("send", "--follow", "--json", "Write a short greeting."))

    assert told[0]["body"]["type"] == "TurnStarted"
    answer = told[-1]["body"]
    assert answer["complete"]
    assert answer["local"]
    assert answer["text"].strip()


def test_an_answer_traces_to_the_message_and_its_session_shows_the_plan(
    run: Run, command_environment: dict[str, str], answered: Json
) -> None:
    found = wait_until_stored(command_environment, answered["event_id"])

    def types(node: Json) -> set[str]:
        return {node["event"]["type"]}.union(*(types(child) for child in node["children"]))

    assert {"MessageReceived", "ModelCallCompleted", "TaskCompleted", "PlanAccepted"} <= types(found["root"])
    detail = json.loads(run("sessions", answered["session_id"], "--json").stdout)
    (root,) = detail["tasks"]
    assert root["task"]["status"] == "complete"
    assert root["children"]
    listed = json.loads(run("sessions", "--json", "--limit", "1000").stdout)
    assert answered["session_id"] in {row["id"] for row in listed}
    assert answered["session_id"] in run("sessions", answered["session_id"]).stdout

    of_it = ("cost", "--session", answered["session_id"], "--by")
    by_agent = json.loads(run(*of_it, "agent", "--json").stdout)
    assert {one["what"] for one in by_agent["costs"]} > {"planner", "synthesizer"}
    fixed = json.loads(run(*of_it[:-1], "--fixed", "premium", "--json").stdout)
    assert 0 < fixed["share_saved"] < 1
    assert "less than with gpt-4o for all" in run(*of_it[:-1], "--fixed", "premium").stdout
    assert "there is no model and no tier nothing" in run(*of_it[:-1], "--fixed", "nothing", code=4).stderr
    assert by_agent["total"]["tokens"] == detail["session"]["tokens_used"]
    assert answered["session_id"] in run(*of_it, "session").stdout

    def labels(node: Json) -> set[str]:
        return {node["event"]["label"]}.union(*(labels(child) for child in node["children"]))

    assert "plan: planner begins with the tier premium" in labels(found["root"])
    told = json.loads(run("estimate", "Write a short greeting.", "--json").stdout)
    assert {line["what"] for line in told["lines"]} > {"planner", "synthesizer"}
    assert told["tokens"] == sum(line["tokens"] for line in told["lines"]) > 0
    assert json.loads(run("estimate", "--check", "--json").stdout)["turns"] >= 1
    run("estimate", code=2)


def test_questions_are_listed_explained_and_answered(
    run: Run, command_environment: dict[str, str], answered: Json
) -> None:
    wait_until_stored(command_environment, answered["event_id"])

    names = [one["name"] for one in json.loads(run("ask", "--json").stdout)["questions"]]
    assert all(name in run("ask").stdout for name in names)
    for name in names:
        explained = json.loads(run("ask", name, "--explain", "--json").stdout)
        columns = [one["name"] for one in explained["columns"]]
        told = json.loads(run("ask", name, "--days", "1", "--json").stdout)
        assert all(list(row) == columns for row in told["rows"])
        assert next(csv.reader(run("ask", name, "--csv").stdout.splitlines())) == columns
        assert columns[-1] in run("ask", name, "--explain").stdout
    agents = json.loads(run("ask", "cost_by_agent", "--tenant", "default", "--json").stdout)["rows"]
    assert {one["agent"] for one in agents} > {"planner", "synthesizer"}
    assert run("ask", "cost_by_agent", "--tenant", "nobody", "--csv").stdout.count("\n") == 1
    assert "planner" in run("ask", "cost_by_agent").stdout
    run("ask", "--csv", code=2)
    run("ask", "cost_by_agents", code=2)


def test_a_session_is_forked_at_an_event_and_both_replay(
    run: Run, command_environment: dict[str, str], answered: Json
) -> None:
    origin = answered["session_id"]
    before = json.loads(run("replay", origin, "--json").stdout)
    found = wait_until_stored(command_environment, answered["event_id"])

    def first(node: Json, kind: str) -> Json:
        if node["event"]["type"] == kind:
            return node["event"]
        return next((one for child in node["children"] if (one := first(child, kind))), None)

    accepted = first(found["root"], "PlanAccepted")
    place = "/".join(str(accepted[part]) for part in ("topic", "partition", "offset"))
    again = lines(run("fork", origin, "--at", place, "--model", "gpt-4o-mini", "--follow", "--json"))
    another = lines(
        run(
            "fork", origin, "--at", answered["event_id"], "--message", "And a farewell.", "--follow", "--json"
        )
    )

    assert again[-1]["body"]["complete"]
    assert another[-1]["body"]["complete"]
    assert another[-1]["body"]["turn"] == 2
    assert json.loads(run("replay", origin, "--json").stdout) == before
    for fork in (again[-1], another[-1]):
        assert json.loads(run("replay", fork["session_id"], "--json").stdout)["divergence"] is None
    assert json.loads(run("trace", place, "--json").stdout)["root"]["event"] == accepted
    traced = wait_until_stored(command_environment, again[-1]["event_id"])
    assert first(traced["root"], "SessionForked") is not None
    assert first(traced["root"], "MessageReceived") is not None
    detail = json.loads(run("sessions", again[-1]["session_id"], "--json").stdout)
    assert detail["session"]["forked_from"] == origin
    assert detail["session"]["forked_at"] == accepted["event_id"]
    assert f"forked from {origin}" in run("sessions", again[-1]["session_id"]).stdout


def test_standard_input_and_files_are_sent(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("Kafka keeps the log. The log is the truth. " * 20, encoding="utf-8")

    told = lines(
        run("send", "-", "--file", str(text), "--follow", "--json", stdin="Summarise the attachment.")
    )

    assert told[-1]["body"]["complete"]


def test_a_budget_that_is_too_small_ends_with_exit_code_1_and_the_reason(run: Run) -> None:
    told = lines(run("send", "--follow", "--json", "--budget-tokens", "10", "Write a greeting.", code=1))

    assert told[-1]["body"]["reason"] == "budget_exhausted"


def test_a_spent_budget_is_raised_by_the_command_that_its_answer_names(run: Run) -> None:
    told = lines(run("send", "--follow", "--json", "--budget-tokens", "10", "Write a greeting.", code=1))
    session, text = told[-1]["session_id"], told[-1]["body"]["text"]
    command = text.split("`cartrita ")[1].split("`")[0].split()
    assert command[:2] == ["budget", session]

    raised = run(*command, "--dollars", "2")

    assert "10,000,000 tokens and $2.00" in " ".join((raised.stdout + raised.stderr).split())
    again = ("send", "--session", session, "--follow", "--json", "--budget-tokens", "5", "Write a greeting.")
    told = lines(run(*again))
    assert [one["body"]["code"] for one in told if one["body"]["type"] == "NoticeGiven"] == ["budget_ignored"]
    assert told[-1]["body"]["complete"]


def test_a_budget_that_a_producer_or_a_stranger_sets_is_put_aside(
    run: Run, outsider: Outsider, answered: Json
) -> None:
    session = answered["session_id"]
    forged = {
        **message("x", session_id=session),
        "body": ("cartrita.events.SessionBudgetSet", {"tokens": 1}),
    }

    outsider.post([forged])
    refused = run("budget", session, "--tokens", "777777", "--tenant", "evil", code=1)

    assert "not_owner" in refused.stderr
    wanted = ("--session", session, "--type", "RecordRejected", "--limit", "2")
    shown = lines(run("tail", "--from-beginning", *wanted, "--json"))
    reasons = {one["event"]["body"]["code"]: one["event"]["body"]["reason"] for one in shown}
    assert reasons.keys() == {"not_owner", "invalid_input"}
    assert "cartrita budget" in reasons["invalid_input"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("send", "  "), 2, "empty"),
        (("send", "--session", "not-a-uuid", "hello"), 2, "UUID"),
        (("send", "--budget-tokens", "0", "hello"), 2, "budget-tokens"),
        (("send", "--budget-dollars", "nan", "hello"), 2, "greater than or equal"),
        (("send", "--budget-dollars", "inf", "hello"), 2, "no budget"),
        (("send", "--budget-tokens", "9223372036854775808", "hello"), 2, "budget-tokens"),
        (("budget", "00000000-0000-4000-8000-000000000000"), 2, "no budget is given"),
        (("budget", "not-a-uuid", "--tokens", "5"), 2, "UUID"),
        (("budget", "00000000-0000-4000-8000-000000000000", "--tokens", "-5"), 2, "tokens"),
        (("budget", "00000000-0000-4000-8000-000000000000", "--tokens", "1e3"), 2, "tokens"),
        (("budget", "00000000-0000-4000-8000-000000000000", "--dollars", "nan"), 2, "greater than or equal"),
        (("budget", "00000000-0000-4000-8000-000000000000", "--dollars", "1e300"), 2, "no budget"),
        (("budget", "00000000-0000-4000-8000-000000000001", "--tokens", "5"), 1, "unknown_session"),
        (("tail", "--topic", "no.such.topic"), 2, "no topic"),
        (("trace", "nonsense"), 2, "not a UUID"),
        (("trace", "00000000-0000-4000-8000-000000000000"), 4, "has nothing of"),
        (("trace", "task.events/0/999999999"), 4, "has nothing of"),
        (("trace", "no.such.topic/0/0"), 2, "not a UUID"),
        (("sessions", "00000000-0000-4000-8000-000000000000"), 4, "no session"),
        (("dead-letters", "show", "00000000-0000-4000-8000-000000000000"), 4, "no dead letter"),
        (("schemas", "show", "no.such.topic"), 4, "no topic"),
        (("ingest", "/no/such/folder"), 2, "does not exist"),
        (("worker", "--shell", "nonsense"), 2, "no shell"),
        (("fork", "nonsense", "--at", "nonsense"), 2, "not a UUID"),
        (("fork", "00000000-0000-4000-8000-000000000000", "--at", ""), 2, "not a UUID"),
        (
            ("fork", *(2 * ("00000000-0000-4000-8000-000000000000", "--at"))[:3], "-m", "x"),
            4,
            "log has nothing",
        ),
    ],
)
def test_wrong_use_says_what_is_wrong(run: Run, arguments: tuple[str, ...], code: int, text: str) -> None:
    ended = run(*arguments, code=code)

    assert text in " ".join((ended.stderr + ended.stdout).replace("│", " ").split())
    assert "Traceback" not in ended.stderr


def test_files_that_are_no_text_or_too_long_are_refused_before_they_are_sent(
    run: Run, tmp_path: Path
) -> None:
    binary = tmp_path / "picture.bin"
    binary.write_bytes(b"\xff\xfe\x00")
    long = tmp_path / "long.txt"
    long.write_text("word " * 60_000, encoding="utf-8")

    assert "is not text" in run("send", "-f", str(binary), "look", code=2).stderr
    assert "is not text" in run("send", "-f", "/dev/zero", "look", code=2).stderr
    assert "at most" in run("send", "-f", str(long), "look", code=2).stderr


def test_tail_shows_decoded_records_filtered_by_type_and_session(run: Run, answered: Json) -> None:
    session = answered["session_id"]

    ended = run(
        "tail", "--from-beginning", "--session", session, "--type", "TaskCompleted", "--limit", "2", "--json"
    )

    shown = lines(ended)
    assert len(shown) == 2
    assert {entry["event"]["session_id"] for entry in shown} == {session}
    assert {entry["event"]["body"]["type"] for entry in shown} == {"TaskCompleted"}


def test_what_cannot_be_read_is_put_aside_listed_shown_and_can_be_driven_again(
    run: Run, outsider: Outsider
) -> None:
    mark = uuid.uuid4().hex.encode()
    outsider.post_bytes(b"no avro at all " + mark)

    letter = None
    for _ in range(60):
        found = json.loads(run("dead-letters", "list", "--code", "not_avro", "--json").stdout)
        details = [json.loads(run("dead-letters", "show", row["event_id"], "--json").stdout) for row in found]
        letter = next((entry for entry in details if mark.decode() in str(entry["value"])), None)
        if letter is not None:
            break
    assert letter is not None, "the bytes were never put aside"
    assert letter["letter"]["topic"] == "user.inputs"
    kept = run("dead-letters", "redrive", letter["letter"]["event_id"], code=1).stdout
    assert "it lacks the zero byte and schema id" in kept


def test_the_same_message_sent_twice_is_answered_once(run: Run, outsider: Outsider) -> None:
    posted = message("Write a short greeting.")

    outsider.post([posted, posted, posted])

    wanted = ("--session", posted["session_id"], "--type", "AnswerGiven", "--limit")
    shown = lines(run("tail", "--from-beginning", *wanted, "1", "--json"))
    assert shown[0]["event"]["body"]["input_id"] == posted["event_id"]
    late = message("And another one.", session_id=posted["session_id"])
    outsider.post([late])
    answers = lines(run("tail", "--from-beginning", *wanted, "2", "--json"))
    assert [entry["event"]["body"]["input_id"] for entry in answers] == [posted["event_id"], late["event_id"]]


def test_a_cancelled_session_takes_no_more_input(run: Run, answered: Json) -> None:
    session = answered["session_id"]

    run("cancel", session, "--reason", "enough")
    told = lines(run("send", "--session", session, "--follow", "--json", "Are you there?", code=1))

    assert told[-1]["body"]["code"] == "session_closed"


def test_a_cancel_for_a_session_that_does_not_exist_is_told_on_its_outputs(run: Run) -> None:
    session = str(uuid.uuid4())

    run("cancel", session)

    wanted = ("--session", session, "--type", "ErrorReported", "--limit", "1")
    shown = lines(run("tail", "--from-beginning", *wanted, "--json"))
    assert shown[0]["event"]["body"]["code"] == "unknown_session"


def test_topics_schemas_tables_and_all_parts_are_in_order(run: Run) -> None:
    assert json.loads(run("topics", "verify", "--json").stdout)["differences"] == []
    assert "registered" in run("schemas", "register").stdout
    assert "up to date" in run("migrate").stdout
    assert all(part["running"] for part in json.loads(run("status", "--json").stdout)["parts"])
    findings = json.loads(run("doctor", "--json").stdout)
    assert all(finding["ok"] for finding in findings)


def test_help_explains_every_command(run: Run) -> None:
    commands = [
        "up",
        "down",
        "status",
        "send",
        "tail",
        "sessions",
        "trace",
        "ingest",
        "worker",
        "sink",
        "demo",
    ]
    for command in commands:
        assert "Usage" in run(command, "--help").stdout


def test_a_service_that_is_away_is_named_with_exit_code_3(
    command_environment: dict[str, str], deployment: object, tmp_path: Path
) -> None:
    nowhere = {
        **command_environment,
        "CARTRITA_HOME": str(tmp_path),
        "CARTRITA_REGISTRY_URL": "http://127.0.0.1:1/apis/ccompat/v7",
        "CARTRITA_POSTGRES_DSN": "postgresql://127.0.0.1:1/cartrita",
        "CARTRITA_KAFKA_BOOTSTRAP": "127.0.0.1:1",
    }
    cases = ((("send", "hello"), "registry"), (("sessions",), "Postgres"), (("topics", "verify"), "Kafka"))
    for arguments, text in cases:
        ended = subprocess.run(
            [sys.executable, "-m", "streams.main", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=nowhere,
            check=False,
        )
        assert ended.returncode == 3, ended.stderr
        assert text in ended.stderr
        assert "Traceback" not in ended.stderr


def test_wrong_settings_are_told_all_at_once(command_environment: dict[str, str]) -> None:
    faults = {"CARTRITA_PARTITIONS": "none", "CARTRITA_LOG_LEVEL": "loud", "CARTRITA_TYPO": "1"}
    wrong = {**command_environment, **faults}
    ended = subprocess.run(
        [sys.executable, "-m", "streams.main", "worker"],
        capture_output=True,
        text=True,
        timeout=60,
        env=wrong,
        check=False,
    )

    assert ended.returncode == 2
    for name in ("CARTRITA_PARTITIONS", "CARTRITA_LOG_LEVEL", "CARTRITA_TYPO"):
        assert name in ended.stderr


SUITE = """
[[tasks]]
name = "sum"
text = "Calculate 17 * 23 with code. Then write one sentence about the result."
[tasks.checks]
contains = ["391"]
tools = ["execute_python"]
agents = ["coder"]
dollars_max = 1.0

[[tasks]]
name = "wrong"
text = "Calculate 2 + 2 with code."
agent = "coder"
[tasks.checks]
contains = ["nobody says this"]
"""


def test_a_suite_tells_what_was_good_and_what_was_amiss(run: Run, tmp_path: Path) -> None:
    suite, before = tmp_path / "mine.toml", tmp_path / "before.json"
    suite.write_text(SUITE, encoding="utf-8")

    told = run("eval", str(suite), "--repeats", "2", "--json", code=1).stdout
    before.write_text(told, encoding="utf-8")
    good, wrong = json.loads(told)["tasks"]
    assert (good["task"], good["passed"], good["attempts"]) == ("sum", 2, 2)
    assert (wrong["task"], wrong["passed"], wrong["attempts"]) == ("wrong", 0, 2)
    assert [one["faults"] for one in wrong["runs"]] == [['the answer lacks "nobody says this"']] * 2
    assert len({one["session"] for task in (good, wrong) for one in task["runs"]}) == 4
    assert all(one["tokens"] and one["latency_ms"] for one in good["runs"])
    assert all("execute_python" in one["tools"] and "coder" in one["agents"] for one in good["runs"])

    shown = run("eval", str(suite), "--task", "sum", "--against", str(before)).stdout
    assert "1/1" in shown
    assert "2/2" in shown
    assert (
        "no task names an agent" in run("eval", str(suite), "--task", "sum", "--plan", "never", code=2).stderr
    )
    assert "there is no task other" in run("eval", str(suite), "--task", "other", code=4).stderr
    run("eval", str(suite), "--against", str(suite), code=2)
