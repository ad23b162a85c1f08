"""A tool of a server, behind the same port as our own."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final, NoReturn, Protocol

import mcp_types
from mcp import MCPError
from pydantic import ValidationError

from connectors.mcp.connection import Connection, ServerAway
from connectors.mcp.definitions import Definition
from connectors.mcp.errors import NOT_CARRIED_OUT
from connectors.mcp.results import ResultInvalid, result_of, result_schema, text_of
from connectors.mcp.server import Server
from connectors.mcp.session import Session
from connectors.sandbox.cleaning import clean, clean_line
from connectors.tools.json_schemas import usable_validator
from schemas.configuration import ToolSpec
from schemas.ports.tool import Arguments, Happened, ToolContext, ToolError, ToolResult

KEY_META: Final = "cartrita/idempotency-key"
"""Under which the key goes with every call, in its `_meta`; servers that know none ignore it."""
RECONCILED_KEY: Final = "idempotency_key"
"""The argument of a reconciler: the key of the call that it is asked about."""
CATEGORY: Final = "mcp"
_ERROR_CHARACTERS_MAX: Final = 1_500
_WRONGLY_ASKED: Final = (mcp_types.INVALID_PARAMS, mcp_types.METHOD_NOT_FOUND)
_SESSION_GONE: Final = "Session terminated"
"""What the SDK says when a server by HTTP knows our session no more: it has not looked at the call."""


class Connections(Protocol):
    """Where a tool finds its connection, and what is withheld."""

    def connection(self, server: str, tenant: str) -> Connection:
        """Return the tenant's connection to a server."""
        ...

    def withheld(self, server: str, tenant: str, tool: str) -> str | None:
        """Return why an accepted tool must not be called now; None where it may."""
        ...


class McpTool:
    """One accepted tool of one server."""

    def __init__(self, server: Server, definition: Definition, connections: Connections) -> None:
        """Take what was accepted; nothing connects yet."""
        self._server, self._definition, self._connections = server, definition, connections
        self._terms = server.terms_of(definition.tool)
        output = definition.output_schema_json
        self._output = None if output is None else usable_validator(output, of_object=True)
        self.spec = _spec(server, definition)

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Call the tool once.

        Raises:
            ToolError: there is no result. Its kind is `unknown` where nobody knows whether the server carried
                the call out, and `result_invalid` where it did and its answer cannot be used.
        """
        session = await self._ready(context, self._definition.tool)
        given = dict(arguments)
        if self._terms.idempotency_key is not None:
            given[self._terms.idempotency_key] = context.idempotency_key

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            share = f"{progress:g}" if total is None else f"{progress:g}/{total:g}"
            await context.on_output("progress", clean_line(f"{share} {message or ''}", 200) + "\n")

        try:
            answer = await session.call(
                self._definition.tool, given, {KEY_META: context.idempotency_key}, on_progress
            )
        except MCPError as error:
            self._refused(error, session)
        except ValidationError as error:
            message = f"the answer is none that the protocol knows: {clean_line(str(error), 300)}"
            raise self._invalid(message) from error
        if isinstance(answer, mcp_types.InputRequiredResult):
            raise self._failed("the server asks for more input, which is not given to tools", settled=True)
        if answer.is_error:
            said = clean(text_of(answer))[:_ERROR_CHARACTERS_MAX] or "it failed and does not say why"
            raise self._failed(said, settled=True)
        try:
            result = result_of(answer, self._output, self._server.result_characters_max)
        except ResultInvalid as error:
            raise self._invalid(str(error)) from error
        return ToolResult(result=result)

    async def happened(self, _arguments: Arguments, context: ToolContext) -> Happened | None:
        """Ask the server's reconciler whether an earlier call was carried out; None: there is none.

        Raises:
            ToolError: it could not be asked.
        """
        reconciler = self._terms.reconciler
        if reconciler is None:
            return None
        session = await self._ready(context, reconciler)
        try:
            answer = await session.call(
                reconciler, {RECONCILED_KEY: context.idempotency_key}, {}, _nobody_follows
            )
        except (MCPError, ValidationError) as error:
            raise self._failed(f"{reconciler} did not answer: {clean_line(str(error), 300)}") from error
        told = None if isinstance(answer, mcp_types.InputRequiredResult) else answer.structured_content
        if not isinstance(told, Mapping) or not isinstance(told.get("carried_out"), bool):
            return None
        given = told.get("result")
        if not told["carried_out"] or not isinstance(given, Mapping):
            return Happened(carried_out=bool(told["carried_out"]))
        earlier = mcp_types.CallToolResult(content=[], structured_content=dict(given))
        try:
            return Happened(
                carried_out=True, result=result_of(earlier, self._output, self._server.result_characters_max)
            )
        except ResultInvalid:
            return Happened(carried_out=True)

    async def _ready(self, context: ToolContext, tool: str) -> Session:
        """Return the session for a call of one of the server's tools; until then nothing has been sent."""
        server = self._server.name
        if context.tenant_id not in self._server.tenants:
            raise self._failed(f"the server {server} is not for this tenant", settled=True)
        try:
            # Half of the call's time: a server that is slow to come must not look like a call that hangs.
            async with asyncio.timeout(self.spec.timeout_ms / 2_000):
                session = await self._connections.connection(server, context.tenant_id).ready()
        except (ServerAway, TimeoutError) as error:
            reason = str(error) or "it is not ready in time"
            raise self._failed(
                f"the server {server} is away: {reason}", settled=True, retryable=True
            ) from error
        withheld = self._connections.withheld(server, context.tenant_id, tool)
        if withheld is not None:
            raise self._failed(
                f"withheld: {withheld}; a person has to accept it: `cartrita tools accept {server}`",
                settled=True,
            )
        return session

    def _refused(self, error: MCPError, session: Session) -> NoReturn:
        said = clean_line(error.message, _ERROR_CHARACTERS_MAX)
        if error.code in _WRONGLY_ASKED:
            raise ToolError("validation_error", f"{self.spec.name}: {said}") from error
        if error.code == mcp_types.INVALID_REQUEST and error.message == _SESSION_GONE:
            session.ended.set()
            raise self._failed(
                "the server has begun anew; ask again", settled=True, retryable=True
            ) from error
        if error.code == NOT_CARRIED_OUT:
            raise self._failed(said, settled=True, retryable=True) from error
        if error.code == mcp_types.CONNECTION_CLOSED:
            # Whoever calls next must not have to find that out.
            session.ended.set()
        lost = error.code in (mcp_types.CONNECTION_CLOSED, mcp_types.PARSE_ERROR, mcp_types.INVALID_REQUEST)
        if lost and not self.spec.idempotent:
            raise ToolError(
                "unknown", f"{self.spec.name}: the call was sent, and its answer was lost: {said}"
            ) from error
        raise self._failed(said, retryable=lost) from error

    def _failed(self, message: str, *, settled: bool = False, retryable: bool = False) -> ToolError:
        return ToolError(
            "execution_error", f"{self.spec.name}: {message}", settled=settled, retryable=retryable
        )

    def _invalid(self, message: str) -> ToolError:
        return ToolError(
            "result_invalid", f"{self.spec.name}: the call was carried out, and its result is lost: {message}"
        )


async def _nobody_follows(progress: float, total: float | None, message: str | None) -> None:
    """Drop how far a server has come."""


def _spec(server: Server, definition: Definition) -> ToolSpec:
    terms = server.terms_of(definition.tool)
    output = definition.output_schema_json
    return ToolSpec(
        name=definition.name,
        version=definition.digest[:12],
        description=definition.description,
        category=CATEGORY,
        safety_level=terms.safety_level,
        complexity_score=5,
        resource_intensity="medium",
        parameters_json=_without(definition.parameters_json, terms.idempotency_key),
        result_schema_json=json.dumps(result_schema(None if output is None else json.loads(output))),
        idempotent=terms.idempotent,
        tokens_max=0,
        tokens_min=0,
        nanodollars_per_token=0,
        timeout_ms=terms.timeout_ms,
        result_tokens_usual=500,
        trust=terms.trust,
        acts_outside=terms.acts_outside,
        sensitive=terms.sensitive,
    )


def _without(parameters_json: str, argument: str | None) -> str:
    """Return the schema of the arguments without one that the model is not to choose."""
    if argument is None:
        return parameters_json
    parameters: dict[str, object] = json.loads(parameters_json)
    properties, required = parameters.get("properties"), parameters.get("required")
    if isinstance(properties, Mapping):
        parameters["properties"] = {name: one for name, one in properties.items() if name != argument}
    if isinstance(required, list):
        parameters["required"] = [name for name in required if name != argument]
    return json.dumps(parameters, ensure_ascii=False)
