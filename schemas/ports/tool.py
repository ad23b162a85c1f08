"""The port behind which every tool stands, whoever made it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from schemas.configuration import ToolSpec
from schemas.events.inputs import Attachment
from schemas.events.tools import Retrieval, ToolFailureKind

Arguments = Mapping[str, object]
DeltaSink = Callable[[str, str], Awaitable[None]]
"""Takes a channel (stdout, stderr or progress) and a piece of text."""


async def _ignore(_channel: str, _text: str) -> None:
    """Drop a piece of output that nobody follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """What a tool is told beside its arguments."""

    session_id: str
    tenant_id: str
    user_id: str
    call_id: str
    idempotency_key: str
    tokens_max: int
    """The most that the tool's own model calls may use, in and out together."""
    nanodollars_max: int
    attachments: tuple[Attachment, ...] = ()
    """Those of the turn's message; tools address them as `attachment:<name>`."""
    on_output: DeltaSink = field(default=_ignore)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool gave; checked against its result schema before anybody sees it."""

    result: Mapping[str, object]
    used_tokens: int = 0
    cost_nanodollars: int = 0
    retrieval: Retrieval | None = None


class ToolError(Exception):
    """A call failed; `kind` is one of ToolCallFailed's."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool = False,
        used_tokens: int = 0,
        cost_nanodollars: int = 0,
        maybe_billed: bool = False,
        settled: bool = False,
    ) -> None:
        """Note what is known of the failure and of what it has cost.

        `settled` says that the failure is all that there is to know: whoever was to carry the call out was
        never reached, or has answered that it failed. Otherwise, after a tool that may not be repeated,
        nobody knows whether the effect took place.
        """
        super().__init__(message)
        self.kind = ToolFailureKind(kind)
        self.retryable = retryable
        self.used_tokens = used_tokens
        self.cost_nanodollars = cost_nanodollars
        self.maybe_billed = maybe_billed
        self.settled = settled


class Tool(Protocol):
    """A tool: what it is, and how to run it once."""

    @property
    def spec(self) -> ToolSpec:
        """Describe the tool."""
        ...

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Run the tool once with arguments that fit its schema.

        Raises:
            ToolError: the call failed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What a tool knows of an earlier call."""

    carried_out: bool
    """False: it was not carried out, and will not be."""
    result: Mapping[str, object] | None = None
    """What it gave, where that is known; as in ToolResult."""


@runtime_checkable
class Reconciler(Protocol):
    """A tool that can say what became of a call whose outcome nobody saw."""

    async def happened(self, arguments: Arguments, context: ToolContext) -> Happened | None:
        """Say whether the call with the key `context.idempotency_key` was carried out; None: not known.

        It changes nothing, and may be asked again.

        Raises:
            ToolError: it could not be asked.
        """
        ...
