"""An answer while it comes: its pieces are handed on, and at the end it is whole or told why it is not."""

import json
from collections.abc import Callable
from typing import Final

from connectors.models.chunks import Chunk, Piece
from connectors.models.thinking import ThinkingFilter, without_thoughts
from connectors.models.tool_calls import ToolCallAssembly, ToolCallPart, ToolCallParts
from connectors.models.usage import Usage, larger
from connectors.models.values import ends_in_half, mended
from connectors.models.written_calls import written_calls
from schemas.configuration import RequestParameters
from schemas.ports.chat import ChatRequest, ProviderFailed

ANSWER_CHARACTERS_MAX: Final = 200_000
"""A longer answer would not fit a record whatever its encoding; it is given up as the provider's failure."""
STATE_CHARACTERS_MAX: Final = 200_000
"""What a provider wants back is kept up to here; the next request goes without more."""
THINKING_PER_CHARACTER: Final = 10
"""Thoughts stand in no record: they may be so many times as long as an answer."""
OVERRUN_SHARE: Final = 2
OVERRUN_TOKENS: Final = 64
"""Servers count otherwise than we do; beyond twice the limit and this, one does not keep to it."""
CHARACTERS_PER_TOKEN: Final = 4
CUT_OFF: Final = "{"
"""Stands for arguments of which nothing came before the answer was cut off: nobody may take them for none."""

_REASONS: Final = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "refusal": "content_filter",
    "sensitive": "content_filter",
    "error": "error",
    "insufficient_system_resource": "error",
    "network_error": "error",
}


class Collected:
    """What an attempt has brought so far."""

    def __init__(
        self, request: ChatRequest, parameters: RequestParameters, attempt: int, count: Callable[[str], int]
    ) -> None:
        """Begin with nothing.

        Args:
            request: what was asked; its `on_text` gets the pieces.
            parameters: of the model: which fields it wants back.
            attempt: from 1.
            count: counts the tokens of a text as the model does.
        """
        self.request = request
        self.attempt = attempt
        self.model = ""
        self.fingerprint = ""
        self.usage: Usage | None = None
        self.first_s: float | None = None
        self.has_begun = False
        """True once any object of the answer has come."""
        self.text = ""
        self._pieces: list[str] = []
        self._half = ""
        self._thinking: list[str] = []
        self._filter = ThinkingFilter()
        self._offered = frozenset(tool.name for tool in request.tools)
        self._calls = ToolCallAssembly(self._offered)
        self._reason = ""
        self._is_whole = False
        self._choice: int | None = None
        self._state_fields = parameters.state_fields
        self._state: dict[str, list[object]] = {}
        self._count = count
        self._counted_at = request.output_tokens_max * CHARACTERS_PER_TOKEN
        self._characters = 0
        self._thought_characters = 0
        self._state_characters = 0

    @property
    def calls(self) -> list[ToolCallParts]:
        """The tool calls, each as whole as it came; those of a filtered answer are not carried out."""
        return [] if self.finish_reason == "content_filter" else self._calls.calls

    @property
    def has_content(self) -> bool:
        """Tell whether anything came that a provider bills: text, thoughts or a call."""
        return bool(self._pieces or self._half or self._thinking or self._calls.calls)

    @property
    def thinking(self) -> str:
        """What the model thought aloud."""
        return mended("".join([*self._thinking, *self._filter.thinking]))

    @property
    def finish_reason(self) -> str:
        """Why the answer ended: stop, length, tool_calls or content_filter."""
        known = _REASONS.get(self._reason.lower(), "stop")
        if known in ("length", "content_filter"):
            return known
        return "tool_calls" if self._calls.calls else "stop"

    @property
    def state_json(self) -> str | None:
        """What the provider wants back with the answer's tool calls."""
        if not self._state or not self.calls or self._state_characters > STATE_CHARACTERS_MAX:
            return None
        return mended(json.dumps({name: _joined(parts) for name, parts in self._state.items()}))

    async def take(self, chunk: Chunk, clock: Callable[[], float]) -> None:
        """Add one object of the stream, and hand its text on."""
        self.has_begun = True
        self.model = chunk.model or self.model
        self.fingerprint = chunk.fingerprint or self.fingerprint
        self.usage = larger(self.usage, chunk.usage)
        for piece in chunk.pieces:
            # One answer is asked for; a server that gives more is taken at its first.
            self._choice = piece.index if self._choice is None else self._choice
            if piece.index != self._choice:
                continue
            self._reason = piece.finish_reason or self._reason
            self._is_whole = self._is_whole or piece.is_whole
            if (piece.text or piece.thinking or piece.tool_calls) and self.first_s is None:
                self.first_s = clock()
            await self._take(piece)

    def overran(self) -> bool:
        """Tell whether the server goes on far beyond the limit that it was sent; the answer then ends here.

        Thoughts count, as they are billed. The text is counted as a whole, since pieces of one have more
        tokens than the text, and only now and then, since that takes time.
        """
        said = self._characters + self._thought_characters
        if said <= self._counted_at:
            return False
        self._counted_at = said + said // 2
        arguments = [piece for call in self._calls.calls for piece in call.pieces]
        tokens = self._count("".join([*self._thinking, *self._filter.thinking, *self._pieces, *arguments]))
        if tokens <= OVERRUN_SHARE * self.request.output_tokens_max + OVERRUN_TOKENS:
            return False
        self._reason = "length"
        return True

    async def end(self, *, done: bool, framed: bool) -> None:
        """Check that the answer is whole.

        It is when the provider says so, by [DONE], by a reason or as one whole message; or when there is
        content, and HTTP shows that nothing was cut off.

        Args:
            done: the provider said that there is no more.
            framed: HTTP would have shown a body that was cut off.

        Raises:
            ProviderFailed: it is not.
        """
        await self._hand_on(self._filter.take(mended(self._half)))
        await self._hand_on(self._filter.finish())
        self._half = ""
        self.text, thought = without_thoughts("".join(self._pieces))
        self._thinking += [thought] if thought else []
        self._take_written()
        what = f"call {self.request.call_id} of {self.request.model}"
        if _REASONS.get(self._reason.lower()) == "error":
            raise ProviderFailed(
                "provider_error",
                f"{what}: the provider ended the answer with {self._reason!r}",
                retryable=True,
                maybe_billed=self.has_content,
            )
        if self._reason or (self._is_whole and self.has_content):
            return
        if self.has_content and (done or framed):
            return
        is_cut_off = self.has_content or not (done or framed)
        said = "the stream ended in the middle" if is_cut_off else "the answer was empty"
        raise ProviderFailed("interrupted", f"{what}: {said}", retryable=True, maybe_billed=True)

    def _take_written(self) -> None:
        """Take calls that the model wrote into its text; their pieces were handed on as text by then."""
        if self._calls.calls or not self.request.tools:
            return
        self.text, calls = written_calls(self.text, self._offered)
        for index, call in enumerate(calls):
            self._calls.take(
                [ToolCallPart(index=index, id="", name=call.name, arguments=call.arguments_json)]
            )

    async def _take(self, piece: Piece) -> None:
        if piece.thinking:
            self._grow(len(piece.thinking) // THINKING_PER_CHARACTER)
            self._thought_characters += len(piece.thinking)
            self._thinking.append(piece.thinking)
        if piece.tool_calls:
            self._calls.take(piece.tool_calls)
            self._grow(sum(len(part.arguments) for part in piece.tool_calls))
        self._keep_state(piece)
        if piece.text:
            # Half a character cannot be written; the other half comes with the next piece, or never.
            text = self._half + piece.text
            self._half = text[-1] if ends_in_half(text) else ""
            self._grow(len(piece.text))
            await self._hand_on(self._filter.take(mended(text[: len(text) - len(self._half)])))

    async def _hand_on(self, text: str) -> None:
        if text:
            await self.request.on_text(self.attempt, len(self._pieces), text)
            self._pieces.append(text)

    def _keep_state(self, piece: Piece) -> None:
        for name in self._state_fields:
            value = piece.message.get(name)
            if value:
                self._state_characters += len(json.dumps(value))
                self._state.setdefault(name, []).append(value)

    def _grow(self, characters: int) -> None:
        self._characters += characters
        if self._characters > ANSWER_CHARACTERS_MAX:
            raise ProviderFailed(
                "provider_error",
                f"call {self.request.call_id}: the answer is longer than {ANSWER_CHARACTERS_MAX} characters, "
                f"though at most {self.request.output_tokens_max} tokens were asked for",
                retryable=False,
                maybe_billed=True,
            )


def _joined(parts: list[object]) -> object:
    """Put together what came in pieces: texts and lists one after the other, objects field by field."""
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == len(parts):
        return "".join(texts)
    lists = [part for part in parts if isinstance(part, list)]
    if len(lists) == len(parts):
        return [item for part in lists for item in part]
    merged: dict[str, object] = {}
    for part in parts:
        if isinstance(part, dict):
            merged |= part
    return merged or parts[-1]
