"""Embeddings of providers that are only nearly compatible: read where it is clear what they mean."""

import base64
import json
import struct
from collections.abc import Callable, Iterator, Sequence

import pytest

from schemas.configuration import VECTOR_DIMENSIONS, EmbeddingModel, EmbeddingParameters
from schemas.frozen import replace
from schemas.ports.chat import ConnectorError
from schemas.ports.embedding import Embedded, EmbeddingsAbsent
from tests.connectors.quirks import Sent
from tests.connectors.quirky import Body, Handler, embedding

SMALL = EmbeddingModel(
    name="small", input_nanodollars=10, dimensions=3, input_tokens_max=100, encoding="cl100k_base"
)
TEXTS = ("one", "two", "three words here")
TOKENS = 5


def vector_of(text: str) -> list[float]:
    return [float(len(text)), -0.5, 2.25]


def entries(body: Body) -> list[dict[str, object]]:
    texts = body["input"]
    assert isinstance(texts, list)
    return [{"index": n, "embedding": vector_of(str(text))} for n, text in enumerate(texts)]


def said(value: object, status: int = 200, content_type: str = "application/json") -> Sent:
    return Sent(body=json.dumps(value).encode(), status=status, content_type=content_type)


def answering(change: Callable[[list[dict[str, object]]], object], **usage: object) -> Handler:
    return lambda body: said({"model": "small-1", "data": change(entries(body)), "usage": usage})


def _base64(numbers: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


async def ask(handler: Handler, model: EmbeddingModel = SMALL, texts: Sequence[str] = TEXTS) -> Embedded:
    async with embedding(handler, model) as (embeddings, _):
        return await embeddings.embed(texts, call_id="call-1", timeout_ms=5_000)


async def failing(handler: Handler) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        await ask(handler)
    return caught.value


EXPECTED = tuple((*vector_of(text), *[0.0] * (VECTOR_DIMENSIONS - 3)) for text in TEXTS)


@pytest.mark.parametrize(
    "handler",
    [
        answering(lambda found: found),
        answering(lambda found: found[::-1]),
        answering(lambda found: [{**one, "index": None} for one in found]),
        answering(lambda found: [{"embedding": one["embedding"]} for one in found]),
        answering(lambda found: [{**one, "index": str(n)} for n, one in enumerate(found)]),
        answering(lambda found: [{**one, "index": n + 1} for n, one in enumerate(found)]),
        answering(lambda found: [{**one, "embedding": _base64(one["embedding"])} for one in found]),  # type: ignore[arg-type]  # a vector
        answering(lambda found: [{**one, "embedding": [one["embedding"]]} for one in found]),
        lambda body: said({"embeddings": [one["embedding"] for one in entries(body)]}),
        lambda body: said(
            [{"index": n, "embedding": [one["embedding"]]} for n, one in enumerate(entries(body))]
        ),
        lambda body: said({"data": entries(body), "usage": None, "model": None}),
        lambda body: said({"data": entries(body)}, content_type="text/plain"),
    ],
)
async def test_vectors_come_in_the_order_of_the_texts(handler: Handler) -> None:
    answer = await ask(handler)

    assert answer.vectors == EXPECTED


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({}, TOKENS),
        ({"total_tokens": 7}, 7),
        ({"prompt_tokens": 7}, 7),
        ({"prompt_tokens": 7, "total_tokens": 9}, 9),
        ({"prompt_tokens": 0, "total_tokens": 0}, TOKENS),
        ({"prompt_tokens": None, "total_tokens": None}, TOKENS),
        ({"prompt_tokens": "7"}, TOKENS),
        ({"prompt_tokens": -7}, TOKENS),
    ],
)
async def test_tokens_are_those_told_or_else_counted(usage: dict[str, object], tokens: int) -> None:
    answer = await ask(answering(lambda found: found, **usage))

    assert (answer.tokens, answer.nanodollars) == (tokens, tokens * 10)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda found: found[:-1], "3 vectors were asked for, 2 came"),
        (lambda found: [*found, found[0]], "3 vectors were asked for, 4 came"),
        (lambda _: None, "3 vectors were asked for, 0 came"),
        (lambda found: [{**one, "index": 0} for one in found], "indexes are [0, 0, 0]"),
        (
            lambda found: [{**one, "index": n or None} for n, one in enumerate(found)],
            "indexes are [None, 1, 2]",
        ),
        (
            lambda found: [{**one, "embedding": [1.0, 2.0]} for one in found],
            "has 2 numbers, 3 are configured",
        ),
        (lambda found: [{**one, "embedding": None} for one in found], "has 0 numbers"),
        (lambda found: [{**one, "embedding": "no vector"} for one in found], "has 0 numbers"),
        (lambda found: [{**one, "embedding": [1.0, None, 2.0]} for one in found], "None, which is no number"),
        (lambda found: [{**one, "embedding": [1.0, True, 2.0]} for one in found], "True, which is no number"),
        (
            lambda found: [{**one, "embedding": [1.0, float("nan"), 2.0]} for one in found],
            "nan, which is not",
        ),
        (
            lambda found: [{**one, "embedding": [1.0, float("inf"), 2.0]} for one in found],
            "inf, which is not",
        ),
        (lambda found: [{**one, "embedding": [1.0, 1e39, 2.0]} for one in found], "which is not finite"),
        (lambda found: [{**one, "embedding": [1.0, 10**400, 2.0]} for one in found], "inf, which is not"),
        (lambda found: [{**one, "embedding": [[1.0], [2.0], [3.0]]} for one in found], "one for each token"),
    ],
)
async def test_vectors_that_cannot_be_used_are_refused_by_name_and_may_be_billed(
    change: Callable[[list[dict[str, object]]], object], told: str
) -> None:
    failure = await failing(answering(change))

    assert told in str(failure)
    assert (failure.kind, failure.maybe_billed, failure.retryable) == ("provider_error", True, False)


@pytest.mark.parametrize(
    "sent",
    [
        said({"error": {"message": "Not Found"}}, 404),
        said({"detail": "Not Found"}, 404),
        said({"error": {"message": "not implemented"}}, 501),
        said({"error": {"message": "Method Not Allowed"}}, 405),
        said({"error": {"code": 501, "message": "This server does not support embeddings."}}, 500),
        said({"error": "this model does not support embeddings"}, 400),
    ],
)
async def test_a_server_without_embeddings_says_so_once(sent: Sent) -> None:
    async with embedding(lambda _: sent, SMALL) as (embeddings, quirky):
        with pytest.raises(EmbeddingsAbsent) as caught:
            await embeddings.embed(TEXTS, call_id="call-1", timeout_ms=5_000)

    assert (len(quirky.asked), caught.value.maybe_billed) == (1, False)


async def test_without_an_embedding_model_nothing_is_asked() -> None:
    async with embedding(answering(lambda found: found), replace(SMALL, name="")) as (embeddings, quirky):
        with pytest.raises(EmbeddingsAbsent, match="no embedding model is configured"):
            await embeddings.embed(TEXTS, call_id="call-1", timeout_ms=5_000)

    assert quirky.asked == []


@pytest.mark.parametrize(
    ("sent", "billed"),
    [
        (Sent(body=b"<html><title>Sign in</title></html>", content_type="text/html"), False),
        (Sent(body=b'{"data": [', content_type="application/json"), True),
        (said({"error": {"message": "bad key", "code": 401}}), False),
    ],
)
async def test_what_is_no_answer_is_told(sent: Sent, billed: bool) -> None:
    failure = await failing(lambda _: sent)

    assert failure.maybe_billed is billed


# Requests as the model wants them.


async def test_texts_go_in_as_many_requests_as_they_need() -> None:
    few = replace(SMALL, parameters=EmbeddingParameters(texts_max=4, tokens_max=6))
    texts = [f"word{n}" for n in range(9)]
    async with embedding(answering(lambda found: found, total_tokens=3), few) as (embeddings, quirky):
        answer = await embeddings.embed(texts, call_id="call-1", timeout_ms=5_000)

    assert [vector[0] for vector in answer.vectors] == [5.0] * 9
    assert [text for body in quirky.asked for text in body["input"]] == texts  # type: ignore[attr-defined]  # a list
    assert max(len(body["input"]) for body in quirky.asked) <= 4  # type: ignore[arg-type]  # a list
    assert answer.tokens == 3 * len(quirky.asked)


async def test_a_later_request_that_fails_may_have_earlier_ones_billed() -> None:
    few = replace(SMALL, parameters=EmbeddingParameters(texts_max=2))
    answers: Iterator[Handler] = iter(
        [answering(lambda found: found), lambda _: said({"error": {"message": "bad key"}}, 401)]
    )

    with pytest.raises(ConnectorError) as caught:
        await ask(lambda body: next(answers)(body), few)

    assert caught.value.maybe_billed


def _demanding(field: str, told: str, most: int = 100) -> Handler:
    def handler(body: Body) -> Sent:
        if field in body:
            return said({"object": "error", "message": told, "code": 400}, 400)
        if len(entries(body)) > most:
            return said({"error": {"message": f"at most {most} requests can be in one batch"}}, 400)
        return said({"data": entries(body)})

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        _demanding("dimensions", 'Model "small" does not support matryoshka representation'),
        _demanding("dimensions", "dimensions is currently not supported", most=2),
        _demanding("encoding_format", "Unknown name encoding_format: cannot find field", most=1),
        _demanding("none", "", most=2),
    ],
)
async def test_what_a_server_refuses_is_put_otherwise_and_from_then_on(handler: Handler) -> None:
    async with embedding(handler, SMALL) as (embeddings, quirky):
        first = await embeddings.embed(TEXTS, call_id="call-1", timeout_ms=5_000)
        asked = len(quirky.asked)
        second = await embeddings.embed(TEXTS[:1], call_id="call-2", timeout_ms=5_000)

    assert first.vectors == EXPECTED
    assert second.vectors == EXPECTED[:1]
    assert len(quirky.asked) == asked + 1


async def test_a_length_that_is_asked_for_is_sent_and_a_refusal_of_it_changes_nothing_for_others() -> None:
    def handler(body: Body) -> Sent:
        if body.get("dimensions") == 2:
            return said({"error": {"message": "dimensions: 2 is not supported"}}, 400)
        assert "dimensions" in body
        length = int(str(body["dimensions"]))
        return said({"data": [{"index": 0, "embedding": [1.0] * length}]})

    async with embedding(handler, SMALL) as (embeddings, _):
        short = await embeddings.embed(["x"], call_id="call-1", timeout_ms=5_000, dimensions=1)
        with pytest.raises(ConnectorError) as refused:
            await embeddings.embed(["x"], call_id="call-2", timeout_ms=5_000, dimensions=2)
        usual = await embeddings.embed(["x"], call_id="call-3", timeout_ms=5_000)

    assert short.vectors == ((1.0, *[0.0] * (VECTOR_DIMENSIONS - 1)),)
    assert refused.value.kind == "invalid_request"
    assert usual.vectors == ((1.0, 1.0, 1.0, *[0.0] * (VECTOR_DIMENSIONS - 3)),)


async def test_a_model_with_one_length_alone_is_not_asked_for_another() -> None:
    fixed = replace(SMALL, parameters=EmbeddingParameters(dimensions_field=""))
    async with embedding(answering(lambda found: found), fixed) as (embeddings, quirky):
        with pytest.raises(ConnectorError, match="3 dimensions and no others"):
            await embeddings.embed(["x"], call_id="call-1", timeout_ms=5_000, dimensions=2)
        assert not quirky.asked


async def test_a_batch_that_is_too_large_is_halved_where_no_number_is_told() -> None:
    def handler(body: Body) -> Sent:
        if len(entries(body)) > 3:
            return said({"error": {"message": "batch size is invalid"}}, 400)
        return said({"data": entries(body)})

    answer = await ask(handler, texts=[f"word{n}" for n in range(20)])

    assert len(answer.vectors) == 20


async def test_a_query_and_the_models_place_stand_in_the_address_and_the_key_in_its_header() -> None:
    azure = replace(
        SMALL, parameters=EmbeddingParameters(key_header="api-key", extra_headers=(("X-Team", "a"),))
    )
    path = "/openai/deployments/{model}?api-version=2024-10-21"
    async with embedding(answering(lambda found: found), azure, path=path) as (embeddings, quirky):
        await embeddings.embed(TEXTS, call_id="call-1", timeout_ms=5_000)

    headers = {name.lower(): value for name, value in quirky.headers[0].items()}
    assert quirky.paths == ["/openai/deployments/small/embeddings?api-version=2024-10-21"]
    assert (headers["api-key"], headers["x-team"], "authorization" in headers) == ("a key", "a", False)
