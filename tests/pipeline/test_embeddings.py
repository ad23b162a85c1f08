"""Vectors at the front door, as OpenAI's own client asks for them: governed calls like any other."""

import math
import uuid
from collections.abc import Sequence

import httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI, RateLimitError

from connectors.local_model.embedding import embed
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.pipeline.conftest import Make
from tests.pipeline.test_governed_calls import answered, logged, rows
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

MODEL = "local/text-embedding-3-large"
USUAL = 1_536


@pytest.fixture
def openai(address: str, token: str) -> OpenAI:
    """OpenAI's own client, with nothing but base URL and key."""
    return OpenAI(base_url=address + "/v1", api_key=token, max_retries=0, timeout=60)


def is_of(vector: Sequence[float], text: str, dimensions: int = USUAL) -> bool:
    """Tell whether a vector is the one that the local model makes of a text."""
    expected = embed(text, dimensions)
    return len(vector) == dimensions and all(
        math.isclose(one, other, abs_tol=1e-6) for one, other in zip(vector, expected, strict=True)
    )


def calls_of(settings: Settings, text: str) -> list[tuple[str, str]]:
    """Return id and status of the calls that asked for a vector of a text."""
    query = """
        SELECT calls.id, calls.status
        FROM client_calls calls JOIN event_log asked ON asked.event_id = calls.id
        WHERE calls.route = 'embeddings' AND asked.topic = 'client.calls'
          AND asked.body -> 'messages' @> jsonb_build_array(jsonb_build_object('text', %s::text))
    """
    for _ in tries():
        found = rows(settings, query, text)
        if found and all(status != "open" for _, status in found):
            return [(str(call), str(status)) for call, status in found]
    raise AssertionError("the sink reads of no call")


def test_vectors_are_the_models_own_charged_and_on_the_log(openai: OpenAI, settings: Settings) -> None:
    texts = [f"one {uuid.uuid4()}", "two 語 words", "three"]
    made = openai.embeddings.create(model=MODEL, input=texts)  # the client asks for Base64 by itself
    assert [one.index for one in made.data] == [0, 1, 2]
    assert all(is_of(one.embedding, text) for one, text in zip(made.data, texts, strict=True))
    assert made.model == MODEL
    ((call, status),) = calls_of(settings, texts[0])
    assert status == "answered"
    caused = dict(logged(settings, call))
    charged = caused["BudgetCharged"]
    assert made.usage.total_tokens == made.usage.prompt_tokens == charged["tokens"] > 0
    assert charged["nanodollars"] == charged["tokens"] * 130
    assert caused["ModelCallRequested"]["output_tokens_max"] == 0
    traced = "SELECT type FROM cartrita_trace((SELECT event_id FROM event_log WHERE correlation_id = %s AND"
    names = {name for (name,) in rows(settings, traced + " type = 'ClientCallAnswered'))", call)}
    assert names >= {"ClientCallReceived", "ModelCallRequested", "ModelCallCompleted"}


def test_floats_and_base64_are_the_same_numbers(openai: OpenAI, http: httpx.Client) -> None:
    floats = openai.embeddings.create(model=MODEL, input="the same", encoding_format="float")
    packed = openai.embeddings.create(model=MODEL, input="the same", encoding_format="base64")
    assert is_of(floats.data[0].embedding, "the same")
    told = answered(http.post("/v1/embeddings", json={"model": MODEL, "input": "the same"}))
    assert told["data"][0]["embedding"] == pytest.approx(floats.data[0].embedding)
    assert isinstance(packed.data[0].embedding, str)
    assert set(told) == {"object", "data", "model", "usage"}
    assert set(told["data"][0]) == {"object", "index", "embedding"}


def test_fewer_dimensions_and_tokens_are_taken(openai: OpenAI) -> None:
    short = openai.embeddings.create(model=MODEL, input=["hello world", "x"], dimensions=64)
    assert is_of(short.data[0].embedding, "hello world", 64)
    hello_world = [15_339, 1_917]  # in the vocabulary cl100k_base
    tokens = openai.embeddings.create(model=MODEL, input=[hello_world])
    assert is_of(tokens.data[0].embedding, "hello world")


def test_hundreds_of_texts_take_several_calls_that_are_billed_once(
    openai: OpenAI, settings: Settings, deployment: Deployment, http: httpx.Client
) -> None:
    mark = uuid.uuid4().hex
    texts = [f"{mark} {number}" for number in range(200)]
    key = {"Idempotency-Key": mark}
    made = openai.embeddings.create(model=MODEL, input=texts, extra_headers=key)
    assert all(is_of(one.embedding, text) for one, text in zip(made.data, texts, strict=True))
    calls = {call for text in (texts[0], texts[100], texts[199]) for call, _ in calls_of(settings, text)}
    assert len(calls) == 3
    deployment.stop_part("gateway-1", hard=True)
    deployment.start_part("gateway-1", "gateway")
    deployment.wait_until_ready("gateway-1")
    again = openai.embeddings.create(model=MODEL, input=texts, extra_headers=key)
    assert (again.data, again.usage) == (made.data, made.usage)
    for call in calls:
        assert [name for name, _ in logged(settings, call)].count("BudgetCharged") == 1
    other = http.post("/v1/embeddings", json={"model": MODEL, "input": texts[:-1]}, headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_a_tokens_budget_bounds_vectors_too(make_token: Make, address: str) -> None:
    token = make_token("--budget-tokens", "100", "--per", "day")
    bounded = OpenAI(base_url=address + "/v1", api_key=token, max_retries=0, timeout=60)
    assert bounded.embeddings.create(model=MODEL, input="a few words").usage.total_tokens == 3
    with pytest.raises(RateLimitError) as spent:
        bounded.embeddings.create(model=MODEL, input="word " * 200)
    assert spent.value.code == "insufficient_quota"
    assert bounded.embeddings.create(model=MODEL, input="a few words").usage.total_tokens == 3


def test_models_that_make_no_vectors_say_so(openai: OpenAI) -> None:
    assert MODEL in [model.id for model in openai.models.list()]
    assert openai.models.retrieve(MODEL).id == MODEL
    for name, told in (
        ("text-embedding-3-large", "CARTRITA_EMBEDDING_BASE_URL"),
        ("local/gpt-4o", "makes no vectors"),
        ("cartrita", "models.toml"),
    ):
        with pytest.raises(NotFoundError, match=told) as absent:
            openai.embeddings.create(model=name, input="x")
        assert (absent.value.code, absent.value.param) == ("model_not_found", "model")
    with pytest.raises(BadRequestError) as empty:
        openai.embeddings.create(model=MODEL, input=["x", ""])
    assert (empty.value.code, empty.value.param) == ("invalid_value", "input[1]")
