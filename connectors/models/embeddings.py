"""Embeddings behind the OpenAI API."""

import asyncio
import random as randomness
from collections.abc import Sequence
from json import JSONDecodeError

import openai

from connectors.models.client import is_local, make_client, timeout_of
from connectors.models.retries import Random, RetryPolicy, Sleep, translate, with_retries
from connectors.models.tokens import TokenCounter
from schemas.configuration import EmbeddingModel
from schemas.ports.chat import ProviderFailed, RequestInvalid
from schemas.ports.embedding import Embedded, EmbeddingsAbsent

DEFAULT_RETRIES = RetryPolicy()
_ABSENT_STATUSES = frozenset({404, 405, 501})


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

    async def embed(self, texts: Sequence[str], *, call_id: str, timeout_ms: int) -> Embedded:
        """Embed up to 2,048 texts, none empty, each of at most the model's tokens.

        Raises:
            EmbeddingsAbsent: the server makes no vectors.
            RequestInvalid: a text is too long or empty, or the provider refuses the request.
            ProviderFailed: the provider failed, or the way to it.
        """
        for index, text in enumerate(texts):
            tokens = self.count_tokens(text)
            if not 0 < tokens <= self.model.input_tokens_max:
                raise RequestInvalid(
                    "prompt_too_long" if tokens else "invalid_request",
                    f"text {index} has {tokens} tokens; 1 to {self.model.input_tokens_max} can be embedded",
                    retryable=False,
                    attempts=0,
                    prompt_tokens_counted=tokens,
                )
        return await with_retries(
            lambda attempt: self._attempt(texts, call_id, timeout_ms, attempt),
            attempts_max=self._attempts_max,
            policy=self._retries,
            sleep=self._sleep,
            random=self._random,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, texts: Sequence[str], call_id: str, timeout_ms: int, attempt: int) -> Embedded:
        what = f"call {call_id} of {self.model.name}"
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                answered = await self._client.embeddings.create(
                    model=self.model.name,
                    input=list(texts),
                    dimensions=self.model.dimensions,
                    # Every server knows this one, and the library leaves the answer alone.
                    encoding_format="float",
                    timeout=timeout_of(timeout_ms),
                    extra_headers={"X-Client-Request-Id": call_id},
                )
        except (openai.OpenAIError, TimeoutError, JSONDecodeError, UnicodeDecodeError) as error:
            failure = translate(error, what=what, timeout_ms=timeout_ms)
            if isinstance(error, openai.APIStatusError) and error.status_code in _ABSENT_STATUSES:
                raise EmbeddingsAbsent(str(failure)) from error
            raise failure from error
        # A server that is only nearly compatible may leave any of them out, and a page of HTML has none.
        name = str(getattr(answered, "model", None) or self.model.name)
        data = getattr(answered, "data", None) or []
        usage = getattr(answered, "usage", None)
        ordered = sorted(data, key=lambda entry: entry.index)
        vectors = tuple(tuple(map(float, entry.embedding)) for entry in ordered)
        if len(vectors) != len(texts) or any(len(vector) != self.model.dimensions for vector in vectors):
            raise ProviderFailed(
                "provider_error",
                f"{what}: {len(texts)} vectors of {self.model.dimensions} numbers were asked for, "
                f"{len(vectors)} came of {sorted({len(vector) for vector in vectors})}",
                retryable=False,
                maybe_billed=True,
            )
        tokens = usage.prompt_tokens if usage is not None else sum(map(self.count_tokens, texts))
        return Embedded(
            vectors=vectors,
            tokens=tokens,
            nanodollars=tokens * self.model.input_nanodollars,
            attempts=attempt,
            model=name,
            local=is_local(name, None),
        )
