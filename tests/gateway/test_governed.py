"""What requests for governed calls say, and what clients are told of those that fail."""

import contextlib
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.tokens import TokenCounter
from schemas.configuration import ChatModel, RequestParameters
from schemas.events.access import BudgetPeriod, TokenBudget
from schemas.events.client_calls import ClientCallFailed, ClientCallFailureKind, ClientCallReceived
from schemas.events.models import ChatRole
from streams.gateway.governed_calls import budget_at
from streams.gateway.governed_chat import problem_of, refusal_of
from streams.gateway.governed_requests import asked_of
from streams.gateway.models import ModelBook
from streams.gateway.problems import Problem, openai_error
from tests.processors.world import MODELS
from tests.vocabularies import prepared_vocabularies
from topics.catalog import ENTRANCES, TOPICS

MINI = next(model for model in MODELS.chat if model.name == "gpt-4o-mini")
COUNTER = TokenCounter({MINI.name: MINI.encoding})
Json = dict[str, object]


@pytest.fixture(scope="module", autouse=True)
def vocabularies() -> None:
    """Tokens are counted by real vocabularies."""
    prepared_vocabularies()


def fact(*messages: Json, model: ChatModel = MINI, **more: object) -> ClientCallReceived:
    return asked_of({"messages": list(messages), **more}, model, COUNTER).fact


def user(content: object) -> Json:
    return {"role": "user", "content": content}


def test_calls_enter_by_a_topic_that_gateways_alone_write() -> None:
    (topic,) = [topic for topic in TOPICS if ClientCallReceived in topic.facts]
    assert topic not in ENTRANCES
    assert topic.writers == "gateways alone"


def test_a_history_with_tools_is_taken_as_it_is_told() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}
    asked = fact(
        {"role": "developer", "content": "rules"},
        user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        tools=[{"type": "function", "function": {"name": "read", "strict": True}}],
    )
    assert [one.role for one in asked.messages] == [
        ChatRole.SYSTEM,
        ChatRole.USER,
        ChatRole.ASSISTANT,
        ChatRole.TOOL,
    ]
    assert [one.text for one in asked.messages] == ["rules", "ab", "", "found"]
    assert asked.messages[2].tool_calls[0].name == "read"
    assert asked.messages[3].tool_call_id == "c1"
    (tool,) = asked.tools
    assert (tool.name, tool.strict) == ("read", True)
    assert json.loads(tool.parameters_json)["type"] == "object"


def test_parameters_pass_and_unknown_ones_do_not() -> None:
    asked = fact(
        user("x"), temperature=0.3, seed=7, stop=["a"], metadata={"a": "b"}, store=True, user="ann", top_k=5
    )
    assert json.loads(asked.parameters_json) == {"temperature": 0.3, "seed": 7, "stop": ["a"]}


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": None}, None),
    ],
)
def test_the_limit_of_the_answer_has_two_names(more: Json, tokens: int | None) -> None:
    assert asked_of({"messages": [user("x")]} | more, MINI, COUNTER).fact.output_tokens_max == tokens


def test_what_is_reserved_covers_schemas_and_tools() -> None:
    plain = fact(user("x")).prompt_tokens
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
    assert fact(user("x"), response_format=schema).prompt_tokens > plain
    tool = {"type": "function", "function": {"name": "read", "description": "reads " * 50}}
    assert fact(user("x"), tools=[tool]).prompt_tokens > plain + 50


def test_the_digest_tells_bodies_apart_and_not_how_they_are_told() -> None:
    assert fact(user("x"), stream=True).body_sha256 == fact(user("x")).body_sha256
    others = [fact(user("y")), fact(user("x"), seed=1), fact(user("x"), max_tokens=1)]
    assert len({one.body_sha256 for one in (*others, fact(user("x")))}) == 4


def test_halves_of_characters_are_mended() -> None:
    assert fact(user("a\ud800b")).messages[0].text == "a\ufffdb"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(
        ["messages", "tools", "tool_choice", "max_tokens", "n", "stop", "response_format", "stream_options"]
    ),
)
def test_any_json_is_read_or_told_what_is_wrong(value: object, name: str) -> None:
    body = json.loads(json.dumps({"messages": [user("x")], name: value}))
    with contextlib.suppress(Problem):
        assert asked_of(body, MINI, COUNTER).fact.messages


def test_names_of_models_say_who_answers() -> None:
    own = ModelBook(MODELS, local=False, local_embedding=False)
    assert own.model("gpt-4o").name == "gpt-4o"
    local = ModelBook(MODELS, local=True, local_embedding=True)
    assert (local.names[0], local.names[-1]) == ("local/gpt-4o", "local/text-embedding-3-large")
    assert local.model("local/gpt-4o").name == "gpt-4o"
    for book, name, told in (
        (own, "local/gpt-4o", "models.toml"),
        (local, "gpt-4o", "OPENAI_BASE_URL"),
        (local, None, "models.toml"),
        (local, ["x"], "models.toml"),
    ):
        with pytest.raises(Problem, match=told) as absent:
            book.model(name)
        assert (absent.value.status, absent.value.code) == (404, "model_not_found")


@pytest.mark.parametrize("kind", list(ClientCallFailureKind))
def test_each_failure_has_a_status_and_a_code(kind: ClientCallFailureKind) -> None:
    failed = ClientCallFailed(call_id="", input_id="", body_sha256="", kind=kind, message="why")
    problem = problem_of(failed)
    assert 400 <= problem.status < 600
    assert problem.code not in ("", "failed")
    # Credentials of ours are not the client's: it is not told that its key is wrong.
    assert problem.status not in (401, 403)


def test_a_spent_budget_is_told_as_openai_tells_it() -> None:
    spent = ClientCallFailureKind.BUDGET_SPENT
    problem = problem_of(
        ClientCallFailed(call_id="", input_id="", body_sha256="", kind=spent, message="spent")
    )
    assert problem.status == 429
    error = openai_error(problem)["error"]
    assert isinstance(error, dict)
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")


def test_no_denied_call_is_no_refusal() -> None:
    assert refusal_of(()) is None


def test_profiles_say_what_a_model_does_not_take() -> None:
    plain = ChatModel(
        name=MINI.name,
        tier="standard",
        input_nanodollars=1,
        output_nanodollars=1,
        context_tokens=1_000,
        encoding=MINI.encoding,
        parameters=RequestParameters(alternate_roles=True),
    )
    # Neighbours of one role are sent as one message, and counted so.
    assert fact(user("a"), user("b"), model=plain).prompt_tokens < fact(user("a"), user("b")).prompt_tokens


@pytest.mark.parametrize(
    ("period", "account", "ends"),
    [
        (BudgetPeriod.DAY, "token:t:2026-12-31", datetime(2027, 1, 1, tzinfo=UTC)),
        (BudgetPeriod.MONTH, "token:t:2026-12", datetime(2027, 1, 1, tzinfo=UTC)),
        (BudgetPeriod.EVER, "token:t", None),
    ],
)
def test_each_day_and_month_of_a_token_has_an_account(
    period: BudgetPeriod, account: str, ends: datetime | None
) -> None:
    late_s = int(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
    found = budget_at("t", TokenBudget(tokens=5, period=period), late_s)
    assert found is not None
    assert (found.account_id, found.tokens, found.nanodollars) == (account, 5, None)
    assert found.ends_at_ms == (None if ends is None else int(ends.timestamp()) * 1_000)


def test_a_token_without_a_budget_has_no_account() -> None:
    assert budget_at("t", None, 0) is None
