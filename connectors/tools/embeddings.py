"""generate_embeddings: vectors of texts, or how alike the texts are."""

import json
from collections.abc import Sequence
from typing import Final

from schemas.configuration import ToolSpec
from schemas.ports.chat import ConnectorError
from schemas.ports.embedding import Embedded, Embedder, EmbeddingsAbsent
from schemas.ports.tool import Arguments, ToolContext, ToolError, ToolResult

TEXTS_MAX: Final = 16
TEXT_CHARACTERS_MAX: Final = 30_000
TOKENS_MAX: Final = 8_000
"""Of all texts of a call together."""
TIMEOUT_MS: Final = 30_000
DECIMALS: Final = 6
"""A vector of 1,536 numbers is then about 15 kB of JSON; more would say nothing about likeness."""


_PROPERTIES: Final[dict[str, object]] = {
    "texts": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": TEXT_CHARACTERS_MAX},
        "minItems": 1,
        "maxItems": TEXTS_MAX,
        "description": "Texts to embed",
    },
    "output": {
        "type": "string",
        "enum": ["vectors", "similarities"],
        "default": "vectors",
        "description": "vectors of 1,536 numbers, which are thousands of tokens each to read; or "
        "similarities: the cosine of each pair of texts",
    },
}
PARAMETERS: Final[dict[str, object]] = {
    "type": "object",
    "properties": _PROPERTIES,
    "required": ["texts"],
    "additionalProperties": False,
}
_NUMBERS: Final = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
RESULT: Final = {
    "type": "object",
    "properties": {
        "embeddings": _NUMBERS,
        "similarities": _NUMBERS,
        "dimensions": {"type": "integer", "minimum": 1},
        "model_used": {"type": "string"},
        "token_count": {"type": "integer", "minimum": 0},
        "local": {"type": "boolean"},
    },
    "required": ["dimensions", "model_used", "token_count", "local"],
    "oneOf": [{"required": ["embeddings"]}, {"required": ["similarities"]}],
    "additionalProperties": False,
}


class GenerateEmbeddings:
    """Embeds texts with the configured model at its configured number of dimensions."""

    def __init__(self, embedder: Embedder) -> None:
        """Note what makes the vectors."""
        self._embedder = embedder
        name = embedder.model.name
        self._spec = ToolSpec(
            name="generate_embeddings",
            version="2.0.0",
            description="Generate vector embeddings for texts, or compare texts by them.",
            category="ml",
            safety_level="safe",
            complexity_score=2,
            resource_intensity="light",
            parameters_json=json.dumps(_parameters(name)),
            result_schema_json=json.dumps(RESULT),
            idempotent=True,
            tokens_max=TOKENS_MAX,
            tokens_min=16,
            nanodollars_per_token=embedder.model.input_nanodollars,
            timeout_ms=TIMEOUT_MS,
            used_tokens_usual=200,
            result_tokens_usual=200,
            trust="tool",
        )

    @property
    def spec(self) -> ToolSpec:
        """Describe the tool."""
        return self._spec

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Embed the texts.

        Raises:
            ToolError: execution_error when they are more than the reservation covers, or the model failed.
        """
        listed = arguments["texts"]
        assert isinstance(listed, list)  # the schema says so
        texts = [str(text) for text in listed]
        try:
            embedded = await embed_within(self._embedder, texts, context, TIMEOUT_MS)
        except EmbeddingsAbsent as error:
            raise tool_error_of(error) from error
        result: dict[str, object] = {
            "dimensions": len(embedded.vectors[0]),
            "model_used": self._embedder.model.name,
            "token_count": embedded.tokens,
            "local": embedded.local,
        }
        if arguments.get("output") == "similarities":
            result["similarities"] = [
                [round(cosine(left, right), DECIMALS) for right in embedded.vectors]
                for left in embedded.vectors
            ]
        else:
            result["embeddings"] = [[round(number, DECIMALS) for number in v] for v in embedded.vectors]
        return ToolResult(result=result, used_tokens=embedded.tokens, cost_nanodollars=embedded.nanodollars)


def _parameters(model: str) -> dict[str, object]:
    """Return the parameters where that model makes the vectors; without one, no call gets far."""
    if not model:
        return PARAMETERS
    said: dict[str, object] = {
        "type": "string",
        "enum": [model],
        "default": model,
        "description": "The embedding model, which is the configured one",
    }
    return {**PARAMETERS, "properties": {**_PROPERTIES, "model": said}}


async def embed_within(
    embedder: Embedder, texts: Sequence[str], context: ToolContext, timeout_ms: int
) -> Embedded:
    """Embed texts if the call's reservation covers them.

    Raises:
        EmbeddingsAbsent: there is no model that could.
        ToolError: execution_error: it does not, or the model failed.
    """
    tokens = sum(embedder.count_tokens(text) for text in texts)
    nanodollars = tokens * embedder.model.input_nanodollars
    if tokens > context.tokens_max or nanodollars > context.nanodollars_max:
        raise ToolError(
            "execution_error",
            f"the texts have {tokens} tokens for {nanodollars} nanodollars; reserved are "
            f"{context.tokens_max} tokens and {context.nanodollars_max} nanodollars",
        )
    try:
        return await embedder.embed(texts, call_id=context.call_id, timeout_ms=timeout_ms)
    except EmbeddingsAbsent:
        raise
    except ConnectorError as error:
        raise tool_error_of(error) from error


def tool_error_of(error: ConnectorError) -> ToolError:
    """Return what a model's failure means for the tool that asked it."""
    return ToolError(
        "timeout" if error.kind == "timeout" else "execution_error",
        f"{error.kind}: {error}",
        retryable=error.retryable,
        maybe_billed=error.maybe_billed,
    )


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the cosine of two unit vectors, kept within -1 and 1 against rounding."""
    return max(-1.0, min(1.0, sum(a * b for a, b in zip(left, right, strict=True))))
