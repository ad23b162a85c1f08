"""Responses at the front door, as OpenAI's own client asks for them, of models and of cartrita."""

import json
import uuid
from typing import Any

import httpx
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import FunctionToolParam, Response

from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.test_governed_calls import logged, rows
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the gateway and the log say
MODEL = "local/gpt-4o-mini"
QUESTION = "Calculate 17 * 23 with code."
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


@pytest.fixture
def openai(address: str, token: str) -> OpenAI:
    """OpenAI's own client, with nothing but base URL and key."""
    return OpenAI(base_url=address + "/v1", api_key=token, max_retries=0, timeout=120)


def event_of(response: Response) -> str:
    return str(uuid.UUID(response.id.removeprefix("resp_")))


def ended(openai: OpenAI, response_id: str) -> Response:
    for _ in tries():
        response = openai.responses.retrieve(response_id)
        if response.status not in ("queued", "in_progress"):
            return response
    raise AssertionError("the response does not end")


def plain(response: Response) -> Json:
    return response.model_dump(mode="json")


def test_a_models_answer_is_made_charged_and_told_again(openai: OpenAI, settings: Settings) -> None:
    made = openai.responses.create(
        model=MODEL,
        input="Say something about retries.",
        instructions="Be brief.",
        max_output_tokens=100,
        temperature=0.5,
        metadata={"team": "blue"},
    )
    assert made.output_text
    assert (made.status, made.model, made.instructions) == ("completed", MODEL, "Be brief.")
    assert (made.metadata, made.temperature, made.max_output_tokens) == ({"team": "blue"}, 0.5, 100)
    caused = dict(logged(settings, event_of(made)))
    assert made.usage is not None
    assert made.usage.total_tokens == caused["BudgetCharged"]["tokens"] > 0
    assert plain(openai.responses.retrieve(made.id)) == plain(made)
    items = openai.responses.input_items.list(made.id)
    (item,) = items.data
    assert item.type == "message"
    assert item.to_dict()["content"] == [{"type": "input_text", "text": "Say something about retries."}]


def test_a_stream_is_numbered_and_is_gone_on_with_from_any_event(openai: OpenAI) -> None:
    events = list(openai.responses.create(model=MODEL, input="Say something about streams.", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].type, events[1].type] == ["response.created", "response.in_progress"]
    last = events[-1]
    assert last.type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == last.response.output_text
    again = openai.responses.retrieve(last.response.id, stream=True)
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events]
    for number in (0, 5, len(events) - 2):
        rest = openai.responses.retrieve(last.response.id, stream=True, starting_after=number)
        assert [event.to_dict() for event in rest] == [event.to_dict() for event in events[number + 1 :]]


def test_openais_own_stream_helper_reads_both_kinds(openai: OpenAI) -> None:
    for model, text in ((MODEL, "Say something about helpers."), ("cartrita", QUESTION)):
        with openai.responses.stream(model=model, input=text) as stream:
            final = stream.get_final_response()
        assert final.output_text == openai.responses.retrieve(final.id).output_text


def test_functions_are_called_by_the_client_and_their_results_are_read(openai: OpenAI) -> None:
    first = openai.responses.create(
        model=MODEL, input="Call get_weather for Oslo.", tools=[WEATHER], tool_choice="required"
    )
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert json.loads(call.arguments)
    second = openai.responses.create(
        model=MODEL,
        tools=[WEATHER],
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees and rain"}],
    )
    assert second.previous_response_id == first.id
    assert second.output_text
    told = [item.to_dict() for item in openai.responses.input_items.list(second.id, order="asc").data]
    assert [item["type"] for item in told] == ["message", "function_call", "function_call_output"]
    # The same by the items themselves, and by references to them, as some clients do.
    third = openai.responses.create(
        model=MODEL,
        tools=[WEATHER],
        input=[
            {"role": "user", "content": "Call get_weather for Oslo."},
            {"type": "item_reference", "id": str(call.id)},
            {"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees and rain"},
        ],
    )
    assert third.output_text == second.output_text


def test_json_comes_as_asked_for(openai: OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    made = openai.responses.create(
        model=MODEL,
        input="Which city? Oslo. Answer in JSON.",
        text={"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}},
    )
    assert made.text is not None
    assert made.text.format is not None
    assert made.text.format.type == "json_schema"
    assert json.loads(made.output_text)


def test_a_planned_answer_tells_its_progress_as_reasoning(openai: OpenAI) -> None:
    made = openai.responses.create(model="cartrita", input=QUESTION, metadata={"team": "blue"})
    assert "391" in made.output_text
    kinds = [item.type for item in made.output]
    assert kinds == ["reasoning", "message"]
    reasoning = made.output[0]
    assert reasoning.type == "reasoning"
    assert len(reasoning.summary) >= 2
    assert plain(openai.responses.retrieve(made.id)) == plain(made)
    assert made.conversation is not None
    again = openai.responses.create(
        model="cartrita", input="Calculate 3 * 3 with code.", previous_response_id=made.id
    )
    assert again.conversation == made.conversation
    assert "9" in again.output_text
    third = openai.responses.create(
        model="cartrita", input="Calculate 4 * 4 with code.", conversation=made.conversation.id
    )
    assert third.conversation == made.conversation
    assert plain(openai.responses.retrieve(made.id)) == plain(made)


def test_a_planned_answer_streams_and_is_told_again_with_the_same_numbers(openai: OpenAI) -> None:
    events = list(openai.responses.create(model="cartrita", input=QUESTION, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == last.response.output_text
    rest = openai.responses.retrieve(last.response.id, stream=True, starting_after=3)
    assert [event.to_dict() for event in rest] == [event.to_dict() for event in events[4:]]


@pytest.mark.parametrize("model", [MODEL, "cartrita"])
def test_what_runs_in_the_background_is_followed_by_any_gateway(
    openai: OpenAI, deployment: Deployment, model: str
) -> None:
    begun = openai.responses.create(model=model, input=QUESTION, background=True)
    assert begun.status == "queued"
    assert begun.background is True
    deployment.stop_part("gateway-1", hard=True)
    deployment.start_part("gateway-1", "gateway")
    deployment.wait_until_ready("gateway-1")
    events = list(openai.responses.retrieve(begun.id, stream=True))
    assert [event.type for event in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    assert plain(ended(openai, begun.id)) == plain(last.response)


@pytest.mark.parametrize("model", [MODEL, "cartrita"])
def test_a_key_asks_once(openai: OpenAI, http: httpx.Client, model: str) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    first = openai.responses.create(model=model, input=QUESTION, extra_headers=key)
    again = openai.responses.create(model=model, input=QUESTION, extra_headers=key)
    assert plain(again) == plain(first)
    streamed = list(openai.responses.create(model=model, input=QUESTION, extra_headers=key, stream=True))
    last = streamed[-1]
    assert last.type == "response.completed"
    assert plain(last.response) == plain(first)
    other = http.post("/v1/responses", json={"model": model, "input": "Other."}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_what_is_anothers_is_not_there(
    openai: OpenAI, bearing: Bearing, make_token: Make, address: str
) -> None:
    call = openai.responses.create(model=MODEL, input="Something secret.")
    turn = openai.responses.create(model="cartrita", input=QUESTION)
    assert turn.conversation is not None
    stranger = bearing(address, make_token("--user", "bob"))
    for made, model in ((call, MODEL), (turn, "cartrita")):
        for path in (f"/v1/responses/{made.id}", f"/v1/responses/{made.id}/input_items"):
            assert stranger.get(path).status_code == 404
        body: Json = {"model": model, "input": "x", "previous_response_id": made.id}
        answer = stranger.post("/v1/responses", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "previous_response_not_found")
        reference = {"type": "item_reference", "id": made.output[-1].id}
        body = {"model": model, "input": [reference, {"role": "user", "content": "x"}]}
        assert stranger.post("/v1/responses", json=body).status_code == 404
    body = {"model": "cartrita", "input": "x", "conversation": turn.conversation.id}
    assert stranger.post("/v1/responses", json=body).status_code == 404
    nothing = f"resp_{uuid.uuid4().hex}"
    with pytest.raises(NotFoundError) as absent:
        openai.responses.retrieve(nothing)
    assert absent.value.code == "response_not_found"


def test_what_is_not_to_be_stored_is_not_told_again(openai: OpenAI) -> None:
    made = openai.responses.create(model=MODEL, input="Say something about stores.", store=False)
    assert made.to_dict()["store"] is False
    with pytest.raises(NotFoundError):
        openai.responses.retrieve(made.id)
    with pytest.raises(BadRequestError) as refused:
        openai.responses.create(model=MODEL, input="x", store=False, background=True)
    assert refused.value.param == "store"


def test_failures_are_told_as_a_status_or_as_an_event(openai: OpenAI, make_token: Make, address: str) -> None:
    with pytest.raises(NotFoundError) as absent:
        openai.responses.create(model="gpt-99", input="x")
    assert (absent.value.code, absent.value.param) == ("model_not_found", "model")
    token = make_token("--budget-tokens", "20", "--per", "day")
    poor = OpenAI(base_url=address + "/v1", api_key=token, max_retries=0, timeout=60)
    with pytest.raises(APIStatusError) as spent:
        poor.responses.create(model=MODEL, input="Say much about budgets.", stream=True)
    assert (spent.value.status_code, spent.value.code) == (429, "insufficient_quota")
    begun = poor.responses.create(model=MODEL, input="Say more about budgets.", background=True)
    failed = ended(poor, begun.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "rate_limit_exceeded"
    events = list(poor.responses.retrieve(begun.id, stream=True))
    assert events[-1].type == "response.failed"


@pytest.mark.parametrize(
    ("model", "ends"), [(MODEL, {"cancelled", "completed"}), ("cartrita", {"cancelled"})]
)
def test_what_runs_can_be_cancelled_and_then_it_ends(
    openai: OpenAI, deployment: Deployment, settings: Settings, model: str, ends: set[str]
) -> None:
    deployment.stop_part("worker-1", hard=True)
    begun = openai.responses.create(model=model, input=QUESTION, background=True)
    # Nobody stops it in time, as nobody is there; what was asked is on the log.
    assert openai.responses.cancel(begun.id).status in ("queued", "in_progress")
    deployment.start_part("worker-1", "worker")
    last = ended(openai, begun.id)
    # A model that answers at once may be done before it can be stopped.
    assert last.status in ends
    assert plain(openai.responses.cancel(begun.id)) == plain(last)
    if model == MODEL:
        names = [name for name, _ in logged(settings, event_of(begun))]
        assert names.count("BudgetCharged") == 1
        session = rows(settings, "SELECT session_id FROM client_calls WHERE id = %s", event_of(begun))[0][0]
        cancels = "SELECT count(*) FROM event_log WHERE session_id = %s AND type = 'ClientCallCancelled'"
        assert any(rows(settings, cancels, session)[0][0] >= 1 for _ in tries())
        told = "SELECT 1 FROM client_calls calls JOIN event_log asked ON asked.event_id = calls.id"
        assert not rows(settings, told + " WHERE asked.type = 'ClientCallCancelled'")


def test_an_agent_that_is_named_does_the_work_without_a_plan(openai: OpenAI, settings: Settings) -> None:
    assert "cartrita/coder" in [model.id for model in openai.models.list()]
    made = openai.responses.create(model="cartrita/coder", input=QUESTION)
    assert (made.model, "391" in made.output_text) == ("cartrita/coder", True)
    query = (
        "SELECT body ->> 'purpose' FROM event_log WHERE correlation_id = %s AND type = 'ModelCallRequested'"
    )
    purposes: list[str] = []
    for _ in tries():
        purposes = [str(purpose) for (purpose,) in rows(settings, query, event_of(made))]
        if "step" in purposes:
            break
    assert "plan" not in purposes
    assert "step" in purposes
    chat = openai.chat.completions.create(
        model="cartrita/coder", messages=[{"role": "user", "content": QUESTION}]
    )
    assert (chat.model, "391" in str(chat.choices[0].message.content)) == ("cartrita/coder", True)
    with pytest.raises(NotFoundError, match="CARTRITA_CONFIGURATION_DIRECTORY") as absent:
        openai.responses.create(model="cartrita/nobody", input="x")
    assert absent.value.code == "model_not_found"
