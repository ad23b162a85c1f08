"""recall_conversation: what was said earlier in the same conversation, by its words."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from connectors.retrieval.past import PastText
from connectors.text.words import stems
from connectors.tools.lexical import bm25
from schemas.configuration import ToolSpec
from schemas.ports.tool import Arguments, ToolContext, ToolError, ToolResult

NAME: Final = "recall_conversation"
QUERY_CHARACTERS_MAX: Final = 500
RESULTS_MAX: Final = 12
RESULTS_DEFAULT: Final = 6
PASSAGE_CHARACTERS_MAX: Final = 1_000
"""Longer texts are searched, and told, in pieces of at most so many characters."""
TEXT_CHARACTERS_MAX: Final = 200_000
"""Of one text; what comes after is not searched."""
TIMEOUT_MS: Final = 15_000
SHARE_OF_BEST_MIN: Final = 0.2
"""What fits the query much worse than the best says something else."""

PARAMETERS: Final = {
    "type": "object",
    "properties": {
        "query": {
            "type": "string",
            "minLength": 1,
            "maxLength": QUERY_CHARACTERS_MAX,
            "pattern": r"\S",
            "description": "Words that were likely said then",
        },
        "turn": {
            "type": "integer",
            "minimum": 1,
            "description": "A turn to read as it was; then query only orders its parts",
        },
        "k": {
            "type": "integer",
            "minimum": 1,
            "maximum": RESULTS_MAX,
            "default": RESULTS_DEFAULT,
            "description": "How many pieces to return at most",
        },
    },
    "required": ["query"],
    "additionalProperties": False,
}
RESULT: Final = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "said": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "turn": {"type": "integer"},
                    "speaker": {"enum": ["user", "answer"]},
                    "text": {"type": "string"},
                },
                "required": ["turn", "speaker", "text"],
                "additionalProperties": False,
            },
        },
        "turns_searched": {"type": "integer", "minimum": 0},
        "hint": {"type": "string"},
    },
    "required": ["query", "said", "turns_searched"],
    "additionalProperties": False,
}


class Past(Protocol):
    """Where the past comes from: connectors.retrieval.past.ConversationPast, or a twin of it."""

    async def texts(self, *, tenant_id: str, session_id: str) -> Sequence[PastText]:
        """Return what was said in a session, the latest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of what was said."""

    turn: int
    speaker: str
    place: int
    """Among the pieces of its text, from 0."""
    text: str


class RecallConversation:
    """Finds what was said in the session that asks."""

    def __init__(self, past: Past) -> None:
        """Note where the past is."""
        self._past = past
        self._spec = ToolSpec(
            name=NAME,
            version="1.0.0",
            description="Find what was said in earlier turns of this conversation, by its words or by the "
            "number of a turn. It is told as it was said, with its turn and speaker.",
            category="retrieval",
            safety_level="safe",
            complexity_score=2,
            resource_intensity="light",
            parameters_json=json.dumps(PARAMETERS),
            result_schema_json=json.dumps(RESULT),
            idempotent=True,
            tokens_max=0,
            tokens_min=0,
            nanodollars_per_token=0,
            timeout_ms=TIMEOUT_MS,
            result_tokens_usual=600,
        )

    @property
    def spec(self) -> ToolSpec:
        """Describe the tool."""
        return self._spec

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Find pieces of what was said; none is a result too.

        Raises:
            ToolError: execution_error: the database failed.
        """
        query = str(arguments["query"])
        k = int(str(arguments.get("k", RESULTS_DEFAULT)))
        turn = arguments.get("turn")
        try:
            texts = await self._past.texts(tenant_id=context.tenant_id, session_id=context.session_id)
        except Exception as error:
            raise ToolError(
                "execution_error",
                f"the conversation cannot be searched: {type(error).__name__}: {str(error)[:300]}",
                retryable=True,
            ) from error
        if turn is None:
            found = recalled(query, texts, k)
        else:
            found = recalled(query, [text for text in texts if text.turn == turn], k, whole=True)
        result: dict[str, object] = {
            "query": query,
            "said": [{"turn": one.turn, "speaker": one.speaker, "text": one.text} for one in found],
            "turns_searched": len({text.turn for text in texts}),
        }
        if not found:
            result["hint"] = "Nothing with these words was said in earlier turns; try others."
        return ToolResult(result=result)


def recalled(query: str, texts: Sequence[PastText], k: int, *, whole: bool = False) -> list[Piece]:
    """Return up to `k` pieces that fit the query best, in the order in which they were said.

    Fit is BM25 over the stems of words. Of pieces that fit equally well those of the user come first, then the
    latest; a question that was asked with the very words of the query says nothing and counts half.

    Args:
        whole: pieces that have none of the words are returned, too.
    """
    pieces = [piece for text in texts for piece in _pieces(text)]
    wanted = set(stems(query))
    weights = bm25(wanted, [Counter(stems(piece.text)) for piece in pieces])
    weights = [
        weight / 2 if wanted and wanted >= set(stems(piece.text)) else weight
        for piece, weight in zip(pieces, weights, strict=True)
    ]
    least = 0.0 if whole else SHARE_OF_BEST_MIN * max(weights, default=0.0)
    ranked = sorted(
        zip(pieces, weights, strict=True),
        key=lambda one: (-round(one[1], 9), one[0].speaker != "user", -one[0].turn, one[0].place),
    )
    chosen = [piece for piece, weight in ranked if whole or (weight > 0 and weight >= least)][:k]
    return sorted(chosen, key=lambda piece: (piece.turn, piece.speaker == "answer", piece.place))


def _pieces(said: PastText) -> Iterator[Piece]:
    for place, text in enumerate(_split(said.text[:TEXT_CHARACTERS_MAX])):
        yield Piece(turn=said.turn, speaker=said.speaker, place=place, text=text)


def _split(text: str) -> Iterator[str]:
    """Split a text at ends of lines or sentences, or else of words, into pieces that are short enough."""
    while len(text) > PASSAGE_CHARACTERS_MAX:
        window = text[:PASSAGE_CHARACTERS_MAX]
        ends = [match.end() for match in re.finditer(r"\n+|(?<=[.!?])\s|(?<=[。！？])", window)]
        end = ends[-1] if ends and ends[-1] > PASSAGE_CHARACTERS_MAX // 3 else window.rfind(" ") + 1
        end = end if end > 0 else PASSAGE_CHARACTERS_MAX
        if piece := text[:end].strip():
            yield piece
        text = text[end:]
    if piece := text.strip():
        yield piece
