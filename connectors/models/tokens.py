"""Exact token counts, the same for the connector that asks and for the local server that answers.

The counts follow OpenAI's published recipe ("How to count tokens with tiktoken", openai-cookbook): every
message costs 3 tokens beside its role and text, and every answer is primed with 3. How the provider writes
tool calls and definitions into the prompt is not published; for them the constants below are upper bounds,
so that a prompt is never larger than what was reserved for it.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import tiktoken
from tiktoken.model import encoding_name_for_model

from connectors.models.vocabularies import VOCABULARIES
from schemas.events.models import ToolCallProposed
from schemas.ports.chat import ChatMessage, ToolOffered

TOKENS_PER_MESSAGE: Final = 3
TOKENS_PRIMING: Final = 3
TOKENS_PER_TOOL_CALL: Final = 8
"""Beside the name and the arguments. An upper bound."""
TOKENS_PER_TOOL: Final = 8
"""Beside name, description and parameters as JSON, which is longer than the form the provider uses."""
TOKENS_FOR_TOOLS: Final = 16
"""Once, when any tool is offered."""
ENCODING_DEFAULT: Final = "o200k_base"
"""For a model that neither the configuration nor tiktoken knows."""

CACHED_CHARACTERS_MAX: Final = 16_384
"""Longer texts are counted anew each time, so that the cache stays small."""
EXACT_CHARACTERS_MAX: Final = 65_536
PIECE_CHARACTERS: Final = 4_096


class VocabularyMissing(Exception):
    """The directory lacks a vocabulary, and nothing may be downloaded."""


class TokenCounter:
    """Counts as each model does."""

    def __init__(self, encodings: Mapping[str, str] = MappingProxyType({})) -> None:
        """Note the encodings.

        Args:
            encodings: tiktoken's encoding by model name; other models are looked up in tiktoken.
        """
        self._encodings = dict(encodings)

    def encoding(self, model: str) -> str:
        """Return the name of the encoding that `model` uses."""
        return self._encodings.get(model) or _known_encoding(model)

    def count(self, text: str, model: str) -> int:
        """Count the tokens of `text`; markers such as <|endoftext|> in it count as plain text."""
        return count_tokens(text, self.encoding(model))

    def count_prompt(self, messages: Iterable[ChatMessage], tools: Iterable[ToolOffered], model: str) -> int:
        """Count what a request costs before the answer: exact without tools, an upper bound with them."""
        encoding = self.encoding(model)
        return (
            TOKENS_PRIMING
            + sum(_message_tokens(message, encoding) for message in messages)
            + _tools_tokens(tuple(tools), encoding)
        )

    def count_answer(self, text: str, tool_calls: Iterable[ToolCallProposed], model: str) -> int:
        """Count what an answer costs."""
        encoding = self.encoding(model)
        return count_tokens(text, encoding) + sum(_tool_call_tokens(call, encoding) for call in tool_calls)

    def truncate(self, text: str, tokens_max: int, model: str) -> tuple[str, int]:
        """Return the longest beginning of `text` of at most `tokens_max` tokens, and its count.

        A character whose bytes would be cut apart is left out; its tokens count all the same.
        """
        vocabulary = _vocabulary(self.encoding(model))
        tokens = vocabulary.encode_ordinary(text)
        if len(tokens) <= tokens_max:
            return text, len(tokens)
        kept = tokens[: max(tokens_max, 0)]
        return vocabulary.decode_bytes(kept).decode("utf-8", errors="ignore"), len(kept)

    def text_of(self, tokens: Sequence[int], model: str) -> str:
        """Return the text that tokens of `model` stand for; halves of characters become �.

        Raises:
            ValueError: one of them is no token of its encoding.
        """
        try:
            data = _vocabulary(self.encoding(model)).decode_bytes(tokens)
        except (KeyError, OverflowError) as error:
            raise ValueError(f"{self.encoding(model)} does not have all of these tokens") from error
        return data.decode("utf-8", errors="replace")


def count_tokens(text: str, encoding: str) -> int:
    """Count the tokens of `text` in the encoding of that name."""
    if len(text) <= CACHED_CHARACTERS_MAX:
        return _count_cached(text, encoding)
    return len(_vocabulary(encoding).encode_ordinary(text))


def count_tokens_in_pieces(text: str, encoding: str) -> int:
    """Count the tokens of `text` like `count_tokens`, but of a long one piece by piece.

    A word of 700,000 characters, which a tool may give, takes a quarter of a second as a whole. Pieces take a
    third of that, and give some tokens more where a cut falls into one.
    """
    if len(text) <= EXACT_CHARACTERS_MAX:
        return count_tokens(text, encoding)
    vocabulary = _vocabulary(encoding)
    pieces = (text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS))
    return sum(len(vocabulary.encode_ordinary(piece)) for piece in pieces)


def prepare_vocabularies(cache_directory: Path, *, download: bool = False) -> None:
    """Load the vocabularies from `cache_directory`, which tiktoken is told to use from here on.

    Raises:
        VocabularyMissing: a vocabulary is not there, and `download` is False.
    """
    missing = [
        encoding
        for encoding, vocabulary in VOCABULARIES.items()
        if not (cache_directory / vocabulary.cache_name).is_file()
    ]
    if missing and not download:
        raise VocabularyMissing(f"{cache_directory} lacks the vocabularies {', '.join(missing)}")
    # tiktoken takes its directory from the environment and from nowhere else.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(cache_directory)
    for encoding in VOCABULARIES:
        _vocabulary(encoding)


def _message_tokens(message: ChatMessage, encoding: str) -> int:
    return (
        TOKENS_PER_MESSAGE
        + count_tokens(message.role, encoding)
        + count_tokens(message.text, encoding)
        + count_tokens(message.provider_state_json or "", encoding)
        + sum(_tool_call_tokens(call, encoding) for call in message.tool_calls)
    )


def _tool_call_tokens(call: ToolCallProposed, encoding: str) -> int:
    return (
        TOKENS_PER_TOOL_CALL
        + count_tokens(call.name, encoding)
        + count_tokens(call.arguments_json, encoding)
        + count_tokens(call.provider_state_json or "", encoding)
    )


def _tools_tokens(tools: tuple[ToolOffered, ...], encoding: str) -> int:
    if not tools:
        return 0
    return TOKENS_FOR_TOOLS + sum(
        TOKENS_PER_TOOL
        + count_tokens(tool.name, encoding)
        + count_tokens(tool.description, encoding)
        + count_tokens(_canonical(tool.parameters_json), encoding)
        for tool in tools
    )


@lru_cache(maxsize=256)
def _canonical(parameters_json: str) -> str:
    # Spaces and escapes get lost on the way to the provider: both sides must count the same text.
    try:
        return json.dumps(json.loads(parameters_json), ensure_ascii=False)
    except ValueError:
        return parameters_json


@lru_cache(maxsize=4_096)
def _count_cached(text: str, encoding: str) -> int:
    return len(_vocabulary(encoding).encode_ordinary(text))


@lru_cache(maxsize=256)
def _known_encoding(model: str) -> str:
    try:
        return encoding_name_for_model(model)
    except KeyError:
        return ENCODING_DEFAULT


@lru_cache(maxsize=8)
def _vocabulary(encoding: str) -> tiktoken.Encoding:
    return tiktoken.get_encoding(encoding)
