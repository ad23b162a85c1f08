"""/v1/embeddings: vectors of texts, by governed calls.

What one request asks for is split into as many calls as keep what they bring small enough for one record
each, so that each is reserved, charged and told again under the request's key by itself.
"""

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from processors.redaction.redactor import PATTERNS_ALONE
from schemas.configuration import EmbeddingModel
from schemas.events.access import Scope
from schemas.events.client_calls import (
    EMBEDDINGS,
    ClientCallAnswered,
    ClientCallReceived,
    ClientMessage,
)
from schemas.events.models import ChatRole, ModelCallCompleted
from schemas.surrogates import mended
from streams.gateway.access import Principal
from streams.gateway.door import require
from streams.gateway.front import Front
from streams.gateway.governed_calls import Calls
from streams.gateway.governed_chat import ended
from streams.gateway.governed_requests import invalid
from streams.gateway.models import ModelBook
from streams.gateway.problems import Problem, away, response_of
from streams.gateway.retries import Retries, json_of
from streams.records.reader import RecordMissing

TEXTS_MAX: Final = 2_048
CALL_VECTOR_BYTES: Final = 524_288
"""What the vectors of one call may have: half a record."""
CALL_TEXT_BYTES: Final = 262_144
_FLOAT_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for vectors."""

    facts: tuple[ClientCallReceived, ...]
    """The calls that it takes, without the token, in the order of the texts."""
    base64: bool
    dimensions: int


def asked_of(body: Mapping[str, object], models: ModelBook) -> Asked:
    """Read the body of a request for vectors.

    Raises:
        Problem: it cannot be answered; `param` names the field.
    """
    model = models.embedding(body.get("model"))
    form = body.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise invalid("encoding_format is float or base64", "encoding_format")
    given = body.get("dimensions")
    if given is not None and (
        not isinstance(given, int) or isinstance(given, bool) or not 0 < given <= model.dimensions
    ):
        raise invalid(f"dimensions is a number from 1 to {model.dimensions}", "dimensions")
    if given not in (None, model.dimensions) and not model.parameters.dimensions_field:
        raise invalid(f"{model.name} makes vectors of {model.dimensions} dimensions alone", "dimensions")
    dimensions = model.dimensions if given is None else given
    texts = _texts(body.get("input"), model, models)
    return Asked(facts=_facts(texts, model, dimensions), base64=form == "base64", dimensions=dimensions)


def _texts(given: object, model: EmbeddingModel, models: ModelBook) -> list[tuple[str, int]]:
    """Return each text with its tokens."""
    one = isinstance(given, str) or (isinstance(given, list) and bool(given) and _is_token(given[0]))
    inputs = [given] if one else given
    if not isinstance(inputs, list) or not 0 < len(inputs) <= TEXTS_MAX:
        raise invalid(f"input is a text, a list of tokens, or a list of 1 to {TEXTS_MAX} of these", "input")
    texts = []
    for number, item in enumerate(inputs):
        place = "input" if one else f"input[{number}]"
        text = _text(item, place, model, models)
        tokens = models.embedding_counter.count(text, model.name)
        if not tokens:
            raise invalid(f"{place} is empty", place)
        if tokens > model.input_tokens_max:
            raise invalid(
                f"{place} has {tokens} tokens; {model.name} takes {model.input_tokens_max}",
                place,
                code="context_length_exceeded",
            )
        texts.append((text, tokens))
    return texts


def _text(item: object, place: str, model: EmbeddingModel, models: ModelBook) -> str:
    if isinstance(item, str):
        # JSON may escape halves of characters, which no record can hold.
        return PATTERNS_ALONE.text(mended(item))
    if not isinstance(item, list) or not all(map(_is_token, item)):
        raise invalid(f"{place} is neither a text nor a list of tokens", place)
    try:
        return PATTERNS_ALONE.text(models.embedding_counter.text_of(item, model.name))
    except ValueError as error:
        raise invalid(f"{place} holds a number that is no token of {model.encoding}", place) from error


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _facts(
    texts: Sequence[tuple[str, int]], model: EmbeddingModel, dimensions: int
) -> tuple[ClientCallReceived, ...]:
    # An array of all texts, so that the calls of another request under the same key are seen to be others.
    whole = json.dumps([model.name, dimensions, [text for text, _ in texts]], ensure_ascii=False)
    digest = sha256(whole.encode()).hexdigest()
    return tuple(
        ClientCallReceived(
            token_id="",
            route=EMBEDDINGS,
            model=model.name,
            messages=tuple(ClientMessage(role=ChatRole.USER, text=text) for text, _ in some),
            parameters_json=json.dumps({} if dimensions == model.dimensions else {"dimensions": dimensions}),
            prompt_tokens=sum(tokens for _, tokens in some),
            body_sha256=digest,
        )
        for some in _parts(texts, max(1, CALL_VECTOR_BYTES // (dimensions * _FLOAT_BYTES)))
    )


def _parts(texts: Sequence[tuple[str, int]], texts_max: int) -> Iterator[Sequence[tuple[str, int]]]:
    """Split texts into what one call each takes."""
    begin = size = 0
    for number, (text, _) in enumerate(texts):
        length = len(text.encode())
        if number > begin and (number - begin == texts_max or size + length > CALL_TEXT_BYTES):
            yield texts[begin:number]
            begin, size = number, 0
        size += length
    yield texts[begin:]


class Embeddings:
    """Answers requests for vectors."""

    def __init__(self, front: Front) -> None:
        """Note the gateway's parts."""
        self._front = front
        self._calls = Calls(front)
        self._retries = Retries()

    async def create(self, request: Request) -> Response:
        """Make vectors."""
        bearer: Principal = request.state.principal
        try:
            require(bearer, Scope.SEND)
            require(bearer, Scope.READ)
            raw = await request.body()
            body = json_of(raw)
            asked = asked_of(body, self._front.models)
            key, is_new = self._retries.key_of(bearer, raw, request)
            with self._retries.asking(key):
                answers = [
                    await self._answer(bearer, fact, _key(key, number), is_new=is_new)
                    for number, fact in enumerate(asked.facts)
                ]
        except Problem as problem:
            return response_of(problem, request)
        return Response(_rendered(asked, answers, str(body["model"])), media_type="application/json")

    async def _answer(
        self, bearer: Principal, fact: ClientCallReceived, key: str, *, is_new: bool
    ) -> tuple[ClientCallAnswered, bytes]:
        """Return what one call came to, and its vectors.

        Raises:
            Problem: there are none.
        """
        call = await self._calls.ask(bearer, fact, key, is_new=is_new)
        with closing(call):
            answered = await ended(call)
        if answered.vectors is None:
            raise Problem(502, "the worker made no vectors: it is older than this gateway", code="no_vectors")
        try:
            completed = (await self._front.reader.event(answered.vectors)).body
        except RecordMissing as error:
            raise away("Kafka") from error
        assert isinstance(completed, ModelCallCompleted)
        return answered, completed.vectors or b""


def _key(key: str, number: int) -> str:
    """Return the key of one of a request's calls; the first has the request's own."""
    return key if number == 0 else sha256(f"{key}\0{number}".encode()).hexdigest()


def _rendered(asked: Asked, answers: Sequence[tuple[ClientCallAnswered, bytes]], model: str) -> bytes:
    length = asked.dimensions * _FLOAT_BYTES
    vectors = (data[at : at + length] for _, data in answers for at in range(0, len(data), length))
    tokens = sum(answered.input_tokens for answered, _ in answers)
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": _told(vector, asked)}
                for index, vector in enumerate(vectors)
            ],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _told(vector: bytes, asked: Asked) -> object:
    return (
        base64.b64encode(vector).decode() if asked.base64 else struct.unpack(f"<{asked.dimensions}f", vector)
    )
