"""Embeddings behind the OpenAI API."""

import asyncio
import json
import random as randomness
from collections.abc import Sequence
from typing import Final

import openai
import structlog

from connectors.models.client import headers_of, is_local, make_client, path_of, timeout_of
from connectors.models.errors import failure_of, said_by_page, said_in, short
from connectors.models.requests import difference, embedding_body_of, embedding_changed
from connectors.models.retries import Random, RetryPolicy, Sleep, translate, with_retries
from connectors.models.tokens import TokenCounter
from connectors.models.usage import read_usage
from connectors.models.values import mapping_of, mended, text_of
from connectors.models.vectors import VectorsUnsound, filled_up, read_vectors
from schemas.configuration import VECTOR_DIMENSIONS, EmbeddingModel
from schemas.frozen import replace
from schemas.ports.chat import ConnectorError, ProviderFailed, RequestInvalid
from schemas.ports.embedding import Embedded, EmbeddingsAbsent

DEFAULT_RETRIES: Final = RetryPolicy()
NAME_CHARACTERS_MAX: Final = 200
_ABSENT_STATUSES: Final = frozenset({404, 405, 501})
_ABSENT_WORDS: Final = (
    "does not support embedding",
    "doesn't support embedding",
    "not support embeddings",
    "embeddings are not supported",
    "embeddings is not supported",
    "not an embedding model",
)
_log = structlog.get_logger()


class OpenAIEmbeddings:
    """One embedding model of one server."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: EmbeddingModel,
        retries: RetryPolicy = DEFAULT_RETRIES,
        attempts_max: int = 5,
        sleep: Sleep = asyncio.sleep,
        random: Random = randomness.random,
    ) -> None:
        """Make the client; nothing connects before the first request."""
        self.model = model
        self._client = make_client(base_url, api_key)
        self._path = path_of(base_url, model.name, "embeddings")
        self._api_key = api_key
        self._parameters = model.parameters
        self._counter = TokenCounter({model.name: model.encoding})
        self._retries = retries
        self._attempts_max = attempts_max
        self._sleep = sleep
        self._random = random

    def count_tokens(self, text: str) -> int:
        """Count the tokens of `text` exactly, as the model does."""
        return self._counter.count(text, self.model.name)

    def truncate(self, text: str, tokens_max: int) -> str:
        """Return the longest beginning of `text` of at most `tokens_max` tokens."""
        return self._counter.truncate(text, tokens_max, self.model.name)[0]

    async def embed(
        self, texts: Sequence[str], *, call_id: str, timeout_ms: int, dimensions: int | None = None
    ) -> Embedded:
        """Embed texts, none empty, each of at most the model's tokens; as many requests as they need.

        Args:
            texts: any number.
            call_id: goes with each request, for the provider's logs.
            timeout_ms: of one attempt of one request.
            dimensions: how many numbers each vector is to have; None: as many as are configured.

        Raises:
            EmbeddingsAbsent: no model is configured, or the server makes no vectors.
            RequestInvalid: a text is too long or empty, or the provider refuses the request.
            ProviderFailed: the provider failed, or the way to it; maybe billed when earlier requests were.
        """
        if not self.model.name:
            raise EmbeddingsAbsent("no embedding model is configured")
        model = self._asked(dimensions)
        counts = [self._checked_count(index, text) for index, text in enumerate(texts)]
        parts: list[Embedded] = []
        done = 0
        while done < len(texts):
            # A refusal may make requests smaller, so each is measured when its turn comes.
            some = texts[done : done + self._size(counts[done:])]
            try:
                parts.append(await self._request(model, some, call_id, timeout_ms))
            except ConnectorError as error:
                other = embedding_changed(self._parameters, str(error), len(some))
                # A length that was asked for is whoever asked's to change, for this call.
                own = dimensions is not None and not (other and other.dimensions_field)
                if other is None or own or error.kind != "invalid_request":
                    error.maybe_billed = error.maybe_billed or bool(parts)
                    raise
                changes = difference(self._parameters, other)
                _log.warning("model_parameters_changed", model=self.model.name, changed=changes)
                self._parameters = other
            else:
                done += len(some)
        return _joined(parts, self.model)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _asked(self, dimensions: int | None) -> EmbeddingModel:
        if dimensions is None or dimensions == self.model.dimensions:
            return self.model
        if not self._parameters.dimensions_field:
            raise RequestInvalid(
                "invalid_request",
                f"vectors of {self.model.name} have {self.model.dimensions} dimensions and no others",
                retryable=False,
                attempts=0,
            )
        return replace(self.model, dimensions=dimensions)

    def _checked_count(self, index: int, text: str) -> int:
        tokens = self.count_tokens(text)
        if not 0 < tokens <= self.model.input_tokens_max:
            raise RequestInvalid(
                "prompt_too_long" if tokens else "invalid_request",
                f"text {index} has {tokens} tokens; 1 to {self.model.input_tokens_max} can be embedded",
                retryable=False,
                attempts=0,
                prompt_tokens_counted=tokens,
            )
        return tokens

    def _size(self, counts: Sequence[int]) -> int:
        """Return how many of the texts that are left one request takes; at least one."""
        size = tokens = 0
        for count in counts[: self._parameters.texts_max]:
            tokens += count
            if size and tokens > self._parameters.tokens_max:
                break
            size += 1
        return size

    async def _request(
        self, model: EmbeddingModel, texts: Sequence[str], call_id: str, timeout_ms: int
    ) -> Embedded:
        return await with_retries(
            lambda attempt: self._attempt(model, texts, call_id, timeout_ms, attempt),
            attempts_max=self._attempts_max,
            policy=self._retries,
            sleep=self._sleep,
            random=self._random,
        )

    async def _attempt(
        self, model: EmbeddingModel, texts: Sequence[str], call_id: str, timeout_ms: int, attempt: int
    ) -> Embedded:
        what = f"call {call_id} of {model.name}"
        answer = await self._answer(model, texts, call_id, timeout_ms, what)
        try:
            vectors = read_vectors(answer, len(texts), model.dimensions)
        except VectorsUnsound as error:
            raise ProviderFailed(
                "provider_error", f"{what}: {error}", retryable=False, maybe_billed=True
            ) from error
        told = mapping_of(answer)
        name = mended(text_of(told.get("model")))[:NAME_CHARACTERS_MAX] or self.model.name
        usage = read_usage(told.get("usage"))
        tokens = usage.total_tokens if usage is not None else 0
        tokens = tokens or sum(map(self.count_tokens, texts))
        return Embedded(
            vectors=tuple([filled_up(vector, VECTOR_DIMENSIONS) for vector in vectors]),
            tokens=tokens,
            nanodollars=tokens * self.model.input_nanodollars,
            attempts=attempt,
            model=name,
            local=is_local(name, None),
        )

    async def _answer(
        self, model: EmbeddingModel, texts: Sequence[str], call_id: str, timeout_ms: int, what: str
    ) -> object:
        parameters = self._parameters
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                # The typed method would take the answer apart by its own lights, and fail on what is null.
                answer: object = await self._client.post(
                    self._path,
                    cast_to=object,
                    body=embedding_body_of(model, texts, parameters),
                    options={
                        "headers": headers_of(parameters, self._api_key, call_id),
                        "timeout": timeout_of(timeout_ms),
                    },
                )
        except (openai.OpenAIError, TimeoutError, json.JSONDecodeError, UnicodeDecodeError) as error:
            failure = translate(error, what=what, timeout_ms=timeout_ms)
            raise _absent(error, failure) or failure from error
        answer = _parsed(answer, what)
        said = said_in(answer)
        if said is not None:
            raise failure_of(said, what)
        return answer


def _parsed(answer: object, what: str) -> object:
    """Return an answer's JSON, also where another content type came with it."""
    if not isinstance(answer, str):
        return answer
    try:
        value: object = json.loads(answer.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        told = f"{what}: in place of vectors came {short(said_by_page(answer).message)}"
        if answer.lstrip().startswith("<"):
            raise ProviderFailed("provider_error", told, retryable=False) from error
        raise ProviderFailed("interrupted", told, retryable=True, maybe_billed=True) from error
    return value


def _absent(error: Exception, failure: ConnectorError) -> EmbeddingsAbsent | None:
    """Return what a refusal means when it says that there are no vectors to be had here."""
    if not isinstance(error, openai.APIStatusError):
        return None
    text = str(failure)
    if error.status_code in _ABSENT_STATUSES or any(words in text.lower() for words in _ABSENT_WORDS):
        return EmbeddingsAbsent(text)
    return None


def _joined(parts: Sequence[Embedded], model: EmbeddingModel) -> Embedded:
    """Return the answers of several requests as one."""
    return Embedded(
        vectors=tuple([vector for part in parts for vector in part.vectors]),
        tokens=sum(part.tokens for part in parts),
        nanodollars=sum(part.nanodollars for part in parts),
        attempts=max((part.attempts for part in parts), default=0),
        model=parts[-1].model if parts else model.name,
        local=any(part.local for part in parts),
    )
