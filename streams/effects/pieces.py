"""Pieces of answers and outputs without credentials: what is told is what the outcome says on the log."""

from collections.abc import Awaitable, Callable

from processors.redaction.redactor import Redactor
from processors.redaction.streaming import Pieces

TellPiece = Callable[[int, int, str], Awaitable[None]]
"""Takes the attempt, the index of the piece within it from 0 on, and the piece."""
TellOutput = Callable[[str, str], Awaitable[None]]
"""Takes the channel and the piece."""


class AnswerTold:
    """Tells a text that comes in pieces, each attempt anew; a credential may be cut by them anywhere."""

    def __init__(self, redactor: Redactor, tell: TellPiece) -> None:
        """Take what takes credentials out, and who is told."""
        self._redactor = redactor
        self._tell = tell
        self._pieces = redactor.pieces()
        self._attempt = 0
        self._index = 0

    async def take(self, attempt: int, _index: int, text: str) -> None:
        """Take the next piece, and tell what can be told by now."""
        if attempt != self._attempt:
            self._attempt, self._index, self._pieces = attempt, 0, self._redactor.pieces()
        await self._say(self._pieces.push(text))

    async def finish(self) -> None:
        """Tell the rest of the last attempt: there is no more of it."""
        await self._say(self._pieces.finish())
        self._pieces = self._redactor.pieces()

    async def _say(self, text: str) -> None:
        if text:
            index, self._index = self._index, self._index + 1
            await self._tell(self._attempt, index, text)


class OutputTold:
    """Tells what a tool writes to its channels, each a text of its own."""

    def __init__(self, redactor: Redactor, tell: TellOutput) -> None:
        """Take what takes credentials out, and who is told."""
        self._redactor = redactor
        self._tell = tell
        self._channels: dict[str, Pieces] = {}

    async def take(self, channel: str, text: str) -> None:
        """Take the next piece of a channel, and tell what can be told by now."""
        pieces = self._channels.setdefault(channel, self._redactor.pieces())
        await self._say(channel, pieces.push(text))

    async def finish(self) -> None:
        """Tell the rest of each channel: there is no more of it."""
        for channel, pieces in self._channels.items():
            await self._say(channel, pieces.finish())

    async def _say(self, channel: str, text: str) -> None:
        if text:
            await self._tell(channel, text)
