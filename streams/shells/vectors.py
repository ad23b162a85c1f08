"""Vectors that a client asks for, as the answer of a model call."""

import json
import struct

from schemas.events.client_calls import ClientCallReceived
from schemas.events.models import FinishReason, ModelCallRequested, UsageSource
from schemas.ports.chat import ChatAnswer, RequestInvalid
from schemas.ports.embedding import Embedder


async def vectors_of(embedder: Embedder, asked: ClientCallReceived, body: ModelCallRequested) -> ChatAnswer:
    """Return a vector of each text that a client sent, within what is reserved for the call.

    Raises:
        ConnectorError: there are none.
    """
    texts = [message.text for message in asked.messages]
    dimensions = json.loads(asked.parameters_json).get("dimensions")
    counted = sum(map(embedder.count_tokens, texts))
    if counted > body.input_tokens_max:
        raise RequestInvalid(
            "prompt_too_long",
            f"call {body.call_id}: the texts have {counted} tokens, {body.input_tokens_max} are reserved",
            retryable=False,
            attempts=0,
            prompt_tokens_counted=counted,
        )
    embedded = await embedder.embed(
        texts, call_id=body.call_id, timeout_ms=body.timeout_ms, dimensions=dimensions
    )
    length = dimensions or embedder.model.dimensions
    return ChatAnswer(
        text="",
        tool_calls=(),
        finish_reason=FinishReason.STOP,
        model=embedded.model,
        input_tokens=embedded.tokens,
        output_tokens=0,
        usage_source=UsageSource.PROVIDER,
        attempts=embedded.attempts,
        first_token_ms=None,
        local=embedded.local,
        # Vectors that are kept are filled up to one length; what follows is zeros.
        vectors=b"".join(struct.pack(f"<{length}f", *vector[:length]) for vector in embedded.vectors),
        nanodollars=embedded.nanodollars,
    )
