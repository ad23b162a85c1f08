"""Models by their own names at the front door: one governed call each, as OpenAI's clients make them."""

import concurrent.futures
import json
import uuid
from typing import Any

import httpx
import psycopg
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.outsider import Outsider, message
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the gateway and the log say
MODEL = "local/gpt-4o-mini"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say something about retries."}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
def openai(address: str, token: str) -> OpenAI:
    """OpenAI's own client, with nothing but base URL and key."""
    return OpenAI(base_url=address + "/v1", api_key=token, max_retries=0, timeout=60)


def rows(settings: Settings, query: str, *given: object) -> list[tuple[Json, ...]]:
    with psycopg.connect(settings.postgres_dsn) as connection:
        return connection.execute(query, given).fetchall()


def logged(settings: Settings, input_id: str) -> list[tuple[str, Json]]:
    """Return what a call caused, once the sink has read its end."""
    query = "SELECT type, body FROM event_log WHERE correlation_id = %s AND sequence > 0 ORDER BY sequence"
    for _ in tries():
        found = rows(settings, query, input_id)
        if any(name.startswith("ClientCall") for name, _ in found):
            return [(str(name), body) for name, body in found]
    raise AssertionError("the sink does not read of the call's end")


def input_of(completion_id: str) -> str:
    return completion_id.removeprefix("chatcmpl-")


def answered(answer: httpx.Response) -> Json:
    """Return what an answer says, which has to be one."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def body_of(text: str, **more: object) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def test_a_call_is_answered_charged_and_traced(openai: OpenAI, settings: Settings) -> None:
    done = openai.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=100, temperature=0.5)
    (choice,) = done.choices
    assert (done.model, choice.finish_reason, choice.message.role) == (MODEL, "stop", "assistant")
    assert choice.message.content
    assert choice.message.tool_calls is None
    caused = dict(logged(settings, input_of(done.id)))
    charged = caused["BudgetCharged"]
    assert done.usage is not None
    assert done.usage.total_tokens == charged["tokens"] > 0
    assert caused["ClientCallAnswered"]["cost_nanodollars"] == charged["nanodollars"]
    assert caused["ModelCallRequested"]["output_tokens_max"] == 100
    (row,) = rows(
        settings, "SELECT status, tokens, model, route FROM client_calls WHERE id = %s", input_of(done.id)
    )
    assert row == ("answered", charged["tokens"], "gpt-4o-mini", "chat.completions")
    # From the answer's call back to what the client asked.
    answer = "SELECT event_id FROM event_log WHERE correlation_id = %s AND type = 'ClientCallAnswered'"
    ((event_id,),) = rows(settings, answer, input_of(done.id))
    traced = {name for (name,) in rows(settings, "SELECT type FROM cartrita_trace(%s)", event_id)}
    assert traced >= {"ClientCallAnswered", "ModelCallCompleted", "ModelCallRequested", "ClientCallReceived"}


def test_a_call_is_no_conversation(
    bearing: Bearing, make_token: Make, address: str, http: httpx.Client, settings: Settings
) -> None:
    # A token of its own, so that nobody else has tried to speak in the session of its calls.
    asked = body_of("Say something about retries.", max_tokens=60)
    call = input_of(answered(bearing(address, make_token()).post("/v1/chat/completions", json=asked))["id"])
    logged(settings, call)
    ((session,),) = rows(settings, "SELECT session_id FROM client_calls WHERE id = %s", call)
    assert rows(settings, "SELECT 1 FROM conversation_messages WHERE session_id = %s", session) == []
    assert rows(settings, "SELECT 1 FROM tasks_v2 WHERE session_id = %s", session) == []
    listed = [one["sessionId"] for one in http.get("/api/v2/sessions").json()["sessions"]]
    assert str(session) not in listed
    assert http.get(f"/api/v2/sessions/{session}/status").status_code == 404


def test_a_stream_has_the_same_text_and_usage_as_the_answer_on_the_log(
    openai: OpenAI, settings: Settings
) -> None:
    chunks = list(
        openai.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    ends = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    assert ends == ["stop"]
    (usage,) = [c.usage for c in chunks if c.usage is not None]
    assert chunks[-1].choices == []
    end = dict(logged(settings, input_of(chunks[0].id)))["ClientCallAnswered"]
    assert end["text"] == text
    assert (usage.prompt_tokens, usage.completion_tokens) == (
        end["input_tokens"],
        end["output_tokens"],
    )
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_says_nothing_of_usage_unless_asked(openai: OpenAI) -> None:
    chunks = list(openai.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def test_a_clients_tools_come_back_as_calls_and_their_results_are_read(openai: OpenAI) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Call get_weather for Oslo."}]},
    ]
    first = openai.chat.completions.create(
        model=MODEL, messages=messages, tools=[WEATHER], tool_choice="required"
    )
    (choice,) = first.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "get_weather"
    json.loads(call.function.arguments)
    messages += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "It rains in Oslo."},
    ]
    second = openai.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    assert second.choices[0].finish_reason == "stop"
    assert "rains" in (second.choices[0].message.content or "")


def test_tool_calls_of_a_stream_have_an_index_an_id_and_whole_arguments(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Call get_weather for Oslo."}],
            tools=[WEATHER],
            tool_choice={"type": "function", "function": {"name": "get_weather"}},
            stream=True,
        )
    )
    deltas = [c.choices[0].delta for c in chunks if c.choices]
    (calls,) = [delta.tool_calls for delta in deltas if delta.tool_calls is not None]
    (call,) = calls
    assert call.index == 0
    assert call.id
    assert call.function is not None
    assert call.function.name == "get_weather"
    json.loads(call.function.arguments or "")
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "tool_calls"


def test_models_are_those_that_answer(openai: OpenAI) -> None:
    names = [model.id for model in openai.models.list()]
    assert names[0] == "cartrita"
    assert MODEL in names
    assert "gpt-4o-mini" not in names
    assert openai.models.retrieve(MODEL).id == MODEL
    for name, told in (("gpt-4o-mini", "OPENAI_API_KEY"), ("gpt-99", "models.toml")):
        with pytest.raises(NotFoundError, match=told) as absent:
            openai.chat.completions.create(model=name, messages=HELLO)
        assert (absent.value.code, absent.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "many"}, "max_completion_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"response_format": "json"}, "response_format"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}
                ]
            },
            "messages[0].content[0]",
        ),
    ],
)
def test_what_cannot_be_asked_names_its_field(
    http: httpx.Client, more: dict[str, object], param: str
) -> None:
    answer = http.post("/v1/chat/completions", json=body_of("x") | more)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_prompt_beyond_the_window_and_one_beyond_a_record_are_refused(
    openai: OpenAI, http: httpx.Client
) -> None:
    with pytest.raises(BadRequestError) as long:
        openai.chat.completions.create(
            model="local/gpt-3.5-turbo", messages=[{"role": "user", "content": "word " * 17_000}]
        )
    assert (long.value.code, long.value.param) == ("context_length_exceeded", "messages")
    answer = http.post("/v1/chat/completions", json=body_of("x" * 1_010_000))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_a_key_asks_once_here_and_after_the_gateway_was_killed(
    deployment: Deployment, http: httpx.Client, settings: Settings
) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    asked = body_of("Say something about keys.", max_tokens=80)
    first = answered(http.post("/v1/chat/completions", json=asked, headers=key))
    again = answered(http.post("/v1/chat/completions", json=asked, headers=key))
    assert (again["id"], again["choices"], again["usage"]) == (first["id"], first["choices"], first["usage"])
    deployment.stop_part("gateway-1", hard=True)
    deployment.start_part("gateway-1", "gateway")
    deployment.wait_until_ready("gateway-1")
    after = answered(http.post("/v1/chat/completions", json=asked, headers=key))
    assert (after["id"], after["choices"], after["usage"]) == (first["id"], first["choices"], first["usage"])
    streamed = http.post("/v1/chat/completions", json=asked | {"stream": True}, headers=key).text
    told = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    text = "".join(one["choices"][0]["delta"].get("content") or "" for one in told)
    assert text == first["choices"][0]["message"]["content"]
    other = http.post("/v1/chat/completions", json=body_of("Other."), headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    names = [name for name, _ in logged(settings, input_of(first["id"]))]
    assert names.count("ModelCallRequested") == names.count("BudgetCharged") == 1


def test_a_client_that_disappears_is_answered_under_its_key(http: httpx.Client, settings: Settings) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    asked = body_of("Say much about streams. " * 20, stream=True)
    with http.stream("POST", "/v1/chat/completions", json=asked, headers=key) as stream:
        first = next(line for line in stream.iter_lines() if line.startswith("data: {"))
    input_id = input_of(json.loads(first[6:])["id"])
    end = dict(logged(settings, input_id))["ClientCallAnswered"]
    again = answered(http.post("/v1/chat/completions", json=asked | {"stream": False}, headers=key))
    assert again["choices"][0]["message"]["content"] == end["text"]
    assert [name for name, _ in logged(settings, input_id)].count("BudgetCharged") == 1


def test_many_ask_the_same_under_one_key_at_once(address: str, token: str, settings: Settings) -> None:
    key = uuid.uuid4().hex

    def ask(_: int) -> Json:
        return answered(
            httpx.post(
                address + "/v1/chat/completions",
                json=body_of("Say something about queues."),
                headers={"Authorization": f"Bearer {token}", "Idempotency-Key": key},
                timeout=60,
            )
        )

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        told = list(pool.map(ask, range(8)))
    assert len({one["id"] for one in told}) == 1
    assert len({one["choices"][0]["message"]["content"] for one in told}) == 1
    names = [name for name, _ in logged(settings, input_of(told[0]["id"]))]
    assert names.count("BudgetCharged") == 1


def test_nobody_else_speaks_in_a_session_of_calls(
    openai: OpenAI, outsider: Outsider, settings: Settings
) -> None:
    done = openai.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=60)
    logged(settings, input_of(done.id))
    ((session,),) = rows(settings, "SELECT session_id FROM client_calls WHERE id = %s", input_of(done.id))
    said = message("Calculate 1 + 1 with code.", session_id=str(session))
    outsider.post([said])
    query = "SELECT body ->> 'reason' FROM event_log WHERE topic = 'dead.letters' AND session_id = %s"
    for _ in tries():
        if refused := rows(settings, query, session):
            break
    assert "single model calls" in refused[0][0]


def test_a_token_that_may_not_send_may_not_ask(bearing: Bearing, make_token: Make, address: str) -> None:
    reader = bearing(address, make_token("--scope", "read"))
    assert reader.post("/v1/chat/completions", json=body_of("x")).status_code == 403


def test_tokens_do_not_share_keys(bearing: Bearing, make_token: Make, address: str) -> None:
    key = {"Idempotency-Key": "the same"}
    ids = {
        answered(bearing(address, make_token()).post("/v1/chat/completions", json=body_of("x"), headers=key))[
            "id"
        ]
        for _ in range(2)
    }
    assert len(ids) == 2


def test_errors_of_the_provider_have_openais_form(openai: OpenAI) -> None:
    with pytest.raises(APIStatusError) as told:
        openai.chat.completions.create(
            model=MODEL,
            messages=HELLO,
            response_format={"type": "yaml"},  # type: ignore[call-overload]  # on purpose
        )
    assert told.value.status_code == 400
    assert told.value.type == "invalid_request_error"


def test_a_hundred_at_once_spend_a_tokens_budget_and_not_more(
    make_token: Make, address: str, settings: Settings
) -> None:
    """Each reserves less than a fiftieth of the budget, and uses between a tenth and a half of that."""
    budget = 15_000
    token = make_token("--budget-tokens", str(budget), "--per", "day")

    def spend(number: int) -> list[Json]:
        """Ask until the budget is spent; whoever is told that others hold it asks again, as an SDK does."""
        told = []
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=120) as client:
            for again in range(1_000):
                body = body_of(f"Say something about retries, {number} {again}.", max_tokens=200)
                answer = client.post(address + "/v1/chat/completions", json=body)
                if answer.status_code == 200:
                    told.append(answer.json()["usage"])
                elif answer.json()["error"]["code"] == "insufficient_quota":
                    assert answer.json()["error"]["type"] == "insufficient_quota"
                    return told
                else:
                    assert answer.status_code in (429, 503), answer.text
        raise AssertionError("the budget is never spent")

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        usages = [usage for told in pool.map(spend, range(100)) for usage in told]
    used = sum(usage["total_tokens"] for usage in usages)
    assert used <= budget
    assert used >= 0.95 * budget
    assert max(usage["total_tokens"] for usage in usages) <= budget // 50
    # No other token has this budget; the sink may still be reading.
    query = """
        SELECT count(DISTINCT token_id), coalesce(sum(tokens), 0)::bigint FROM client_calls
        WHERE token_id IN (
            SELECT body ->> 'token_id' FROM event_log
            WHERE topic = 'client.calls' AND body #>> '{budget,tokens}' = %s
        )
    """
    for _ in tries():
        ((tokens, logged_tokens),) = rows(settings, query, str(budget))
        if logged_tokens >= used:
            break
    assert tokens == 1
    assert used <= logged_tokens <= budget


def test_a_token_with_a_budget_opens_no_planned_sessions(
    bearing: Bearing, make_token: Make, address: str, http: httpx.Client
) -> None:
    bounded = bearing(address, make_token("--budget", "0.5", "--per", "month"))
    session = http.post("/api/v2/sessions", json={}).json()["sessionId"]
    chat = body_of("x") | {"model": "cartrita"}
    for path, body in (
        ("/api/v2/sessions", {}),
        (f"/api/v2/sessions/{session}/messages", {"content": "x"}),
        ("/v1/chat/completions", chat),
    ):
        answer = bounded.post(path, json=body)
        assert answer.status_code == 403, answer.text
    assert bounded.post("/v1/chat/completions", json=body_of("x", max_tokens=30)).status_code == 200
